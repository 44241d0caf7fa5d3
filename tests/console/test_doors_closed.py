"""The pages before the sign-in in a service with narrow limits, which runs known documents alone."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.console.deck import EMAIL, manned
from tests.people.auth.browsers import PASSWORD
from tests.process.browser import CHROMIUM, Page, browsing
from tests.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


@pytest.fixture
async def closed(database: Any, tmp_path: Path) -> AsyncIterator[World]:
    chosen = {"ratelimit_disabled": False, "ratelimit_auth": 5, "ratelimit_api": 1000}
    async with manned(database, tmp_path / "data", trusted_documents_only=True, **chosen) as world:
        yield world


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    async with browsing(tmp_path / "profile") as made:
        yield made


async def test_too_many_attempts_are_said_to_be_too_many(closed: World, page: Page) -> None:
    refused = await closed.client().post("/api/auth/graphql", json={"query": "{ setupStatus { allowSignup } }"})
    assert refused.status_code == 403
    await page.open(f"{closed.url}/login")
    await page.fill("#login [name=email]", EMAIL)
    await page.fill("#login [name=password]", "wrong")
    for _ in range(2):
        await page.press("Enter")
        await page.see("Email or password is wrong.", "#login [role=alert]")
        await page.until("document.querySelector('#login form').ariaBusy === 'false'")
    await page.press("Enter")
    await page.see("Too many attempts. Wait a minute, then try again.", "#login [role=alert]")


async def test_somebody_signs_in_by_known_documents(closed: World, page: Page) -> None:
    await page.open(f"{closed.url}/login?callbackUrl=/console")
    await page.fill("#login [name=email]", EMAIL)
    await page.fill("#login [name=password]", PASSWORD)
    await page.press("Enter")
    await page.until("document.querySelector('main h1') && location.pathname.startsWith('/console/')")
    assert page.complaints == []
