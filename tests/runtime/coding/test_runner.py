"""What the runner makes of a coding agent: frames, charges, limits; and nothing is left of one that misbehaves."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from models.staff.agents import CliAdapter
from models.staff.runs import ChatEventType as E
from runtime.coding.adapter import CodingAdapter
from runtime.coding.inbox import Inbox
from runtime.coding.installed import KNOWN
from runtime.runs.job import Failed, Interrupted, Turn
from runtime.sandbox.namespace import Bubblewrap
from runtime.sandbox.program import Program
from tests.runtime.adapters.sinks import Crash, Journal, job
from tests.runtime.adapters.vendors import Call, Refuses, Says, Vendor
from tests.runtime.coding.conftest import KEY

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
Agents = Callable[..., CodingAdapter]
LOOK = Says(text=("I will ", "look."), calls=(Call.of("t1", "Bash", command="echo found"),), usage=(100, 20, 7))
DONE = Says(text=("It is ", "there."), usage=(200, 30, 0))


async def test_a_turn_with_a_tool_is_shown_and_booked(agent: Agents, server: Vendor, journal: Journal) -> None:
    server.says(LOOK, DONE)
    outcome = await agent().run(job("look"), journal.attempt())
    assert (outcome.error, outcome.exit_code) == (None, 0)
    assert journal.kinds == ["system", "text", "tool_call", "tool_result", "text", "result"]
    assert journal.text == "I will look.It is there."
    call, result = journal.of(E.tool_call, E.tool_result)
    assert call.metadata == {"tool_name": "Bash", "tool_id": "t1", "input": {"command": "echo found"}}
    assert (result.content, result.metadata) == ("found\n", {"tool_use_id": "t1"})
    charged = [(c.model, c.input_tokens, c.output_tokens, c.cached_input_tokens) for c in journal.charges.values()]
    assert charged == [("claude-sonnet-4-5", 100, 20, 7), ("claude-sonnet-4-5", 200, 30, 0)]
    told = journal.result
    assert (told["num_turns"], told["is_error"], told["content"]) == (2, False, "It is there.")
    assert told["usage"]["input_tokens"] == 300


async def test_the_key_stays_outside(agent: Agents, server: Vendor, journal: Journal) -> None:
    """Its model's server gets it; in the sandbox nothing has it: neither what we give, nor what the agent is given."""
    await agent(ANTHROPIC_API_KEY=KEY, OTHER="kept").run(job("DO show"), journal.attempt())
    told = json.loads(journal.text)
    assert KEY not in journal.text
    assert told["env"]["OTHER"] == "kept"
    assert (told["uid"], told["home"]) == (1000, [])
    assert told["env"]["ANTHROPIC_API_KEY"].startswith("sk-stand-in-")
    server.says(DONE)
    await agent().run(job("hello"), Journal().attempt())
    assert server.headers[-1]["x-api-key"] == KEY


async def test_the_conversation_goes_on_in_the_next_turn(agent: Agents, server: Vendor) -> None:
    server.says(DONE, DONE)
    history = (Turn("user", "I am Ada."), Turn("assistant", "Hello, Ada."))
    await agent().run(job("Who am I?", history=history), Journal().attempt())
    await agent().run(job("And now?", history=history), Journal().attempt())
    first, second = server.asked
    assert "I am Ada." in first["messages"][0]["content"]
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "user"]
    assert second["messages"][2]["content"] == "And now?"
    assert "Viktor" in second["system"]


async def test_a_session_that_is_lost_begins_anew(
    agent: Agents, server: Vendor, journal: Journal, tmp_path: Path
) -> None:
    server.says(DONE, DONE)
    await agent().run(job("one"), Journal().attempt())
    [kept] = tmp_path.rglob("coding/*/*/session")
    kept.write_text("00000000-0000-0000-0000-000000000000")
    outcome = await agent().run(job("two", history=[Turn("user", "one")]), journal.attempt())
    assert (outcome.error, journal.text) == (None, "It is there.")
    assert "one" in server.asked[1]["messages"][0]["content"]
    assert kept.read_text() != "00000000-0000-0000-0000-000000000000"


