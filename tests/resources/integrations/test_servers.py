"""MCP servers of workspaces and crews: what is taken, what is refused, what goes with what, who is told."""

from typing import Any

import pytest

from models.base import new_id
from models.resources.credentials import Credential, CredentialStatus, CredentialType
from models.staff.agents import Agent
from models.staff.crews import Crew
from tests.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
SERVERS = "/api/v1/integrations"
URL = "https://mcp.example.com/mcp"
REFUSED = [
    "ftp://mcp.example.com/", "mcp.example.com", "https:///x", "https://u:p@mcp.example.com/", "http://localhost:9000/",
    "http://localhost./", "http://LOCALHOST/", "http://a.localhost/", "http://127.0.0.1/", "http://127.9.9.9/",
    "http://0.0.0.0/", "http://10.1.1.1/", "http://172.20.0.1/", "http://192.168.1.1/", "http://100.64.0.1/",
    "http://169.254.169.254/", "http://192.0.2.1/", "http://198.18.0.1/", "http://224.0.0.1/", "http://240.0.0.1/",
    "http://[::1]/", "http://[fd00::1]/", "http://[fe80::1]/", "http://[::ffff:10.0.0.1]/", "http://2130706433/",
    "http://0x7f000001/", "http://0177.0.0.1/", "http://127.1/", "http://printer.local/", "http://printer.local./",
    "http://metadata.google.internal/", "http://x.internal.:80/", "http://mcp.example.com\\@127.0.0.1/",
    "http://mcp.example.com:0/", "http://mcp.example.com:99999/", "http://mcp example.com/", "http://[::1", "http://./",
    "http://[64:ff9b::7f00:1]/", "http://mcp.example.com/\u2028",
]  # fmt: skip


@pytest.fixture(autouse=True)
async def _nothing_yet(world: World) -> None:
    for table in ("agent_mcp_bindings", "crew_integrations", "workspace_mcp_servers", "audit_logs", "credentials"):
        await world.database.execute(f"DELETE FROM {table}")


async def crew_of(world: World) -> Crew:
    made = Crew(name="Engine", slug=new_id(), workspace_id=world.workspace.id)
    await world.add(made)
    return made


async def agent_of(world: World, crew: Crew | None = None) -> Agent:
    made = Agent(name="Ada", slug=new_id(), workspace_id=world.workspace.id, crew_id=crew and crew.id)
    await world.add(made)
    return made


async def made(world: World, path: str = SERVERS, person: Any = None, **fields: Any) -> dict[str, Any]:
    answer = await world.rest(person or world.owner, "POST", path, {"name": "one", "endpoint": URL} | fields)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def bound(world: World, agent: Agent, server: dict[str, Any], **fields: Any) -> dict[str, Any]:
    scope = "crew" if "crew_id" in server else "workspace"
    sent = {"mcp_server_id": server["id"], "mcp_server_scope": scope} | fields
    return await made(world, f"/api/v1/agents/{agent.id}/integrations", world.manager, **sent)


async def get(world: World, path: str, person: Any = None) -> Any:
    answer = await world.rest(person or world.viewer, "GET", path)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("url", REFUSED)
async def test_an_address_inside_is_refused(world: World, url: str) -> None:
    since = len(await world.events())
    answer = await world.rest(world.owner, "POST", SERVERS, {"name": "one", "endpoint": url})
    assert (answer.status_code, answer.json()["error"].split()[0]) == (400, "endpoint")
    assert await get(world, SERVERS) == []
    assert len(await world.events()) == since


@pytest.mark.parametrize(
    "url", ["http://8.8.8.8/", "http://intranet.example.com/", "https://[2606:4700::1111]:8443/x?y"]
)
async def test_an_address_outside_is_taken_and_no_name_is_looked_up(world: World, url: str) -> None:
    assert (await made(world, endpoint=url))["endpoint"] == url


