"""The first start of a server in the console: from the printed link to the first answer."""

from pathlib import Path
from typing import Any

import pytest

from resolvers.instance.running import instance
from tests.console.deck import PHONE, pictures
from tests.console.test_chat import FIELD, LAST, done
from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.looks import axe, judge
from tests.process.players import playing
from tests.world import World, world_on

__all__ = ["axe"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


FLASHES = """(function look() {
  sessionStorage.looked = 'yes';
  if (document.querySelector('.shell, nav')?.offsetParent) sessionStorage.flashed = 'yes';
  if (location.pathname !== '/welcome') requestAnimationFrame(look);
})()"""


async def become_the_first_user(page: Page, place: World, fragment: str = "") -> None:
    await page.open(f"{place.url}/welcome{fragment}")
    await page.fill("[name=fullName]", "Grace Hopper")
    await page.fill("[name=email]", "grace@example.com")
    await page.fill("[name=password]", "short but longer")
    await page.press("Enter")
    await page.see("crewship_cli_", "main code")


async def test_from_the_link_to_the_first_answer(database: Any, tmp_path: Path, axe: str) -> None:
    async with (
        world_on(database, tmp_path / "data", role="api") as fresh,
        playing(fresh),
        browsing(tmp_path / "profile") as page,
    ):
        await fresh.database.execute("TRUNCATE users, workspaces CASCADE")
        await page.look()
        await page.command("Page.addScriptToEvaluateOnNewDocument", source=FLASHES)
        await page.open(f"{fresh.url}/#setup_token={instance.bootstrap_token}")
        await page.fill("[name=fullName]", "Grace Hopper")
        assert await page.value("location.pathname") == "/welcome"
        assert await page.value("sessionStorage.looked") == "yes"
        assert await page.value("sessionStorage.flashed") is None, "a newcomer saw what is not for newcomers"
        assert [url for url in page.requests if "setup_token" in url.split("#")[0]] == [], "the secret was sent"
        await page.fill("[name=email]", "grace@example.com")
        await page.fill("[name=password]", "short")
        await page.press("Enter")
        await page.see("Password must be at least 8 characters", ".field .fault")
        await page.until("document.activeElement.name === 'password'")
        await pictures(page, "welcome-user")
        await judge(page, axe, "welcome user")
        await page.fill("[name=password]", " but longer")
        await page.press("Enter")
        await page.see("crewship_cli_", "main code")
        assert await page.value("location.hash") == ""
        assert await page.value("document.activeElement.innerText") == "Your first API token"
        await pictures(page, "welcome-token")
        await judge(page, axe, "welcome token")
        await page.click("main .primary")
        await page.until("document.querySelector('[name=workspaceName]')?.value")
        assert "crewship_cli_" not in await page.value("document.documentElement.outerHTML")
        assert await page.value("document.activeElement.innerText") == "Your workspace"
        await pictures(page, "welcome-workspace")
        await judge(page, axe, "welcome workspace")
        await page.select("[name=workspaceName]")
        await page.fill("[name=workspaceName]", "Flow-Matic")
        await page.press("Enter")
        await page.fill("[name=agentName]", "Scout")
        await page.click("[name=llmProvider][value=ANTHROPIC]")
        await page.fill("[name=credentialValue]", "sk-ant-api03-of-the-wrong-kind")
        await page.press("Enter")
        await page.see("This is an API key of Anthropic", ".fault")
        await page.until("document.activeElement.name === 'credentialValue'")
        await pictures(page, "welcome-crew")
        await judge(page, axe, "welcome crew")
        await page.click("[name=llmProvider][value='']")
        await page.value("document.querySelector('[name=agentName]').focus()")
        await page.press("Enter")
        await page.until("location.pathname.endsWith('/chat')")
        await page.see("Scout", "h1")
        await page.see("Grace Hopper", "nav")
        assert await fresh.database.fetchval("SELECT name FROM workspaces") == "Flow-Matic"
        await page.fill(FIELD, "hello")
        await page.press("Enter")
        await done(page)
        assert "hello" in await page.value(f"{LAST}.innerText")
        await page.open(f"{fresh.url}/welcome")  # which is done
        await page.until("location.pathname.startsWith('/console/')")
        assert page.complaints == []


@pytest.mark.slow
async def test_a_person_comes_back_in_the_middle_and_sees_what_was_refused(database: Any, tmp_path: Path) -> None:
    async with (
        world_on(database, tmp_path / "data", role="api") as fresh,
        browsing(tmp_path / "profile") as page,
    ):
        await fresh.database.execute("TRUNCATE users, workspaces CASCADE")
        await page.look(*PHONE)
        await become_the_first_user(page, fresh, f"#setup_token={instance.bootstrap_token}")
        await page.reload()  # the token is gone, the way is not
        await page.until("document.querySelector('[name=workspaceName]')?.value")
        await page.select("[name=workspaceName]")
        await page.fill("[name=workspaceName]", "x" * 300)
        await page.press("Enter")
        await page.fill("[name=agentName]", "Scout")
        await page.press("Enter")
        await page.until("document.querySelector('[name=workspaceName][aria-invalid]')")
        await page.until("document.activeElement.name === 'workspaceName'")
        await page.select("[name=workspaceName]")
        await page.fill("[name=workspaceName]", "Flow-Matic")
        await page.press("Enter")
        await page.until("document.querySelector('[name=agentName]').value === 'Scout'")
        await page.reload()
        await page.until("document.querySelector('[name=agentName]')?.value === 'Scout'")
        assert await page.value("document.documentElement.scrollWidth <= innerWidth")
        template = await page.value("document.querySelector('[name=crewTemplateSlug]').options[1].value")
        await page.click("[name=llmProvider][value=OLLAMA]")
        await page.value(
            f"(one => {{ one.value = {template!r}; one.dispatchEvent(new Event('change', {{bubbles: true}})) }})"
            "(document.querySelector('[name=crewTemplateSlug]'))"
        )
        await page.until("!document.querySelector('[name=agentName]')")
        offered = "[...document.querySelectorAll('[name=llmProvider]')].map(one => one.value + one.checked).join()"
        await page.until(f"{offered} === 'true,ANTHROPICfalse'")
        assert await page.value("document.querySelector('[name=crewName]').value") != "First crew"
        buttons = "[...document.querySelectorAll('main button')]"
        await page.value(f"{buttons}.find(one => one.innerText === 'Set up everything myself').click()")
        await page.until("location.pathname.startsWith('/console/')")
        await page.see("Begin with a crew", "main")
        assert await fresh.database.fetchval("SELECT count(*) FROM agents") == 0
        assert page.complaints == []


@pytest.mark.slow
async def test_from_elsewhere_a_wrong_secret_makes_no_user(database: Any, tmp_path: Path) -> None:
    async with (
        world_on(database, tmp_path / "data", role="api") as fresh,
        browsing(tmp_path / "profile") as page,
    ):
        await page.open(f"{fresh.url}/welcome#setup_token={instance.bootstrap_token}")
        await page.until("location.pathname === '/login'")  # somebody uses this server
        assert await page.value("location.search + location.hash") == "?callbackUrl=%2Fwelcome"
        await fresh.database.execute("TRUNCATE users, workspaces CASCADE")
        await page.command("Network.setExtraHTTPHeaders", headers={"x-real-ip": "10.0.0.5"})
        await page.open(f"{fresh.url}/welcome#setup_token=wrong")
        await page.fill("[name=fullName]", "Grace Hopper")
        await page.fill("[name=email]", "grace@example.com")
        await page.fill("[name=password]", "long enough")
        await page.press("Enter")
        await page.see("link", "main form .fault")
        assert await fresh.database.fetchval("SELECT count(*) FROM users") == 0
        assert page.complaints == []


@pytest.mark.slow
async def test_a_server_that_does_not_answer_is_asked_again(database: Any, tmp_path: Path) -> None:
    async with (
        world_on(database, tmp_path / "data", role="api") as fresh,
        browsing(tmp_path / "profile") as page,
    ):
        await fresh.database.execute("TRUNCATE users, workspaces CASCADE")
        await page.command("Network.setBlockedURLs", urls=["*/graphql"])
        await page.open(f"{fresh.url}/welcome")
        await page.see("No connection", "main")
        await page.command("Network.setBlockedURLs", urls=[])
        await page.click("main .failure button")
        await page.see("Create the first user", "h1")


@pytest.mark.slow
async def test_a_person_who_has_just_signed_up_may_leave_the_setting_up(database: Any, tmp_path: Path) -> None:
    async with (
        world_on(database, tmp_path / "data", role="api", allow_signup=True) as fresh,
        browsing(tmp_path / "profile") as page,
    ):
        await page.open(fresh.url)
        await page.click("#offer-account button")
        await page.fill("#account [name=fullName]", "Grace Hopper")
        await page.fill("#account [name=email]", "grace@example.com")
        await page.fill("#account [name=password]", "correct horse")
        await page.press("Enter")
        await page.fill("[name=workspaceName]", " of Grace")
        assert await page.value("location.pathname") == "/welcome"
        await page.press("Enter")
        await page.until("document.querySelector('[name=agentName]')")
        buttons = "[...document.querySelectorAll('main button')]"
        await page.value(f"{buttons}.find(one => one.innerText === 'Set up everything myself').click()")
        await page.until("location.pathname.startsWith('/console/')")
        await page.see("Begin with a crew", "main")
        assert page.complaints == []
