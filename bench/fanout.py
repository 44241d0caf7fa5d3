"""Case F: one event to a thousand sockets, by the floor, /ws and a GraphQL subscription: `python -m bench.fanout`.

The service's event is a real one: a crew renamed over REST, through the outbox and its reader to every socket.
"""

import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import psutil
import uvloop

from bench import environment, product
from bench.cases import Request, Target
from bench.compare import markdown
from bench.implementations import IMPLEMENTATIONS, Implementation
from bench.listeners import Arrivals, Dialect, connect, graphql_dialect, rest_dialect, stamp
from bench.load import Server, cpu_seconds
from bench.postgres import Cluster
from bench.rig import seeded

LISTENERS, EVENTS, GAP, ROUNDS = 1000, 40, 0.05, 3
WARM_UP = 3
FLOOR = "floor"


@dataclass(frozen=True)
class Fanout:
    """One round: latencies in ms from asking to arrival, CPU of the server in µs a message, memory in KiB a socket."""

    p50: float
    p99: float
    last: float
    server_us: float
    kib: float
    lost: int


Publish = Callable[[Server, str], None]


def _publish_floor(server: Server, name: str) -> None:
    server.ask(Request("GET", f"/publish?{name}"))


def _publisher(target: Target) -> Publish:
    def publish(server: Server, name: str) -> None:
        path = f"/api/v1/crews/{target.crew}?workspace_id={target.workspace}"
        status, body = server.ask(Request("PATCH", path, json.dumps({"name": name})), target.token)
        if status != 200:
            raise SystemExit(f"no event: {status} {body[:300]!r}")

    return publish


async def _round(server: Server, dialect: Dialect, publish: Publish, number: int) -> Fanout:
    process, arrivals = psutil.Process(server.process.pid), Arrivals()
    before = _memory(process)
    transports = await connect(server.port, number, dialect, arrivals)
    await asyncio.sleep(1.0)
    kib = (_memory(process) - before) / number / 1024
    per_event, cpu = [], 0.0
    for event in range(WARM_UP + EVENTS):
        if event == WARM_UP:
            cpu = cpu_seconds(process)
        arrivals.delays.clear()
        await asyncio.to_thread(publish, server, stamp())
        deadline = time.monotonic() + 10
        while len(arrivals.delays) < number and time.monotonic() < deadline:
            await asyncio.sleep(0.005)
        per_event.append(sorted(arrivals.delays))
        await asyncio.sleep(GAP)
    cpu = cpu_seconds(process) - cpu
    for transport in transports:
        transport.close()
    measured = per_event[WARM_UP:]
    received = sum(map(len, measured))
    ms = [[delay / 1e6 for delay in delays] for delays in measured if delays]
    return Fanout(
        statistics.median(delays[len(delays) // 2] for delays in ms),
        statistics.median(delays[int(len(delays) * 0.99) - 1] for delays in ms),
        statistics.median(delays[-1] for delays in ms),
        cpu / received * 1e6,
        kib,
        EVENTS * number - received,
    )


def _memory(process: psutil.Process) -> int:
    return sum(
        p.memory_info().rss for p in (process, *process.children(recursive=True)) if not p.name().startswith("postgres")
    )


def measure(cluster: Cluster, target: Target, rounds: int = ROUNDS, number: int = LISTENERS) -> dict[str, list[Fanout]]:
    """`cluster` holds the service's template database."""
    service = replace(IMPLEMENTATIONS["service"], name="service-fanout")  # on a database of its own
    floor = Implementation(FLOOR, lambda port: [sys.executable, "-m", "bench.servers.floor_fanout", str(port)], {})
    results: dict[str, list[Fanout]] = {FLOOR: [], "/ws": [], "graphql-transport-ws": []}
    cluster.create(service.database, product.DATABASE)
    cluster.execute(service.database, "UPDATE memberships SET role = 'ADMIN'")  # who may rename a crew
    try:
        for _ in range(rounds):
            for name in random.sample(list(results), len(results)):
                with Server(floor if name == FLOOR else service, cluster) as server:
                    results[name].append(
                        uvloop.run(
                            _round(
                                server,
                                _dialect(server, name, target),
                                _publish_floor if name == FLOOR else _publisher(target),
                                number,
                            )
                        )
                    )
    finally:
        cluster.drop(service.database)
    return results


def _dialect(server: Server, name: str, target: Target) -> Dialect:
    if name == FLOOR:
        return Dialect("/")
    server.ask(Request("GET", "/api/health"))  # waits until it serves
    status, body = server.ask(Request("GET", "/api/v1/ws-token"), target.token)
    if status != 200:
        raise SystemExit(f"no ticket: {status} {body[:300]!r}")
    ticket = json.loads(body)["token"]
    return rest_dialect(ticket, target.workspace) if name == "/ws" else graphql_dialect(ticket, target.workspace)


def table(results: dict[str, list[Fanout]]) -> str:
    rows, base = [], statistics.median(made.server_us for made in results[FLOOR])
    for name, rounds in results.items():
        middle = {
            field: statistics.median(getattr(made, field) for made in rounds)
            for field in ("p50", "p99", "last", "server_us", "kib")
        }
        rows.append(
            (
                name,
                f"{middle['p50']:.1f}",
                f"{middle['p99']:.1f}",
                f"{middle['last']:.1f}",
                f"{middle['server_us']:.1f}",
                f"{middle['server_us'] / base:.2f}",
                f"{middle['kib']:.1f}",
                str(sum(made.lost for made in rounds)),
            )
        )
    return markdown(
        ("listeners by", "p50 ms", "p99 ms", "last ms", "server µs a message", "x floor", "KiB a socket", "lost"), rows
    )


def main() -> None:
    environment.prepare(fastapi=False, peers=False)
    with seeded({product.DATABASE}) as (cluster, targets):
        print(table(measure(cluster, targets[0])), f"\nload {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
