"""Stored pictures of agents: who stores them, how they are shown, and when they go."""

from typing import Any

import pytest

from models.attention.inbox import InboxItem, InboxKind, SenderType, inbox_item_id
from models.people.workspaces import Role
from models.staff.agents import Agent
from models.staff.crews import Crew, CrewMember
from tests.every import each_of
from tests.staff.agents.cases import SVG
from tests.world import Person, World

pytestmark = pytest.mark.anyio
FORMS: Any = {"seed": {"avatar_seed": "b"}, "style": {"avatar_style": "b"}, "slug": {"slug": "another"}}


async def made(world: World, **values: Any) -> Agent:
    agent = Agent(name="Ada", slug=f"a{len(values)}", workspace_id=world.workspace.id, **values)
    agent.slug = f"a-{agent.id}"
    await world.add(agent)
    return agent


def path(agent: Agent) -> str:
    return f"/api/v1/agents/{agent.id}/avatar"


async def store(world: World, agent: Agent, person: Person | None = None, svg: Any = SVG) -> Any:
    return await world.rest(person or world.owner, "PUT", path(agent), {"svg": svg})


async def url_of(world: World, agent: Agent) -> Any:
    return (await world.rest(world.owner, "GET", f"/api/v1/agents/{agent.id}")).json()["avatar_url"]


async def pictures(world: World, agent: Agent) -> int:
    found = await world.database.fetchval("SELECT count(*) FROM agent_avatars WHERE agent_id = $1", agent.id)
    return int(found)


async def test_a_picture_is_stored_once_and_shown(world: World) -> None:
    agent = await made(world)
    assert await url_of(world, agent) is None
    assert (await world.rest(world.viewer, "GET", path(agent))).status_code == 404
    answer = await store(world, agent)
    assert answer.status_code == 200, answer.text
    url = answer.json()["avatar_url"]
    assert url.startswith(f"/api/v1/agents/{agent.id}/avatar?v=")
    assert url.endswith(f"&workspace_id={world.workspace.id}")
    assert url == await url_of(world, agent)
    assert url in {row["avatar_url"] for row in (await world.rest(world.owner, "GET", "/api/v1/agents")).json()}
    assert (await store(world, agent)).status_code == 409
    async with world.client(world.viewer) as client:
        shown = await client.get(url)
    assert (shown.status_code, shown.text) == (200, SVG)
    assert shown.headers["content-type"] == "image/svg+xml"
    assert shown.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert shown.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert shown.headers["x-content-type-options"] == "nosniff"
    asked = "query($ws: ID!, $id: ID!) { agent(workspaceId: $ws, id: $id) { avatarUrl } }"
    answer = await world.graphql(world.owner, asked, {"id": agent.id})
    assert answer["data"] == {"agent": {"avatarUrl": url}}
    for _ in range(2):
        assert (await world.rest(world.owner, "DELETE", path(agent))).status_code == 204
        assert await url_of(world, agent) is None
    assert await pictures(world, agent) == 0
    assert (await store(world, agent)).status_code == 200, "it can be stored anew"


@each_of(
    "svg",
    [
        "<svg><script/></svg>",
        "",
        None,
        7,
        "<svg>" + " " * (64 << 10) + "</svg>",
        "<svg><title>" + "\u00e4" * 33_000 + "</title></svg>",
    ],
)
async def test_what_is_refused_stores_nothing(world: World, svg: Any) -> None:
    agent = await made(world)
    before = await world.snapshot()
    assert (await store(world, agent, svg=svg)).status_code == 400
    assert await world.snapshot() == before


