"""The sign-in page in a real browser: by password, passkey and provider, its refusals, and the way back."""

import re
from dataclasses import replace
from urllib.parse import quote, urlsplit

import pytest

from crewship.perimeter import console
from resolvers.instance.running import instance
from tests.console.deck import EMAIL, PHONE, pictures
from tests.console.front import AUTHENTICATOR, FOCUSED, clear, page, place, provider, sign_in, state_of, tab
from tests.people.auth.browsers import PASSWORD, new_user
from tests.people.passkeys.test_in_browser import run
from tests.people.sign_in_providers.provider import Provider
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.world import World

__all__ = ["axe", "page", "place", "provider", "tab"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
INSIDE = "location.pathname === '/' || location.pathname.startsWith('/console/')"
ALIVE = "SELECT count(*) FROM sessions WHERE revoked_at IS NULL"


async def test_a_page_for_users_leads_by_the_sign_in_and_back(page: Page, place: World) -> None:
    await page.open(f"{place.url}/console/{place.workspace.slug}/runs?status=FAILED")
    await page.see("Forgot your password?", "#login")
    back = f"/console/{place.workspace.slug}/runs?status=FAILED"
    assert await page.value("location.pathname + location.search") == f"/login?callbackUrl={quote(back, safe='')}"
    await page.fill("#login [name=email]", EMAIL)
    await page.fill("#login [name=password]", "wrong")
    await page.press("Enter")
    await page.see("Email or password is wrong.", "#login [role=alert]")
    await pictures(page, "login-refused")
    assert await page.value("document.querySelector('#login [name=email]').value") == EMAIL
    await clear(page, "#login [name=password]")
    await page.fill("#login [name=password]", PASSWORD)
    await page.press("Enter")
    await page.until("document.querySelector('main h1')?.innerText.startsWith('Runs')")
    assert await page.value("location.pathname + location.search") == back


@pytest.mark.slow
async def test_the_page_is_small_and_asks_in_graphql_alone(page: Page, place: World) -> None:
    await page.open("about:blank")
    page.requests.clear()
    await page.open(f"{place.url}/login")
    await page.fill("#login [name=email]", EMAIL)
    await page.fill("#login [name=password]", PASSWORD)
    asked = [urlsplit(url).path for url in page.requests]
    icon = "/static/favicon.svg"  # which a browser fetches as often as it likes
    others = [path for path in asked if not path.startswith("/console/assets/") and path != icon]
    assert sorted(others) == ["/api/auth/graphql", "/login"]
    assert len([path for path in asked if path.endswith(".js")]) == 1, "a door loads no part of the shell"
    page.requests.clear()
    await page.press("Enter")
    await page.until(INSIDE)
    sent = page.requests[: page.requests.index(f"{place.url}/")]
    assert [urlsplit(url).path for url in sent] == ["/api/auth/graphql", "/api/auth/graphql"]
    assert not [url for url in page.requests if PASSWORD in url or quote(PASSWORD) in url]


@pytest.mark.slow
async def test_the_sign_in_is_for_everybody(page: Page, place: World, axe: str) -> None:
    await page.open(f"{place.url}/login")
    await page.until("document.querySelector('#login form')")
    await judge(page, axe, "login")
    await pictures(page, "login")
    assert await page.value("document.title") == "Sign in · Crewship"
    fields = "[...document.querySelectorAll('#login input')].map(one => [one.name, one.type, one.autocomplete])"
    assert await page.value(fields) == [
        ["email", "email", "username"],
        ["password", "password", "current-password"],
    ]
    for reached in ("", "email", "password"):  # by keyboard alone: the way home is first
        await page.press("Tab")
        assert await page.value(FOCUSED) == reached
    await page.press("Enter")
    await page.see("Email or password is wrong.", "#login [role=alert]")
    await judge(page, axe, "login refused")
    await page.look(*PHONE)
    narrow = "[...document.querySelectorAll('#login input, #login form button')]"
    assert await page.value(f"{narrow}.every(one => one.getBoundingClientRect().right <= innerWidth)")


@pytest.mark.slow
async def test_an_account_is_created(page: Page, place: World, axe: str) -> None:
    await page.open(f"{place.url}/login?callbackUrl=/healthz")
    await page.click("#offer-account button")
    assert await page.value(FOCUSED) == "account-title"
    await page.fill("#account [name=email]", EMAIL)
    await page.fill("#account [name=password]", "short")
    await page.press("Enter")
    await page.see("Password must have at least 8 characters.", "#account")
    assert await page.value(FOCUSED) == "fullName"
    said = "Full name must have at least 2 characters."
    assert await page.text("#account .fault:not([role=alert])") == said
    assert await page.text("#account [role=alert]") == said
    described = "document.getElementById(document.activeElement.getAttribute('aria-describedby')).innerText"
    assert await page.value(described) == said
    await judge(page, axe, "account refused")
    await pictures(page, "login-account")
    await page.fill("#account [name=fullName]", "Grace Hopper")
    assert await page.value("document.activeElement.ariaInvalid") is None, "what was wrong is being changed"
    await page.press("Enter")
    await page.see("Password must be at least 8 characters", "#account")
    await page.until(f"({FOCUSED}) === 'password'")
    await page.fill("#account [name=password]", " but longer")
    await page.press("Enter")
    await page.see("An account with this email already exists", "#account")
    await clear(page, "#account [name=email]")
    await page.fill("#account [name=email]", "grace@example.com")
    await page.press("Enter")
    await page.until("location.pathname === '/healthz'")
    assert await place.database.fetchval("SELECT full_name FROM users WHERE email = 'grace@example.com'")
    assert await place.database.fetchval(ALIVE) == 1


@pytest.mark.slow
async def test_a_form_says_all_that_is_wrong_in_whole_sentences(page: Page, place: World) -> None:
    await page.open(f"{place.url}/login")
    await page.click("#offer-account button")
    await page.fill("#account [name=email]", "nobody")
    await page.fill("#account [name=password]", "short")
    await page.press("Enter")
    await page.until("document.querySelector('#account .fault')")
    said = "[...document.querySelectorAll('#account .fault:not([role=alert])')].map(fault => fault.textContent)"
    assert await page.value(said) == [
        "Full name must have at least 2 characters.",
        "Email must be an email address.",
        "Password must have at least 8 characters.",
    ]


@pytest.mark.slow
async def test_who_is_signed_in_goes_on_or_signs_in_as_another(page: Page, place: World, axe: str) -> None:
    await sign_in(page, place, "/healthz")
    await page.open(f"{place.url}/login?callbackUrl=/healthz")
    await page.see(EMAIL, "#signed-in")
    await judge(page, axe, "signed in")
    await pictures(page, "login-signed-in")
    assert await page.value("document.querySelector('#signed-in a.primary').getAttribute('href')") == "/healthz"
    await page.click("#signed-in button")
    await page.see("Sign in", "#login")
    assert await page.value(FOCUSED) == "login-title"
    assert await place.database.fetchval(ALIVE) == 0


@pytest.mark.slow
async def test_nobody_is_sent_to_another_origin(page: Page, place: World) -> None:
    for asked in ("//evil.example", "/\\evil.example", "https://evil.example/", "javascript:alert(1)"):
        await page.command("Network.clearBrowserCookies")
        await page.open(f"{place.url}/login?callbackUrl={quote(asked, safe='')}")
        await page.fill("#login [name=email]", EMAIL)
        await page.fill("#login [name=password]", PASSWORD)
        await page.press("Enter")
        await page.until(INSIDE)
        assert await page.value("location.origin") == place.url


@pytest.mark.slow
async def test_an_error_of_the_address_is_no_sentence_of_others(page: Page, place: World) -> None:
    for given, shown in (
        ("OAuthCallback", "The provider did not finish the sign-in. Try again."),
        ("CredentialsSignin", "Email or password is wrong."),
        ("PasskeyRequired", "The password alone is not enough: sign in with your passkey."),
        ("Odd_Code", "Signing in failed (Odd_Code)."),
        ("toString", "Signing in failed (toString)."),
        ("Call this number <b>now</b>", "Signing in failed."),
    ):
        await page.open(f"{place.url}/login?error={quote(given)}")
        await page.see(shown, "#login [role=alert]")
        assert await page.text("#login [role=alert]") == shown


@pytest.mark.slow
async def test_somebody_signs_in_with_a_provider(page: Page, place: World, provider: Provider, axe: str) -> None:
    await page.open(f"{place.url}/login?callbackUrl=/healthz")
    await page.click("#login .providers a")
    await page.until(f"location.href.startsWith('{provider.url}/open/authorize')")
    asked = await page.value("location.href")
    await page.open(f"{place.url}/api/v1/auth/oidc/open/callback?state={state_of(asked)}&error=access_denied")
    await page.see("does not admit this account", "#login [role=alert]")
    await judge(page, axe, "login provider refused")
    await page.open(f"{place.url}/login?callbackUrl=/healthz")
    await page.click("#login .providers a")
    await page.until(f"location.href.startsWith('{provider.url}/open/authorize')")
    asked = await page.value("location.href")
    code = provider.issuer("open").grant(asked, "ida", email="ida@example.com", email_verified=True, name="Ida Rhodes")
    await page.open(f"{place.url}/api/v1/auth/oidc/open/callback?state={state_of(asked)}&code={code}")
    await page.until("location.pathname === '/healthz'")
    assert await place.database.fetchval("SELECT full_name FROM users WHERE email = 'ida@example.com'") == "Ida Rhodes"


@pytest.mark.slow
async def test_a_passkey_signs_in_alone_or_after_the_password(
    page: Page, place: World, axe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = replace(place, url=place.url.replace("127.0.0.1", "localhost"))
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"public_url": named.url}))
    await page.command("WebAuthn.enable")
    added = await page.command("WebAuthn.addVirtualAuthenticator", options=AUTHENTICATOR)
    try:
        mary = await new_user(place, email="mary@example.com")
        await sign_in(page, named, "/healthz", mary.email)
        await page.open(f"{named.url}/robots.txt")
        assert (await run(page, "return register();"))["name"] == "virtual"
        await page.command("Network.clearBrowserCookies")
        await page.open(f"{named.url}/login?callbackUrl=/healthz")
        await page.until("document.querySelector('#use-passkey')")
        await judge(page, axe, "login passkey")
        await page.click("#use-passkey")
        await page.until("location.pathname === '/healthz'")
        await page.open(f"{named.url}/robots.txt")
        assert (await run(page, "return ask(REQUIRE, {required: true});"))["required"] is True
        await page.command("Network.clearBrowserCookies")
        await place.database.execute("DELETE FROM sessions")
        await sign_in(page, named, "/healthz", mary.email)  # by password and passkey
        assert await place.database.fetchval(ALIVE) == 1
        await page.command("Network.clearBrowserCookies")
        await page.command("WebAuthn.clearCredentials", authenticatorId=added["authenticatorId"])
        await page.command("WebAuthn.setUserVerified", authenticatorId=added["authenticatorId"], isUserVerified=False)
        await page.open(f"{named.url}/login")
        await page.fill("#login [name=email]", mary.email)
        await page.fill("#login [name=password]", PASSWORD)
        await page.press("Enter")
        await page.see("No passkey was used", "#login [role=alert]")
    finally:
        await page.command("WebAuthn.removeVirtualAuthenticator", authenticatorId=added["authenticatorId"])


@pytest.mark.slow
async def test_a_service_without_an_answer_is_asked_again(page: Page, place: World, axe: str) -> None:
    await page.command("Network.setBlockedURLs", urls=["*/api/auth/graphql"])
    try:
        await page.open(f"{place.url}/login")
        await page.see("The server cannot be reached.", "#unavailable [role=alert]")
        await judge(page, axe, "unavailable")
        await pictures(page, "login-unavailable")
    finally:
        await page.command("Network.setBlockedURLs", urls=[])
    await page.click("#retry")
    await page.see("Sign in", "#login")
    assert await page.value(FOCUSED) == "login-title"
    page.complaints.clear()  # of the request that was blocked


def test_the_page_says_what_it_needs_to_a_browser_without_scripts() -> None:
    text = console.FILES["doors.html"].plain.decode()
    (without,) = re.findall("<noscript>(.*)</noscript>", text, re.DOTALL)
    assert "needs JavaScript" in without
    assert re.findall('href="([^"]+)"', without) == ["/healthz", "/api/openapi.json"]
