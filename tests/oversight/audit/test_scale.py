"""The chain over a million rows that eight processes write at once, and the export of all of them."""

import asyncio
import os
import resource
import sys
import time

import pytest

from resolvers.instance.running import instance
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.oversight.audit import seals
from resolvers.oversight.audit.verification import Verified, verify
from tests.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ROWS = int(os.environ.get("AUDIT_ROWS", "1000000"))
WRITERS, AT_ONCE = 8, 100
WRITER = """
import asyncio, sys, asyncpg
dsn, place, number, rows, at_once = *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5])
SQL = '''INSERT INTO audit_logs (id, workspace_id, actor_type, action, entity_type, entity_id, data)
    SELECT $1 || n, $2, 'system', 'update', 'AGENT', 'a' || n % 1000, '{"name": "Ann"}'
    FROM generate_series($3::int, $4) n'''
async def main():
    conn = await asyncpg.connect(dsn, server_settings={"crewship.workspaces": "*"})
    for first in range(0, rows, at_once):
        await conn.execute(SQL, f"w{number}-", place, first, first + at_once - 1)
asyncio.run(main())
"""
LARGEST = 64  # MB that verification and export may add


def memory() -> float:
    """MB at most up to now, of this process, which serves too."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def check(world: World) -> tuple[list[str], Verified]:
    found = Verified()
    texts = [fault.text async for fault in verify(world.database, instance.vault.signed, None, found)]
    return texts, found


async def exchange_two_rows(world: World) -> list[str]:
    """Of the last seal of the workspace, its second row and its sixth; the ids of those from one to the other."""
    seal = await world.database.fetchrow(
        "SELECT first_seq, last_seq FROM audit_seals WHERE workspace_id = $1 ORDER BY number DESC LIMIT 1",
        world.workspace.id,
    )
    rows = await world.database.fetch(
        "SELECT id, seq FROM audit_logs WHERE workspace_id = $1 AND seq BETWEEN $2 AND $3"
        " ORDER BY seq OFFSET 1 LIMIT 5",
        world.workspace.id,
        *seal,
    )
    await world.database.execute("ALTER TABLE audit_logs ALTER COLUMN seq DROP IDENTITY")
    for row, seq in ((rows[0], -1), (rows[-1], rows[0]["seq"]), (rows[0], rows[-1]["seq"])):
        await world.database.execute("UPDATE audit_logs SET seq = $2 WHERE id = $1", row["id"], seq)
    return [row["id"] for row in rows]


async def test_a_million_rows_of_eight_writers(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    url = world.settings.database_url
    assert url is not None
    await world.database.execute("SET statement_timeout = 0; DELETE FROM audit_logs; DELETE FROM audit_seals")
    begun = time.perf_counter()
    writers = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WRITER, url.get_secret_value()),
            *((world.workspace, world.other)[n % 2].id, str(n), str(ROWS // WRITERS), str(AT_ONCE)),
        )
        for n in range(WRITERS)
    ]
    while any(writer.returncode is None for writer in writers):
        await seals.seal(across_workspaces)
        await asyncio.sleep(0.5)
    assert [writer.returncode for writer in writers] == [0] * WRITERS
    wrote = time.perf_counter() - begun
    await seals.seal(across_workspaces)
    sealed = time.perf_counter() - begun
    before, begun = memory(), time.perf_counter()
    texts, found = await check(world)
    verified = time.perf_counter() - begun
    assert texts == []
    assert found.rows == ROWS // WRITERS * WRITERS
    assert memory() - before < LARGEST

    ids = await world.database.fetch(
        "SELECT id FROM audit_logs WHERE workspace_id = $1 ORDER BY seq OFFSET $2 LIMIT 3",
        world.workspace.id,
        ROWS // 4,
    )
    changed, gone, after = (row["id"] for row in ids)
    await world.database.execute("UPDATE audit_logs SET entity_id = 'planted' WHERE id = $1", changed)
    await world.database.execute("DELETE FROM audit_logs WHERE id = $1", gone)
    moved = await exchange_two_rows(world)
    texts, _ = await check(world)
    assert texts[0].startswith(f"row {changed} was changed since seal")
    assert texts[1] == f"1 row is missing between row {changed} and row {after}"
    assert texts[2:]
    assert {text.partition(" was moved within seal")[0] for text in texts[2:]} <= {f"row {id}" for id in moved}

    before, begun, lines, size = memory(), time.perf_counter(), 0, 0
    query = {"workspace_id": world.workspace.id}
    async with world.client(world.owner).stream("GET", "/api/v1/audit/export", params=query, timeout=600) as answer:
        async for piece in answer.aiter_bytes():
            lines, size = lines + piece.count(b"\n"), size + len(piece)
    exported = time.perf_counter() - begun
    assert lines == await world.database.fetchval(
        "SELECT count(*) FROM audit_logs WHERE workspace_id = $1", query["workspace_id"]
    )
    assert memory() - before < LARGEST
    with capsys.disabled():
        print(
            f"\n{ROWS} rows: written in {wrote:.0f} s, sealed {sealed - wrote:.1f} s later, verified in {verified:.1f}"
            f" s; {lines} exported in {exported:.0f} s ({size >> 20} MB), {memory() - before:.0f} MB more memory"
        )
