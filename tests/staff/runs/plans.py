"""What PostgreSQL does for a call's statements: as the application's role, with its settings and row-level security."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from resolvers.kernel.store.connection import Connection, connect
from resolvers.kernel.store.database import database
from tests.world import World

PARTITION = re.compile(r"_(\d{8}|before|default)(?=_|$)")
Sent = list[tuple[str, tuple[Any, ...]]]


@contextlib.contextmanager
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    """The statements that the application sends meanwhile, with their values."""
    sent: Sent = []
    with monkeypatch.context() as patched:
        for name in ("fetchrow", "fetch"):
            real = getattr(Connection, name)

            async def noted(self: Any, query: str, *args: Any, real: Any = real, **options: Any) -> Any:
                sent.append((query, args))
                return await real(self, query, *args, **options)

            patched.setattr(Connection, name, noted)
        yield sent


async def explain(world: World, sent: Sent, table: str) -> list[dict[str, Any]]:
    """The plans of the statements that name `table`, run once more under a generic plan."""
    connection = await connect(database.pool.dsn)
    try:
        await connection.execute("SELECT set_config('crewship.workspaces', $1, false)", world.workspace.id)
        found = []
        for query, args in sent:
            if f" {table}" in query:
                shown = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}", *args)
                found.append((orjson.loads(shown) if isinstance(shown, (str, bytes)) else shown)[0]["Plan"])
        return found
    finally:
        await connection.close()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def scans(plans: list[dict[str, Any]], table: str) -> set[str]:
    """Each way the table, or a partition of it, is read, with its index: that of the table, by its columns."""
    return {
        f"{node['Node Type']} {PARTITION.sub('', node.get('Index Name', ''))}".strip()
        for plan in plans
        for node in nodes(plan)
        if PARTITION.sub("", node.get("Relation Name", "")) == table
    }


def buffers(plans: list[dict[str, Any]]) -> int:
    return max(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] for plan in plans)
