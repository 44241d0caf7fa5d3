"""Installing: what is made, all or nothing, and that no secret is where members read it."""

import json
from typing import Any

import pytest

from models.sealed import Sealed
from models.staff.crews import Crew
from resolvers.resources.credentials.vault import opened
from resolvers.staff.connectors.catalog import catalog
from resolvers.staff.connectors.manifest import ConnectorFieldType
from tests.world import World

pytestmark = pytest.mark.anyio
CONNECTORS, RECIPES = "/api/v1/connectors", "/api/v1/recipes"
TABLES = ("agent_mcp_bindings", "crew_integrations", "workspace_mcp_servers", "credentials")


@pytest.fixture(autouse=True)
async def _empty(world: World) -> None:
    for table in TABLES:
        await world.database.execute(f"DELETE FROM {table}")


async def install(world: World, id: str, **body: Any) -> dict[str, Any]:
    answer = await world.rest(world.manager, "POST", f"{CONNECTORS}/{id}/install", body)
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def seen(world: World, id: str) -> dict[str, Any]:
    answer = await world.rest(world.viewer, "GET", f"/api/v1/integrations/{id}")
    return answer.json()  # type: ignore[no-any-return]


async def kept(world: World) -> dict[str, str]:
    rows = await world.database.fetch("SELECT id, name, value FROM credentials WHERE value IS NOT NULL")
    return {row["name"]: (await opened(row["id"], "value", Sealed(row["value"]))).reveal() for row in rows}


def form_of(id: str) -> dict[str, str]:
    """Everything filled in, with a canary for each password."""
    fields = catalog()[id].fields or []
    texts = {
        ConnectorFieldType.number: "7",
        ConnectorFieldType.password: f"canary-{id}",
        ConnectorFieldType.text: "https://x.example.com",
    }
    return {field.key: (field.choices or [""])[0] or texts[field.type] for field in fields}


@pytest.mark.parametrize("id", list(catalog()))
async def test_each_connector_is_installed_and_shows_no_secret(world: World, id: str) -> None:
    connector, form = catalog()[id], form_of(id)
    made = await install(world, id, fields=form)
    server = await seen(world, made["integration_id"])
    assert (server["name"], server["display_name"], server["icon"]) == (id, connector.name, connector.brand.logo)
    assert (server["transport"], server["enabled"]) == (connector.mcp.transport, True)
    assert "canary" not in json.dumps(server)
    mark = made["integration_id"][:8]
    held = await kept(world)
    if connector.auth_mode in ("pat", "conn_string"):
        assert held == {f"{id}-{key.replace('_', '-')}-{mark}": value for key, value in form.items()}
    else:
        assert held == {}
    for name, value in held.items():
        if value.startswith("canary"):
            reference = "${" + name.upper().replace("-", "_") + "}"
            assert reference in (server["args_json"] or "") + (server["env_json"] or ""), name
    assert made.get("next_step") == ("mcp_oauth" if connector.auth_mode == "mcp_oauth" else None)
    shown = await world.rest(world.viewer, "GET", "/api/v1/credentials")
    assert "canary" not in shown.text + json.dumps(await world.audit(), default=str)
    assert {one["status"] for one in shown.json()} <= {"ACTIVE"}


async def test_what_is_not_there_is_empty_and_what_is_blank_is_not_given(world: World) -> None:
    made = await install(world, "slack", fields={"bot_token": " canary ", "team_id": "  ", "other": "x"}, name="Ours")
    server = await seen(world, made["integration_id"])
    assert (server["display_name"], server["endpoint"], server["config_json"]) == ("Ours", "", "{}")
    assert json.loads(server["env_json"])["SLACK_TEAM_ID"] == ""
    assert list((await kept(world)).values()) == ["canary"]
    server = await seen(world, (await install(world, "everything"))["integration_id"])
    assert (server["env_json"], server["command"]) == ("null", "npx")
    await install(world, "postgres", fields={"host": "h", "database": "d", "user": "u", "password": "canary"})
    args = await world.database.fetchval("SELECT args_json FROM workspace_mcp_servers WHERE name = 'postgres'")
    mark = await world.database.fetchval("SELECT left(id, 8) FROM workspace_mcp_servers WHERE name = 'postgres'")
    secret = "${POSTGRES_PASSWORD_" + mark.upper() + "}"
    assert json.loads(args)[-1] == f"postgres://u:{secret}@h:5432/d?sslmode=require"


async def test_a_value_is_never_expanded(world: World) -> None:
    path = '${field.root_path} ${instance_url} "; rm -rf /'
    server = await seen(world, (await install(world, "filesystem", fields={"root_path": path}))["integration_id"])
    assert json.loads(server["args_json"])[-1] == path
    made = await install(world, "slack", fields={"bot_token": "x", "team_id": "${OTHER_SECRET}"})
    server = await seen(world, made["integration_id"])
    assert (
        json.loads(server["env_json"])["SLACK_TEAM_ID"] == "${SLACK_TEAM_ID_" + made["integration_id"][:8].upper() + "}"
    )


async def test_a_second_one_has_another_name(world: World) -> None:
    for _ in range(3):
        await install(world, "github", fields={"pat": "canary"})
    names = await world.database.fetch("SELECT name, left(id, 8) AS mark FROM workspace_mcp_servers ORDER BY name")
    assert names[0]["name"] == "github"
    assert [row["name"] for row in names[1:]] == [f"github-{row['mark']}" for row in names[1:]]


