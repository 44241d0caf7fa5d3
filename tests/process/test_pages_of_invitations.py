"""Pages about invitations in a real browser: sent, accepted, and withdrawn."""

import pytest

from models.people.workspaces import Membership, Role, Workspace
from tests.people.auth.browsers import PASSWORD, new_user
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.process.test_pages_of_accounts import EMAIL, FOCUSED, account, choose, page, place, provider, tab
from tests.world import World, now

__all__ = ["axe", "page", "place", "provider", "tab"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


async def invited(place: World, email: str) -> str:
    """The page that the mailed link leads to."""
    arguments = "workspaceId: $ws, input: $in"
    invite = f"mutation ($ws: ID, $in: CreateInvitationInput!) {{ createInvitation({arguments}) {{ token }} }}"
    answer = await place.graphql(place.owner, invite, {"in": {"email": email}})
    return f"/invitation?token={answer['data']['createInvitation']['token']}"


@pytest.mark.slow
async def test_a_newcomer_accepts_with_a_new_account(page: Page, place: World, axe: str) -> None:
    await page.open(f"{place.url}{await invited(place, 'radia@example.com')}")
    await page.fill("#join-form [name=fullName]", "Radia Perlman")
    await page.fill("#join-form [name=password]", "short")
    await page.press("Enter")
    await page.see("Password must be at least 8 characters", "#join .fault")
    assert await page.value(FOCUSED) == "password"
    await judge(page, axe, "invitation join")
    await page.fill("#join-form [name=password]", " but longer")
    await page.press("Enter")
    await page.see("Welcome to Workspace", "#joined")
    assert await page.value(FOCUSED) == "joined-title"
    assert await page.value("location.search") == ""
    await judge(page, axe, "invitation joined")
    await page.click("#joined a")
    await page.see("Radia Perlman", "nav")
    joined = "SELECT role FROM memberships m JOIN users u ON u.id = m.user_id WHERE u.email = 'radia@example.com'"
    assert await place.database.fetchval(joined) == "MEMBER"


@pytest.mark.slow
async def test_a_link_that_was_cut_is_no_invitation(page: Page, place: World, axe: str) -> None:
    await page.open(f"{place.url}/invitation")
    await page.see("This link contains no invitation", "#unavailable [role=alert]")
    assert await page.value("document.querySelector('#join').hidden")
    await judge(page, axe, "invitation without a token")


@pytest.mark.slow
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


@pytest.mark.slow
async def test_somebody_is_invited_and_the_invitation_withdrawn(page: Page, place: World, axe: str) -> None:
    await account(page, place)
    await page.see(EMAIL, "#members")
    await page.fill("#people [name=email]", EMAIL)
    await page.press("Enter")
    await page.see("This email belongs to a member", "#people .fault")
    assert await page.value(FOCUSED) == "email"
    await page.value("document.querySelector('#people [name=email]').value = ''")
    await page.fill("#people [name=email]", "mary@example.com")
    await choose(page, "#people [name=role]", "VIEWER")
    await page.press("Enter")
    await page.see("Invitation for mary@example.com", "#invitation")
    assert await page.value(FOCUSED) == "invitation-title"
    found = "SELECT token, role FROM invitations WHERE email = 'mary@example.com'"
    token, role = await place.database.fetchrow(found)
    assert (await page.text("#invitation-link"), role) == (f"{place.url}/invitation?token={token}", "VIEWER")
    await judge(page, axe, "account people")
    await page.click("#invitation-done")
    await page.click("[aria-label='Withdraw: mary@example.com']")
    await page.see("Its link stops working.", "#ask")
    assert await page.value(FOCUSED) == "ask-no"
    await page.click("#ask-yes")
    await page.see("The invitation is withdrawn.", "#news")
    assert await place.database.fetchrow(found) is None
    assert "mary@example.com" not in await page.text("#people")


@pytest.mark.slow
async def test_who_may_not_invite_is_not_asked(page: Page, place: World) -> None:
    rear = await new_user(place, email="joan.clarke@example.com")
    await place.add(Membership(workspace_id=place.workspace.id, user_id=rear.id, role=Role.MANAGER, accepted_at=now()))
    await account(page, place, rear.email)
    assert await page.value("document.querySelector('#people').hidden")
    assert await page.value("document.querySelector('#sections [href=\\'#people\\']').hidden")


@pytest.mark.slow
async def test_who_was_added_accepts_where_workspaces_are_listed(page: Page, place: World, axe: str) -> None:
    frances = await new_user(place, email="frances@example.com")
    added = [
        Membership(workspace_id=workspace.id, user_id=frances.id, role=Role.MEMBER)
        for workspace in (place.workspace, place.other)
    ]
    await place.add(*added)
    accepted = "SELECT array_agg(workspace_id) FROM memberships WHERE user_id = $1 AND accepted_at IS NOT NULL"
    await account(page, place, frances.email)
    await page.see("its members see only your name", "#memberships")
    await judge(page, axe, "account of somebody who was added")
    await page.click(f"[aria-label='Accept the membership in {place.workspace.name}']")
    await page.until("document.querySelectorAll('#memberships button').length === 1")
    assert await page.value(FOCUSED) == "profile-title"
    assert await place.database.fetchval(accepted, frances.id) == [place.workspace.id]
    await page.open(f"{place.url}/")
    await page.until(f"document.querySelector('#workspace').value === '{place.workspace.id}'")
    assert await page.value("document.querySelector('#not-accepted').hidden")
    await choose(page, "#workspace", place.other.id)
    await page.see("its members see only your name", "#not-accepted")
    await page.until("[...document.querySelectorAll('main')].some(part => part.offsetParent)")
    await judge(page, axe, "chat of somebody who was added")
    await page.click("#not-accepted button")
    await page.until("document.querySelector('#not-accepted').hidden")
    assert set(await place.database.fetchval(accepted, frances.id)) == {place.workspace.id, place.other.id}
    await choose(page, "#workspace", place.workspace.id)
    await choose(page, "#workspace", place.other.id)
    assert await page.value("document.querySelector('#not-accepted').hidden")
