"""The statements that reads send, and the plans that these get."""

import datetime
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg

from resolvers.kernel.store.connection import Connection
from resolvers.kernel.store.database import database

TOO_LARGE = "CS413"


@contextmanager
def listening() -> Iterator[list[tuple[str, list[Any]]]]:
    """The statements that reads send meanwhile, with their values."""
    heard: list[tuple[str, list[Any]]] = []
    sent = {name: getattr(Connection, name) for name in ("fetchrow", "fetch")}

    def noting(way: Any) -> Any:
        async def noted(self: Any, sql: str, *args: Any, **options: Any) -> Any:
            heard.append((sql, list(args)))
            return await way(self, sql, *args, **options)

        return noted

    for name, way in sent.items():
        setattr(Connection, name, noting(way))
    try:
        yield heard
    finally:
        for name, way in sent.items():
            setattr(Connection, name, way)


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (datetime.datetime, datetime.date)):
        return f"'{value.isoformat()}'"
    if isinstance(value, (list, tuple)):
        return f"ARRAY[{', '.join(map(_literal, value))}]" if value else "'{}'"
    return "'" + str(value).replace("'", "''") + "'"


async def explain(sql: str, args: list[Any]) -> dict[str, Any] | None:
    """The plan that the application gets: its role, its settings, its policies, for no values in particular. None: the
    statement ends itself.
    """
    async with database.lease() as conn:
        await conn.execute(f"PREPARE scale AS {sql}")
        try:
            values = f"({', '.join(map(_literal, args))})" if args else ""
            text = await conn.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE scale{values}")
        except asyncpg.PostgresError as error:
            if error.sqlstate != TOO_LARGE:
                raise
            return None
        finally:
            await conn.execute("DEALLOCATE scale")
    made: dict[str, Any] = json.loads(text)[0]["Plan"]
    return made


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)
