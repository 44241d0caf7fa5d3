"""Avatars of a crew's agents, and what containers can be built with."""

from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.crews import Crew
from tests.world import World

pytestmark = pytest.mark.anyio


async def manned(world: World) -> tuple[Crew, Agent]:
    here = {"workspace_id": world.workspace.id}
    crew = Crew(name="Engine", slug=new_id(), avatar_style="thumbs", **here)
    await world.add(crew)
    agent = Agent(name="Ada", slug=new_id(), crew_id=crew.id, avatar_style="thumbs", **here)
    await world.add(agent)
    return crew, agent


async def apply(world: World, crew: Crew, body: Any) -> Any:
    return await world.rest(world.admin, "POST", f"/api/v1/crews/{crew.id}/apply-avatar-style", body)


async def styles(world: World, crew: Crew, agent: Agent) -> tuple[str | None, str | None]:
    of_agent = await world.database.fetchval("SELECT avatar_style FROM agents WHERE id = $1", agent.id)
    return await world.database.fetchval("SELECT avatar_style FROM crews WHERE id = $1", crew.id), of_agent


async def test_one_style_for_all_and_back(world: World) -> None:
    crew, agent = await manned(world)
    assert (await apply(world, crew, {"avatar_style": "bottts"})).json() == {"updated": 1, "style": "bottts"}
    assert await styles(world, crew, agent) == ("thumbs", "bottts")
    sent = {"avatar_style": "x", "reset_overrides": True}
    assert (await apply(world, crew, sent)).json() == {"updated": 1, "reset": True}
    assert await styles(world, crew, agent) == ("thumbs", None)


@pytest.mark.parametrize("body", [{}, {"avatar_style": ""}, {"avatar_style": 5}])
async def test_without_a_style_nothing_changes(world: World, body: Any) -> None:
    crew, agent = await manned(world)
    assert (await apply(world, crew, body)).status_code == 400
    assert await styles(world, crew, agent) == ("thumbs", "thumbs")


@pytest.mark.parametrize(
    ("kind", "search", "names"),
    [
        ("features", "GitHub", ["GitHub CLI"]), ("features", "zzz", []), ("runtimes", "TERRA", ["Terraform"]),
        ("runtimes", "databases", ["PostgreSQL", "Redis", "MySQL"]),
    ],
)  # fmt: skip
async def test_the_catalogs_are_searched(world: World, kind: str, search: str, names: list[str]) -> None:
    async with world.client(world.outsider) as client:
        whole = (await client.get(f"/api/v1/{kind}/catalog")).json()[kind]
        found = (await client.get(f"/api/v1/{kind}/catalog", params={"search": search})).json()[kind]
    assert len(whole) == {"features": 12, "runtimes": 30}[kind]
    assert [each["name"] for each in found] == names
