"""Runs to read, and what the tests of this directory ask."""

from typing import Any

import httpx2

from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.staff.runs import Run, RunStatus
from resolvers.identity.machine_tokens import issue_workspace_token
from tests.world import Person, World, now


async def agent_of(world: World, **values: Any) -> Agent:
    agent = Agent(**{"workspace_id": world.workspace.id, "name": "Hand", "slug": f"a{new_id()}"} | values)
    await world.add(agent)
    return agent


async def crew_of(world: World, **values: Any) -> Crew:
    crew = Crew(**{"workspace_id": world.workspace.id, "name": "Engine", "slug": f"c{new_id()}"} | values)
    await world.add(crew)
    return crew


async def chat_of(world: World, agent: Agent) -> Chat:
    chat = Chat(workspace_id=agent.workspace_id, agent_id=agent.id, created_by=world.owner.user_id)
    await world.add(chat)
    return chat


async def run_of(world: World, agent: Agent, status: RunStatus = RunStatus.COMPLETED, **values: Any) -> Run:
    """An ended one has ended now, unless told otherwise."""
    ended = {} if status is RunStatus.RUNNING else {"finished_at": now()}
    run = Run(workspace_id=agent.workspace_id, agent_id=agent.id, status=status, **(ended | values))
    await world.add(run)
    return run


async def get(world: World, path: str, person: Person | None = None, **query: Any) -> Any:
    async with world.client(person or world.viewer) as client:
        answer = await client.get(f"/api/v1{path}", params={"workspace_id": world.workspace.id} | query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def master(world: World) -> str:
    token = world.settings.internal_token
    assert token is not None
    return token.get_secret_value()


async def internal(
    world: World, method: str, path: str, body: Any, token: str | None = "", **headers: str
) -> httpx2.Response:
    """A call of a program; '' is the master token."""
    given = {} if token is None else {"x-internal-token": token or master(world)}
    async with world.client(None, **given, **headers) as client:
        return await client.request(method, f"/api/v1/internal/runs{path}", json=body)


def bound(world: World, workspace_id: str) -> str:
    return issue_workspace_token(master(world), workspace_id)


async def row(world: World, table: str, id: str) -> dict[str, Any]:
    return dict(await world.database.fetchrow(f"SELECT * FROM {table} WHERE id = $1", id) or {})


async def position(world: World) -> int:
    """Where the outbox ends."""
    return await world.database.fetchval("SELECT coalesce(max(seq), 0) FROM events")  # type: ignore[no-any-return]


async def events(world: World, since: int) -> list[tuple[str, str, dict[str, Any]]]:
    return [(event["channel"], event["type"], event["payload"]) for event in await world.events(since)]
