"""`crewship terminal` as a person meets it: in a terminal of its own, against the running service and its sandbox."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest

from crewship.cli.shell import Escapes
from models.people.workspaces import Role, Workspace
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.instance.running import instance
from rest_compat.ws import terminals
from runtime.runs.terminals import SandboxedTerminals
from runtime.sandbox import Unconfined
from tests.every import each_of
from tests.process.players import hire
from tests.process.terminals import Terminal, Wire, terminal
from tests.process.test_chat import environment
from tests.process.test_people import run
from tests.world import Person, World, world_on

pytestmark = pytest.mark.anyio
COMMAND = (sys.executable, "-m", "crewship", "terminal", "scout")
PROMISED = 30.0  # seconds


@pytest.fixture(scope="module")
async def place(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    async with world_on(module_database, tmp_path_factory.mktemp("data"), role="api") as made:
        found = SandboxedTerminals(made.settings)
        if not await found.available():
            pytest.skip("no sandbox on this machine")
        instance.terminals = found
        await hire(made, made.owner)
        yield made
        instance.terminals = None


@contextlib.asynccontextmanager
async def shell(
    place: World, person: Person, *, patched: str = "", **variables: str
) -> AsyncIterator[tuple[Terminal, list[Any]]]:
    """One that answers, and how the terminal was before. `patched`: what is said of the program before it runs."""
    command = (
        COMMAND if not patched else (sys.executable, "-c", f"{patched}; from crewship.cli.main import main; main()")
    )
    known = environment(place, CREWSHIP_TOKEN=person.token, **variables)
    async with terminal(*command, *(COMMAND[3:] if patched else ()), env=known) as made:
        before = made.modes
        await made.see("Leave with exit, or Enter ~ .")
        made.type("echo $((6*7))-\r")
        await made.see("42-")
        yield made, before


def running(mark: str) -> list[psutil.Process]:
    return [each for each in psutil.process_iter(["cmdline"]) if mark in (each.info["cmdline"] or [])]


async def sleeps(made: Terminal, mark: str) -> None:
    """Programs in the foreground and beside it, of which nothing may be left."""
    made.type(f"(setsid sleep {mark} &) ; sleep {mark}\r")
    async with asyncio.timeout(20):
        while len(running(mark)) < 2:
            await asyncio.sleep(0.02)


async def gone(mark: str) -> None:
    async with asyncio.timeout(20):
        while running(mark):
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_a_shell_that_has_all_keys_and_the_size(place: World) -> None:
    async with shell(place, place.owner) as (made, before):
        made.type("pwd; stty size\r")
        await made.see("/output/scout")
        await made.see("24 80")
        made.resize(40, 100)
        made.type("sleep 0.2; stty size\r")
        await made.see("40 100")
        made.type("sh -c 'echo up-$((1+1)); cat'\r")
        await made.see("up-2")
        for each in "é€🚀|\r".encode():  # a character comes in pieces, as a slow line brings it
            made.type(bytes((each,)))
            await asyncio.sleep(0.01)
        await made.see("é€🚀|\né€🚀|")
        made.type("\x04")
        made.type("sleep 1000\r")
        await made.see("sleep 1000")
        made.type("\x03")
        made.type("echo $((7*8))-; exit\r")
        await made.see("56-")
        assert await made.end() == 0
        assert made.modes == before
        assert "�" not in made.text


@pytest.mark.slow
async def test_characters_are_whole_though_frames_are_not(place: World) -> None:
    async with shell(place, place.owner) as (made, _):
        made.type("stty -echo; for i in $(seq 3000); do printf 'ä€🚀'; done; echo -$((7*8))-\r")
        await made.see("-56-")
        assert made.text.count("ä€🚀") == 1 + 3000  # and as it was typed
        made.type("exit\r")
        assert await made.end() == 0


@pytest.mark.slow
async def test_somebody_leaves_as_ssh_is_left(place: World) -> None:
    async with shell(place, place.owner) as (made, before):
        made.type("echo a~.b ~~c\r~~echo\x15")
        await made.see("a~.b ~~c", times=2)
        await sleeps(made, "98701")
        made.type("\r~.")
        assert await made.end() == 0
        assert made.modes == before
    await gone("98701")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
async def test_a_signal_ends_it_and_leaves_the_terminal_as_it_was(place: World, number: signal.Signals) -> None:
    async with shell(place, place.owner) as (made, before):
        made.type("printf '\\033[?1049h\\033[?25l'; echo $((7*8))-\r")
        await made.see("56-")
        made.process.send_signal(number)
        assert await made.end() == -number
        assert made.modes == before
        assert made.raw.rfind("\x1b[?1047l") > made.raw.rfind("\x1b[?1049h")
        assert made.raw.rfind("\x1b[?25h") > made.raw.rfind("\x1b[?25l")


@pytest.mark.slow
async def test_it_is_stopped_and_goes_on(place: World) -> None:
    async with shell(place, place.owner) as (made, before):
        raw = made.modes
        made.process.send_signal(signal.SIGTSTP)
        async with asyncio.timeout(20):
            while psutil.Process(made.process.pid).status() != psutil.STATUS_STOPPED:
                await asyncio.sleep(0.02)
        assert made.modes == before
        made.resize(50, 120)
        made.process.send_signal(signal.SIGCONT)
        made.type("sleep 0.2; stty size; exit\r")
        await made.see("50 120")
        assert await made.end() == 0
        assert raw != before == made.modes


@pytest.mark.slow
async def test_the_network_is_gone(place: World) -> None:
    wire = Wire(place.url)
    async with wire.open() as url, shell(place, place.owner, CREWSHIP_SERVER=url) as (made, before):
        wire.cut()
        assert await made.end() == 1
        await made.see(f"crewship: the connection to {url} was lost, which ended the terminal")
        assert made.modes == before


@pytest.mark.slow
async def test_the_network_is_silent(place: World) -> None:
    wire = Wire(place.url)
    patched = "import crewship.cli.shell; crewship.cli.shell.ALIVE = 0.3"
    async with wire.open() as url, shell(place, place.owner, patched=patched, CREWSHIP_SERVER=url) as (made, before):
        await asyncio.sleep(1)
        assert made.process.returncode is None, "it answered"
        wire.silent = True
        assert await made.end() == 1
        await made.see("was lost, which ended the terminal")
        assert made.modes == before


async def deleted(place: World, person: Person) -> None:
    await place.database.execute("DELETE FROM memberships WHERE id = $1", person.membership_id)


async def lowered(place: World, person: Person) -> None:
    await place.database.execute("UPDATE memberships SET role = 'VIEWER' WHERE id = $1", person.membership_id)


async def revoked(place: World, person: Person) -> None:
    await place.database.execute("DELETE FROM cli_tokens WHERE user_id = $1", person.user_id)


async def erased(place: World, person: Person) -> None:
    owner = place.people[f"{person.name}-owner"]
    path, elsewhere = f"/api/v1/admin/users/{person.user_id}/erase", f"terminal-{person.name}"
    answer = await place.rest(owner, "POST", path, {"reason": "asked"}, workspace=elsewhere)
    assert answer.is_success, answer.text


async def closed_down(place: World, person: Person) -> None:
    await place.database.execute("UPDATE workspaces SET deleted_at = now() WHERE slug = $1", f"terminal-{person.name}")


ENDED = "crewship: your login has expired, which ended the terminal"
REMOVED = "crewship: the terminal was closed: your membership or role has changed, or its crew was deleted"


@pytest.mark.slow
@each_of(
    ("change", "told"),
    [(deleted, REMOVED), (lowered, REMOVED), (revoked, ENDED), (erased, "crewship: "), (closed_down, REMOVED)],
)
async def test_whose_right_ends_has_no_terminal(place: World, change: Any, told: str) -> None:
    """In a workspace of its own, with an owner and another member."""
    name = str(change.__name__).replace("_", "-")
    workspace = Workspace(name=name, slug=f"terminal-{name}")
    await place.add(workspace)
    await place.person(f"{name}-owner", Role.OWNER, workspace)
    person = await place.person(name, Role.MANAGER, workspace)
    crew = Crew(workspace_id=workspace.id, name="Engine", slug="engine")
    await place.add(crew)
    await place.add(Agent(workspace_id=workspace.id, name="Scout", slug="scout", crew_id=crew.id))
    mark = f"987{len(place.people)}"
    async with shell(place, person) as (made, before):
        await sleeps(made, mark)
        since = time.monotonic()
        await change(place, person)
        assert await made.end() == 1
        await gone(mark)
        assert time.monotonic() - since < PROMISED
        await made.see(told)
        assert made.modes == before


@pytest.mark.slow
async def test_nothing_was_typed(place: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with shell(place, place.owner) as (made, before):
        made.type("exit\r")
        assert await made.end() == 0
    monkeypatch.setattr(terminals, "IDLE", 1.5)
    async with shell(place, place.owner) as (made, before):
        assert await made.end() == 1
        await made.see("Closed: no input for")
        await made.see("crewship: the terminal was closed: no input")
        assert made.modes == before


async def test_too_many_are_open(place: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminals, "MOST_OF_USER", 0)
    async with terminal(*COMMAND, env=environment(place)) as made:
        assert await made.end() == 1
        await made.see("crewship: Too many terminals are open: close one, or try again later")


async def test_there_is_no_sandbox(place: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "terminals", SandboxedTerminals(place.settings, Unconfined()))
    async with terminal(*COMMAND, env=environment(place)) as made:
        assert await made.end() == 1
        await made.see(f"crewship: {place.url} has no sandbox for terminals; run `crewship doctor` there")


async def test_what_is_no_terminal_is_refused(place: World) -> None:
    said = await run(place, "terminal", "scout")
    assert (said.code, said.out) == (1, "")
    assert said.err == "crewship: stdin and stdout must be a terminal, not redirected\n"


@each_of(
    ("keys", "passed", "left"),
    [
        (b"~.", b"", True), (b"a~.", b"a~.", False), (b"ls\r~.rm", b"ls\r", True), (b"\n~.", b"\n", True),
        (b"\r~~.", b"\r~.", False), (b"\r~x~.", b"\r~x~.", False), (b"\r~\r~.", b"\r~\r", True),
        ("\r~é".encode(), "\r~é".encode(), False), (b"~", b"", False),
    ],
)  # fmt: skip
@each_of("size", [1, 100])
def test_what_is_for_the_program_itself(keys: bytes, passed: bytes, left: bool, size: int) -> None:
    escapes, found = Escapes(), b""
    for start in range(0, len(keys), size):
        if not escapes.left:
            found += escapes.typed(keys[start : start + size])
    assert (found, escapes.left) == (passed, left)
