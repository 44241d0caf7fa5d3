"""Pages of a list that a function of the database finds: one that stopped early has a cursor, and the next goes on."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from sqlalchemy import func, select

from resolvers.kernel import NO_SURFACE, Action, Branch, Page, QueryScope, View, constant, query
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.ground.inputs import Paging
from resolvers.kernel.reader import Column, EnvelopeShape, Nested, Shape
from tests.world import World

pytestmark = pytest.mark.anyio
NUMBERS, PORTION = 7, 3


class Counted(View):
    number: int
    stopped: bool


class CountOn(Paging):
    page_maximum = 100
    backwards = False


@pytest.fixture(scope="module")
def counting() -> Iterator[Any]:
    """A list of numbers; the search for them stops at every third, which is no row."""
    before = dict(OPERATIONS)

    @query("test.numbers", Action.READ, surfaces=NO_SURFACE)
    def numbers(scope: QueryScope, data: CountOn) -> Page[Counted]:
        """List numbers."""

        def lines(most: Any, behind: Any) -> Any:
            (last,) = behind or (constant(0),)
            number = func.generate_series(last + 1, (last / PORTION + 1) * PORTION).column_valued("number")
            found = select(number.label("number"), (number % PORTION == 0).label("stopped"))
            return found.where(number <= NUMBERS).order_by(number).limit(most)

        return (
            scope.merge(Counted, Branch(lines, total=constant(NUMBERS), mark="stopped")).order_by("number").page(data)
        )

    yield numbers
    OPERATIONS.clear()
    OPERATIONS.update(before)


SHAPE = EnvelopeShape.of(
    Nested("rows", None, Shape((Column("number", "number"),), "list")), Column("next", "next"), Column("count", "shown")
)


@pytest.mark.parametrize(
    ("limit", "pages"),
    [(100, [[1, 2], [4, 5], [7]]), (2, [[1, 2], [4, 5], [7]]), (1, [[1], [2], [4], [5], [7]])],
)
async def test_a_page_that_stopped_early_goes_on(
    world: World, counting: Any, limit: int, pages: list[list[int]]
) -> None:
    found, cursor = list[list[int]](), ""
    while not found or cursor:
        asked = {"first": limit} | ({"after": cursor} if cursor else {})
        answer = await counting(world.viewer.caller, asked, SHAPE, place=world.workspace.id)
        page = orjson.loads(answer.body)
        found.append([row["number"] for row in page["rows"]])
        assert page["count"] == len(found[-1])
        cursor = page["next"]
    assert [page for page in found if page] == pages
