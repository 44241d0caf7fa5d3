"""What a command asks with its gate: whether the workspace has rows of a kind."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from sqlmodel import col

from models.people.auth import User
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.labels import Label
from resolvers.kernel.admission.gate import Tenancy
from resolvers.kernel.admission.subject import Subject
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.declarations.outputs import Output
from resolvers.kernel.ground.inputs import ById, NoInput
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.reader import Column, Shape, intern
from resolvers.kernel.store.existence import Existence
from resolvers.kernel.writing.command import command
from resolvers.kernel.writing.context import Context
from tests.round_trips import sent
from tests.world import World

pytestmark = pytest.mark.anyio
RED = Existence(Label, col(Label.color) == "asked red")
DOZING = Existence(Agent, col(Agent.slug) == "asked")
SHAPE = intern(Shape((Column("red", "red"), Column("dozing", "dozing"), Column("slug", "slug"))))


class Missing(Output):
    red: bool
    dozing: bool
    slug: str


@pytest.fixture(scope="module")
def ask() -> Iterator[Any]:
    known = set(OPERATIONS)

    @command("test.ask", Action.CREATE, subject=Subject(Crew), asks=(RED, DOZING))
    async def ask(ctx: Context, crew: Crew, data: ById) -> Missing:
        """Asks."""
        return Missing(red=RED.none(ctx), dozing=DOZING.none(ctx), slug=crew.slug)

    @command("test.do_not_ask", Action.CREATE)
    async def do_not_ask(ctx: Context, data: NoInput) -> Missing:
        """Asks for nothing."""
        return Missing(red=RED.none(ctx), dozing=DOZING.none(ctx), slug="")

    yield OPERATIONS
    for name in set(OPERATIONS) - known:
        del OPERATIONS[name]


def caller(world: World) -> Any:
    made = world.owner.caller
    made.workspace = world.workspace.id
    return made


async def asked(world: World, ask: Any, crew: Crew) -> tuple[bool, bool, str]:
    found = orjson.loads((await ask["test.ask"](caller(world), {"id": crew.id}, SHAPE)).body or b"{}")
    return found["red"], found["dozing"], found["slug"]


async def test_the_gate_says_what_a_workspace_has(world: World, ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = {"workspace_id": world.workspace.id}, {"workspace_id": world.other.id}
    crew = Crew(name="Asks", slug="asks", **here)
    elsewhere = Crew(name="Asks", slug="asks", **there)
    await world.add(crew, elsewhere)
    assert await asked(world, ask, crew) == (True, True, "asks")
    await world.add(Label(name="elsewhere", color="asked red", **there), Label(name="blue", color="asked blue", **here))
    await world.add(Agent(crew_id=elsewhere.id, name="a", slug="asked", **there))
    assert await asked(world, ask, crew) == (True, True, "asks")
    agent = Agent(crew_id=crew.id, name="a", slug="asked", **here)
    await world.add(Label(name="red", color="asked red", **here), agent)
    with sent(monkeypatch) as trips:
        assert await asked(world, ask, crew) == (False, False, "asks")
    assert trips == ["SELECT"]
    await world.database.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", agent.id)
    assert await asked(world, ask, crew) == (False, True, "asks")


async def test_what_was_not_asked_for_counts_as_being_there(world: World, ask: Any) -> None:
    answer = await ask["test.do_not_ask"](caller(world), {}, SHAPE)
    assert b"true" not in answer.body


def test_no_workspace_has_no_rows() -> None:
    with pytest.raises(TypeError, match="User is of no workspace"):
        Existence(User)
    with pytest.raises(TypeError, match="no workspace is known"):

        @command("test.ask_nobody", Action.SELF, tenancy=Tenancy.NONE, asks=RED)
        async def ask_nobody(ctx: Context, data: NoInput) -> None:
            """Asks nobody."""
