"""Columns of closed sets: what is loaded has their members, by whatever door it comes, and the database holds them."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlmodel import col

from models.base import CHOICES, Row, enums_of, table_of
from models.people.workspaces import Role
from models.staff.agents import Agent, AgentRole, AgentStatus, LeadMode, LlmProvider
from models.staff.crews import Crew, CrewMember
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.ground.inputs import ById
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.store.statements import load
from resolvers.kernel.writing.command import command
from resolvers.kernel.writing.context import Context
from tests.every import for_every
from tests.world import World

pytestmark = pytest.mark.anyio
SEEN: list[Any] = []


def models(kind: type[Row] = Row) -> Iterator[type[Row]]:
    for child in kind.__subclasses__():
        if hasattr(child, "__table__"):
            yield child
        yield from models(child)


ENUMS = [pytest.param(model, name, id=f"{model.__name__}.{name}") for model in models() for name, _ in enums_of(model)]


@for_every(ENUMS)
def test_every_member_is_loaded_as_what_it_is(model: type[Row], name: str) -> None:
    column = table_of(model).c[name]
    for member in column.info[CHOICES]:
        row = load(model, dict.fromkeys(table_of(model).c.keys()) | {name: member.value})
        assert row.__dict__[name] is member
    assert load(model, dict.fromkeys(table_of(model).c.keys())).__dict__[name] is None


def test_a_field_of_a_closed_set_is_its_column_its_check_and_its_default() -> None:
    table = table_of(Agent)
    check = next(str(c.sqltext) for c in table.constraints if c.name == "agents_lead_mode_check")  # type: ignore[attr-defined]
    assert check == "lead_mode IN ('active', 'passive')"
    assert (table.c.lead_mode.nullable, table.c.status.nullable) == (True, False)
    agent = Agent(workspace_id="w", name="Ada", slug="ada")
    assert agent.status is AgentStatus.IDLE
    assert agent.lead_mode is None


def test_what_is_no_member_is_no_row() -> None:
    with pytest.raises(KeyError, match="SOMETHING"):
        load(Agent, dict.fromkeys(table_of(Agent).c.keys()) | {"status": "SOMETHING"})


@pytest.fixture(scope="module")
def look() -> Iterator[Any]:
    @command("test.look", Action.CREATE)
    async def made(ctx: Context, data: ById) -> None:
        """Loads an agent by every door."""
        selection = ctx.select(Agent, col(Agent.id) == data.id)
        upserted = Agent(
            id=data.id,
            name="Ada",
            slug="ada",
            agent_role=AgentRole.LEAD,
            lead_mode=LeadMode.active,
            llm_provider=LlmProvider.OLLAMA,
        )
        SEEN[:] = [
            await ctx.upsert(upserted, "id"),
            await ctx.get(Agent, data.id),
            await ctx.get(Agent, data.id, lock=True),
            *await selection.all(),
            await selection.first(),
            await ctx.update(Agent, data.id, name="Ada"),
            await ctx.unchanged(Agent, data.id),
            await ctx.delete(Agent, data.id),
        ]
        member: Any = await ctx.select(CrewMember).one()
        SEEN.append((ctx.role, member.role))

    yield made
    del OPERATIONS["test.look"]


async def test_every_door_gives_members(world: World, look: Any) -> None:
    here = {"workspace_id": world.workspace.id}
    agent, crew = Agent(name="Ada", slug="ada", **here), Crew(name="Engine", slug="engine", **here)
    await world.add(agent, crew, CrewMember(crew_id=crew.id, user_id=world.member.user_id, role=Role.ADMIN, **here))
    await look(world.owner.caller, {"id": agent.id}, place=world.workspace.id)
    *rows, roles = SEEN
    assert len(rows) == 8
    for row in rows:
        assert row.agent_role is AgentRole.LEAD
        assert row.lead_mode is LeadMode.active
        assert row.status is AgentStatus.IDLE
        assert row.llm_provider is LlmProvider.OLLAMA
    assert roles[0] is Role.OWNER
    assert roles[1] is Role.ADMIN
