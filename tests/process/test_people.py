"""The commands of people at a terminal: processes of their own against the running service."""

import asyncio
import json
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.approvals import Approval, ApprovalKind
from tests.process.commands import PATIENCE
from tests.process.players import RESULT, Player, hire, playing, text
from tests.process.terminals import Wire
from tests.process.test_chat import Said, environment
from tests.world import World, world_on

pytestmark = pytest.mark.anyio
COMMAND = (sys.executable, "-m", "crewship")


@pytest.fixture(scope="module")
async def place(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    async with world_on(module_database, tmp_path_factory.mktemp("data"), role="api") as made:
        await hire(made, made.owner)
        yield made


@pytest.fixture
async def player(place: World) -> AsyncIterator[Player]:
    async with playing(place) as made:
        yield made


async def begun(place: World, *arguments: str, **variables: str) -> asyncio.subprocess.Process:
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), asyncio.subprocess.PIPE)
    known = {name: value for name, value in environment(place, **variables).items() if value}
    return await asyncio.create_subprocess_exec(*COMMAND, *arguments, env=known, cwd="/", **pipes)


async def run(place: World, *arguments: str, typed: str = "", **variables: str) -> Said:
    process = await begun(place, *arguments, **variables)
    out, err = await asyncio.wait_for(process.communicate(typed.encode()), PATIENCE)
    assert process.returncode is not None
    return Said(process.returncode, out, err)


async def test_a_terminal_is_paired_and_known_from_then_on(place: World, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "CREWSHIP_TOKEN": ""}
    said = await run(place, "issues", **home)
    assert (said.code, said.err) == (
        1,
        "crewship: say who you are: `crewship login`, or give a token with --token or CREWSHIP_TOKEN\n",
    )
    code = (await place.rest(place.owner, "POST", "/api/v1/auth/pair/start", {})).json()["code"]
    said = await run(place, "login", typed=f"{code}\n", **home)
    kept = tmp_path / ".config" / "crewship" / "profile"
    assert said.code == 0, said.err
    assert f"You are {place.owner.email} at {place.url}." in said.err
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "CREWSHIP_TOKEN" in kept.read_text()
    assert kept.read_text().split("CREWSHIP_TOKEN=")[1].split("\n")[0] not in said.err + said.out
    said = await run(place, "issues", **home | {"CREWSHIP_SERVER": ""})
    assert (said.code, said.out, said.err) == (0, "", "There is no such issue.\n")
    wire = Wire(place.url)
    async with wire.open() as other:
        said = await run(place, "issues", "--server", other, **home)
    assert (said.code, wire.connections) == (1, 0), "the token went to another server than its own"
    said = await run(place, "login", typed=f"{code}\n", **home)
    assert (said.code, said.err.splitlines()[-1]) == (1, "crewship: Invalid or expired code")


async def test_runs_are_listed_for_people_and_for_programs(place: World, player: Player) -> None:
    player.play("hello", text("Hi."), RESULT)
    asked = await run(place, "ask", "scout", "hello")
    assert (asked.code, asked.out) == (0, "Hi.\n")
    shown = await run(place, "runs", "--agent", "scout", "--status", "COMPLETED")
    assert shown.code == 0, shown.err
    id, agent, status, *_ = shown.out.splitlines()[0].split("\t")
    assert (agent, status) == ("scout", "COMPLETED")
    [line] = (await run(place, "runs", "-n", "1", "--json")).out.splitlines()
    assert json.loads(line)["id"] == id
    assert (await run(place, "runs", "--status", "FAILED")).err == "There is no such run.\n"
    wrong = await run(place, "runs", "--status", "none")
    assert (wrong.code, wrong.out, len(wrong.err.splitlines())) == (1, "", 1), wrong.err


async def test_what_waits_is_listed_and_decided_once(place: World) -> None:
    row = Approval(
        workspace_id=place.workspace.id, kind=ApprovalKind.tool_call, reason="It deletes\x1b[2J files", tool="rm"
    )
    await place.add(row)
    shown = await run(place, "approvals")
    assert shown.out.split("\t")[0] == row.id
    assert "rm: It deletes[2J files" in shown.out
    said = await run(place, "approve", row.id, "--deny", "--comment", "No.")
    assert (said.code, said.err) == (0, f"{row.id} is denied.\n")
    kept = await place.database.fetchrow("SELECT status, comment FROM approvals WHERE id = $1", row.id)
    assert tuple(kept) == ("denied", "No.")
    again = await run(place, "approve", row.id)
    assert (again.code, len(again.err.splitlines())) == (1, 1), again.err
    assert await place.database.fetchval("SELECT status FROM approvals WHERE id = $1", row.id) == "denied"
    assert (await run(place, "approvals")).err == "There is no such approval.\n"


async def test_the_journal_is_followed_over_a_broken_connection(place: World, player: Player) -> None:
    player.play("first", text("One."), RESULT)
    player.play("second", text("Two."), RESULT)
    await run(place, "ask", "scout", "first")
    wire = Wire(place.url)
    async with wire.open() as url:
        process = await begun(place, "logs", "-f", "--json", "-n", "3", CREWSHIP_SERVER=url)
        assert process.stdout is not None
        before = [json.loads(await process.stdout.readline())["id"] for _ in range(3)]
        wire.cut()
        await run(place, "ask", "scout", "second")
        known = "SELECT count(*) FROM runs WHERE status = 'COMPLETED'"
        assert await place.database.fetchval(known) >= 2
        async with asyncio.timeout(PATIENCE):
            after = [json.loads(await process.stdout.readline())]
            while after[-1]["entryType"] != "run.completed":
                after.append(json.loads(await process.stdout.readline()))
        process.terminate()
        await process.wait()
    ids = [*before, *(entry["id"] for entry in after)]
    assert len(ids) == len(set(ids)), "an entry was shown twice"
    newest = [json.loads(line) for line in (await run(place, "logs", "--json", "-n", "100")).out.splitlines()]
    listed = [entry["id"] for entry in newest]
    assert listed[listed.index(ids[0]) : listed.index(ids[-1]) + 1] == ids, "an entry was left out"