async def test_a_run_without_a_chat_leaves_no_home(agent: Agents, server: Vendor, tmp_path: Path) -> None:
    server.says(DONE)
    await agent().run(replace(job("one"), chat_id=None), Journal().attempt())
    assert list(tmp_path.rglob("coding/*")) == []


@pytest.mark.parametrize(
    ("limits", "subtype", "says"),
    [
        ({"max_turns": 1}, "error_max_turns", "The agent has used its one turn, and was ended"),
        ({"max_tokens": 50}, "error_max_tokens", "The run has used its 50 tokens, and was ended"),
        ({"max_tokens": 50, "max_cost": 10_000, "bought": True}, "error_max_budget_usd", "that its budget left to it"),
        ({"max_cost": 10}, "error_max_budget_usd", "that its budget left to it, and was ended"),
    ],
)
async def test_a_run_over_its_limits_asks_no_model_again(
    agent: Agents,
    server: Vendor,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
    limits: dict[str, int],
    subtype: str,
    says: str,
) -> None:
    async def cost(*_: object) -> float:
        return 0.001

    monkeypatch.setattr(CodingAdapter, "cost", cost)
    server.says(LOOK, DONE)
    outcome = await agent().run(job("look", **limits), journal.attempt())
    assert says in (outcome.error or "")
    assert (journal.result["subtype"], len(server.asked), len(journal.charges)) == (subtype, 1, 1)
    assert journal.kinds[-2:] == ["tool_result", "result"]


async def test_an_agent_that_ends_for_want_of_tokens_has_used_them(
    agent: Agents, server: Vendor, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused one more call it ends by itself, before it is ended."""
    monkeypatch.setattr(Inbox, "halt", lambda inbox: None)
    server.says(LOOK, DONE)
    outcome = await agent().run(job("look", max_tokens=50), journal.attempt())
    assert "The run has used its 50 tokens, and was ended" in (outcome.error or "")
    assert (journal.result["subtype"], len(server.asked)) == ("error_max_tokens", 1)


async def test_what_was_printed_before_the_limit_is_shown(
    agent: Agents, server: Vendor, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its stream is read late."""
    read = Program.read

    async def late(program: Program) -> bytes:
        await asyncio.sleep(0.2)
        return await read(program)

    monkeypatch.setattr(Program, "read", late)
    server.says(LOOK, DONE)
    await agent().run(job("look", max_tokens=50), journal.attempt())
    assert journal.kinds == ["system", "text", "tool_call", "tool_result", "result"]


@pytest.mark.slow
async def test_many_calls_at_once_use_no_more_than_one_beyond(agent: Agents, server: Vendor, journal: Journal) -> None:
    server.says(*[Says(text=("hel", "lo"), pause=0.05)] * 40)
    outcome = await agent().run(job("DO ask many at once", max_tokens=100), journal.attempt())
    assert "has used its 100 tokens" in (outcome.error or "")
    used = [one.input_tokens + one.output_tokens for one in journal.charges.values()]
    assert len(used) == len(server.asked)
    assert 100 <= sum(used) <= 115


@pytest.mark.slow
async def test_a_call_that_is_broken_off_is_booked(agent: Agents, server: Vendor, journal: Journal) -> None:
    """Whatever ends the run: what was under way by then is paid for."""
    server.says(Says(text=("hel", "lo", "you"), pause=2.0))
    with pytest.raises(Failed, match="is not a JSON object: oops"):
        await agent().run(job("DO ask and print garbage"), journal.attempt())
    assert [(one.input_tokens, one.estimated) for one in journal.charges.values()] == [(10, False)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("garbage", "Claude Code printed a line that is not a JSON object: ?�?[31m oops"),
        ("half", 'Claude Code printed a line that is not a JSON object: {"type": "assistant", "mess'),
        ("long", "Claude Code printed a line of more than 8 MiB"),
        ("flood", "Claude Code printed more than 64 MiB"),
        ("deep", 'Claude Code printed a line that is not a JSON object: {"type":[[['),
        ("shape", "Claude Code printed an unreadable event: assistant"),
        ("types", "Claude Code printed an unreadable event: assistant"),
        ("nothing", "Claude Code printed nothing for 1.5 seconds and was ended."),
        ("half and wait", "Claude Code printed nothing for 1.5 seconds and was ended."),
        ("blank lines", "Claude Code printed nothing for 1.5 seconds and was ended."),
    ],
)
async def test_what_makes_no_sense_ends_the_run(
    agent: Agents, journal: Journal, tmp_path: Path, does: str, says: str
) -> None:
    """And leaves nothing: no process, no home, no file."""
    began = time.monotonic()
    with pytest.raises(Failed) as failed:
        await agent(silence=1.5).run(replace(job(f"DO {does}"), chat_id=None), journal.attempt())
    assert says in str(failed.value)
    assert len(str(failed.value)) < 400
    assert time.monotonic() - began < 30
    assert left(tmp_path) == []
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []
    assert list(tmp_path.rglob("coding/*")) == []


