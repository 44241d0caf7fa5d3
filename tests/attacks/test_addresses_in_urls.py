"""The table of docs/addresses.md: each form of an address inside, and where it is refused; nobody is called."""

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from models.attention.webhook_endpoints import WebhookDelivery, WebhookEndpoint
from models.base import new_id
from models.resources.credentials import Credential, CredentialType
from models.resources.integrations import CrewIntegration, WorkspaceIntegration
from models.sealed import Sealed
from models.staff.crews import Crew
from resolvers.attention.webhook_endpoints.sending import send
from tests.world import World, now

pytestmark = pytest.mark.anyio
DOCUMENT = Path(__file__).parents[2] / "docs" / "addresses.md"
FORMS = {
    "decimal": "http://2130706433/x",
    "hexadecimal": "http://0x7f.0.0.1/x",
    "octal": "http://0177.0.0.1/x",
    "short": "http://127.1/x",
    "IPv6": "http://[::1]/x",
    "IPv4 in IPv6": "http://[::ffff:127.0.0.1]/x",
    "NAT64": "http://[64:ff9b::7f00:1]/x",
    "private network": "http://10.0.0.1/x",
    "link-local, metadata": "http://169.254.169.254/x",
    "CGNAT": "http://100.64.0.1/x",
    "localhost": "http://localhost/x",
    "trailing dot": "http://localhost./x",
    ".internal": "http://metadata.google.internal/x",
    ".local": "http://printer.local/x",
    "user name": "http://user@example.com/x",
    "another scheme": "file:///etc/passwd",
    "port 0": "http://example.com:0/x",
    "name with a private address": "http://private.test/x",
    "name with a private address among others": "http://mixed.test/x",
}
NAMES = {"private.test": ["10.0.0.1"], "mixed.test": ["93.184.215.14", "127.0.0.1"]}


async def discover(world: World, url: str) -> int:
    answer = await world.rest(world.viewer, "POST", "/api/v1/oauth/discover", {"mcp_url": url}, workspace=None)
    return answer.status_code


async def auto_connect(world: World, url: str) -> int:
    return (await world.rest(world.admin, "POST", "/api/v1/oauth/auto-connect", {"mcp_url": url})).status_code


async def exchange(world: World, url: str) -> int:
    secret = {"oauth_client_id": "c", "oauth_auth_url": "https://a.example.com", "oauth_token_url": url}
    row = Credential(workspace_id=world.workspace.id, name=f"at {url}", type=CredentialType.OAUTH2, **secret)
    await world.add(row)
    body = {"credential_id": row.id, "code": "good"}
    return (await world.rest(world.admin, "POST", "/api/v1/oauth/exchange", body)).status_code


async def verify(world: World, url: str) -> str:
    body = {"fields": {"url": url, "token": "canary"}}
    answer = await world.rest(world.admin, "POST", "/api/v1/connectors/mattermost/verify", body)
    assert answer.json()["ok"] is False
    return f"{answer.status_code}, not ok"


async def integration(world: World, url: str) -> int:
    body = {"name": f"at {url}", "endpoint": url}
    return (await world.rest(world.admin, "POST", "/api/v1/integrations", body)).status_code


async def integration_test(world: World, url: str) -> str:
    """Of a server that came to this address some other way."""
    row = WorkspaceIntegration(name=new_id(), display_name="", endpoint=url, workspace_id=world.workspace.id)
    await world.add(row)
    answer = await world.rest(world.admin, "POST", f"/api/v1/integrations/{row.id}/test", {})
    return f"{answer.status_code}, {answer.json()['status']}"


async def refresh(world: World, url: str) -> int:
    crew = Crew(name="Crew", slug=new_id(), workspace_id=world.workspace.id)
    row = CrewIntegration(name="x", display_name="", crew_id=crew.id, endpoint=url, workspace_id=world.workspace.id)
    await world.add(crew, row)
    path = f"/api/v1/crews/{crew.id}/integrations/{row.id}/tools/refresh"
    return (await world.rest(world.admin, "POST", path, {})).status_code


