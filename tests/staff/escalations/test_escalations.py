"""Escalations: raised by agents, resolved once by people, and what the inbox has of them."""

import asyncio
from typing import Any

import pytest

from models.sealed import Sealed
from models.staff.agents import Agent, AgentRole
from models.staff.assignments import Escalation
from models.staff.crews import Crew
from resolvers.kernel import instance
from tests.world import Person, World

pytestmark = pytest.mark.anyio
RAISE = "/api/v1/internal/escalations"


@pytest.fixture
async def crew(world: World) -> Crew:
    await world.database.execute("DELETE FROM escalations")
    await world.database.execute("DELETE FROM inbox_items")
    await world.database.execute("DELETE FROM credentials")
    number = await world.database.fetchval("SELECT count(*) FROM crews")
    crew = Crew(name="Deck", slug=f"deck-{number}", workspace_id=world.workspace.id)
    await world.add(crew)
    for slug, role in (("ada", AgentRole.AGENT), ("lead", AgentRole.LEAD)):
        await world.add(
            Agent(
                crew_id=crew.id,
                name=slug.title(),
                slug=f"{slug}-{number}",
                agent_role=role,
                workspace_id=crew.workspace_id,
            )
        )
    return crew


def slug(crew: Crew, name: str = "ada") -> str:
    return f"{name}-{crew.slug.removeprefix('deck-')}"


async def ask(world: World, crew: Crew, **more: Any) -> Any:
    body = {"workspace_id": world.workspace.id, "crew_id": crew.id, "from_slug": slug(crew), "reason": "Which way?"}
    async with world.client(None, **{"X-Internal-Token": "ef" * 32}) as client:
        return await client.post(RAISE, json=body | more)


async def raised(world: World, crew: Crew, **more: Any) -> str:
    answer = await ask(world, crew, **more)
    assert answer.status_code == 201, answer.text
    assert answer.json()["status"] == "PENDING"
    id: str = answer.json()["escalation_id"]
    return id


async def resolve(world: World, id: str, person: Person | None = None, **body: Any) -> Any:
    given = {"resolution": "Left"} | body
    return await world.rest(person or world.manager, "PATCH", f"/api/v1/escalations/{id}/resolve", given)


async def shown(world: World, crew: Crew) -> list[dict[str, Any]]:
    answer = await world.rest(world.viewer, "GET", f"/api/v1/crews/{crew.id}/escalations")
    assert answer.status_code == 200
    rows: list[dict[str, Any]] = answer.json()
    return rows


async def item(world: World, id: str, person: Person) -> Any:
    return await world.rest(person, "GET", f"/api/v1/inbox/ibx_escalation_{id}")


async def pending(world: World) -> int:
    count: int = (await world.rest(world.viewer, "GET", "/api/v1/escalations/pending-count")).json()["count"]
    return count


async def test_managers_find_it_until_one_of_them_resolves_it(world: World, crew: Crew) -> None:
    id = await raised(world, crew, context="It is **dark**")
    (row,) = await shown(world, crew)
    assert (row["id"], row["from_name"], row["from_slug"], row["type"]) == (id, "Ada", slug(crew), "TEXT")
    assert (row["status"], row["action"], row["resolution"], row["resolved_by"]) == ("PENDING", "approve", None, None)
    assert await pending(world) == 1
    assert (await item(world, id, world.member)).status_code == 404
    told = (await item(world, id, world.manager)).json()
    assert (told["title"], told["body_md"]) == ("Agent escalation: Which way?", "It is **dark**")
    assert (told["blocking"], told["priority"], told["sender_name"]) == (True, "high", slug(crew))
    assert told["payload"] == {"crew_id": crew.id, "escalation_type": "TEXT", "reason": "Which way?"}
    refused = await world.rest(world.owner, "PATCH", f"/api/v1/inbox/{told['id']}", {"state": "resolved"})
    assert refused.status_code == 409
    answer = await resolve(world, id)
    assert answer.json() == {"id": id, "status": "RESOLVED", "action": "approve", "agent_still_waiting": True}
    (row,) = await shown(world, crew)
    assert (row["status"], row["resolution"], row["resolved_by"]) == ("RESOLVED", "Left", "user")
    settled = (await item(world, id, world.manager)).json()
    assert (settled["state"], settled["resolved_action"]) == ("resolved", "approve")
    assert settled["resolved_by_user_id"] == world.manager.user_id
    assert await pending(world) == 0


async def test_of_many_at_once_one_resolves_it(world: World, crew: Crew) -> None:
    id = await raised(world, crew)
    answers = await asyncio.gather(*(resolve(world, id, action=action) for action in ("approve", "reject") * 5))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    (won,) = [answer.json() for answer in answers if answer.status_code == 200]
    (row,) = await shown(world, crew)
    assert row["action"] == won["action"]
    assert (await item(world, id, world.manager)).json()["resolved_action"] == won["action"]


async def test_it_is_redirected_to_an_agent_of_the_crew(world: World, crew: Crew) -> None:
    id = await raised(world, crew)
    before = await world.snapshot()
    for more in ({}, {"redirect_to": ""}, {"redirect_to": "nobody"}):
        assert (await resolve(world, id, action="redirect", **more)).status_code == 400
    assert (await resolve(world, id, resolution="")).status_code == 400
    assert (await resolve(world, id, person=world.member)).status_code == 403
    assert await world.snapshot() == before
    assert (await resolve(world, id, action="redirect", redirect_to=slug(crew, "lead"))).status_code == 200
    (row,) = await shown(world, crew)
    assert (row["action"], row["redirect_to"]) == ("redirect", slug(crew, "lead"))


