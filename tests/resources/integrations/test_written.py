"""MCP servers that are written as `mcp_config_json` of a crew or an agent: who has them, and what follows the text."""

from typing import Any

import orjson
import pytest

from models.staff.agents import Agent
from models.staff.crews import Crew
from tests.resources.integrations.test_servers import agent_of, bound, crew_of, made
from tests.world import World

pytestmark = pytest.mark.anyio
URL = "https://mcp.example.com/mcp"
FILES = {"command": "mcp-files", "args": ["--root", "/data"], "env": {"KEY": "${FILES_KEY}"}}
WEB = {"type": "http", "url": URL}


@pytest.fixture(autouse=True)
async def _nothing_yet(world: World) -> None:
    for table in ("agent_mcp_bindings", "crew_integrations", "workspace_mcp_servers", "audit_logs", "events"):
        await world.database.execute(f"DELETE FROM {table}")


async def write(world: World, row: Crew | Agent, person: Any = None, *, status: int = 200, **servers: Any) -> Any:
    kind = "crews" if isinstance(row, Crew) else "agents"
    sent = {"mcp_config_json": orjson.dumps({"mcpServers": servers}).decode()}
    answer = await world.rest(person or world.owner, "PATCH", f"/api/v1/{kind}/{row.id}", sent)
    assert answer.status_code == status, answer.text
    return answer.json()


async def listed(world: World, crew: Crew) -> dict[str, dict[str, Any]]:
    answer = await world.rest(world.owner, "GET", f"/api/v1/crews/{crew.id}/integrations")
    return {server["name"]: server for server in answer.json()}


async def usable(world: World, agent: Agent) -> list[str]:
    answer = await world.rest(world.owner, "GET", f"/api/v1/agents/{agent.id}/integrations/resolved")
    return [server["name"] for server in answer.json()]


async def test_the_servers_of_a_crew_are_made(world: World) -> None:
    crew = await crew_of(world)
    agent = await agent_of(world, crew)
    kept = await made(world, f"/api/v1/crews/{crew.id}/integrations", name="one", display_name="Mine")
    answer = await write(
        world, crew, **{"my-files": FILES, "web-one": WEB, "one": {"url": "https://other.example.com/"}}
    )
    assert orjson.loads(answer["mcp_config_json"])["mcpServers"].keys() == {"my-files", "web-one", "one"}
    servers = await listed(world, crew)
    assert servers.keys() == {"my-files", "web-one", "one"}
    files, web = servers["my-files"], servers["web-one"]
    assert (files["transport"], files["command"], files["display_name"]) == ("stdio", "mcp-files", "My Files")
    assert (files["args_json"], files["env_json"]) == ('["--root","/data"]', '{"KEY":"${FILES_KEY}"}')
    assert (web["transport"], web["endpoint"], web["command"]) == ("streamable-http", URL, None)
    assert {**servers["one"], "auth_status": ""} == {**kept, "auth_status": ""}
    assert await usable(world, agent) == ["my-files", "one", "web-one"]
    overview = await world.rest(world.viewer, "GET", "/api/v1/integrations/crews")
    assert {server["name"] for server in overview.json()} == {"my-files", "web-one", "one"}


async def test_they_are_told_and_audited_as_others_are(world: World) -> None:
    crew = await crew_of(world)
    await write(world, crew, web=WEB)
    count = "SELECT count(*) FROM events WHERE type = 'integration.created'"
    assert await world.database.fetchval(count) == 1
    actions = await world.database.fetch("SELECT action FROM audit_logs")
    assert {row["action"] for row in actions} == {"crew.updated", "crew_integration.created"}


async def test_they_follow_the_text_until_somebody_changes_them(world: World) -> None:
    crew = await crew_of(world)
    await write(world, crew, web=WEB, files=FILES, mine=WEB)
    mine = (await listed(world, crew))["mine"]["id"]
    path = f"/api/v1/crews/{crew.id}/integrations/{mine}"
    changed = await world.rest(world.owner, "PATCH", path, {"endpoint": "https://mine.example.com/"})
    assert changed.status_code == 200, changed.text
    await write(world, crew, web=WEB | {"url": "https://new.example.com/"})
    servers = await listed(world, crew)
    assert {name: server["endpoint"] for name, server in servers.items()} == {
        "web": "https://new.example.com/",
        "mine": "https://mine.example.com/",
    }
    await write(world, crew)
    assert (await listed(world, crew)).keys() == {"mine"}


async def test_what_a_text_cannot_name_makes_no_server(world: World) -> None:
    crew = await crew_of(world)
    private = {"url": "http://169.254.169.254/"}
    await write(world, crew, a={}, b=[], c={"url": "ftp://x"}, d=private, e={"type": "stdio"}, f={"command": 7})
    assert await listed(world, crew) == {}
    many = {f"server-{number}": WEB for number in range(51)}
    await write(world, crew, status=400, **many)
    assert await listed(world, crew) == {}


async def test_the_servers_of_an_agent_are_its_alone(world: World) -> None:
    crew = await crew_of(world)
    agent, other = await agent_of(world, crew), await agent_of(world, crew)
    await made(world, f"/api/v1/crews/{crew.id}/integrations", name="shared")
    await write(world, agent, own=WEB, shared={"url": "https://other.example.com/"})
    assert await usable(world, agent) == ["own", "shared"]
    assert await usable(world, other) == ["shared"]
    await write(world, other, own=WEB)
    assert await usable(world, other) == ["own", "shared"]
    await write(world, agent)
    assert (await usable(world, agent), await usable(world, other)) == (["shared"], ["own", "shared"])
    await write(world, agent, own=WEB)
    assert await usable(world, agent) == ["own", "shared"]


async def test_an_agent_takes_its_servers_along(world: World) -> None:
    first, second = await crew_of(world), await crew_of(world)
    agent = await agent_of(world)
    await write(world, agent, own=WEB)
    for crew in (first, second):
        moved = await world.rest(world.owner, "PATCH", f"/api/v1/agents/{agent.id}", {"crew_id": crew.id})
        assert moved.status_code == 200, moved.text
        assert await usable(world, agent) == ["own"]
    assert await usable(world, await agent_of(world, first)) == []


async def test_reads_write_nothing(world: World) -> None:
    crew = await crew_of(world)
    await write(world, crew, web=WEB)
    before = await world.snapshot()
    await listed(world, crew)
    assert await world.snapshot() == before


async def test_a_server_that_somebody_bound_stays_theirs(world: World) -> None:
    crew = await crew_of(world)
    agent, other = await agent_of(world, crew), await agent_of(world, crew)
    server = await made(world, f"/api/v1/crews/{crew.id}/integrations", name="own", endpoint="https://x.example.com/")
    await bound(world, other, server)
    await write(world, agent, own=WEB)
    assert (await usable(world, agent), await usable(world, other)) == ([], ["own"])
