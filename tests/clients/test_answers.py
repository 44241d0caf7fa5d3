"""What clients of the contract read out of answers: keys they decide by, and names they send."""

from typing import Any

import orjson
import pytest

from models.base import new_id
from models.resources.integrations import AgentIntegration, IntegrationScope, WorkspaceIntegration
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.errors import Refusal
from resolvers.kernel import instance
from resolvers.kernel.ground.inputs import validate
from resolvers.staff.crew_templates.suggesting import SuggestCrew, understood
from tests.world import World

pytestmark = pytest.mark.anyio
MACHINE = {"X-Internal-Token": "ef" * 32}


async def crew_of(world: World) -> tuple[Crew, Agent]:
    crew = Crew(name="Deck", slug=new_id(), workspace_id=world.workspace.id)
    agent = Agent(name="Ada", slug=new_id(), workspace_id=world.workspace.id, crew_id=crew.id)
    await world.add(crew, agent)
    return crew, agent


async def rest(world: World, method: str, path: str, body: Any = None) -> Any:
    answer = await world.rest(world.owner, method, path, body)
    assert answer.status_code < 300, answer.text
    return answer.json()


async def test_a_credential_says_whether_a_server_gets_it(world: World) -> None:
    _, agent = await crew_of(world)
    made = await rest(world, "POST", "/api/v1/credentials", {"name": new_id(), "value": "canary"})
    path = f"/api/v1/credentials/{made['id']}"
    assert (await rest(world, "GET", path))["mcp_used"] is False
    server = WorkspaceIntegration(
        name=new_id(), display_name="x", endpoint="https://mcp.example.com/", workspace_id=world.workspace.id
    )
    await world.add(
        server,
        AgentIntegration(
            agent_id=agent.id,
            mcp_server_id=server.id,
            mcp_server_scope=IntegrationScope.workspace,
            credential_id=made["id"],
            workspace_id=world.workspace.id,
        ),
    )
    assert (await rest(world, "GET", path))["mcp_used"] is True
    await rest(world, "DELETE", path)
    (binding,) = await rest(world, "GET", f"/api/v1/agents/{agent.id}/integrations")
    assert (binding["credential_id"], binding["credential_name"]) == (None, None)


async def test_an_empty_value_alone_is_nothing_to_update(world: World) -> None:
    made = await rest(world, "POST", "/api/v1/credentials", {"name": new_id(), "value": "canary"})
    path = f"/api/v1/credentials/{made['id']}"
    assert (await world.rest(world.owner, "PATCH", path, {"value": ""})).status_code == 400
    assert (await rest(world, "PATCH", path, {"value": "", "description": "New"}))["description"] == "New"


async def test_a_proposed_credential_can_be_approved_from_the_inbox_and_stays_the_agents(world: World) -> None:
    crew, agent = await crew_of(world)
    name = new_id()
    proposal = {"name": name, "type": "SECRET", "value": "canary"}
    sent = {"workspace_id": world.workspace.id, "crew_id": crew.id, "from_slug": agent.slug, "reason": "For the API"}
    sent |= {"type": "CREDENTIAL", "metadata": orjson.dumps(proposal).decode()}
    async with world.client(None, **MACHINE) as client:
        answer = await client.post(
            "/api/v1/internal/escalations",
            json=sent | {"type": "CREDENTIAL", "metadata": orjson.dumps(proposal).decode()},
        )
    assert answer.status_code == 201, answer.text
    escalation = answer.json()["escalation_id"]
    items = await rest(world, "GET", "/api/v1/inbox")
    rows = items if isinstance(items, list) else next(value for value in items.values() if isinstance(value, list))
    (item,) = [row for row in rows if row["source_id"] == escalation]
    assert item["title"] == f"Credential approval: {name}"
    assert item["payload"]["has_pending_credential"] is True
    assert "canary" not in orjson.dumps(item).decode()
    assert "encrypted" in item["body_md"]
    id = item["payload"]["credential_id"]
    (created,) = await world.database.fetch(
        "SELECT agent_id, ip_address FROM credential_events WHERE credential_id = $1", id
    )
    assert (created["agent_id"], created["ip_address"]) == (agent.id, None)
    path = f"/api/v1/escalations/{escalation}/resolve"
    await rest(world, "PATCH", path, {"resolution": "Yes", "action": "approve"})
    shown = await rest(world, "GET", f"/api/v1/credentials/{id}")
    assert (shown["status"], shown["created_by_actor_type"], shown["created_by_actor_id"]) == (
        "ACTIVE",
        "agent",
        agent.id,
    )


