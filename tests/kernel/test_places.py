"""In which of the caller's workspaces a row is, for operations outside any; and rows that belong to a person."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from models.base import new_id
from models.people.workspaces import Membership, Role
from models.work.labels import Label
from resolvers.errors import Code, Refusal
from resolvers.kernel.admission.gate import Entity, Tenancy
from resolvers.kernel.declarations.operation import NO_SURFACE, OPERATIONS
from resolvers.kernel.declarations.outputs import Output
from resolvers.kernel.ground.inputs import Id, Input
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.writing.command import command
from resolvers.kernel.writing.context import Context
from tests.world import Person, World

pytestmark = pytest.mark.anyio


class OfLabel(Input):
    label_id: Id


class Found(Output):
    workspace_id: str
    memberships: int


@pytest.fixture
def place() -> Iterator[Any]:
    @command("test.place", Action.SELF, tenancy=Tenancy.NONE, surfaces=NO_SURFACE, errors=(Code.NOT_FOUND,))
    async def find(ctx: Context, data: OfLabel) -> Found:
        """Find the place of a label."""
        found = await ctx.place_of(Entity(Label, "label_id"), data.label_id)
        return Found(workspace_id=found, memberships=len(await ctx.own_roles()))

    yield find
    del OPERATIONS["test.place"]


async def label(world: World, workspace_id: str) -> str:
    made = Label(id=new_id(), workspace_id=workspace_id, name=new_id(), color="#000000")
    await world.add(made)
    return made.id


async def ask(place: Any, person: Person, label_id: str) -> Any:
    return orjson.loads((await place(person.caller, {"label_id": label_id})).body)


async def test_it_is_found_wherever_the_caller_belongs(world: World, place: Any) -> None:
    here, there = await label(world, world.workspace.id), await label(world, world.other.id)
    await world.add(Membership(workspace_id=world.other.id, user_id=world.viewer.user_id, role=Role.VIEWER))
    for id, expected in ((here, world.workspace.id), (there, world.other.id)):
        assert (await ask(place, world.viewer, id))["workspace_id"] == expected


async def test_what_follows_is_outside_any_workspace_again(world: World, place: Any) -> None:
    found = await ask(place, world.viewer, await label(world, world.workspace.id))
    own = await world.database.fetchval("SELECT count(*) FROM memberships WHERE user_id = $1", world.viewer.user_id)
    assert found["memberships"] == own


async def test_what_is_elsewhere_and_what_is_nowhere_are_the_same(world: World, place: Any) -> None:
    told = set()
    for id in (await label(world, world.other.id), new_id()):
        with pytest.raises(Refusal) as refused:
            await ask(place, world.member, id)
        told.add((refused.value.code, refused.value.detail))
    assert told == {(Code.NOT_FOUND, "Label not found")}
