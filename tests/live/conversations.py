"""Chats for tests of sockets, and frames in them without a worker."""

from models.agents import Agent
from models.base import new_id
from models.chats import Chat
from models.runs import Run, RunFrame
from resolvers.kernel.bus import Topic, bus
from tests.world import World


async def new_chat(world: World, **values: object) -> Chat:
    id = new_id()
    agent = Agent(workspace_id=world.workspace.id, name="Hand", slug=id)
    chat = Chat(**{"workspace_id": world.workspace.id, "agent_id": agent.id} | values)
    await world.add(agent, chat)
    return chat


async def new_run(world: World, chat: Chat, **values: object) -> Run:
    run = Run(**{"workspace_id": world.workspace.id, "agent_id": chat.agent_id, "chat_id": chat.id} | values)
    await world.add(run)
    return run


async def write_frames(world: World, chat: Chat, *payloads: dict[str, object], run: Run | None = None) -> int:
    """Appends chat_events, as a worker does; returns the number of the last one."""
    run_id = None if run is None else run.id
    async with world.database.transaction():
        raised = "UPDATE chats SET last_seq = last_seq + $2 WHERE id = $1 RETURNING last_seq"
        last: int = await world.database.fetchval(raised, chat.id, len(payloads))
        for number, payload in enumerate(payloads, last - len(payloads) + 1):
            await world.add(RunFrame(workspace_id=chat.workspace_id, chat_id=chat.id, seq=number, run_id=run_id, type="chat_event", payload=payload))
    bus.ring(Topic.frames, chat.id)
    return last


def text(content: str) -> dict[str, object]:
    return {"type": "text", "content": content}


DONE: dict[str, object] = {"type": "done", "content": ""}
