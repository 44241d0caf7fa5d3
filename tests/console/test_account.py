"""The account: who one is, how one signs in, and one's own tokens."""

import pytest

from tests.console.deck import EMAIL, PHONE, enter, page, pictures, place, press
from tests.people.auth.browsers import PASSWORD
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.world import World

__all__ = ["axe", "page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.slow]
NEW = "a new battery staple"


async def test_the_account_of_a_person(place: World, page: Page, axe: str) -> None:
    await enter(page, place, "account")
    await page.see(EMAIL, "main")
    await page.see("owner", "main")
    await press(page, "the workspace used last")
    await page.until("document.activeElement.matches('.editable select')")
    await page.value("document.activeElement.value = document.activeElement.options[1].value")
    await page.value("document.activeElement.dispatchEvent(new Event('change', {bubbles: true}))")
    await page.press("Enter")
    await page.until("!document.querySelector('main').innerText.includes('the workspace used last')")
    await pictures(page, "account")
    await judge(page, axe, "account")
    await press(page, "Forbid notes")
    await press(page, "Forbid notes", "dialog[open]")
    await page.see("keep no notes about you", "main")
    await page.look(*PHONE)
    await press(page, "Delete the account")
    await page.fill("dialog[open] [name=password]", "not mine")
    await page.press("Enter")
    await page.until("document.querySelector('dialog[open] .fault')")
    await judge(page, axe, "deleting the account")
    assert await page.value("location.pathname.endsWith('/account')")
    assert page.complaints == []


async def test_a_person_changes_the_password_and_ends_sessions(place: World, page: Page, axe: str) -> None:
    await enter(page, place, "account/sign-in")
    await page.see("Chrome on Linux", "main")
    await page.see("this one", "main")
    await page.fill("[name=currentPassword]", "not mine")
    await page.fill("[name=newPassword]", NEW)
    await page.press("Enter")
    await page.until("document.querySelector('main form .fault')")
    await pictures(page, "account-sign-in")
    await judge(page, axe, "sign-in")
    await page.select("[name=currentPassword]")
    await page.fill("[name=currentPassword]", PASSWORD)
    await page.press("Enter")
    await page.see("The password is changed", ".notices")
    await page.select("[name=currentPassword]")
    await page.fill("[name=currentPassword]", NEW)
    await page.fill("[name=newPassword]", PASSWORD)
    await page.press("Enter")
    await page.until("document.querySelector('[name=newPassword]').value === ''")
    await press(page, "Sign out", "main li")
    await press(page, "Sign out", "dialog[open]")
    await page.until("location.pathname === '/login'")


async def test_a_token_of_a_person_is_shown_once(place: World, page: Page, axe: str) -> None:
    await page.look(*PHONE)
    await enter(page, place, "account/tokens")
    await page.see("No tokens yet", "main")
    await page.until("document.querySelector('main section .primary')")
    await page.press("n")
    await page.fill("dialog[open] [name=name]", "<i>Report</i>")
    await page.press("Enter")
    await page.see("shown only once", "dialog[open]")
    token = await page.text("dialog[open] code")
    await page.press("Escape")
    await page.see("<i>Report</i>", "main")
    assert token not in await page.text("body")
    await press(page, "Get a code")
    await page.see("Waiting for the command line.", "main")
    await pictures(page, "account-tokens")
    await judge(page, axe, "tokens")
    await press(page, "Revoke")
    await press(page, "Revoke", "dialog[open]")
    await page.see("Ended", "main")
    assert page.complaints == []
