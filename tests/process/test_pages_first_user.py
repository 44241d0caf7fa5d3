"""The page at `/` of a server that nobody has used yet."""

from pathlib import Path
from typing import Any

import pytest

from resolvers.instance.running import instance
from tests.process.browser import CHROMIUM, browsing
from tests.process.looks import axe, judge
from tests.process.players import playing
from tests.world import world_on

__all__ = ["axe"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


FLASHES = """(function look() {
  if (location.pathname !== '/') return;
  sessionStorage.looked = 'yes';
  if (document.querySelector('.cards')?.offsetParent) sessionStorage.flashed = 'yes';
  requestAnimationFrame(look);
})()"""


async def test_from_the_link_to_the_first_answer_and_out(database: Any, tmp_path: Path, axe: str) -> None:
    async with (
        world_on(database, tmp_path / "data", role="api") as fresh,
        playing(fresh),
        browsing(tmp_path / "profile") as page,
    ):
        await fresh.database.execute("TRUNCATE users, workspaces CASCADE")
        await page.command("Page.addScriptToEvaluateOnNewDocument", source=FLASHES)
        await page.open(f"{fresh.url}/#setup_token={instance.bootstrap_token}")
        await page.fill("#user [name=fullName]", "Grace Hopper")
        assert await page.value("location.pathname") == "/welcome"
        assert await page.value("sessionStorage.looked") == "yes"
        assert await page.value("sessionStorage.flashed") is None, "what is for developers was shown to a newcomer"
        await page.fill("#user [name=email]", "grace@example.com")
        await page.fill("#user [name=password]", "short")
        await page.press("Enter")
        await page.see("Password must be at least 8 characters", "#user .fault")
        assert await page.value("document.activeElement.name") == "password"
        await judge(page, axe, "welcome user")
        await page.fill("#user [name=password]", " but longer")
        await page.press("Enter")
        await page.see("crewship_cli_", "#token-value")
        assert await page.value("location.hash") == ""
        await judge(page, axe, "welcome token")
        await page.click("#token-kept")
        await page.until("document.querySelector('[name=workspaceName]').value")
        assert await page.value("document.activeElement.id") == "workspace-title"
        await judge(page, axe, "welcome workspace")
        await page.value("document.querySelector('[name=workspaceName]').value = ''")
        await page.fill("[name=workspaceName]", "Flow-Matic")
        await page.press("Enter")
        await page.fill("[name=agentName]", "Scout")
        await page.click("[name=llmProvider][value=ANTHROPIC]")
        await page.fill("[name=credentialValue]", "sk-ant-api03-of-the-wrong-kind")
        await page.press("Enter")
        await page.see("This is an API key of Anthropic", "#agent .fault")
        assert await page.value("document.activeElement.name") == "credentialValue"
        await judge(page, axe, "welcome agent")
        await page.click("[name=llmProvider][value='']")
        await page.value("document.querySelector('[name=agentName]').focus()")
        await page.press("Enter")
        await page.until("document.querySelector('#chat-title')?.innerText === 'Scout'")
        assert await page.text("#account-name") == "Grace Hopper"
        assert await fresh.database.fetchval("SELECT name FROM workspaces") == "Flow-Matic"
        await page.fill("#message", "hello")
        await page.press("Enter")
        await page.until("document.querySelectorAll('#turns > li[data-state=done]').length === 2")
        assert await page.value("[...document.querySelectorAll('#turns .parts')].map(said => said.innerText)") == [
            "hello",
            "hello",
        ]
        await page.open(f"{fresh.url}/welcome")  # which is done
        await page.until("location.pathname === '/'")
        await page.click("#sign-out")
        await page.see("Sign in", "#login")
        assert page.complaints == []


@pytest.mark.slow
async def test_who_has_just_signed_up_may_leave_the_setting_up(database: Any, tmp_path: Path) -> None:
    async with (
        world_on(database, tmp_path / "data", role="api", allow_signup=True) as fresh,
        browsing(tmp_path / "profile") as page,
    ):
        await page.open(fresh.url)
        await page.click("#offer-account button")
        await page.fill("#account [name=fullName]", "Grace Hopper")
        await page.fill("#account [name=email]", fresh.owner.email)
        await page.fill("#account [name=password]", "correct horse")
        await page.press("Enter")
        await page.see("An account with this email already exists", "#account form")
        await page.value("document.querySelector('#account [name=email]').value = ''")
        await page.fill("#account [name=email]", "grace@example.com")
        await page.press("Enter")
        await page.fill("[name=workspaceName]", " of Grace")
        await page.press("Enter")
        await page.click("#skip")
        await page.see("No agents work here yet")
        assert await page.value("location.pathname") == "/"
        assert page.complaints == []
