"""What a file costs on its way through a service, beside the same bytes through a few lines that do nothing else.

`make transfer` sends two gigabytes each way, and writes bench/transfer.md. An upload takes 16 MiB at most, so that two
gigabytes are as many files as that takes, on one connection.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.crews import Crew
from tests.conftest import Database
from tests.faults.servers import KEYS, addresses
from tests.process.commands import environment, serving
from tests.world import world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
MIB = 1 << 20
SIZE = int(os.environ.get("TRANSFER_MB", "128")) * MIB
ONE = 16 * MIB
"""Bytes of a file that is saved."""
MOST_MEMORY = 48 * MIB
PATIENCE = 60.0
PART = b'--XX\r\nContent-Disposition: form-data; name="file"; filename="%d"\r\n\r\n'
FLOOR = """
import os, socket, sys
kind, path = sys.argv[1:]
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    peer, _ = listener.accept()
    head = b""
    while b"\\r\\n\\r\\n" not in head:
        head += peer.recv(1)
    if kind == "download":
        size = os.path.getsize(path)
        peer.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: %d\\r\\n\\r\\n" % size)
        with open(path, "rb", buffering=0) as file:
            while piece := file.read(1 << 18):
                peer.sendall(piece)
        peer.close()
        continue
    while head:
        left = int(head.lower().split(b"content-length:")[1].split(b"\\r\\n")[0])
        buffer = memoryview(bytearray(1 << 18))
        with open(path + ".new", "wb", buffering=0) as file:
            while left:
                got = peer.recv_into(buffer[:min(left, len(buffer))])
                file.write(buffer[:got])
                left -= got
            os.fsync(file.fileno())
        os.rename(path + ".new", path)
        peer.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\n\\r\\n")
        head = b""
        while b"\\r\\n\\r\\n" not in head and (more := peer.recv(1)):
            head += more
    peer.close()
"""
NGINX = """
daemon off; master_process off; pid {here}/nginx.pid; error_log {here}/error.log;
events {{}}
http {{ access_log off; sendfile on;
  client_body_temp_path {here}/b; proxy_temp_path {here}/p; fastcgi_temp_path {here}/f;
  uwsgi_temp_path {here}/u; scgi_temp_path {here}/s; server {{ listen 127.0.0.1:{port}; root {root}; }} }}
"""
HEAD = """# Transfer of files

{size:,} MiB each way over loopback, written by `make transfer` at a load of {load:.0f} on {cores} cores,
which client and server share: the best of three runs. Uploads are files of 16 MiB one after the other, each brought to
disk; the floor is a loop that does nothing else, and nginx sends from the kernel. Memory is what the serving process
held beyond before.

