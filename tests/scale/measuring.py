"""What every read costs at one size after the other, and whether that is too much."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from tests.scale.population import Population
from tests.scale.reading import READS, WRITES, Cost, Kind, Read, Reader
from tests.scale.sweeping import Swept, sweep_old
from tests.world import world_on

SLOPE = 1.1  # of buffers, from one size to the next
# buffers that an index of a larger table may be deeper by, for each row of the page and what is read beside it
DEPTH = 6
WRITTEN = 20  # entries of indexes that a command makes, its audit row among them
FULL = 1_000  # rows of which every page is full
LOOKED_AT = 20_000  # newest rows for a rare answer
COUNTED = 20  # rows an index has on a buffer at least, for whoever counts them


@dataclass
class Measured:
    sizes: Sequence[int]
    costs: dict[int, dict[str, Cost]] = field(default_factory=dict)
    swept: Swept | None = None


async def measure(database: Any, directory: Path, sizes: Sequence[int], *, swept: bool = False) -> Measured:
    found = Measured(sizes)
    async with world_on(database, directory, row_level_security=True) as world:
        superuser = await asyncpg.connect(database.server.dsn("postgres", database.name))
        population = Population(superuser, world.workspace.id, world.owner.user_id, world.nobody.user_id)
        try:
            for size in sizes:
                await population.grow(size)
                reader = Reader(world, size)
                if not found.costs:  # partitions of today are not empty at one size alone: plans would differ
                    await Reader(world, 0).writes()
                    await superuser.execute("VACUUM (ANALYZE)")
                found.costs[size] = {read.name: await reader.cost(read) for read in READS}
                found.costs[size] |= await reader.writes()
            if swept:
                found.swept = await sweep_old(superuser, world, sizes[-1])
        finally:
            await superuser.close()
    return found


def check(read: Read, measured: Measured) -> None:
    """A page costs the same at every size. What is skipped or counted costs its place in an index; what is listed as a
    whole, nobody else's time.
    """
    costs = [(size, measured.costs[size][read.name]) for size in measured.sizes if size >= FULL]
    for size, cost in costs:
        assert not cost.stalls, f"at {size} rows: {cost.stalls}"
        if size >= 10_000 and read.kind in (Kind.page, Kind.skipped, Kind.bounded):
            assert cost.scanned == set(), f"at {size} rows: {cost}"
    if read.kind is Kind.whole:
        return
    (small, before), *later = costs
    for size, cost in later:
        newest = min(size, LOOKED_AT) - min(small, LOOKED_AT)
        more = {
            Kind.page: 0,
            Kind.skipped: size - small,
            Kind.bounded: newest,
            Kind.counted: (size - small) * (1 / COUNTED + read.beside),
        }[read.kind]
        assert cost.buffers <= SLOPE * (before.buffers + more) + DEPTH * read.rows, (
            f"{small} rows: {before}; {size} rows: {cost}"
        )
        small, before = size, cost


def check_writes(measured: Measured) -> None:
    """What is written costs the same at every size."""
    small, *larger = [size for size in measured.sizes if size >= FULL]
    for name in WRITES:
        before, after = measured.costs[small][name], measured.costs[larger[-1]][name]
        assert after.buffers <= SLOPE * before.buffers + DEPTH * WRITTEN, f"{name}: {before}; {after}"
