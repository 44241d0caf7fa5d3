"""Every command sent twice with one Idempotency-Key: carried out once, and answered the same way both times."""

from typing import Any

import pytest

from resolvers.errors import Code
from resolvers.kernel.declarations.operation import Auth, Operation, Surface
from tests.every import each_of
from tests.generation.domains import recipe_of
from tests.generation.estate import Estate
from tests.generation.inputs import valid
from tests.generation.registry import operations, routes_of

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

KEYED = [
    pytest.param(op, id=op.name)
    for op in operations()
    if op.kind == "command"
    and op.auth in (Auth.USER, Auth.INTERNAL)
    and Surface.REST in op.surfaces
    and recipe_of(op.name).refused is None
    and routes_of(op)[0].upload is None  # a file is not kept to be compared with
]


@each_of("op", KEYED)
async def test_a_key_holds_the_answer(op: Operation[Any], estate: Estate) -> None:
    raw, person = valid(op, estate), estate.caller(op)
    try:
        first = await estate.call("rest", op, raw, person, key="once", keep=True)
        assert first.code is None, str(first)
        again = await estate.call("rest", op, raw, person, key="once", keep=True)
        assert again.changes == first.changes, str(again)  # all there are since the first
        if op.secret:
            assert again.code == Code.CONFLICT, str(again)
            return
        assert (again.status, again.body, again.etag) == (first.status, first.body, first.etag), str(again)
        assert again.replayed
        assert not first.replayed
    finally:
        await estate.recorder.undo()
