"""Operations that ask MCP servers: the test of a connection, and the tools that a server has."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.base import new_id
from models.resources.credentials import Credential, CredentialType
from models.staff.crews import Crew
from resolvers.kernel import instance
from tests.resources.integrations.mcp_hosts import Hostile, hostile, official
from tests.resources.integrations.test_servers import _nothing_yet, agent_of, bound, made  # noqa: F401
from tests.sealing import sealed_before
from tests.world import World

pytestmark = pytest.mark.anyio
TESTED = {
    "good": ("ok", "Server responded successfully"),
    "moved": ("error", "Server returned HTTP 307"),
    "locked": ("auth_required", "Server requires authentication"),
    "page": ("error", "Server returned no JSON-RPC answer"),
    "teapot": ("error", "Server returned HTTP 418"),
    "events": ("ok", "Server responded with SSE stream"),
    "events-error": ("error", "Server returned JSON-RPC error: boom"),
    "flood": ("error", "Server returned no JSON-RPC answer"),
}


@pytest.fixture
async def bad(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hostile]:
    """With an instance that calls private addresses."""
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"mcp_allow_private": True}))
    async with hostile() as server:
        yield server


async def crew_server(world: World, url: str, **fields: Any) -> str:
    crew = Crew(name="Engine", slug=new_id(), workspace_id=world.workspace.id)
    await world.add(crew)
    path = f"/api/v1/crews/{crew.id}/integrations"
    return f"{path}/{(await made(world, path, endpoint=url, **fields))['id']}"


@pytest.mark.parametrize("form", TESTED)
async def test_a_connection_is_tested(world: World, bad: Hostile, form: str) -> None:
    server = await made(world, endpoint=bad.url(form))
    answer = await world.rest(world.manager, "POST", f"/api/v1/integrations/{server['id']}/test", {})
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["message"]) == TESTED[form]
    assert bad.asked == {form: 1}
    assert ("server_info" in answer.json()) == (form == "good")
    of_crew = await crew_server(world, bad.url(form))
    assert (await world.rest(world.manager, "POST", f"{of_crew}/test", {})).json() == answer.json()


async def test_what_is_not_asked(world: World, bad: Hostile) -> None:
    local = await crew_server(world, bad.url("good"), transport="stdio", command="x")
    assert (await world.rest(world.manager, "POST", f"{local}/test", {})).json()["status"] == "skipped"
    server = await crew_server(world, bad.url("good"))
    await world.rest(world.owner, "PATCH", server, {"endpoint": ""})
    assert (await world.rest(world.manager, "POST", f"{server}/test", {})).json()["status"] == "error"
    assert bad.asked == {}


async def test_a_private_address_behind_a_name_is_not_reached(world: World, bad: Hostile) -> None:
    server = await crew_server(world, bad.url("good"))
    instance._settings = instance.settings.model_copy(update={"mcp_allow_private": False})
    answer = (await world.rest(world.manager, "POST", f"{server}/test", {})).json()
    assert (answer["status"], "may not be called" in answer["message"]) == ("error", True)
    refreshed = await world.rest(world.admin, "POST", f"{server}/tools/refresh", {})
    assert (refreshed.status_code, bad.asked) == (502, {})


async def bind_key(world: World, server: str, key: str) -> str:
    """The id of an agent of its own."""
    secret = Credential(name=key, type=CredentialType.SECRET, workspace_id=world.workspace.id)
    secret.value = sealed_before(key, table=Credential, column="value", row_id=secret.id)
    agent = await agent_of(world)
    await world.add(secret)
    tied = {"id": server.rpartition("/")[2], "crew_id": ""}
    await bound(world, agent, tied, credential_id=secret.id, cred_type="api_key", cred_header="X-Harbour-Key")
    return agent.id


async def crew_server_with_key(world: World, url: str) -> str:
    server = await crew_server(world, url)
    await bind_key(world, server, "canary-of-a-key")
    return server


async def test_whoever_refreshes_tools_is_not_told_the_credential(world: World, bad: Hostile) -> None:
    server = await crew_server_with_key(world, bad.url("repeats-in-error"))
    answer = await world.rest(world.admin, "POST", f"{server}/tools/refresh", {})
    assert answer.status_code == 502
    assert "xxx" in answer.text
    assert "canary" not in answer.text, "not even the beginning of it, where a fault is cut"
    await world.rest(world.owner, "DELETE", server)
    await world.database.execute("DELETE FROM credentials")
    server = await crew_server_with_key(world, bad.url("repeats"))
    answer = await world.rest(world.admin, "POST", f"{server}/tools/refresh", {})
    assert answer.json() == {"created": 1, "updated": 0, "total": 1}, "a tool that is named so is none"
    [tool] = (await world.rest(world.viewer, "GET", f"{server}/tools")).json()
    assert tool["description"].startswith("Speaks to [REDACTED")


async def test_a_server_is_asked_for_its_tools_with_the_credential_of_an_agent(world: World, bad: Hostile) -> None:
    server = await crew_server_with_key(world, bad.url("changing"))
    for number in (1, 2):
        answer = await world.rest(world.admin, "POST", f"{server}/tools/refresh", {})
        assert answer.json() == {"created": 2 - number, "updated": number - 1, "total": 1}
        [tool] = (await world.rest(world.viewer, "GET", f"{server}/tools")).json()
        assert (tool["tool_name"], tool["description"]) == ("speak", f"Version {number}")
    assert bad.seen["x-harbour-key"] == "canary-of-a-key"
    rows = await world.database.fetch("SELECT fingerprint FROM tool_bindings")
    assert [len(row["fingerprint"]) for row in rows] == [64]
    assert "canary-of" not in str(await world.database.fetch("SELECT * FROM audit_logs")) + str(await world.events())


async def test_a_server_that_cannot_be_asked_changes_nothing(world: World, bad: Hostile) -> None:
    server = await crew_server(world, bad.url("page"))
    answer = await world.rest(world.admin, "POST", f"{server}/tools/refresh", {})
    assert answer.status_code == 502
    local = await crew_server(world, "", transport="stdio", command="x")
    assert (await world.rest(world.admin, "POST", f"{local}/tools/refresh", {})).status_code == 400
    assert (await world.rest(world.viewer, "GET", f"{server}/tools")).json() == []


async def test_a_real_server_is_tested_and_asked(world: World, bad: Hostile) -> None:
    with official() as urls:
        server = await crew_server(world, urls["mcp"])
        tested = (await world.rest(world.manager, "POST", f"{server}/test", {})).json()
        assert tested["status"] == "ok"
        answer = await world.rest(world.admin, "POST", f"{server}/tools/refresh", {})
    assert answer.json() == {"created": 2, "updated": 0, "total": 2}


async def test_a_server_is_asked_with_the_credential_that_was_bound_first(world: World, bad: Hostile) -> None:
    """To an agent that is still there."""
    server = await crew_server(world, bad.url("good"))
    await bound(world, await agent_of(world), {"id": server.rpartition("/")[2], "crew_id": ""})  # without one
    keys = ("one", "two")
    agents = [await bind_key(world, server, key) for key in keys]
    for key, agent in zip(keys, agents, strict=True):
        bad.seen.clear()
        assert (await world.rest(world.admin, "POST", f"{server}/tools/refresh", {})).status_code == 200
        assert bad.seen["x-harbour-key"] == key
        await world.database.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", agent)
    bad.seen.clear()
    assert (await world.rest(world.admin, "POST", f"{server}/tools/refresh", {})).status_code == 200
    assert bad.seen
    assert "x-harbour-key" not in bad.seen
