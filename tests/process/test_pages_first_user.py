"""The page at `/` of a server that nobody has used yet."""

from pathlib import Path
from typing import Any

import pytest

from resolvers.instance.running import instance
from tests.process.browser import CHROMIUM, browsing
from tests.process.players import playing
from tests.world import world_on

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


async def test_from_the_link_to_the_first_answer_and_out(database: Any, tmp_path: Path) -> None:
    async with (
        world_on(database, tmp_path / "data", role="api") as fresh,
        playing(fresh),
        browsing(tmp_path / "profile") as page,
    ):
        await fresh.database.execute("TRUNCATE users, workspaces CASCADE")
        await page.open(f"{fresh.url}/#setup_token={instance.bootstrap_token}")
        await page.fill("#account [name=full_name]", "Grace Hopper")
        await page.fill("#account [name=email]", "grace@example.com")
        await page.fill("#account [name=password]", "correct horse")
        await page.press("Enter")
        await page.see("crewship_cli_", "#token-value")
        assert await page.value("location.hash") == ""
        await page.click("#token-kept")
        await page.see("Nobody works here yet")
        assert await page.text("#account-name") == "Grace Hopper"
        await page.fill("#new-agent [name=name]", "Scout")
        await page.press("Enter")
        await page.until("document.querySelector('#chat-title').innerText === 'Scout'")
        await page.fill("#message", "hello")
        await page.press("Enter")
        await page.until("document.querySelectorAll('#turns > li[data-state=done]').length === 2")
        assert await page.value("[...document.querySelectorAll('#turns .parts')].map(said => said.innerText)") == [
            "hello",
            "hello",
        ]
        await page.click("#sign-out")
        await page.see("Sign in", "#login")
        assert page.complaints == []
