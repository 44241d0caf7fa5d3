"""Controls are large enough for a finger, on a large and a small screen."""

import pytest

from tests.console.deck import PHONE, enter, page, place
from tests.process.browser import CHROMIUM, Page
from tests.world import World

__all__ = ["page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.slow]

SMALL = """[...document.querySelectorAll('a, button, input, select, textarea, summary')].filter(element => {
  const target = /checkbox|radio|file/.test(element.type) ? (element.closest('label') ?? element) : element;
  const { width, height } = target.getBoundingClientRect();
  const inText = getComputedStyle(element).display === 'inline' && element.closest('p, li, small');
  const unseen = target.matches('.unseen, .skip') || target.tabIndex < 0;
  return element.checkVisibility() && !inText && !unseen && Math.min(width, height) < 24;
}).map(element => element.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("path", ["", "chat", "chat?agent=scout", "account", "account/sign-in", "account/tokens"])
async def test_targets_are_large_enough(place: World, page: Page, path: str) -> None:
    await enter(page, place, path)
    await page.until("document.querySelector('main h1') && !document.querySelector('main .skeleton')")
    if "agent=" in path:
        await page.see("Look at the system", "main")
    for size in ((1280, 800), PHONE):
        await page.look(*size)
        assert await page.value(SMALL) == [], size
        assert await page.value("document.documentElement.scrollWidth <= innerWidth")
