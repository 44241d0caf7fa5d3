"""A whole list, page after page, for answers that go on."""

from collections.abc import AsyncIterator
from typing import Any

import orjson

from resolvers.errors import Code, Refusal
from resolvers.kernel.admission.request import Raw
from resolvers.kernel.declarations.query import Query
from resolvers.kernel.ground.inputs import Paging
from resolvers.kernel.reader import Column, Nested, Shape, intern
from resolvers.kernel.writing.context import Context

_PLACE = intern(Shape((Column("end", "end_cursor"), Column("more", "has_next_page")), "page_info"))


async def pages(
    ctx: Context, operation: Query[Any, Any], raw: Raw, after: str | None = None
) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
    """The rows of a list in the shape of the route, in pages as large as its input allows, each with the cursor after
    it; from `after` on. `raw` is the list's own input.

    Each page is a call of the operation by the same caller: permissions are checked each time, and a Refusal is raised
    if they have ended. No connection is held between two pages.
    """
    shape, input = ctx.request.shape, operation.input
    if shape is None or shape.form != "list" or not issubclass(input, Paging):
        raise TypeError(f"{operation.name} is walked in the shape of a route of rows, and by its cursors")
    page = intern(
        Shape((Nested("rows", None, Shape(shape.fields, "list")), Nested("page", None, _PLACE)), "connection")
    )
    while True:
        asked = {**raw, "first": input.page_maximum} | ({} if after is None else {"after": after})
        answer = await operation(ctx.caller, asked, page, place=ctx.workspace_id)
        if answer.body is None:
            raise Refusal(Code.INTERNAL, f"{operation.name} has answered without rows")
        found = orjson.loads(answer.body)
        if found["rows"]:
            after = found["page"]["end"]
            yield found["rows"], after
        if not found["page"]["more"]:
            return


async def answer_of(ctx: Context, operation: Query[Any, Any], raw: Raw) -> Any:
    """The answer of another read to the same caller: its rows, or its row, in the shape of the route's rows."""
    shape = ctx.request.shape
    if shape is None or shape.form != "list":
        raise TypeError(f"{operation.name} is read in the shape of a route of rows")
    wanted = shape if operation.form.many else intern(Shape(shape.fields))
    answer = await operation(ctx.caller, raw, wanted, place=ctx.workspace_id)
    return orjson.loads(answer.body or b"null")
