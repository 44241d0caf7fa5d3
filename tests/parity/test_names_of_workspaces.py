"""Routes whose path names the workspace: id and slug, in path, query and header, name one workspace or are refused."""

from itertools import product
from typing import Any

import pytest

from resolvers.errors import Code
from resolvers.kernel.declarations.operation import Operation
from tests.every import each_of
from tests.generation.domains import recipe_of
from tests.generation.estate import Estate
from tests.generation.inputs import valid
from tests.generation.registry import operations, routes_of

pytestmark = pytest.mark.anyio

BY_PATH = [
    pytest.param(op, id=op.name) for op in operations() if any("{workspaceId}" in route.path for route in routes_of(op))
]
CARRIERS = ("in_query", "in_header")


def test_there_are_such_routes() -> None:
    assert {"workspaces.get", "workspaces.update", "skills.import"} <= {case.id for case in BY_PATH}


@pytest.mark.slow
@each_of("op", BY_PATH)
async def test_one_workspace_has_two_names(op: Operation[Any], estate: Estate) -> None:
    raw, person, home = valid(op, estate), estate.caller(op), estate.home.workspace
    for path, other, carrier in product((home.id, home.slug), (home.id, home.slug), CARRIERS):
        answer = await estate.call("rest", op, raw, person, workspace=path, **{carrier: other})
        assert answer.code == recipe_of(op.name).refused, f"{path} {carrier}={other}: {answer}"


@each_of("op", BY_PATH)
async def test_two_workspaces_are_refused(op: Operation[Any], estate: Estate) -> None:
    raw, person, home, away = valid(op, estate), estate.caller(op), estate.home.workspace, estate.away.workspace
    for path, other, carrier in product((home.id, home.slug), (away.id, away.slug, "no-such-workspace"), CARRIERS):
        answer = await estate.call("rest", op, raw, person, workspace=path, **{carrier: other})
        assert (answer.code, answer.text) == (
            Code.BAD_REQUEST,
            "workspace_id differs from the workspace of the path",
        ), f"{path} {carrier}={other}: {answer}"
        assert not answer.changes, str(answer)
        stranger = await estate.call("rest", op, raw, estate.world.outsider, workspace=path, **{carrier: other})
        assert (stranger.code, bool(stranger.changes)) == (Code.FORBIDDEN, False), str(stranger)
