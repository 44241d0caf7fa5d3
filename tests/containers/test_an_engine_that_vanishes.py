"""An engine that is gone while a command runs in its container, or while an image is built."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from resolvers.staff.crews.building import BuildPlan
from runtime.containers.build import Builder
from runtime.containers.engine import ContainerEngine
from runtime.containers.place import ContainerPlace, CrewContainer
from runtime.containers.sandbox import ContainerSandbox
from runtime.runs.job import Failed
from runtime.sandbox.boundary import Limits
from runtime.sandbox.workdir import Workdir

pytestmark = pytest.mark.anyio
CREW = CrewContainer("w", "c" * 25, "debian:13")


class Vanishing:
    """Answers as engines do, until a command has said something. Then it is gone, or is another one that knows
    nothing of the command, or of its end.
    """

    def __init__(self, then: str) -> None:
        self.then, self.asked = then, list[str]()
        self.container: dict[str, object] = {}
        self.looks = 0
        self.server: asyncio.Server | None = None

    def answer(self, method: str, path: str) -> tuple[int, object]:
        match method, path.split("?")[0].removeprefix("/v1.41"):
            case "GET", "/version":
                return 200, {"Version": "20.10", "Components": [{"Name": "Engine"}]}
            case "GET", "/info":
                return 200, {}
            case "GET", "/exec/e/json":
                self.looks += 1
                if self.then == "unknown":
                    return 404, {"message": "no such exec instance"}
                running = self.looks < 3
                return 200, {"Running": running, "ExitCode": None if running else 7, "ProcessConfig": {"tty": False}}
            case "GET", rest if rest.startswith("/containers/"):
                return (200, self.container) if self.container else (404, {"message": "none"})
            case "GET", rest if rest.startswith("/images/"):
                return 200, {"Id": "i"}
            case "POST", "/containers/create":
                return 201, {"Id": "c1"}
            case "POST", rest if rest.endswith("/exec"):
                return 201, {"Id": "e"}
            case _:
                return 204, None

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = [line for line in head.lower().split("\r\n") if line.startswith("content-length:")]
                await reader.readexactly(int(length[0].split(":")[1]) if length else 0)
                method, path, _ = head.split(" ", 2)
                self.asked.append(f"{method} {path}")
                if path.endswith("/exec/e/start"):
                    writer.write(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
                    writer.write(struct.pack(">BxxxL", 1, 7) + b"12\nsaid")
                    await writer.drain()
                    if self.then == "gone" and self.server is not None:
                        self.server.close()
                    break
                status, told = self.answer(method, path)
                body = b"" if told is None else orjson.dumps(told)
                writer.write(f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\n".encode())
                writer.write(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
                if self.then == "gone" and self.server is not None and not self.server.is_serving():
                    break
        writer.close()


@contextlib.asynccontextmanager
async def vanishing(folder: Path, then: str) -> AsyncIterator[tuple[Vanishing, ContainerEngine]]:
    made = Vanishing(then)
    made.server = await asyncio.start_unix_server(made.speak, folder / "engine.sock")
    engine = ContainerEngine(f"unix://{folder / 'engine.sock'}")
    try:
        yield made, engine
    finally:
        await engine.close()
        made.server.close()


@pytest.mark.parametrize(
    ("then", "told"),
    [("gone", "The container engine does not answer"), ("unknown", "The container engine answered 404: no such exec")],
)
async def test_a_command_fails_and_says_so(then: str, told: str, tmp_path: Path) -> None:
    workdir = Workdir.of(tmp_path, workspace_id="w", agent_id="a", agent_slug="nell", crew_id="c" * 25)
    async with vanishing(tmp_path, then) as (made, engine):
        made.container = running(workdir)
        with pytest.raises(Failed, match=told):
            await ContainerSandbox(engine, CREW, Limits()).run(["true"], workdir=workdir, timeout=20)


async def test_a_command_whose_output_breaks_off_is_waited_for(tmp_path: Path) -> None:
    """Its end is what the engine says, not that nothing more is heard."""
    workdir = Workdir.of(tmp_path, workspace_id="w", agent_id="a", agent_slug="nell", crew_id="c" * 25)
    async with vanishing(tmp_path, "back") as (made, engine):
        made.container = running(workdir)
        ended = await ContainerSandbox(engine, CREW, Limits()).run(["true"], workdir=workdir, timeout=20)
    assert (ended.exit_code, ended.stdout, made.looks) == (7, "said", 3)


async def test_a_build_fails_and_says_so(tmp_path: Path) -> None:
    plan = BuildPlan("debian:13", (), (), (("/bin/sh", "-c", "true"),))
    async with vanishing(tmp_path, "gone") as (made, engine):
        made.container = {"Id": "c1", "State": {"Running": True, "Pid": 1}}
        with pytest.raises(Failed, match="The container engine does not answer"):
            _ = [step async for step in Builder(engine, plan, "b1", "i", Limits()).steps()]
    assert not any("/commit" in asked for asked in made.asked)


def running(workdir: Workdir) -> dict[str, object]:
    place = ContainerPlace.of(CREW, workdir, given=workdir.storage.joinpath(*workdir.home[:-1], "given"))
    configuration = place.configuration(Limits(), keep_id=False, owned=True)
    return {
        "Id": "c1",
        "Config": {"Labels": configuration["Labels"]},
        "State": {"Running": True, "Status": "running", "Pid": 1},
    }
