"""REST: which crew may talk to which."""

import asyncio
import re

import pytest

from models.base import new_id
from models.staff.crews import Crew, CrewConnection
from tests.world import World, now

pytestmark = pytest.mark.anyio
CONNECTIONS = "/api/v1/crew-connections"


@pytest.fixture
async def pair(world: World) -> tuple[Crew, Crew]:
    number = await world.database.fetchval("SELECT count(*) FROM crews")
    here = {"workspace_id": world.workspace.id}
    made = Crew(name="Engine", slug=f"engine-{number}", **here), Crew(name="Deck", slug=f"deck-{number}", **here)
    await world.add(*made)
    return made


async def test_a_connection_lives(world: World, pair: tuple[Crew, Crew]) -> None:
    engine, deck = pair
    answer = await world.rest(world.manager, "POST", CONNECTIONS, {"from_crew_id": engine.id, "to_crew_id": deck.id})
    assert answer.status_code == 201
    id = answer.json()["id"]
    assert answer.json() == {"id": id}
    assert re.fullmatch("cc_[0-9a-f]{16}", id)
    back = (
        await world.rest(
            world.manager,
            "POST",
            CONNECTIONS,
            {"from_crew_id": deck.id, "to_crew_id": engine.id, "direction": "unidirectional"},
        )
    ).json()["id"]
    listed = (await world.rest(world.viewer, "GET", CONNECTIONS)).json()
    assert [connection["id"] for connection in listed[:2]] == [back, id]
    assert listed[1] == {
        "id": id,
        "workspace_id": world.workspace.id,
        "from_crew_id": engine.id,
        "from_crew_name": "Engine",
        "from_crew_slug": engine.slug,
        "to_crew_id": deck.id,
        "to_crew_name": "Deck",
        "to_crew_slug": deck.slug,
        "direction": "bidirectional",
        "status": "active",
        "created_at": listed[1]["created_at"],
        "updated_at": listed[1]["created_at"],
    }
    assert listed[0]["direction"] == "unidirectional"
    gone = await world.rest(world.manager, "DELETE", f"{CONNECTIONS}/{id}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert await world.database.fetchval("SELECT count(*) FROM crew_connections WHERE id = $1", id) == 0
    again = await world.rest(world.manager, "DELETE", f"{CONNECTIONS}/{id}")
    assert (again.status_code, again.json()["detail"]) == (404, "Connection not found")


async def test_connections_of_deleted_crews_are_still_listed(world: World, pair: tuple[Crew, Crew]) -> None:
    engine, deck = pair
    await world.rest(world.manager, "POST", CONNECTIONS, {"from_crew_id": engine.id, "to_crew_id": deck.id})
    await world.rest(world.admin, "DELETE", f"/api/v1/crews/{engine.id}")
    listed = (await world.rest(world.viewer, "GET", CONNECTIONS)).json()
    assert (listed[0]["from_crew_name"], listed[0]["from_crew_slug"], listed[0]["to_crew_name"]) == (
        "Engine",
        engine.slug,
        "Deck",
    )


async def test_refusals_write_nothing(world: World, pair: tuple[Crew, Crew]) -> None:
    engine, deck = pair
    here = {"workspace_id": world.workspace.id}
    gone, far = (
        Crew(name="Gone", slug=f"gone-{engine.slug}", deleted_at=now(), **here),
        Crew(name="Far", slug=f"far-{engine.slug}", workspace_id=world.other.id),
    )
    known = CrewConnection(from_crew_id=engine.id, to_crew_id=deck.id, **here)
    await world.add(gone, far, known)
    before = await world.snapshot()
    for sent, status, text in [
        ({"to_crew_id": deck.id}, 400, "from_crew_id: is required"),
        ({"from_crew_id": engine.id, "to_crew_id": ""}, 400, "to_crew_id: must not be empty"),
        ({"from_crew_id": engine.id, "to_crew_id": engine.id}, 400, "A crew cannot be connected to itself"),
        (
            {"from_crew_id": engine.id, "to_crew_id": deck.id, "direction": "sideways"},
            400,
            "direction: must be 'bidirectional' or 'unidirectional'",
        ),
        ({"from_crew_id": engine.id, "to_crew_id": new_id()}, 404, "Crew not found"),
        ({"from_crew_id": gone.id, "to_crew_id": deck.id}, 404, "Crew not found"),
        ({"from_crew_id": engine.id, "to_crew_id": far.id}, 404, "Crew not found"),
        ({"from_crew_id": engine.id, "to_crew_id": deck.id}, 409, "These crews are already connected"),
        (
            {"from_crew_id": engine.id, "to_crew_id": deck.id, "direction": "unidirectional"},
            409,
            "These crews are already connected",
        ),
    ]:
        answer = await world.rest(world.manager, "POST", CONNECTIONS, sent)
        body = answer.json()
        assert (answer.status_code, body["status"], body["detail"]) == (status, status, text)
    assert (await world.rest(world.member, "POST", CONNECTIONS, {})).status_code == 403
    assert (await world.rest(world.member, "DELETE", f"{CONNECTIONS}/{known.id}")).status_code == 403
    assert (
        await world.rest(world.outsider, "DELETE", f"{CONNECTIONS}/{known.id}", workspace="other")
    ).status_code == 404
    assert await world.snapshot() == before


async def test_of_two_who_connect_the_same_crews_one_does(world: World, pair: tuple[Crew, Crew]) -> None:
    body = {"from_crew_id": pair[0].id, "to_crew_id": pair[1].id, "direction": ""}
    answers = await asyncio.gather(*[world.rest(world.manager, "POST", CONNECTIONS, body) for _ in range(4)])
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
