"""Agents' work: what a chat turn costs beyond its adapter, how soon a run is claimed, durable steps a second, the
outbox under writers: `python -m bench.runs`.

All of it on the shipped service with the scripted adapter, which does what the message says and nothing else.
"""

import asyncio
import contextlib
import json
import os
import re
import secrets
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import uvloop
import websockets

from bench import cases, environment, product
from bench.cases import CASES, Request, Target
from bench.compare import markdown
from bench.implementations import Service
from bench.load import Server
from bench.postgres import OWNER, Cluster
from bench.rig import seeded

TURNS, THINKING = 40, 0.2  # turns, and seconds that the adapter of each takes
RUNS, STEPS = 24, 40  # of the measurement of durable steps
LAG = re.compile(rb"^crewship_outbox_lag_seconds ([0-9.e+-]+)$", re.MULTILINE)
COMMAND = [sys.executable, "-c", "from bench.issues import main; main()"]
SCRIPTED = {
    "CREWSHIP_RUN_ADAPTER": "scripted",
    "CREWSHIP_MAX_CONCURRENT_RUNS": "8",
    "CREWSHIP_METRICS_TOKEN": secrets.token_hex(16),
}


@dataclass(frozen=True)
class Work:
    """Milliseconds, but for the steps."""

    overhead: list[float]
    first_frame: list[float]
    claim: list[float]
    steps_one: float
    steps_two: float
    lag: list[float]


def _service(name: str, role: str) -> Service:
    return Service(name, lambda _: COMMAND, cases.SERVICE, settings={**SCRIPTED, "CREWSHIP_ROLE": role})


def _json(server: Server, target: Target, method: str, path: str, body: Any = None) -> Any:
    status, answer = server.ask(Request(method, path, "" if body is None else json.dumps(body)), target.token)
    if status >= 300:
        raise SystemExit(f"{method} {path} answered {status} {answer[:300]!r}")
    return json.loads(answer) if answer else None


def make_chats(server: Server, target: Target, number: int) -> list[str]:
    """That many chats, each with an agent of its own."""
    made = []
    for _ in range(number):
        agent = {"name": "Bench", "slug": f"bench-{secrets.token_hex(6)}"}
        agent_id = _json(server, target, "POST", f"/api/v1/agents?workspace_id={target.workspace}", agent)["id"]
        chat = _json(
            server,
            target,
            "POST",
            f"/api/v1/agents/{agent_id}/chats?workspace_id={target.workspace}",
            {"origin": "CLI"},
        )
        made.append(chat["id"])
    return made


@contextlib.asynccontextmanager
async def open_socket(server: Server, target: Target) -> AsyncIterator[Any]:
    ticket = _json(server, target, "GET", "/api/v1/ws-token")["token"]
    async with websockets.connect(
        f"ws://127.0.0.1:{server.port}/ws?token={ticket}", max_size=None, ping_interval=None
    ) as socket:
        yield socket


