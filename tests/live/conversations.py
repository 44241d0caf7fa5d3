"""Chats for tests of sockets, and frames in them without a worker."""

from typing import Any

from models.base import new_id
from models.people.workspaces import Workspace
from models.staff.agents import Agent, AgentStatus
from models.staff.chats import Chat
from models.staff.runs import Run, RunFrame
from resolvers.instance.telemetry import METERS
from resolvers.kernel.store.bus import Topic, bus
from tests.live.sockets import Client
from tests.world import World


async def new_chat(
    world: World, *, workspace: Workspace | None = None, status: AgentStatus = AgentStatus.IDLE, **values: Any
) -> Chat:
    """With an agent of its own."""
    place, id = (workspace or world.workspace).id, new_id()
    agent = Agent(workspace_id=place, name="Hand", slug=id, status=status)
    chat = Chat(workspace_id=place, agent_id=agent.id, **values)
    await world.add(agent, chat)
    return chat


async def new_run(world: World, chat: Chat) -> dict[str, Any]:
    """One that nobody works on."""
    await world.add(Run(workspace_id=chat.workspace_id, agent_id=chat.agent_id, chat_id=chat.id))
    return await live_run(world, chat)


async def live_run(world: World, chat: Chat) -> dict[str, Any]:
    return dict(await world.database.fetchrow("SELECT * FROM runs WHERE chat_id = $1 AND status = 'RUNNING'", chat.id))


async def end_run(world: World, chat: Chat, run: dict[str, Any]) -> None:
    await world.database.execute("UPDATE runs SET status = 'COMPLETED', finished_at = now() WHERE id = $1", run["id"])
    await write_frames(world, chat, DONE, run=run)


async def write_frames(
    world: World, chat: Chat, *payloads: dict[str, object], run: dict[str, Any] | None = None
) -> int:
    """Appends chat_events, as a worker does; returns the number of the last one."""
    run_id = None if run is None else run["id"]
    async with world.database.transaction():
        raised = "UPDATE chats SET last_seq = last_seq + $2 WHERE id = $1 RETURNING last_seq"
        last: int = await world.database.fetchval(raised, chat.id, len(payloads))
        for number, payload in enumerate(payloads, last - len(payloads) + 1):
            await world.add(
                RunFrame(
                    workspace_id=chat.workspace_id,
                    chat_id=chat.id,
                    seq=number,
                    run_id=run_id,
                    type="chat_event",
                    payload=payload,
                )
            )
    bus.ring(Topic.frames, f"{chat.workspace_id}/{chat.id}")
    return last


def text(content: str) -> dict[str, object]:
    return {"type": "text", "content": content}


DONE: dict[str, object] = {"type": "done", "content": ""}


async def send(client: Client, chat_id: str, content: str = "hello", **more: Any) -> None:
    await client.say("send_message", payload={"session_id": chat_id, "content": content, **more})


async def resume(client: Client, chat_id: str, last_seq: int = 0) -> None:
    await client.say("resume", payload={"session_id": chat_id, "last_seq": last_seq})


def calls(operation: str) -> int:
    """How often it was called so far, however that ended."""
    return sum(METERS[operation].codes.values())


def shown(client: Client, channel: str) -> list[tuple[Any, ...]]:
    """(type, seq, content) of the frames of a chat."""
    heard = client.on(channel)
    return [
        (f["payload"].get("type", f["type"]), f.get("seq"), f["payload"].get("content", f["payload"].get("from_seq")))
        for f in heard
    ]
