"""Escalations that are withdrawn, or not answered in time, and what the agent that waits gets."""

import asyncio
from datetime import timedelta
from typing import Any

import orjson
import pytest

from models.staff.crews import Crew
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.staff.escalations.deciding import EXPIRE, enqueue_overdue
from tests.staff.escalations.test_escalations import ask, crew, item, pending, raised, resolve, shown, slug
from tests.world import Person, World, now

__all__ = ["crew"]
pytestmark = pytest.mark.anyio
PROPOSAL = '{"name": "Harbour", "type": "API_KEY", "provider": "HARBOUR", "value": "hunter2-hunter2"}'
SWEEP = "/api/v1/escalations/sweep-expired"


async def cancel(world: World, id: str, person: Person | None = None, body: Any = None) -> Any:
    return await world.rest(person or world.manager, "POST", f"/api/v1/escalations/{id}/cancel", body)


async def wait(world: World, id: str, token: str = "ef" * 32) -> Any:
    async with world.client(None, **{"X-Internal-Token": token}) as client:
        return await client.get(f"/api/v1/internal/escalations/{id}/wait", timeout=20)


async def overdue(world: World, id: str, *, given_up: bool = True) -> None:
    late = now() - timedelta(minutes=1)
    await world.database.execute(
        "UPDATE escalations SET deadline_at = $2, answer_deadline_at = $3 WHERE id = $1",
        id, late, late if given_up else late + timedelta(days=1),
    )  # fmt: skip


async def listed(world: World, crew: Crew, status: str) -> list[str]:
    async with world.client(world.viewer) as client:
        query = {"workspace_id": world.workspace.id, "status": status}
        return [row["id"] for row in (await client.get(f"/api/v1/crews/{crew.id}/escalations", params=query)).json()]


async def made_by(world: World, crew: Crew, person: Person) -> None:
    """The asking agent is this person's, and the credential a critical one."""
    await world.database.execute("UPDATE credentials SET security_level = 4 WHERE name = 'Harbour'")
    await world.database.execute(
        "UPDATE agents SET created_by_user_id = $1 WHERE crew_id = $2", person.user_id, crew.id
    )


async def test_a_new_one_has_its_deadlines(world: World, crew: Crew) -> None:
    answer = (await ask(world, crew)).json()
    assert answer.keys() == {"escalation_id", "status", "deadline_at", "timeout_seconds", "answer_deadline_at"}
    assert answer["timeout_seconds"] == 300
    (row,) = await shown(world, crew)
    assert [row[key] for key in ("deadline_at", "answer_deadline_at")] == [
        answer["deadline_at"], answer["answer_deadline_at"]
    ]  # fmt: skip
    assert (row["agent_gave_up_at"], row["second_approver_required"]) == (None, False)
    assert "security_level_label" not in row


async def test_it_is_withdrawn_once(world: World, crew: Crew) -> None:
    id = await raised(world, crew, type="CREDENTIAL", metadata=PROPOSAL)
    before = await world.snapshot()
    for person, status in ((world.member, 403), (world.viewer, 403), (world.outsider, 403)):
        assert (await cancel(world, id, person, {"reason": "x"})).status_code == status
    assert (await cancel(world, "nope")).status_code == 404
    assert (await cancel(world, id, body={"reason": 5})).status_code == 400
    assert await world.snapshot() == before
    since = max([event["seq"] for event in await world.events()], default=0)
    assert (await cancel(world, id, body={"reason": "not needed"})).json() == {"id": id, "status": "CANCELLED"}
    (row,) = await shown(world, crew)
    assert (row["status"], row["resolution"], row["resolved_by"]) == ("CANCELLED", "cancelled: not needed", "user")
    credential = await world.database.fetchrow(
        "SELECT status, deleted_at IS NOT NULL AS deleted FROM credentials WHERE id = $1", row["credential_id"]
    )
    assert tuple(credential) == ("REJECTED", True)
    settled = (await item(world, id, world.manager)).json()
    assert (settled["state"], settled["resolved_action"]) == ("resolved", "cancelled")
    told = [(event["type"], event["payload"]) for event in await world.events(since)]
    assert ("escalation.cancelled", {"id": id, "crew_id": crew.id, "from_slug": slug(crew)}) in told
    again = await world.snapshot()
    assert (await cancel(world, id)).status_code == 409
    refused = await resolve(world, id)
    assert (refused.status_code, "cancelled" in refused.json()["error"]) == (409, True)
    assert await world.snapshot() == again


