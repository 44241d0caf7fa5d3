"""What commands leave in the audit log: by whose right, and how rows changed."""

from typing import Any

import orjson
import pytest

from models.people.auth import CliToken, User
from models.resources.credentials import Credential
from models.staff.agents import Agent
from resolvers.identity.caller import Caller
from resolvers.kernel.store.differences import LONGEST, UNTOLD, differences, told_of
from resolvers.staff.agents import agents
from tests.world import World

pytestmark = pytest.mark.anyio


async def agent(world: World, slug: str, **values: Any) -> str:
    made = await world.rest(world.owner, "POST", "/api/v1/agents", {"name": "Ann", "slug": slug, **values})
    assert made.status_code == 201, made.text
    id: str = made.json()["id"]
    return id


async def entries(world: World, id: str) -> list[dict[str, Any]]:
    answer = await world.client(world.owner).get(
        "/api/v1/audit", params={"workspace_id": world.workspace.id, "entity_id": id}
    )
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def test_an_update_says_what_changed_from_what_to_what(world: World) -> None:
    id = await agent(world, "changed", description="old")
    sent = {"name": "Anna", "description": None, "timeout_seconds": 900, "slug": "changed"}
    changed = await world.rest(world.owner, "PATCH", f"/api/v1/agents/{id}", sent)
    assert changed.status_code == 200, changed.text
    entry, created = await entries(world, id)
    assert entry["changes"] == {
        "name": {"before": "Ann", "after": "Anna"},
        "description": {"before": "old", "after": None},
        "timeout_seconds": {"before": 1800, "after": 900},
    }
    assert orjson.loads(entry["metadata"]) == sent
    assert "changes" not in created
    text = "query($ws: ID!, $id: ID) { auditLog(workspaceId: $ws, entityId: $id) { nodes { actorType changes } } }"
    answer = await world.graphql(world.owner, text, {"id": id})
    assert answer["data"]["auditLog"]["nodes"][0] == {
        "actorType": "token",
        "changes": [
            {"field": "description", "before": "old", "after": None},
            {"field": "name", "before": "Ann", "after": "Anna"},
            {"field": "timeout_seconds", "before": 1800, "after": 900},
        ],
    }


async def test_an_update_of_nothing_new_has_no_changes(world: World) -> None:
    id = await agent(world, "same")
    await world.rest(world.owner, "PATCH", f"/api/v1/agents/{id}", {"name": "Ann"})
    assert "changes" not in (await entries(world, id))[0]


async def test_a_crew_is_compared_too(world: World) -> None:
    made = await world.rest(world.owner, "POST", "/api/v1/crews", {"name": "Deck", "slug": "deck-compared"})
    await world.rest(world.owner, "PATCH", f"/api/v1/crews/{made.json()['id']}", {"name": "Bridge"})
    assert (await entries(world, made.json()["id"]))[0]["changes"] == {"name": {"before": "Deck", "after": "Bridge"}}


async def test_what_may_hold_a_secret_is_told_of_and_not_shown(world: World) -> None:
    id = await agent(world, "secretive")
    config = '{"mcpServers": {"s": {"command": "x", "env": {"KEY": "sk-very-secret"}}}}'
    answer = await world.rest(world.owner, "PATCH", f"/api/v1/agents/{id}", {"mcp_config_json": config})
    assert answer.status_code == 200, answer.text
    assert (await entries(world, id))[0]["changes"] == {"mcp_config_json": {"before": UNTOLD, "after": UNTOLD}}
    assert "sk-very-secret" not in str(await world.audit())


def test_secrets_and_hashes_are_no_changes() -> None:
    assert "value" not in told_of(Credential)
    for table in (Agent, CliToken, User):
        assert not {name for name in told_of(table) if name.endswith(("hash", "secret", "password", "token"))}


def test_long_values_are_cut_and_say_how_long_they_were() -> None:
    text = "x" * 5000
    found = differences(Agent, ["system_prompt"], {"system_prompt": None}, {"system_prompt": text})
    assert found["system_prompt"] == {"before": None, "after": "x" * LONGEST + "… (5000 characters)"}


async def test_the_actor_of_a_token_is_the_token_and_of_a_machine_the_system(world: World) -> None:
    id = await agent(world, "by-token")
    [entry] = await entries(world, id)
    token = await world.database.fetchval("SELECT id FROM cli_tokens WHERE user_id = $1", world.owner.user_id)
    assert (entry["actor_type"], entry["actor_id"], entry["user_id"]) == ("token", token, world.owner.user_id)
    await agents.delete_agent(Caller.service("mover", world.workspace.id), {"id": id})
    deleted = (await entries(world, id))[0]
    assert (deleted["action"], deleted["actor_type"], deleted["actor_id"]) == ("delete", "system", "mover")
    assert deleted["user_id"] is None
