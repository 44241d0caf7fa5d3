"""Whole turns: a message, a worker, a coding agent in the sandbox, and what the chat and the ledger keep of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from models.staff.agents import Agent, CliAdapter
from runtime.coding.installed import Installed
from runtime.engine.supervisor import Supervisor
from runtime.runs.outfit import InstanceOutfit
from tests.runtime.adapters.vendors import Call, Says, Vendor
from tests.runtime.coding.conftest import KEY, showing_python
from tests.runtime.doubles import LocalEngine
from tests.runtime.estate import Estate, estate_on

pytestmark = pytest.mark.anyio
LOOK = Says(text=("I will look.",), calls=(Call.of("t1", "Bash", command="pwd"),), usage=(100, 20, 7))
DONE = Says(text=("It is ", "there."), usage=(200, 30, 0))


@pytest.fixture
async def estate(
    database: Any, tmp_path: Path, server: Vendor, folder: Path, why_not: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Estate]:
    if why_not:
        pytest.skip(why_not)
    monkeypatch.setattr(Installed, "__init__", showing_python(Installed.__init__))
    settings: dict[str, Any] = {"run_adapter": "auto", "coding_agents": folder, "storage_path": tmp_path / "files"}
    settings |= {"anthropic_base_url": server.url, "anthropic_api_key": SecretStr(KEY)}
    async with estate_on(database, tmp_path, **settings) as made:
        worker = Supervisor(LocalEngine(), InstanceOutfit(made.settings), slots=4)
        await worker.start()
        yield made
        await worker.stop()


async def coder(estate: Estate, **fields: Any) -> Agent:
    usual: dict[str, Any] = {"cli_adapter": CliAdapter.CLAUDE_CODE, "llm_model": "claude-sonnet-4-5"}
    return await estate.agent(**usual | fields)


@pytest.mark.slow
async def test_a_chat_of_two_turns(estate: Estate, server: Vendor) -> None:
    server.says(LOOK, DONE, DONE)
    agent = await coder(estate)
    chat = await estate.chat(agent)
    run = await estate.ended((await estate.ask("Look around.", chat)).id)
    assert (run.status, run.error_message, run.exit_code) == ("COMPLETED", None, 0)
    told = [(frame["type"], frame.get("content")) for frame in await estate.frames(chat.id)]
    assert ("tool_result", f"/output/{agent.slug}\n") in told
    assert (await estate.messages(chat.id))[-1]["content"] == "I will look.It is there."
    again = await estate.ended((await estate.ask("And now?", chat)).id)
    assert again.status == "COMPLETED"
    roles = [message["role"] for message in server.asked[2]["messages"]]
    assert roles == ["user", "assistant", "user", "assistant", "user"]
    booked = await estate.owner.fetch(
        "SELECT provider, model, input_tokens, cached_input_tokens FROM model_calls ORDER BY created_at, id"
    )
    assert [tuple(row) for row in booked] == [
        ("Anthropic", "claude-sonnet-4-5", 100, 7),
        ("Anthropic", "claude-sonnet-4-5", 200, 0),
        ("Anthropic", "claude-sonnet-4-5", 200, 0),
    ]
    assert run.data is not None
    assert run.data["num_turns"] == 2


@pytest.mark.slow
async def test_a_user_calls_a_turn_off(estate: Estate, server: Vendor) -> None:
    server.says(Says(text=("one ", "two ", "three ") * 100, pause=0.1))
    chat = await estate.chat(await coder(estate))
    run = await estate.ask("Talk.", chat)
    async with asyncio.timeout(30):
        while not any(frame["type"] == "text" for frame in await estate.frames(chat.id)):
            await asyncio.sleep(0.05)
    await estate.cancel(chat.id)
    ended = await estate.ended(run.id, seconds=10)
    assert ended.status == "CANCELLED"
    async with asyncio.timeout(10):
        await server.gone.wait()
