"""The first day of an instance, by browser alone: from the first start to a second user, who comes by a provider."""

import asyncio
import contextlib
import json
import os
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.npm import NODE, NPM
from tests.people.recovery.mailbox import LINK, Mailbox, listening, text_of
from tests.people.sign_in_providers.node_provider import CLIENT, SECRET, installed, line_of, running
from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.commands import Served, environment, serving
from tests.process.looks import LARGE, SMALL, axe, judge

__all__ = ["axe", "installed"]
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or NODE is None or NPM is None, reason="needs Chromium, node and npm"),
]
PICTURES = os.environ.get("SCREENSHOTS")
"""A folder for a picture of each step, in light and dark, on a large and a small screen."""
CALLBACK = "/api/v1/auth/oidc/harbour/callback"
GUEST = "nemo@corp.example"
STOPS = 60  # most presses of a key from one thing to another
DONE = "document.querySelectorAll('[role=log] > ol > li[data-state=done]').length === {}"


class Walk:
    """By the keyboard alone. What is seen on the way is judged; the steps are counted."""

    def __init__(self, page: Page, axe: str) -> None:
        self.page, self.axe, self.steps = page, axe, 0

    async def see(self, name: str) -> None:
        self.steps += 1
        await judge(self.page, self.axe, name)
        if PICTURES is None:
            return
        for dark in (False, True):
            for width in (LARGE, SMALL):
                file = f"{self.steps:02} {name} {'dark' if dark else 'light'} {width}.png"
                await self.page.look(width, dark=dark)
                height = await self.page.value("Math.max(800, document.documentElement.scrollHeight)")
                await self.page.screenshot(Path(PICTURES) / file, width, height, dark=dark)
        await self.page.look()

    async def reach(self, selector: str) -> None:
        await self.page.until(f"document.querySelector({json.dumps(selector)})?.offsetParent")
        for _ in range(STOPS):
            if await self.page.value(f"document.activeElement.matches({json.dumps(selector)})"):
                return
            await self.page.press("Tab")
        raise AssertionError(f"the Tab key does not lead to {selector}")

    async def press(self, selector: str, key: str = "Enter") -> None:
        await self.reach(selector)
        await self.page.press(key)

    async def type(self, selector: str, text: str) -> None:
        """Instead of what stands there."""
        await self.reach(selector)
        await self.page.value("document.activeElement.select()")
        await self.page.command("Input.insertText", text=text)

    async def say(self, text: str, turns: int) -> None:
        await self.type("form textarea", text)
        await self.page.press("Enter")
        await self.page.until(DONE.format(turns))

    async def choose(self, selector: str, value: str) -> None:
        """Of a list, or of the buttons of a group."""
        await self.reach(selector)
        for _ in range(STOPS):
            if await self.page.value("document.activeElement.value") == value:
                return
            await self.page.press("ArrowDown")
        raise AssertionError(f"no key leads to {value}")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.asynccontextmanager
