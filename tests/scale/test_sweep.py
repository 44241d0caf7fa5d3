"""The sweep removes many rows in portions, none of which takes long, and whoever listens goes on hearing."""

import json
from typing import Any

import asyncpg
import pytest

from resolvers.kernel.background import sweeper
from resolvers.kernel.store.database import database
from tests.every import each_of
from tests.scale.plans import nodes
from tests.scale.sweeping import sweep_old
from tests.world import World

pytestmark = pytest.mark.anyio

ROWS = 50_000
OLD = {rule.name for rule in sweeper.rules()} - {"run_steps"}  # steps are found through their runs, and kept for a day


@pytest.mark.slow
async def test_a_sweep_of_many_rows_holds_nobody_up(world: World, module_database: Any) -> None:
    superuser = await asyncpg.connect(module_database.server.dsn("postgres", module_database.name))
    try:
        swept = await sweep_old(superuser, world, ROWS)
    finally:
        await superuser.close()
    assert swept.left == 0
    assert len(swept.portions) >= ROWS / sweeper.PORTION + len(sweeper.partitioned())
    # a second, and some of a machine that has much else to do
    assert max(swept.portions) < 1.5, sorted(swept.portions)[-5:]
    assert swept.waited, "nobody listened"
    assert max(swept.waited) < 2.0, sorted(swept.waited)[-5:]


@each_of("rule", [pytest.param(rule, id=rule.name) for rule in sweeper.rules()])
async def test_what_expires_is_found_by_an_index(world: World, rule: sweeper.Rule) -> None:
    async with database.lease() as conn, conn.transaction():
        # few rows: all plans are cheap, but one without an index stays one
        await conn.execute("SET LOCAL enable_seqscan = off")
        conn.sees("*")
        await conn.execute(f"PREPARE swept AS {rule.sql}")
        plan = json.loads(await conn.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE swept({sweeper.PORTION})"))[0]["Plan"]
        await conn.execute("DEALLOCATE swept")
    read = [
        (node["Node Type"], node["Relation Name"])
        for node in nodes(plan)
        if "Relation Name" in node and node["Node Type"] != "ModifyTable"
    ]
    assert read
    unindexed = {table for way, table in read if way == "Seq Scan"}
    assert not unindexed & (OLD | {"runs"}), read
