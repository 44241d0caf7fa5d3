"""oidc-provider, an authorization server of others, as it gives a client tokens for an MCP server."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from unittest import mock
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx2
import pytest

from resolvers.instance.running import instance
from resolvers.kernel import across_workspaces
from resolvers.resources.oauth.refreshing import enqueue_due
from tests.npm import NODE
from tests.people.recovery.mailbox import delivering, idle
from tests.people.sign_in_providers.node_provider import installed, line_of
from tests.resources.oauth.server import Authorities, asked_for
from tests.resources.oauth.test_consents import BASE, come_back, connect, row_of, text_of
from tests.world import World

__all__ = ["installed"]
pytestmark = [pytest.mark.anyio, pytest.mark.slow]
PROGRAM = Path(__file__).with_name("authorization_server.mjs")


@pytest.fixture
async def issuer(world: World, installed: Path, tmp_path: Path) -> AsyncIterator[str]:
    for table in ("agent_mcp_bindings", "crew_integrations", "workspace_mcp_servers", "credentials"):
        await world.database.execute(f"DELETE FROM {table}")
    shutil.copy(PROGRAM, tmp_path)
    (tmp_path / "node_modules").symlink_to(installed)
    process = await asyncio.create_subprocess_exec(
        str(NODE), PROGRAM.name, cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with mock.patch.object(instance, "_settings", instance.settings.model_copy(update={"mcp_allow_private": True})):
            yield await line_of(process)
    finally:
        process.kill()
        await process.wait()


async def agree(location: str, callback: str) -> dict[str, str]:
    """A person signs in and agrees. Returns what the server adds to the address it sends the browser back to."""
    async with httpx2.AsyncClient(timeout=30) as page:
        for _ in range(12):
            answer = await page.get(location)
            if answer.status_code == 200:
                login = 'name="login"' in answer.text
                form = {"prompt": "login", "login": "nemo", "password": "any"} if login else {"prompt": "consent"}
                answer = await page.post(str(answer.url), data=form)
            assert answer.status_code in (302, 303), answer.text
            location = urljoin(str(answer.url), answer.headers["location"])
            if location.startswith(callback):
                return dict(parse_qsl(urlsplit(location).query))
    raise AssertionError("the server never sent the browser back")


async def consented(world: World, issuer: str) -> tuple[str, dict[str, str]]:
    made = await connect(world, Authorities(url=issuer))
    return made["credential_id"], await agree(made["auth_url"], asked_for(made["auth_url"])["redirect_uri"])


async def test_how_it_asks_is_found_out(world: World, issuer: str) -> None:
    sent = {"mcp_url": f"{issuer}/mcp"}
    found = (await world.rest(world.viewer, "POST", f"{BASE}/discover", sent, workspace=None)).json()
    assert found["auth_url"] == f"{issuer}/auth"
    assert (found["supports_dcr"], found["supports_pkce"], found["source"]) == (True, True, "discovery")
    assert found["registration_endpoint"] == f"{issuer}/reg"


async def test_a_token_is_got_and_renewed(world: World, issuer: str) -> None:
    id, told = await consented(world, issuer)
    assert told["iss"] == issuer, "it names itself (RFC 9207)"
    page = await come_back(world, **told)
    assert page.status_code == 200, page.text
    row = await row_of(world, id)
    first, refresh = await text_of(row, "value"), await text_of(row, "refresh_token")
    assert (row["status"], row["oauth_issuer"], bool(first), bool(refresh)) == ("ACTIVE", issuer, True, True)
    assert row["oauth_resource"] == f"{issuer}/mcp"
    assert (await come_back(world, **told)).status_code == 400, "a state is good once"

    soon = "UPDATE credentials SET oauth_expires_at = now() + interval '1 minute' WHERE id = $1"
    for _ in range(2):  # what came with the first renewal is good for the second
        await world.database.execute(soon, id)
        await asyncio.gather(*[across_workspaces(enqueue_due) for _ in range(3)])
        async with delivering(world):
            await idle(world)
        row = await row_of(world, id)
        assert row["status"] == "ACTIVE"
        assert (await text_of(row, "value"), await text_of(row, "refresh_token")) != (first, refresh)
        first, refresh = await text_of(row, "value"), await text_of(row, "refresh_token")


@pytest.mark.parametrize("wrong", [{"iss": "https://evil.example"}, {"iss": ""}, {"state": "0" * 64}, {"code": "no"}])
async def test_an_answer_that_is_none_gives_no_token(world: World, issuer: str, wrong: dict[str, str]) -> None:
    id, told = await consented(world, issuer)
    assert (await come_back(world, **told | wrong)).status_code in (400, 502)
    row = await row_of(world, id)
    assert (row["status"], row["value"], row["refresh_token"]) == ("PENDING", None, None)


async def test_servers_that_are_mixed_up_get_no_code_of_each_other(world: World, issuer: str) -> None:
    """The state of one consent with the code of another."""
    id, told = await consented(world, issuer)
    async with Authorities().listening() as evil:
        other = await connect(world, evil, "other")
        state = asked_for(other["auth_url"])["state"]
        assert (await come_back(world, **told | {"state": state})).status_code == 400
        assert evil.to("/token") == [], "the code was not shown to it"
    assert (await row_of(world, id))["value"] is None
    assert (await row_of(world, other["credential_id"]))["value"] is None
