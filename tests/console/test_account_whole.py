"""The account in the console: each part's way through, and its refusals at the fields that they are about."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from models.people.preferences import Preference
from models.people.sign_in_providers import LinkedIdentity
from models.people.workspaces import Membership, Role
from resolvers.instance.running import instance
from tests.console.deck import PHONE, give, pictures, press, tab_to
from tests.people.auth.browsers import ACCESS, PASSWORD, Browser, new_user
from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.looks import axe, judge
from tests.process.players import hire
from tests.world import World, now, world_on

__all__ = ["axe"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.slow]
EMAIL = "ada@example.com"
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
FOCUSED = "document.activeElement.name || document.activeElement.id"
OPEN_HOUSE = {"id": "open", "name": "Open House", "issuer": "https://open.example.com", "client_id": "crewship"}


@pytest.fixture(scope="module")
async def place(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    listed = SecretStr(json.dumps([OPEN_HOUSE]))
    async with world_on(module_database, tmp_path_factory.mktemp("data"), sign_in_providers=listed) as made:
        ada = await new_user(made, full_name="Ada Lovelace", email=EMAIL)
        await made.add(Membership(workspace_id=made.workspace.id, user_id=ada.id, role=Role.OWNER, accepted_at=now()))
        await hire(made, made.owner)
        yield made


@pytest.fixture(scope="module")
async def tab(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Page]:
    async with browsing(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture
async def page(tab: Page, place: World) -> AsyncIterator[Page]:
    """The tab, signed out."""
    await tab.open("about:blank")
    await place.database.execute("DELETE FROM sessions")
    await tab.command("Network.clearBrowserCookies")
    await tab.command("Storage.clearDataForOrigin", origin=place.url, storageTypes="local_storage")
    await tab.look()
    tab.complaints.clear()
    yield tab
    assert tab.complaints == []


async def enters(page: Page, place: World, path: str, email: str = EMAIL) -> None:
    """The browser of a person who is signed in, at an address."""
    browser = Browser(place.url)
    body = {"email": email, "password": PASSWORD, "csrfToken": await browser.csrf(), "redirect": "false"}
    agent = {"user-agent": await page.value("navigator.userAgent")}
    assert (await browser.send("POST", "/api/auth/callback/credentials", json=body, headers=agent)).json()["ok"]
    await page.command("Network.setCookie", name=ACCESS, value=browser.cookies[ACCESS], url=place.url)
    await page.open(f"{place.url}{path}")
    await page.until("document.querySelector('main h1')")


async def prefers(page: Page, label: str, value: str) -> None:
    """Changes a value where it stands."""
    opener = f"[...document.querySelectorAll('.editable')].find(one => one.innerText.startsWith('{label}'))"
    await page.until(f"{opener}?.querySelector('button')")
    await page.value(f"{opener}.querySelector('button').click()")
    await give(page, ".editable select", value)
    await page.press("Enter")
    await page.until("!document.querySelector('.editable select')")


async def test_old_addresses_lead_to_each_part(page: Page, place: World) -> None:
    here = f"/console/{place.workspace.slug}"
    parts = {
        "": "account", "#profile": "account", "#preferences": "account", "#delete": "account",
        "#email": "account/sign-in", "#password": "account/sign-in", "#passkeys": "account/sign-in",
        "#identities": "account/sign-in", "#sessions": "account/sign-in",
        "#tokens": "account/tokens", "#pairing": "account/tokens", "#people": "settings",
    }  # fmt: skip
    await page.open(f"{place.url}/account#tokens")
    await page.until("location.pathname === '/login'")
    assert await page.value("location.search") == "?callbackUrl=%2Faccount%23tokens"
    await enters(page, place, "/account")
    for fragment, part in parts.items():
        await page.open("about:blank")
        await page.open(f"{place.url}/account{fragment}")
        await page.until(f"location.pathname === '{here}/{part}' && document.querySelector('main h1')")


async def test_preferences_are_kept_and_heeded(page: Page, place: World, axe: str) -> None:
    both = await new_user(place, email="hedy@example.com")
    for workspace in (place.workspace, place.other):
        await place.add(Membership(workspace_id=workspace.id, user_id=both.id, role=Role.OWNER, accepted_at=now()))
    await place.add(Preference(user_id=both.id, key="web.sidebar", value={"open": True}))
    await enters(page, place, "/account", both.email)
    await page.see(both.email, "main")
    await prefers(page, "The console opens in", place.workspace.id)
    await prefers(page, "Enter", "line")
    await page.see('{"open":true}', "main")
    await pictures(page, "account-preferences")
    await judge(page, axe, "account preferences")
    await press(page, "Remove")
    await page.until("!document.querySelector('main').innerText.includes('web.sidebar')")
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
    await page.press("Enter", control=True)
    await page.until("/chat\\/./.test(location.pathname)")
    await page.open(f"{place.url}/account")
    await page.see("starts a new line", "main")


async def test_the_own_name_is_changed_and_a_workspace_is_made(page: Page, place: World, axe: str) -> None:
    mary = await new_user(place, full_name="Mary", email="mary@example.com")
    await place.add(Membership(workspace_id=place.workspace.id, user_id=mary.id, role=Role.OWNER, accepted_at=now()))
    await page.look(*PHONE)
    await enters(page, place, "/account", mary.email)
    await tab_to(page, "Mary")
    await page.press("Enter")
    await page.until("document.activeElement.matches('.editable input')")
    await page.value("document.activeElement.select()")
    await page.command("Input.insertText", text="Mary Shelley")
    await page.press("Enter")
    await page.until("!document.querySelector('.editable input')")
    name = "SELECT full_name FROM users WHERE id = $1"
    assert await place.database.fetchval(name, mary.id) == "Mary Shelley"
    await page.press("z")
    await page.until("document.querySelector('.editable .value')?.innerText === 'Mary'")
    await tab_to(page, "Create workspace")
    await page.press("Enter")
    await page.fill("dialog [name=name]", "Frankenstein's desk")
    await judge(page, axe, "new workspace")
    await page.press("Enter")
    await page.until("location.pathname === '/console/frankenstein-s-desk' && document.querySelector('main h1')")
    await page.look()
    assert page.complaints == []


async def test_the_password_is_changed(page: Page, place: World, axe: str) -> None:
    joan, other = await new_user(place, email="joan@example.com"), Browser(place.url)
    await place.add(Membership(workspace_id=place.workspace.id, user_id=joan.id, role=Role.MEMBER, accepted_at=now()))
    await other.log_in(joan.email)
    await enters(page, place, "/account#password", joan.email)
    await page.fill("[name=currentPassword]", "not this one")
    await page.fill("[name=newPassword]", "a new password")
    await page.press("Enter")
    await page.see("The password is wrong", ".field .fault")
    await page.until(f"({FOCUSED}) === 'currentPassword'")
    await judge(page, axe, "account password")
    await page.select("[name=currentPassword]")
    await page.fill("[name=currentPassword]", PASSWORD)
    await page.select("[name=newPassword]")
    await page.fill("[name=newPassword]", "short")
    await page.press("Enter")
    await page.see("Password must be at least 8 characters", ".field .fault")
    await page.until(f"({FOCUSED}) === 'newPassword'")
    await page.fill("[name=newPassword]", " but longer")
    await page.press("Enter")
    await page.see("The password is changed", ".notices")
    assert await page.value("document.querySelector('main .fault') === null")
    await page.until("document.querySelectorAll('ul[aria-label=Sessions] li').length === 1")
    assert (await other.send("GET", "/api/v1/auth/sessions")).status_code == 401
    assert (await other.log_in(joan.email, "short but longer")).json()["ok"] is True


async def test_a_new_email_needs_the_password_and_mail(page: Page, place: World) -> None:
    await enters(page, place, "/account#email")
    await page.fill("[name=email]", "new@example.com")
    await page.fill("[name=password]", PASSWORD)
    await page.press("Enter")
    await page.see("This server sends no mail", "main form [role=alert]")


async def test_an_account_without_a_workspace_is_deleted(page: Page, place: World, axe: str) -> None:
    gone = await new_user(place, email="gone@example.com")
    await enters(page, place, "/", gone.email)
    await page.see("You are not in a workspace yet", "h1")
    await pictures(page, "no-workspace")
    await judge(page, axe, "no workspace")
    await page.value("document.querySelector('main a.button').click()")
    await page.until("location.pathname === '/account'")
    await page.see(gone.email, "main")
    await page.see("None yet: an owner can add you.", "ul[aria-label=Workspaces]")
    await page.value("[...document.querySelectorAll('main nav a')].find(one => one.innerText === 'Tokens').click()")
    await page.see("No tokens yet", "main")
    await page.open(f"{place.url}/account")
    await press(page, "Delete the account")
    await page.fill("dialog[open] [name=password]", "not mine")
    await pictures(page, "account-without-workspace")
    await judge(page, axe, "account delete")
    await page.press("Enter")
    await page.see("The password is wrong", "dialog .field .fault")
    await page.press("Escape")
    await page.until("!document.querySelector('dialog[open]')")
    assert await place.database.fetchval("SELECT count(*) FROM users WHERE id = $1", gone.id) == 1
    await press(page, "Delete the account")
    await page.select("dialog [name=password]")
    await page.fill("dialog[open] [name=password]", PASSWORD)
    await page.press("Enter")
    await page.until("location.pathname === '/login'")
    assert await place.database.fetchval("SELECT count(*) FROM users WHERE id = $1", gone.id) == 0


async def test_passkeys_are_added_required_and_deleted(
    page: Page, place: World, axe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = replace(place, url=place.url.replace("127.0.0.1", "localhost"))
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"public_url": named.url}))
    await page.command("WebAuthn.enable")
    added = await page.command("WebAuthn.addVirtualAuthenticator", options=AUTHENTICATOR)
    try:
        mary = await new_user(place, email="marie@example.com")
        await enters(page, named, "/account?part=sign-in", mary.email)
        await page.see("No passkeys yet", "main")
        await press(page, "Add a passkey")
        await page.fill("dialog[open] [name=name]", "Key ring")
        await page.press("Enter")
        await page.see("Key ring", "ul[aria-label=Passkeys]")
        await press(page, "Rename")
        await page.fill("dialog[open] [name=name]", " of Mary")
        await page.press("Enter")
        await page.see("Key ring of Mary", "ul[aria-label=Passkeys]")
        await press(page, "Require a passkey")
        await press(page, "Require a passkey", "dialog[open]")
        await page.see("The password alone does not sign you in", "ul[aria-label=Passkeys]")
        await pictures(page, "account-passkeys")
        await judge(page, axe, "account passkeys")
        delete = "ul[aria-label=Passkeys]"
        await press(page, "Delete", delete)
        await press(page, "Delete", "dialog[open]")
        await page.see("A passkey is required to sign in", ".notices")
        half = await Browser(place.url).log_in(mary.email)
        assert (half.json()["ok"], half.json()["passkey_required"]) == (False, True)
        await press(page, "Do not require a passkey")
        await page.see("The password alone signs you in", "ul[aria-label=Passkeys]")
        await press(page, "Delete", delete)
        await press(page, "Delete", "dialog[open]")
        await page.see("No passkeys yet", "main")
        assert await place.database.fetchval("SELECT count(*) FROM passkeys") == 0
    finally:
        await page.command("WebAuthn.removeVirtualAuthenticator", authenticatorId=added["authenticatorId"])


async def test_the_last_way_to_sign_in_is_not_unlinked(page: Page, place: World, axe: str) -> None:
    ida = await new_user(place, email="ida@example.com")
    await place.add(
        LinkedIdentity(user_id=ida.id, provider="open", issuer=OPEN_HOUSE["issuer"], subject="ida", email=ida.email)
    )
    await enters(page, place, "/account#identities", ida.email)
    await page.see("Open House", "main")
    await judge(page, axe, "account identities")
    await place.database.execute("UPDATE users SET password_hash = NULL WHERE id = $1", ida.id)
    await press(page, "Unlink")
    await press(page, "Unlink", "dialog[open]")
    await page.see("did not work", ".notices")
    assert await place.database.fetchval("SELECT count(*) FROM linked_identities") == 1
    await place.database.execute("UPDATE users SET password_hash = 'x' WHERE id = $1", ida.id)
    await press(page, "Unlink")
    await press(page, "Unlink", "dialog[open]")
    await page.until("!document.querySelector('main').innerText.includes('Open House')")
    assert await place.database.fetchval("SELECT count(*) FROM linked_identities") == 0


async def test_sessions_are_revoked(page: Page, place: World) -> None:
    other = Browser(place.url)
    await other.log_in(EMAIL)
    await enters(page, place, "/account#sessions")
    rows = "[...document.querySelectorAll('ul[aria-label=Sessions] li')]"
    await page.until(f"{rows}.length === 2")
    own = await page.value(f"{rows}.find(row => row.innerText.includes('this one')).innerText")
    assert "Chrome on Linux" in own
    await press(page, "Revoke", "ul[aria-label=Sessions]")
    await press(page, "Revoke", "dialog[open]")
    await page.until(f"{rows}.length === 1")
    assert (await other.send("GET", "/api/v1/auth/sessions")).status_code == 401
    await press(page, "Sign out", "ul[aria-label=Sessions]")
    await press(page, "Sign out", "dialog[open]")
    await page.until("location.pathname === '/login'")
    assert await place.database.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 0


async def test_tokens_are_created_rotated_and_revoked(page: Page, place: World, axe: str) -> None:
    await enters(page, place, "/account#tokens")
    await page.see("No tokens yet", "main")
    none = "[...document.querySelectorAll('main section p')].find(one => one.innerText === 'No tokens yet')"
    space = "getComputedStyle(document.querySelector('main section header')).paddingLeft"
    assert await page.value(space) == await page.value(f"getComputedStyle({none}).paddingLeft") != "0px"
    await pictures(page, "account-no-tokens")
    await press(page, "Create a token")
    await page.fill("dialog[open] [name=name]", "Nightly")
    await page.fill("dialog[open] [name=scopes]", "crews:read, nothing:read")
    await page.press("Enter")
    await page.see("unknown scope", "dialog .field .fault")
    await page.until(f"({FOCUSED}) === 'scopes'")
    await judge(page, axe, "account refused")
    await page.select("dialog [name=scopes]")
    await page.fill("dialog[open] [name=scopes]", "crews:read runs:read")
    await page.press("Enter")
    await page.see("The token Nightly", "dialog[open]")
    first = await page.text("dialog[open] code")
    await judge(page, axe, "account secret")
    await press(page, "Done", "dialog[open]")
    await page.until("!document.querySelector('dialog[open]')")
    assert first not in await page.value("document.documentElement.outerHTML")
    await press(page, "Rotate")
    await page.see("Rotate Nightly", "dialog[open]")
    await judge(page, axe, "account rotate")
    await give(page, "dialog select", "3600")
    await press(page, "Rotate", "dialog[open]")
    await page.until("document.querySelector('dialog[open] code')")
    assert await page.text("dialog[open] code") != first
    await page.press("Escape")
    await page.until("!document.querySelector('dialog')")
    good = "document.querySelectorAll('ul[aria-label=Tokens] li')"
    await page.until(f"{good}.length === 2")
    await press(page, "Revoke")
    await page.until("document.querySelector('dialog[open]')")
    await page.press("Escape")
    await page.until("!document.querySelector('dialog')")
    assert await page.value(f"{good}.length") == 2
    for left_over in (1, 0):
        await press(page, "Revoke")
        await press(page, "Revoke", "dialog[open]")
        await page.until(f"{good}.length === {left_over}")
    ended = "SELECT count(*) FROM cli_tokens WHERE name = 'Nightly' AND revoked_at IS NOT NULL"
    assert await place.database.fetchval(ended) == 2


async def test_a_command_line_is_paired(page: Page, place: World, axe: str) -> None:
    await enters(page, place, "/account#pairing")
    await press(page, "Get a code")
    await page.see("Waiting for the command line.", "main")
    await judge(page, axe, "account pairing")
    code = await page.text("main section:last-of-type code")
    redeem = "mutation ($code: String!) { redeemPairing(input: { code: $code }) { email } }"
    answer = await place.graphql(None, redeem, {"code": code})
    assert answer["data"] == {"redeemPairing": {"email": EMAIL}}
    await page.see("Paired", "main")
    await page.see("pair", "ul[aria-label=Tokens]")


async def test_a_person_who_was_added_accepts_where_workspaces_are(page: Page, place: World, axe: str) -> None:
    frances = await new_user(place, email="frances@example.com")
    added = [
        Membership(workspace_id=workspace.id, user_id=frances.id, role=Role.MEMBER)
        for workspace in (place.workspace, place.other)
    ]
    await place.add(*added)
    accepted = "SELECT array_agg(workspace_id) FROM memberships WHERE user_id = $1 AND accepted_at IS NOT NULL"
    await enters(page, place, f"/console/{place.workspace.slug}/account", frances.email)
    await page.see("its members see only your name", "ul[aria-label=Workspaces]")
    await judge(page, axe, "account of a person who was added")
    rows = "[...document.querySelectorAll('ul[aria-label=Workspaces] li')]"
    await page.value(
        f"{rows}.find(row => row.innerText.startsWith('{place.workspace.name}')).querySelector('button').click()"
    )
    await page.until("document.querySelectorAll('ul[aria-label=Workspaces] button').length === 1")
    assert await place.database.fetchval(accepted, frances.id) == [place.workspace.id]
    await page.open(f"{place.url}/console/{place.workspace.slug}")
    await page.see("Nothing needs you", "main")
    assert "its members see only your name" not in await page.text("main")
    await page.open(f"{place.url}/console/{place.other.slug}")
    await page.see("its members see only your name", "main")
    await pictures(page, "now-not-accepted")
    await judge(page, axe, "now of a person who was added")
    await press(page, "Accept")
    await page.until("!document.querySelector('main').innerText.includes('its members see only your name')")
    assert set(await place.database.fetchval(accepted, frances.id)) == {place.workspace.id, place.other.id}


async def test_a_person_is_invited_and_the_invitation_withdrawn(page: Page, place: World, axe: str) -> None:
    await enters(page, place, f"/console/{place.workspace.slug}/settings/invitations")
    await press(page, "Invite", "main header")
    await page.fill("dialog[open] [name=email]", EMAIL)
    await page.press("Enter")
    await page.see("This email belongs to a member", "dialog .fault")
    await page.select("dialog [name=email]")
    await page.fill("dialog[open] [name=email]", "mary.ward@example.com")
    await give(page, "dialog [name=role]", "VIEWER")
    await press(page, "Invite", "dialog[open]")
    await page.see("Invitation for mary.ward@example.com", "dialog[open]")
    found = "SELECT token, role FROM invitations WHERE email = 'mary.ward@example.com'"
    token, role = await place.database.fetchrow(found)
    assert (await page.text("dialog[open] code"), role) == (f"{place.url}/invitation?token={token}", "VIEWER")
    await judge(page, axe, "invited")
    await page.press("Escape")
    await page.until("!document.querySelector('dialog[open]')")
    await press(page, "Revoke")
    await page.see("stops working", "dialog[open]")
    await press(page, "Revoke", "dialog[open]")
    await page.until("!document.querySelector('main').innerText.includes('mary.ward@example.com')")
    assert await place.database.fetchrow(found) is None


async def test_a_person_who_may_not_invite_is_not_asked(page: Page, place: World) -> None:
    rear = await new_user(place, email="joan.clarke@example.com")
    await place.add(Membership(workspace_id=place.workspace.id, user_id=rear.id, role=Role.MANAGER, accepted_at=now()))
    await enters(page, place, f"/console/{place.workspace.slug}/settings/invitations", rear.email)
    await page.until("document.querySelector('main h1')")
    buttons = "[...document.querySelectorAll('main button')].filter(one => one.innerText.trim() === 'Invite')"
    await page.see("needs", "main")
    assert await page.value(f"{buttons}.length") == 0