async def import_skill(world: World, url: str) -> int:
    path = f"/api/v1/workspaces/{world.workspace.id}/skills"
    answers = [
        await world.rest(world.admin, "POST", f"{path}/import", {"url": url}),
        await world.rest(world.admin, "POST", f"{path}/import", {"url": url.replace("http:", "https:")}),
    ]
    [status] = {answer.status_code for answer in answers}
    return status


async def bulk_import(world: World, url: str) -> int:
    body = {"git_url": url.replace("http:", "https:"), "paths": ["*"]}
    path = f"/api/v1/workspaces/{world.workspace.id}/skills/bulk-import"
    return (await world.rest(world.admin, "POST", path, body)).status_code


async def webhook(world: World, url: str) -> str:
    """A name may be written down: what it means is asked for when something is sent."""
    body = {"name": "Hook", "url": url, "event_types": ["*"]}
    answer = await world.rest(world.admin, "POST", "/api/v1/webhook-endpoints", body)
    if answer.status_code != 201:
        return str(answer.status_code)
    [row] = await world.database.fetch("SELECT * FROM webhook_endpoints WHERE id = $1", answer.json()["id"])
    endpoint = WebhookEndpoint(**{**dict(row), "secret": Sealed(row["secret"])})
    event = {"event_type": "crew.created", "subject": "crew", "payload": {}, "xid": 1, "seq": 1, "happened_at": now()}
    outcome = await send(endpoint, WebhookDelivery(endpoint_id=endpoint.id, **event), now())
    assert (outcome.status, bool(outcome.error)) == (None, True)
    await world.database.execute("DELETE FROM webhook_endpoints")
    return "201, not sent"


async def channel(world: World, url: str) -> str:
    body = {"type": "webhook", "url": url, "events": ["run.failed"]}
    answer = await world.rest(world.admin, "POST", "/api/v1/notification-channels", body)
    if answer.status_code != 201:
        return str(answer.status_code)
    path = f"/api/v1/notification-channels/{answer.json()['id']}"
    tested = await world.rest(world.admin, "POST", f"{path}/test", {})
    assert (await world.rest(world.admin, "DELETE", path)).status_code in (200, 204)
    return f"201, then {tested.status_code}"


ASKED: dict[str, Callable[[World, str], Awaitable[Any]]] = {
    "oauth.discover": discover,
    "oauth.auto_connect": auto_connect,
    "oauth.exchange": exchange,
    "connectors.verify": verify,
}
KEPT: dict[str, Callable[[World, str], Awaitable[Any]]] = {
    "integrations.create": integration,
    "integrations.test": integration_test,
    "crew_tools.refresh": refresh,
    "skills.import": import_skill,
    "skills.bulk_import": bulk_import,
    "webhook_endpoints.create": webhook,
    "notification_channels.create": channel,
}


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    made, real = list[Any](), socket.getaddrinfo

    def look_up(host: Any, port: Any, *more: Any, **options: Any) -> Any:
        if host in NAMES:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in NAMES[host]]
        return real(host, port, *more, **options)

    async def connect(self: Any, host: str, *_: Any, **__: Any) -> Any:
        made.append(host)
        raise AssertionError("somebody was called")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr("resolvers.instance.outbound._Network._open", connect)
    return made


@pytest.mark.parametrize("operations", [ASKED, KEPT], ids=["asked", "kept"])
async def test_the_table_is_what_happens(
    world: World, called: list[Any], operations: dict[str, Callable[[World, str], Awaitable[Any]]]
) -> None:
    lines = [f"| form | {' | '.join(operations)} |", f"| --- |{' --- |' * len(operations)}"]
    for form, url in FORMS.items():
        found = [str(await ask(world, url)) for ask in operations.values()]
        lines.append(f"| {form}: `{url}` | {' | '.join(found)} |")
    print("\n".join(lines))
    assert called == []
    assert "\n".join(lines) in DOCUMENT.read_text()
