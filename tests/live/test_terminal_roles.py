"""Who may open a terminal of a crew: people of each role, and people and tokens of none. GraphQL opens none."""

from typing import Any

import pytest

from models.people.workspaces import Role
from models.staff.agents import Agent
from resolvers.kernel.ground.policy import GATES, Action
from tests.every import each_of
from tests.generation.registry import graphql_fields
from tests.live.test_terminal import agent, logged, screen  # noqa: F401 - a fixture
from tests.world import World

pytestmark = pytest.mark.anyio


async def opens(world: World, agent: Agent, person: Any) -> tuple[list[str], bool | None]:  # noqa: F811
    """What the server says, and whether the record of the opened terminal says that its files are read-only."""
    before = len(await logged(world, agent))
    async with screen(world, person, crew_id=agent.crew_id) as shown:
        if person.user_id in members(world):
            await shown.type("touch made; echo $((6*7))-\n", until="42-")
            assert (b"Read-only" in shown.shown) is any("read-only" in each["message"] for each in shown.said)
        else:
            await shown.closed()
            assert shown.shown == b""
        said = [each["message"] for each in shown.said]
    found = (await logged(world, agent))[before:]
    opened = [each["metadata"]["read_only"] for each in found if each["action"] == "terminal.opened"]
    assert len(opened) <= 1
    return said, opened[0] if opened else None


def members(world: World) -> set[str]:
    return {getattr(world, role.value.lower()).user_id for role in Role}


@each_of("role", [*Role])
@pytest.mark.slow
async def test_each_role_opens_one_and_writes_as_it_may_elsewhere(world: World, agent: Agent, role: Role) -> None:  # noqa: F811
    said, read_only = await opens(world, agent, getattr(world, role.value.lower()))
    assert read_only is (role not in GATES[Action.CREATE])
    assert said == (["The files of the crew are read-only"] if read_only else [])


async def test_below_a_manager_the_files_are_read_only(world: World, agent: Agent) -> None:  # noqa: F811
    said, read_only = await opens(world, agent, world.member)
    assert (said, read_only) == (["The files of the crew are read-only"], True)


@each_of("name", ["outsider", "nobody"])
async def test_nobody_else_opens_one(world: World, agent: Agent, name: str) -> None:  # noqa: F811
    said, read_only = await opens(world, agent, getattr(world, name))
    assert read_only is None
    assert len(said) == 1


async def test_graphql_opens_none() -> None:
    assert not [name for name in graphql_fields() if name.startswith("terminals.")]
