"""Wake-ups between processes: over PostgreSQL and over Redis, and after their servers were away."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from broadcaster._backends.base import BroadcastBackend
from structlog.testing import capture_logs

from crewship.process.wakeups import PostgresWakeups, RedisWakeups
from resolvers.kernel.store.bus import ANYTHING, LONGEST, Bus, Topic
from tests.conftest import Database
from tests.live.outlets import until

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def two(backend: Callable[[], BroadcastBackend]) -> AsyncIterator[tuple[Bus, Bus, list[tuple[Topic, str]]]]:
    """Two processes' buses, connected, and what the second one heard."""
    one, other, heard = Bus(), Bus(), list[tuple[Topic, str]]()
    for topic in Topic:
        other.on(topic, lambda key, topic=topic: heard.append((topic, key)))  # type: ignore[misc]
    await other.open(backend())
    await until(lambda: len(heard) == len(Topic))  # it listens, and may have missed anything before
    heard.clear()
    await one.open(backend())
    try:
        yield one, other, heard
    finally:
        await one.close()
        await other.close()


@contextlib.contextmanager
def redis_server(port: int, directory: Path) -> Any:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def check(one: Bus, heard: list[tuple[Topic, str]]) -> None:
    one.ring(Topic.frames, "chat-1")
    one.ring(Topic.frames, "chat-1")
    one.ring(Topic.frames, "a chat, named\nby a client")
    one.ring(Topic.cancel, "run-1\x1e")
    one.ring(Topic.events)
    await until(lambda: len(heard) >= 4)
    assert sorted(heard) == sorted(
        [
            (Topic.frames, "chat-1"),
            (Topic.frames, "a chat, named\nby a client"),
            (Topic.cancel, ANYTHING),
            (Topic.events, ANYTHING),
        ]
    )
    heard.clear()


def test_a_ring_is_heard_at_once_in_its_own_process() -> None:
    bus, heard = Bus(), list[str]()
    off = bus.on(Topic.queue, heard.append)
    bus.ring(Topic.queue)
    bus.ring(Topic.events)
    off()
    bus.ring(Topic.queue)
    assert heard == [ANYTHING]


async def test_rings_reach_other_processes_over_postgresql(database: Database) -> None:
    async with two(lambda: PostgresWakeups(database.url)) as (one, _, heard):
        await check(one, heard)
        own = list[str]()
        one.on(Topic.queue, own.append)
        one.ring(Topic.queue)
        await until(lambda: heard)
        await asyncio.sleep(0.05)
        assert own == [ANYTHING]  # not a second time from outside


async def test_a_ring_does_not_wait_for_the_disk(database: Database) -> None:
    """Nor does anybody who rings at the same time: NOTIFY holds its lock until its transaction has ended."""
    backend = PostgresWakeups(database.url)
    await backend.publish("crewship", "x")
    assert await backend.publisher.fetchval("SHOW synchronous_commit") == "off"
    await backend.publisher.close()


async def test_more_rings_than_fit_are_one_ring_for_anything(database: Database) -> None:
    async with two(lambda: PostgresWakeups(database.url)) as (one, _, heard):
        for number in range(LONGEST):
            one.ring(Topic.frames, f"chat-{number}")
        await until(lambda: heard)
        assert set(heard) == {(Topic.frames, ANYTHING)}


async def test_what_somebody_else_notifies_is_no_more_than_a_hint(database: Database) -> None:
    async with two(lambda: PostgresWakeups(database.url)) as (one, _, heard):
        stranger = await asyncpg.connect(database.url)
        for text in (
            "",
            "\x1e",
            "x",
            "x\x1ezzz",
            "x\x1e9\x1ee",
            "x\x1ef../../etc",
            "\u2603\x1e\u2603",
            "x\x1e" + "e\x1e" * 3000,
        ):
            await stranger.execute("SELECT pg_notify('crewship', $1)", text)
        await stranger.close()
        one.ring(Topic.cancel, "run-1")
        await until(lambda: (Topic.cancel, "run-1") in heard)
        assert (Topic.frames, "../../etc") in heard


async def test_after_a_restart_of_postgresql_rings_are_heard_again(database: Database) -> None:
    async with two(lambda: PostgresWakeups(database.url)) as (one, _, heard):
        admin = await asyncpg.connect(database.server.dsn("postgres", database.name))
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'crewship-wakeups'"
        )
        await admin.close()
        await until(lambda: len(heard) == len(Topic))  # anything may have been missed
        heard.clear()
        await ring_until_heard(one, heard)
        await check(one, heard)


async def ring_until_heard(one: Bus, heard: list[tuple[Topic, str]]) -> None:
    """A ring may be lost while the server comes back."""
    while not heard:
        one.ring(Topic.queue)
        await asyncio.sleep(0.2)
    await asyncio.sleep(0.1)
    heard.clear()


async def test_rings_reach_other_processes_over_redis_and_again_after_its_restart(free_port: int) -> None:
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        with redis_server(free_port, directory):
            async with two(lambda: RedisWakeups(f"redis://127.0.0.1:{free_port}/0")) as (one, _, heard):
                await check(one, heard)
                await _restarted(free_port, directory, one, heard)


async def _restarted(port: int, directory: Path, one: Bus, heard: list[tuple[Topic, str]]) -> None:
    client = await asyncio.create_subprocess_exec(
        "redis-cli", "-p", str(port), "shutdown", "nosave", stdout=asyncio.subprocess.DEVNULL
    )
    await client.wait()
    await asyncio.sleep(0.3)
    heard.clear()
    with redis_server(port, directory):
        await until(lambda: len(heard) >= len(Topic), 15)
        heard.clear()
        await ring_until_heard(one, heard)
        await check(one, heard)


class Unreachable(BroadcastBackend):
    """Takes nothing, and says nothing."""

    def __init__(self) -> None:
        pass

    async def connect(self) -> None: ...

    async def disconnect(self) -> None: ...

    async def subscribe(self, channel: str) -> None: ...

    async def unsubscribe(self, channel: str) -> None: ...

    async def publish(self, channel: str, message: Any) -> None:
        raise ConnectionError

    async def next_published(self) -> Any:
        await asyncio.Event().wait()


async def test_what_is_lost_while_a_server_is_away_fills_no_log() -> None:
    bus = Bus()
    await bus.open(Unreachable())
    with capture_logs() as logged:
        for n in range(100):
            bus.ring(Topic.events, str(n))
            await asyncio.sleep(0.003)
        assert [(line["event"], line["number"]) for line in logged] == [("wake-ups lost", 1)]
        bus._silent_until = 0.0
        bus.ring(Topic.events)
        await until(lambda: len(logged) == 2)
    assert logged[1]["number"] > 2
    await bus.close()
