"""What every read costs at one size after the other, and whether that is too much."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from tests.scale.population import Population
from tests.scale.reading import READS, Cost, Kind, Read, Reader
from tests.world import world_on

SLOPE = 1.1  # of buffers, from one size to the next
DEPTH = 6  # buffers that an index of a larger table may be deeper by, for each row of the page and what is read beside it
PAGE = 20
COUNTED = 20  # rows an index has on a buffer at least, for whoever counts them


@dataclass
class Measured:
    sizes: Sequence[int]
    costs: dict[int, dict[str, Cost]] = field(default_factory=dict)


async def measure(database: Any, directory: Path, sizes: Sequence[int]) -> Measured:
    found = Measured(sizes)
    async with world_on(database, directory, row_level_security=True) as world:
        superuser = await asyncpg.connect(database.server.dsn("postgres", database.name))
        population = Population(superuser, world.workspace.id, world.owner.user_id)
        try:
            for size in sizes:
                await population.grow(size)
                reader = Reader(world, size)
                found.costs[size] = {}
                for read in READS:
                    import time; t = time.time()
                    try:
                        found.costs[size][read.name] = c = await reader.cost(read)
                        print(size, read.name, c.status, round(c.p50, 1), c.buffers, c.bytes, c.scanned, c.stalls, f"{time.time()-t:.1f} s", flush=True)
                    except Exception as e:
                        print(size, read.name, "FAILED", type(e), str(e)[:300], flush=True)
                await reader.client.aclose()
        finally:
            await superuser.close()
    return found


def check(read: Read, measured: Measured) -> None:
    """A page costs the same at every size. What is skipped or counted costs its place in an index; what is listed as a whole, nobody else's time."""
    costs = [(size, measured.costs[size][read.name]) for size in measured.sizes]
    for size, cost in costs:
        assert not cost.stalls, f"at {size} rows: {cost.stalls}"
        if size >= 10_000 and read.kind in (Kind.page, Kind.skipped):
            assert cost.scanned == set(), f"at {size} rows: {cost}"
    if read.kind is Kind.whole:
        return
    (small, before), *later = costs
    for size, cost in later:
        more = {Kind.page: 0, Kind.skipped: size - small, Kind.counted: (size - small) / COUNTED}[read.kind]
        assert cost.buffers <= SLOPE * (before.buffers + more) + DEPTH * PAGE, f"{small} rows: {before}; {size} rows: {cost}"
        small, before = size, cost
