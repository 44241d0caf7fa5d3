"""Lists with and without a read replica: processor time of each server per request, and requests a second.

`python -m bench.replicas` writes the tables of bench/replicas.md to standard output. Primary, replica, service and
clients share the machine, so the rate says less than the processor time.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from crewship.process.postgres import APPLICATION
from models.staff.crews import Crew
from models.work.labels import Label
from tests.faults.servers import Server, servers
from tests.hosts.cluster import Pair, replicated
from tests.world import World, world_on

CLIENTS, REQUESTS, ROUNDS = 8, 3000, 3
WRITES = 0.05  # seconds between two writes, where there are any
LABELS, CREWS = 100, 50
LISTS = {"100 labels": "/api/v1/labels", "50 crews with counts": "/api/v1/crews"}


@dataclass
class Spent:
    """Processor time in seconds, by server."""

    before: dict[str, float] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


def _processor(pid: int) -> float:
    here = psutil.Process(pid)
    total = 0.0
    for each in [here, *here.children(recursive=True)]:
        times = each.cpu_times()
        total += times.user + times.system
    return total


@contextmanager
def _measured(pids: dict[str, int]) -> Iterator[Spent]:
    made, began = Spent({name: _processor(pid) for name, pid in pids.items()}), time.monotonic()
    yield made
    made.seconds = time.monotonic() - began
    made.spent = {name: _processor(pid) - made.before[name] for name, pid in pids.items()}


async def _client(port: int, request: bytes, number: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(number):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(head.decode())
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
    writer.close()
    await writer.wait_closed()


async def _writing(world: World) -> None:
    while True:
        await world.rest(world.owner, "PATCH", f"/api/v1/workspaces/{world.workspace.id}", {"name": str(time.time())})
        await asyncio.sleep(WRITES)


async def _lists(server: Server, path: str, writes: bool, pids: dict[str, int]) -> Spent:
    world = server.world
    port = int(world.url.rpartition(":")[2])
    head = (
        f"GET {path}?workspace_id={world.workspace.id} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {world.owner.token}"
    )
    request = f"{head}\r\n\r\n".encode()
    await asyncio.gather(*[_client(port, request, 200) for _ in range(CLIENTS)])
    writing = asyncio.create_task(_writing(world)) if writes else None
    with _measured(pids) as found:
        await asyncio.gather(*[_client(port, request, REQUESTS // CLIENTS) for _ in range(CLIENTS)])
    if writing is not None:
        writing.cancel()
    return found


def _row(name: str, rounds: list[Spent]) -> str:
    def each(server: str) -> str:
        return f"{min(one.spent[server] for one in rounds) / REQUESTS * 1000:.2f}"

    rate = max(REQUESTS / one.seconds for one in rounds)
    return f"| {name} | {each('primary')} | {each('replica')} | {each('service')} | {rate:.0f} |"


async def _outcomes(world: World) -> str:
    text = (await world.rest(None, "GET", "/metrics", workspace=None)).text
    return ", ".join(
        [
            line.removeprefix("crewship_replica_reads_total")
            for line in text.split("\n")
            if "replica_reads_total{" in line
        ]
    )


async def _measure(pair: Pair, folder: Path) -> None:
    assert pair.primary.process is not None
    assert pair.replica.process is not None
    print("| list | primary, ms | replica, ms | service, ms | requests a second |")
    print("| --- | --: | --: | --: | --: |")
    place: Any = pair  # a database of tests, as far as servers know it
    async with world_on(pair, folder / "world") as world:
        here = world.workspace.id
        await world.add(*[Label(workspace_id=here, name=f"label {n}", color="red") for n in range(LABELS)])
        await world.add(*[Crew(workspace_id=here, name=f"Crew {n}", slug=f"crew-{n}") for n in range(CREWS)])
        ways: list[tuple[str, dict[str, str]]] = [
            ("primary alone", {}),
            ("with a replica", {"CREWSHIP_DATABASE_REPLICA_URL": pair.replica.dsn(APPLICATION)}),
        ]
        for way, settings in ways:
            async with servers(place, folder, world, 1, (), CREWSHIP_ROLE="api", **settings) as (server,):
                assert server._served is not None
                pids = {"primary": pair.primary.process.pid, "replica": pair.replica.process.pid}
                pids["service"] = server._served.process.pid
                for name, path in LISTS.items():
                    for writes in (False, True):
                        rounds = [await _lists(server, path, writes, pids) for _ in range(ROUNDS)]
                        print(_row(f"{name}, {way}{', 20 writes a second' if writes else ''}", rounds), flush=True)
                print(await _outcomes(server.world), flush=True)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with replicated() as pair:
            await _measure(pair, Path(folder))


if __name__ == "__main__":
    os.environ.setdefault("CREWSHIP_LOG_LEVEL", "error")
    asyncio.run(main())
