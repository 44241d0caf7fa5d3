"""Pages about invitations in a real browser: sent, accepted, and withdrawn."""

import pytest

from models.people.workspaces import Membership, Role
from tests.people.auth.browsers import new_user
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.process.test_pages_of_accounts import EMAIL, FOCUSED, account, choose, page, place, provider, tab
from tests.world import World, now

__all__ = ["axe", "page", "place", "provider", "tab"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


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
