"""The first run with a crew template, up to an answer of its lead."""

import asyncio
from typing import Any

import pytest

from models.resources.credentials import Credential, CredentialType
from models.staff.agents import Agent
from tests.every import each_of
from tests.process.players import playing
from tests.sealing import sealed_before
from tests.staff.onboarding.first_runs import MADE, NOTHING, TOKEN, completed, counts, kept, newcomer, rows, set_up
from tests.world import World

pytestmark = pytest.mark.anyio
SLUG = "software-development"


async def test_the_crew_of_a_template_is_made_and_its_agents_get_the_credential(world: World) -> None:
    person, workspace = await newcomer(world, "templated")
    older = Credential(name="Older key", type=CredentialType.API_KEY, provider="ANTHROPIC", workspace_id=workspace.id)
    older.value = sealed_before("sk-ant-api", table=Credential, column="value", row_id=older.id)
    await world.add(older)
    events, audit = await world.events(), await world.audit()
    body = {"crew_template_slug": f" {SLUG} ", "workspace_name": "Harbour", "credential_name": "Token of Ada"}
    answer = await set_up(world, person, **body, credential_value=TOKEN, agent_name="ignored", cli_adapter="NONE")
    assert answer.status_code == 201, answer.text
    (crew,), members, agents, credentials, bound = [await rows(world, table, workspace) for table in MADE]
    made = answer.json()
    assert made == {
        "workspace_id": workspace.id,
        "crew_id": crew["id"],
        "agent_id": made["agent_ids"][0],
        "agent_ids": made["agent_ids"],
        "agent_count": 4,
    }
    assert (crew["name"], crew["slug"], members) == ("Software Development", SLUG, [])
    lead = next(agent for agent in agents if agent["id"] == made["agent_id"])
    assert (lead["slug"], lead["agent_role"], lead["memory_enabled"]) == (f"tech-lead-{SLUG}", "LEAD", True)
    assert {agent["id"] for agent in agents} == set(made["agent_ids"])
    stored = next(one for one in credentials if one["id"] != older.id)
    assert (stored["name"], stored["type"], stored["provider"]) == ("Token of Ada", "AI_CLI_TOKEN", "ANTHROPIC")
    for id in made["agent_ids"]:
        own = sorted((tie for tie in bound if tie["agent_id"] == id), key=lambda tie: tie["priority"])
        assert [(tie["credential_id"], tie["env_var_name"]) for tie in own] == [
            (older.id, "ANTHROPIC_API_KEY"),
            (stored["id"], "ANTHROPIC_API_KEY"),
        ]
    assert await kept(world, workspace, "name") == "Harbour"
    assert await completed(world, person)
    assert [event["type"] for event in (await world.events())[len(events) :]] == ["workspace.set_up"]
    (entry,) = (await world.audit())[len(audit) :]
    assert (entry["action"], entry["entity_type"], entry["data"]["crew_id"]) == (
        "workspace.set_up",
        "WORKSPACE",
        crew["id"],
    )
    assert (await set_up(world, person, **body)).status_code == 409


@each_of(
    ("body", "status", "told"),
    [
        ({"crew_template_slug": "nope"}, 400, "template"),
        ({"crew_template_slug": SLUG, "credential_value": "key"}, 400, "sk-ant-oat"),
        ({"crew_template_slug": SLUG, "llm_provider": "MISTRAL", "credential_value": "key"}, 400, "llm_provider"),
        ({"crew_template_slug": "nope", "llm_provider": "MISTRAL", "credential_value": "key"}, 400, "template"),
        ({"crew_template_slug": SLUG, "crew_name": "Taken"}, 409, "agent"),
    ],
)
async def test_a_refusal_makes_nothing_and_the_run_stays_open(
    world: World, body: dict[str, Any], status: int, told: str
) -> None:
    person, workspace = await newcomer(world, f"refused-{len(str(body))}")
    await world.add(Agent(name="Other", slug="qa-engineer-taken", workspace_id=workspace.id, deleted_at=None))
    answer = await set_up(world, person, **body, preferred_language="Czech")
    assert answer.status_code == status, answer.text
    assert told in answer.json()["error"]
    assert await counts(world, workspace) == NOTHING | {"agents": 1}
    assert await kept(world, workspace, "preferred_language") == "Czech"
    marked = "SELECT onboarding_completed FROM users WHERE id = $1"
    assert not await world.database.fetchval(marked, person.user_id)


async def test_without_a_credential_an_unknown_provider_is_nothing(world: World) -> None:
    """Nothing of it is used: the agents have the provider of the template."""
    person, workspace = await newcomer(world, "unprovided")
    made = await set_up(world, person, crew_template_slug=SLUG, llm_provider="MISTRAL", crew_name="Deck Crew")
    assert made.status_code == 201
    assert await counts(world, workspace) == NOTHING | {"crews": 1, "agents": 4}
    told = [entry["entry_type"] for entry in await rows(world, "journal_entries", workspace)]
    assert told == ["credential.auto_assign_empty"] * 4


async def test_the_wizard_of_the_public_server_ends_with_an_agent_that_answers(world: World) -> None:
    """Its calls, in its order, and the first message to the agent that it leads to."""
    person, workspace = await newcomer(world, "wizard")

    async def get(path: str, **query: str) -> Any:
        async with world.client(person) as client:
            answer = await client.get(path, params=query)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        return answer.json()

    assert await get("/api/v1/onboarding/status") == {"completed": False}
    assert "available" in await get("/api/v1/system/runtime")
    assert "enabled" in await get("/api/v1/system/telemetry")
    templates = await get("/api/v1/crew-templates", workspace_id=workspace.id)
    chosen = next(one for one in templates if one["slug"] == SLUG)
    answer = await set_up(
        world,
        person,
        workspace_name="Wizards",
        preferred_language="English",
        cli_adapter="CLAUDE_CODE",
        llm_provider="ANTHROPIC",
        llm_model=chosen["agents"][0]["llm_model"],
        credential_name="ANTHROPIC_API_KEY",
        credential_value=TOKEN,
        pairing_mode=False,
        telemetry_opt_in=False,
        crew_template_slug=chosen["slug"],
    )
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert await get("/api/v1/onboarding/status") == {"completed": True}
    assigned = [agent["id"] for agent in await get("/api/v1/agents", workspace_id=workspace.id)]
    assert set(made["agent_ids"]) == set(assigned)
    chats = f"/api/v1/agents/{made['agent_id']}/chats"
    chat = (await world.rest(person, "POST", chats, {}, workspace=workspace.id)).json()["id"]
    send = "mutation($in: SendMessageInput!) { sendMessage(input: $in) { runId } }"
    async with playing(world):
        sent = await world.graphql(person, send, {"in": {"chatId": chat, "content": "hello"}})
        assert sent["data"]["sendMessage"]["runId"]
        async with asyncio.timeout(30):
            while len(said := (await get(f"/api/v1/chats/{chat}/messages", workspace_id=workspace.id))["messages"]) < 2:
                await asyncio.sleep(0.05)
    assert [(one["role"], one["content"]) for one in said] == [("user", "hello"), ("assistant", "hello")]
