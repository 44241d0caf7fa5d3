"""Settings: flags, retention, data of a person, and what the system says of itself."""

import pytest

from tests.console.deck import EMAIL, PHONE, enter, go, page, pictures, place, press
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.world import World

__all__ = ["axe", "page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.slow]
ROLES = "UPDATE memberships SET role = $2 FROM users WHERE users.id = user_id AND email = $1"


async def test_flags_are_turned_and_turned_back(place: World, page: Page, axe: str) -> None:
    await enter(page, place, "settings/flags")
    await page.see("No flags yet", "main")
    await page.until("document.querySelector('main header .primary')")
    await page.press("n")
    await page.fill("dialog[open] [name=key]", "new_board")
    await page.fill("dialog[open] [name=description]", "<script>1</script>")
    await judge(page, axe, "a new flag")
    await page.press("Enter")
    await page.see("new_board", "main")
    await page.see("follows the instance", "main")
    await press(page, "Turn off here")
    await page.see("set here", "main")
    await pictures(page, "settings-flags")
    await judge(page, axe, "flags")
    await page.press("z")
    await page.see("follows the instance", "main")
    await press(page, "Delete")
    await page.click("dialog[open] .danger")
    await page.see("No flags yet", "main")
    assert page.complaints == []


async def test_retention_and_the_data_of_a_person(place: World, page: Page, axe: str) -> None:
    await enter(page, place, "settings/privacy")
    await page.click("main .editable button")
    await page.until("document.activeElement.matches('.editable input')")
    await page.fill(".editable input", "99999999")
    await page.press("Enter")
    await page.see("", ".editable .fault")
    await page.until("document.querySelector('.editable .fault')")
    await page.select(".editable input")
    await page.fill(".editable input", "5")
    await page.press("Enter")
    await page.see("5 days", "main")
    await press(page, "Use the default")
    await page.until("!document.querySelector('main').innerText.includes('Use the default')")
    await page.press("z")
    await page.see("5 days", "main")
    await page.value(
        "(choice => { choice.value = choice.options[1].value;"
        " choice.dispatchEvent(new Event('change', {bubbles: true})) })(document.querySelector('main select'))"
    )
    await press(page, "Show agents' data")
    await page.see("peerCards", "main pre")
    await pictures(page, "settings-privacy")
    await judge(page, axe, "privacy")
    await press(page, "Delete agents' data")
    await page.fill("dialog[open] [name=reason]", "They asked for it")
    await judge(page, axe, "deleting data")
    await page.press("Enter")
    await page.see("Rows deleted: 0", ".notices")
    await page.look(*PHONE)
    await press(page, "Make an archive")
    await page.see("The archive is being made.", "main")
    assert page.complaints == []
    await place.database.execute("DELETE FROM retention_rules")


async def test_the_system_says_how_it_is(place: World, page: Page, axe: str) -> None:
    await enter(page, place, "settings/system")
    await page.see("Doctor", "main")
    await page.see("Disk", "main")
    await press(page, "Add")
    await page.fill("dialog[open] [name=key]", "smtp.password")
    await page.fill("dialog[open] [name=value]", "secret words")
    await page.press("Enter")
    await page.see("***", "main")
    assert "secret words" not in await page.text("body")
    await pictures(page, "settings-system")
    await judge(page, axe, "system")
    await place.database.execute(ROLES, EMAIL, "MEMBER")
    for path, denied in (
        ("flags", "Changing flags needs the role"),
        ("privacy", "You may not see this"),
        ("system", "You may not see this"),
        ("audit", "You may not see this"),
        ("workspace", "Changing the workspace needs the role"),
    ):
        await go(page, place, f"settings/{path}")
        await page.see(denied, "main")
        assert await page.value("document.querySelectorAll('main :is(.danger, .primary, li button)').length") == 0, path
    await page.look(*PHONE)
    await pictures(page, "settings-as-member")
    await place.database.execute(ROLES, EMAIL, "OWNER")
    assert page.complaints == []
