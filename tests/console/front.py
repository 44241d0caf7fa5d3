"""A service with all ways to sign in, and a browser in front of it: for tests of the pages before the sign-in."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from models.kernel import InstanceFact
from models.people.workspaces import Membership, Role
from resolvers.instance.running import BOOTSTRAPPED
from tests.console.deck import EMAIL
from tests.people.auth.browsers import PASSWORD, new_user
from tests.people.sign_in_providers.provider import CLIENT, Provider, providing
from tests.process.browser import Page, browsing
from tests.world import World, now, world_on

HOSTS = ("127.0.0.1", "localhost")
FOCUSED = "document.activeElement.name || document.activeElement.id"
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture(scope="module")
async def provider(anyio_backend: str) -> AsyncIterator[Provider]:
    async with providing() as made:
        made.issuer("open").secret = None
        yield made


@pytest.fixture(scope="module")
async def place(
    module_database: Any, provider: Provider, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    listed = [{"id": "open", "name": "Open House", "issuer": provider.issuer("open").url, "client_id": CLIENT}]
    chosen = {"allow_signup": True, "sign_in_providers": SecretStr(json.dumps(listed)), "role": "api"}
    async with world_on(module_database, tmp_path_factory.mktemp("data"), **chosen) as made:
        await made.add(InstanceFact(name=BOOTSTRAPPED, value=made.owner.user_id))
        ada = await new_user(made, full_name="Ada Lovelace", email=EMAIL)
        await made.add(Membership(workspace_id=made.workspace.id, user_id=ada.id, role=Role.OWNER, accepted_at=now()))
        yield made


@pytest.fixture(scope="module")
async def tab(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Page]:
    async with browsing(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture
async def page(tab: Page, place: World, provider: Provider) -> AsyncIterator[Page]:
    """The tab, signed out."""
    await place.database.execute("DELETE FROM sessions")
    await tab.command("Network.clearBrowserCookies")
    await tab.command("Storage.clearDataForOrigin", origin=place.url, storageTypes="local_storage")
    await tab.look()
    tab.complaints.clear()
    tab.requests.clear()
    yield tab
    assert [said for said in tab.complaints if provider.url not in said] == []  # which has nothing to show
    port = place.url.rsplit(":", 1)[1]
    known = ("data:", *(f"{kind}://{host}:{port}" for kind in ("http", "ws") for host in HOSTS), provider.url)
    assert [url for url in tab.requests if not url.startswith(known)] == []


def state_of(address: str) -> str:
    """What a provider gives back."""
    return parse_qs(urlsplit(address).query)["state"][0]


async def clear(page: Page, selector: str) -> None:
    await page.value(f"document.querySelector('{selector}').value = ''")


async def sign_in(page: Page, place: World, path: str, email: str = EMAIL, password: str = PASSWORD) -> None:
    """By the page, and on to a path."""
    await page.open(f"{place.url}/login?callbackUrl={path}")
    await page.fill("#login [name=email]", email)
    await page.fill("#login [name=password]", password)
    await page.press("Enter")
    await page.until(f"location.pathname === '{path}'")
