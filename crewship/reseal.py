"""Secrets are sealed anew with the first of the instance's keys, while the service works.

The rows say themselves what is left: the third byte of a sealed value is the number of its key. So a run that was cut
off is begun again, and two at once do no harm. Portions are short transactions that lock their rows: a change of one
waits for milliseconds, and is not lost.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from sqlmodel import SQLModel

from crewship import keys
from crewship.serve import Access
from models.base import Row, secrets_of, table_of
from models.sealed import Sealed
from resolvers.domains import modules_in
from resolvers.instance.settings import Settings
from resolvers.instance.vault import Unopenable, Vault
from resolvers.kernel.database import connect

EVERYTHING = {"crewship.workspaces": "*"}
PORTION, ATTEMPTS = 500, 10
NAMES = {1: "ENCRYPTION_KEY", 2: "ENCRYPTION_KEY_V2"}
BY_KEY = "SELECT get_byte({column}, 2), count(*) FROM {table} WHERE {column} IS NOT NULL GROUP BY 1"
OF_OTHERS = """
    SELECT id, {column} FROM {table}
    WHERE {column} IS NOT NULL AND get_byte({column}, 2) <> $1 AND id > $2 ORDER BY id LIMIT $3 FOR NO KEY UPDATE
"""
STORE = """
    UPDATE {table} SET {column} = made.sealed FROM unnest($1::text[], $2::bytea[]) AS made (id, sealed)
    WHERE {table}.id = made.id
"""
SIGNED = "SELECT get_byte(signature, 0), count(*) FROM audit_seals GROUP BY 1"
Place = tuple[type[SQLModel], str]


@dataclass
class Resealed:
    """`needed`: how many stored values, and signatures of the audit log, each key is needed for now."""

    values: int = 0
    unopenable: int = 0
    needed: dict[str, int] = field(default_factory=dict)


def places() -> Iterator[Place]:
    """Every column of secrets of the database."""
    modules_in("resolvers")
    for mapper in sorted(Row._sa_registry.mappers, key=lambda mapper: mapper.class_.__name__):
        model: Any = mapper.class_
        if "__table__" not in vars(model):  # let go of, and not collected yet
            continue
        for column in secrets_of(model):
            yield model, column


async def reseal(settings: Settings, access: Access, tell: Callable[[str], None]) -> Resealed:
    """Raises KeysError without the keys."""
    settings, done = keys.with_stored(settings), Resealed()
    if settings.encryption_key is None and settings.encryption_key_v2 is None:
        raise keys.KeysError("ENCRYPTION_KEY is not known here")
    vault = keys.vault(settings)
    conn = await connect(access.application, EVERYTHING)
    try:
        for place in places():
            await _column(conn, vault, place, done)
            tell(f"{table_of(place[0]).name}.{place[1]}")
        for model, column in places():
            await _count(conn, BY_KEY.format(table=table_of(model).name, column=column), done)
        await _count(conn, SIGNED, done)
    finally:
        await conn.close()
    return done


async def _column(conn: Any, vault: Vault, place: Place, done: Resealed) -> None:
    after = ""
    while after is not None:
        for attempt in range(ATTEMPTS):
            try:
                after = await _portion(conn, vault, place, after, done)
                break
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                if attempt == ATTEMPTS - 1:
                    raise
                await asyncio.sleep(0.01 * 2**attempt)


async def _portion(conn: Any, vault: Vault, place: Place, after: str, done: Resealed) -> Any:
    """Where the next one begins; None where there is none."""
    model, column = place
    names = {"table": table_of(model).name, "column": column}
    async with conn.transaction():
        rows = await conn.fetch(OF_OTHERS.format(**names), vault.number, after, PORTION)
        made, lost = list[tuple[str, bytes]](), 0
        for row in rows:
            where: Any = {"table": model, "column": column, "row_id": row["id"]}
            try:
                text = vault.open(Sealed(row[column]), **where).reveal()
            except Unopenable:
                lost += 1
                continue
            made.append((row["id"], bytes(vault.seal(text, **where))))
        if made:
            await conn.execute(STORE.format(**names), *[list(each) for each in zip(*made, strict=True)])
    done.values, done.unopenable = done.values + len(made), done.unopenable + lost
    return rows[-1]["id"] if len(rows) == PORTION else None


async def _count(conn: Any, sql: str, done: Resealed) -> None:
    for number, count in await conn.fetch(sql):
        name = NAMES.get(number, f"key {number}")
        done.needed[name] = done.needed.get(name, 0) + count