| | MB a second | of the floor | MiB more memory |
| --- | --: | --: | --: |
"""


class Measured(NamedTuple):
    name: str
    rate: float
    memory: float


def receive(port: int, path: str, token: str, expected: int) -> None:
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as peer:
        ask = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\r\n"
        peer.sendall(ask.encode())
        buffer, head = memoryview(bytearray(MIB)), b""
        while b"\r\n\r\n" not in head:
            piece = peer.recv(4096)
            assert piece, head
            head += piece
        assert head.startswith(b"HTTP/1.1 200"), head
        got = len(head.partition(b"\r\n\r\n")[2])
        while got < expected:
            more = peer.recv_into(buffer)
            assert more, "it ends early"
            got += more


def send(port: int, path: str, token: str, size: int, method: str = "PUT", form: bool = False) -> None:
    body = memoryview(os.urandom(MIB))
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as peer:
        for number in range(size // ONE):
            before, behind = (PART % (number % 4), b"\r\n--XX--\r\n") if form else (b"", b"")
            head = f"{method} {path.format(number % 4)} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
            head += f"authorization: Bearer {token}\r\n"
            head += "content-type: multipart/form-data; boundary=XX\r\n" if form else ""
            length = len(before) + ONE + len(behind)
            peer.sendall(f"{head}content-length: {length}\r\n\r\n".encode() + before)
            for _ in range(ONE // MIB):
                peer.sendall(body)
            peer.sendall(behind)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += peer.recv(4096)
            assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")), answer
            length = int(answer.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            left = length - len(answer.partition(b"\r\n\r\n")[2])
            while left:
                left -= len(peer.recv(left))


@contextlib.contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[str]]:
    made = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield made
    finally:
        made.kill()
        made.wait()
        assert made.stdout is not None
        made.stdout.close()


@contextlib.contextmanager
def floor(kind: str, path: Path) -> Iterator[tuple[int, int]]:
    with process(sys.executable, "-c", FLOOR, kind, str(path)) as made:
        assert made.stdout is not None
        yield int(made.stdout.readline()), made.pid


@contextlib.contextmanager
def nginx(program: str, root: Path, here: Path) -> Iterator[tuple[int, int]]:
    here.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (here / "conf").write_text(NGINX.format(here=here, root=root, port=port))
    with process(program, "-c", str(here / "conf"), "-g", f"user {os.environ.get('USER', 'root')};") as made:
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield port, made.pid


def measured(name: str, size: int, pid: int, transfer: Callable[[], None]) -> Measured:
    """The best of three, behind one that is not counted; memory of all three."""
    transfer()
    serving_process, best, ended = psutil.Process(pid), 0.0, threading.Event()
    before = most = serving_process.memory_info().rss

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.02):
            most = max(most, serving_process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        for _ in range(3):
            began = time.perf_counter()
            transfer()
            best = max(best, size / (time.perf_counter() - began) / 1e6)
    finally:
        ended.set()
        watching.join()
    return Measured(name, best, (most - before) / MIB)


async def apart(name: str, size: int, pid: int, transfer: Callable[[], None]) -> Measured:
    return await asyncio.to_thread(measured, name, size, pid, transfer)


async def test_a_file_goes_through_at_the_speed_of_the_line(database: Database, tmp_path: Path) -> None:
    async with world_on(database, tmp_path / "world") as world:
        crew = Crew(name="Freight", slug="freight", workspace_id=world.workspace.id)
        await world.add(crew)
        agent = Agent(name="Ada", slug="ada", crew_id=crew.id, workspace_id=world.workspace.id)
        await world.add(agent)
        chat = Chat(agent_id=agent.id, created_by=world.manager.user_id, workspace_id=world.workspace.id)
        await world.add(chat)
        shared = tmp_path / "files"
        output = shared / "workspaces" / world.workspace.id / "crews" / crew.id / "output"
        output.mkdir(parents=True)
        piece = os.urandom(MIB)
        with (output / "large").open("wb") as file:
            for _ in range(SIZE // MIB):
                file.write(piece)
        env = KEYS | addresses(database) | {"CREWSHIP_STORAGE_BASE_PATH": str(shared), "CREWSHIP_ROLE": "api"}
        token, here = world.manager.token, f"?workspace_id={world.workspace.id}&path="
        down = f"/api/v1/crews/{crew.id}/files/download{here}{crew.id}/large"
        up = f"/api/v1/agents/{agent.id}/files/save{here}large-{{}}"
        attach = f"/api/v1/agents/{agent.id}/chats/{chat.id}/attachments?workspace_id={world.workspace.id}"
        with serving(env=environment(tmp_path / "data", **env)) as served:
            pid = served.process.pid
            service = [
                await apart("download", SIZE, pid, lambda: receive(served.port, down, token, SIZE)),
                await apart("upload", SIZE, pid, lambda: send(served.port, up, token, SIZE)),
                await apart("form, upload", SIZE, pid, lambda: send(served.port, attach, token, SIZE, "POST", True)),
            ]
    with floor("download", output / "large") as (port, pid):
        floors = [await apart("floor, download", SIZE, pid, lambda: receive(port, "/", "", SIZE))]
    with floor("upload", tmp_path / "taken") as (port, pid):
        floors.append(await apart("floor, upload", SIZE, pid, lambda: send(port, "/{}", "", SIZE)))
    program = shutil.which("nginx")
    others = []
    if program is not None:
        with nginx(program, output, tmp_path / "nginx") as (port, pid):
            others = [await apart("nginx, download", SIZE, pid, lambda: receive(port, "/large", "", SIZE))]
    _tell([*service, *floors, *others], {"download": floors[0].rate, "upload": floors[1].rate})
    for each in service:
        assert each.memory < MOST_MEMORY / MIB, each


def _tell(rows: list[Measured], floors: dict[str, float]) -> None:
    text = HEAD.format(size=SIZE // MIB, load=os.getloadavg()[0], cores=os.cpu_count())
    for name, rate, memory in rows:
        text += f"| {name} | {rate:,.0f} | {rate / floors[name.rpartition(' ')[2]]:.2f} | {memory:.1f} |\n"
    print(text)
    if (table := os.environ.get("TRANSFER_TABLE")) is not None:
        Path(table).write_text(text)
