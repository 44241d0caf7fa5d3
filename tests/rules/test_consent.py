"""Which calls of tools somebody is asked about first."""

from typing import Any

from models.attention.approvals import ApprovalKind, ApprovalMode
from resolvers.rules.consent import ConsentGate, question, tuned
from tests.every import each_of

SYNC, ASYNC = ApprovalMode.sync, ApprovalMode["async"]


@each_of(
    ("tool", "arguments", "kind"),
    [
        ("deploy", {}, ApprovalKind.destructive_op),
        ("Delete_Rows", {}, ApprovalKind.destructive_op),
        ("terminate_all", {"target": "prod"}, ApprovalKind.destructive_op),
        ("redeploy", {}, None),
        ("buy", {"cost_estimate_usd": 10}, ApprovalKind.cost_threshold),
        ("buy", {"cost_estimate_usd": 9.99}, None),
        ("buy", {"cost_estimate_usd": True}, None),
        ("buy", {"cost_estimate_usd": "10"}, None),
        ("copy", {"env": "PRODUCTION"}, ApprovalKind.target_environment),
        ("copy", {"hostname": "db.live.example"}, ApprovalKind.target_environment),
        ("copy", {"path": "prod"}, None),
        ("copy", {"env": ["prod"]}, None),
        ("read_file", {}, None),
    ],
)
def test_what_is_asked(tool: str, arguments: dict[str, Any], kind: ApprovalKind | None) -> None:
    asked = question(tool, arguments, ())
    assert (asked.kind if asked else None) is kind


def test_the_first_gate_that_matches_decides() -> None:
    asked = question("deploy", {}, (ConsentGate("read_*", SYNC), ConsentGate("DEP*", ASYNC), ConsentGate("*", SYNC)))
    assert asked is not None
    assert (asked.kind, asked.mode) == (ApprovalKind.tool_call, ASYNC)


@each_of(
    ("mode", "approved", "denied", "expected"),
    [
        (SYNC, 9, 0, SYNC), (SYNC, 10, 0, ASYNC), (SYNC, 9, 1, SYNC), (SYNC, 19, 1, ASYNC), (SYNC, 18, 2, SYNC),
        (ASYNC, 3, 7, ASYNC), (ASYNC, 2, 8, SYNC), (ASYNC, 0, 9, ASYNC), (SYNC, 0, 20, SYNC), (ASYNC, 20, 0, ASYNC),
    ],
)  # fmt: skip
def test_modes_are_tuned(mode: ApprovalMode, approved: int, denied: int, expected: ApprovalMode) -> None:
    assert tuned(mode, [True] * approved + [False] * denied) is expected
