"""Approvals: asked, decided once, cancelled, or too late."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from models.attention.approvals import Approval, ApprovalKind, ApprovalOutcome, ApprovalStatus
from models.attention.inbox import InboxItem, InboxKind, inbox_item_id
from resolvers.attention.approvals.deciding import enqueue_overdue
from resolvers.kernel import across_workspaces
from tests.people.recovery.mailbox import delivering, idle
from tests.world import World, now

pytestmark = pytest.mark.anyio
PATH = "/api/v1/approvals"


@pytest.fixture(autouse=True)
async def _empty(world: World) -> None:
    for table in ("approvals", "approval_outcomes", "inbox_items", "journal_entries", "events"):
        await world.database.execute(f"DELETE FROM {table}")


async def asked(world: World, **values: Any) -> Approval:
    """With its item in the inbox."""
    given = {"kind": ApprovalKind.destructive_op, "reason": "It deletes rows", "tool": "delete_rows"}
    made = Approval(**(given | {"created_at": now(), "workspace_id": world.workspace.id} | values))
    item = InboxItem(
        id=inbox_item_id(InboxKind.waitpoint, made.id), kind=InboxKind.waitpoint, source_id=made.id, title=made.reason,
        blocking=True, workspace_id=made.workspace_id,
    )  # fmt: skip
    await world.add(made, item)
    return made


async def decide(world: World, approval: Approval, status: str = "approved", person: Any = None, **more: Any) -> Any:
    body = {"status": status, **more}
    return await world.rest(person or world.admin, "POST", f"{PATH}/{approval.id}/decide", body)


async def told(world: World) -> list[tuple[str, str, str]]:
    rows = await world.database.fetch(
        "SELECT entry_type, severity, actor_type FROM journal_entries ORDER BY created_at"
    )
    return [tuple(row) for row in rows]


async def sent(world: World) -> list[tuple[str, Any]]:
    """Events of approvals, which every member hears of: they read the rows."""
    events = [each for each in await world.events() if each["type"].startswith("approval.")]
    assert {each["channel"] for each in events} <= {f"workspace:{world.workspace.id}"}
    return [(each["type"], each["payload"]) for each in events]


async def item_of(world: World, approval: Approval) -> dict[str, Any]:
    return dict(await world.database.fetchrow("SELECT * FROM inbox_items WHERE source_id = $1", approval.id))


async def test_an_approval_has_both_spellings(world: World) -> None:
    made = await asked(world, agent_id="agent", payload={"tool": "delete_rows", "args": {}}, timeout_at=now())
    plain = await asked(world)
    shown = (await world.rest(world.viewer, "GET", f"{PATH}/{made.id}")).json()
    pairs = {
        "ID": "id", "CrewID": "crew_id", "AgentID": "agent_id", "MissionID": "mission_id", "Kind": "kind",
        "Reason": "reason", "Status": "status", "RequestedBy": "requested_by", "CreatedAt": "created_at",
        "TimeoutAt": "timeout_at", "DecidedAt": "decided_at", "DecidedBy": "decided_by", "DecisionComment": "comment",
        "Payload": "payload",
    }  # fmt: skip
    assert {key: shown[key] for key in pairs} == {key: shown[other] for key, other in pairs.items()}
    assert (shown["WorkspaceID"], shown["TimeoutSecs"], shown["CrewID"]) == (world.workspace.id, 0, "")
    other = (await world.rest(world.viewer, "GET", f"{PATH}/{plain.id}")).json()
    assert other["Payload"] is None
    assert "payload" not in other


async def test_lists_by_status(world: World) -> None:
    states = {status: await asked(world, status=status) for status in ApprovalStatus}
    await asked(world, workspace_id=world.other.id)
    for query, echo, expected in (
        ({}, "pending", ["pending"]),
        ({"status": "denied"}, "denied", ["denied"]),
        ({"status": "all"}, "", [*reversed(ApprovalStatus)]),
        ({"status": "all", "limit": 201}, "", [*reversed(ApprovalStatus)]),
        ({"status": "nope"}, "nope", []),
    ):
        async with world.client(world.viewer) as client:
            answer = (await client.get(PATH, params={"workspace_id": world.workspace.id, **query})).json()
        assert (answer["status"], answer["count"]) == (echo, len(expected))
        assert [row["id"] for row in answer["rows"]] == [states[ApprovalStatus(status)].id for status in expected]


async def test_a_decision_is_made_once(world: World) -> None:
    made = await asked(world)
    answers = await asyncio.gather(*(decide(world, made, status) for status in ("approved", "denied") * 4))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    (won,) = [answer.json() for answer in answers if answer.status_code == 200]
    assert won["decided_by"] == world.admin.user_id
    shown = (await world.rest(world.viewer, "GET", f"{PATH}/{made.id}")).json()
    assert (shown["status"], shown["decided_by"]) == (won["status"], world.admin.user_id)
    granted = won["status"] == "approved"
    assert await told(world) == [("approval.granted" if granted else "approval.denied", "notice", "user")]
    outcomes = await world.database.fetch("SELECT tool, approved FROM approval_outcomes")
    assert [tuple(row) for row in outcomes] == [("delete_rows", granted)]
    item = await item_of(world, made)
    assert (item["state"], item["resolved_by_user_id"]) == ("resolved", world.admin.user_id)
    assert await sent(world) == [("approval.decided", {"id": made.id})]
    assert item["resolved_action"] == ("approved" if granted else "rejected")
    assert (await world.rest(world.admin, "POST", f"{PATH}/{made.id}/cancel")).status_code == 409


async def test_refusals_in_their_order(world: World) -> None:
    made, theirs = await asked(world), await asked(world, workspace_id=world.other.id)
    before = await world.snapshot()
    assert (await decide(world, made, "nothing", world.manager)).status_code == 403
    assert (await decide(world, theirs, "nothing")).status_code == 400
    assert (await decide(world, theirs)).status_code == 404
    assert (await world.rest(world.admin, "POST", f"{PATH}/{theirs.id}/cancel")).status_code == 404
    assert (await world.rest(world.admin, "POST", f"{PATH}/reset-auto-tuning", {"tool": " "})).status_code == 400
    assert await world.snapshot() == before


async def test_cancelling_says_why_and_not_who(world: World) -> None:
    made = await asked(world)
    answer = await world.rest(world.admin, "POST", f"{PATH}/{made.id}/cancel", {"reason": "Not now"})
    assert answer.json() == {"status": "cancelled", "cancelled_by": world.admin.user_id}
    shown = (await world.rest(world.viewer, "GET", f"{PATH}/{made.id}")).json()
    assert (shown["Status"], shown["DecidedBy"], shown["DecisionComment"]) == ("cancelled", "", "Not now")
    assert shown["DecidedAt"] is not None
    assert await told(world) == [("approval.cancelled", "notice", "user")]
    assert (await item_of(world, made))["resolved_action"] == "cancelled"
    assert await sent(world) == [("approval.cancelled", {"id": made.id})]
    bare = await asked(world)
    assert (await world.rest(world.admin, "POST", f"{PATH}/{bare.id}/cancel")).status_code == 200


async def test_nobody_decides_after_the_deadline(world: World) -> None:
    late, open_ = [await asked(world, timeout_at=now() + timedelta(seconds=seconds)) for seconds in (-1, 60)]
    async with delivering(world):
        for _ in range(2):
            await across_workspaces(enqueue_overdue)
            await idle(world)
    states = await world.database.fetch("SELECT id, status, decided_at IS NOT NULL AS ended FROM approvals")
    assert {row["id"]: (row["status"], row["ended"]) for row in states} == {
        late.id: ("timeout", True), open_.id: ("pending", False),
    }  # fmt: skip
    assert await told(world) == [("approval.timeout", "warn", "system")]
    assert (await item_of(world, late))["state"] == "resolved"
    assert await sent(world) == [("approval.timed_out", {"id": late.id})]
    assert (await decide(world, late)).status_code == 409


async def test_outcomes_of_one_tool_are_forgotten(world: World) -> None:
    tools = ("deploy", "deploy", "drop_table")
    await world.add(*(ApprovalOutcome(tool=tool, approved=True, workspace_id=world.workspace.id) for tool in tools))
    answer = await world.rest(world.admin, "POST", f"{PATH}/reset-auto-tuning", {"tool": "deploy"})
    assert answer.json() == {"tool": "deploy", "rows_deleted": 2, "workspace_id": world.workspace.id}
    assert await world.database.fetchval("SELECT tool FROM approval_outcomes") == "drop_table"
    assert [entry for entry, _, _ in await told(world)] == ["approval.auto_tuning_reset"]
