"""Settings: members and invitations."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.people.auth import User
from models.people.workspaces import Membership, Role
from tests.console.deck import PHONE, enter, give, page, pictures, place
from tests.people.auth.browsers import new_user
from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.looks import axe, judge
from tests.world import World, now

__all__ = ["axe", "page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.thorough]
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
GRACE = "grace@example.com"
NO_MARKUP = "document.querySelectorAll(':is(main, dialog) :is(img, script)').length === 0"
LISTED = "[...document.querySelectorAll('main li')].some(one => one.innerText.includes('{}'))"


@pytest.fixture
async def grace(place: World) -> AsyncIterator[User]:
    made = await new_user(place, full_name=f"Grace {HOSTILE}", email=GRACE)
    here: dict[str, Any] = {"workspace_id": place.workspace.id, "user_id": made.id}
    await place.add(Membership(role=Role.MEMBER, accepted_at=now(), **here))
    yield made
    await place.database.execute("DELETE FROM memberships WHERE user_id = $1", made.id)
    await place.database.execute("DELETE FROM users WHERE id = $1", made.id)


async def test_a_person_is_invited_and_a_member_removed_by_keys(place: World, grace: User, page: Page) -> None:
    await enter(page, place)
    await page.press("g")
    await page.press("s")
    await page.see(GRACE, "main")
    await pictures(page, "settings-members")
    await page.open(f"{place.url}/console/{place.workspace.slug}/settings/invitations")
    await page.see("No invitation is open", "main")
    await page.until("document.querySelector('main header .primary')")
    await page.press("n")
    await page.fill("dialog[open] [name=email]", "not an address")
    await page.press("Enter")
    await page.until("document.activeElement.matches('dialog[open] [aria-invalid=true]')")
    await page.value("document.activeElement.select()")
    await page.fill("dialog[open] [name=email]", "alan@example.com")
    await page.press("Enter")
    await page.see("/invitation?token=", "dialog[open]")
    await pictures(page, "settings-invited")
    await page.press("Escape")
    await page.until("!document.querySelector('dialog[open]')")
    await page.until(LISTED.format("alan@example.com"))
    await pictures(page, "settings-invitations")
    await page.click("main li .danger")
    await page.click("dialog[open] .danger")
    await page.see("No invitation is open", "main")
    await page.open(f"{place.url}/console/{place.workspace.slug}/settings?q=grace")
    await page.see(GRACE, "main .view")
    await page.press("j")
    await page.press("Enter")
    await page.see("Remove the member", "dialog[open]")
    assert await page.value(NO_MARKUP)
    await pictures(page, "settings-member")
    await page.click("dialog[open] [value='issue.create']")
    await page.click("dialog[open] form .primary")
    await page.see("Capabilities are saved", ".notices")
    await page.click("dialog[open] .danger")
    await page.click("dialog[open] dialog[open] .danger, dialog[open] ~ dialog[open] .danger")
    await page.see("No member fits", "main")
    assert page.complaints == []


@pytest.mark.slow
async def test_everybody_can_use_the_parts(place: World, grace: User, page: Page, axe: str) -> None:
    await enter(page, place, "settings/invitations")
    await page.until("document.querySelector('main header .primary')")
    await judge(page, axe, "no invitations")
    await page.press("n")
    await page.until("document.activeElement.matches('dialog[open] [name=email]')")
    await judge(page, axe, "inviting")
    await page.fill("dialog[open] [name=email]", "axe@example.com")
    await page.press("Enter")
    await page.see("/invitation?token=", "dialog[open]")
    await judge(page, axe, "invited")
    await page.press("Escape")
    await page.until(LISTED.format("axe@example.com"))
    await judge(page, axe, "invitations")
    await place.database.execute("DELETE FROM invitations WHERE email = 'axe@example.com'")
    await page.open(f"{place.url}/console/{place.workspace.slug}/settings?role=MEMBER&q=grace")
    await page.see(GRACE, "main .view")
    await judge(page, axe, "members")
    await page.press("j")
    await page.press("Enter")
    await page.see("Remove the member", "dialog[open]")
    await judge(page, axe, "a member")


@pytest.mark.slow
async def test_a_member_reads_who_may_invite(place: World, grace: User, page: Page) -> None:
    await enter(page, place, "settings/invitations", GRACE)
    await page.see("Inviting people needs the role admin.", "main")
    assert await page.value("document.querySelectorAll('main :is(.primary, .danger)').length") == 0
    await page.press("n")
    assert not await page.value("document.querySelector('dialog[open]')")
    await page.open(f"{place.url}/console/{place.workspace.slug}/settings")
    await page.see("ada@example.com", "main")
    await page.press("j")
    await page.press("Enter")
    await page.see("Changing capabilities needs the role admin.", "dialog[open]")
    await pictures(page, "settings-member-as-member")
    assert await page.value("document.querySelectorAll('dialog[open] :is(form, .danger)').length") == 0


@pytest.mark.slow
async def test_an_invitation_appears_in_another_browser_on_a_phone(
    place: World, grace: User, page: Page, tmp_path: Any
) -> None:
    async with browsing(tmp_path / "other") as other:
        await other.look(*PHONE)
        await enter(other, place, "settings/invitations", GRACE)
        await other.see("No invitation is open", "main")
        await enter(page, place, "settings/invitations")
        await page.click("main .primary, header .primary")
        await page.fill("dialog[open] [name=email]", "kay@example.com")
        await page.press("Enter")
        await other.until(LISTED.format("kay@example.com"))
        assert not await other.value("document.body.innerText.includes('Copy the link')")
        assert await other.value("document.documentElement.scrollWidth <= innerWidth")
    await place.database.execute("DELETE FROM invitations WHERE email = 'kay@example.com'")


@pytest.mark.slow
async def test_a_role_is_changed_by_keyboard_on_a_phone_and_seen_elsewhere(
    place: World, grace: User, page: Page, axe: str, tmp_path: Any
) -> None:
    async with browsing(tmp_path / "other") as other:
        await enter(other, place, "settings", GRACE)
        await other.see("ada@example.com", "main .view")
        await page.look(*PHONE)
        await enter(page, place, "settings?q=grace")
        await page.see(GRACE, "main .view")
        await page.press("j")
        await page.press("Enter")
        await page.until("document.querySelector('dialog[open] .editable button')")
        await page.value("document.querySelector('dialog[open] .editable button').focus()")
        await page.press("Enter")
        await page.until("document.activeElement.matches('dialog[open] select')")
        offered = "[...document.activeElement.options].map(({value}) => value).join()"
        assert await page.value(offered) == "ADMIN,MANAGER,MEMBER,VIEWER"
        await give(page, "dialog[open] select", "MANAGER")
        await page.press("Enter")
        await page.see("manager", "dialog[open] .editable button")
        assert await page.value("document.documentElement.scrollWidth <= innerWidth")
        await pictures(page, "settings-member-role")
        await judge(page, axe, "a member's role")
        role = "SELECT role FROM memberships WHERE user_id = $1"
        assert await place.database.fetchval(role, grace.id) == "MANAGER"
        await other.until(LISTED.format("manager"))
        assert page.complaints == other.complaints == []
