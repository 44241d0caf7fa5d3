"""No list reads a large table whole, and none gets dearer as the table grows, but by the rows an offset skips."""

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from strawberry.utils.str_converters import to_camel_case

from resolvers.kernel.declarations.operation import Auth
from resolvers.kernel.ground.inputs import Paging
from resolvers.kernel.reader import Page
from rest_compat.http.table import PARAMETER
from tests.every import each_of
from tests.generation.registry import graphql_fields, operations, routes_of
from tests.scale.measuring import Measured, check, check_writes, measure
from tests.scale.reading import READS, Read
from tests.scale.table import written

pytestmark = pytest.mark.anyio

SIZES = [int(size) for size in os.environ.get("SCALE_ROWS", "1000,10000").split(",")]


@pytest.fixture(scope="module")
async def measured(module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> Measured:
    """With SCALE_TABLE, the sweep too; all is written there."""
    table = os.environ.get("SCALE_TABLE")
    found = await measure(module_database, tmp_path_factory.mktemp("scale"), SIZES, swept=table is not None)
    if table is not None:
        Path(table).write_text(written(found))
    return found


@each_of("read", [pytest.param(read, id=read.name) for read in READS])
@pytest.mark.slow
async def test_a_list_costs_its_page(read: Read, measured: Measured) -> None:
    check(read, measured)


@pytest.mark.slow
async def test_a_command_costs_the_same_at_every_size(measured: Measured) -> None:
    check_writes(measured)


def test_every_page_is_measured() -> None:
    """A list that is read in pages stands in READS, with each of its filters."""
    asked = [urlsplit(read.path) for read in READS if read.path]
    for op in operations():
        if op.name == "conversations.search":
            continue  # it looks at no more than it ranks: tests/staff/conversations
        # what agents read is read by users too
        if (
            op.kind != "query"
            or op.form is not Page
            or op.auth is not Auth.USER
            or not op.surfaces
            or op.name == "conversations.search"
        ):
            continue
        if not routes_of(op):
            check_field(op)
            continue
        route = re.compile(PARAMETER.sub("[^/]+", routes_of(op)[0].path) + r"\Z")
        own = [parse_qs(place.query) for place in asked if route.match(place.path)]
        assert own, f"{op.name} is not measured"
        filters = {
            name
            for name in op.input.model_fields
            if name not in Paging.model_fields and name not in routes_of(op)[0].parameters
        } - {"page", "cursor"}
        assert filters <= {name for query in own for name in query}, f"{op.name}: a filter is not measured"


def check_field(op: Any) -> None:
    """Of a list that only GraphQL has."""
    [(_, field, _)] = graphql_fields()[op.name]
    asked = [read.field for read in READS if (read.field or "").partition("(")[0] == field]
    assert asked, f"{op.name} is not measured"
    filters = {to_camel_case(name) for name in op.input.model_fields if name not in Paging.model_fields}
    assert filters <= {name for text in asked for name in re.findall(r"(\w+):", text or "")}, op.name
