"""What the proxy of sandboxes costs: bytes a second of a download, directly and through it, and memory of 100 tunnels.

python -m bench.egress
"""

import asyncio
import contextlib
import multiprocessing
import socket
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from models.staff.crews import NetworkMode
from runtime.egress import Bounds, EgressGateway, Policy
from runtime.egress.gateway import dial

SIZE, ROUNDS, TUNNELS = 512 << 20, 5, 100
PIECE = bytes(1 << 20)
PUBLIC = "93.184.215.14"
"""What stands for this machine, which the policy lets nobody reach."""


def serve(ready: Any) -> None:
    """Sends SIZE bytes to whoever says anything."""
    listening = socket.create_server(("127.0.0.1", 0))
    ready.send(listening.getsockname()[1])
    while True:
        opened, _ = listening.accept()
        multiprocessing.Process(target=_send, args=(opened,), daemon=False).start()
        opened.close()


def _send(opened: socket.socket) -> None:
    with opened, contextlib.suppress(OSError):
        if opened.recv(1):
            for _ in range(SIZE // len(PIECE)):
                opened.sendall(PIECE)


def proxy(ready: Any) -> None:
    async def run() -> None:
        async def found(host: str, port: int) -> list[str]:
            return [PUBLIC]

        async def dialled(addresses: Sequence[str], port: int, seconds: float) -> socket.socket:
            return await dial(["127.0.0.1"], port, seconds)

        listening = [socket.create_server(("127.0.0.1", 0), backlog=256)]
        gateway = EgressGateway(Policy(NetworkMode.free), bounds=Bounds(connections=256), look_up=found, dial=dialled)
        async with gateway.serve(listening):
            ready.send(listening[0].getsockname()[1])
            await asyncio.Event().wait()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def tunnel(port: int, target: int) -> socket.socket:
    opened = socket.create_connection(("127.0.0.1", port))
    opened.sendall(f"CONNECT bench.example:{target} HTTP/1.1\r\nHost: bench.example:{target}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += opened.recv(1)
    return opened


def download(opened: socket.socket) -> float:
    began, got, into = time.perf_counter(), 0, bytearray(1 << 20)
    opened.sendall(b"x")
    while count := opened.recv_into(into):
        got += count
    assert got == SIZE
    return SIZE / (time.perf_counter() - began)


def resident(pid: int) -> float:
    """KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmRSS")))


def started(target: Any, *arguments: Any) -> tuple[Any, int]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=target, args=(*arguments, theirs), daemon=False)
    process.start()
    return process, ours.recv()


def main() -> None:
    server, target = started(serve)
    between, port = started(proxy)
    try:
        rates = {"directly": list[float](), "through the proxy": list[float]()}
        for _ in range(ROUNDS):
            rates["directly"].append(download(socket.create_connection(("127.0.0.1", target))))
            rates["through the proxy"].append(download(tunnel(port, target)))
        for name, measured in rates.items():
            print(f"{name}: {statistics.median(measured) / 1e6:.0f} MB/s")
        before = resident(between.pid)
        opened = [tunnel(port, target) for _ in range(TUNNELS)]
        print(f"{TUNNELS} idle tunnels: {resident(between.pid) - before:.0f} KiB")
        for each in opened:
            each.sendall(b"x")
        time.sleep(1)
        print(f"{TUNNELS} tunnels whose clients do not read: {resident(between.pid) - before:.0f} KiB")
        for each in opened:
            each.close()
    finally:
        server.kill()
        between.kill()


if __name__ == "__main__":
    main()