async def test_no_body_and_an_unreadable_one_give_no_reason(world: World, crew: Crew) -> None:
    for body in (b"", b"{"):
        id = await raised(world, crew)
        async with world.client(world.manager) as client:
            answer = await client.post(
                f"/api/v1/escalations/{id}/cancel", content=body, params={"workspace_id": world.workspace.id}
            )
        assert answer.status_code == 200, body
        row = next(row for row in await shown(world, crew) if row["id"] == id)
        assert row["resolution"] == "cancelled by operator"


async def test_an_overdue_one_reads_as_expired_at_once(world: World, crew: Crew) -> None:
    id, other = await raised(world, crew), await raised(world, crew)
    await overdue(world, id)
    last, first = await shown(world, crew)
    assert (first["id"], first["status"], first["resolved_by"]) == (id, "EXPIRED", "system")
    assert first["resolution"] == f"expired: no human answered by {first['answer_deadline_at']}"
    assert (last["id"], last["status"]) == (other, "PENDING")
    assert await listed(world, crew, "PENDING") == [other]
    assert await pending(world) == 1
    before = await world.snapshot()
    for answer in (await resolve(world, id), await cancel(world, id)):
        assert (answer.status_code, "expired" in answer.json()["error"]) == (409, True)
    assert await world.snapshot() == before


async def test_administrators_sweep(world: World, crew: Crew) -> None:
    id, other = await raised(world, crew, type="CREDENTIAL", metadata=PROPOSAL), await raised(world, crew)
    await overdue(world, id)
    assert (await world.rest(world.manager, "POST", SWEEP)).status_code == 403
    assert (await world.rest(world.outsider, "POST", SWEEP)).status_code == 403
    for expired in (1, 0):
        assert (await world.rest(world.admin, "POST", SWEEP)).json() == {"expired": expired}
    stored = await world.database.fetchrow("SELECT status, resolved_by FROM escalations WHERE id = $1", id)
    assert tuple(stored) == ("EXPIRED", "system")
    assert await listed(world, crew, "EXPIRED") == [id]
    assert await listed(world, crew, "PENDING") == [other]
    assert await world.database.fetchval("SELECT status FROM credentials WHERE name = 'Harbour'") == "REJECTED"
    settled = (await item(world, id, world.manager)).json()
    assert (settled["state"], settled["resolved_action"]) == ("resolved", "expired")
    entries = (await world.rest(world.owner, "GET", "/api/v1/journal")).json()["entries"]
    told = [entry for entry in entries if entry["entry_type"] == "peer.escalation"]
    (entry,) = [entry for entry in told if entry["payload"]["state"] == "expired"]
    assert (entry["severity"], entry["actor_type"]) == ("warn", "system")
    assert entry["payload"]["agent_outcome"] == "continued_with_warning"


async def test_a_clock_expires_them_by_jobs(world: World, crew: Crew) -> None:
    id = await raised(world, crew)
    await raised(world, crew)
    assert EXPIRE.every == timedelta(seconds=60)
    await overdue(world, id)

    async def due(rows: Any) -> list[str]:
        await enqueue_overdue(rows)
        found = [job.args for job in rows.queued if job.name == "escalations.end"]
        rows.queued.clear()
        return found

    (args,) = await across_workspaces(due)
    assert id in args


async def test_an_agent_gets_what_was_decided(world: World, crew: Crew) -> None:
    id, secret, withdrawn = [await raised(world, crew, type=type) for type in ("TEXT", "CREDENTIAL", "TEXT")]
    await resolve(world, id)
    await resolve(world, secret, resolution="hunter2-hunter2")
    await cancel(world, withdrawn)
    assert (await wait(world, id)).json() == {
        "status": "RESOLVED", "resolution": "Left", "action": "approve", "redirect_to": ""
    }  # fmt: skip
    assert (await wait(world, secret)).json()["resolution"] == "hunter2-hunter2"
    answer = (await wait(world, withdrawn)).json()
    assert (answer["status"], answer["still_open"], answer["resolution"]) == ("CANCELLED", False, "")
    assert (answer["agent_action"], "assume no approval" in answer["warning"]) == ("continued_with_warning", True)
    assert (await wait(world, "nope")).status_code == 404
    assert (await wait(world, id, "00" * 32)).status_code == 403


