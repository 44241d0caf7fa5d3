"""Capabilities of a member: defaults, stored sets, changes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.people.workspaces import Capability, Role
from resolvers.errors import Refusal
from resolvers.kernel.ground.policy import CHAT_ONLY, PRESETS, Capabilities, CapabilityPreset, effective
from resolvers.rules.capabilities import changed, listed
from tests.every import each_of
from tests.rules.refusals import refused
from tests.rules.texts import anything, json_values

ADMIN = [
    "chat",
    "credential.create",
    "credential.rotate",
    "issue.create",
    "memory.write",
    "routine.create",
    "skill.create",
]
POWER = ["chat", "issue.create", "memory.write", "routine.create"]
RUN = "routine.run"

names = st.sampled_from(list(Capability)).map(str)
sets = st.sets(st.sampled_from(list(Capability))).map(lambda s: CHAT_ONLY | s)


@pytest.mark.parametrize(
    ("preset", "expected"), [("chat", ["chat"]), ("power", [*POWER, RUN]), ("admin", sorted([*ADMIN, RUN]))]
)
def test_presets(preset: str, expected: list[str]) -> None:
    assert listed(PRESETS[CapabilityPreset(preset)]) == expected
    assert changed(PRESETS[CapabilityPreset.power], preset=preset) == PRESETS[CapabilityPreset(preset)]


@each_of(
    ("role", "expected"),
    [("OWNER", ADMIN), ("ADMIN", ADMIN), ("MANAGER", POWER), ("MEMBER", ["chat"]), ("VIEWER", ["chat"])],
)
def test_default_by_role(role: str, expected: list[str]) -> None:
    assert listed(effective(Role(role), None)) == expected


@each_of(
    "stored",
    [
        [],
        "",
        "chat,issue.create",
        {},
        {"issue.create": True},
        0,
        1,
        False,
        True,
        [None],
        [["issue.create"]],
        ["nonsense"],
        ["ISSUE.CREATE"],
    ],
)
@each_of("role", Role)
def test_a_stored_set_without_meaning_is_chat_only(role: Role, stored: object) -> None:
    assert effective(role, stored) == CHAT_ONLY


def test_unknown_names_are_dropped_and_chat_added() -> None:
    assert listed(effective(Role.VIEWER, ["skill.create", "gone", 7, "issue.create", "issue.create"])) == [
        "chat",
        "issue.create",
        "skill.create",
    ]


@given(st.sampled_from(list(Role)), json_values.filter(lambda v: v is not None))
def test_a_stored_set_does_not_depend_on_the_role(role: Role, stored: object) -> None:
    assert CHAT_ONLY <= effective(role, stored) == effective(Role.OWNER, stored)


@given(st.sampled_from(list(Role)), sets)
def test_what_is_stored_is_read(role: Role, capabilities: Capabilities) -> None:
    assert effective(role, listed(capabilities)) == capabilities
    assert listed(capabilities) == sorted(set(listed(capabilities)))


@given(sets, st.lists(names, min_size=1))
def test_set_replaces(current: Capabilities, given: list[str]) -> None:
    assert listed(changed(current, replace=given)) == sorted({"chat", *given})


@given(sets, st.lists(names, min_size=1))
def test_grant_adds(current: Capabilities, given: list[str]) -> None:
    assert listed(changed(current, grant=given)) == sorted({*listed(current), *given})


@given(sets, st.lists(names.filter(lambda n: n != "chat"), min_size=1))
def test_revoke_removes(current: Capabilities, given: list[str]) -> None:
    assert listed(changed(current, revoke=given)) == sorted(set(listed(current)) - set(given))


@each_of(
    "body",
    [
        {},
        {"replace": []},
        {"grant": [], "revoke": []},
        {"preset": ""},
        {"grant": ["chat"], "revoke": ["issue.create"]},
        {"replace": ["chat"], "preset": "chat"},
        {"replace": ["chat"], "grant": ["chat"], "revoke": ["issue.create"], "preset": "chat"},
    ],
)
def test_exactly_one_kind_of_change(body: dict[str, Any]) -> None:
    with refused("capabilities", "exactly one"):
        changed(CHAT_ONLY, **body)


def test_an_empty_list_counts_as_not_given() -> None:
    assert changed(CHAT_ONLY, replace=[], grant=["issue.create"], revoke=[], preset="") == CHAT_ONLY | {
        Capability.issue_create
    }


@each_of(
    ("field", "body"),
    [
        ("set", {"replace": ["chat", "fly"]}),
        ("grant", {"grant": ["ISSUE.CREATE"]}),
        ("revoke", {"revoke": ["fly"]}),
        ("revoke", {"revoke": ["chat"]}),
        ("revoke", {"revoke": ["issue.create", "chat"]}),
        ("preset", {"preset": "owner"}),
        ("preset", {"preset": "ADMIN"}),
        ("grant", {"grant": ["\ud800"]}),
    ],
)
def test_refused(field: str, body: dict[str, Any]) -> None:
    with refused(field):
        changed(PRESETS[CapabilityPreset.admin], **body)


texts = st.none() | st.lists(anything | names, max_size=3)


@given(sets, texts, texts, texts, st.none() | anything | st.sampled_from(list(CapabilityPreset)))
def test_total_and_chat_stays(
    current: Capabilities,
    replace: list[str] | None,
    grant: list[str] | None,
    revoke: list[str] | None,
    preset: str | None,
) -> None:
    try:
        result = changed(current, replace=replace, grant=grant, revoke=revoke, preset=preset)
    except Refusal as refusal:
        refusal.detail.encode()
    else:
        assert Capability.chat in result