async def test_fields_go_together(world: World) -> None:
    for sent, said in (
        ({"name": "x"}, "endpoint is required"),
        ({"name": "x", "endpoint": ""}, "endpoint is required"),
        ({"name": "x", "transport": "stdio"}, "command is required"),
        ({"name": "x", "transport": "stdio", "command": ""}, "command is required"),
        ({"endpoint": URL}, "name"),
        ({"name": "", "endpoint": URL}, "name"),
        ({"name": "x", "transport": "sse", "endpoint": URL}, "transport"),
    ):
        answer = await world.rest(world.owner, "POST", SERVERS, sent)
        assert (answer.status_code, said in answer.json()["error"]) == (400, True), answer.text
    odd = {"transport": "stdio", "command": "x", "args_json": "not json", "endpoint": "https://10.0.0.1/"}
    local = await made(world, name="odd", **odd)
    assert (local["args_json"], local["endpoint"], local["enabled"]) == ("not json", "https://10.0.0.1/", True)
    back = await world.rest(world.owner, "PATCH", f"{SERVERS}/{local['id']}", {"transport": "streamable-http"})
    assert (back.status_code, "private address" in back.json()["error"]) == (400, True)
    assert (await get(world, f"{SERVERS}/{local['id']}"))["transport"] == "stdio"


async def test_a_patch_of_nothing_is_an_edit_and_null_is_nothing(world: World) -> None:
    server = await made(world, env_json='{"A":"1"}')
    for patch in ({}, {"display_name": None, "endpoint": None, "enabled": None}, {"name": "other"}):
        answer = await world.rest(world.admin, "PATCH", f"{SERVERS}/{server['id']}", patch)
        assert answer.status_code == 200
        assert {**answer.json(), "updated_at": ""} == {**server, "updated_at": ""}
    answer = await world.rest(world.admin, "PATCH", f"{SERVERS}/{server['id']}", {"env_json": "", "enabled": False})
    assert (answer.json()["env_json"], answer.json()["enabled"]) == ("", False)


async def test_a_server_goes_with_those_linked_to_it_and_with_all_bindings(world: World) -> None:
    crew = await crew_of(world)
    agent, server = await agent_of(world, crew), await made(world)
    linked = await made(world, f"/api/v1/crews/{crew.id}/integrations", workspace_mcp_server_id=server["id"])
    kept = await made(world, f"/api/v1/crews/{crew.id}/integrations", name="kept")
    for each in (server, linked, kept):
        await bound(world, agent, each)
    shown = await get(world, f"{SERVERS}/{server['id']}")
    assert (shown["agent_binding_count"], shown["crew_server_count"]) == (1, 1)
    since = len(await world.events())
    answer = await world.rest(world.admin, "DELETE", f"{SERVERS}/{server['id']}")
    assert (answer.status_code, answer.json()) == (200, {"status": "deleted"})
    assert [row["id"] for row in await get(world, f"/api/v1/crews/{crew.id}/integrations")] == [kept["id"]]
    [left] = await get(world, f"/api/v1/agents/{agent.id}/integrations")
    assert left["mcp_server_id"] == kept["id"]
    told = [(event["type"], event["payload"]) for event in (await world.events())[since:]]
    assert told == [("integration.deleted", {"id": server["id"], "scope": "workspace"})]


