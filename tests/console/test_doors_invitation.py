"""The page of an invitation in a real browser: with a new account, with an old one, and with a link that was cut."""

from urllib.parse import urlsplit

import pytest

from models.people.workspaces import Membership, Role, Workspace
from tests.console.deck import EMAIL, PHONE, pictures
from tests.console.front import FOCUSED, page, place, provider, state_of, tab
from tests.people.auth.browsers import PASSWORD, new_user
from tests.people.sign_in_providers.provider import Provider
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.world import World, now

__all__ = ["axe", "page", "place", "provider", "tab"]
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]


async def invited(place: World, email: str) -> str:
    """The page that the mailed link leads to."""
    arguments = "workspaceId: $ws, input: $in"
    invite = f"mutation ($ws: ID, $in: CreateInvitationInput!) {{ createInvitation({arguments}) {{ token }} }}"
    answer = await place.graphql(place.owner, invite, {"in": {"email": email}})
    return f"/invitation?token={answer['data']['createInvitation']['token']}"


async def test_a_newcomer_accepts_with_a_new_account(page: Page, place: World, axe: str) -> None:
    await page.look(*PHONE)
    await page.open(f"{place.url}{await invited(place, 'radia@example.com')}")
    await page.fill("#join-form [name=fullName]", "Radia Perlman")
    await page.fill("#join-form [name=password]", "short")
    await page.press("Enter")
    await page.see("Password must be at least 8 characters", "#join .fault:not([role=alert])")
    assert await page.value(FOCUSED) == "password"
    await judge(page, axe, "invitation join")
    await pictures(page, "invitation-join")
    await page.fill("#join-form [name=password]", " but longer")
    await page.press("Enter")
    await page.see("Welcome to Workspace", "#joined")
    assert await page.value(FOCUSED) == "joined-title"
    assert await page.value("location.search") == ""
    assert await page.text("#role") == "member"
    await judge(page, axe, "invitation joined")
    await pictures(page, "invitation-joined")
    await page.click("#joined a")
    await page.until(f"location.pathname === '/console/{place.workspace.slug}'")
    await page.see("Radia Perlman", "nav")
    joined = "SELECT role FROM memberships m JOIN users u ON u.id = m.user_id WHERE u.email = 'radia@example.com'"
    assert await place.database.fetchval(joined) == "MEMBER"


async def test_a_link_that_was_cut_is_no_invitation(page: Page, place: World, axe: str) -> None:
    await page.open(f"{place.url}/invitation")
    await page.see("This link contains no invitation", "#unavailable [role=alert]")
    assert await page.value("document.querySelector('#join, form')") is None
    await judge(page, axe, "invitation without a token")


async def test_somebody_with_an_account_signs_in_to_accept(page: Page, place: World, axe: str) -> None:
    karen = await new_user(place, email="karen@example.com")
    path = await invited(place, karen.email)
    await page.open(f"{place.url}{path}")
    await page.fill("#join-form [name=fullName]", "Karen Spärck Jones")
    await page.fill("#join-form [name=password]", "another password")
    await page.press("Enter")
    await page.see("An account with the invited email exists", "#join-form [role=alert]")
    await page.click("#sign-in")
    await page.fill("#login [name=email]", EMAIL)  # of somebody else, at first
    await page.fill("#login [name=password]", PASSWORD)
    await page.press("Enter")
    await page.click("#accept-form button")
    await page.see("This invitation is for a different email address", "#accept [role=alert]")
    await judge(page, axe, "invitation accept")
    await pictures(page, "invitation-accept")
    await page.click("#switch")
    await page.fill("#login [name=email]", karen.email)
    await page.fill("#login [name=password]", PASSWORD)
    await page.press("Enter")
    await page.see(karen.email, "#accept")
    await page.click("#accept-form button")
    await page.see("Welcome to Workspace", "#joined")
    await page.open(f"{place.url}{path}")
    await page.click("#accept-form button")
    await page.see("Welcome to Workspace", "#joined")
    annex = Workspace(name="Annex", slug="annex")
    await place.add(annex, Membership(workspace_id=annex.id, user_id=karen.id, role=Role.MEMBER, accepted_at=now()))
    await page.open(f"{place.url}{path}")
    await page.click("#accept-form button")
    await page.see("You are a member already", "#joined")  # of one of several, which are not told apart


async def test_a_newcomer_comes_back_from_a_provider_as_a_member(page: Page, place: World, provider: Provider) -> None:
    await page.open(f"{place.url}{await invited(place, 'edith@example.com')}")
    await page.click("#join ul a")
    await page.until(f"location.href.startsWith('{provider.url}/open/authorize')")
    asked = await page.value("location.href")
    claims = {"email": "edith@example.com", "email_verified": True, "name": "Edith Clarke"}
    code = provider.issuer("open").grant(asked, "edith", **claims)
    await page.open(f"{place.url}/api/v1/auth/oidc/open/callback?state={state_of(asked)}&code={code}")
    await page.see("Welcome to Workspace", "#joined")
    assert urlsplit(await page.value("location.href")).query == ""


async def test_a_session_that_ended_meanwhile_begins_anew(page: Page, place: World) -> None:
    ruth = await new_user(place, email="ruth@example.com")
    path = await invited(place, ruth.email)
    await page.open(f"{place.url}{path}")
    await page.click("#sign-in")
    await page.fill("#login [name=email]", ruth.email)
    await page.fill("#login [name=password]", PASSWORD)
    await page.press("Enter")
    await page.see(ruth.email, "#accept")
    await place.database.execute("DELETE FROM sessions")
    await page.click("#accept-form button")
    await page.see("Sign in to accept", "#join")
