"""Workers that are killed at any moment of a batch: every item is one run, each effect has one key, a cancelled batch
begins nothing more.
"""

import asyncio
import random
import resource
import time
from pathlib import Path
from typing import Any

import pytest

from resolvers.work import routine_runs
from tests.faults.workers import Workers
from tests.work.routine_runs.yard import ENDED, RHYTHM, Counting, RoutineYard, http

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ITEMS, KILLS = 60, 12
INPUT = [{"name": "n", "type": "integer", "required": True}]


async def statuses(shore: RoutineYard, batch_id: str) -> dict[str, int]:
    sql = "SELECT status, count(*) FROM routine_runs WHERE batch_id = $1 GROUP BY status"
    return dict(await shore.estate.owner.fetch(sql, batch_id))


async def test_a_batch_survives_its_workers(shore: RoutineYard, database: Any, tmp_path: Path) -> None:
    chance, kills = random.Random(11), 0
    server = Counting(pause=0.05)
    module = "tests.work.routine_runs.working"
    workers = Workers(module=module, url=database.url, directory=str(tmp_path / "data"), rhythm=RHYTHM)
    try:
        async with server.listening() as url:
            step = http("send", f"{url}/{{{{ inputs.n }}}}", "{{ inputs.n }}")
            routine = await shore.routine(step, inputs=INPUT)
            raw = {"slug": routine.slug, "items": [{"inputs": {"n": n}} for n in range(ITEMS)], "per_minute": 300}
            made = await shore.ask(routine_runs.run_routine_batch, raw)
            async with asyncio.timeout(240):
                while (await statuses(shore, made["batch_id"])).keys() - {*ENDED}:
                    pid = workers.start()
                    await asyncio.sleep(chance.uniform(0.5, 2.5) if kills < KILLS else 5.0)
                    workers.kill(pid)
                    kills += 1
            ids = [result["run_id"] for result in made["results"]]
            rows = [await shore.row(id) for id in ids]
    finally:
        workers.close()
    assert await statuses(shore, made["batch_id"]) == {"completed": ITEMS}
    assert [row["output"] for row in rows] == [str(n) for n in range(ITEMS)]
    assert await shore.runs_of(routine) == ITEMS, "nothing is started twice"
    assert set(server.keys) == {f"{id}/send" for id in ids}, "a receiver that knows keys has each effect once"
    assert all(
        len({headers["idempotency-key"] for _, path, headers, _ in server.got if path == f"/{n}"}) == 1
        for n in range(ITEMS)
    )
    assert 0 <= server.keys.total() - ITEMS <= 12 * kills, "what was under way is done again, and nothing else"
    assert all(row["started_at"] >= row["fire_at"] for row in rows)
    assert kills >= 5


async def test_a_cancelled_batch_begins_nothing_after_a_kill(
    shore: RoutineYard,
    database: Any,
    tmp_path: Path,
) -> None:
    server = Counting()
    module = "tests.work.routine_runs.working"
    workers = Workers(module=module, url=database.url, directory=str(tmp_path / "data"), rhythm=RHYTHM)
    try:
        async with server.listening() as url:
            routine = await shore.routine(http("send", url, "{{ inputs.n }}"), inputs=INPUT)
            raw = {"slug": routine.slug, "items": [{"inputs": {"n": n}} for n in range(40)], "per_minute": 600}
            pid = workers.start()
            made = await shore.ask(routine_runs.run_routine_batch, raw)
            async with asyncio.timeout(60):
                while not server.got:
                    await asyncio.sleep(0.05)
            workers.kill(pid)
            stopped = await shore.ask(routine_runs.cancel_routine_batch, {"batch_id": made["batch_id"]})
            assert 0 < stopped["cancelled"] < 40
            pid = workers.start()
            async with asyncio.timeout(60):
                while (await statuses(shore, made["batch_id"])).keys() - {*ENDED}:
                    await asyncio.sleep(0.1)
            await asyncio.sleep(5)  # the times of all its runs have come
            workers.kill(pid)
    finally:
        workers.close()
    found = await statuses(shore, made["batch_id"])
    assert found == {"completed": 40 - stopped["cancelled"], "cancelled": stopped["cancelled"]}
    assert len({headers["idempotency-key"] for _, _, headers, _ in server.got}) == 40 - stopped["cancelled"]


async def test_a_batch_of_the_largest_size_is_bounded(shore: RoutineYard) -> None:
    """A request has at most 1 MiB, so that is what 1,000 inputs have together. Defaults are added to each as it begins,
    and are no part of what is stored now.
    """
    inputs = [{"name": "n", "type": "string", "required": True}, {"name": "d", "default": "d" * 900_000}]
    routine = await shore.routine(
        {"id": "a", "type": "transform", "transform": {"input": "{{ inputs.n }}", "expression": "."}}, inputs=inputs
    )
    raw = {"slug": routine.slug, "items": [{"inputs": {"n": "n" * 1_000}} for _ in range(1_000)]}
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    made = await shore.ask(routine_runs.run_routine_batch, raw)
    spent, grown = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert [result for result in made["results"] if "error" in result] == []
    size = await shore.estate.owner.fetchval(
        "SELECT sum(octet_length(inputs::text) + octet_length(state::text)) FROM routine_runs WHERE batch_id = $1",
        made["batch_id"],
    )
    assert size < 2 << 20
    assert spent < 10, "seconds"
    assert grown < 150 << 10, "KiB"
