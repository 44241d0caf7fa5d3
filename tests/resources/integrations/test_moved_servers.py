"""A server that is put somewhere else takes no credential there: at each level, on both surfaces, at the same time."""

import asyncio
from typing import Any

import pytest

from models.base import new_id
from models.resources.credentials import Credential, CredentialType
from resolvers.rules.mcp_endpoint import origin
from tests.resources.integrations.test_servers import SERVERS, _nothing_yet, agent_of, bound, crew_of, get, made  # noqa: F401
from tests.world import World

pytestmark = pytest.mark.anyio
OF_WORKSPACE = """mutation($ws: ID, $input: UpdateIntegrationInput!) {
  updateIntegration(workspaceId: $ws, input: $input) { id endpoint } }"""
OF_CREW = """mutation($ws: ID, $input: UpdateCrewIntegrationInput!) {
  updateCrewIntegration(workspaceId: $ws, input: $input) { id endpoint } }"""
LEVELS = ("workspace", "crew")
ELSEWHERE = (
    {"endpoint": "http://mcp.example.com/mcp"}, {"endpoint": "https://mcp.example.com:8443/mcp"},
    {"endpoint": "https://other.example.com/mcp"}, {"endpoint": ""}, {"transport": "stdio", "command": "npx"},
)  # fmt: skip
THE_SAME = (
    {"endpoint": "https://mcp.example.com/v2?x=1"}, {"endpoint": "https://MCP.example.com.:443/mcp"},
    {"icon": "anchor"}, {"env_json": '{"A":"1"}'}, {"command": "npx"}, {"enabled": False}, {},
)  # fmt: skip


async def placed(world: World, level: str, **fields: Any) -> tuple[str, dict[str, Any], list[Any], Credential]:
    """The path of a server, it, two agents bound to it with one credential, and that."""
    crew = await crew_of(world)
    path = SERVERS if level == "workspace" else f"/api/v1/crews/{crew.id}/integrations"
    server = await made(world, path, **fields)
    secret = Credential(name=new_id(), type=CredentialType.SECRET, workspace_id=world.workspace.id)
    await world.add(secret)
    agents = [await agent_of(world, crew) for _ in range(2)]
    for agent in agents:
        await bound(world, agent, server, credential_id=secret.id, cred_type="basic")
    return f"{path}/{server['id']}", server, agents, secret


async def credentials_of(world: World, agents: list[Any]) -> set[str | None]:
    found = set[str | None]()
    for agent in agents:
        [tie] = await get(world, f"/api/v1/agents/{agent.id}/integrations")
        assert tie["cred_type"] == "basic"
        found.add(tie["credential_id"])
    return found


async def last_update(world: World) -> Any:
    [row] = [row for row in await world.audit() if row["action"].endswith("_integration.updated")]
    return row


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("patch", ELSEWHERE)
async def test_a_server_that_moves_gets_no_credential(world: World, level: str, patch: dict[str, Any]) -> None:
    path, server, agents, secret = await placed(world, level)
    answer = await world.rest(world.admin, "PATCH", path, patch)
    assert answer.status_code == 200, answer.text
    assert await credentials_of(world, agents) == {None}
    row = await last_update(world)
    assert (row["entity_id"], row["data"]["credentials_unbound"]) == (server["id"], [secret.id])
    assert row["entity_type"] == f"{level.upper()}_INTEGRATION"
    assert row["changes"].keys() >= {name for name in patch if server[name] != patch[name]}
    [resolved] = await get(world, f"/api/v1/agents/{agents[0].id}/integrations/resolved")
    assert (resolved["server_id"], resolved["credential_id"]) == (server["id"], None)
    if level == "crew" and patch.get("endpoint"):
        [shown] = await get(world, "/api/v1/integrations/crews")
        assert shown["auth_status"] == "missing"


@pytest.mark.parametrize("level", LEVELS)
async def test_a_server_that_moves_in_graphql_gets_no_credential(world: World, level: str) -> None:
    _, server, agents, secret = await placed(world, level)
    document, named = OF_WORKSPACE, {"id": server["id"]}
    if level == "crew":
        document, named = OF_CREW, {"crewId": server["crew_id"], "integrationId": server["id"]}
    for endpoint, left in (("https://mcp.example.com/other", secret.id), ("https://evil.example/", None)):
        answer = await world.graphql(world.admin, document, {"input": named | {"endpoint": endpoint}})
        assert "errors" not in answer
        assert await credentials_of(world, agents) == {left}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("patch", THE_SAME)