async def test_who_may_edit_an_agent_may_store_its_picture(world: World) -> None:
    crew = Crew(name="Crew", slug="crew-of-pictures", workspace_id=world.workspace.id)
    led = CrewMember(crew_id=crew.id, user_id=world.manager.user_id, role=Role.ADMIN, workspace_id=world.workspace.id)
    await world.add(crew, led)
    own, of_crew, other = (
        await made(world, created_by_user_id=world.manager.user_id),
        await made(world, crew_id=crew.id),
        await made(world),
    )
    for agent, person, status in (
        (own, world.manager, 200),
        (of_crew, world.manager, 200),
        (other, world.manager, 403),
        (other, world.member, 403),
        (other, world.viewer, 403),
        (other, world.outsider, 403),
        (other, world.admin, 200),
    ):
        assert (await store(world, agent, person)).status_code == status, person.name
        if status == 403:
            assert (await world.rest(person, "DELETE", path(agent))).status_code == 403
    for person, status in ((world.owner, 404), (world.admin, 404), (world.manager, 403)):
        answer = await world.rest(person, "PUT", "/api/v1/agents/unknown/avatar", {"svg": SVG})
        assert answer.status_code == status


@each_of("change", list(FORMS))
async def test_a_picture_goes_when_what_it_was_drawn_by_changes(world: World, change: str) -> None:
    agent = await made(world, avatar_seed="a", avatar_style="a")
    await store(world, agent)
    kept = {"name": "Grace", "avatar_seed": "a", "avatar_style": "a", "slug": agent.slug}
    assert (await world.rest(world.owner, "PATCH", f"/api/v1/agents/{agent.id}", kept)).status_code == 200
    assert await url_of(world, agent) is not None
    answer = await world.rest(world.owner, "PATCH", f"/api/v1/agents/{agent.id}", FORMS[change])
    assert (answer.status_code, answer.json()["avatar_url"]) == (200, None)
    assert await pictures(world, agent) == 0


async def test_a_crews_style_concerns_agents_without_their_own(world: World) -> None:
    crew = Crew(name="Crew", slug="crew-of-styles", avatar_style="a", workspace_id=world.workspace.id)
    await world.add(crew)
    inherits, own, elsewhere = (
        await made(world, crew_id=crew.id),
        await made(world, crew_id=crew.id, avatar_style="b"),
        await made(world),
    )
    agents = (inherits, own, elsewhere)
    for agent in agents:
        await store(world, agent)

    async def left() -> list[bool]:
        return [await url_of(world, agent) is not None for agent in agents]

    changed = await world.rest(world.owner, "PATCH", f"/api/v1/crews/{crew.id}", {"avatar_style": "a", "name": "Other"})
    assert (changed.status_code, await left()) == (200, [True, True, True])
    await world.rest(world.owner, "PATCH", f"/api/v1/crews/{crew.id}", {"avatar_style": "c"})
    assert await left() == [False, True, True]
    await store(world, inherits)
    applied = await world.rest(
        world.owner, "POST", f"/api/v1/crews/{crew.id}/apply-avatar-style", {"avatar_style": "d"}
    )
    assert (applied.status_code, await left()) == (200, [False, False, True])


async def test_a_deleted_agent_leaves_no_picture(world: World) -> None:
    agent = await made(world)
    await store(world, agent)
    assert (await world.rest(world.owner, "DELETE", f"/api/v1/agents/{agent.id}")).status_code == 200
    assert await pictures(world, agent) == 0


async def test_the_inbox_shows_the_picture_of_a_sender(world: World) -> None:
    agent = await made(world)
    item = InboxItem(
        id=inbox_item_id(InboxKind.message, agent.id),
        kind=InboxKind.message,
        source_id=agent.id,
        title="Hello",
        sender_type=SenderType.agent,
        sender_id=agent.id,
        workspace_id=world.workspace.id,
    )
    await world.add(item)
    shown = f"/api/v1/inbox/{item.id}"
    assert "avatar_url" not in (await world.rest(world.owner, "GET", shown)).json()
    url = (await store(world, agent)).json()["avatar_url"]
    assert (await world.rest(world.owner, "GET", shown)).json()["avatar_url"] == url
