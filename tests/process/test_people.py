"""The commands of people at a terminal: processes of their own against the running service."""

import asyncio
import json
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.attention.approvals import Approval, ApprovalKind
from tests.process.commands import PATIENCE
from tests.process.players import RESULT, Player, hire, playing, text
from tests.process.terminals import Wire, certificate, terminal
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


@pytest.mark.slow
async def test_a_terminal_is_paired_and_known_from_then_on(place: World, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "CREWSHIP_TOKEN": ""}
    said = await run(place, "issues", **home)
    assert (said.code, said.err) == (
        1,
        "crewship: no token: run `crewship login`, or set --token or CREWSHIP_TOKEN\n",
    )
    code = (await place.rest(place.owner, "POST", "/api/v1/auth/pair/start", {})).json()["code"]
    said = await run(place, "login", typed=f"{code}\n", **home)
    kept = tmp_path / ".config" / "crewship" / "profiles" / "default"
    assert said.code == 0, said.err
    assert f"You are {place.owner.email} at {place.url}." in said.err
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "CREWSHIP_TOKEN" in kept.read_text()
    assert kept.read_text().split("CREWSHIP_TOKEN=")[1].split("\n")[0] not in said.err + said.out
    said = await run(place, "issues", **home | {"CREWSHIP_SERVER": ""})
    assert (said.code, said.out, said.err) == (0, "", "No issues yet.\n")
    wire = Wire(place.url)
    async with wire.open() as other:
        said = await run(place, "issues", "--server", other, **home)
    assert (said.code, wire.connections) == (1, 0), "the token went to another server than its own"
    said = await run(place, "login", typed=f"{code}\n", **home)
    assert (said.code, said.err.splitlines()[-1]) == (1, "crewship: Invalid or expired code")


@pytest.mark.slow
async def test_runs_are_listed_for_people_and_for_programs(place: World, player: Player) -> None:
    for listed in ("runs", "missions"):
        assert (await run(place, listed)).err == f"No {listed} yet.\n"
    player.play("hello", text("Hi."), RESULT)
    asked = await run(place, "ask", "scout", "hello")
    assert (asked.code, asked.out) == (0, "Hi.\n")
    shown = await run(place, "runs", "--agent", "scout", "--status", "COMPLETED")
    assert shown.code == 0, shown.err
    id, agent, status, *_ = shown.out.splitlines()[0].split("\t")
    assert (agent, status) == ("scout", "COMPLETED")
    [listed] = json.loads((await run(place, "runs", "-n", "1", "--json")).out)
    assert listed["id"] == id
    assert (await run(place, "runs", "--status", "FAILED")).err == "No run matches.\n"
    wrong = await run(place, "runs", "--status", "none")
    assert (wrong.code, wrong.out, len(wrong.err.splitlines())) == (1, "", 1), wrong.err


@pytest.mark.slow
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
    assert (await run(place, "approvals", "--status", "timeout")).err == "No approval matches.\n"
    again = await run(place, "approve", row.id)
    assert (again.code, len(again.err.splitlines())) == (1, 1), again.err
    assert await place.database.fetchval("SELECT status FROM approvals WHERE id = $1", row.id) == "denied"
    assert (await run(place, "approvals")).err == "No approvals are pending.\n"


@pytest.mark.slow
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
    newest = json.loads((await run(place, "logs", "--json", "-n", "100")).out)
    listed = [entry["id"] for entry in newest]
    assert listed[listed.index(ids[0]) : listed.index(ids[-1]) + 1] == ids, "an entry was left out"


@pytest.mark.slow
async def test_answers_for_programs(place: World, player: Player) -> None:
    player.play("hello", text("Hi "), text("there."), RESULT)
    player.play("break", text("Half an"))
    player.fails["break"] = "The provider refuses: no key"
    said = await run(place, "ask", "scout", "hello", "--json")
    told = json.loads(said.out)
    assert (said.code, said.err) == (0, "")
    assert (told["status"], told["reply"], told["error"]) == ("COMPLETED", "Hi there.", None)
    assert (told["agent"], told["inputTokens"], told["outputTokens"]) == ("scout", 1010, 20)
    failed = await run(place, "ask", "scout", "break", "--json")
    told = json.loads(failed.out)
    assert (failed.code, told["status"], told["reply"]) == (1, "FAILED", "Half an")
    assert told["error"] == "The provider refuses: no key"
    several = await run(place, "chat", "scout", "--new", "--json", typed="one\n\ntwo\n")
    assert [json.loads(line)["reply"] for line in several.out.splitlines()] == ["one", "two"]
    [chat] = {json.loads(line)["chatId"] for line in several.out.splitlines()}
    assert several.code == 0
    assert await place.database.fetchval("SELECT origin FROM chats WHERE id = $1", chat) == "CLI"


