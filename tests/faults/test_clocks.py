"""Processes whose clocks are wrong: a chat's order, times, durations and timeouts are PostgreSQL's all the same."""

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crewship.process.postgres import APPLICATION
from models.kernel import HISTORY
from models.staff import chats
from resolvers.identity.caller import Caller
from resolvers.instance.running import instance
from resolvers.staff.runs.briefing import brief
from runtime.engine.dbos_tables import prepare_engine
from tests.faults.test_kill import KILLED
from tests.faults.workers import Workers
from tests.faults.working import said
from tests.runtime.estate import Estate, estate_on

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
ROUNDS = 1
PLAN = json.dumps({"rounds": ROUNDS, "seconds": 0.02})
TIMES = (
    "SELECT table_name, column_name FROM information_schema.columns"
    " WHERE table_schema = 'public' AND data_type = 'timestamp with time zone'"
)
AHEAD = {"expires_at", "leased_until", "until"}  # they say when something is to end


class Skewed:
    """The clock of this process, by which it takes no time that is stored."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def by(self, offset: timedelta) -> None:
        seconds = offset.total_seconds()
        self._monkeypatch.setattr(instance.clock, "source", lambda: time.time() + seconds)
        self._monkeypatch.setattr(chats, "time", _Time(seconds))


class _Time:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def time_ns(self) -> int:
        return time.time_ns() + int(self._seconds * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Skewed:
    return Skewed(monkeypatch)


async def conversation(estate: Estate, turns: int = 3) -> list[str]:
    """Questions and the answers to them in one chat; returns its messages, as they are read."""
    chat = await estate.chat(await estate.agent())
    for _ in range(turns):
        await estate.ended((await estate.ask(PLAN, chat=chat)).id)
    return [str(message["role"]) for message in await estate.messages(chat.id)]


async def is_right(estate: Estate, turns: int = 3) -> None:
    assert await conversation(estate, turns) == ["user", "assistant"] * turns
    runs = await estate.owner.fetch("SELECT status, data, created_at, started_at, finished_at FROM runs")
    for run in runs:
        assert run["status"] == "COMPLETED"
        assert run["created_at"] <= run["started_at"] <= run["finished_at"]
        took = (run["finished_at"] - run["started_at"]).total_seconds() * 1000
        assert 0 < run["data"]["duration_ms"] <= took + 50
    await all_is_now(estate)


async def all_is_now(estate: Estate) -> None:
    """No time that is stored is another process' than PostgreSQL's."""
    for table, column in await estate.owner.fetch(TIMES):
        if column not in AHEAD:
            off = (
                f"SELECT count(*) FROM {table}"
                f" WHERE {column} NOT BETWEEN now() - interval '5 minutes' AND clock_timestamp()"
            )
            if table == "instance_facts":
                # Of the template that databases are copied from.
                off += f" AND name NOT IN ('cluster', 'release') AND NOT starts_with(name, '{HISTORY}')"
            assert await estate.owner.fetchval(off) == 0, f"{table}.{column}"


@pytest.mark.slow
@pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
@pytest.mark.parametrize("offset", ["-10s", "+2h", "-2h"])
async def test_a_worker_with_another_clock(database: Any, tmp_path: Path, offset: str) -> None:
    fake = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    await prepare_engine(database.owner_url, APPLICATION)
    async with estate_on(database, tmp_path) as estate:
        given: dict[str, Any] = {
            "url": database.url,
            "directory": str(tmp_path),
            "effects": str(tmp_path / "effects"),
            "slots": 4,
            "timing": KILLED,
        }
        workers = Workers(fake, **given)
        try:
            workers.start()
            await is_right(estate)
            assert (
                await estate.owner.fetchval("SELECT content FROM messages WHERE role = 'assistant' LIMIT 1")
            ) == said(ROUNDS)
        finally:
            workers.close()


@pytest.mark.slow
@pytest.mark.parametrize("offset", [timedelta(seconds=10), timedelta(hours=-2)])
async def test_an_api_with_another_clock(database: Any, tmp_path: Path, clock: Skewed, offset: timedelta) -> None:
    await prepare_engine(database.owner_url, APPLICATION)
    async with estate_on(database, tmp_path) as estate:
        given: dict[str, Any] = {
            "url": database.url,
            "directory": str(tmp_path),
            "effects": str(tmp_path / "effects"),
            "slots": 4,
            "timing": KILLED,
        }
        workers = Workers(**given)
        try:
            workers.start()
            clock.by(offset)
            await is_right(estate)
        finally:
            workers.close()


@pytest.mark.parametrize("offset", [timedelta(hours=2), timedelta(hours=-2)])
async def test_what_a_model_is_told_is_in_the_order_it_was_said(
    database: Any, tmp_path: Path, clock: Skewed, offset: timedelta
) -> None:
    """Each message by a process of its own: the second one's clock is hours away."""
    from resolvers.staff.runs import work
    from resolvers.staff.runs.finishing import finish_run

    async with estate_on(database, tmp_path) as estate:
        chat = await estate.chat(await estate.agent())
        service = Caller.service("runtime", estate.workspace.id)
        for turn in range(3):
            clock.by(timedelta())
            run = await estate.ask(f"question {turn}", chat=chat)
            clock.by(offset)
            [claim] = await work.claim("w", 9, seconds=30.0)
            assert 0 <= claim.age < 60
            told = json.loads((await brief(service, {"id": run.id})).body or b"")["history"]
            assert [turn["content"] for turn in told] == [
                text for n in range(turn) for text in (f"question {n}", f"answer {n}")
            ]
            reply = {"content": f"answer {turn}", "parts": [{"type": "text", "content": f"answer {turn}"}]}
            await finish_run(service, {"id": run.id, "lease": claim.lease, "status": "COMPLETED", "reply": reply})
        assert [message["role"] for message in await estate.messages(chat.id)] == ["user", "assistant"] * 3
        await all_is_now(estate)
