"""A pooler between the service and PostgreSQL: how it works, and what it lacks, a sentence each."""

import asyncio
import logging
import secrets
from dataclasses import dataclass

import asyncpg

from crewship.process.database import StartError, place_of
from models.connections import open_connection
from resolvers.kernel.store.connection import FOLLOWED, SESSION

log = logging.getLogger("crewship.pooler")

PATIENCE = 5.0  # seconds
PREPARED = 600  # statements that a connection of the service keeps
NEEDED = ("statement_timeout", "idle_in_transaction_session_timeout")
"""Without these one statement, or one client that stops within a transaction, holds PostgreSQL for ever."""
WANTED = ("plan_cache_mode", "jit", "random_page_cost")
SAME = """
    SELECT (SELECT system_identifier FROM pg_control_system()), current_database(), current_user, pg_is_in_recovery()
"""
HELD = "SELECT lower(name) AS name, setting FROM pg_settings WHERE lower(name) = ANY ($1)"
FOLLOWS = "SELECT NOT EXISTS (SELECT FROM pg_prepared_statements WHERE name = $1)"


@dataclass(frozen=True)
class Pooler:
    """The server at DATABASE_URL. `lacks`: settings without which the service does not start; `advice`: settings that
    make it faster, or that are not needed.
    """

    kind: str
    lacks: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()


async def check_pooler(pooled: str, direct: str) -> None:
    """Raises StartError with everything that is missing; warns of the rest."""
    found = await probe(pooled, direct)
    if found.lacks:
        raise StartError("; ".join(found.lacks))
    for sentence in found.advice:
        log.warning("%s", sentence)


async def probe(pooled: str, direct: str) -> Pooler:
    """Raises StartError if one of the two cannot be reached."""
    beside = await _connect(direct, "CREWSHIP_DATABASE_DIRECT_URL", {})
    try:
        here = tuple(await beside.fetchrow(SAME) or ())
    finally:
        await beside.close()
    if here[3]:
        return Pooler("unknown", ("CREWSHIP_DATABASE_DIRECT_URL names a replica; name the primary",))
    first = await _connect(pooled, "DATABASE_URL", FOLLOWED)
    try:
        second = await _connect(pooled, "DATABASE_URL", FOLLOWED)
        try:
            async with asyncio.timeout(PATIENCE):
                return await _look(pooled, here, first, second)
        except TimeoutError:
            return Pooler(
                "unknown", (f"{place_of(pooled)} gives no second session within {PATIENCE:g} s: raise its pool size",)
            )
        finally:
            second.terminate()
    finally:
        first.terminate()


async def _connect(dsn: str, variable: str, settings: dict[str, str]) -> "asyncpg.Connection[asyncpg.Record]":
    """Without named statements, which only some poolers follow: what is asked is asked in transactions."""
    try:
        return await open_connection(dsn, timeout=PATIENCE, server_settings=settings, statement_cache_size=0)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        said = str(error) or type(error).__name__
        raise StartError(f"{place_of(dsn)} refuses a connection ({said}); correct {variable}") from None


async def _look(
    pooled: str,
    here: tuple[object, ...],
    first: "asyncpg.Connection[asyncpg.Record]",
    second: "asyncpg.Connection[asyncpg.Record]",
) -> Pooler:
    place = place_of(pooled)
    async with first.transaction():
        there = tuple(await first.fetchrow(SAME) or ())
        one = await first.fetchval("SELECT pg_backend_pid()")
        follows = await _follows(first)
    if there != here:
        return Pooler(
            "unknown",
            (f"{place} leads to another database, role or replica than CREWSHIP_DATABASE_DIRECT_URL; correct it",),
        )
    async with second.transaction():
        held = {row["name"]: row["setting"] for row in await second.fetch(HELD, list(SESSION))}
        two = await second.fetchval("SELECT pg_backend_pid()")
        shared = one == two
        if not shared:  # it has several: whether the first is given the same one again
            async with first.transaction():
                shared = await first.fetchval("SELECT pg_backend_pid()") != one
    between = first.get_server_pid() != one or shared
    lacks, advice = _settings(str(here[2]), held)
    if not between:
        why = f"{place} is PostgreSQL itself, so CREWSHIP_DATABASE_DIRECT_URL is not needed; remove it"
        return Pooler("none", tuple(lacks), (why, *advice))
    if not shared:
        why = f"{place} is a pooler in session mode, which saves no connection; set pool_mode = transaction"
        return Pooler("session mode", tuple(lacks), (why, *advice))
    if not follows:
        lacks.insert(
            0,
            f"{place} is a pooler that does not follow prepared statements; set max_prepared_statements = {PREPARED}"
            " (PgBouncer 1.21 or newer)",
        )
    return Pooler("transaction mode", tuple(lacks), tuple(advice))


async def _follows(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    """Returns true if a pooler gives statements names of its own, by which it finds them in every session."""
    name = f"crewship_{secrets.token_hex(8)}"
    statement = await connection.prepare(FOLLOWS, name=name)
    follows = bool(await statement.fetchval(name))
    if not follows:
        await connection.execute(f"DEALLOCATE {name}")
    return follows


def _settings(role: str, held: dict[str, str]) -> tuple[list[str], list[str]]:
    """The settings that sessions behind a pooler lack: its clients cannot ask for them."""

    def sentence(name: str, why: str) -> str:
        value = SESSION[name]
        return f"behind the pooler {why}; run ALTER ROLE {role} SET {name} = '{value}'"

    lacks = [sentence(name, f"{name} is off") for name in NEEDED if held.get(name) == "0"]
    if held.get("timezone") not in ("UTC", None):
        lacks.append("the pooler does not pass on the time zone that a client asks for; set it to UTC there")
    advice = [
        sentence(name, f"{name} is {held[name]}") for name in WANTED if name in held and held[name] != SESSION[name]
    ]
    return lacks, advice
