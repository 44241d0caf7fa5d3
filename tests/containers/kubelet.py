"""The kubelet's part of a cluster of tests: it runs programs of pods on this machine, among the pod's folders."""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import tempfile
import termios
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from runtime.sandbox.programs import NotStarted, Programs

PROTOCOL: Final = "v5.channel.k8s.io"


def why_not() -> str:
    """Why programs of pods cannot be run here; empty if they can."""
    try:
        Programs.find()
    except NotStarted as missing:
        return str(missing)
    return ""


class Kubelet:
    """`storage`: the volume of the service's files."""

    def __init__(self, storage: Path) -> None:
        self.storage = storage
        self.specs: dict[str, Mapping[str, Any]] = {}
        self._temporary: dict[str, Path] = {}

    def begin(self, pod: str, spec: Mapping[str, Any]) -> None:
        if pod not in self.specs:
            self.specs[pod], self._temporary[pod] = spec, Path(tempfile.mkdtemp(prefix="pod-"))

    def end(self, pod: str) -> None:
        """All programs of the pod end, and its files in memory are gone."""
        if self.specs.pop(pod, None) is not None:
            folder = self._temporary.pop(pod)
            for each in _programs(folder):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        for pod in list(self.specs):
            self.end(pod)

    def command(self, pod: str, argv: list[str]) -> list[str]:
        """A program among the folders of a pod, and no others that could be written to. It has only a loopback, as
        under a network policy that forbids all connections.
        """
        made = [str(Programs.find().bwrap), "--unshare-net", "--tmpfs", "/", "--ro-bind", "/usr", "/usr"]
        made += ["--dev", "/dev"]
        made += ["--ro-bind", "/proc", "/proc", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin"]
        for name in ("bin", "sbin", "lib", "lib64"):
            made += ["--symlink", f"usr/{name}", f"/{name}"]
        [container] = self.specs[pod]["containers"]
        for mount in container["volumeMounts"]:
            if mount["name"] == "files":
                source = self.storage / mount["subPath"]
            else:
                source = self._temporary[pod] / mount["name"]
                source.mkdir(exist_ok=True)
            made += ["--ro-bind" if mount.get("readOnly") else "--bind", str(source), mount["mountPath"]]
        return [*made, "--", *argv]

    async def execute(self, socket: WebSocket) -> None:
        """As the kubelet answers: channels in both directions, and the end as a status."""
        asked = socket.query_params
        if PROTOCOL not in socket.scope["subprotocols"] or socket.path_params["pod"] not in self.specs:
            await socket.close(1002)
            return
        await socket.accept(PROTOCOL)
        terminal = asked.get("tty") in ("true", "1")
        leading = ["setsid", "--ctty"] if terminal else []
        argv = self.command(socket.path_params["pod"], [*leading, *asked.getlist("command")])
        await (_at_terminal if terminal else _piped)(socket, argv)
        with contextlib.suppress(RuntimeError):
            await socket.close()


def _programs(folder: Path) -> list[int]:
    """Processes that have a folder of this one among their mounts: those of one pod."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"/{folder.name}/" in (each / "mountinfo").read_text():
                found.append(int(each.name))
    return found


async def _piped(socket: WebSocket, argv: list[str]) -> None:
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
    assert program.stdin
    assert program.stdout
    assert program.stderr
    feeding = asyncio.ensure_future(_feed(socket, program.stdin))
    await asyncio.gather(_carry(socket, 1, program.stdout), _carry(socket, 2, program.stderr))
    await _report(socket, await program.wait())
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)


async def _feed(socket: WebSocket, stdin: asyncio.StreamWriter) -> None:
    """Input ends with the connection, as on a node."""
    with contextlib.suppress(WebSocketDisconnect, OSError):
        while True:
            message = await socket.receive_bytes()
            if message[:1] == b"\xff":
                stdin.close()
            elif message[:1] == b"\0":
                stdin.write(message[1:])
                await stdin.drain()
    stdin.close()


async def _carry(socket: WebSocket, channel: int, output: asyncio.StreamReader) -> None:
    while piece := await output.read(1 << 15):
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await socket.send_bytes(bytes([channel]) + piece)


async def _report(socket: WebSocket, code: int) -> None:
    code = code if code >= 0 else 128 - code
    causes = [{"reason": "ExitCode", "message": str(code)}]
    failed = {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await socket.send_bytes(b"\3" + json.dumps(failed if code else {"status": "Success"}).encode())


async def _at_terminal(socket: WebSocket, argv: list[str]) -> None:
    master, slave = pty.openpty()
    program = await asyncio.create_subprocess_exec(*argv, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    feeding = asyncio.ensure_future(_type(socket, master))
    while piece := await asyncio.to_thread(_read, master):
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await socket.send_bytes(b"\1" + piece)
    await _report(socket, await program.wait())
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)
    os.close(master)


def _read(master: int) -> bytes:
    try:
        return os.read(master, 1 << 15)
    except OSError:  # all programs have closed it
        return b""


async def _type(socket: WebSocket, master: int) -> None:
    with contextlib.suppress(WebSocketDisconnect, OSError):
        while True:
            message = await socket.receive_bytes()
            if message[:1] == b"\0":
                os.write(master, message[1:])
            elif message[:1] == b"\4":
                size = json.loads(message[1:])
                fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", size["Height"], size["Width"], 0, 0))
