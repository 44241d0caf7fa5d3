"""Workers that are killed at any moment of a run: no step is lost, and no effect is doubled."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.faults.workers import Workers
from tests.work.routine_runs import yard as acts
from tests.work.routine_runs.yard import ENDED, RHYTHM, Counting, RoutineYard, http, text

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
RUNS, KILLS = 4, 25


async def voyage(shore: RoutineYard, url: str, until: str) -> Any:
    """A step of each kind: its outputs depend on all before it."""
    here = f"{url}/{{{{ run.run_id }}}}"
    body = [
        http("send", f"{here}/{{{{ inputs.el }}}}", '{"p": {{ inputs.el }}}'),
        text("p", "{{ steps.send.output }}", ".p"),
    ]
    return await shore.routine(
        text("first", '{"n": {{ inputs.x }}}', ".n"),
        http(
            "one",
            f"{here}/one",
            '{"n": {{ steps.first.output }}}',
            retry={"max_attempts": 4, "backoff": {"min_ms": 50}},
        ),
        {"id": "at", "type": "wait", "wait": {"kind": "datetime", "until": until}},
        {
            "id": "each",
            "type": "foreach",
            "foreach": {"items": "[1,2,3,4,5,6]", "as": "el", "parallelism": 3, "steps": body},
        },
        {"id": "gate", "type": "wait", "wait": {"kind": "approval", "approval_prompt": "Sail?"}},
        {"id": "docked", "type": "wait", "wait": {"kind": "event", "event_type": "docked"}},
        text("last", '["{{ steps.one.output.n }}", {{ steps.each.output }}, "{{ steps.docked.output }}"]', "tojson"),
    )


async def answer(shore: RoutineYard, runs: list[str]) -> bool:
    """A person approves and a signal comes, once for each run that waits; true when all runs have ended."""
    left = False
    for run_id in runs:
        row = await shore.row(run_id)
        left = left or row["status"] not in ENDED
        pending = "SELECT token FROM routine_waitpoints WHERE routine_run_id = $1 AND status = 'pending'"
        if (token := await shore.estate.owner.fetchval(pending, run_id)) is not None:
            await acts.decide(shore.caller, {"token": token, "approved": True})
        pending = "SELECT true FROM routine_signal_waits WHERE routine_run_id = $1 AND status = 'pending'"
        if await shore.estate.owner.fetchval(pending, run_id):
            await acts.send_signal(shore.caller, {"run_id": run_id, "event_type": "docked", "payload": "pier"})
    return not left


async def test_workers_that_are_killed_lose_and_double_nothing(
    shore: RoutineYard, database: Any, tmp_path: Path
) -> None:
    chance = random.Random(7)
    server = Counting(lambda path, n: 503 if path.endswith("/one") and n == 1 else 200, pause=0.05)
    module = "tests.work.routine_runs.working"
    workers = Workers(module=module, url=database.url, directory=str(tmp_path / "data"), rhythm=RHYTHM)
    kills = 0
    try:
        async with server.listening() as url:
            routine = await voyage(shore, url, (datetime.now(UTC) + timedelta(seconds=6)).isoformat())
            runs = [await shore.start(routine, inputs={"x": n}) for n in range(RUNS)]
            async with asyncio.timeout(240):
                while not await answer(shore, runs):
                    pid = workers.start()
                    await asyncio.sleep(chance.uniform(0.3, 2.0) if kills < KILLS else 5.0)
                    workers.kill(pid)
                    kills += 1
            rows = [await shore.row(run_id) for run_id in runs]
            steps = [await shore.steps(run_id) for run_id in runs]
    finally:
        workers.close()
    assert [row["status"] for row in rows] == ["completed"] * RUNS
    assert [row["output"] for row in rows] == [f'["{n}",[1,2,3,4,5,6],"pier"]' for n in range(RUNS)]
    paths = ["first", "one", "at", "each", "gate", "docked", "last"]
    paths += [f"each[{n}].{id}" for n in range(6) for id in ("send", "p")]
    for recorded in steps:
        assert {path: step["state"] for path, step in recorded.items()} == dict.fromkeys(paths, "completed")
    keys = {f"{run_id}/{path}" for run_id in runs for path in ["one", *[f"each[{n}].send" for n in range(6)]]}
    assert set(server.keys) == keys, "a receiver that knows keys has each effect once"
    by_path = {(path, headers["idempotency-key"]) for _, path, headers, _ in server.got}
    assert len(by_path) == len(keys), "one effect has one key, whichever process carries it out"
    repeated = sum(server.keys.values()) - len(keys) - RUNS
    assert 0 <= repeated <= 3 * RUNS * kills
    assert kills >= 5