async def new_instance(directory: Path, installed: Path, mailbox: Mailbox) -> AsyncIterator[tuple[str, Served]]:
    """Its address: a server that nobody has used, which mails, and lets people sign in with a provider of others."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    (directory / "node").mkdir()
    async with (
        listening(mailbox) as mail,
        running(directory / "node", installed, ("client_secret_basic", "RS256", "true")) as provider,
    ):
        issuer = await line_of(provider)
        listed = {"id": "harbour", "name": "Harbour", "issuer": issuer, "client_id": CLIENT, "client_secret": SECRET}
        listed |= {"scopes": ["openid", "email", "profile"], "signup": True}
        variables = environment(
            directory / "data",
            CREWSHIP_PORT=str(port),
            CREWSHIP_PUBLIC_URL=url,
            CREWSHIP_SMTP_URL=f"smtp://127.0.0.1:{mail}",
            CREWSHIP_MAIL_FROM="Crewship <no-reply@example.com>",
            CREWSHIP_SIGN_IN_PROVIDERS=json.dumps([listed]),
            CREWSHIP_RUN_ADAPTER="scripted",
            CREWSHIP_RATELIMIT_DISABLED="true",
        )
        assert provider.stdin is not None
        provider.stdin.write(f"{url}{CALLBACK}\n".encode())
        await provider.stdin.drain()
        assert await line_of(provider) == "ready"
        with contextlib.ExitStack() as stack:
            served = await asyncio.to_thread(lambda: stack.enter_context(serving(env=variables)))
            try:
                yield url, served
            finally:
                await asyncio.to_thread(stack.close)


def first_link(served: Served) -> str:
    assert served.process.stdout is not None
    found = re.search(r"http\S+#setup_token=\S+", served.said + served.logged() + served.process.stdout.readline())
    assert found is not None, served.logged()
    return found[0]


async def set_up(walk: Walk, link: str) -> None:
    """From the link of the first start to a crew of a template, and the first answer of its lead."""
    page = walk.page
    await page.open(link)
    await walk.type("[name=fullName]", "Grace Hopper")
    assert await page.value("location.pathname") == "/welcome"
    await walk.see("first user")
    await walk.type("[name=email]", "grace@example.com")
    await walk.type("[name=password]", "a long password")
    await page.press("Enter")
    await page.see("crewship_cli_", "main code")
    await walk.see("first token")
    await walk.press("main .primary")
    await page.until("document.querySelector('[name=workspaceName]')?.value")
    await walk.type("[name=workspaceName]", "Flow-Matic")
    await walk.see("workspace")
    await page.press("Enter")
    await page.until("document.querySelector('[name=crewTemplateSlug]')")
    assert await page.value("document.querySelector('[name=agentName]') !== null")
    await walk.see("one agent")
    await walk.choose("[name=crewTemplateSlug]", "software-development")
    await page.see("Tech Lead, Backend Dev", "main [role=status]")
    assert await page.value("document.querySelector('[name=agentName]') === null")
    assert await page.value("document.querySelector('[name=crewName]').value") == "Software Development"
    await walk.choose("[name=llmProvider]", "ANTHROPIC")
    await walk.type("[name=credentialValue]", "sk-ant-oat01-of-grace")
    await walk.see("crew of a template")
    await page.press("Enter")
    await page.see("Tech Lead", "h1")
    await walk.say("hello", 2)
    await walk.see("first answer")


async def invite(walk: Walk, url: str, mailbox: Mailbox) -> str:
    """The link in the mail that arrived."""
    page = walk.page
    await walk.press("nav ul a[href$='/settings']")
    await page.see("Grace Hopper", "main")
    await walk.press("main a[href$='/settings/invitations']")
    await page.see("No invitation is open", "main")
    await walk.press("main header .primary")
    await walk.type("dialog [name=email]", "grace@example.com")
    await page.press("Enter")
    await page.see("This email belongs to a member", "dialog .fault")
    await walk.see("of a member")
    await walk.type("dialog [name=email]", GUEST)
    await page.press("Enter")
    await page.see(GUEST, "dialog h2")
    await walk.see("invited")
    shown = await page.text("dialog code")
    assert shown.startswith(f"{url}/invitation?token=")
    mail = await mailbox.arrived(GUEST)
    assert mail["subject"] == f'Invitation to the workspace "Flow-Matic" on {url.partition("://")[2]}'
    (link,) = [found for found in LINK.findall(text_of(mail)) if "token=" in found]
    assert link == shown
    return link


async def join(walk: Walk, link: str) -> None:
    """By a provider, as a newcomer, into the workspace; and the first message there."""
    page = walk.page
    await walk.press("#join ul a")
    await page.until("document.querySelector('[name=login]')")
    assert await page.value(f"location.origin !== '{link.split('/invitation')[0]}'")
    await walk.type("[name=login]", "nemo")
    await walk.type("[name=password]", "any")
    await page.press("Enter")
    await page.until("document.querySelector('[name=prompt][value=consent]')")
    await walk.press("[type=submit]")
    await page.see("Welcome to Flow-Matic", "#joined")
    await page.see("member", "#joined")
    await walk.see("joined by a provider")
    await walk.press("#joined a")
    await page.see("Captain nemo", "nav")
    await walk.press("nav ul a[href$='/chat']")
    await walk.press("main a[href*='agent=']")
    await walk.say("ahoy", 2)
    await walk.see("second user")


async def test_from_the_first_start_to_a_second_user(tmp_path: Path, axe: str, installed: Path) -> None:
    mailbox = Mailbox()
    async with new_instance(tmp_path, installed, mailbox) as (url, served):
        async with browsing(tmp_path / "profile of Grace") as page:
            walk = Walk(page, axe)
            await set_up(walk, first_link(served))
            link = await invite(walk, url, mailbox)
            assert page.complaints == []
        async with browsing(tmp_path / "profile of Nemo") as page:
            other = Walk(page, axe)
            other.steps = walk.steps
            await page.open(link)
            await page.see("You are invited", "#join")
            await other.see("invitation")
            await join(other, link)
            assert [said for said in page.complaints if url in said] == []
