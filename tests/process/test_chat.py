"""`crewship chat` as a person meets it: a process of its own against the running service."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from crewship.cli.terminal import one_line, printable
from models.people.workspaces import Membership, Role
from tests.process.commands import PATIENCE, ROOT
from tests.process.players import RESULT, Player, call, hire, playing, returned, text
from tests.process.terminals import Terminal, Wire, terminal
from tests.world import World, now, world_on

pytestmark = pytest.mark.anyio
CHAT = (sys.executable, "-m", "crewship", "chat")
TAKEN = "  1,010 in, 20 out tokens · 1.2 s\n"


@pytest.fixture(scope="module")
async def place(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    """A service that works on no run by itself."""
    async with world_on(module_database, tmp_path_factory.mktemp("data"), role="api") as made:
        await hire(made, made.owner)
        await hire(made, made.owner, "builder", "Builder")
        yield made


@pytest.fixture
async def player(place: World) -> AsyncIterator[Player]:
    async with playing(place) as made:
        yield made


class Said:
    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code, self.out, self.err = code, out.decode(), err.decode()


def environment(place: World, **variables: str) -> dict[str, str]:
    known = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "CREWSHIP_SERVER": place.url,
        "CREWSHIP_TOKEN": place.owner.token,
        "TERM": "xterm",
    }
    return known | variables


async def chat(place: World, *arguments: str, typed: str = "", **variables: str) -> Said:
    streams: dict[str, Any] = {
        "stdin": asyncio.subprocess.PIPE,
        "stdout": asyncio.subprocess.PIPE,
        "stderr": asyncio.subprocess.PIPE,
    }
    process = await asyncio.create_subprocess_exec(
        *CHAT, *arguments, env=environment(place, **variables), cwd="/", **streams
    )
    out, err = await asyncio.wait_for(process.communicate(typed.encode()), PATIENCE)
    assert process.returncode is not None
    return Said(process.returncode, out, err)


async def run_of(place: World, prompt: str) -> dict[str, Any]:
    return dict(
        await place.database.fetchrow("SELECT * FROM runs WHERE prompt = $1 ORDER BY created_at DESC LIMIT 1", prompt)
    )


# ---- one turn --------------------------------------------------------------------------------------------------------


async def test_one_message_gets_one_answer(place: World, player: Player) -> None:
    player.play("hello", text("Hi "), text("there."), RESULT)
    said = await chat(place, "scout", "hello", "--new")
    assert (said.code, said.out, said.err) == (0, "Hi there.\n", TAKEN)
    run = await run_of(place, "hello")
    assert (run["status"], run["triggered_by"]) == ("COMPLETED", place.owner.user_id)
    assert await place.database.fetchval("SELECT origin FROM chats WHERE id = $1", run["chat_id"]) == "CLI"


@pytest.mark.slow
async def test_the_answer_alone_is_on_stdout(place: World, player: Player) -> None:
    steps = (
        call("Bash", "t1", command="ls"),
        returned("t1", "README.md"),
        call("Read", "t2", path="x"),
        returned("t2", "no such file", is_error=True),
    )
    player.play("look", text("I look.\n"), *steps, text("One file."), RESULT)
    said = await chat(place, "scout", "look")
    assert said.out == "I look.\nOne file.\n"
    assert said.err.splitlines() == [
        '· Bash {"command": "ls"}',
        '· Read {"path": "x"}',
        "  failed: no such file",
        TAKEN.rstrip(),
    ]


async def test_what_an_agent_says_cannot_steer_the_terminal(place: World, player: Player) -> None:
    player.play("escape", text("a\x1b]0;title\x07b\x9b2Jc\r\nd"), call("Bash", "t1", command="\x1b[2J\nls"), RESULT)
    said = await chat(place, "scout", "escape")
    assert said.out == "a]0;titleb2Jc\nd\n"
    assert "\x1b" not in said.err


@pytest.mark.parametrize(
    ("given", "kept"),
    [("plain", "plain"), ("a\tb\nc", "a\tb\nc"), ("\x1b[31mred\x00\x7f", "[31mred"), ("é…\U0001f680", "é…\U0001f680")],
)
def test_printable(given: str, kept: str) -> None:
    assert printable(given) == kept


def test_a_long_line_is_cut_where_the_terminal_ends() -> None:
    assert one_line("a  b\nc", 10) == "a b c"
    assert one_line("x" * 11, 10) == "x" * 9 + "…"


@pytest.mark.slow
async def test_a_run_that_fails_is_exit_code_1(place: World, player: Player) -> None:
    player.play("break", text("Half an"))
    player.fails["break"] = "The provider refuses: no key"
    said = await chat(place, "scout", "break")
    assert (said.code, said.out, said.err) == (1, "Half an\n", "The provider refuses: no key\n")


@pytest.mark.slow
async def test_a_chat_goes_on_unless_a_new_one_is_asked_for(place: World, player: Player) -> None:
    for message in ("first", "second"):
        await chat(place, "builder", message)
    await chat(place, "builder", "third", "--new")
    first, second, third = [(await run_of(place, message))["chat_id"] for message in ("first", "second", "third")]
    assert first == second != third
    # nobody goes on in a chat of somebody else
    foreign = await chat(place, "builder", "fourth", CREWSHIP_TOKEN=place.member.token)
    assert foreign.code == 0
    assert (await run_of(place, "fourth"))["chat_id"] not in (first, third)


async def test_messages_come_from_a_pipe_line_by_line(place: World, player: Player) -> None:
    player.fails["three"] = "No more"
    said = await chat(place, "scout", typed="one\n\ntwo\nthree\nfour\n")
    assert (said.code, said.out) == (1, "one\ntwo\nthree\n")
    assert player.prompts == ["one", "two", "three"]  # what follows a failure is not sent


@pytest.mark.slow
async def test_a_busy_chat_is_said_so(place: World, player: Player) -> None:
    player.hold.set()
    first = asyncio.create_task(chat(place, "scout", "slow", "--new"))
    while "slow" not in player.prompts:
        await asyncio.sleep(0.02)
    second = await chat(place, "scout", "quick")
    player.hold.clear()
    assert (second.code, second.out, second.err) == (1, "", "Your last message is still being answered\n")
    assert (await first).code == 0
    assert player.prompts == ["slow"]


async def test_an_agent_that_waits_for_a_review_says_so(place: World, player: Player) -> None:
    await place.database.execute("UPDATE agents SET status = 'PENDING_REVIEW' WHERE slug = 'builder'")
    try:
        said = await chat(place, "builder", "hello", "--new")
    finally:
        await place.database.execute("UPDATE agents SET status = 'IDLE' WHERE slug = 'builder'")
    assert (said.code, said.out, said.err) == (1, "", "The agent is waiting for an approval\n")
    assert player.prompts == []


@pytest.mark.slow
async def test_a_group_hears_who_mentions_the_agent(place: World, player: Player) -> None:
    await chat(place, "builder", "alone", "--new")
    await place.database.execute(
        "UPDATE chats SET visibility = 'group' WHERE id = $1", (await run_of(place, "alone"))["chat_id"]
    )
    unheard = await chat(place, "builder", "among us")
    assert (unheard.code, unheard.out) == (0, "")
    assert unheard.err.startswith("in a group the agent answers only messages that mention it as @builder\n")
    assert (await chat(place, "builder", "@builder and you?")).out == "@builder and you?\n"
    assert player.prompts == ["alone", "@builder and you?"]


# ---- what can be wrong -----------------------------------------------------------------------------------------------


async def test_a_server_that_is_not_there(place: World) -> None:
    said = await chat(place, "scout", "hello", CREWSHIP_SERVER="http://127.0.0.1:9")
    assert (said.code, said.out) == (1, "")
    assert (
        said.err == "crewship: http://127.0.0.1:9 does not answer;"
        " start it with `crewship serve`, or name another with --server or CREWSHIP_SERVER\n"
    )


@pytest.mark.slow
async def test_bad_addresses_tokens_and_files(place: World, tmp_path: Any) -> None:
    assert "is not a URL" in (await chat(place, "scout", "hello", "--server", "localhost:8080")).err
    assert "does not accept this token" in (await chat(place, "scout", "hello", "--token", "crewship_cli_nothing")).err
    assert "requires a login: run `crewship login`" in (await chat(place, "scout", "hello", CREWSHIP_TOKEN="")).err
    assert (
        "cannot be read (No such file"
        in (await chat(place, "scout", "hello", "--profile", str(tmp_path / "absent"))).err
    )
    assert "the message is empty" in (await chat(place, "scout", "  ")).err
    assert "may have 60,000 bytes" in (await chat(place, "scout", "ä" * 30_001)).err


async def test_an_unknown_agent_is_answered_with_the_known_ones(place: World) -> None:
    said = await chat(place, "nemo", "hello")
    assert (said.code, said.err) == (1, "crewship: there is no agent 'nemo' in Workspace; there are: builder, scout\n")


@pytest.mark.slow
async def test_who_is_in_several_workspaces_names_one(place: World, player: Player) -> None:
    both = Membership(workspace_id=place.other.id, user_id=place.manager.user_id, role=Role.VIEWER, accepted_at=now())
    await place.add(both)
    token = place.manager.token
    assert (
        "name one with --workspace or CREWSHIP_WORKSPACE (other, workspace)"
        in (await chat(place, "scout", "hello", CREWSHIP_TOKEN=token)).err
    )
    assert (
        "you are in no workspace 'third'; there are: other, workspace"
        in (await chat(place, "scout", "x", "--workspace", "third", CREWSHIP_TOKEN=token)).err
    )
    assert (
        "there is no agent 'scout' in Other; it has no agents yet"
        in (await chat(place, "scout", "x", "--workspace", "other", CREWSHIP_TOKEN=token)).err
    )
    assert (await chat(place, "scout", "hello", CREWSHIP_TOKEN=token, CREWSHIP_WORKSPACE=place.workspace.id)).code == 0
    assert (
        "you are not a member of any workspace yet"
        in (await chat(place, "scout", "x", CREWSHIP_TOKEN=place.nobody.token)).err
    )


@pytest.mark.slow
async def test_a_profile_names_server_and_token_and_the_command_line_wins(
    place: World, player: Player, tmp_path: Any
) -> None:
    profile = tmp_path / "profile"
    profile.write_text(f"# mine\nCREWSHIP_SERVER={place.url}\nexport CREWSHIP_TOKEN='{place.owner.token}'\n")
    absent = {"CREWSHIP_SERVER": "http://127.0.0.1:9", "CREWSHIP_TOKEN": "crewship_cli_other"}
    assert (await chat(place, "scout", "hello", "--profile", str(profile), **absent)).code == 0
    assert (
        "127.0.0.1:9 does not answer"
        in (await chat(place, "scout", "hello", "--profile", str(profile), "--server", "http://127.0.0.1:9")).err
    )


# ---- a wire that breaks ----------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_broken_connection_loses_and_doubles_nothing(place: World, player: Player) -> None:
    words = [f"{number} " for number in range(300)]
    player.play("count", *(event for word in words for event in (text(word), 0.01)), RESULT)
    wire = Wire(place.url)
    async with wire.open() as url:
        asked = asyncio.create_task(chat(place, "scout", "count", "--new", CREWSHIP_SERVER=url))
        while "count" not in player.prompts:
            await asyncio.sleep(0.01)
        for _ in range(6):
            await asyncio.sleep(0.3)
            assert not asked.done()
            wire.cut()
        said = await asked
    assert (said.code, said.out, said.err) == (0, "".join(words) + "\n", TAKEN)
    assert player.prompts == ["count"]


SWEPT = "INSERT INTO instance_facts (name, value) VALUES ('events_swept', pg_current_xact_id()::text)"


@pytest.mark.slow
@pytest.mark.parametrize("swept", [False, True], ids=["kept", "swept"])
async def test_a_turn_that_ends_while_nobody_listens_is_shown_whole(place: World, player: Player, swept: bool) -> None:
    """By its events, and by the history of the chat where these are not kept any more."""
    prompt = f"away {swept}"
    player.play(prompt, text("Before. "), 0.8, text("After."), RESULT)
    wire = Wire(place.url)
    async with wire.open() as url:
        asked = asyncio.create_task(chat(place, "scout", prompt, "--new", CREWSHIP_SERVER=url))
        begun = "SELECT f.seq FROM run_frames f JOIN runs r ON r.id = f.run_id"
        begun += " WHERE r.prompt = $1 AND f.payload ->> 'content' = 'Before. '"
        while not await place.database.fetchval(begun, prompt):
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2)
        wire.refusing = True
        wire.cut()
        while (await run_of(place, prompt))["status"] == "RUNNING":
            await asyncio.sleep(0.02)
        if swept:
            await place.database.execute(SWEPT)
        wire.refusing = False
        said = await asked
    await place.database.execute("DELETE FROM instance_facts WHERE name = 'events_swept'")
    assert (said.code, said.out, said.err) == (0, "Before. After.\n", TAKEN)


@pytest.mark.slow
async def test_a_login_that_ends_ends_the_turn(place: World, player: Player) -> None:
    made = (await place.rest(place.owner, "POST", "/api/v1/auth/cli-token", {"name": "For a moment"})).json()
    player.play("held", text("So "), 0.5, text("long."), RESULT)
    asked = asyncio.create_task(chat(place, "scout", "held", "--new", CREWSHIP_TOKEN=made["token"]))
    while not await place.database.fetchval("SELECT 1 FROM run_frames WHERE payload ->> 'content' = 'So '"):
        await asyncio.sleep(0.02)
    player.hold.set()
    gone = await place.rest(place.owner, "DELETE", f"/api/v1/auth/cli-tokens/{made['id']}")
    assert gone.is_success, gone.text
    said = await asked
    player.hold.clear()
    assert (said.code, said.out) == (1, "So \n")
    assert said.err == "crewship: the login has expired; run `crewship login`\n"
    while (await run_of(place, "held"))["status"] == "RUNNING":  # the next test goes on in this chat
        await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_a_message_whose_arrival_is_not_known_is_sent_once(place: World, player: Player) -> None:
    """The wire breaks soon after, or before, the message has passed it."""
    for number in range(6):
        wire = Wire(place.url)
        async with wire.open() as url:
            asked = asyncio.create_task(chat(place, "scout", f"once {number}", CREWSHIP_SERVER=url))
            while wire.connections < 2 and not asked.done():  # the second one is the socket
                await asyncio.sleep(0.001)
            await asyncio.sleep(number * 0.006)
            wire.cut()
            said = await asked
        assert (said.code, said.out, said.err) == (0, f"once {number}\n", TAKEN), number
    assert player.prompts == [f"once {number}" for number in range(6)]


# ---- in a terminal ---------------------------------------------------------------------------------------------------


async def begun(shown: Terminal, message: str) -> None:
    await shown.see("you> ")
    shown.type(f"{message}\r")


@pytest.mark.slow
async def test_a_conversation_in_a_terminal(place: World, player: Player) -> None:
    player.play("hello", {"type": "status", "content": "starting"}, 0.3, text("Hi "), 0.1, text("there."), RESULT)
    async with terminal(*CHAT, "scout", "--new", env=environment(place)) as shown:
        await shown.see("Scout in Workspace. Ctrl-C cancels an answer, Ctrl-D leaves.")
        await begun(shown, "hello")
        await shown.see("scout> Hi there.")
        await shown.see("you> ", 2)
        shown.type("again\r")
        await shown.see("scout> again")
        await shown.see("you> ", 3)
        shown.type("\x04")
        assert await shown.end() == 0
    assert "starting" in shown.text
    assert shown.raw.count("\x1b[?25l") == shown.raw.count("\x1b[?25h")  # the cursor is back
    async with terminal(*CHAT, "scout", env=environment(place)) as shown:
        await shown.see("Continuing “hello”; --new begins another chat.")
        await shown.see("you> ")
        shown.type("\x03")
        assert await shown.end(again="\x03") == 0
    assert "Traceback" not in shown.text


@pytest.mark.slow
async def test_ctrl_c_cancels_the_answer_and_not_the_conversation(place: World, player: Player) -> None:
    player.play("long", text("A long "), *([0.05, text("tale ")] * 400), RESULT)
    async with terminal(*CHAT, "scout", "--new", env=environment(place)) as shown:
        await begun(shown, "long")
        await shown.see("tale")
        shown.type("\x03")
        await shown.see("  cancelled\n")
        await shown.see("you> ", 2)
        shown.type("hello\r")
        await shown.see("scout> hello")
        await shown.see("you> ", 3)
        shown.type("\x04")
        assert await shown.end() == 0
    run = await run_of(place, "long")
    assert (run["status"], run["error_message"]) == ("CANCELLED", None)
    assert "Traceback" not in shown.text


@pytest.mark.slow
async def test_a_second_ctrl_c_does_not_wait(place: World, player: Player) -> None:
    player.play("stuck", text("So "), *([0.05, text("on ")] * 400), RESULT)
    async with terminal(*CHAT, "scout", "stuck", "--new", env=environment(place)) as shown:
        await shown.see("So")
        player.hold.set()
        shown.type("\x03")
        await shown.see("cancelling")
        shown.type("\x03")
        assert await shown.end() == 130
    player.hold.clear()
    while (await run_of(place, "stuck"))["status"] == "RUNNING":
        await asyncio.sleep(0.02)
    assert (await run_of(place, "stuck"))["status"] == "CANCELLED"  # what was asked for first
    assert "Traceback" not in shown.text


@pytest.mark.slow
async def test_what_was_said_elsewhere_is_shown_before_the_next_message(place: World, player: Player) -> None:
    player.play("browser", text("Answered there."), RESULT)
    async with terminal(*CHAT, "scout", "--new", env=environment(place)) as shown:
        await begun(shown, "here")
        await shown.see("you> ", 2)
        chat_id = (await run_of(place, "here"))["chat_id"]
        send = 'mutation ($chat: ID!) { sendMessage(input: { chatId: $chat, content: "browser" }) { runId } }'
        assert "errors" not in await place.graphql(place.member, send, {"chat": chat_id})
        while (await run_of(place, "browser"))["status"] == "RUNNING":
            await asyncio.sleep(0.02)
        shown.type("next\r")
        await shown.see("Member Example> browser\nscout> Answered there.\n")
        await shown.see("scout> next")