async def test_a_deleted_crew_has_no_repository_and_is_found(world: World) -> None:
    crew, _ = await crew_of(world)
    await rest(world, "DELETE", f"/api/v1/crews/{crew.id}")
    shown = await rest(world, "GET", f"/api/v1/crews/{crew.id}/git-diff")
    assert shown["is_repo"] is False
    assert (await world.rest(world.owner, "GET", f"/api/v1/crews/{new_id()}/git-diff")).status_code == 404
    assert (await world.rest(world.outsider, "GET", f"/api/v1/crews/{crew.id}/git-diff")).status_code in (403, 404)


async def test_a_saved_path_can_be_read_back(world: World) -> None:
    crew, _ = await crew_of(world)
    path, place = f"/api/v1/crews/{crew.id}/files", {"workspace_id": world.workspace.id}
    async with world.client(world.owner) as client:
        for name in (f"{crew.id}/../x", "a/../x", ".."):
            answer = await client.put(f"{path}/save", params=place | {"path": name}, content=b"x")
            assert (answer.status_code, "must not contain" in answer.text) == (400, True), answer.text
        asked = place | {"path": f"{crew.id}/a/x..y"}
        assert (await client.put(f"{path}/save", params=asked, content=b"x")).status_code == 200
        assert (await client.get(f"{path}/download", params=asked)).content == b"x"


async def test_programs_are_told_that_a_workspace_is_not_there(world: World) -> None:
    named = {"workspace_id": "cnosuchworkspace00000"}
    calls = {
        "journal/emit": named | {"type": "network.egress", "summary": "x"},
        "mcp-tool-calls": named | {"agent_id": "a", "mcp_server_id": "m", "tool_name": "t", "status": "success"},
    }
    async with world.client(None, **MACHINE) as client:
        for path, body in calls.items():
            answer = await client.post(f"/api/v1/internal/{path}", json=body)
            assert (answer.status_code, answer.json()["error"]) == (404, "Workspace not found"), path
    stranger = await world.rest(world.owner, "GET", "/api/v1/crews", workspace="cnosuchworkspace00000")
    assert stranger.status_code == 403


def test_a_goal_is_a_description() -> None:
    text = "A crew that writes release notes."
    assert validate(SuggestCrew, {"goal": text}) == validate(SuggestCrew, {"description": text})
    assert validate(SuggestCrew, {"goal": "Something else entirely", "description": text}).description == text
    for raw in ({}, {"goal": "short"}, {"goal": 7}):
        with pytest.raises(Refusal):
            validate(SuggestCrew, raw)


@pytest.mark.parametrize("role", ["", "WRITER", None, 7])
def test_an_agent_of_no_known_role_is_an_agent(role: Any) -> None:
    agent = {"name": "Ada", "system_prompt": "You write."}
    agents = [agent | {"agent_role": "LEAD"}, agent | {"name": "Bob", "agent_role": role}]
    made = understood(orjson.dumps({"crew_name": "Notes", "agents": agents}).decode())
    assert [one.agent_role.value for one in made.agents] == ["LEAD", "AGENT"]
    with pytest.raises(Refusal):
        understood(orjson.dumps({"crew_name": "Notes", "agents": agents[1:] * 2}).decode())


@pytest.mark.parametrize(
    ("address", "status"),
    [(None, 400), ("https://api.openai.com/v1", 400), ("http://127.0.0.1:9000/v1", 200)],
)
async def test_models_of_another_server_are_not_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, address: str | None, status: int
) -> None:
    _, agent = await crew_of(world)
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"openai_base_url": address}))
    sent = {"llm_provider": "OPENAI", "llm_model": "qwen3.5"}
    assert (await world.rest(world.owner, "PATCH", f"/api/v1/agents/{agent.id}", sent)).status_code == status