async def test_of_a_crew(world: World) -> None:
    crew = Crew(workspace_id=world.workspace.id, name="Reef", slug="reef-of-connectors")
    await world.add(crew)
    made = await install(world, "linear", crew_id=crew.id)
    assert made["next_step"] == "mcp_oauth"
    row = await world.database.fetchrow("SELECT crew_id, name, endpoint FROM crew_integrations")
    assert tuple(row) == (crew.id, "linear", "https://mcp.linear.app/mcp")
    assert await world.database.fetchval("SELECT count(*) FROM workspace_mcp_servers") == 0


@pytest.mark.parametrize(
    ("id", "body", "status"),
    [
        ("github", {"fields": {}}, 400),
        ("github", {"fields": {"pat": "  "}}, 400),
        ("github", {"fields": []}, 400),
        ("github", {"fields": {"pat": 5}}, 400),
        ("github", {"fields": {"pat": "x" * 64_001}}, 400),
        ("github", {"fields": {"pat": "a\0b"}}, 400),
        ("github", {"credentials": {"pat": "canary"}}, 400),
        ("everything", {"crew_id": "cnope"}, 400),
        ("everything", {"name": 7}, 400),
        ("nope", {}, 404),
        ("../github", {}, 404),
    ],
)
async def test_a_refusal_writes_nothing(world: World, id: str, body: Any, status: int) -> None:
    before = await world.snapshot()
    path = f"{CONNECTORS}/{id.replace('/', '%2f')}/install"
    answer = await world.rest(world.manager, "POST", path, body)
    assert answer.status_code == (400 if ".." in id else status)
    assert await world.snapshot() == before


async def test_what_fails_at_the_end_takes_all_back(world: World) -> None:
    """The credential is there before the server fails: neither stays."""
    await world.database.execute("ALTER TABLE workspace_mcp_servers ADD CONSTRAINT no_second CHECK (icon <> 'slack')")
    try:
        before = await world.snapshot()
        answer = await world.rest(world.manager, "POST", f"{CONNECTORS}/slack/install", {"fields": {"bot_token": "x"}})
        assert answer.status_code >= 400
        assert await world.snapshot() == before
    finally:
        await world.database.execute("ALTER TABLE workspace_mcp_servers DROP CONSTRAINT no_second")


VALUES = {"ANTHROPIC_API_KEY": " canary-a ", "BRAVE_API_KEY": "canary-b"}


async def test_a_recipe_is_previewed_and_installed(world: World) -> None:
    path = f"{RECIPES}/research-crew"
    preview = (await world.rest(world.viewer, "GET", f"{path}/preview")).json()
    assert preview["recipe"]["slug"] == "research-crew"
    assert (preview["needed_credentials"], preview["existing_credentials"]) == (list(VALUES), {})
    assert (preview["crew_slug_available"], preview["resolved_crew_slug"]) == (True, "research")
    before = await world.snapshot()
    refused = await world.rest(world.admin, "POST", f"{path}/install", {"credential_values": {"BRAVE_API_KEY": " "}})
    assert (refused.status_code, refused.json()["missing_credentials"]) == (400, list(VALUES))
    assert await world.snapshot() == before
    body = {"credential_values": VALUES, "account_labels": {"BRAVE_API_KEY": "Ours"}}
    assert (await world.rest(world.manager, "POST", f"{path}/install", body)).status_code == 403
    made = (await world.rest(world.admin, "POST", f"{path}/install", body)).json()
    assert {k: v for k, v in made.items() if k != "crew_id"} == {
        "crew_slug": "research", "credentials_added": list(VALUES), "credentials_reused": [],
        "mcp_servers_added": ["brave-search"],
    }  # fmt: skip
    assert await kept(world) == {"ANTHROPIC_API_KEY": "canary-a", "BRAVE_API_KEY": "canary-b"}
    server = await world.database.fetchrow("SELECT * FROM crew_integrations")
    assert (server["crew_id"], server["endpoint"]) == (made["crew_id"], "")
    assert json.loads(server["env_json"]) == {"BRAVE_API_KEY": "BRAVE_API_KEY"}
    label = await world.database.fetchval("SELECT account_label FROM credentials WHERE name = 'BRAVE_API_KEY'")
    assert label == "Ours"

    preview = (await world.rest(world.viewer, "GET", f"{path}/preview")).json()
    assert (preview["needed_credentials"], preview["existing_credentials"]) == ([], dict.fromkeys(VALUES, True))
    assert (preview["crew_slug_available"], preview["resolved_crew_slug"]) == (False, "research-2")
    again = {"credential_values": {"BRAVE_API_KEY": "another"}}
    made = (await world.rest(world.admin, "POST", f"{path}/install", again)).json()
    assert (made["crew_slug"], made["credentials_reused"]) == ("research-2", list(VALUES))
    assert (await kept(world))["BRAVE_API_KEY"] == "canary-b"
    await world.database.execute("DELETE FROM crews WHERE slug LIKE 'research%'")


async def test_the_query_alone_names_the_workspace(world: World) -> None:
    before = await world.snapshot()
    async with world.client(world.manager, **{"X-Workspace-ID": world.workspace.id}) as client:
        nameless = await client.post(f"{CONNECTORS}/everything/install", json={})
        both = await client.post(f"{CONNECTORS}/everything/install?workspace_id=nowhere", json={})
    assert (nameless.status_code, nameless.json()["error"]) == (400, "workspace_id is required")
    assert both.status_code == 403
    assert await world.snapshot() == before