@pytest.mark.parametrize(
    ("adapter", "event"),
    [
        (CliAdapter.CODEX_CLI, {"type": "item.completed", "item": 17}),
        (CliAdapter.CODEX_CLI, {"type": "thread.started", "thread_id": None}),
        (CliAdapter.CODEX_CLI, {"type": "item.completed", "item": {"id": "i", "type": "agent_message", "text": 1}}),
        (CliAdapter.GEMINI_CLI, {"type": "message"}),
        (CliAdapter.GEMINI_CLI, {"type": "message", "role": "assistant", "content": 1}),
        (CliAdapter.OPENCODE, {"type": "text", "part": {"text": 17}}),
        (CliAdapter.OPENCODE, {"type": "tool_use", "part": {"callID": 1, "tool": "t", "state": {"status": "x"}}}),
        (CliAdapter.OPENCODE, {"type": "tool_use", "part": {"callID": "c", "tool": "t", "state": "completed"}}),
    ],
)
async def test_an_event_of_another_shape_ends_the_run(
    agent: Agents, journal: Journal, tmp_path: Path, adapter: CliAdapter, event: dict[str, Any]
) -> None:
    name = KNOWN[adapter].name
    with pytest.raises(Failed, match=f"^{name} printed an unreadable event: {event['type']}$"):
        await agent(adapter).run(job(f"DO {json.dumps(event)}"), journal.attempt())
    assert left(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("fill memory", "its processes used more than 256 MiB of memory in total"),
        ("fill the disk", "The files of this crew take more than 64 MiB"),
    ],
)
async def test_one_that_takes_too_much_is_ended(
    agent: Agents, journal: Journal, tmp_path: Path, boundary: Bubblewrap, does: str, says: str
) -> None:
    boundary.limits = replace(boundary.limits, memory_sum=256 << 20, disk=64 << 20)
    outcome = await agent().run(job(f"DO {does}"), journal.attempt())
    assert (outcome.error or "").startswith(f"Claude Code was ended: {says}")
    assert left(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("does", ["reserve", "flood of errors"])
async def test_what_does_no_harm_is_let_be(agent: Agents, server: Vendor, journal: Journal, does: str) -> None:
    """An engine that compiles reserves gigabytes to write to, and holds a fraction of them."""
    server.says(DONE)
    assert (await agent().run(job(f"DO {does}"), journal.attempt())).error is None


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("say nothing more", "Claude Code ended without a result."),
        ("fail early", "Claude Code ended with exit code 64: no such option"),
    ],
)
async def test_an_end_without_a_result_is_none(agent: Agents, journal: Journal, does: str, says: str) -> None:
    outcome = await agent().run(job(f"DO {does}"), journal.attempt())
    assert outcome.error == says
    assert journal.result["errors"] == [says]


