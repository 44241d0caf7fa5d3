"""A scripted agent does exactly what it is told, and a run of it that is taken over repeats nothing."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from models.staff.runs import ChatEventType
from runtime.adapters.scripted import DIRECTORY, SHOWN, ScriptedAdapter
from runtime.runs.job import Failed, Interrupted, Outcome, StuckLoop
from tests.runtime.adapters.sinks import Crash, Journal, job

pytestmark = pytest.mark.anyio


def script(*steps: dict[str, Any]) -> str:
    return json.dumps({"script": steps})


async def run(journal: Journal, prompt: str, **crash: str) -> Outcome:
    return await ScriptedAdapter().run(job(prompt), journal.attempt(**crash))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(DIRECTORY, str(tmp_path))
    return tmp_path


async def test_plain_text_is_echoed_in_pieces(journal: Journal) -> None:
    outcome = await run(journal, "hello there,\n  nice day")
    assert journal.text == "Viktor: hello there,\n  nice day"
    assert len(journal.of(ChatEventType.text)) > 3
    assert journal.kinds == ["system", "text", "result"]
    assert journal.events[0].metadata == {
        "subtype": "init",
        "model": "scripted",
        "tools": ["tool", "append"],
        "cwd": "",
        "mcp_servers": [],
    }
    assert journal.result["content"] == journal.text
    assert journal.result["usage"]["input_tokens"] > 0
    assert journal.result["usage"]["output_tokens"] > 0
    assert outcome == Outcome(exit_code=0, data=outcome.data)
    assert outcome.data["model"] == "scripted"


async def test_a_long_message_is_echoed_in_few_pieces(journal: Journal) -> None:
    began = time.process_time()
    await run(journal, "word " * 10_000 + " " * 10_000)
    assert time.process_time() - began < 2
    assert journal.text == "Viktor: " + "word " * 10_000 + " " * 10_000
    assert len(journal.of(ChatEventType.text)) <= 20


async def test_every_event_an_adapter_may_show(journal: Journal) -> None:
    await run(
        journal, script(*({"emit": {"type": type, "content": f"a {type}", "metadata": {"n": 1}}} for type in SHOWN))
    )
    assert [(e.type, e.content, e.metadata) for e in journal.events[1:-1]] == [
        (type, f"a {type}", {"n": 1}) for type in SHOWN
    ]


async def test_what_a_step_shows(journal: Journal) -> None:
    await run(
        journal,
        script(
            {"thinking": ["let me ", "see"]},
            {"text": "one", "delay": 0.05},
            {"tool": {"name": "Bash", "input": {"command": "ls"}, "result": "README.md", "is_error": True}},
            {"image": "aGk=", "media_type": "image/gif"},
            {"big": 10_000},
            {"usage": {"input_tokens": 7, "output_tokens": 9}},
        ),
    )
    assert journal.kinds == ["system", "thinking", "text", "tool_call", "tool_result", "image", "text", "result"]
    thinking, call, result, image = (
        journal.of(type)
        for type in (ChatEventType.thinking, ChatEventType.tool_call, ChatEventType.tool_result, ChatEventType.image)
    )
    assert [(e.content, e.metadata) for e in thinking] == [
        ("let me ", {"streaming": True}),
        ("see", {"streaming": True}),
    ]
    assert (call[0].content, call[0].metadata) == (
        "Bash",
        {"tool_name": "Bash", "tool_id": "t3", "input": {"command": "ls"}},
    )
    assert (result[0].content, result[0].metadata) == ("README.md", {"tool_use_id": "t3", "is_error": True})
    assert (image[0].content, image[0].metadata) == ("aGk=", {"media_type": "image/gif"})
    assert len(journal.text) == 10_003
    assert journal.result["usage"] == {
        "input_tokens": 7,
        "output_tokens": 9,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
    }


async def test_endings(journal: Journal) -> None:
    with pytest.raises(Failed, match=r"^out of luck$"):
        await run(Journal(), script({"text": "a"}, {"fail": "out of luck"}))
    with pytest.raises(RuntimeError):
        await run(Journal(), script({"raise": True}))
    assert await run(Journal(), script({"exit": 3})) == Outcome(error="The agent ended with code 3", exit_code=3)
    assert await run(journal, script({"exit": 0})) == Outcome(exit_code=0)
    assert journal.kinds == ["system"]


async def test_nothing_at_all_can_be_said(journal: Journal) -> None:
    assert (await run(journal, script())).error is None
    assert journal.kinds == ["system", "result"]
    assert journal.result["content"] == ""


async def test_the_same_call_again_and_again_is_a_stuck_loop(journal: Journal) -> None:
    with pytest.raises(StuckLoop):
        await run(journal, script({"tool": {"name": "Read", "input": {"a": 1}}, "times": 9}))
    assert len(journal.of(ChatEventType.tool_call)) == 5
    ids = [event.metadata and event.metadata["tool_id"] for event in journal.of(ChatEventType.tool_call)]
    assert len(set(ids)) == 5


async def test_delays_and_sleep_take_their_time(journal: Journal) -> None:
    began = time.monotonic()
    await run(journal, script({"text": ["a", "b", "c"], "delay": 0.1}, {"sleep": 0.1}))
    assert 0.3 <= time.monotonic() - began < 2


async def test_it_can_be_cancelled_while_it_waits(journal: Journal) -> None:
    task = asyncio.create_task(run(journal, script({"text": "a"}, {"sleep": 3000}, {"text": "b"})))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert journal.text == "a"


async def test_a_line_is_really_written(journal: Journal, folder: Path) -> None:
    await run(
        journal, script({"append": {"file": "out.txt", "line": "one"}}, {"append": {"file": "out.txt", "line": "two"}})
    )
    assert (folder / "out.txt").read_text() == "one\ntwo\n"
    assert [event.metadata for event in journal.of(ChatEventType.tool_result)] == [
        {"tool_use_id": "t1"},
        {"tool_use_id": "t2"},
    ]


@pytest.mark.parametrize("file", ["../out", "/etc/passwd", "a/b", ".hidden", "", "..", "a\n", "x" * 65])
async def test_nothing_is_written_elsewhere(journal: Journal, folder: Path, file: str) -> None:
    with pytest.raises(Failed, match="step 1"):
        await run(journal, script({"append": {"file": file, "line": "x"}}))
    assert list(folder.rglob("*")) == []
    assert journal.events == []


async def test_a_link_is_not_followed_and_nothing_is_written_without_a_directory(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = folder.parent / "target"
    (folder / "link").symlink_to(target)
    await run(journal, script({"append": {"file": "link", "line": "x"}}))
    monkeypatch.delenv(DIRECTORY)
    other = Journal()
    await run(other, script({"append": {"file": "plain", "line": "x"}}))
    assert not target.exists()
    assert sorted(path.name for path in folder.iterdir()) == ["link"]
    for each in (journal, other):
        assert [event.metadata for event in each.of(ChatEventType.tool_result)] == [
            {"tool_use_id": "t1", "is_error": True}
        ]


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"text": "a", "fail": "b"}, "step 2: a step does exactly one thing"),
        ({}, "step 2: a step does exactly one thing"),
        ({"dance": 1}, "step 2: Extra inputs are not permitted"),
        ({"sleep": 1e9}, "step 2"),
        ({"big": 1 << 40}, "step 2"),
        ({"emit": {"type": "done"}}, "step 2: type must be one of"),
        ({"exit": 700}, "step 2"),
        ({"times": 3}, "step 2"),
        ("text", "step 2"),
    ],
)
async def test_a_bad_script_says_where(journal: Journal, given: Any, where: str) -> None:
    with pytest.raises(Failed, match=f"^Bad script, {where}"):
        await run(journal, script({"text": "a"}, given))
    assert journal.events == []


STEPS = (
    {"text": "a"},
    {"append": {"file": "f", "line": "1"}},
    {"sleep": 0.01},
    {"append": {"file": "f", "line": "2"}},
    {"text": "b"},
)
NAMES = ["0 init", "1 text", "2 append", "3 sleep", "4 append", "5 text", "end"]


@pytest.mark.parametrize("when", ["crash_before", "crash_after"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_run_that_is_taken_over_between_steps_goes_on(
    journal: Journal, folder: Path, name: str, when: str
) -> None:
    with pytest.raises(Crash):
        await run(journal, script(*STEPS), **{when: name})
    second = journal.attempt()
    outcome = await ScriptedAdapter().run(job(script(*STEPS)), second)
    assert second.done == NAMES[NAMES.index(name) + (when == "crash_after") :]
    assert second.acting == [step for step in second.done if "append" in step]
    assert (folder / "f").read_text() == "1\n2\n"
    assert journal.text == "ab"
    assert journal.kinds == ["system", "text", *["tool_call", "tool_result"] * 2, "text", "result"]
    assert outcome.error is None


@pytest.mark.parametrize("name", ["1 text", "2 append", "4 append"])
async def test_a_step_that_was_cut_off_is_not_repeated(journal: Journal, folder: Path, name: str) -> None:
    with pytest.raises(Crash):
        await run(journal, script(*STEPS), crash_in=name)
    before = (folder / "f").read_text() if (folder / "f").exists() else ""
    with pytest.raises(Interrupted):
        await run(journal, script(*STEPS))
    assert ((folder / "f").read_text() if (folder / "f").exists() else "") == before