async def test_a_credential_of_oauth_goes_with_the_last_server_it_was_for(world: World) -> None:
    crew = await crew_of(world)
    agent, here = await agent_of(world, crew), {"workspace_id": world.workspace.id}
    one, two = [await made(world, f"/api/v1/crews/{crew.id}/integrations", name=name) for name in ("one", "two")]
    names = ("alone-oauth-1", "shared-oauth-1", "token")
    secrets = [Credential(name=name, type=CredentialType.OAUTH2, **here) for name in names]
    plain = Credential(name="an oauth key", type=CredentialType.API_KEY, **here)
    await world.add(*secrets, plain)
    agents = [await agent_of(world, crew) for _ in range(4)]
    for each, secret in zip(agents, [*secrets, plain], strict=True):
        await bound(world, each, one, credential_id=secret.id)
    await bound(world, agent, two, credential_id=secrets[1].id)
    answer = await world.rest(world.admin, "DELETE", f"/api/v1/crews/{crew.id}/integrations/{one['id']}")
    assert answer.status_code == 200
    left = {row["name"] for row in await world.database.fetch("SELECT name FROM credentials")}
    assert left == {"shared-oauth-1", "token", "an oauth key"}
    assert await world.database.fetch("SELECT 1 FROM agent_mcp_bindings WHERE mcp_server_id = $1", one["id"]) == []


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (CredentialStatus.ACTIVE, "connected"), (CredentialStatus.PENDING, "connected"),
        (CredentialStatus.EXPIRED, "expired"), (CredentialStatus.REVOKED, "expired"),
        (CredentialStatus.ERROR, "expired"),
    ],
)  # fmt: skip
async def test_how_a_server_stands(world: World, status: CredentialStatus, shown: str) -> None:
    crew = await crew_of(world)
    path = f"/api/v1/crews/{crew.id}/integrations"
    local, server = await made(world, path, name="l", transport="stdio", command="x"), await made(world, path)
    assert (local["auth_status"], server["auth_status"]) == ("", "")
    assert {row["name"]: row["auth_status"] for row in await get(world, path)} == {"l": "none", "one": "missing"}
    secret = Credential(name="key", type=CredentialType.SECRET, status=status, workspace_id=world.workspace.id)
    await world.add(secret)
    await bound(world, await agent_of(world), server, credential_id=secret.id)
    rows = await get(world, "/api/v1/integrations/crews")
    assert [(row["name"], row["auth_status"], row["crew_name"]) for row in rows] == [
        ("l", "none", "Engine"),
        ("one", shown, "Engine"),
    ]


async def test_what_an_agent_can_use(world: World) -> None:
    crew = await crew_of(world)
    ada, bob, cat = await agent_of(world, crew), await agent_of(world, crew), await agent_of(world)
    shared = await made(world, name="shared", config_json="ws")
    await made(world, name="both")
    off = await made(world, name="off")
    await world.rest(world.owner, "PATCH", f"{SERVERS}/{off['id']}", {"enabled": False})
    of_crew = await made(world, f"/api/v1/crews/{crew.id}/integrations", name="both", transport="stdio", command="npx")
    hid = await made(world, f"/api/v1/crews/{crew.id}/integrations", name="shared")
    await world.rest(world.owner, "PATCH", f"/api/v1/crews/{crew.id}/integrations/{hid['id']}", {"enabled": False})

    async def resolved(agent: Agent) -> list[tuple[Any, ...]]:
        rows = await get(world, f"/api/v1/agents/{agent.id}/integrations/resolved")
        query = "query($ws: ID, $a: ID!) { agent(workspaceId: $ws, id: $a) { resolvedIntegrations { name scope } } }"
        shown = (await world.graphql(world.viewer, query, {"a": agent.id}))["data"]["agent"]["resolvedIntegrations"]
        assert [(n["name"], n["scope"]) for n in shown] == [(row["name"], row["scope"]) for row in rows]
        return [(row["name"], row["scope"], row["config_json"], row["credential_name"]) for row in rows]

    assert await resolved(ada) == [("both", "crew", None, None), ("shared", "workspace", "ws", None)]
    assert await resolved(cat) == [("both", "workspace", None, None), ("shared", "workspace", "ws", None)]
    secret = Credential(name="key", type=CredentialType.SECRET, workspace_id=world.workspace.id)
    await world.add(secret)
    tie = await bound(world, ada, shared, credential_id=secret.id, config_override_json="agent", cred_type="basic")
    assert (tie["server_name"], tie["credential_name"], tie["cred_type"]) == ("", None, "basic")
    await bound(world, ada, of_crew)
    assert await resolved(ada) == [("both", "crew", None, None), ("shared", "workspace", "agent", "key")]
    assert await resolved(bob) == []
    path = f"/api/v1/agents/{ada.id}/integrations/{tie['id']}"
    assert (await world.rest(world.manager, "PATCH", path, {"enabled": False})).json() == {"status": "updated"}
    assert await resolved(ada) == [("both", "crew", None, None)]
    assert (await world.rest(world.manager, "DELETE", path)).json() == {"status": "deleted"}
    assert await resolved(bob) == [("shared", "workspace", "ws", None)]


