"""Rewraps data keys and reseals secrets while the service runs.

Data keys are wrapped by the current wrapping key. A value that was sealed with a key of the instance, or with a retired
data key, is sealed with the data key of its workspace. The rows themselves show the remaining work, so an interrupted
run can be repeated, and two concurrent runs do no harm. Portions are short transactions that lock their rows: a
concurrent change of a row waits for milliseconds and is not lost.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg
from sqlmodel import SQLModel

from crewship.process import keys
from crewship.process.database import Access
from models.base import classes_of_tables, secrets_of, table_of
from models.sealed import Sealed
from resolvers.domains import modules_in
from resolvers.errors import Refusal
from resolvers.instance.settings import Settings
from resolvers.instance.vault import Unopenable, Vault
from resolvers.instance.wrapping import Unwrappable, name_of
from resolvers.kernel.background.data_keys import DataKeyStore, stored
from resolvers.kernel.store.connection import connect
from resolvers.kernel.store.database import Pool

EVERYTHING = {"crewship.workspaces": "*"}
PORTION, ATTEMPTS = 500, 10
SEALING_ON = timedelta(hours=1)
"""Longer than any process still seals with a retired data key."""
RETIRED = "SELECT decode(substr(id, 2), 'hex') FROM data_keys WHERE retired_at IS NOT NULL"
OLD_ROWS = """
    SELECT id, {workspace} AS workspace_id, {column} FROM {table}
    WHERE {column} IS NOT NULL AND (get_byte({column}, 1) = 1 OR substring({column} FROM 3 FOR 12) = ANY($1::bytea[]))
        AND id > $2 ORDER BY id LIMIT $3 FOR NO KEY UPDATE
"""
STORE = """
    UPDATE {table} SET {column} = made.sealed FROM unnest($1::text[], $2::bytea[]) AS made (id, sealed)
    WHERE {table}.id = made.id
"""
BY_KEY = "SELECT get_byte({column}, 2), count(*) FROM {table} WHERE get_byte({column}, 1) = 1 GROUP BY 1"
BY_DATA_KEY = """
    SELECT 'c' || encode(substring({column} FROM 3 FOR 12), 'hex'), count(*) FROM {table}
    WHERE get_byte({column}, 1) = 2 GROUP BY 1
"""
SIGNED = (
    "SELECT get_byte(signature, 0), count(*) FROM audit_seals GROUP BY 1",
    "SELECT get_byte(dropped_signature, 0), count(*) FROM audit_seals WHERE dropped_signature IS NOT NULL GROUP BY 1",
    "SELECT get_byte(erased_signature, 0), count(*) FROM audit_logs WHERE erased_signature IS NOT NULL GROUP BY 1",
)
WRAPPED_OTHERWISE = """
    SELECT id, workspace_id, wrapped_by, wrapped FROM data_keys WHERE wrapped_by <> $1 AND id > $2 ORDER BY id LIMIT $3
