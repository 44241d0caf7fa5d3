"""oidc-provider, a certified provider of others, as a browser with a person before it meets it."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest
from pydantic import SecretStr

from models.kernel import InstanceFact
from resolvers.instance.running import BOOTSTRAPPED
from tests.people.auth.browsers import Browser
from tests.people.sign_in_providers.node_provider import CLIENT, SECRET, installed, line_of, running
from tests.world import World, world_on

__all__ = ["installed"]
pytestmark = [pytest.mark.anyio, pytest.mark.slow]

CALLBACK = "/api/v1/auth/oidc/harbour/callback"
KINDS = [
    ("client_secret_basic", "RS256", "true"),
    ("client_secret_post", "ES256", "false"),
    ("none", "PS256", "true"),
    ("client_secret_basic", "EdDSA", "false"),
]
"""How the client shows itself, the algorithm of ID tokens, and whether these leave claims to the userinfo endpoint."""


@dataclass
class Harbour:
    """A running provider, and this server with it as the one to sign in with."""

    world: World
    issuer: str


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
async def harbour(
    request: pytest.FixtureRequest,
    installed: Path,
    module_database: Any,
    tmp_path_factory: pytest.TempPathFactory,
    anyio_backend: str,
) -> AsyncIterator[Harbour]:
    directory, node = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("node")
    async with running(node, installed, request.param) as process:
        issuer = await line_of(process)
        configured = {
            "id": "harbour",
            "issuer": issuer,
            "client_id": CLIENT,
            "client_secret": None if request.param[0] == "none" else SECRET,
            "scopes": ["openid", "email", "profile", "groups"],
            "signup": True,
            "workspace": "workspace",
            "roles": {"captains": "MANAGER"},
        }
        settings: dict[str, Any] = {"sign_in_providers": SecretStr(json.dumps([configured]))}
        async with world_on(module_database, directory, **settings) as world:
            await world.add(InstanceFact(name=BOOTSTRAPPED, value=world.owner.user_id))
            assert process.stdin is not None
            process.stdin.write(f"{world.url}{CALLBACK}\n".encode())
            await process.stdin.drain()
            assert await line_of(process) == "ready"
            yield Harbour(world, issuer)
            for table in ("instance_facts", "linked_identities", "memberships", "workspaces", "users"):
                await world.database.execute(f"DELETE FROM {table}")


async def agree(location: str, login: str) -> str:
    """A person at the provider: signs in, and agrees. Returns the address that the provider sends the browser to."""
    async with httpx2.AsyncClient(timeout=30, verify=False) as page:
        for _ in range(12):
            answer = await page.get(location)
            if answer.status_code == 200:
                prompt = "login" if 'name="login"' in answer.text else "consent"
                form = {"prompt": prompt} | ({"login": login, "password": "any"} if prompt == "login" else {})
                answer = await page.post(str(answer.url), data=form)
            assert answer.status_code in (302, 303), answer.text
            location = urljoin(str(answer.url), answer.headers["location"])
            if urlsplit(location).path == CALLBACK:
                return location
    raise AssertionError("the provider never sent the browser back")


async def come_back(browser: Browser, address: str) -> httpx2.Response:
    parts = urlsplit(address)
    return await browser.send("GET", f"{parts.path}?{parts.query}")


async def test_somebody_signs_in_and_is_known_the_next_time(harbour: Harbour) -> None:
    ids = set()
    for _ in range(2):
        browser = Browser(harbour.world.url)
        started = await browser.send("GET", "/api/v1/auth/oidc/harbour/redirect?redirect=/crews")
        address = await agree(started.headers["location"], "nemo")
        answer = await come_back(browser, address)
        assert (answer.status_code, answer.headers["location"]) == (307, "/crews"), answer.text
        session = (await browser.send("GET", "/api/auth/session")).json()
        assert (session["user"]["email"], session["user"]["name"]) == ("nemo@corp.example", "Captain nemo")
        ids.add(session["user"]["id"])
        again = await come_back(browser, address)
        assert again.status_code == 400
    (id,) = ids
    role = await harbour.world.database.fetchval("SELECT role FROM memberships WHERE user_id = $1", id)
    assert role == "MANAGER"


async def test_an_email_that_the_provider_has_not_verified_makes_no_account(harbour: Harbour) -> None:
    browser = Browser(harbour.world.url)
    started = await browser.send("GET", "/api/v1/auth/oidc/harbour/redirect")
    answer = await come_back(browser, await agree(started.headers["location"], "unverified"))
    assert answer.status_code == 403


async def test_an_answer_in_another_browser_is_refused(harbour: Harbour) -> None:
    browser, other = Browser(harbour.world.url), Browser(harbour.world.url)
    started = await browser.send("GET", "/api/v1/auth/oidc/harbour/redirect")
    address = await agree(started.headers["location"], "ahab")
    assert (await come_back(other, address)).status_code == 400
    assert (await come_back(browser, address)).status_code == 307


async def test_a_person_who_says_no_is_told_so(harbour: Harbour) -> None:
    browser = Browser(harbour.world.url)
    started = await browser.send("GET", "/api/v1/auth/oidc/harbour/redirect")
    async with httpx2.AsyncClient(timeout=30, verify=False) as page:
        shown = await page.get(started.headers["location"])
        aborted = urljoin(str(shown.url), f"{urlsplit(urljoin(str(shown.url), shown.headers['location'])).path}/abort")
        answer = await page.get(aborted)
        while urlsplit(location := urljoin(str(answer.url), answer.headers["location"])).path != CALLBACK:
            answer = await page.get(location)
    parts = urlsplit(location)
    page_shown = await browser.send("GET", f"{parts.path}?{parts.query}", headers={"accept": "text/html"})
    assert (page_shown.status_code, page_shown.headers["location"]) == (302, "/login?error=AccessDenied")