async def test_a_binding_names_what_is_there(world: World) -> None:
    agent, server = await agent_of(world), await made(world)
    path = f"/api/v1/agents/{agent.id}/integrations"
    good = {"mcp_server_id": server["id"], "mcp_server_scope": "workspace"}
    for changed in (
        {"mcp_server_id": "cnope"}, {"mcp_server_id": ""}, {"mcp_server_scope": "crew"}, {"mcp_server_scope": "agent"},
        {"credential_id": "cnope"}, {"cred_type": "cookie"}, {"cred_header": "X: a\r\nX: b"}, {"env_var_name": "A B"},
    ):  # fmt: skip
        answer = await world.rest(world.manager, "POST", path, good | changed)
        assert answer.status_code == 400, (changed, answer.text)
    assert await get(world, path) == []
    tie = await bound(world, agent, server, credential_id="", env_var_name="")
    again = await world.rest(world.manager, "POST", path, good)
    assert (again.status_code, again.json()["error"]) == (409, "Agent already has a binding for this integration")
    nothing = await world.rest(world.manager, "PATCH", f"{path}/{tie['id']}", {})
    assert nothing.status_code == 400
    [row] = await world.database.fetch("SELECT * FROM agent_mcp_bindings")
    assert (row["workspace_server_id"], row["crew_server_id"], row["env_var_name"]) == (server["id"], None, None)


async def test_a_binding_without_its_credential_stays(world: World) -> None:
    agent, server = await agent_of(world), await made(world)
    secret = Credential(name="key", type=CredentialType.SECRET, workspace_id=world.workspace.id)
    await world.add(secret)
    await bound(world, agent, server, credential_id=secret.id)
    await world.database.execute("DELETE FROM credentials WHERE id = $1", secret.id)
    [tie] = await get(world, f"/api/v1/agents/{agent.id}/integrations")
    assert (tie["credential_id"], tie["credential_name"], tie["server_name"]) == (None, None, "one")


async def test_tools_are_switched_and_taken_over(world: World) -> None:
    crew = await crew_of(world)
    server = await made(world, f"/api/v1/crews/{crew.id}/integrations")
    path = f"/api/v1/crews/{crew.id}/integrations/{server['id']}/tools"
    odd = await world.rest(world.admin, "PATCH", f"{path}/a%2Fb%20c", {"enabled": False})
    assert (odd.status_code, odd.json()["tool_name"], odd.json()["enabled"]) == (200, "a/b c", False)
    tools = [{"name": "a/b c", "description": "new"}, {"name": "x"}, {"name": "x", "description": "twice"}]
    tools.append({"name": " "})
    taken = await world.rest(world.admin, "POST", f"{path}/refresh", {"tools": tools})
    assert taken.json() == {"created": 1, "updated": 2, "total": 4}
    again = await world.rest(world.admin, "POST", f"{path}/refresh", {"tools": [{"name": "x", "description": None}]})
    assert again.json() == {"created": 0, "updated": 1, "total": 1}
    shown = [(tool["tool_name"], tool["description"], tool["enabled"]) for tool in await get(world, path)]
    assert shown == [("a/b c", "new", False), ("x", "twice", True)]
    for tool, patch in (("%20", {"enabled": True}), ("x", {}), ("x", {"enabled": "yes"})):
        assert (await world.rest(world.admin, "PATCH", f"{path}/{tool}", patch)).status_code == 400
    many = [{"name": f"t{number}"} for number in range(999)]
    full = await world.rest(world.admin, "POST", f"{path}/refresh", {"tools": many})
    assert (full.status_code, len(await get(world, path))) == (409, 2)


async def test_a_secret_in_a_text_is_not_in_the_audit_log(world: World) -> None:
    server = await made(world, env_json='{"TOKEN":"canary-in-env"}')
    await world.rest(world.owner, "PATCH", f"{SERVERS}/{server['id']}", {"env_json": '{"TOKEN":"canary-two"}'})
    agent = await agent_of(world)
    await bound(world, agent, server, config_override_json='{"k":"canary-three"}')
    rows = await world.database.fetch("SELECT * FROM audit_logs")
    assert len(rows) >= 3
    assert "canary" not in str([dict(row) for row in rows]).lower()
    assert "canary" not in str(await world.events())
