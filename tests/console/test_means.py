"""Means: credentials, integrations, skills, webhooks, channels, connectors and templates."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from models.people.workspaces import Membership, Role
from models.resources.credentials import Credential, CredentialStatus, CredentialType
from tests.console.deck import PHONE, enter, page, pictures, place
from tests.people.auth.browsers import new_user
from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.looks import axe, judge
from tests.world import World, now

__all__ = ["axe", "page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
SECRET = "sk-harbour-7f3a9c"
ROWS = "document.querySelectorAll('.view li').length"
MARKUP = "document.querySelectorAll('main :is(img, script)').length"


async def press_on(page: Page, text: str, within: str = "main") -> None:
    """Clicks the button or link with this text."""
    buttons = f"[...document.querySelectorAll('{within} :is(button, a, summary)')]"
    found = f"{buttons}.find(one => one.innerText.trim() === '{text}')"
    await page.until(f"{found}?.offsetParent && !{found}.disabled")
    await page.value(f"{found}.click()")


async def choose(page: Page, selector: str, value: str) -> None:
    await page.until(f"[...document.querySelector('{selector}')?.options ?? []].some(one => one.value === '{value}')")
    await page.value(
        f"(choice => {{ choice.value = '{value}'; choice.dispatchEvent(new Event('change', {{bubbles: true}})) }})"
        f"(document.querySelector('{selector}'))"
    )


async def create(page: Page, name: str, value: str = SECRET) -> None:
    """A key, by the form; its page is then shown."""
    await press_on(page, "Create credential")
    await page.fill("dialog [name=name]", name)
    await page.fill("dialog [name=value]", value)
    await press_on(page, "Create", "dialog")
    await page.until("!document.querySelector('dialog[open]') && location.pathname.split('/').length === 6")
    await page.see(name, "h1")


async def test_a_credential_is_created_given_and_rotated(place: World, page: Page, axe: str) -> None:
    await enter(page, place, "means")
    await page.see("No credentials yet", "main")
    await press_on(page, "Create credential")
    await press_on(page, "Create", "dialog")
    await page.until("document.querySelector('dialog [name=name][aria-invalid]')")
    await pictures(page, "means-credential-form")
    await page.press("Escape")
    await create(page, "Harbour key")
    await press_on(page, "Give to an agent")
    agent = await place.database.fetchval("SELECT id FROM agents WHERE slug = 'scout' LIMIT 1")
    await choose(page, "dialog [name=agentId]", agent)
    await page.fill("dialog [name=envVarName]", "HARBOUR_KEY")
    await press_on(page, "Give to an agent", "dialog form")
    await page.see("HARBOUR_KEY", "main")
    await press_on(page, "Rotate")
    await page.fill("dialog [name=value]", "sk-second")
    await press_on(page, "Rotate", "dialog form")
    await page.see("The previous value is valid until", "main")
    assert SECRET not in await page.value("document.documentElement.outerHTML")
    await pictures(page, "means-credential")
    await judge(page, axe, "credential")
    await press_on(page, "Delete")
    await press_on(page, "Delete", "dialog")
    await page.see("No credentials yet", "main")
    assert page.complaints == []


@pytest.fixture
async def stored(place: World) -> AsyncIterator[list[str]]:
    """Credentials in all states, with hostile texts; the ids."""
    here = {"workspace_id": place.workspace.id}
    rows = [
        Credential(
            name=HOSTILE if status is CredentialStatus.ERROR else f"Key {status.lower()}", type=CredentialType.API_KEY,
            provider="GITHUB", status=status, account_label=HOSTILE, token_expires_at="2020-01-01",
            last_error=f"Refused: {HOSTILE}" if status is CredentialStatus.ERROR else None, **here,
        )
        for status in CredentialStatus
    ]  # fmt: skip
    await place.add(*rows)
    yield [row.id for row in rows]
    await place.database.execute("DELETE FROM credentials")


@pytest.mark.slow
async def test_credentials_are_found_by_keys_alone(place: World, page: Page, axe: str, stored: list[str]) -> None:
    await enter(page, place, "runs")
    await page.press("g")
    await page.press("e")
    await page.see("Key expired", ".view")
    await pictures(page, "means-credentials")
    await judge(page, axe, "credentials")
    assert await page.value(MARKUP) == 0
    await choose(page, 'select[aria-label="Any state"]', "EXPIRED")
    await page.until(f"{ROWS} === 1 && location.search === '?state=EXPIRED'")
    await page.press("j")
    await page.press("Enter")
    await page.see("Key expired", "h1")
    await page.value("history.back()")
    await page.until(f"{ROWS} === 1")
    await press_on(page, "Clear")
    await page.fill("input[type=search]", "KEY REV")
    await page.until(f"{ROWS} === 1 && location.search === '?search=KEY+REV'")
    await page.open(f"{place.url}/console/{place.workspace.slug}/means/credentials/{stored[6]}")
    await page.see("Refused: <img", "main .problem")
    await judge(page, axe, "credential with an error")
    assert await page.value(MARKUP) == 0
    assert await page.value("document.title") != "owned"
    await page.open(f"{place.url}/console/{place.workspace.slug}/means/credentials/nothing")
    await page.see("Not found", "main")
    assert page.complaints == []


@pytest.mark.slow
async def test_a_credential_is_created_by_keys_on_a_phone(place: World, page: Page) -> None:
    await page.look(*PHONE)
    await enter(page, place, "means/credentials")
    await page.see("Create credential", "main")
    await page.press("n")
    await page.until("document.activeElement.name === 'name'")
    await page.command("Input.insertText", text="By keys")
    for name in ("type", "provider", "value"):
        await page.press("Tab")
        await page.until(f"document.activeElement.name === '{name}'")
    await page.command("Input.insertText", text=SECRET)
    await page.press("Enter")
    await page.see("By keys", "h1")
    assert await page.value("document.documentElement.scrollWidth <= innerWidth")
    await page.value("[...document.querySelectorAll('main button')].find(one => one.innerText === 'Delete').focus()")
    await page.press("Enter")
    await page.until("document.querySelector('dialog[open]')")
    await press_on(page, "Delete", "dialog")
    await page.until("location.pathname.endsWith('/means/credentials')")
    assert page.complaints == []


@pytest.mark.slow
async def test_a_viewer_reads_and_changes_nothing(place: World, stored: list[str], tmp_path: Path) -> None:
    eve = await new_user(place, full_name="Eve", email="eve@example.com")
    await place.add(Membership(role=Role.VIEWER, accepted_at=now(), workspace_id=place.workspace.id, user_id=eve.id))
    async with browsing(tmp_path / "eve") as page:
        await enter(page, place, "means/credentials", email="eve@example.com")
        await page.see("Key expired", ".view")
        assert "Create credential" not in await page.text("main")
        await page.open(f"{place.url}/console/{place.workspace.slug}/means/credentials/{stored[0]}")
        await page.see("Key active", "h1")
        await page.see("This needs", "main")
        assert await page.value("document.querySelectorAll('main :is(button, input, select)').length") == 0
        assert page.complaints == []


@pytest.mark.slow
async def test_two_browsers_see_the_same_credentials(place: World, page: Page, tmp_path: Path) -> None:
    async with browsing(tmp_path / "other") as other:
        await enter(other, place, "means/credentials")
        await other.see("No credentials yet", "main")
        await enter(page, place, "means/credentials")
        await create(page, "Seen by two")
        await other.see("Seen by two", ".view")
        await press_on(page, "Delete")
        await press_on(page, "Delete", "dialog")
        await other.see("No credentials yet", "main")
