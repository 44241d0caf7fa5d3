"""A service that runs known documents alone: its pages and its console are whole."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from crewship.perimeter.pages import STATIC
from tests.console.deck import enter, manned, page
from tests.process.browser import CHROMIUM, Page
from tests.world import World

pytestmark = pytest.mark.thorough

__all__ = ["page"]
WRITTEN = re.compile(r'["`]\s*(?:query|mutation|subscription) \w+ ?[({]')


def test_no_script_beside_the_console_sends_documents() -> None:
    scripts = {path.name: path.read_text() for path in (STATIC / "assets").glob("*.js")}
    assert len(scripts) > 2
    assert {name for name, text in scripts.items() if WRITTEN.search(text)} == set()


@pytest.fixture
async def closed(database: Any, tmp_path: Path) -> AsyncIterator[World]:
    async with manned(database, tmp_path, trusted_documents_only=True) as world:
        yield world


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
async def test_the_console_needs_no_other_document(closed: World, page: Page) -> None:
    refused = await closed.client(closed.owner).post("/graphql", json={"query": "{ viewer { fullName } }"})
    assert refused.status_code == 403
    await enter(page, closed, "")
    await page.see("Nothing needs you", ".waits")
    screens = await page.value("[...document.querySelectorAll('nav ul a')].map(one => one.getAttribute('href'))")
    assert len(screens) > 3
    for screen in screens:
        await page.click(f"nav ul a[href='{screen}']")
        await page.until(f"location.pathname === '{screen}' && document.querySelector('main h1')")
        await page.until("!document.querySelector('main [aria-busy=true], main .failure')")
    await page.press("k", control=True)
    await page.until("document.activeElement.matches('dialog[open] input')")
    await page.command("Input.insertText", text="scou")
    await page.see("Scout", "dialog[open]")
    assert page.complaints == []
