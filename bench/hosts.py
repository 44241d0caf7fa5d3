"""Three hosts on one PostgreSQL, ten thousand sockets, a thousand runs at once: `python -m bench.hosts`.

The hosts are processes of this machine that share a database and nothing else. Each serves, and carries out runs with
the scripted adapter. The sockets follow three workspaces; a fourth workspace has the runs.
"""

import asyncio
import json
import os
import statistics
import time
from dataclasses import dataclass, field

import asyncpg
import psutil
import uvloop

from bench import environment, product
from bench.cases import Request, Target
from bench.compare import markdown
from bench.listeners import Arrivals, connect, rest_dialect, stamp
from bench.load import Server, cpu_seconds, rss_mb
from bench.postgres import Cluster
from bench.rig import seeded
from bench.runs import drain, make_chats, open_socket, served

HOSTS = 3
SOCKETS = int(os.environ.get("HOSTS_SOCKETS", "10000"))
RUNS = int(os.environ.get("HOSTS_RUNS", "1000"))
SCRIPT = [{"sleep": 0.2}, {"text": "half"}, {"sleep": 0.2}, {"text": "done"}]
GAP = 0.5  # seconds between two events
A_TICKET = 500  # sockets; one ticket is good for a minute
A_SENDER = 150  # chats; a socket may listen to 200 channels


@dataclass
class Figures:
    seconds: float = 0.0
    waited: list[float] = field(default_factory=list)
    """Seconds from a message to the end of its run."""
    claimed: list[float] = field(default_factory=list)
    quiet: list[float] = field(default_factory=list)
    """Milliseconds from the request that changes a crew to each socket, before the runs."""
    busy: list[float] = field(default_factory=list)
    """The same, while they are carried out."""
    lost: int = 0
    connections: int = 0
    connecting: float = 0.0
    kib: float = 0.0
    memory: list[float] = field(default_factory=list)
    hosts: float = 0.0
    """Processor seconds while the runs are carried out."""
    postgres: float = 0.0


def _followed(targets: list[Target], number: int) -> Target:
    """Each workspace in its turn, but the first, which has the runs."""
    return targets[1 + number % (len(targets) - 1)]


