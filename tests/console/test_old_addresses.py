"""Addresses from before the console lead to the same things in it, through the sign-in if need be."""

from urllib.parse import quote

import pytest

from models.people.preferences import Preference
from models.people.workspaces import Membership, Role
from models.staff.agents import Agent
from models.staff.chats import Chat
from tests.console.deck import EMAIL, page, place
from tests.people.auth.browsers import PASSWORD
from tests.process.browser import CHROMIUM, Page
from tests.world import World, now

__all__ = ["page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.thorough]


async def sign_in(page: Page) -> None:
    await page.fill("#login [name=email]", EMAIL)
    await page.fill("#login [name=password]", PASSWORD)
    await page.press("Enter")


async def chat_in(place: World, workspace: str, **given: str) -> Chat:
    agent = await place.database.fetchval("SELECT id FROM agents WHERE slug = 'scout'")
    user = await place.database.fetchval("SELECT id FROM users WHERE email = $1", EMAIL)
    made = Chat(workspace_id=workspace, agent_id=agent, agent_slug="scout", created_by=user, **given)
    await place.add(made)
    return made


async def leads(page: Page, place: World, old: str, new: str) -> None:
    await page.open("about:blank")
    await page.open(f"{place.url}{old}")
    await page.until(f"location.pathname + location.search === '{new}' && !location.hash")
    await page.until("document.querySelector('main h1')")


async def test_links_to_chats_lead_to_the_same_chats(place: World, page: Page) -> None:
    here = f"/console/{place.workspace.slug}"
    mine = await chat_in(place, place.workspace.id, title="Hay")
    old = f"/#agent=scout&chat={mine.id}"
    await page.open(f"{place.url}{old}")
    await page.until("location.pathname === '/login'")
    asked = quote(f"/console/#agent=scout&chat={mine.id}", safe="")
    assert await page.value("location.search") == f"?callbackUrl={asked}"
    await sign_in(page)
    await page.until(f"location.pathname === '{here}/chat/{mine.id}'")
    await page.see("Hay", "h1")
    for old, new in (
        (f"/#agent=scout&chat={mine.id}", f"/chat/{mine.id}"),
        (f"/?chat={mine.id}", f"/chat/{mine.id}"),
        ("/#agent=builder", "/chat?agent=builder"),
        ("/", ""),
    ):
        await leads(page, place, old, here + new)
    assert page.complaints == []


@pytest.mark.slow
async def test_the_workspace_is_that_of_the_chat_or_the_chosen_one(place: World, page: Page) -> None:
    user = await place.database.fetchval("SELECT id FROM users WHERE email = $1", EMAIL)
    await place.add(Membership(workspace_id=place.other.id, user_id=user, role=Role.OWNER, accepted_at=now()))
    elsewhere = Agent(workspace_id=place.other.id, name="Far", slug="far")
    far = Chat(workspace_id=place.other.id, agent_id=elsewhere.id, agent_slug="far", title="Far away", created_by=user)
    await place.add(elsewhere, far)
    await page.open(f"{place.url}/login?callbackUrl=/console/{place.workspace.slug}")
    await sign_in(page)
    await page.until(f"location.pathname === '/console/{place.workspace.slug}'")
    await page.see("Now", "main")
    there = f"/console/{place.other.slug}"
    await leads(page, place, f"/?chat={far.id}", f"{there}/chat/{far.id}")
    await page.see("Far away", "h1")
    await leads(page, place, "/", there)  # the one that was open last
    await place.add(Preference(user_id=user, key="pages.workspace", value=place.workspace.id))
    await leads(page, place, "/", f"/console/{place.workspace.slug}")
    assert page.complaints == []