async def test_an_answer_ends_the_wait(world: World, crew: Crew) -> None:
    id = await raised(world, crew)
    waiting = asyncio.create_task(wait(world, id))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    decided = await resolve(world, id)
    assert (decided.json()["agent_still_waiting"], "note" in decided.json()) == (True, False)
    assert (await asyncio.wait_for(waiting, 10)).json()["status"] == "RESOLVED"


async def test_an_agent_gives_up_and_people_may_still_answer(world: World, crew: Crew) -> None:
    id = await raised(world, crew)
    await overdue(world, id, given_up=False)
    answer = (await wait(world, id)).json()
    assert (answer["status"], answer["still_open"]) == ("UNANSWERED", True)
    (row,) = await shown(world, crew)
    assert (row["status"], row["agent_gave_up_at"] is not None) == ("PENDING", True)
    late = (await resolve(world, id)).json()
    assert (late["status"], late["agent_still_waiting"], late["agent_gave_up_at"]) == (
        "RESOLVED", False, row["agent_gave_up_at"]
    )  # fmt: skip
    assert late["note"]
    assert (await wait(world, id)).json()["status"] == "RESOLVED"


async def test_a_wait_for_an_overdue_one_expires_it(world: World, crew: Crew) -> None:
    id = await raised(world, crew)
    await overdue(world, id)
    assert (await wait(world, id)).json()["status"] == "EXPIRED"
    assert await world.database.fetchval("SELECT status FROM escalations WHERE id = $1", id) == "EXPIRED"


async def test_a_critical_credential_needs_a_second_approver(world: World, crew: Crew) -> None:
    id = await raised(world, crew, type="CREDENTIAL", metadata=PROPOSAL)
    await made_by(world, crew, world.manager)
    (row,) = await shown(world, crew)
    assert (row["second_approver_required"], row["second_approver_by_tier"]) == (True, True)
    assert (row["second_approver_by_workspace"], row["security_level_label"]) == (False, "L4 · critical")
    assert (await item(world, id, world.manager)).json()["second_approver_required"] is True
    assert "second_approver_required" not in (await item(world, id, world.admin)).json()
    for action in ("approve", "reject"):
        refused = await resolve(world, id, action=action)
        assert (refused.status_code, "critical credential tier" in str(refused.json())) == (403, True)
    (row,) = await shown(world, crew)
    assert row["status"] == "PENDING"
    tries = await world.database.fetch(
        "SELECT severity, payload FROM journal_entries WHERE entry_type = 'keeper.decision'"
    )
    assert len(tries) == 2
    assert {found["severity"] for found in tries} == {"error"}
    payload = tries[0]["payload"]
    payload = orjson.loads(payload) if isinstance(payload, str) else payload
    assert (payload["rule"], payload["initiator_user_id"]) == ("segregation_of_duties", world.manager.user_id)
    assert (await resolve(world, id, person=world.admin)).status_code == 200


async def test_its_maker_may_withdraw_it(world: World, crew: Crew) -> None:
    id = await raised(world, crew, type="CREDENTIAL", metadata=PROPOSAL)
    await made_by(world, crew, world.manager)
    assert (await cancel(world, id)).status_code == 200


async def test_both_surfaces_withdraw_and_sweep(world: World, crew: Crew) -> None:
    id, other = await raised(world, crew), await raised(world, crew)
    await overdue(world, other)
    ws = {"ws": world.workspace.id}
    asked = "mutation($ws: ID, $id: ID!) { cancelEscalation(workspaceId: $ws, input: {escalationId: $id}) { status } }"
    answer = await world.graphql(world.manager, asked, ws | {"id": id})
    assert answer["data"] == {"cancelEscalation": {"status": "CANCELLED"}}, answer
    swept = await world.graphql(world.admin, "mutation($ws: ID) { sweepEscalations(workspaceId: $ws) { expired } }", ws)
    assert swept["data"] == {"sweepEscalations": {"expired": 1}}, swept
    read = "query($ws: ID, $c: ID!) { escalations(workspaceId: $ws, crewId: $c) { nodes { id status } } }"
    found = await world.graphql(world.viewer, read, ws | {"c": crew.id})
    assert found["data"]["escalations"]["nodes"] == [
        {"id": other, "status": "EXPIRED"},
        {"id": id, "status": "CANCELLED"},
    ]
