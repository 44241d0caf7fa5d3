"""The palette: everything that a person may do, from the operations that the service names."""

from typing import Any

import pytest

from models.people.workspaces import Membership, Role
from tests.console.deck import PHONE, enter, give, page, pictures, place
from tests.people.auth.browsers import new_user
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.world import World, now

__all__ = ["axe", "page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
TEXTS = "[...document.querySelectorAll('#palette-hits [role=option]')].map(one => one.innerText.split('\\n'))"
FORM = "document.activeElement.closest('main form, dialog[open] form')"
AGENTS = "document.querySelector('main').innerText.includes('Talk with an agent')"
CREATED = (
    "an issue", "an agent", "a crew", "a credential", "a mission", "a budget", "an invitation", "a chat", "a project",
    "a webhook endpoint", "a service account", "a feature flag", "a label", "an approval gate",
    "a notification channel",
)  # fmt: skip


async def offered(page: Page, typed: str) -> list[str]:
    """What the palette offers for these words."""
    await page.press("k", control=True)
    await page.until("document.activeElement.matches('dialog[open] input[type=search]')")
    await page.command("Input.insertText", text=typed)
    await page.until("document.querySelector('#palette-hits [role=option]')")
    return [texts[0] for texts in await page.value(TEXTS)]


async def close(page: Page) -> None:
    await page.press("Escape")
    await page.until("!document.querySelector('dialog[open]')")
    await page.value("document.activeElement.blur()")


async def test_each_act_that_creates_opens_its_form(place: World, page: Page, axe: str) -> None:
    await enter(page, place)
    assert {f"Create {thing}" for thing in CREATED} <= set(await offered(page, "create"))
    await pictures(page, "palette-acts")
    await judge(page, axe, "palette of acts")
    await close(page)
    for thing in CREATED:
        await offered(page, f"create {thing}")
        await page.press("Enter")
        await page.until(f"!document.querySelector('#palette-hits') && ({AGENTS if thing == 'a chat' else FORM})")
        await close(page)
    assert page.complaints == []


async def test_an_act_of_the_page_comes_first(place: World, page: Page) -> None:
    agent = await place.database.fetchval("SELECT id FROM agents WHERE slug = 'scout' LIMIT 1")
    await enter(page, place, f"agents/{agent}")
    await page.see("Scout", "h1")
    assert (await offered(page, "delete"))[0] == "Delete an agent"
    await page.press("Enter")
    await page.see("Delete", "dialog[open] .danger")
    await close(page)
    assert await place.database.fetchval("SELECT deleted_at IS NULL FROM agents WHERE id = $1", agent)
    assert page.complaints == []


async def test_a_viewer_is_offered_less(place: World, page: Page) -> None:
    """And the others still are there: screens, and what is found."""
    eve = await new_user(place, full_name="Eve", email="eve@palette.example")
    here: dict[str, Any] = {"workspace_id": place.workspace.id, "user_id": eve.id}
    await place.add(Membership(role=Role.VIEWER, accepted_at=now(), **here))
    await enter(page, place, email="eve@palette.example")
    assert not {"Create a crew", "Create a credential", "Create a budget"} & set(await offered(page, "create a"))
    await close(page)
    assert not [text for text in await offered(page, "delete") if text.startswith("Delete a crew")]
    await close(page)
    await offered(page, "scout")
    await page.see("Scout", "#palette-hits")
    assert page.complaints == []


async def opens(page: Page, act: str) -> None:
    """By its own words, the first of what is offered."""
    assert (await offered(page, act))[0] == act
    await page.press("Enter")
    await page.until("document.querySelector('dialog[open] form')")


async def test_a_secret_that_is_shown_once_can_be_copied(place: World, page: Page) -> None:
    await page.look(*PHONE)
    await enter(page, place)
    await opens(page, "Create a runner")
    await page.fill("dialog [name=name]", "Ada's laptop")
    await give(page, "dialog [name=crewId]", await place.database.fetchval("SELECT id FROM crews LIMIT 1"))
    await page.press("Enter", control=True)
    await page.see("Token: copy it now. It is shown once.", "dialog")
    token = await page.value("document.querySelector('dialog code').innerText")
    copied = "navigator.clipboard.writeText = async text => { window.copied = text }"
    await page.value(copied)
    await page.click("dialog button.primary")
    await page.until("window.copied")
    assert await page.value("window.copied") == token
    assert len(token) > 20
    assert token not in await page.value("document.querySelector('dialog pre').innerText")
    assert await page.value("document.querySelector('dialog[open]').scrollWidth <= innerWidth")
    assert page.complaints == []


async def test_a_generated_edit_begins_from_the_row_and_sends_its_version(place: World, page: Page) -> None:
    """A change of another user meanwhile is not lost: the form says so, and shows it."""
    agent = await place.database.fetchval("SELECT id FROM agents WHERE slug = 'scout'")
    made = await place.graphql(
        place.owner,
        "mutation($ws: ID!, $agent: ID!) {"
        ' registerRunner(workspaceId: $ws, input: {name: "Barge", agentId: $agent}) { id } }',
        {"agent": agent},
    )
    id = made["data"]["registerRunner"]["id"]
    await enter(page, place)
    await opens(page, "Update a runner")
    await give(page, "dialog [name=id]", id)
    await page.until("document.querySelector('dialog [name=name]').value === 'Barge'")
    other = 'mutation($ws: ID!, $id: ID!) { updateRunner(workspaceId: $ws, input: {id: $id, name: "Skiff"}) { id } }'
    assert (await place.graphql(place.owner, other, {"id": id}))["data"]["updateRunner"]["id"] == id
    await page.fill("dialog [name=name]", "Yacht")
    await page.press("Enter", control=True)
    await page.see("Somebody has changed this meanwhile", "dialog [role=alert]")
    named = "SELECT name FROM runners WHERE id = $1"
    assert await place.database.fetchval(named, id) == "Skiff"
    await page.press("Enter", control=True)
    await page.see("Done", "dialog [role=status]")
    assert await place.database.fetchval(named, id) == "BargeYacht"


async def test_code_that_cannot_be_loaded_is_said_above_the_page(place: World, page: Page) -> None:
    await enter(page, place)
    await page.command("Network.enable")
    await page.command("Network.setBlockedURLs", urls=["*/assets/Palette*"])
    await page.press("k", control=True)
    await page.until("document.querySelector('dialog[open] .failure')")
    await page.press("Escape")
    await page.until("!document.querySelector('dialog[open]')")


async def test_an_act_without_a_screen_has_a_form_of_its_input(place: World, page: Page, axe: str) -> None:
    """By keys alone, on a phone: the present agent is chosen already, a fault stands at its field."""
    agent = await place.database.fetchval("SELECT id FROM agents WHERE slug = 'scout' LIMIT 1")
    await page.look(*PHONE)
    await enter(page, place, f"agents/{agent}")
    await page.see("Scout", "h1")
    assert "Propose a persona for an agent" in await offered(page, "propose persona")
    await page.press("Enter")
    await page.until(f"document.querySelector('dialog [name=agentId]')?.value === '{agent}'")
    await pictures(page, "palette-form")
    await page.look(*PHONE)
    await judge(page, axe, "form of an act")
    assert await page.value("document.querySelector('dialog[open]').scrollWidth <= innerWidth")
    await page.fill("dialog [name=content]", "You are brief.")
    await page.press("Enter", control=True)
    await page.see("Done", "dialog [role=status]")
    await page.press("Escape")
    await page.until("!document.querySelector('dialog[open]')")
    recorded = "SELECT count(*) FROM audit_logs WHERE entity_id = $1 AND action LIKE '%persona%'"
    assert await place.database.fetchval(recorded, agent) == 1
    assert page.complaints == []
