"""Agents and chats to talk in, and ways to talk."""

from typing import Any

from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import Chat, Message, MessageRole
from models.staff.crews import Crew
from models.staff.runs import Run
from resolvers.errors import Refusal
from resolvers.kernel.declarations.operation import OPERATIONS
from tests.world import Person, World

SEND = "mutation($i: SendMessageInput!) { sendMessage(input: $i) { runId messageId fromSeq seq } }"
CANCEL = "mutation($i: CancelMessageInput!) { cancelMessage(input: $i) { cancelled } }"


async def agent_of(world: World, **values: Any) -> Agent:
    agent = Agent(**{"workspace_id": world.workspace.id, "name": "Hand", "slug": f"a{new_id()}"} | values)
    await world.add(agent)
    return agent


async def crew_of(world: World) -> Crew:
    crew = Crew(workspace_id=world.workspace.id, name="Engine", slug=new_id())
    await world.add(crew)
    return crew


async def chat_of(world: World, agent: Agent | None = None, **values: Any) -> Chat:
    agent = agent or await agent_of(world)
    chat = Chat(agent_id=agent.id, **{"workspace_id": agent.workspace_id, "created_by": world.owner.user_id} | values)
    await world.add(chat)
    return chat


async def said(world: World, chat: Chat, content: str = "Hello", **values: Any) -> Message:
    message = Message(
        workspace_id=chat.workspace_id, chat_id=chat.id, **{"role": MessageRole.assistant, "content": content} | values
    )
    await world.add(message)
    return message


async def run_of(world: World, chat: Chat, **values: Any) -> Run:
    run = Run(workspace_id=chat.workspace_id, agent_id=chat.agent_id, chat_id=chat.id, prompt="Hello", **values)
    await world.add(run)
    return run


async def elsewhere(world: World) -> Chat:
    """A chat of the other workspace."""
    return await chat_of(world, await agent_of(world, workspace_id=world.other.id), created_by=world.outsider.user_id)


async def send(
    world: World, person: Person, chat_id: str, content: str = "Hello", max_turns: int | None = None
) -> dict[str, Any]:
    """What sendMessage answers; a refusal as its extensions."""
    return await told(
        world, person, SEND, {"chatId": chat_id, "content": content, "maxTurns": max_turns}, "sendMessage"
    )


async def cancel(world: World, person: Person, chat_id: str) -> dict[str, Any]:
    return await told(world, person, CANCEL, {"chatId": chat_id}, "cancelMessage")


async def told(world: World, person: Person, document: str, values: dict[str, Any], field: str) -> dict[str, Any]:
    answer = await world.graphql(person, document, {"i": values})
    if "errors" in answer:
        [error] = answer["errors"]
        refused: dict[str, Any] = error["extensions"]
        return refused
    made: dict[str, Any] = answer["data"][field]
    return made


async def refusal(name: str, person: Person, **raw: Any) -> Refusal:
    """The operation called as a socket would, refused."""
    try:
        await OPERATIONS[name](person.caller, raw)
    except Refusal as refused:
        return refused
    raise AssertionError(f"{name} was not refused")


async def rows(world: World, sql: str, *values: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in await world.database.fetch(sql, *values)]


async def row(world: World, table: str, id: str) -> dict[str, Any]:
    [found] = await rows(world, f"SELECT * FROM {table} WHERE id = $1", id)
    return found


async def frames(world: World, chat_id: str) -> list[tuple[int, str, dict[str, Any]]]:
    found = await rows(world, "SELECT seq, type, payload FROM run_frames WHERE chat_id = $1 ORDER BY seq", chat_id)
    return [(frame["seq"], frame["type"], frame["payload"]) for frame in found]


async def position(world: World) -> int:
    """Where the outbox ends."""
    return await world.database.fetchval("SELECT coalesce(max(seq), 0) FROM events")  # type: ignore[no-any-return]


async def events(world: World, since: int) -> list[tuple[str, str, dict[str, Any]]]:
    return [(event["channel"], event["type"], event["payload"]) for event in await world.events(since)]
