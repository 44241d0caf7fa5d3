"""What one agent may touch is one query, and one statement: credentials, skills, tools, network, files."""

import re
from pathlib import Path
from typing import Any

import pytest

from models.resources.credentials import Credential, CredentialType
from models.resources.integrations import ToolBinding
from models.resources.skills import AgentSkill, Skill
from models.staff.crews import Crew, NetworkMode
from resolvers.rules.agent_folders import HOME, OUTPUT, SKILLS
from tests.kernel.test_changes import sent
from tests.resources.integrations.test_servers import _nothing_yet, agent_of, bound, made  # noqa: F401
from tests.world import World

pytestmark = pytest.mark.anyio
DOCUMENT = Path(__file__).parents[3] / "docs" / "mcp-servers.md"


def documented(agent: str, workspace: str) -> str:
    found = re.search(r"```graphql\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None
    return found[1].replace('agent(id: "…")', f'agent(id: "{agent}", workspaceId: "{workspace}")')


async def touched(world: World, person: Any, agent: str) -> Any:
    answer = await world.graphql(person, documented(agent, world.workspace.id))
    assert "errors" not in answer, answer
    return answer["data"]["agent"]


async def test_what_an_agent_may_touch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"workspace_id": world.workspace.id}
    network: dict[str, Any] = {"network_mode": NetworkMode.restricted, "allowed_domains": ["example.com"]}
    crew = Crew(name="Quay", slug="quay", **network, **here)
    await world.add(crew)
    agent, other = await agent_of(world, crew), await agent_of(world)
    secret = Credential(name="key", type=CredentialType.SECRET, **here)
    hidden = Credential(name="of a crew", type=CredentialType.SECRET, scope="CREW", **here)
    await world.add(secret, hidden)
    for number, each in enumerate((secret, hidden)):
        assign = "INSERT INTO agent_credentials (id, workspace_id, agent_id, credential_id, env_var_name, priority)"
        values = (f"touch{number}", world.workspace.id, agent.id, each.id, f"KEY{number}")
        await world.database.execute(f"{assign} VALUES ($1, $2, $3, $4, $5, 0)", *values)
    skill = Skill(name="steer", name_key="steer", slug="steer", display_name="Steer", made_in=world.workspace.id)
    await world.add(skill, AgentSkill(agent_id=agent.id, skill_id=skill.id, **here))
    server = await made(world, f"/api/v1/crews/{crew.id}/integrations")
    await bound(world, agent, server, credential_id=secret.id)
    await world.add(ToolBinding(crew_integration_id=server["id"], tool_name="speak", enabled=False, **here))

    await touched(world, world.manager, agent.id)
    with sent(monkeypatch) as trips:
        told = await touched(world, world.manager, agent.id)
    assert len([trip for trip in trips if not trip.startswith("+")]) == 1, trips
    assert {node["name"] for node in told["credentials"]["nodes"]} == {"key", "of a crew"}
    assert [one["skill"]["name"] for one in told["skills"]] == ["steer"]
    assert told["toolProfile"] == "CODING"
    assert told["crew"] == {"networkMode": "restricted", "allowedDomains": ["example.com"]}
    [tools] = told["resolvedIntegrations"]
    assert (tools["endpoint"], tools["credentialName"]) == (server["endpoint"], "key")
    assert tools["crewIntegration"]["tools"] == [{"toolName": "speak", "enabled": False}]
    assert told["folders"] == [
        {"path": HOME, "writable": True, "shared": False},
        {"path": OUTPUT, "writable": True, "shared": True},
        {"path": SKILLS, "writable": False, "shared": False},
    ]
    assert [node["name"] for node in (await touched(world, world.viewer, agent.id))["credentials"]["nodes"]] == ["key"]
    alone = await touched(world, world.viewer, other.id)
    assert (alone["crew"], [one["shared"] for one in alone["folders"]]) == (None, [False] * 3)
    stranger = await world.graphql(world.outsider, documented(agent.id, world.workspace.id))
    assert stranger["data"] == {"agent": None}
