"""People whose first run is still to come, each with a workspace of their own, and what a run has left there."""

from typing import Any

import httpx2

from models.people.workspaces import Role, Workspace
from tests.world import Person, World

SETUP, COMPLETE, STATUS = (f"/api/v1/onboarding/{verb}" for verb in ("setup", "complete", "status"))
NAMES = {"crew_name": "Deck  Crew #1!", "agent_name": "Ann Agent"}
TOKEN = "sk-ant-oat01-a-token-of-claude-code"
MADE = ("crews", "crew_members", "agents", "credentials", "agent_credentials")


async def newcomer(world: World, name: str, role: Role = Role.OWNER) -> tuple[Person, Workspace]:
    workspace = Workspace(name=f"Workspace of {name}", slug=name)
    await world.add(workspace)
    return await world.person(name, role, workspace), workspace


async def set_up(world: World, person: Person | None, **body: Any) -> httpx2.Response:
    return await world.rest(person, "POST", SETUP, body, workspace=None)


async def completed(world: World, person: Person) -> bool:
    answer = await world.rest(person, "GET", STATUS, workspace=None)
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"completed"}
    return bool(answer.json()["completed"])


async def rows(world: World, table: str, workspace: Workspace) -> list[dict[str, Any]]:
    found = await world.database.fetch(f'SELECT * FROM "{table}" WHERE workspace_id = $1', workspace.id)
    return [dict(row) for row in found]


async def counts(world: World, workspace: Workspace) -> dict[str, int]:
    return {table: len(await rows(world, table, workspace)) for table in MADE}


NOTHING = dict.fromkeys(MADE, 0)
EVERYTHING = dict.fromkeys(MADE, 1)


async def kept(world: World, workspace: Workspace, column: str) -> Any:
    return await world.database.fetchval(f"SELECT {column} FROM workspaces WHERE id = $1", workspace.id)


async def fact(world: World, name: str) -> str | None:
    value: str | None = await world.database.fetchval("SELECT value FROM instance_facts WHERE name = $1", name)
    return value