"""
WRAP = "UPDATE data_keys SET wrapped_by = $2, wrapped = $3 WHERE id = $1 AND wrapped_by = $4 RETURNING 1"
CURRENT = "SELECT id, workspace_id FROM data_keys WHERE retired_at IS NULL ORDER BY id"
RETIRE = "UPDATE data_keys SET retired_at = now() WHERE id = $1 AND retired_at IS NULL RETURNING 1"
ADD = "INSERT INTO data_keys (id, workspace_id, wrapped_by, wrapped) VALUES ($1, $2, $3, $4)"
FORGET = "DELETE FROM data_keys WHERE retired_at < now() - $1::interval AND id <> ALL($2::text[]) RETURNING 1"
DROP = "UPDATE instance_facts SET value = $2 WHERE name = $1 RETURNING 1"
"""Holds the row of the fact: what would need the key waits, and is refused by the database when it was dropped."""
LEFT = "SELECT count(*) FROM data_keys WHERE retired_at IS NOT NULL"
Place = tuple[type[SQLModel], str]


@dataclass
class Needed:
    """`keys`: for how many data keys, values and signatures each of the instance's keys is needed. `wraps` wraps now.
    `retired`: data keys that are replaced and still there, `used` the data keys that values are sealed with.
    """

    wraps: str = ""
    keys: dict[str, int] = field(default_factory=dict)
    retired: int = 0
    used: set[str] = field(default_factory=set)

    def add(self, name: str, count: int) -> None:
        self.keys[name] = self.keys.get(name, 0) + count


@dataclass
class Resealed:
    """`wrapped`: the number of rewrapped data keys; `made` and `removed`: of new and of deleted ones."""

    values: int = 0
    unopenable: int = 0
    wrapped: int = 0
    made: int = 0
    removed: int = 0
    needed: Needed = field(default_factory=Needed)


def places() -> Iterator[Place]:
    """Every column of secrets of the database."""
    modules_in("resolvers")
    for model in classes_of_tables():
        for column in secrets_of(model):
            yield model, column


@contextlib.asynccontextmanager
async def opened_vault(settings: Settings, access: Access) -> AsyncIterator[tuple[Any, Vault]]:
    """A connection and the vault of its database. Raises KeysError without the keys."""
    settings = keys.with_stored(settings)
    if not keys.wrapping_keys(settings):
        raise keys.without_key(settings)
    beside = Pool(access.application, 1)
    conn = await connect(access.application, EVERYTHING)
    try:
        yield conn, keys.vault(settings, DataKeyStore(beside.lease))
    finally:
        await conn.close()
        await beside.close()


async def reseal(
    settings: Settings, access: Access, tell: Callable[[str], None], *, new_keys: bool = False
) -> Resealed:
    """`new_keys`: every workspace, and the instance, gets another data key first. Raises KeysError."""
    done = Resealed()
    async with opened_vault(settings, access) as (conn, vault):
        done.needed.wraps = await _wrapping(vault)
        await _wrap(conn, vault, done)
        if new_keys:
            await _replace(conn, vault, done)
        retired = [row[0] for row in await conn.fetch(RETIRED)]
        for place in places():
            await _column(conn, vault, retired, place, done)
            tell(f"{table_of(place[0]).name}.{place[1]}")
        done.needed = await _needed(conn, done.needed.wraps)
        done.removed = len(await conn.fetch(FORGET, SEALING_ON, list(done.needed.used)))
        done.needed.retired -= done.removed
    return done


async def needed(settings: Settings, access: Access) -> Needed:
    """The uses of every key. Raises KeysError."""
    async with opened_vault(settings, access) as (conn, vault):
        return await _needed(conn, await _wrapping(vault))


async def _wrapping(vault: Vault) -> str:
    try:
        return (await vault.data_keys.make(None)).wrapped.by
    except Refusal as refusal:
        raise keys.KeysError(refusal.detail) from None


async def _wrap(conn: Any, vault: Vault, done: Resealed) -> None:
    after = ""
    while rows := await conn.fetch(WRAPPED_OTHERWISE, done.needed.wraps, after, PORTION):
        after = rows[-1]["id"]
        for row in rows:
            before = stored(row)
            assert before is not None
            try:
                made = await vault.data_keys.wrapped_anew(before)
            except Unwrappable:
                done.unopenable += 1
                continue
            if await conn.fetchval(WRAP, made.id, *made.wrapped, before.wrapped.by):
                done.wrapped += 1


async def _replace(conn: Any, vault: Vault, done: Resealed) -> None:
    for id, workspace_id in await conn.fetch(CURRENT):
        made = await vault.data_keys.make(workspace_id)
        async with conn.transaction():
            if await conn.fetchval(RETIRE, id):
                await conn.execute(ADD, made.id, workspace_id, *made.wrapped)
                done.made += 1


async def _column(conn: Any, vault: Vault, retired: list[bytes], place: Place, done: Resealed) -> None:
    after = ""
    while after is not None:
        for attempt in range(ATTEMPTS):
            try:
                after = await _portion(conn, vault, retired, place, after, done)
                break
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                if attempt == ATTEMPTS - 1:
                    raise
                await asyncio.sleep(0.01 * 2**attempt)


async def _portion(conn: Any, vault: Vault, retired: list[bytes], place: Place, after: str, done: Resealed) -> Any:
    """The start of the next portion; None at the end."""
    model, column = place
    workspace = "workspace_id" if "workspace_id" in table_of(model).c else "NULL"
    names = {"table": table_of(model).name, "column": column}
    async with conn.transaction():
        rows = await conn.fetch(OLD_ROWS.format(**names, workspace=workspace), retired, after, PORTION)
        made, lost = list[tuple[str, bytes]](), 0
        for row in rows:
            where: Any = {"table": model, "column": column, "row_id": row["id"]}
            try:
                text = (await vault.open(Sealed(row[column]), **where)).reveal()
            except Unopenable:
                lost += 1
                continue
            made.append((row["id"], bytes(await vault.seal(text, **where, workspace_id=row["workspace_id"]))))
        if made:
            await conn.execute(STORE.format(**names), *[list(each) for each in zip(*made, strict=True)])
    done.values, done.unopenable = done.values + len(made), done.unopenable + lost
    return rows[-1]["id"] if len(rows) == PORTION else None


async def _needed(conn: Any, wraps: str) -> Needed:
    found = Needed(wraps=wraps, retired=await conn.fetchval(LEFT))
    for name, count in await conn.fetch(keys.WRAPPED):
        found.add(name, count)
    for model, column in places():
        names = {"table": table_of(model).name, "column": column}
        for number, count in await conn.fetch(BY_KEY.format(**names)):
            found.add(name_of(number), count)
        found.used |= {row[0] for row in await conn.fetch(BY_DATA_KEY.format(**names))}
    for sql in SIGNED:
        for number, count in await conn.fetch(sql):
            found.add(name_of(number), count)
    return found


async def drop(settings: Settings, access: Access, name: str) -> None:
    """From now on nothing starts less for want of the key. Raises KeysError where something needs it."""
    if name not in (name_of(number) for number in range(1, 256)):
        raise keys.KeysError(f"{name} is not an encryption key, such as ENCRYPTION_KEY or ENCRYPTION_KEY_V2")
    async with opened_vault(settings, access) as (conn, vault):
        if name in (await _wrapping(vault), name_of(vault.number)):
            raise keys.KeysError(f"{name} is the current key: add another key first (docs/secrets.md)")
        await _check_unneeded(conn, name)  # before the lock, so that no process waits for this check
        try:
            async with conn.transaction():
                await keys.hold(conn)
                if not await conn.fetchval(DROP, f"key.{name}", keys.DROPPED):
                    raise keys.KeysError(f"this database does not know {name}")
                await _check_unneeded(conn, name)
        except asyncpg.QueryCanceledError:
            raise keys.KeysError(f"A process kept writing with {name}: try again") from None


async def _check_unneeded(conn: Any, name: str) -> None:
    if count := (await _needed(conn, "")).keys.get(name, 0):
        raise keys.KeysError(f"{name} is still needed for {count} data keys, values and signatures")
