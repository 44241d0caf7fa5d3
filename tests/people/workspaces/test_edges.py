"""What hangs on a workspace keeps its own gate, on whatever way it is reached."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from models.people.workspaces import Membership, Role, Workspace
from resolvers.errors import Code, Refusal
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.reader import GRAPHS, Column, Nested, Shape, extend, intern, many
from resolvers.people import workspaces
from tests.world import Person, World

pytestmark = pytest.mark.anyio
ROLES = intern(Shape((Column("role", "role"),), "list"))
ROW = intern(Shape((Column("slug", "slug"), Nested("guarded", "guarded", ROLES))))
LIST = intern(Shape(ROW.fields, "list"))


@pytest.fixture(scope="module", autouse=True)
def _guarded() -> Iterator[None]:
    """An edge for owners alone."""
    extend(Workspace, guarded=many(Membership, "workspace_id", order_by=Membership.id, requires=Action.OWNER))
    yield
    del GRAPHS[Workspace]["guarded"]


async def run(world: World, person: Person, operation: Any, raw: dict[str, Any], shape: Shape) -> Any:
    caller = person.caller
    caller.workspace = world.workspace.id
    return orjson.loads((await operation(caller, raw, shape)).body)


async def refused(world: World, person: Person, operation: Any, raw: dict[str, Any], shape: Shape) -> Code:
    before = await world.snapshot()
    with pytest.raises(Refusal) as caught:
        await run(world, person, operation, raw, shape)
    assert await world.snapshot() == before
    return caught.value.code


async def test_a_read_needs_the_role_of_its_edges(world: World) -> None:
    assert len((await run(world, world.owner, workspaces.get_workspace, {}, ROW))["guarded"]) == len(Role)
    assert await refused(world, world.admin, workspaces.get_workspace, {}, ROW) is Code.FORBIDDEN


async def test_no_role_is_guessed_where_a_call_spans_workspaces(world: World) -> None:
    for person in (world.owner, world.viewer):
        assert await refused(world, person, workspaces.list_workspaces, {}, LIST) is Code.FORBIDDEN
        shape = intern(Shape((Nested("workspaces", "workspaces", LIST),)))
        assert await refused(world, person, workspaces.get_viewer, {}, shape) is Code.FORBIDDEN


async def test_the_answer_of_a_write_needs_the_role_of_its_edges(world: World) -> None:
    assert await refused(world, world.admin, workspaces.update_workspace, {"name": "Renamed"}, ROW) is Code.FORBIDDEN
    assert len(
        (await run(world, world.owner, workspaces.update_workspace, {"name": "Renamed"}, ROW))["guarded"]
    ) == len(Role)
    made = await run(world, world.viewer, workspaces.create_workspace, {"name": "Own", "slug": "own"}, ROW)
    assert made == {"slug": "own", "guarded": [{"role": "OWNER"}]}
