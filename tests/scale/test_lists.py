"""No list reads a large table from end to end, and none gets dearer as the table grows, but by the rows that an offset skips."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from resolvers.kernel.inputs import Paging
from resolvers.kernel.reader import Page
from rest_compat.table import PARAMETER
from tests.generation.registry import operations, routes_of
from tests.scale.population import Population
from tests.scale.reading import READS, Cost, Read, Reader
from tests.world import world_on

pytestmark = pytest.mark.anyio

SIZES = [int(size) for size in os.environ.get("SCALE_ROWS", "1000,20000").split(",")]
SLOPE = 1.1  # of buffers, from one size to the next
DEPTH = 6  # buffers that an index of a larger table may be deeper by, for each row of the page and what is read beside it
PAGE = 20


@dataclass
class Measured:
    costs: dict[int, dict[str, Cost]] = field(default_factory=dict)


@pytest.fixture(scope="module")
async def measured(module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> Measured:
    found = Measured()
    async with world_on(module_database, tmp_path_factory.mktemp("scale"), row_level_security=True) as world:
        superuser = await asyncpg.connect(module_database.server.dsn("postgres", module_database.name))
        population = Population(superuser, world.workspace.id)
        try:
            for size in SIZES:
                await population.grow(size)
                reader = Reader(world, size)
                found.costs[size] = {read.name: await reader.cost(read) for read in READS}
                await reader.client.aclose()
        finally:
            await superuser.close()
    if "SCALE_TABLE" in os.environ:
        Path(os.environ["SCALE_TABLE"]).write_text(_table(found))
    return found


def _table(measured: Measured) -> str:
    sizes = list(measured.costs)
    head = ["read", *(f"{size:,} rows: p50 ms" for size in sizes), *(f"buffers at {size:,}" for size in sizes)]
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " --: |" * (len(head) - 1)]
    for read in READS:
        costs = [measured.costs[size][read.name] for size in sizes]
        cells = [read.name, *(f"{c.p50:.1f}" if c.status == 200 else "refused" for c in costs), *(f"{c.buffers}" for c in costs)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("read", [pytest.param(read, id=read.name) for read in READS])
async def test_a_list_costs_its_page(read: Read, measured: Measured) -> None:
    costs = [(size, measured.costs[size][read.name]) for size in SIZES]
    for size, cost in costs:
        if size >= 10_000:
            assert cost.scanned == set(), f"at {size} rows: {cost}"
    (small, before), *later = costs
    for size, cost in later:
        skipped = size - small if read.skips else 0
        assert cost.buffers <= SLOPE * (before.buffers + skipped) + DEPTH * PAGE, f"{small} rows: {before}; {size} rows: {cost}"
        small, before = size, cost


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
