"""Conversations over /ws with a running agent: all the way from message to `done` (contract: websocket.chat_stream)."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.staff.chats import Chat
from runtime.adapters.scripted import ScriptedAdapter
from runtime.engine.supervisor import Supervisor, Timing
from tests.live.conversations import new_chat
from tests.live.raw import raw
from tests.live.sockets import Client, address, client_of, ticket
from tests.runtime.doubles import LocalEngine, Wardrobe
from tests.world import World

pytestmark = pytest.mark.anyio
QUICK = Timing(lease=5.0, extend=0.3, poll=0.1, begin=2.0, patience=0.5)


@pytest.fixture(autouse=True)
async def _worker(world: World) -> AsyncIterator[None]:
    worker = Supervisor(LocalEngine(), Wardrobe(ScriptedAdapter().run), slots=8, timing=QUICK)
    await worker.start()
    yield
    await worker.stop()


def script(*steps: dict[str, Any]) -> str:
    return json.dumps({"script": steps})


async def ask(client: Client, chat: Chat, content: str) -> None:
    await client.say("send_message", payload={"session_id": chat.id, "content": content})


def is_done(frame: dict[str, Any]) -> bool:
    return frame["type"] == "chat_event" and frame["payload"]["type"] == "done"


async def done(client: Client, chat: Chat, times: int = 1) -> list[dict[str, Any]]:
    name = f"session:{chat.id}"
    await client.until(lambda: sum(map(is_done, client.on(name))) == times, 20)
    return client.on(name)


def kinds(frames: list[dict[str, Any]]) -> list[str]:
    return [frame["payload"].get("type", frame["type"]) for frame in frames]


async def test_a_message_is_answered_in_order_to_the_sender_and_to_whoever_listens(world: World) -> None:
    chat = await new_chat(world)
    steps = (
        {"thinking": ["hm", "m"]},
        {"text": ["I will ", "look."]},
        {"tool": {"name": "Bash", "input": {"command": "ls"}, "result": "README.md"}},
    )
    async with (
        client_of(world, world.viewer) as client,
        client_of(world, world.owner) as other,
        client_of(world, world.admin) as follower,
    ):
        await other.subscribe(f"session:{chat.id}")
        await follower.subscribe(f"agent:{chat.agent_id}")
        await follower.subscribe(f"workspace:{world.workspace.id}")
        await other.settle()
        await follower.settle()
        await ask(client, chat, script(*steps, {"text": "One file."}))
        frames = await done(client, chat)
        assert kinds(frames)[:2] == ["run_begin", "user_message"]
        assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
        said = [kind for kind in kinds(frames) if kind in ("thinking", "text", "tool_call", "tool_result", "done")]
        assert list(dict.fromkeys(said)) == ["thinking", "text", "tool_call", "tool_result", "done"]
        assert (
            "".join(f["payload"]["content"] for f in frames if f["payload"].get("type") == "text")
            == "I will look.One file."
        )
        assert [(f["seq"], f["type"], f["payload"]) for f in await done(other, chat)] == [
            (f["seq"], f["type"], f["payload"]) for f in frames
        ]
        await follower.until(lambda: len(follower.of("run.completed", "agent.status")) >= 3)
        events = [
            (frame["type"], frame["payload"]["status"]) for frame in follower.on(f"workspace:{world.workspace.id}")
        ]
        assert events == [
            ("run.started", "RUNNING"),
            ("agent.status", "RUNNING"),
            ("run.completed", "COMPLETED"),
            ("agent.status", "IDLE"),
        ]
        await follower.until(lambda: len(follower.on(f"agent:{chat.agent_id}")) == len(frames) - 1)
        assert [frame["payload"] for frame in follower.on(f"agent:{chat.agent_id}")] == [
            frame["payload"] for frame in frames[1:]
        ]
        await ask(client, chat, "again")
        again = await done(client, chat, 2)
        assert [frame["seq"] for frame in again] == list(range(1, len(again) + 1))
        assert again[len(frames)]["payload"] == {"from_seq": len(frames)}


async def test_a_run_that_fails_says_so_twice_and_ends(world: World) -> None:
    chat = await new_chat(world)
    async with client_of(world, world.viewer) as client:
        await ask(client, chat, script({"text": "so far"}, {"fail": "the model is away"}))
        frames = await done(client, chat)
        assert kinds(frames)[-3:] == ["error", "error", "done"]
        assert "the model is away" in frames[-3]["payload"]["content"]


async def test_a_run_is_called_off_by_whoever_started_it(world: World) -> None:
    chat = await new_chat(world)
    async with client_of(world, world.viewer) as client, client_of(world, world.viewer) as second:
        await ask(client, chat, script({"text": "waiting"}, {"sleep": 60}, {"text": "never said"}))
        await client.until(lambda: "text" in kinds(client.on(f"session:{chat.id}")))
        await ask(second, chat, "meanwhile")
        await second.hears("error", channel=f"session:{chat.id}")
        await second.say("cancel_message", payload={"session_id": chat.id})  # from another socket of the same user
        frames = await done(client, chat)
        assert "error" not in kinds(frames)
        assert await world.database.fetchval("SELECT status FROM runs WHERE chat_id = $1", chat.id) == "CANCELLED"


@pytest.mark.slow
async def test_a_socket_that_is_cut_again_and_again_sees_the_whole_run(world: World) -> None:
    chat = await new_chat(world)
    pieces = [f"{n} " for n in range(400)]
    token, name = await ticket(world, world.viewer), f"session:{chat.id}"
    heard: dict[int, dict[str, Any]] = {}
    cuts, ended = 0, False
    async with client_of(world, world.viewer) as client:
        await ask(client, chat, script({"text": pieces, "delay": 0.005}))
        await client.until(lambda: len(client.on(name)) >= 2)
        heard |= {frame["seq"]: frame for frame in client.on(name)}  # and then it is cut, too
    while not ended:
        async with raw(address(world, token)) as line:
            await line.say(type="subscribe", channel=name, after=heard[_known(heard)]["cursor"])
            if cuts % 2:
                await line.say(
                    type="resume", payload={"session_id": chat.id, "last_seq": random.randrange(_known(heard))}
                )
            ended = await _listen(line, heard)
        cuts += 1
    assert sorted(heard) == list(range(1, len(heard) + 1))
    text = "".join(heard[n]["payload"]["content"] for n in sorted(heard) if heard[n]["payload"].get("type") == "text")
    assert text == "".join(pieces)
    assert cuts > 5
    assert is_done(heard[max(heard)])


def _known(heard: dict[int, Any]) -> int:
    """Up to which frame nothing is missing."""
    return next(n for n in range(len(heard) + 1) if n + 1 not in heard)


async def _listen(line: Any, heard: dict[int, dict[str, Any]]) -> bool:
    """For a moment; True when the run has ended."""
    try:
        async with asyncio.timeout(random.random() / 5):
            while True:
                frame = await line.hear()
                if "seq" in frame:
                    heard[frame["seq"]] = frame
                if is_done(frame) and sorted(heard) == list(range(1, frame["seq"] + 1)):
                    return True
    except TimeoutError:
        line.writer.transport.abort()
        return False
