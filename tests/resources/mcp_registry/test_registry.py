"""The mirror of the registry: what is kept of an entry, how often it is filled, and how it is searched."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from structlog.testing import capture_logs

from models.resources.mcp_registry import McpRegistryServer, TrustTier
from resolvers.instance.running import instance
from resolvers.kernel import across_workspaces
from resolvers.resources.mcp_registry.syncing import entry as kept
from resolvers.resources.mcp_registry.syncing import is_due
from tests.every import each_of
from tests.people.recovery.mailbox import delivering, idle
from tests.resources.mcp_registry.registry import FILES, SNAPSHOT, Registry, entry
from tests.world import World, now

pytestmark = pytest.mark.anyio
PATH = "/api/v1/mcp-registry"


@pytest.fixture
async def registry(world: World) -> AsyncIterator[Registry]:
    await world.database.execute("DELETE FROM mcp_registry_servers")
    await world.database.execute("DELETE FROM instance_facts WHERE name = 'mcp_registry_sync'")
    async with Registry().listening() as made:
        here = instance.settings.model_copy(update={"mcp_registry_url": made.url})
        with mock.patch.object(instance, "_settings", here):
            yield made


async def synced(world: World) -> None:
    await world.database.execute("DELETE FROM instance_facts WHERE name = 'mcp_registry_sync'")
    async with delivering(world):
        assert (await world.rest(world.admin, "POST", f"{PATH}/sync", {})).status_code == 202
        await idle(world)


async def listed(world: World, path: str = PATH) -> dict[str, Any]:
    async with world.client(world.outsider) as client:
        answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


@pytest.mark.slow
async def test_a_sync_mirrors_the_latest_versions(world: World, registry: Registry) -> None:
    assert await listed(world) == {"servers": [], "total": 0, "limit": 50, "offset": 0}
    await synced(world)
    found = await listed(world)
    files, remote, last = found["servers"]
    assert [files["id"], remote["id"], last["id"], found["total"]] == ["acme/files", "acme/remote", "zeta/last", 3]
    assert {**files, "synced_at": None} == {
        "id": "acme/files", "name": "acme/files", "display_name": "acme/files", "description": "Server acme/files",
        "icon": "", "transport": "stdio", "homepage_url": "", "source_url": "https://github.com/acme/files",
        "package_name": "@acme/files", "package_registry": "npm", "command": "npx", "endpoint": "", "auth_type": "",
        "env_vars_json": '[{"name":"ACME_TOKEN","description":"A token","isRequired":true,"isSecret":true}]',
        "category": "", "is_verified": True, "trust_tier": "community", "is_featured": False, "synced_at": None,
    }  # fmt: skip
    assert (remote["transport"], remote["endpoint"], remote["auth_type"]) == (
        "streamable-http", "https://mcp.example.com/mcp", "header",
    )  # fmt: skip
    assert (last["is_verified"], last["homepage_url"]) == (False, "https://zeta.example")
    assert registry.asked == [{"limit": ["100"]}, {"limit": ["100"], "cursor": ["page1"]}]


@pytest.mark.slow
async def test_another_sync_updates_keeps_what_is_gone_and_never_what_is_chosen_here(
    world: World, registry: Registry
) -> None:
    await synced(world)
    await world.database.execute("UPDATE mcp_registry_servers SET trust_tier = 'crewship', is_featured = true")
    registry.pages = [[entry("acme/files", title="Files of Acme")], []]
    await synced(world)
    found = await listed(world)
    assert [one["display_name"] for one in found["servers"]] == ["Files of Acme", "acme/remote", "zeta/last"]
    assert {(one["trust_tier"], one["is_featured"]) for one in found["servers"]} == {("crewship", True)}


async def test_it_is_asked_for_once_an_hour_and_by_administrators(world: World, registry: Registry) -> None:
    for person in (world.viewer, world.member, world.manager, world.outsider):
        assert (await world.rest(person, "POST", f"{PATH}/sync", {})).status_code == 403
    assert (await world.rest(world.admin, "POST", f"{PATH}/sync", {})).status_code == 202
    assert (await world.rest(world.owner, "POST", f"{PATH}/sync", {})).status_code == 429
    document = "mutation($ws: ID!) { syncMcpRegistry(workspaceId: $ws) { status } }"
    refused = await world.graphql(world.owner, document)
    assert refused["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    async with delivering(world):
        await idle(world)
    assert len(registry.asked) == len(SNAPSHOT)


@pytest.mark.slow
async def test_a_registry_that_fails_is_asked_again(world: World, registry: Registry) -> None:
    registry.failing = 1
    await synced_after_failures(world)
    assert (await listed(world))["total"] == 3
    assert len(registry.asked) == 1 + len(SNAPSHOT)


@pytest.mark.slow
async def test_a_registry_that_cannot_be_reached_is_one_line_of_the_log(
    world: World, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.failing = 100
    with capture_logs() as lines:
        await synced_after_failures(world)
    told = [line for line in lines if line.get("job") == "mcp_registry.sync" and line["log_level"] != "debug"]
    assert [(line["event"], line["log_level"], line["cause"]) for line in told] == [
        ("job given up", "error", "The registry answered with status 500 and without a list of servers")
    ]
    assert [line for line in lines if "exc_info" in line] == []
    assert [record for record in caplog.records if record.name == "dbos" and record.exc_info] == []
    assert len(registry.asked) == 4


async def synced_after_failures(world: World) -> None:
    async with delivering(world):
        assert (await world.rest(world.admin, "POST", f"{PATH}/sync", {})).status_code == 202
        pending = "SELECT count(*) FROM dbos.workflow_status WHERE queue_name LIKE 'job:mcp%' AND status IN ('ENQUEUED', 'PENDING', 'DELAYED')"  # noqa: E501
        while await world.database.fetchval(pending):
            await idle(world)


async def test_a_mirror_is_due_a_day_after_it_was_filled(world: World, registry: Registry) -> None:
    """And where nobody has asked for one, nothing is called."""
    assert not await across_workspaces(is_due)
    server = McpRegistryServer(id="a/b", name="a/b", display_name="b", synced_at=now() - timedelta(hours=23))
    await world.add(server)
    assert not await across_workspaces(is_due)
    await world.database.execute("UPDATE mcp_registry_servers SET synced_at = now() - interval '25 hours'")
    assert await across_workspaces(is_due)


HOSTILE: dict[str, Any] = {
    "nothing": None,
    "a list": [],
    "no server": {"_meta": FILES["_meta"]},
    "no name": entry(""),
    "a name of another kind": entry("x") | {"server": {"name": 5}},
    "a NUL in the name": entry("a\0b"),
    "a long name": entry("a" * 201),
    "no word of what is latest": {"server": FILES["server"]},
    "an old version": entry("a/b", latest=False),
}


@each_of("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_entry_is_left_out(raw: Any) -> None:
    assert kept(raw) is None


async def test_what_a_registry_says_wrongly_is_empty(world: World, registry: Registry) -> None:
    packages = [{"identifier": "x" * 5_000, "transport": "stdio", "environmentVariables": {"name": "X"}}]
    registry.pages = [
        [
            *HOSTILE.values(),
            entry("acme/odd", description="long " * 5_000, repository="none", packages=packages),
            entry("acme/odder", remotes=["https://x"], packages=5, title=7),
            entry("acme/twice", description="first"),
            entry("acme/twice", description="second"),
        ]
    ]
    await synced(world)
    odd, odder, twice = (await listed(world))["servers"]
    assert (odd["package_name"], odd["transport"], odd["env_vars_json"]) == ("", "stdio", "[]")
    assert odd["description"].endswith("… (cut)")
    assert (odder["display_name"], odder["endpoint"]) == ("acme/odder", "")
    assert twice["description"] == "second"


async def test_a_search_finds_names_first_and_filters(world: World, registry: Registry) -> None:
    told = {"synced_at": now(), "trust_tier": TrustTier.anthropic}
    for id, text, featured in (
        ("b/maps", "charts", False), ("c/charts", "x", False), ("a/charts", "y", False), ("z/sea", "CHARTS", True),
        ("d/other", "z", False),
    ):  # fmt: skip
        await world.add(
            McpRegistryServer(id=id, name=id, display_name=id, description=text, is_featured=featured, **told)
        )
    found = await listed(world, f"{PATH}/search?q=Charts")
    assert [one["id"] for one in found["servers"]] == ["z/sea", "a/charts", "c/charts", "b/maps"]
    assert (found["total"], found["query"]) == (4, "Charts")
    page = await listed(world, f"{PATH}/search?q=charts&limit=1&offset=2")
    assert ([one["id"] for one in page["servers"]], page["limit"], page["offset"]) == (["c/charts"], 1, 2)
    assert "query" not in await listed(world, f"{PATH}/search?q=%20%20")
    assert (await listed(world, f"{PATH}/search"))["total"] == 5
    assert (await listed(world, f"{PATH}?featured=1"))["total"] == 1
    assert (await listed(world, f"{PATH}?featured=false&trust_tier=anthropic"))["total"] == 4
    assert (await listed(world, f"{PATH}?limit=500"))["limit"] == 200
    assert (await listed(world, f"{PATH}/search?q=%25"))["total"] == 0
    for wrong in ("featured=yes", "trust_tier=mine"):
        async with world.client(world.viewer) as client:
            assert (await client.get(f"{PATH}/search?{wrong}")).status_code == 400, wrong
    document = 'query($after: String) { searchMcpRegistry(q: "charts", first: 3, after: $after) {'
    document += " totalCount edges { node { id } cursor } } }"
    first = (await world.graphql(world.viewer, document))["data"]["searchMcpRegistry"]
    assert [edge["node"]["id"] for edge in first["edges"]] == ["z/sea", "a/charts", "c/charts"]
    after = {"after": first["edges"][-1]["cursor"]}
    rest = (await world.graphql(world.viewer, document, after))["data"]["searchMcpRegistry"]
    assert [edge["node"]["id"] for edge in rest["edges"]] == ["b/maps"]
