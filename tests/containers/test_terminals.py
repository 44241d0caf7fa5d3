"""Terminals in containers, and what is left of them and of commands when whoever has begun them is gone."""

import asyncio
import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.containers.engine import ContainerEngine
from runtime.containers.place import APART, CREW, Apart, CrewContainer
from runtime.containers.sandbox import ContainerSandbox
from runtime.containers.terminal import ContainerTerminal
from runtime.sandbox.boundary import Limits
from runtime.sandbox.workdir import Workdir
from tests.containers.engines import IMAGE, why_not
from tests.containers.test_commands import Greeting

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]
CREW_ID = "c" + "3" * 24
SIZE = (30, 90)


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    return Workdir.of(tmp_path, workspace_id="w", agent_id="a", agent_slug="nell", crew_id=CREW_ID)


def box(engine: ContainerEngine, apart: Apart = Apart.nothing) -> ContainerSandbox:
    return ContainerSandbox(engine, CrewContainer("w", CREW_ID, IMAGE), Limits(), apart=apart)


async def until(terminal: ContainerTerminal, text: str) -> str:
    said = ""
    async with asyncio.timeout(20):
        while text not in said:
            piece = await terminal.read()
            assert piece, said
            said += piece.decode()
    return said


async def running(engine: ContainerEngine, container: str) -> str:
    async with engine.running(container, ["ps"], user="0:0", workdir="/", environment={}) as told:
        return b"".join([piece async for _, piece in told.pieces()]).decode()


async def test_a_terminal_is_a_shell_in_a_container_of_its_own(engine: ContainerEngine, workdir: Workdir) -> None:
    how = {"workdir": workdir, "size": SIZE, "network": Greeting()}
    async with contextlib.AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(box(engine).terminal(read_only=read_only, **how))  # type: ignore[arg-type]
            for read_only in (False, True)
        ]
        await first.write(b"tty; pwd; echo $HOME $TERM; echo made >made; echo 1 >/tmp/x; nc 127.0.0.1 3128\n")
        said = await until(first, "hello")
        assert "/dev/pts/" in said
        assert "/output/nell" in said
        assert "/home/agent xterm-256color" in said
        await second.write(b"cat made; ls /tmp; touch made || echo fa''ils\n")
        said = await until(second, "fails")
        assert "made" in said
        assert "Read-only" in said
        first.resize(40, 100)
        places = await engine.list({CREW: CREW_ID, APART: "terminal"})
        assert len(places) == 2
    assert await engine.list({CREW: CREW_ID}) == []


async def test_a_shell_that_ends_is_told(engine: ContainerEngine, workdir: Workdir) -> None:
    async with box(engine).terminal(workdir=workdir, size=SIZE, read_only=False, network=Greeting()) as terminal:
        await terminal.write(b"exit\n")
        async with asyncio.timeout(20):
            while await terminal.read():
                pass
    assert await engine.list({CREW: CREW_ID}) == []


async def test_a_command_that_is_alone_shares_nothing_and_leaves_nothing(
    engine: ContainerEngine, workdir: Workdir
) -> None:
    await box(engine).run(["sh", "-c", "sleep 777 & echo 1 >/tmp/x; echo 2 >~/x"], workdir=workdir, timeout=60)
    alone = await box(engine, Apart.alone).run(
        ["sh", "-c", "ps; ls /tmp; cat ~/x; sleep 888 &"], workdir=workdir, timeout=60, environment={"SECRET": "s"}
    )
    assert "777" not in alone.stdout
    assert alone.stdout.endswith("\n2\n")
    [kept] = await engine.list({CREW: CREW_ID})
    assert kept["Labels"][APART] == ""
    assert "888" not in await running(engine, kept["Id"])


async def test_what_may_reach_less_does_not_have_the_way_out_of_others(
    engine: ContainerEngine, workdir: Workdir
) -> None:
    """A command of a run that somebody outside has begun, beside one of the same agent that may reach more."""
    call = ["sh", "-c", "touch at-it; while [ -e at-it ]; do sleep 0.1; done"]
    wide = asyncio.ensure_future(box(engine).run(call, workdir=workdir, timeout=60, network=Greeting()))
    while not (workdir.path / "at-it").exists():
        await asyncio.sleep(0.02)
    narrow = await box(engine, Apart.restricted).run(
        ["sh", "-c", "nc 127.0.0.1 3128 || echo nothing; rm at-it"], workdir=workdir, timeout=60
    )
    await wide
    assert narrow.stdout == "nothing\n"
    assert {each["Labels"][APART] for each in await engine.list({CREW: CREW_ID})} == {"", "restricted"}


KILLED = """
import asyncio, sys
from pathlib import Path
from runtime.containers.engine import ContainerEngine
from runtime.sandbox.workdir import Workdir
from tests.containers.test_terminals import CREW_ID, SIZE, Greeting, box

async def main():
    engine = ContainerEngine(sys.argv[1])
    workdir = Workdir.of(Path(sys.argv[2]), workspace_id="w", agent_id="a", agent_slug="nell", crew_id=CREW_ID)
    if sys.argv[3] == "command":
        await box(engine).run(["sh", "-c", "touch at-it; sleep 4321 & sleep 4321"], workdir=workdir, timeout=600)
    async with box(engine).terminal(workdir=workdir, size=SIZE, read_only=False, network=Greeting()) as terminal:
        await terminal.write(b"set -m; sleep 4321 & touch at-it\\n")
        await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.mark.parametrize("what", ["command", "terminal"])
async def test_of_a_server_that_is_killed_nothing_is_left_running(
    what: str, engine: ContainerEngine, workdir: Workdir, address: str
) -> None:
    told = [sys.executable, "-c", KILLED, address, str(workdir.storage), what]
    server = subprocess.Popen(told)
    try:
        async with asyncio.timeout(60):
            while not (workdir.path / "at-it").exists():
                assert server.poll() is None
                await asyncio.sleep(0.05)
        [container] = await engine.list({CREW: CREW_ID})
        assert "4321" in await running(engine, container["Id"])
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
    async with asyncio.timeout(20):
        while "4321" in await running(engine, container["Id"]):
            await asyncio.sleep(0.05)
    if what == "command":
        after = await box(engine).run(["echo", "goes on"], workdir=workdir, timeout=60)
        assert after.stdout == "goes on\n"
        assert [each["Id"] for each in await engine.list({CREW: CREW_ID})] == [container["Id"]]
    else:  # nobody comes back to it
        async with asyncio.timeout(60):
            while await engine.list({CREW: CREW_ID}):
                await asyncio.sleep(0.5)
