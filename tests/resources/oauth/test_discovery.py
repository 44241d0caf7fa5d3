"""Who is believed about whom, what is known beforehand, and that nobody inside is called."""

import asyncio
from typing import Any

import pytest

from resolvers.resources.oauth.providers import PROVIDERS
from tests.contract.notation import documents
from tests.resources.oauth.server import RESOURCE, SERVER, Authorities
from tests.world import World

pytestmark = pytest.mark.anyio
PATH = "/api/v1/oauth/discover"


async def discover(world: World, url: str) -> tuple[int, dict[str, Any]]:
    answer = await world.rest(world.viewer, "POST", PATH, {"mcp_url": url}, workspace=None)
    return answer.status_code, answer.json()


async def test_what_the_servers_say(world: World, authorities: Authorities) -> None:
    status, found = await discover(world, f"{authorities.url}/mcp")
    assert (status, found) == (
        200,
        {
            "auth_url": f"{authorities.url}/authorize",
            "token_url": f"{authorities.url}/token",
            "registration_endpoint": f"{authorities.url}/register",
            "scopes": "read write",
            "supports_dcr": True,
            "supports_pkce": True,
            "source": "discovery",
        },
    )
    assert [path for _, path, _ in authorities.asked] == [f"{RESOURCE}/mcp", SERVER]
    document = f'{{ discoverOauth(mcpUrl: "{authorities.url}/mcp") {{ authUrl supportsDcr source }} }}'
    shown = await world.graphql(world.viewer, document)
    assert shown["data"]["discoverOauth"] == {
        "authUrl": f"{authorities.url}/authorize", "supportsDcr": True, "source": "discovery",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("resource", "metadata"),
    [
        ({}, {"issuer": "https://evil.example.com"}),
        ({}, {"issuer": 5}),
        ({}, {"authorization_endpoint": None}),
        ({}, {"token_endpoint": "ftp://127.0.0.1/token"}),
        ({}, {"token_endpoint": "http://user:secret@127.0.0.1/token"}),
        ({}, None),
        ({"authorization_servers": ["file:///etc/passwd"]}, {}),
        ({"authorization_servers": [7]}, {}),
    ],
    ids=str,
)
async def test_whoever_is_not_believed(
    world: World, authorities: Authorities, resource: dict[str, Any], metadata: dict[str, Any] | None
) -> None:
    authorities.resource, authorities.metadata = resource, metadata
    assert (await discover(world, f"{authorities.url}/mcp"))[0] == 404


@pytest.mark.parametrize("named", ["https://evil.example.com/mcp", "http://127.0.0.1:1/mcp", "/mcp", 7])
async def test_a_document_about_another_resource_counts_for_nothing(
    world: World, authorities: Authorities, named: Any
) -> None:
    """A token for that one would be asked for, and shown to this one."""
    authorities.resource = {"resource": named, "authorization_servers": ["http://127.0.0.1:1"]}
    status, found = await discover(world, f"{authorities.url}/mcp")
    assert (status, found["token_url"]) == (200, f"{authorities.url}/token")
    body = {"mcp_url": f"{authorities.url}/mcp"}
    made = (await world.rest(world.admin, "POST", "/api/v1/oauth/auto-connect", body)).json()
    assert "resource=" not in made["auth_url"]


async def test_a_server_that_makes_no_clients(world: World, authorities: Authorities) -> None:
    path, body = "/api/v1/oauth/auto-connect", {"mcp_url": f"{authorities.url}/mcp"}
    for registration, metadata in (
        ((400, {}), {}), ((200, {"client_id": ""}), {}), ((200, {"client_id": 5}), {}), ((200, b"no"), {}),
        ((201, {"client_id": "x"}), {"registration_endpoint": None}),
    ):  # fmt: skip
        authorities.registration, authorities.metadata = registration, metadata
        answer = await world.rest(world.admin, "POST", path, body)
        assert (answer.status_code, answer.json()["status"]) == (200, "needs_client_id")
    assert await world.database.fetchval("SELECT count(*) FROM credentials") == 0
    for person in (world.manager, world.viewer, world.outsider):
        assert (await world.rest(person, "POST", path, body)).status_code == 403


def test_the_providers_are_the_contracts() -> None:
    assert {name: one.plain() for name, one in PROVIDERS.items()} == documents()["integrations"]["oauth_providers"]


async def test_providers_are_known_by_their_hosts(world: World) -> None:
    answer = await world.rest(world.outsider, "GET", "/api/v1/oauth/providers", workspace=None)
    assert answer.json() == documents()["integrations"]["oauth_providers"]
    hint = {"mcp_url": "https://no-such-host.example.org/mcp", "provider_hint": "github"}
    made = await world.rest(world.admin, "POST", "/api/v1/oauth/auto-connect", hint)
    assert (made.json()["status"], made.json()["auth_url"]) == ("needs_client_id", PROVIDERS["github"].auth_url)


INSIDE = [
    "http://127.0.0.1:9/mcp", "http://localhost/mcp", "http://10.0.0.1/mcp", "http://[::1]/mcp", "http://2130706433/",
    "http://0x7f.1/", "http://0177.0.0.1/", "http://[::ffff:127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://x.internal/",
    "http://169.254.169.254/latest", "http://user@example.com/", "ftp://example.com/", "::::", "http://0/",
    "http://printer.local/", "http://a.localhost./", "http://[fe80::1%25lo]/", "http://100.64.0.1/",
]  # fmt: skip


@pytest.mark.parametrize("url", INSIDE)
async def test_nobody_inside_is_called(world: World, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    called = list[Any]()
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lambda *a, **_: called.append(a))
    before = await world.snapshot()
    assert (await discover(world, url))[0] == 404
    body = {"mcp_url": url}
    assert (await world.rest(world.admin, "POST", "/api/v1/oauth/auto-connect", body)).status_code == 400
    assert await world.snapshot() == before