async def test_what_is_not_known_is_passed_over(agent: Agents, server: Vendor, journal: Journal) -> None:
    server.says(DONE)
    assert (await agent().run(job("DO unknown"), journal.attempt())).error is None


async def test_what_it_has_started_ends_with_it(
    agent: Agents, server: Vendor, journal: Journal, tmp_path: Path
) -> None:
    server.says(DONE)
    assert (await agent().run(job("DO leave somebody"), journal.attempt())).error is None
    assert left(tmp_path) == []


@pytest.mark.slow
async def test_a_cancelled_run_is_gone_within_two_seconds(
    agent: Agents, server: Vendor, journal: Journal, tmp_path: Path
) -> None:
    server.says(Says(text=("one ", "two ", "three") * 50, pause=0.2))
    task = asyncio.create_task(agent().run(job("talk"), journal.attempt()))
    async with asyncio.timeout(30):
        while not journal.text:
            await asyncio.sleep(0.02)
        assert left(tmp_path) != []
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 2
    assert left(tmp_path) == []


async def test_a_refused_key_ends_the_run_at_once(agent: Agents, server: Vendor, journal: Journal) -> None:
    server.says(Refuses(401, "authentication_error"))
    with pytest.raises(Failed, match=r"Anthropic refused the key \(HTTP 401\). Check ANTHROPIC_API_KEY."):
        await agent().run(job("hello"), journal.attempt())


async def test_a_key_that_was_rotated_too_early_goes_on_with_the_one_before(
    agent: Agents, server: Vendor, journal: Journal
) -> None:
    async def before() -> SecretStr:
        return SecretStr("sk-the-one-before")

    made = agent()
    made.model = replace(made.model, access=replace(made.model.access, before=before))
    server.knows = {"sk-the-one-before"}
    server.says(LOOK, DONE)
    assert (await made.run(job("look"), journal.attempt())).error is None
    assert [headers["x-api-key"] for headers in server.headers] == [KEY, *["sk-the-one-before"] * 2]
    assert len(journal.charges) == 2


async def test_another_error_is_told_by_the_agent(agent: Agents, server: Vendor, journal: Journal) -> None:
    server.says(Refuses(400))
    outcome = await agent().run(job("hello"), journal.attempt())
    assert outcome.error == "Claude Code: API Error: 400"
    assert journal.charges == {}


@pytest.mark.parametrize("crash", ["1 call", "2 call"])
async def test_a_run_that_was_cut_off_is_not_begun_again(
    agent: Agents, server: Vendor, journal: Journal, crash: str
) -> None:
    server.says(LOOK, DONE)
    with pytest.raises(Crash):
        await agent().run(job("look"), journal.attempt(crash_in=crash))
    asked = len(server.asked)
    with pytest.raises(Interrupted):
        await agent().run(job("look"), journal.attempt())
    assert len(server.asked) == asked


async def test_a_run_whose_end_is_known_ends_the_same_way(agent: Agents, server: Vendor, journal: Journal) -> None:
    server.says(LOOK, DONE)
    with pytest.raises(Crash):
        await agent().run(job("look"), journal.attempt(crash_after="3 call"))
    outcome = await agent().run(job("look"), journal.attempt())
    assert (outcome.error, len(server.asked)) == (None, 2)
    assert journal.result["num_turns"] == 2


async def test_a_run_between_two_steps_is_not_begun_again(agent: Agents, server: Vendor, journal: Journal) -> None:
    server.says(LOOK, DONE)
    with pytest.raises(Crash):
        await agent().run(job("look"), journal.attempt(crash_after="1 call"))
    with pytest.raises(Interrupted):
        await agent().run(job("look"), journal.attempt())


def left(mark: Path) -> list[str]:
    """Processes that have the variable of this test, whoever has started them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes()
        except OSError:
            continue
        if f"MARK={mark}\0".encode() in variables:
            found.append(process.name)
    return found