async def test_what_is_no_escalation_is_refused(world: World, crew: Crew) -> None:
    before = await world.snapshot()
    for more in (
        {"from_slug": "nobody"}, {"crew_id": "cnone0000000000000000000"}, {"reason": ""}, {"type": "SMOKE"},
        {"type": "LINK"}, {"type": "LINK", "metadata": "http://plain.example"}, {"chat_id": "none"},
    ):  # fmt: skip
        assert (await ask(world, crew, **more)).status_code == 400, more
    assert (await world.rest(world.owner, "POST", RAISE, {"reason": "x"})).status_code == 403
    assert await world.snapshot() == before


async def test_a_credential_that_is_handed_over_is_shown_nowhere(world: World, crew: Crew) -> None:
    id = await raised(world, crew, type="CREDENTIAL")
    assert (await resolve(world, id, resolution="hunter2-hunter2")).status_code == 200
    (row,) = await shown(world, crew)
    assert row["resolution"] == "[credential submitted]"
    stored = await world.database.fetchrow("SELECT resolution, handed_over FROM escalations WHERE id = $1", id)
    assert stored["resolution"] is None
    opened = await instance.vault.open(Sealed(stored["handed_over"]), table=Escalation, column="handed_over", row_id=id)
    assert opened.reveal() == "hunter2-hunter2"
    for table in ("events", "audit_logs", "inbox_items", "journal"):
        found = await world.database.fetchval(f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE '%hunter2%'")
        assert found == 0, table


DECIDED = [("approve", "ACTIVE"), ("reject", "REJECTED"), ("redirect", "PENDING_APPROVAL")]


@pytest.mark.parametrize(("action", "status"), DECIDED)
async def test_a_credential_that_an_agent_proposes_waits(world: World, crew: Crew, action: str, status: str) -> None:
    proposal = '{"name": "Harbour", "type": "API_KEY", "provider": "HARBOUR", "value": "hunter2-hunter2"}'
    id = await raised(world, crew, type="CREDENTIAL", metadata=proposal)
    (row,) = await shown(world, crew)
    assert "hunter2" not in row["metadata"]
    credential = row["credential_id"]
    assert credential in row["metadata"]
    found = await world.database.fetchrow("SELECT name, status, value FROM credentials WHERE id = $1", credential)
    assert (found["name"], found["status"]) == ("Harbour", "PENDING_APPROVAL")
    assert "hunter2" not in str(found["value"])
    more = {"redirect_to": slug(crew, "lead")} if action == "redirect" else {}
    assert (await resolve(world, id, action=action, **more)).status_code == 200
    after = await world.database.fetchrow("SELECT status, deleted_at FROM credentials WHERE id = $1", credential)
    assert (after["status"], after["deleted_at"] is not None) == (status, action == "reject")


async def test_a_name_that_is_taken_proposes_nothing(world: World, crew: Crew) -> None:
    proposal = '{"name": "Harbour", "value": "hunter2-hunter2"}'
    await raised(world, crew, type="CREDENTIAL", metadata=proposal)
    await raised(world, crew, type="CREDENTIAL", metadata=proposal)
    last, first = await shown(world, crew)
    assert first["credential_id"]
    assert last["credential_id"] is None
    assert "hunter2" not in last["metadata"]


async def test_those_of_a_crew_are_deleted_and_their_items_stay(world: World, crew: Crew) -> None:
    id = await raised(world, crew)
    path = f"/api/v1/crews/{crew.id}/escalations"
    assert (await world.rest(world.manager, "DELETE", path)).status_code == 403
    assert (await world.rest(world.admin, "DELETE", path)).json() == {"deleted": 1}
    assert await shown(world, crew) == []
    left = (await item(world, id, world.manager)).json()
    assert left["state"] == "unread"
    answer = await world.rest(world.manager, "PATCH", f"/api/v1/inbox/{left['id']}", {"state": "resolved"})
    assert answer.status_code == 200


async def test_a_list_is_of_one_status_and_of_a_live_crew(world: World, crew: Crew) -> None:
    first, second = await raised(world, crew), await raised(world, crew)
    await resolve(world, first)
    for status, expected in (("PENDING", [second]), ("RESOLVED", [first]), ("NONE", []), ("", [second, first])):
        async with world.client(world.viewer) as client:
            query = {"workspace_id": world.workspace.id, "status": status}
            answer = await client.get(f"/api/v1/crews/{crew.id}/escalations", params=query)
        assert [row["id"] for row in answer.json()] == expected, status
    assert (await world.rest(world.viewer, "GET", "/api/v1/crews/none/escalations")).json() == []


async def test_both_channels_are_told(world: World, crew: Crew) -> None:
    since = max([event["seq"] for event in await world.events()], default=0)
    id = await raised(world, crew)
    await resolve(world, id)
    told = [(event["type"], event["payload"]) for event in await world.events(since)]
    of = {"id": id, "crew_id": crew.id, "from_slug": slug(crew)}
    assert ("escalation.created", of | {"reason": "Which way?"}) in told
    assert ("escalation.resolved", of | {"action": "approve"}) in told
    assert ("inbox.updated", {"id": f"ibx_escalation_{id}", "state": "resolved"}) in told
