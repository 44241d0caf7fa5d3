"""REST: agents, as the contract states them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.base import new_id
from models.resources.credentials import AgentCredential, Credential, CredentialType
from models.resources.skills import AgentSkill, Skill
from models.sealed import Sealed
from models.staff.agents import Agent, AgentRole, AgentStatus
from models.staff.chats import Chat
from models.staff.crews import Crew
from resolvers.instance.running import instance
from tests.every import each_of
from tests.world import World, stored

pytestmark = pytest.mark.anyio

DEFAULTS: dict[str, Any] = {
    "crew_id": None, "description": None, "role_title": None, "agent_role": "AGENT", "lead_mode": None,
    "status": "IDLE", "cli_adapter": "CLAUDE_CODE",
    "llm_provider": None, "llm_model": None, "system_prompt": None, "avatar_seed": None, "avatar_style": None,
    "avatar_url": None,
    "timeout_seconds": 1800,
    "tool_profile": "CODING", "memory_enabled": False, "cli_tools": None, "schedule_cron": None,
    "schedule_prompt": None, "schedule_enabled": False,
    "schedule_last_run": None, "schedule_next_run": None, "webhook_require_timestamp": False, "ephemeral": False,
    "expires_at": None, "expired_at": None,
    "parent_lead_id": None, "hire_reason": None, "crew": None, "_count": {"skills": 0, "credentials": 0, "chats": 0},
}  # fmt: skip
START, DAY = datetime(2024, 5, 1, tzinfo=UTC), timedelta(days=1)


async def crew_of(world: World, **values: Any) -> Crew:
    crew = Crew(workspace_id=world.workspace.id, **{"name": "Engine", "slug": new_id()} | values)
    await world.add(crew)
    return crew


async def agent_of(world: World, **values: Any) -> Agent:
    agent = Agent(workspace_id=world.workspace.id, **{"name": "Agent", "slug": new_id()} | values)
    await world.add(agent)
    return agent


async def create(world: World, **body: Any) -> dict[str, Any]:
    answer = await world.rest(world.manager, "POST", "/api/v1/agents", {"name": "Agent", "slug": new_id()} | body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def patch(world: World, id: str, **body: Any) -> Any:
    return await world.rest(world.admin, "PATCH", f"/api/v1/agents/{id}", body)


async def test_a_create_answers_the_request_with_defaults(world: World) -> None:
    slug = new_id()
    made = await create(world, slug=slug)
    times = {"created_at": made["created_at"], "updated_at": made["updated_at"]}
    assert made == DEFAULTS | times | {
        "id": made["id"],
        "workspace_id": world.workspace.id,
        "name": "Agent",
        "slug": slug,
    }
    assert abs(
        datetime.now(UTC) - datetime.strptime(made["created_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    ) < timedelta(minutes=1)
    shown = (await world.rest(world.viewer, "GET", f"/api/v1/agents/{made['id']}")).json()
    assert shown == made | {"created_by_user_id": world.manager.user_id}


async def test_a_create_takes_every_field_and_shows_the_crew_only_when_read(world: World) -> None:
    crew = await crew_of(world, slug="engine", color="#123456", avatar_style="bottts")
    body = {
        "crew_id": crew.id, "description": "d", "role_title": "r", "agent_role": "LEAD", "lead_mode": "passive",
        "cli_adapter": "CODEX_CLI",
        "llm_provider": "OPENAI", "llm_model": "not on any list", "system_prompt": "s", "avatar_seed": "a",
        "avatar_style": "b", "timeout_seconds": 60,
        "tool_profile": "FULL", "memory_enabled": True,
    }  # fmt: skip
    made = await create(world, **body)
    assert made["crew"] is None
    assert {name: made[name] for name in body} == body
    shown = (await world.rest(world.viewer, "GET", f"/api/v1/agents/{made['id']}")).json()
    assert shown["crew"] == {"name": "Engine", "slug": "engine", "color": "#123456", "avatar_style": "bottts"}
    assert {name: shown[name] for name in body} == body


@pytest.mark.parametrize("mode", [{}, {"lead_mode": ""}, {"lead_mode": None}])
async def test_a_lead_is_active_unless_told_otherwise(world: World, mode: dict[str, Any]) -> None:
    crew = await crew_of(world)
    assert (await create(world, crew_id=crew.id, agent_role="LEAD", **mode))["lead_mode"] == "active"


async def test_empty_and_zero_count_as_not_given(world: World) -> None:
    made = await create(world, crew_id="", lead_mode="", timeout_seconds=0, description=None)
    assert (made["crew_id"], made["lead_mode"], made["timeout_seconds"], made["description"]) == (
        None,
        None,
        1800,
        None,
    )


@each_of(
    ("body", "text"),
    [
        ({}, "name"),
        ({"name": "x", "slug": "!"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "Agent"}, "slug"),
        ({"name": "Agent", "slug": "Not a slug", "agent_role": "BOSS"}, "slug"),
        ({"name": "Agent", "slug": "x"}, "slug"),
        ({"agent_role": "BOSS", "lead_mode": "lazy"}, "agent_role"),
        ({"agent_role": "LEAD", "lead_mode": "lazy"}, "crew_id is required for a LEAD"),
        ({"agent_role": "LEAD", "crew_id": ""}, "crew_id is required for a LEAD"),
        ({"crew_id": "unknown", "lead_mode": "lazy"}, "crew_id: there is no such crew in this workspace"),
        ({"lead_mode": "lazy", "cli_adapter": "VI"}, "lead_mode"),
        ({"cli_adapter": "VI", "llm_provider": "NOBODY"}, "cli_adapter"),
        ({"llm_provider": "NOBODY", "tool_profile": "SOME"}, "llm_provider"),
        ({"tool_profile": "SOME"}, "tool_profile"),
        ({"timeout_seconds": -1}, "timeout_seconds"),
        ({"timeout_seconds": "60"}, "timeout_seconds"),
        ({"memory_enabled": "yes"}, "memory_enabled"),
        ({"description": 5}, "description"),
    ],
)
async def test_a_bad_create_is_refused_in_the_order_of_the_contract_and_writes_nothing(
    world: World, body: dict[str, Any], text: str
) -> None:
    if "name" not in body and body:
        body = {"name": "Agent", "slug": "bad-create"} | body
    before = await world.snapshot()
    answer = await world.rest(world.owner, "POST", "/api/v1/agents", body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(text)
    assert await world.snapshot() == before


async def test_crews_of_elsewhere_and_deleted_ones_take_no_agents(world: World) -> None:
    foreign = Crew(workspace_id=world.other.id, name="Crew", slug=new_id())
    await world.add(foreign)
    gone = await crew_of(world, deleted_at=datetime.now(UTC))
    agent = await agent_of(world)
    for id in (foreign.id, gone.id):
        answer = await world.rest(
            world.owner, "POST", "/api/v1/agents", {"name": "Agent", "slug": new_id(), "crew_id": id}
        )
        assert (answer.status_code, answer.json()["error"]) == (400, "crew_id: there is no such crew in this workspace")
        assert (await patch(world, agent.id, crew_id=id)).status_code == 400


async def test_slugs_and_leads_are_taken_once(world: World) -> None:
    crew = await crew_of(world)
    taken = await create(world, slug="taken-slug", crew_id=crew.id, agent_role="LEAD")
    second = await create(world, crew_id=crew.id)
    before = await world.snapshot()
    post = {"name": "Agent", "slug": "taken-slug"}
    answer = await world.rest(world.owner, "POST", "/api/v1/agents", post)
    assert (answer.status_code, answer.json()["error"]) == (409, "An agent with this slug already exists")
    # the lead comes before the rest of the body, and before the slug
    answer = await world.rest(
        world.owner, "POST", "/api/v1/agents", post | {"crew_id": crew.id, "agent_role": "LEAD", "tool_profile": "SOME"}
    )
    assert (answer.status_code, answer.json()["error"]) == (409, "The crew already has a LEAD")
    answer = await patch(world, second["id"], slug="taken-slug")
    assert (answer.status_code, answer.json()["error"]) == (409, "An agent with this slug already exists")
    assert await world.snapshot() == before
    assert (await patch(world, taken["id"], slug="taken-slug")).status_code == 200


async def test_a_deleted_agent_gives_up_its_slug_and_its_lead(world: World) -> None:
    crew = await crew_of(world)
    body = {"slug": "again", "crew_id": crew.id, "agent_role": "LEAD"}
    first = await create(world, **body)
    gone = await world.rest(world.admin, "DELETE", f"/api/v1/agents/{first['id']}")
    assert (gone.status_code, gone.json()) == (200, {"success": True})
    for method, patched in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
        answer = await world.rest(world.admin, method, f"/api/v1/agents/{first['id']}", patched)
        assert (answer.status_code, answer.json()["error"]) == (404, "Agent not found")
    assert (await create(world, **body))["slug"] == "again"


async def test_an_update_changes_what_is_sent(world: World) -> None:
    crew = await crew_of(world)
    agent = await agent_of(world, updated_at=datetime(2020, 1, 1, tzinfo=UTC))
    body = {
        "name": "N", "slug": "new-slug", "description": "d", "role_title": "r", "agent_role": "LEAD",
        "lead_mode": "passive", "cli_adapter": "OPENCODE",
        "llm_provider": "GOOGLE", "llm_model": "gemini-1.5-pro", "system_prompt": "s", "avatar_seed": "a",
        "avatar_style": "b", "timeout_seconds": 5,
        "tool_profile": "MINIMAL", "memory_enabled": True, "cli_tools": "rg,jq", "crew_id": crew.id,
        "schedule_cron": "0 0 1 1 *", "schedule_prompt": "p",
        "schedule_enabled": True, "mcp_config_json": '{"mcpServers": {}}', "webhook_require_timestamp": True,
    }  # fmt: skip
    answer = await patch(world, agent.id, **body, status="RUNNING", ephemeral=True)
    changed = answer.json()
    assert {name: changed[name] for name in body} == body
    assert (changed["status"], changed["ephemeral"]) == ("IDLE", False)
    assert changed["updated_at"] > "2020-01-01T00:00:00Z"
    assert changed["crew"]["slug"] == crew.slug
    assert changed == (await world.rest(world.manager, "GET", f"/api/v1/agents/{agent.id}")).json()
    emptied = (
        "description",
        "role_title",
        "llm_model",
        "system_prompt",
        "avatar_seed",
        "avatar_style",
        "cli_tools",
        "schedule_cron",
        "schedule_prompt",
    )
    nothing = (await patch(world, agent.id, **dict.fromkeys(emptied), name=None, mcp_config_json="")).json()
    assert {name: nothing[name] for name in emptied} == dict.fromkeys(emptied)
    assert (nothing["name"], nothing["mcp_config_json"]) == ("N", "")


@each_of(
    "body",
    [
        {},
        {"status": "RUNNING"},
        {"name": None, "slug": None},
        {"name": ""},
        {"name": 5},
        {"slug": "x"},
        {"slug": "No Slug"},
        {"agent_role": "BOSS"},
        {"agent_role": "LEAD"},
        *[{name: value} for name in ("lead_mode", "cli_adapter", "tool_profile") for value in (None, "", 5, "nothing")],
        *[{"llm_provider": value} for value in ("", 5, "nothing")],
        {"llm_provider": "ANTHROPIC", "llm_model": "gpt-4o"},
        {"llm_model": "gpt-3"},
        {"timeout_seconds": -1},
        {"timeout_seconds": 1.5},
        {"memory_enabled": 1},
        {"crew_id": 5},
        {"crew_id": "unknown"},
        {"mcp_config_json": "{}"},
        {"mcp_config_json": "no json"},
        {"mcp_config_json": '{"mcpServers": []}'},
        {"description": "nul \0"},
    ],
    ids=str,
)
async def test_a_bad_update_is_refused_and_writes_nothing(world: World, body: dict[str, Any]) -> None:
    agent = await agent_of(world, llm_provider="OPENAI")
    before = await world.snapshot()
    answer = await patch(world, agent.id, **body)
    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert answer.json()["error"] == answer.json()["detail"]
    assert await world.snapshot() == before


async def test_an_empty_choice_is_none_and_an_empty_filter_too(world: World) -> None:
    made = await create(world, agent_role="", cli_adapter="", tool_profile="", llm_provider="")
    assert [made[key] for key in ("agent_role", "cli_adapter", "tool_profile", "llm_provider")] == [
        "AGENT",
        "CLAUDE_CODE",
        "CODING",
        None,
    ]
    async with world.client(world.owner) as client:
        answer = await client.get(
            "/api/v1/agents", params={"workspace_id": world.workspace.id, "crew_id": "", "limit": "1"}
        )
    assert len(answer.json()) == 1


async def test_null_clears_provider_crew_and_servers_and_a_timeout_may_be_none(world: World) -> None:
    crew = await crew_of(world)
    agent = await agent_of(world, crew_id=crew.id, llm_provider="OPENAI", mcp_config_json='{"mcpServers": {}}')
    changed = await patch(world, agent.id, llm_provider=None, crew_id=None, timeout_seconds=0, mcp_config_json=None)
    assert changed.status_code == 200, changed.text
    row = await world.database.fetchrow(
        "SELECT llm_provider, crew_id, timeout_seconds, mcp_config_json FROM agents WHERE id = $1", agent.id
    )
    assert row is not None
    assert tuple(row) == (None, None, 0, None)


@each_of(
    ("stored", "body"),
    [
        ("OPENAI", {"llm_model": "o3"}),
        ("OPENAI", {"llm_model": "claude-sonnet-5", "llm_provider": "ANTHROPIC"}),
        (None, {"llm_model": "anything"}),
        ("CURSOR", {"llm_model": "anything"}),
        ("OLLAMA", {"llm_model": "anything"}),
        ("OPENAI", {"llm_model": "anything", "llm_provider": "FACTORY"}),
        ("OPENAI", {"llm_model": None}),
    ],
)
async def test_models_that_are_taken(world: World, stored: str | None, body: dict[str, Any]) -> None:
    agent = await agent_of(world, llm_provider=stored)
    assert (await patch(world, agent.id, **body)).json()["llm_model"] == body["llm_model"]


async def test_a_new_lead_replaces_the_present_one(world: World) -> None:
    crew = await crew_of(world)
    lead = await agent_of(world, crew_id=crew.id, agent_role=AgentRole.LEAD)
    agent = await agent_of(world, crew_id=crew.id)
    elsewhere = await agent_of(world, crew_id=(await crew_of(world)).id, agent_role=AgentRole.LEAD)
    assert (await patch(world, agent.id, agent_role="LEAD")).json()["agent_role"] == "LEAD"
    roles = {a["id"]: a["agent_role"] for a in (await world.rest(world.viewer, "GET", "/api/v1/agents")).json()}
    assert (roles[lead.id], roles[agent.id], roles[elsewhere.id]) == ("AGENT", "LEAD", "LEAD")
    tag = (await world.rest(world.viewer, "GET", f"/api/v1/agents/{lead.id}")).headers["etag"]
    assert tag.startswith('"v2-')
    assert (await patch(world, agent.id, agent_role="LEAD")).status_code == 200


async def test_leads_and_crews(world: World) -> None:
    one, two = await crew_of(world), await crew_of(world)
    lead = await agent_of(world, crew_id=one.id, agent_role=AgentRole.LEAD)
    await agent_of(world, crew_id=two.id, agent_role=AgentRole.LEAD)
    answer = await patch(world, lead.id, crew_id=two.id)
    assert (answer.status_code, answer.json()["error"]) == (409, "The crew already has a LEAD")
    answer = await patch(world, lead.id, crew_id="")
    assert (answer.status_code, answer.json()["error"]) == (400, "crew_id: a LEAD needs a crew")
    left = (await patch(world, lead.id, crew_id="", agent_role="AGENT")).json()
    assert (left["crew_id"], left["crew"], left["agent_role"]) == (None, None, "AGENT")
    back = (await patch(world, lead.id, crew_id=one.id, agent_role="LEAD")).json()
    assert (back["crew_id"], back["agent_role"]) == (one.id, "LEAD")


async def test_the_next_run_follows_the_schedule(world: World) -> None:
    agent = await agent_of(world)

    async def next_run(**body: Any) -> str | None:
        answer = await patch(world, agent.id, **body)
        assert answer.status_code == 200
        time: str | None = answer.json()["schedule_next_run"]
        return time

    year = datetime.now(UTC).year + 1
    assert await next_run(schedule_cron="0 0 1 1 *") is None  # not enabled
    assert await next_run(schedule_enabled=True) == f"{year}-01-01T00:00:00Z"
    assert await next_run(name="Renamed") == f"{year}-01-01T00:00:00Z"
    assert await next_run(schedule_cron="30 12 1 1 *") == (f"{year}-01-01T12:30:00Z")
    assert await next_run(schedule_cron="every morning") is None
    assert await next_run(schedule_cron="0 0 1 1 *") == f"{year}-01-01T00:00:00Z"
    assert await next_run(schedule_enabled=False) is None
    assert await next_run(schedule_enabled=True, schedule_cron=None) is None


async def test_versions(world: World) -> None:
    agent = await agent_of(world)
    tag = (await world.rest(world.viewer, "GET", f"/api/v1/agents/{agent.id}")).headers["etag"]
    changed = await world.rest(world.admin, "PATCH", f"/api/v1/agents/{agent.id}", {"name": "One"}, **{"if-match": tag})
    assert changed.status_code == 200
    for method, body in (("PATCH", {"name": "Two"}), ("DELETE", None)):
        assert (
            await world.rest(world.admin, method, f"/api/v1/agents/{agent.id}", body, **{"if-match": tag})
        ).status_code == 412
    assert (
        await world.rest(world.admin, "DELETE", f"/api/v1/agents/{agent.id}", **{"if-match": changed.headers["etag"]})
    ).status_code == 200


async def listed(world: World, query: str) -> list[Any]:
    async with world.client(world.manager) as client:
        answer = await client.get(f"/api/v1/agents?workspace_id={world.workspace.id}&{query}")
    assert answer.status_code == 200
    return list(answer.json())


async def test_the_order_of_a_list(world: World) -> None:
    crew = await crew_of(world)

    async def hired(day: int, **values: Any) -> Agent:
        return await agent_of(world, crew_id=crew.id, created_at=START + day * DAY, **values)

    async def ended(day: int, expired: int) -> Agent:
        end = START + expired * DAY
        return await hired(day, ephemeral=True, expires_at=end, expired_at=end)

    async def ids(query: str) -> list[str]:
        return [agent["id"] for agent in await listed(world, query)]

    old, new, ghost, late = await hired(0), await hired(1), await ended(3, 4), await ended(0, 5)
    twins = sorted([await hired(2) for _ in range(2)], key=lambda a: a.id, reverse=True)
    await agent_of(world, crew_id=crew.id, deleted_at=START)
    foreign = Agent(workspace_id=world.other.id, name="Agent", slug=new_id())
    await world.add(foreign)
    order = [a.id for a in (*twins, new, old, late, ghost)]
    assert await ids(f"crew_id={crew.id}") == order
    assert await ids(f"crew_id={crew.id}&limit=2&offset=1") == order[1:3]
    assert await ids(f"crew_id={crew.id}&limit=0&offset=-3") == order
    assert await ids(f"crew_id={crew.id}&limit=many") == order
    assert await ids("crew_id=unknown") == []
    everyone = await ids("limit=1000")
    assert [id for id in everyone if id in order] == order
    assert foreign.id not in everyone


async def test_an_agent_in_a_list(world: World) -> None:
    crew = await crew_of(world)
    stated = {"mcp_config_json": "{}", "created_by_user_id": world.owner.user_id, "webhook_require_timestamp": True}
    agent = await agent_of(world, crew_id=crew.id, created_at=START, **stated)
    of_agent = {"workspace_id": world.workspace.id, "agent_id": agent.id}
    skill = Skill(name="s", name_key="s", slug="s", display_name="s")
    await world.add(skill, AgentSkill(skill_id=skill.id, **of_agent), Chat(**of_agent))
    keys = [Credential(name=new_id(), type=CredentialType.SECRET, workspace_id=world.workspace.id) for _ in range(2)]
    await world.add(*keys, *[AgentCredential(credential_id=key.id, env_var_name="X", **of_agent) for key in keys])
    [row] = await listed(world, f"crew_id={crew.id}")
    assert row == DEFAULTS | stated | {
        "id": agent.id,
        "name": "Agent",
        "slug": agent.slug,
        "workspace_id": world.workspace.id,
        "crew_id": crew.id,
        "created_at": "2024-05-01T00:00:00Z",
        "updated_at": row["updated_at"],
        "crew": {"name": "Engine", "slug": crew.slug, "color": None, "avatar_style": None},
        "_count": {"skills": 1, "credentials": 2, "chats": 1},
    }


async def test_a_list_is_a_hundred_agents_unless_told_otherwise_and_five_hundred_at_most(world: World) -> None:
    crew = await crew_of(world)
    await world.database.execute(
        f"INSERT INTO agents ({stored(Agent)}) SELECT {stored(Agent)} FROM (SELECT (jsonb_populate_record("
        "a, jsonb_build_object('id', a.id || n, 'slug', 's-' || n, 'crew_id', $2::text))).* "
        "FROM agents a, generate_series(1, 501) n WHERE a.id = $1) AS made",
        (await agent_of(world)).id,
        crew.id,
    )
    for query, size in (("", 100), ("&limit=501", 500), ("&limit=3", 3)):
        async with world.client(world.viewer) as client:
            answer = await client.get(f"/api/v1/agents?workspace_id={world.workspace.id}&crew_id={crew.id}{query}")
        assert len(answer.json()) == size


async def test_no_answer_tells_the_webhook_secret(world: World) -> None:
    made = await world.rest(world.owner, "POST", "/api/v1/agents", {"name": "Agent", "slug": new_id()})
    secret = await webhook_secret(world, made.json()["id"])
    assert len(bytes.fromhex(secret)) == 32
    path = f"/api/v1/agents/{made.json()['id']}"
    answers = [
        made,
        await patch(world, made.json()["id"], name="Renamed"),
        *[await world.rest(world.owner, "GET", p) for p in (path, "/api/v1/agents")],
    ]
    assert not [answer for answer in answers if secret in answer.text or "webhook_secret" in answer.text]
    assert secret not in str(await world.audit())
    assert secret not in str(await world.events())
    another = await create(world)
    assert await webhook_secret(world, another["id"]) != secret


async def webhook_secret(world: World, agent_id: str) -> str:
    kept = await world.database.fetchval("SELECT webhook_secret FROM agents WHERE id = $1", agent_id)
    place: dict[str, Any] = {"table": Agent, "column": "webhook_secret", "row_id": agent_id}
    return (await instance.vault.open(Sealed(kept), **place)).reveal()


async def test_a_crew_that_is_deleted_leaves_its_agents_without_a_name_for_it(world: World) -> None:
    crew = await crew_of(world, deleted_at=datetime.now(UTC))
    agent = await agent_of(world, crew_id=crew.id, status=AgentStatus.RUNNING)
    shown = (await world.rest(world.viewer, "GET", f"/api/v1/agents/{agent.id}")).json()
    assert (shown["crew_id"], shown["crew"], shown["status"]) == (crew.id, None, "RUNNING")