async def _turn(socket: Any, chat: str, script: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Seconds from sending a message to the adapter's first frame, and to `done`."""
    began, first = time.perf_counter(), 0.0
    await socket.send(
        json.dumps(
            {"type": "send_message", "payload": {"session_id": chat, "content": json.dumps({"script": list(script)})}}
        )
    )
    while True:
        frame = json.loads(await asyncio.wait_for(socket.recv(), 60))
        if frame["type"] == "error":
            raise SystemExit(f"a turn was refused: {frame}")
        if frame["type"] != "chat_event":
            continue
        kind = frame["payload"]["type"]
        if not first and kind not in ("user_message", "status"):
            first = time.perf_counter() - began
        if kind == "error":
            raise SystemExit(f"a turn failed: {frame}")
        if kind == "done":
            return first, time.perf_counter() - began


async def _turns(server: Server, target: Target) -> tuple[list[float], list[float]]:
    (chat,) = make_chats(server, target, 1)
    script: list[dict[str, Any]] = [{"sleep": THINKING}, {"text": "That was it."}]
    async with open_socket(server, target) as socket:
        await _turn(socket, chat, script)
        times = [await _turn(socket, chat, script) for _ in range(TURNS)]
    return [first * 1000 for first, _ in times], [(total - THINKING) * 1000 for _, total in times]


async def _claims(url: str) -> list[float]:
    conn = await asyncpg.connect(url, server_settings={"crewship.workspaces": "*"})
    rows = await conn.fetch(
        "SELECT extract(epoch FROM started_at - created_at) * 1000"
        " FROM runs WHERE started_at IS NOT NULL ORDER BY created_at"
    )
    await conn.close()
    return [float(row[0]) for row in rows[1:]]


async def _steps(server: Server, target: Target, url: str) -> float:
    """Durable steps a second of many runs at once."""
    script = [{"sleep": 0.0} for _ in range(STEPS)] + [{"text": "done"}]
    chats = make_chats(server, target, RUNS)
    async with open_socket(server, target) as socket:
        began = time.perf_counter()
        for chat in chats:
            message = {"session_id": chat, "content": json.dumps({"script": script})}
            await socket.send(json.dumps({"type": "send_message", "payload": message}))
        conn = await asyncpg.connect(url, server_settings={"crewship.workspaces": "*"})
        while (
            await conn.fetchval("SELECT count(*) FROM runs WHERE chat_id = ANY ($1) AND status = 'COMPLETED'", chats)
            < RUNS
        ):
            if time.perf_counter() - began > 120:
                raise SystemExit("the runs do not end")
            await asyncio.sleep(0.02)
        await conn.close()
        return RUNS * len(script) / (time.perf_counter() - began)


async def _lag(server: Server, target: Target, targets: list[Target]) -> list[float]:
    """Ages of events at their dispatch while 32 writers are at work and somebody listens."""
    load = asyncio.create_task(
        asyncio.to_thread(server.measure, next(case for case in CASES if case.name == "C32"), targets, 5)
    )
    seen = []
    async with open_socket(server, target) as socket:
        await socket.send(json.dumps({"type": "subscribe", "channel": f"workspace:{target.workspace}"}))
        drained = asyncio.create_task(drain(socket))
        while not load.done():
            await asyncio.sleep(0.05)
            _, body = await asyncio.to_thread(
                server.ask, Request("GET", "/metrics"), SCRIPTED["CREWSHIP_METRICS_TOKEN"]
            )
            found = LAG.search(body)
            seen += [float(found[1]) * 1000] if found else []
        drained.cancel()
    await load
    return seen


async def drain(socket: Any) -> None:
    while True:
        await socket.recv()


@contextlib.contextmanager
def served(cluster: Cluster, *roles: str) -> Iterator[tuple[list[Server], str]]:
    """Processes of the service on one copy of the database; the first one takes requests."""
    services = [_service(f"work-{number}", role) for number, role in enumerate(roles)]
    cluster.create(services[0].database, product.DATABASE)
    try:
        with contextlib.ExitStack() as running:
            servers = []
            for service in services:
                shared = Service(
                    service.name,
                    service.command,
                    service.requests,
                    settings={**service.settings, **_shared(cluster, services[0])},
                )
                servers.append(
                    running.enter_context(
                        _worker(shared, cluster)
                        if service.settings["CREWSHIP_ROLE"] == "worker"
                        else Server(shared, cluster)
                    )
                )
            servers[0].ask(Request("GET", "/api/health"))  # waits until it serves
            yield servers, cluster.url(services[0].database, OWNER)
    finally:
        cluster.drop(services[0].database)


def _shared(cluster: Cluster, first: Service) -> dict[str, str]:
    return {
        "DATABASE_URL": cluster.url(first.database),
        "CREWSHIP_MIGRATION_DATABASE_URL": cluster.url(first.database, OWNER),
    }


class _worker(Server):
    """A process that takes no requests: it is up when it says so."""

    def _wait_until_listening(self) -> None:
        deadline = time.monotonic() + 60
        while "worker runs" not in self.log.read_text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"a worker did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.05)


def measure(cluster: Cluster, targets: list[Target]) -> Work:
    """`cluster` holds the service's template database."""
    target = targets[0]
    with served(cluster, "all") as (servers, url):
        first, overhead = uvloop.run(_turns(servers[0], target))
        claim = uvloop.run(_claims(url))
        lag = uvloop.run(_lag(servers[0], target, targets))
    return Work(overhead, first, claim, _steps_with(1, cluster, target), _steps_with(2, cluster, target), lag)


def _steps_with(workers: int, cluster: Cluster, target: Target) -> float:
    with served(cluster, "api", *["worker"] * workers) as (servers, url):
        uvloop.run(_turns_once(servers[0], target))
        return uvloop.run(_steps(servers[0], target, url))


async def _turns_once(server: Server, target: Target) -> None:
    """The engines are loaded when the measurement begins."""
    chats = make_chats(server, target, 8)
    async with open_socket(server, target) as socket:
        for chat in chats:
            await _turn(socket, chat, [{"sleep": 0.1}, {"text": "warm"}])


def table(work: Work) -> str:
    rows = [_row(name, times) for name, times in (
        (f"a chat turn beyond its adapter's {THINKING:.1f} s", work.overhead),
        ("message to the adapter's first frame", work.first_frame),
        ("message to its claim by a worker", work.claim),
        ("age of an event at its dispatch, 32 writers", work.lag),
    )]  # fmt: skip
    steps = (
        f"Durable steps a second, {RUNS} runs of {STEPS + 1} steps:"
        f" {work.steps_one:.0f} with one worker, {work.steps_two:.0f} with two."
    )
    return markdown(("", "p50 ms", "p95 ms", "longest ms"), rows) + "\n\n" + steps


def _row(name: str, times: list[float]) -> tuple[str, str, str, str]:
    ordered = sorted(times)
    return (
        name,
        f"{statistics.median(ordered):.1f}",
        f"{ordered[int(len(ordered) * 0.95) - 1]:.1f}",
        f"{ordered[-1]:.1f}",
    )


def main() -> None:
    environment.prepare(fastapi=False, peers=False)
    with seeded({product.DATABASE}) as (cluster, targets):
        print(table(measure(cluster, targets)), f"\nload {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
