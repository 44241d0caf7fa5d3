"""The read replicas, as `crewship doctor` finds them."""

import asyncio
from typing import Final

import asyncpg

from crewship.cli.checks import Check
from models.address import Address
from models.connections import open_connection
from resolvers.kernel.store.replicas import COMMITTED, PRIMARY, REPLAYED, REPLICA, LogHistory, addresses

PATIENCE: Final = 5.0  # seconds
LATE: Final = 16 * 2**20  # bytes of the log
AGE: Final = "SELECT extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8"
VARIABLE: Final = "CREWSHIP_DATABASE_REPLICA_URL"
MENDS: Final = {
    "cluster": f"name a streaming replica of DATABASE_URL in {VARIABLE}",
    "timeline": "wait for its next restartpoint, which names the timeline; or set it up anew",
    "database": f"name the database of DATABASE_URL in {VARIABLE}",
    "role": f"name the user of DATABASE_URL in {VARIABLE}: row-level security holds for that role",
}


async def check_replicas(dsn: str, primary: "asyncpg.Connection[asyncpg.Record]") -> list[Check]:
    here = LogHistory(*await primary.fetchrow(PRIMARY))  # type: ignore[misc]
    return [await _check(one, here, primary) for one in addresses(dsn)]


async def _check(one: Address, here: LogHistory, primary: "asyncpg.Connection[asyncpg.Record]") -> Check:
    name = f"replica {one.place}"
    try:
        connection = await open_connection(one.asyncpg, timeout=PATIENCE)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return Check(
            name, False, f"it refuses ({str(error) or type(error).__name__})", f"start it, or correct {VARIABLE}"
        )
    try:
        async with asyncio.timeout(PATIENCE):
            row = await connection.fetchrow(REPLICA)
            if row is None:
                return Check(name, False, "it is no replica", MENDS["cluster"])
            for field, there, expected in zip(LogHistory._fields, LogHistory(*row), here, strict=True):
                if there != expected:
                    return Check(name, False, f"its {field} is {there}, the primary's is {expected}", MENDS[field])
            return _lag(
                name,
                await primary.fetchval(COMMITTED) - await connection.fetchval(REPLAYED),
                await connection.fetchval(AGE),
            )
    except TimeoutError:
        return Check(name, False, f"it does not answer within {PATIENCE:g} s", "see its log")
    finally:
        connection.terminate()


def _lag(name: str, lacking: int, age: float | None) -> Check:
    """`age`: of the last transaction that it has replayed."""
    if lacking <= 0:
        return Check(name, True, "it has replayed everything")
    since = "" if age is None else f"; its last transaction is {age:.1f} s old"
    found = f"it is {lacking:,} bytes of the log behind{since}"
    fix = "see pg_stat_replication on the primary, and long reads on the replica" if lacking > LATE else ""
    return Check(name, not fix, found, fix)
