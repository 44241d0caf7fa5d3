"""The table of docs/addresses.md: each form of an address inside, and where it is refused; nobody is called."""

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from models.credentials import Credential, CredentialType
from tests.world import World

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


OPERATIONS: dict[str, Callable[[World, str], Awaitable[Any]]] = {
    "oauth.discover": discover,
    "oauth.auto_connect": auto_connect,
    "oauth.exchange": exchange,
    "connectors.verify": verify,
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


async def test_the_table_is_what_happens(world: World, called: list[Any]) -> None:
    lines = [f"| form | {' | '.join(OPERATIONS)} |", f"| --- |{' --- |' * len(OPERATIONS)}"]
    for form, url in FORMS.items():
        found = [str(await ask(world, url)) for ask in OPERATIONS.values()]
        lines.append(f"| {form}: `{url}` | {' | '.join(found)} |")
    assert called == []
    assert "\n".join(lines) in DOCUMENT.read_text()
