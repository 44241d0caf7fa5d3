"""Agents that are hired for a while, as the contract states them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from models.base import new_id
from models.resources.credentials import Credential, CredentialType
from models.staff.agents import Agent, AgentRole
from models.staff.chats import Chat
from models.staff.crews import AutonomyLevel, Crew
from tests.every import each_of
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio
BODY = {"template_slug": "devops-sre", "reason": "  Fix it "}


async def crew_of(world: World, level: AutonomyLevel = AutonomyLevel.trusted, **values: Any) -> Crew:
    crew = Crew(name="Engine", slug=new_id(), workspace_id=world.workspace.id, autonomy_level=level, **values)
    await world.add(crew)
    return crew


async def agent_of(world: World, crew: Crew, **values: Any) -> Agent:
    given = {"name": "Ada", "slug": new_id(), "crew_id": crew.id} | values
    agent = Agent(workspace_id=world.workspace.id, **given)
    await world.add(agent)
    return agent


async def hire(world: World, crew: Crew, person: Person | None = None, **body: Any) -> httpx2.Response:
    sent = {"crew_id": crew.id} | BODY | body
    return await world.rest(person or world.manager, "POST", "/api/v1/agents/hire", sent)


async def act(world: World, id: str, what: str, **body: Any) -> httpx2.Response:
    return await world.rest(world.manager, "POST", f"/api/v1/agents/{id}/{what}", body or None)


async def audited(world: World, id: str, action: str) -> list[dict[str, Any]]:
    sql = "SELECT data FROM audit_logs WHERE entity_id = $1 AND action = $2"
    return [row["data"] for row in await world.database.fetch(sql, id, action)]


async def told(world: World, id: str, type_: str) -> list[dict[str, Any]]:
    sql = "SELECT payload FROM events WHERE type = $1 AND payload ->> 'id' = $2"
    return [row["payload"] for row in await world.database.fetch(sql, type_, id)]


async def item_of(world: World, id: str) -> Any:
    return await world.database.fetchrow("SELECT * FROM inbox_items WHERE source_id = $1", id)


async def test_a_trusted_crew_hires_at_once(world: World) -> None:
    crew = await crew_of(world)
    key = Credential(name="KEY", type=CredentialType.API_KEY, provider="ANTHROPIC", workspace_id=world.workspace.id)
    await world.add(key)
    answer = await hire(world, crew, model="gpt-4o", ttl_minutes=999_999)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    ends = datetime.fromisoformat(made["expires_at"])
    assert timedelta(hours=23) < ends - datetime.now(UTC) < timedelta(hours=25)
    assert made == {
        "id": made["id"], "crew_id": crew.id, "workspace_id": world.workspace.id, "name": "DevOps / SRE",
        "slug": f"devops-sre-eph-{made['id'][-6:]}", "status": "IDLE", "ephemeral": True,
        "expires_at": made["expires_at"], "expired_at": None, "parent_lead_id": None,
        "hire_reason": made["hire_reason"], "pending_review": False, "decision": "auto_log_journal",
    }  # fmt: skip
    assert made["hire_reason"].endswith("] hire: Fix it")
    row = (await world.rest(world.viewer, "GET", f"/api/v1/agents/{made['id']}")).json()
    shown = ("agent_role", "lead_mode", "cli_adapter", "llm_provider", "llm_model", "memory_enabled", "timeout_seconds")
    assert [row[name] for name in shown] == ["AGENT", None, "CLAUDE_CODE", "OPENAI", "gpt-4o", True, 1800]
    assert "created_by_user_id" not in row
    given = "SELECT env_var_name FROM agent_credentials WHERE agent_id = $1"
    assert "KEY" in [found["env_var_name"] for found in await world.database.fetch(given, made["id"])]
    (data,) = await audited(world, made["id"], "agent.hired")
    assert (data["decision"], data["autonomy_level"], data["ttl_minutes"]) == ("auto_log_journal", "trusted", 1440)
    (event,) = await told(world, made["id"], "agent.hired")
    assert (event["ephemeral"], event["slug"]) == ("true", made["slug"])
    assert await item_of(world, made["id"]) is None


async def test_a_guided_crew_asks_and_somebody_approves_once(world: World) -> None:
    crew = await crew_of(world, AutonomyLevel.guided)
    answer = await hire(world, crew, crew_id=None, crew_slug=crew.slug, ttl_minutes=-5)
    assert answer.status_code == 202, answer.text
    made = answer.json()
    assert (made["status"], made["pending_review"], made["decision"]) == ("PENDING_REVIEW", True, "inbox_approve")
    item = await item_of(world, made["id"])
    assert (item["id"], item["kind"], item["state"], item["blocking"]) == (
        made["inbox_item_id"], "waitpoint", "unread", True
    )  # fmt: skip
    assert item["payload"] == {
        "kind": "hire", "agent_id": made["id"], "crew_id": crew.id, "agent_name": "DevOps / SRE"
    }  # fmt: skip
    answers = await asyncio.gather(*[act(world, made["id"], "approve-hire") for _ in range(2)])
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    approved = next(answer for answer in answers if answer.status_code == 200)
    assert approved.json() == {"id": made["id"], "status": "IDLE", "crew_id": crew.id}
    again = await act(world, made["id"], "approve-hire")
    assert (again.status_code, again.json()["current_status"]) == (409, "IDLE")
    settled = await item_of(world, made["id"])
    assert (settled["state"], settled["resolved_action"]) == ("resolved", "approved")
    assert settled["resolved_by_user_id"] == world.manager.user_id
    assert len(await told(world, made["id"], "agent.hire_approved")) == 1


async def test_who_hired_may_approve_and_the_log_names_them_twice(world: World) -> None:
    made = (await hire(world, await crew_of(world, AutonomyLevel.guided))).json()
    assert (await act(world, made["id"], "approve-hire")).status_code == 200
    sql = "SELECT action, user_id FROM audit_logs WHERE entity_id = $1 ORDER BY seq"
    rows = await world.database.fetch(sql, made["id"])
    assert [(row["action"], row["user_id"]) for row in rows] == [
        ("agent.hired", world.manager.user_id), ("agent.hire_approved", world.manager.user_id)
    ]  # fmt: skip


async def test_nobody_is_asked_about_a_hire_that_was_deleted(world: World) -> None:
    crew = await crew_of(world, AutonomyLevel.guided)
    made, other = (await hire(world, crew)).json(), (await hire(world, crew, reason="Another")).json()
    assert (await world.rest(world.owner, "DELETE", f"/api/v1/agents/{made['id']}")).status_code == 200
    settled = await item_of(world, made["id"])
    assert (settled["state"], settled["resolved_action"], settled["resolved_by_user_id"]) == (
        "resolved", "deleted", world.owner.user_id
    )  # fmt: skip
    assert (await item_of(world, other["id"]))["state"] == "unread"


async def test_a_ghost_takes_no_messages_until_it_is_hired_again(world: World) -> None:
    crew = await crew_of(world, max_ephemeral_agents=5)
    agent = await agent_of(world, crew, ephemeral=True, expired_at=now(), expires_at=now())
    chat = Chat(agent_id=agent.id, workspace_id=world.workspace.id, created_by=world.manager.user_id)
    await world.add(chat)
    send = 'mutation($id: ID!) { sendMessage(input: {chatId: $id, content: "Hello"}) { runId } }'
    refused = await world.graphql(world.manager, send, {"id": chat.id})
    assert refused["errors"][0]["extensions"]["reason"] == "agent_expired", refused
    assert await world.database.fetchval("SELECT count(*) FROM runs WHERE agent_id = $1", agent.id) == 0
    assert (await act(world, agent.id, "rehire", reason="Again")).status_code == 200
    taken = await world.graphql(world.manager, send, {"id": chat.id})
    assert "errors" not in taken, taken
    assert await world.database.fetchval("SELECT count(*) FROM runs WHERE agent_id = $1", agent.id) == 1


async def test_a_strict_crew_refuses_and_nobody_is_there(world: World) -> None:
    crew = await crew_of(world, AutonomyLevel.strict)
    answer = await hire(world, crew)
    assert answer.status_code == 403
    body = answer.json()
    assert (body["crew_id"], body["autonomy_level"]) == (crew.id, "strict")
    assert "strict" in body["reason"]
    assert not await world.database.fetchval("SELECT count(*) FROM agents WHERE crew_id = $1", crew.id)
    assert (await hire(world, crew, template_slug="nope")).status_code == 404


@each_of(
    ("body", "status"),
    [
        ({"crew_id": None}, 400), ({"crew_slug": "x"}, 400), ({"template_slug": " "}, 400), ({"reason": " "}, 400),
        ({"reason": None}, 400), ({"ttl_minutes": "5"}, 400), ({"crew_id": "cunknown0000000000000"}, 404),
        ({"template_slug": "nope"}, 404), ({"parent_lead_id": "cunknown0000000000000"}, 400),
        ({"parent_lead_id": "cunknown0000000000000", "template_slug": "nope"}, 400),
    ],
)  # fmt: skip
async def test_a_bad_hire_leaves_nothing(world: World, body: dict[str, Any], status: int) -> None:
    crew = await crew_of(world)
    assert (await hire(world, crew, **body)).status_code == status
    assert not await world.database.fetchval("SELECT count(*) FROM agents WHERE crew_id = $1", crew.id)


async def test_the_lead_is_one_of_the_crew(world: World) -> None:
    crew, other = await crew_of(world), await crew_of(world)
    lead = await agent_of(world, crew, agent_role=AgentRole.LEAD)
    assert (await hire(world, other, parent_lead_id=lead.id)).status_code == 400
    assert (await hire(world, crew, parent_lead_id=lead.id)).json()["parent_lead_id"] == lead.id


async def test_members_hire_nobody(world: World) -> None:
    crew = await crew_of(world)
    assert (await hire(world, crew, world.member)).status_code == 403


async def test_the_last_place_is_taken_once(world: World) -> None:
    crew = await crew_of(world, AutonomyLevel.full, max_ephemeral_agents=1)
    answers = await asyncio.gather(*[hire(world, crew) for _ in range(3)])
    assert sorted(answer.status_code for answer in answers) == [201, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429).json()
    assert (refused["crew_id"], refused["live"], refused["max"]) == (crew.id, 1, 1)
    hired = next(answer for answer in answers if answer.status_code == 201).json()
    await world.rest(world.admin, "DELETE", f"/api/v1/agents/{hired['id']}")
    assert (await hire(world, crew)).status_code == 201


async def test_a_ghost_comes_back_where_there_is_room(world: World) -> None:
    crew = await crew_of(world, AutonomyLevel.guided, max_ephemeral_agents=1)
    past = now() - timedelta(hours=1)
    given = {"ephemeral": True, "expires_at": past, "expired_at": past, "hire_reason": "[x] hire: Look"}
    ghost = await agent_of(world, crew, **given)
    answer = await act(world, ghost.id, "rehire", reason=" More ", ttl_minutes=5)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert (made["slug"], made["parent_lead_id"], made["pending_review"], made["status"]) == ("", None, False, "IDLE")
    assert (made["expired_at"], made["decision"]) == (None, "inbox_approve")
    assert made["hire_reason"].startswith("[x] hire: Look\n[")
    assert made["hire_reason"].endswith("] rehire: More")
    assert "inbox_item_id" not in made
    (data,) = await audited(world, ghost.id, "agent.rehired")
    assert data["was_ghost"] is True
    assert data["prior_expired_at"]
    assert len(await told(world, ghost.id, "agent.rehired")) == 1
    second = await agent_of(world, crew, **given)
    assert (await act(world, second.id, "rehire", reason="x")).status_code == 429
    assert (await act(world, ghost.id, "rehire", reason="x")).status_code == 200  # it lives: its place is its own
    await world.database.execute("UPDATE crews SET autonomy_level = 'strict' WHERE id = $1", crew.id)
    assert (await act(world, ghost.id, "rehire", reason="x")).status_code == 403


async def test_what_is_not_hired_is_neither_hired_again_nor_approved(world: World) -> None:
    ada = await agent_of(world, await crew_of(world))
    assert (await act(world, ada.id, "rehire", reason="x")).status_code == 404
    assert (await act(world, ada.id, "approve-hire")).status_code == 409
    assert (await act(world, "cunknown0000000000000", "approve-hire")).status_code == 404
    assert (await act(world, ada.id, "rehire", reason=" ")).status_code == 400
