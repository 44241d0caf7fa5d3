"""The pages around a forgotten password and a new email in a real browser: the way through, and the refusals."""

from datetime import timedelta

import pytest

from models.people.account import EmailChange
from models.people.auth import User
from models.people.recovery import PasswordReset
from resolvers.instance.crypto import digest
from resolvers.instance.running import instance
from tests.console.deck import EMAIL, pictures
from tests.console.front import FOCUSED, page, place, provider, sign_in, tab
from tests.people.auth.browsers import new_user
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.world import World, now

__all__ = ["axe", "page", "place", "provider", "tab"]
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]


async def test_a_link_is_asked_for(page: Page, place: World, axe: str) -> None:
    await page.open(f"{place.url}/forgot")
    await page.until("document.querySelector('#forgot-form')")
    for reached in ("", "email"):  # by keyboard alone: the way home is first
        await page.press("Tab")
        assert await page.value(FOCUSED) == reached
    await page.command("Input.insertText", text=EMAIL)
    await judge(page, axe, "forgot")
    await pictures(page, "forgot")
    await page.press("Enter")
    await page.see("a link to set a new password is on its way", "#sent")
    assert await page.value("document.querySelector('#forgot-form')") is None
    assert await page.value(FOCUSED) == "forgot-title"
    await judge(page, axe, "forgot sent")
    await pictures(page, "forgot-sent")
    said = await page.text("#sent")
    await page.open(f"{place.url}/forgot")
    await page.fill("#forgot-form [name=email]", "nobody-has-this@example.com")
    await page.press("Enter")
    await page.see(said, "#sent")


async def link_to_confirm(place: World, user: User, email: str) -> str:
    """The page that the mailed link leads to."""
    until = now() + timedelta(minutes=5)
    change = EmailChange(user_id=user.id, email=email, old_email=user.email, expires_at=until)
    token = instance.signer.email_token(change.id)
    change.token_hash = digest(token)
    await place.add(change)
    return f"{place.url}/confirm-email?token={token}"


async def test_a_mailed_link_confirms_a_new_email(page: Page, place: World, axe: str) -> None:
    hedy = await new_user(place, email="hedy@example.com", email_verified=now())
    link = await link_to_confirm(place, hedy, "hedy@example.org")
    await page.open(link)
    await page.see("Confirm", "#confirm-form")
    await judge(page, axe, "confirm email")
    await pictures(page, "confirm")
    await page.click("#confirm-form button")
    await page.see("The new email is confirmed.", "#done")
    assert await page.value("location.search") == ""
    assert await page.value(FOCUSED) == "confirm-title"
    await judge(page, axe, "email confirmed")
    await pictures(page, "confirm-done")
    await page.click("#no-password a")
    await page.see("Forgot your password?", "#forgot")
    await sign_in(page, place, "/healthz", "hedy@example.org")
    await page.open(link)
    await page.click("#confirm-form button")
    await page.see("Invalid or expired token", "#confirm-form [role=alert]")


async def test_who_confirms_in_a_session_needs_no_new_password(page: Page, place: World) -> None:
    klara = await new_user(place, email="klara@example.com")
    await sign_in(page, place, "/healthz", klara.email)
    await page.open(await link_to_confirm(place, klara, "klara@example.org"))
    await page.click("#confirm-form button")
    await page.see("The new email is confirmed.", "#done")
    assert await page.value("document.querySelector('#no-password')") is None
    assert await page.value("document.querySelector('#done .button').getAttribute('href')") == "/account"
    changed = "SELECT email FROM users WHERE id = $1"
    assert await place.database.fetchval(changed, klara.id) == "klara@example.org"


async def test_a_mailed_link_sets_a_new_password(page: Page, place: World, axe: str) -> None:
    grace = await new_user(place, email="grace@example.com")
    reset = PasswordReset(email=grace.email, user_id=grace.id, expires_at=now() + timedelta(minutes=5))
    token = instance.signer.reset_token(reset.id)
    reset.token_hash = digest(token)
    await place.add(reset)
    await page.open(f"{place.url}/reset-password?token={token}")
    await page.fill("[name=newPassword]", "short")
    await page.press("Enter")
    await page.see("Password must be at least 8 characters", ".fault:not([role=alert])")
    assert await page.value(FOCUSED) == "newPassword"
    assert await page.value("document.activeElement.autocomplete") == "new-password"
    assert await page.value("location.search") == ""
    await judge(page, axe, "reset refused")
    await pictures(page, "reset-refused")
    await page.fill("[name=newPassword]", " but longer now")
    await page.press("Enter")
    await page.see("The new password is set.", "#done")
    assert await page.value(FOCUSED) == "reset-title"
    await judge(page, axe, "reset done")
    await sign_in(page, place, "/healthz", grace.email, "short but longer now")
    await page.open(f"{place.url}/reset-password?token={token}")
    await page.fill("[name=newPassword]", "another password")
    await page.press("Enter")
    await page.see("Invalid or expired token", "#reset-form [role=alert]")
    await pictures(page, "reset-over")
    await page.click("#again a")
    await page.see("Forgot your password?", "#forgot")