async def _listen(servers: list[Server], targets: list[Target], heard: Arrivals) -> list[asyncio.BaseTransport]:
    made: list[asyncio.BaseTransport] = []
    for number in range(0, SOCKETS, A_TICKET):
        server, target = servers[number // A_TICKET % HOSTS], _followed(targets, number // A_TICKET)
        status, body = await asyncio.to_thread(server.ask, Request("GET", "/api/v1/ws-token"), target.token)
        assert status == 200, body
        dialect = rest_dialect(json.loads(body)["token"], target.workspace)
        made += await connect(server.port, min(A_TICKET, SOCKETS - number), dialect, heard)
    return made


def _expected(targets: list[Target]) -> dict[str, int]:
    """How many sockets follow each workspace."""
    counts = {target.workspace: 0 for target in targets[1:]}
    for number in range(0, SOCKETS, A_TICKET):
        counts[_followed(targets, number // A_TICKET).workspace] += min(A_TICKET, SOCKETS - number)
    return counts


async def _event(server: Server, target: Target, number: int, heard: Arrivals) -> tuple[list[float], int]:
    """Milliseconds until each socket had it, and how many have not had it yet; late ones are counted with the next."""
    heard.delays.clear()
    path = f"/api/v1/crews/{target.crew}?workspace_id={target.workspace}"
    status, body = await asyncio.to_thread(
        server.ask, Request("PATCH", path, json.dumps({"name": stamp()})), target.token
    )
    assert status == 200, body
    deadline = time.monotonic() + 10
    while len(heard.delays) < number and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    return [delay / 1e6 for delay in heard.delays], number - len(heard.delays)


async def _runs(servers: list[Server], target: Target, chats: list[str], url: str, figures: Figures) -> None:
    """Sends all messages at once, through all hosts, and waits for the last run."""
    conn = await asyncpg.connect(url, server_settings={"crewship.workspaces": "*"})
    content = json.dumps({"script": SCRIPT})
    began = time.perf_counter()

    async def send(number: int) -> None:
        async with open_socket(servers[number % HOSTS], target) as socket:
            drained = asyncio.create_task(drain(socket))
            for chat in chats[number * A_SENDER :][:A_SENDER]:
                message = {"session_id": chat, "content": content}
                await socket.send(json.dumps({"type": "send_message", "payload": message}))
            await asyncio.wait({drained, ended}, return_when=asyncio.FIRST_COMPLETED)
            if drained.done():
                drained.result()  # raises: the host has closed the socket
            drained.cancel()

    finished = asyncio.Event()
    ended = asyncio.create_task(finished.wait())
    senders = [asyncio.create_task(send(number)) for number in range(-(-len(chats) // A_SENDER))]
    done = 0
    while done < len(chats):
        if time.perf_counter() - began > 600:
            raise SystemExit(f"{done} of {len(chats)} runs ended in ten minutes")
        if failed := [sender.exception() for sender in senders if sender.done()]:
            raise SystemExit(f"{done} of {len(chats)} runs ended, and a socket closed: {failed}")
        await asyncio.sleep(0.25)
        done = await conn.fetchval("SELECT count(*) FROM runs WHERE chat_id = ANY ($1) AND status = 'COMPLETED'", chats)
        here = await conn.fetchval("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        figures.connections = max(figures.connections, here)
    figures.seconds = time.perf_counter() - began
    finished.set()
    await asyncio.gather(*senders)
    rows = await conn.fetch(
        "SELECT extract(epoch FROM finished_at - created_at)::float AS whole,"
        " extract(epoch FROM started_at - created_at)::float AS claimed FROM runs WHERE chat_id = ANY ($1)", chats
    )  # fmt: skip
    await conn.close()
    figures.waited, figures.claimed = [row["whole"] for row in rows], [row["claimed"] for row in rows]


async def _measure(servers: list[Server], targets: list[Target], cluster: Cluster, url: str) -> Figures:
    figures, heard, loop = Figures(), Arrivals(), asyncio.get_running_loop()
    processes = [psutil.Process(server.process.pid) for server in servers]
    chats = await asyncio.to_thread(make_chats, servers[0], targets[0], RUNS)
    before, began = sum(map(rss_mb, processes)), loop.time()
    transports = await _listen(servers, targets, heard)
    figures.connecting = loop.time() - began
    await asyncio.sleep(2)
    figures.kib = (sum(map(rss_mb, processes)) - before) * 1024 / SOCKETS
    followed = _expected(targets)

    async def events(times: list[float], goes: "asyncio.Task[None] | None", count: int) -> None:
        number = 0
        while number < count if goes is None else not goes.done():
            target = _followed(targets, number)
            delays, lost = await _event(servers[number % HOSTS], target, followed[target.workspace], heard)
            times += delays
            figures.lost += lost
            number += 1
            await asyncio.sleep(GAP)

    await events(figures.quiet, None, 12)
    postgres = psutil.Process(cluster.pid)
    hosts, database = sum(map(cpu_seconds, processes)), cpu_seconds(postgres)
    work = asyncio.create_task(_runs(servers, targets[0], chats, url, figures))
    await events(figures.busy, work, 0)
    await work
    figures.hosts, figures.postgres = sum(map(cpu_seconds, processes)) - hosts, cpu_seconds(postgres) - database
    figures.memory = [rss_mb(process) for process in processes]
    for transport in transports:
        transport.close()
    return figures


def _row(name: str, times: list[float], unit: str) -> tuple[str, ...]:
    ordered = sorted(times)
    digits = 0 if unit == "ms" else 2
    shown = (statistics.median(ordered), ordered[int(len(ordered) * 0.99) - 1], ordered[-1])
    return (name, *(f"{one:.{digits}f} {unit}" for one in shown))


def table(figures: Figures) -> str:
    times = markdown(
        ("", "p50", "p99", "longest"),
        [
            _row("an event to a socket, no run", figures.quiet, "ms"),
            _row("an event to a socket, while the runs are carried out", figures.busy, "ms"),
            _row("a message to its claim by a worker", figures.claimed, "s"),
            _row("a message to the end of its run", figures.waited, "s"),
        ],
    )
    steps, postgres = RUNS * len(SCRIPT), figures.postgres / RUNS * 1000
    whole = markdown(
        ("", ""),
        [
            ("sockets, all open after", f"{SOCKETS:,}, {figures.connecting:.0f} s"),
            ("memory of a socket", f"{figures.kib:.0f} KiB"),
            ("frames that reached no socket", str(figures.lost)),
            (f"{RUNS:,} runs, all done after", f"{figures.seconds:.1f} s"),
            ("runs a second, durable steps a second", f"{RUNS / figures.seconds:.0f}, {steps / figures.seconds:.0f}"),
            ("connections to PostgreSQL, the most", str(figures.connections)),
            ("processor of a run: hosts, PostgreSQL", f"{figures.hosts / RUNS * 1000:.0f} ms, {postgres:.0f} ms"),
            ("memory of each host at the end", ", ".join(f"{one:.0f} MB" for one in figures.memory)),
        ],
    )  # fmt: skip
    return f"{times}\n\n{whole}"


def main() -> None:
    environment.prepare(fastapi=False, peers=False)
    with seeded({product.DATABASE}) as (cluster, targets), served(cluster, *["all"] * HOSTS) as (servers, url):
        cluster.execute(servers[0].implementation.database, "UPDATE memberships SET role = 'ADMIN'")
        figures = uvloop.run(_measure(servers, targets, cluster, url))
    print(table(figures), f"\n\nload {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