async def test_a_server_that_stays_keeps_its_credentials(world: World, level: str, patch: dict[str, Any]) -> None:
    path, _, agents, secret = await placed(world, level)
    assert (await world.rest(world.admin, "PATCH", path, patch)).status_code == 200
    assert await credentials_of(world, agents) == {secret.id}
    assert "credentials_unbound" not in ((await last_update(world))["data"] or {})


@pytest.mark.parametrize("patch", [{"command": "sh"}, {"args_json": '["-c", "env"]'}, {"env_json": '{"PATH": "/tmp"}'}])
async def test_another_process_gets_no_credential(world: World, patch: dict[str, Any]) -> None:
    path, _, agents, secret = await placed(world, "crew", transport="stdio", command="npx")
    moved_nowhere = {"endpoint": "https://other.example.com/", "command": "npx", "args_json": ""}
    assert (await world.rest(world.admin, "PATCH", path, moved_nowhere)).status_code == 200
    assert await credentials_of(world, agents) == {secret.id}
    assert (await world.rest(world.admin, "PATCH", path, patch)).status_code == 200
    assert await credentials_of(world, agents) == {None}


async def test_there_is_no_way_around_by_two_steps(world: World) -> None:
    path, server, agents, _ = await placed(world, "crew")
    for patch in ({"transport": "stdio", "command": "x"}, {"endpoint": "https://evil.example/"}):
        assert (await world.rest(world.admin, "PATCH", path, patch)).status_code == 200
    back = {"transport": "streamable-http", "endpoint": server["endpoint"]}
    assert (await world.rest(world.admin, "PATCH", path, back)).status_code == 200
    assert await credentials_of(world, agents) == {None}


async def test_a_move_that_is_refused_unbinds_nothing(world: World) -> None:
    path, _, agents, secret = await placed(world, "crew")
    for person, patch, status in (
        (world.manager, {"endpoint": "https://evil.example/"}, 403),
        (world.admin, {"endpoint": "http://127.0.0.1/"}, 400),
        (world.admin, {"transport": "streamable-http", "endpoint": ""}, 400),
    ):
        assert (await world.rest(person, "PATCH", path, patch)).status_code == status
    stale = await world.rest(world.admin, "PATCH", path, {"endpoint": "https://evil.example/"}, **{"If-Match": '"9"'})
    assert stale.status_code == 412
    assert await credentials_of(world, agents) == {secret.id}


async def test_other_servers_keep_theirs(world: World) -> None:
    path, _, _, _ = await placed(world, "crew")
    _, _, agents, secret = await placed(world, "workspace", name="other")
    assert (await world.rest(world.admin, "PATCH", path, {"endpoint": "https://evil.example/"})).status_code == 200
    assert await credentials_of(world, agents) == {secret.id}


async def test_who_binds_and_who_moves_wait_for_each_other(world: World) -> None:
    """Whichever is first: what was bound before the move is not bound after it."""
    path, server, _, secret = await placed(world, "crew")
    other = await agent_of(world)
    answer: Any = None
    async with world.database.transaction():
        await world.database.execute("SELECT 1 FROM crew_integrations WHERE id = $1 FOR UPDATE", server["id"])
        binding = asyncio.create_task(bound(world, other, server, credential_id=secret.id))
        while not await world.database.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)
        answer = asyncio.create_task(world.rest(world.admin, "PATCH", path, {"endpoint": "https://evil.example/"}))
        while await world.database.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") < 2:
            await asyncio.sleep(0.01)
    await binding
    assert (await answer).status_code == 200
    [tie] = await get(world, f"/api/v1/agents/{other.id}/integrations")
    assert tie["credential_id"] is None


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("HTTPS://Mcp.Example.com./x", ("https", "mcp.example.com", 443)), ("http://a:80", ("http", "a", 80)),
        ("http://[::1]:8/", ("http", "::1", 8)), ("ftp://a/", None), ("", None), ("http://a:99999/", None),
        ("http://[::1", None),
    ],
)  # fmt: skip
def test_the_origin_of_a_url(url: str, where: Any) -> None:
    assert origin(url) == where
