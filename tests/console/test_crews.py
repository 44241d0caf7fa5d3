"""Crews and agents: made in a few fields, and changed where they are shown."""

from typing import Any

import pytest

from tests.console.deck import EMAIL, PHONE, enter, give, page, pictures, place, press, tab_to
from tests.process.browser import CHROMIUM, Page
from tests.process.looks import axe, judge
from tests.world import World

__all__ = ["axe", "page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.thorough]


async def agent_of(place: World, name: str) -> dict[str, Any]:
    found = await place.database.fetchrow("SELECT * FROM agents WHERE name = $1 AND deleted_at IS NULL", name)
    assert found is not None
    return dict(found)


def button(text: str) -> str:
    """The first button of this text, to be clicked."""
    return f"[...document.querySelectorAll('main button, dialog[open] button')].find(one => one.innerText === {text!r})"


async def edit(page: Page, label: str, text: str, *, taken: bool = True) -> None:
    """Opens what is shown under this label, and types in its place."""
    opener = (
        "[...document.querySelectorAll('.editable')]"
        f".find(one => one.querySelector('.label')?.innerText === {label!r})?.querySelector('button.value')"
    )
    await page.until(opener)
    await page.value(f"{opener}.click()")
    await page.until("document.activeElement.matches('.editable :is(input, textarea)')")
    await page.value("document.activeElement.select()")
    await page.command("Input.insertText", text=text)
    await page.value(f"{button('Save')}.click()")
    if taken:
        await page.until("!document.querySelector('.editable :is(input, textarea)')")


async def test_an_agent_is_made_in_three_fields_and_changed_in_place(place: World, page: Page) -> None:
    await enter(page, place, "crews")
    await page.see("Scout", ".view")
    await page.until(button("New agent"))
    await page.press("n")
    await page.until("document.querySelector('dialog [name=llmModel]')?.value")
    await page.fill("dialog [name=name]", "Lena Büro")
    await page.press("Enter")
    await page.see("Lena Büro", "h1")
    made = await agent_of(place, "Lena Büro")
    assert (made["slug"], made["llm_provider"], made["cli_adapter"]) == ("lena-buro", "ANTHROPIC", "CLAUDE_CODE")
    assert None not in (made["crew_id"], made["llm_model"])
    await edit(page, "Instructions", "Answer in one sentence.")
    await page.see("Answer in one sentence.", "main")
    assert (await agent_of(place, "Lena Büro"))["system_prompt"] == "Answer in one sentence."
    await edit(page, "Name", "Lena")
    await page.see("Lena", "h1")
    assert (await agent_of(place, "Lena"))["id"] == made["id"]
    assert page.complaints == []


@pytest.mark.slow
async def test_a_crew_is_made_and_looks_well(place: World, page: Page, axe: str) -> None:
    await enter(page, place, "crews")
    await page.see("Scout", ".view")
    await pictures(page, "crews")
    await judge(page, axe, "crews")
    await page.until(button("New crew"))
    await page.value(f"{button('New crew')}.click()")
    await page.fill("dialog [name=name]", "Product")
    await pictures(page, "new-crew")
    await judge(page, axe, "new crew")
    await page.press("Enter")
    await page.see("Product", "h1")
    await page.see("No agents in this crew", "main")
    await page.value(f"{button('New agent')}.click()")
    await page.until("document.querySelector('dialog [name=llmModel]')?.value")
    await pictures(page, "new-agent")
    await judge(page, axe, "new agent")
    await page.fill("dialog [name=name]", "Scout")
    await page.press("Enter")
    await page.until("location.pathname.includes('/agents/')")
    await page.see("Scout", "h1")
    crew = await place.database.fetchval("SELECT id FROM crews WHERE slug = 'product'")
    assert await place.database.fetchval("SELECT slug FROM agents WHERE crew_id = $1", crew) == "scout-2"
    await page.see("Instructions", "main")
    await pictures(page, "agent")
    await judge(page, axe, "agent")
    assert page.complaints == []


@pytest.mark.slow
async def test_agents_are_found_and_typed_names_lead_to_them(place: World, page: Page, axe: str) -> None:
    await enter(page, place, "crews?q=BUIL")
    await page.see("Builder", ".view")
    assert "Scout" not in await page.text(".view")
    await page.select(".filters input")
    await page.fill(".filters input", "nobody")
    await page.see("No agent fits these filters", "main")
    assert await page.value("location.search") == "?q=nobody"
    await judge(page, axe, "nobody")
    await page.click("main .empty button")
    await page.see("Scout", ".view")
    await page.open(f"{place.url}/console/{place.workspace.slug}/agents/builder/limits")
    await page.see("Builder", "h1")
    await page.see("Longest run", "main")
    assert await page.value("location.pathname.split('/').slice(-2).join('/')") == "builder/limits"
    id = await place.database.fetchval("SELECT id FROM agents WHERE slug = 'builder'")
    await page.open(f"{place.url}/console/{place.workspace.slug}/agents/{id}")
    await page.see("Builder", "h1")
    await page.open(f"{place.url}/console/{place.workspace.slug}/crews/demo")
    await page.see("Demo", "h1")
    await page.open(f"{place.url}/console/{place.workspace.slug}/agents/nobody")
    await page.see("Not found", "main")


@pytest.mark.slow
async def test_a_crew_is_deleted_after_a_question(place: World, page: Page) -> None:
    await enter(page, place, "crews")
    await page.until(button("New crew"))
    await page.value(f"{button('New crew')}.click()")
    await page.fill("dialog [name=name]", "Gone soon")
    await page.press("Enter")
    await page.see("Gone soon", "h1")
    await page.value(f"{button('Delete')}.click()")
    await page.see("Its agents are kept", "dialog[open]")
    await page.value("document.querySelector('dialog[open] button.danger').click()")
    await page.until("location.pathname.endsWith('/crews')")
    await page.see("Gone soon is deleted", ".notices")
    await page.until("![...document.querySelectorAll('.view h2')].some(one => one.innerText === 'Gone soon')")
    assert page.complaints == []


@pytest.mark.slow
async def test_people_and_links_of_a_crew_by_keys_on_a_phone(place: World, page: Page, axe: str) -> None:
    crew = await place.database.fetchval("SELECT id FROM crews ORDER BY created_at LIMIT 1")
    other = await place.rest(place.owner, "POST", "/api/v1/crews", {"name": "Rigging", "slug": "rigging"})
    ada = await place.database.fetchval("SELECT id FROM users WHERE email = $1", EMAIL)
    await page.look(*PHONE)
    await enter(page, place, f"crews/{crew}/people")
    await give(page, "main [name=userId]", ada)
    await tab_to(page, "Add")
    await page.press("Enter")
    await page.see("Ada Lovelace", "main ul[aria-label=People]")
    await give(page, "main [name=toCrewId]", other.json()["id"])
    await press(page, "Add", "main section:nth-of-type(2)")
    await page.see("Rigging", "main ul[aria-label='Linked crews']")
    await page.see("both ask each other", "main")
    await pictures(page, "crew-people")
    await judge(page, axe, "people of a crew")
    await page.look(*PHONE)
    assert await page.value("document.documentElement.scrollWidth <= innerWidth")
    await press(page, "Remove", "main ul[aria-label=People]")
    await page.see("No one is listed yet", "main")
    await page.press("z")
    await page.see("Ada Lovelace", "main ul[aria-label=People]")
    assert await place.database.fetchval("SELECT count(*) FROM crew_members WHERE user_id = $1", ada) == 1
    assert await place.database.fetchval("SELECT count(*) FROM crew_connections") == 1
    assert page.complaints == []
