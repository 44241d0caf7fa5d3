"""What operations on crews leave behind: rows, audit rows, events, and nothing after a refusal."""

import asyncio
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.crews import Crew, CrewConnection, CrewMember
from models.work.missions import Mission, MissionTask
from resolvers.errors import Code, Refusal
from resolvers.kernel.reader import Column, Shape, intern
from resolvers.staff import crews
from tests.staff.runs.plans import buffers, explain, listening, nodes
from tests.world import World, now, stored

pytestmark = pytest.mark.anyio
ID = intern(Shape((Column("id", "id"),)))


async def last_event(world: World) -> int:
    return int(await world.database.fetchval("SELECT coalesce(max(seq), 0) FROM events"))


async def told(world: World, since: int) -> list[tuple[str, str, dict[str, Any]]]:
    return [(event["type"], event["channel"], event["payload"]) for event in await world.events(since)]


async def audited(world: World, entity_id: str) -> list[tuple[str, str, str, dict[str, Any]]]:
    return [
        (row["action"], row["entity_type"], row["user_id"], row["data"])
        for row in await world.audit()
        if row["entity_id"] == entity_id
    ]


async def create(world: World, slug: str, **fields: Any) -> str:
    answer = await world.rest(world.manager, "POST", "/api/v1/crews", {"name": f"Crew {slug}", "slug": slug, **fields})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def with_mission(world: World, crew_id: str) -> Mission:
    """A lead, a mission and a task of it."""
    here = {"workspace_id": world.workspace.id}
    lead = Agent(crew_id=crew_id, name="Lead", slug=f"lead-{new_id()[:12]}", **here)
    mission = Mission(crew_id=crew_id, lead_agent_id=lead.id, trace_id=new_id(), title="Sail", **here)
    await world.add(lead, mission, MissionTask(mission_id=mission.id, title="Hoist", **here))
    return mission


async def rows(world: World, table: str, column: str, value: str) -> int:
    return int(await world.database.fetchval(f"SELECT count(*) FROM {table} WHERE {column} = $1", value))


async def test_each_change_is_told_and_audited_once(world: World) -> None:
    since, channel = await last_event(world), f"workspace:{world.workspace.id}"
    id = await create(world, "told", services_json='[{"name": "db", "image": "p", "env": {"PASSWORD": "hunter2"}}]')
    await world.rest(
        world.admin,
        "PATCH",
        f"/api/v1/crews/{id}",
        {"name": "New", "mcp_config_json": '{"mcpServers": {"a": {"env": {"TOKEN": "hunter2"}}}}'},
    )
    await world.rest(world.admin, "PUT", f"/api/v1/crews/{id}", {"slug": "newer"})
    await world.rest(world.admin, "DELETE", f"/api/v1/crews/{id}")
    assert await told(world, since) == [
        ("crew.created", channel, {"id": id, "name": "Crew told", "slug": "told"}),
        ("crew.updated", channel, {"id": id, "name": "New", "slug": "told"}),
        ("crew.updated", channel, {"id": id, "name": "New", "slug": "newer"}),
        ("crew.deleted", channel, {"id": id}),
    ]
    admin, manager = world.admin.user_id, world.manager.user_id
    assert await audited(world, id) == [
        ("crew.created", "CREW", manager, {"name": "Crew told", "slug": "told"}),
        ("crew.updated", "CREW", admin, {"fields": ["mcp_config_json", "name"]}),
        ("crew.updated", "CREW", admin, {"fields": ["slug"]}),
        ("crew.deleted", "CREW", admin, {"name": "New", "slug": "newer"}),
    ]
    assert await world.database.fetchval("SELECT created_by FROM crews WHERE id = $1", id) == manager


async def test_a_deletion_takes_missions_tasks_and_memberships_and_leaves_the_rest(world: World) -> None:
    id, other = await create(world, "doomed"), await create(world, "spared")
    mission, kept = await with_mission(world, id), await with_mission(world, other)
    here = {"workspace_id": world.workspace.id}
    await world.add(
        CrewMember(crew_id=id, user_id=world.member.user_id, **here),
        CrewMember(crew_id=other, user_id=world.member.user_id, **here),
        CrewConnection(from_crew_id=id, to_crew_id=other, **here),
    )
    assert (await world.rest(world.admin, "DELETE", f"/api/v1/crews/{id}")).status_code == 200
    assert [
        await rows(world, "missions", "crew_id", id),
        await rows(world, "mission_tasks", "mission_id", mission.id),
        await rows(world, "crew_members", "crew_id", id),
    ] == [0, 0, 0]
    assert [
        await rows(world, "missions", "crew_id", other),
        await rows(world, "mission_tasks", "mission_id", kept.id),
        await rows(world, "crew_members", "crew_id", other),
    ] == [1, 1, 1]
    assert await rows(world, "agents", "crew_id", id) == 1
    assert await world.database.fetchval("SELECT deleted_at IS NULL FROM agents WHERE crew_id = $1", id)
    assert await rows(world, "crew_connections", "from_crew_id", id) == 1
    row = await world.database.fetchrow("SELECT slug, deleted_at FROM crews WHERE id = $1", id)
    assert row["slug"] == "doomed"  # renamed when the slug is wanted again
    assert row["deleted_at"] is not None


