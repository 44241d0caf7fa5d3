"""The pages around an account in a real browser: each one's way through, its refusals, and what axe says of it."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from models.kernel import InstanceFact
from models.people.preferences import Preference
from models.people.workspaces import Membership, Role
from resolvers.instance.running import BOOTSTRAPPED, instance
from tests.people.auth.browsers import PASSWORD, Browser, new_user
from tests.people.sign_in_providers.provider import CLIENT, Provider, providing
from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.looks import axe, judge
from tests.process.players import hire
from tests.world import World, now, world_on

__all__ = ["axe"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
EMAIL = "ada@example.com"
HOSTS = ("127.0.0.1", "localhost")
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
FOCUSED = "document.activeElement.name || document.activeElement.id"


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
    chosen = {"allow_signup": True, "sign_in_providers": SecretStr(json.dumps(listed))}
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
    tab.complaints.clear()
    tab.requests.clear()
    yield tab
    assert [said for said in tab.complaints if provider.url not in said] == []  # which has nothing to show
    port = place.url.rsplit(":", 1)[1]
    known = (*(f"{kind}://{host}:{port}" for kind in ("http", "ws") for host in HOSTS), provider.url)
    assert {url for url in tab.requests if not url.startswith(known)} == set()


async def sign_in(page: Page, place: World, path: str, email: str = EMAIL, password: str = PASSWORD) -> None:
    await page.open(f"{place.url}{path}")
    await page.fill("#login [name=email]", email)
    await page.fill("#login [name=password]", password)
    await page.press("Enter")
    await page.until(f"location.pathname === '{path}'")


async def account(page: Page, place: World, email: str = EMAIL) -> None:
    await sign_in(page, place, "/account", email)
    await page.until("document.body.dataset.ready")


async def choose(page: Page, selector: str, value: str) -> None:
    await page.value(
        f"(field => {{ field.value = '{value}'; field.dispatchEvent(new Event('change', {{bubbles: true}})); }})"
        f"(document.querySelector('{selector}'))"
    )


# ---- sign-in ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_page_for_users_leads_by_the_sign_in_and_back(page: Page, place: World, axe: str) -> None:
    await page.open(f"{place.url}/account")
    await page.see("Forgot your password?", "#login")
    assert await page.value("location.pathname + location.search") == "/login?callbackUrl=%2Faccount"
    await judge(page, axe, "login")
    await page.fill("#login [name=email]", EMAIL)
    await page.fill("#login [name=password]", "wrong")
    await page.press("Enter")
    await page.see("Email or password is wrong.", "#login [role=alert]")
    await judge(page, axe, "login refused")
    await page.value("document.querySelector('#login [name=password]').value = ''")
    await page.fill("#login [name=password]", PASSWORD)
    await page.press("Enter")
    await page.see("Ada Lovelace", "#account-page")
    await page.click("#sign-out")
    await page.see("Sign in", "#login")
    assert await place.database.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 0


@pytest.mark.slow
async def test_somebody_signs_in_with_a_provider_and_unlinks_it(
    page: Page, place: World, provider: Provider, axe: str
) -> None:
    await page.open(f"{place.url}/account")
    await page.click("#login .providers a")
    await page.until(f"location.href.startsWith('{provider.url}/open/authorize')")
    asked = await page.value("location.href")
    await page.open(f"{place.url}/api/v1/auth/oidc/open/callback?state={_state(asked)}&error=access_denied")
    await page.see("does not admit this account", "#login [role=alert]")
    await judge(page, axe, "login provider refused")
    await page.click("#login .providers a")
    await page.until(f"location.href.startsWith('{provider.url}/open/authorize')")
    asked = await page.value("location.href")
    code = provider.issuer("open").grant(asked, "ida", email="ida@example.com", email_verified=True, name="Ida Rhodes")
    await page.open(f"{place.url}/api/v1/auth/oidc/open/callback?state={_state(asked)}&code={code}")
    await page.see("Ida Rhodes", "#account-page")
    await page.open(f"{place.url}/account")
    await page.see("Open House", "#identities")
    await judge(page, axe, "account identities")
    await page.click("[aria-label='Unlink Open House']")
    await page.click("#ask-yes")
    await page.until("document.querySelector('#trouble').innerText")
    assert await place.database.fetchval("SELECT count(*) FROM linked_identities") == 1
    await place.database.execute("UPDATE users SET password_hash = 'x' WHERE email = 'ida@example.com'")
    await page.click("[aria-label='Unlink Open House']")
    await page.click("#ask-yes")
    await page.until("document.querySelector('#identities').hidden")
    assert await place.database.fetchval("SELECT count(*) FROM linked_identities") == 0


def _state(address: str) -> str:
    return parse_qs(urlsplit(address).query)["state"][0]


# ---- the account -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_the_account_shows_who_and_where(page: Page, place: World, axe: str) -> None:
    await account(page, place)
    assert (await page.text("#person")).split("\n")[-2:] == ["Ada Lovelace", EMAIL]
    assert (await page.text("#memberships")).split() == ["Workspace", "owner"]
    await judge(page, axe, "account")


@pytest.mark.slow
async def test_preferences_are_kept_and_heeded(page: Page, place: World, axe: str) -> None:
    both = await new_user(place, email="hedy@example.com")
    for workspace in (place.workspace, place.other):
        await place.add(Membership(workspace_id=workspace.id, user_id=both.id, role=Role.OWNER, accepted_at=now()))
    await place.add(Preference(user_id=both.id, key="web.sidebar", value={"open": True}))
    await hire(place, place.owner)
    await account(page, place, both.email)
    await choose(page, "#preferences-form [name=workspace]", place.workspace.id)
    await choose(page, "#preferences-form [name=enter]", "line")
    await page.click("#preferences-form button")
    await page.see("Saved.", "#preferences-saved")
    await page.click("#kept summary")
    await judge(page, axe, "account preferences")
    await page.click("[aria-label='Remove web.sidebar']")
    await page.until("document.querySelector('#kept').hidden")
    kept = "SELECT key, value FROM preferences WHERE user_id = $1 ORDER BY key"
    assert [tuple(row) for row in await place.database.fetch(kept, both.id)] == [
        ("pages.enter", "line"),
        ("pages.workspace", place.workspace.id),
    ]
    await page.open(f"{place.url}/")
    await page.until(f"location.pathname === '/console/{place.workspace.slug}'")
    await page.open(f"{place.url}/console/{place.workspace.slug}/chat?agent=scout")
    await page.see("Ctrl+Enter sends", "main form")
    await page.fill("form textarea", "one")
    await page.press("Enter")
    await page.fill("form textarea", "two")
    assert await page.value("document.querySelector('form textarea').value") == "one\ntwo"
    await judge(page, axe, "chat")
    await page.open(f"{place.url}/account")
    await page.until("document.body.dataset.ready")
    assert await page.value("document.querySelector('#preferences-form [name=enter]').value") == "line"


@pytest.mark.slow
async def test_the_password_is_changed(page: Page, place: World, axe: str) -> None:
    ada, other = await new_user(place, email="joan@example.com"), Browser(place.url)
    await other.log_in(ada.email)
    await account(page, place, ada.email)
    await page.fill("[name=currentPassword]", "not this one")
    await page.fill("[name=newPassword]", "a new password")
    await page.press("Enter")
    await page.see("The password is wrong", "#password .fault")
    assert await page.value(FOCUSED) == "currentPassword"
    await judge(page, axe, "account password")
    await page.value("document.querySelector('[name=currentPassword]').value = ''")
    await page.fill("[name=currentPassword]", PASSWORD)
    await page.press("Enter")
    await page.see("Changed.", "#password-changed")
    assert await page.value("document.querySelector('#password .fault') === null")
    await page.until("document.querySelectorAll('#sessions .rows li').length === 1")
    assert (await other.send("GET", "/api/v1/auth/sessions")).status_code == 401
    assert (await other.log_in(ada.email, "a new password")).json()["ok"] is True


@pytest.mark.slow
async def test_an_account_is_deleted(page: Page, place: World, axe: str) -> None:
    gone = await new_user(place, email="gone@example.com")
    await account(page, place, gone.email)
    await page.see("None yet", "#memberships")
    await page.fill("#delete [name=password]", PASSWORD)
    await page.press("Enter")
    await page.until("document.querySelector('#ask').open")
    await judge(page, axe, "account delete")
    await page.press("Escape")
    await page.until("document.querySelector('#delete-form').ariaBusy === 'false'")
    assert await place.database.fetchval("SELECT count(*) FROM users WHERE id = $1", gone.id) == 1
    await page.fill("#delete [name=password]", "")
    await page.press("Enter")
    await page.click("#ask-yes")
    await page.see("Sign in", "#login")
    assert await place.database.fetchval("SELECT count(*) FROM users WHERE id = $1", gone.id) == 0


@pytest.mark.slow
async def test_passkeys_are_added_used_required_and_deleted(
    page: Page, place: World, axe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = replace(place, url=place.url.replace("127.0.0.1", "localhost"))
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"public_url": named.url}))
    await page.command("WebAuthn.enable")
    added = await page.command("WebAuthn.addVirtualAuthenticator", options=AUTHENTICATOR)
    try:
        mary = await new_user(place, email="mary@example.com")
        await account(page, named, mary.email)
        await page.fill("#passkey-form [name=name]", "Key ring")
        await page.press("Enter")
        await page.see("Key ring", "#passkeys .rows")
        await page.click("[aria-label='Rename Key ring']")
        await page.fill("#ask-fields input", " of Mary")
        await page.press("Enter")
        await page.see("Key ring of Mary", "#passkeys .rows")
        await page.click("#require-form [name=required]")
        await page.click("#require-form button")
        await page.see("Saved.", "#passkey-required")
        await judge(page, axe, "account passkeys")
        await page.click("[aria-label='Delete Key ring of Mary']")
        await page.click("#ask-yes")
        await page.see("A passkey is required to sign in", "#passkey-trouble")
        await page.click("#sign-out")
        await page.until("location.pathname === '/login'")
        await account(page, named, mary.email)  # by password and passkey
        await page.click("#sign-out")
        await page.until("location.pathname === '/login'")
        await judge(page, axe, "login passkey")
        await page.click("#use-passkey")
        await page.until("location.pathname.startsWith('/console/')")
        await page.open(f"{named.url}/account")
        await page.until("document.body.dataset.ready")
        assert await page.value("document.querySelector('#require-form [name=required]').checked") is True
        await page.click("#require-form [name=required]")
        await page.click("#require-form button")
        await page.see("Saved.", "#passkey-required")
        await page.click("[aria-label='Delete Key ring of Mary']")
        await page.click("#ask-yes")
        await page.see("None yet", "#passkeys")
        assert await place.database.fetchval("SELECT count(*) FROM passkeys") == 0
    finally:
        await page.command("WebAuthn.removeVirtualAuthenticator", authenticatorId=added["authenticatorId"])


@pytest.mark.slow
async def test_sessions_are_revoked(page: Page, place: World) -> None:
    other = Browser(place.url)
    await other.log_in(EMAIL)
    await account(page, place)
    rows = "[...document.querySelectorAll('#sessions .rows li')]"
    await page.until(f"{rows}.length === 2")
    assert "Chrome on Linux this one" in (await page.text("#sessions .rows")).replace("\xa0", " ")
    await page.value(f"{rows}.find(row => !row.innerText.includes('this one')).querySelector('button').click()")
    await page.until(f"{rows}.length === 1")
    assert await page.value(FOCUSED) == "sessions-title"
    assert (await other.send("GET", "/api/v1/auth/sessions")).status_code == 401
    await page.click("#sessions .rows button")
    await page.see("Sign in", "#login")


@pytest.mark.slow
async def test_tokens_are_created_rotated_and_revoked(page: Page, place: World, axe: str) -> None:
    await account(page, place)
    await page.see("None yet", "#tokens")
    await page.fill("#token-form [name=name]", "Nightly")
    await page.fill("#token-form [name=scopes]", "crews:read, nothing:read")
    await page.press("Enter")
    await page.until("document.querySelector('#token-form .fault')")
    assert await page.value(FOCUSED) == "scopes"
    assert await page.text("#token-form .fault") == "Scopes: unknown scope."
    await judge(page, axe, "account refused")
    await page.value("document.querySelector('#token-form [name=scopes]').value = 'crews:read runs:read'")
    await page.press("Enter")
    await page.see("The token of Nightly", "#secret")
    first = await page.text("#secret-value")
    assert await page.value(FOCUSED) == "secret-title"
    await judge(page, axe, "account secret")
    await page.click("#secret-kept")
    assert first not in await page.value("document.documentElement.outerHTML")
    await page.click("#tokens [aria-label='Rotate Nightly']")
    await page.until("document.querySelector('#ask').open")
    await judge(page, axe, "account rotate")
    await choose(page, "#ask select", "3600")
    await page.click("#ask-yes")
    await page.see("The new token of Nightly", "#secret")
    assert await page.text("#secret-value") != first
    await page.until("document.querySelectorAll('#tokens > .rows li').length === 2")
    await page.click("#tokens [aria-label='Revoke Nightly']")
    await page.press("Escape")
    await page.until("!document.querySelector('#ask').open")
    for left in (1, 0):
        await page.click("#tokens > .rows [aria-label='Revoke Nightly']")
        await page.click("#ask-yes")
        await page.until(f"document.querySelectorAll('#tokens > .rows li').length === {left}")
    ended = "SELECT count(*) FROM cli_tokens WHERE name = 'Nightly' AND revoked_at IS NOT NULL"
    assert await place.database.fetchval(ended) == 2


@pytest.mark.slow
async def test_a_command_line_is_paired(page: Page, place: World, axe: str) -> None:
    await account(page, place)
    await page.click("#pairing-form button")
    await page.see("Waiting for the command line", "#code")
    await judge(page, axe, "account pairing")
    code = await page.text("#code-value")
    redeem = "mutation ($code: String!) { redeemPairing(input: { code: $code }) { email } }"
    answer = await place.graphql(None, redeem, {"code": code})
    assert answer["data"] == {"redeemPairing": {"email": EMAIL}}
    await page.see("Paired", "#code-state")
    await page.see("pair", "#tokens > .rows")
