"""Each screen shows a team's work. `make pictures` keeps what the README shows, with every=1 all screens."""

import os
from pathlib import Path

import pytest

from tests.console.deck import PHONE, enter, page, place
from tests.console.showcase import team
from tests.process.browser import CHROMIUM, Page
from tests.world import World

__all__ = ["page", "place", "team"]
pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
FOLDER, EVERY = os.environ.get("PICTURES"), os.environ.get("PICTURES_OF_EVERY")
README = ("now", "chat", "issues", "mission", "run")
SCREENS = {
    "now": ("", "Which branch do I release?"),
    "chats": ("chat", "The nightly import"),
    "chat": ("chat/{chat}", "Shall I write to the supplier?"),
    "crews": ("crews", "Support"),
    "crew": ("crews/{Product}", "Linus"),
    "crew-settings": ("crews/{Product}/settings", "Product"),
    "agent": ("agents/{Linus}", "Backend"),
    "agent-limits": ("agents/{Linus}/limits", "Linus"),
    "issues": ("issues", "Retry webhooks after a timeout"),
    "issue-list": ("issues?view=list", "Retry webhooks after a timeout"),
    "issue": ("issues/PRO-5", "Retry webhooks after a timeout"),
    "projects": ("issues/projects", "Shop 2.0"),
    "issue-settings": ("issues/settings", "performance"),
    "missions": ("missions", "Write the release notes of 2.0"),
    "mission": ("missions/{mission}", "Check every link"),
    "runs": ("runs", "Linus"),
    "run": ("runs/{run}", "read_file"),
    "costs": ("costs", "Linus"),
    "budgets": ("costs/budgets", "Support"),
    "calls": ("costs/calls", "gpt-5.1"),
    "credentials": ("resources/credentials", "GitHub"),
    "skills": ("resources/skills", "Skills"),
    "integrations": ("resources/integrations", "Resources"),
    "webhooks": ("resources/webhooks", "Webhooks"),
    "channels": ("resources/channels", "Resources"),
    "connectors": ("resources/connectors", "Connectors"),
    "templates": ("resources/templates", "Templates"),
    "members": ("settings", "Ada"),
    "invitations": ("settings/invitations", "Invitations"),
    "services": ("settings/services", "Settings"),
    "workspace": ("settings/workspace", "Northwind"),
    "flags": ("settings/flags", "Settings"),
    "privacy": ("settings/privacy", "Choose a person"),
    "audit": ("settings/audit", "Settings"),
    "journal": ("settings/journal", "Settings"),
    "system": ("settings/system", "System"),
    "account": ("account", "Profile"),
    "sign-in": ("account/sign-in", "Sign"),
    "tokens": ("account/tokens", "Tokens"),
}
"""Path and a text of its rows."""
HEIGHT = 800
SIDEWAYS = """[...document.querySelectorAll('main .scrolls, main .view')]
    .filter(one => one.scrollWidth > one.clientWidth).map(one => one.outerHTML.slice(0, 120))"""
"""What moves up and down, and sideways too on a phone: a part of it is cut."""


async def test_each_screen_shows_the_teams_work(place: World, team: dict[str, str], page: Page) -> None:
    await enter(page, place)
    for name, (path, text) in SCREENS.items():
        await page.look(1280, HEIGHT)
        await page.open(f"{place.url}/console/{place.workspace.slug}/{path.format(**team)}")
        await page.see(text, "main")
        await page.until("!document.querySelector('main .skeleton')")
        assert await page.value("document.documentElement.scrollWidth <= innerWidth"), name
        await keep(page, name)
        await page.look(*PHONE)
        wide = (
            "[...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1)"
        )
        assert await page.value("document.documentElement.scrollWidth <= innerWidth"), await page.value(
            f"{wide}.map(one => one.outerHTML.slice(0, 120))"
        )
        assert await page.value(SIDEWAYS) == [], name
    assert page.complaints == []


async def keep(page: Page, name: str) -> None:
    if FOLDER is None or not (EVERY or name in README):
        return
    Path(FOLDER).mkdir(parents=True, exist_ok=True)
    for dark in (False, True):
        scheme = "dark" if dark else "light"
        await page.screenshot(Path(FOLDER) / f"{name}-{scheme}.png", 1280, HEIGHT, dark=dark)
        if EVERY:
            await page.screenshot(Path(FOLDER) / f"{name}-{scheme}-phone.png", *PHONE, dark=dark)