async def test_a_slug_wanted_again_renames_its_line_and_frees_identifiers(world: World) -> None:
    here = {"workspace_id": world.workspace.id}
    id = new_id()
    oldest = Crew(id=id, name="Oldest", slug=f"phoenix_deleted_{id}", deleted_at=now(), **here)
    old = Crew(name="Old", slug="phoenix", deleted_at=now(), **here)
    foreign = Crew(name="Foreign", slug="phoenix", deleted_at=now(), workspace_id=world.other.id)
    stranger = Crew(name="Stranger", slug="phoenix_deleted_of_another", deleted_at=now(), **here)
    alive = Crew(name="Alive", slug="phoenix-two", **here)
    await world.add(oldest, old, foreign, stranger, alive)
    missions = [await with_mission(world, crew.id) for crew in (oldest, old, stranger, alive)]
    new = await create(world, "phoenix")
    slugs = {
        row["id"]: row["slug"]
        for row in await world.database.fetch("SELECT id, slug FROM crews WHERE slug LIKE 'phoenix%'")
    }
    assert slugs == {
        oldest.id: f"phoenix_deleted_{oldest.id}",
        old.id: f"phoenix_deleted_{old.id}",
        foreign.id: "phoenix",
        stranger.id: "phoenix_deleted_of_another",
        alive.id: "phoenix-two",
        new: "phoenix",
    }
    assert [await rows(world, "missions", "id", mission.id) for mission in missions] == [0, 0, 1, 1]
    assert [await rows(world, "mission_tasks", "mission_id", mission.id) for mission in missions] == [0, 0, 1, 1]


async def test_a_refused_creation_leaves_the_line_of_its_slug_alone(world: World) -> None:
    old = Crew(name="Old", slug="asleep", deleted_at=now(), workspace_id=world.workspace.id)
    await world.add(old)
    await with_mission(world, old.id)
    before = await world.snapshot()
    answer = await world.rest(
        world.manager, "POST", "/api/v1/crews", {"name": "New", "slug": "asleep", "runtime_image": "Not An Image"}
    )
    assert answer.status_code == 400
    assert await world.snapshot() == before


async def test_of_two_who_want_a_slug_one_gets_it(world: World) -> None:
    for number in range(8):
        slug = f"wanted-{number}"
        await world.add(Crew(name="Old", slug=slug, deleted_at=now(), workspace_id=world.workspace.id))
        since = await last_event(world)
        body = {"name": "Racer", "slug": slug}
        answers = await asyncio.gather(*[world.rest(world.manager, "POST", "/api/v1/crews", body) for _ in range(4)])
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
        assert {answer.json()["error"] for answer in answers if answer.status_code == 409} == {
            "A crew with this slug already exists"
        }
        assert (
            await world.database.fetchval("SELECT count(*) FROM crews WHERE slug = $1 AND deleted_at IS NULL", slug)
            == 1
        )
        assert [kind for kind, *_ in await told(world, since)] == ["crew.created"]


async def test_refusals_carry_their_code(world: World) -> None:
    """Called without a surface, as the rest of the server calls them."""
    raw, place = {"name": "Direct", "slug": "direct"}, world.workspace.id
    answer = await crews.create_crew(world.manager.caller, raw, ID, place=place)
    assert answer.version == 1
    for operation, person, given, code in [
        (crews.create_crew, world.manager, raw, Code.CONFLICT),
        (crews.create_crew, world.member, raw, Code.FORBIDDEN),
        (crews.create_crew, world.manager, {**raw, "slug": "other", "network_mode": "open"}, Code.BAD_REQUEST),
        (crews.delete_crew, world.admin, {"id": new_id()}, Code.NOT_FOUND),
        (crews.delete_crew, world.manager, {"id": new_id()}, Code.FORBIDDEN),
    ]:
        before = await world.snapshot()
        with pytest.raises(Refusal) as refused:
            await operation(person.caller, given, ID, place=place)
        assert refused.value.code is code
        assert await world.snapshot() == before


@pytest.mark.slow
async def test_a_slug_is_released_by_an_index(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many deleted crews there are: what a new one costs does not grow with them."""
    columns = stored(Crew)
    copies = (
        "SELECT (jsonb_populate_record(c, jsonb_build_object('id', 'd' || n, 'slug', 'old-' || n ||"
        " '_deleted_d' || n, 'deleted_at', now()))).* FROM crews c, generate_series(1, 3000) n WHERE id = $1"
    )
    id = await create(world, "released")
    await world.database.execute(f"INSERT INTO crews ({columns}) SELECT {columns} FROM ({copies}) AS made", id)
    await world.database.execute("ANALYZE crews")
    with listening(monkeypatch) as sent:
        await create(world, "old-7")
    releases = [(query, args) for query, args in sent if query.startswith("UPDATE crews")]
    [plan] = await explain(world, releases, "crews")
    assert buffers([plan]) < 100
    assert not [node for node in nodes(plan) if node["Node Type"] == "Seq Scan"]
    await world.database.execute("DELETE FROM crews WHERE id LIKE 'd%'")
