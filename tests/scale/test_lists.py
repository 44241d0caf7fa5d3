"""No list reads a large table from end to end, and none gets dearer as the table grows, but by the rows that an offset skips."""

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from resolvers.kernel.inputs import Paging
from resolvers.kernel.reader import Page
from rest_compat.table import PARAMETER
from tests.generation.registry import operations, routes_of
from tests.scale.measuring import Measured, check, measure
from tests.scale.reading import READS, Read

pytestmark = pytest.mark.anyio

SIZES = (1_000, 20_000)


@pytest.fixture(scope="module")
async def measured(module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> Measured:
    return await measure(module_database, tmp_path_factory.mktemp("scale"), SIZES)


@pytest.mark.parametrize("read", [pytest.param(read, id=read.name) for read in READS])
async def test_a_list_costs_its_page(read: Read, measured: Measured) -> None:
    check(read, measured)


def test_every_page_is_measured() -> None:
    """A list that is read in pages stands in READS, with each of its filters."""
    asked = [urlsplit(read.path) for read in READS if read.path]
    for op in operations():
        if op.kind != "query" or op.form is not Page:
            continue
        route = re.compile(PARAMETER.sub("[^/]+", routes_of(op)[0].path) + r"\Z")
        own = [parse_qs(place.query) for place in asked if route.match(place.path)]
        assert own, f"{op.name} is not measured"
        filters = {name for name in op.input.model_fields if name not in Paging.model_fields and name not in routes_of(op)[0].parameters} - {"page"}
        assert filters <= {name for query in own for name in query}, f"{op.name}: a filter is not measured"