@pytest.mark.slow
async def test_a_decision_for_programs_and_who_may_not_make_it(place: World) -> None:
    row = Approval(workspace_id=place.workspace.id, kind=ApprovalKind.tool_call, reason="It deletes files", tool="rm")
    await place.add(row)
    refused = await run(place, "approve", row.id, CREWSHIP_TOKEN=place.viewer.token)
    told = "crewship: your role or the token's scopes do not allow this\n"
    assert (refused.code, refused.out, refused.err) == (1, "", told)
    unknown = await run(place, "approve", "ap_none")
    assert (unknown.code, unknown.err) == (1, "crewship: Approval not found\n")
    said = await run(place, "approve", row.id, "--json", "--comment", "Go on.")
    assert (said.code, json.loads(said.out)) == (0, {"id": row.id, "status": "approved", "comment": "Go on."})


@pytest.mark.slow
async def test_what_goes_into_a_pipe_is_whole_and_has_no_colours(place: World) -> None:
    long = "An error \n that is " + "long, " * 100
    await place.database.execute(
        "UPDATE runs SET status = 'FAILED', error_message = $1 WHERE id = (SELECT id FROM runs LIMIT 1)", long
    )
    shown = await run(place, "runs", "--status", "FAILED", FORCE_COLOR="1", COLUMNS="40")
    assert " ".join(long.split()) in shown.out
    assert "\x1b" not in shown.out + shown.err
    async with terminal(*COMMAND, "runs", "--status", "FAILED", env=environment(place)) as made:
        assert await made.end() == 0
        assert max(map(len, made.text.splitlines())) <= 80
        assert "…" in made.text
        assert next(iter(shown.out.split("\t"))) in made.text  # an id is of no use in part


async def test_whoever_reads_no_more_is_left_without_a_word(place: World) -> None:
    process = await begun(place, "runs", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout._transport.close()  # type: ignore[attr-defined]
    assert await process.stderr.read() == b""
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


@pytest.mark.slow
async def test_interrupted_without_a_word(place: World) -> None:
    for command in (("logs", "-f"), ("login",)):
        async with terminal(*COMMAND, *command, env=environment(place)) as made:
            await made.see("Code: " if command == ("login",) else "  ")
            made.type("\x03")
            assert await made.end() == 130
            assert "Traceback" not in made.text
            assert "Aborted" not in made.text


async def test_a_server_of_another_release_is_told_as_that(place: World) -> None:
    old = (
        "import sys, crewship.cli.listing as l; sys.argv[1:] = ['runs'];"
        "object.__setattr__(l.RUNS, 'document', l.RUNS.document.replace('agentSlug', 'agentNick'));"
        "from crewship.cli.main import main; main()"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", old, env=environment(place), cwd="/", stderr=asyncio.subprocess.PIPE
    )
    _, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 1
    assert err.decode().startswith(f"crewship: {place.url} is of release ")
    assert "and this command is of release" in err.decode()
    assert len(err.decode().splitlines()) == 1


@pytest.mark.slow
async def test_a_certificate_of_an_authority_of_ones_own(place: World, player: Player, tmp_path: Path) -> None:
    player.play("hello", text("Hi."), RESULT)
    tls = certificate(tmp_path / "own.pem")
    async with Wire(place.url).open(tls) as url:
        refused = await run(place, "ask", "scout", "hello", CREWSHIP_SERVER=url)
        assert (refused.code, refused.out) == (1, "")
        assert refused.err.startswith(f"crewship: the certificate of {url} is not trusted")
        trusting = {"CREWSHIP_SERVER": url, "SSL_CERT_FILE": str(tmp_path / "own.pem")}
        asked = await run(place, "ask", "scout", "hello", **trusting)
        assert (asked.code, asked.out) == (0, "Hi.\n"), asked.err
