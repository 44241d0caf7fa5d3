"""A first day in the browser alone: from the first start to what it has cost, without one reload of the page."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.commands import Served, environment, serving

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
READ = {"tool": {"name": "read_file", "input": {"path": "notes.md"}, "result": "Buy hay"}}
ANSWER = json.dumps({"script": [READ, {"text": "The note says: buy hay."}]})
PAID: dict[str, Any] = {
    "call": {"model": "m-1", "provider": "any", "input_tokens": 900, "output_tokens": 90, "cost_usd": 0.2}
}
COSTLY = json.dumps({"script": [PAID, {"text": "Half way."}, PAID, {"text": "Never said."}]})


@contextlib.asynccontextmanager
async def new_instance(directory: Path) -> AsyncIterator[Served]:
    """A server that nobody has used: its agents do what their messages say."""
    variables = environment(directory / "data", CREWSHIP_RUN_ADAPTER="scripted", CREWSHIP_RATELIMIT_DISABLED="true")
    with contextlib.ExitStack() as stack:
        served = await asyncio.to_thread(lambda: stack.enter_context(serving(env=variables)))
        try:
            yield served
        finally:
            await asyncio.to_thread(stack.close)


def first_link(served: Served) -> str:
    assert served.process.stdout is not None
    found = re.search(r"http\S+#setup_token=\S+", served.said + served.logged() + served.process.stdout.readline())
    assert found is not None, served.logged()
    return found[0]


def named(text: str, within: str) -> str:
    found = f"[...document.querySelectorAll('{within} :is(button, a, summary)')]"
    return f"{found}.find(one => one.innerText.trim() === {json.dumps(text)})"


class Day:
    """A person with a mouse and a keyboard, on one page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def press(self, text: str, within: str = "main") -> None:
        await self.page.until(f"(found => found && !found.disabled && found.offsetParent)({named(text, within)})")
        await self.page.value(f"{named(text, within)}.click()")

    async def choose(self, selector: str, text: str) -> None:
        options = f"[...document.querySelector('{selector}')?.options ?? []]"
        option = f"{options}.find(one => one.text.startsWith({json.dumps(text)}))"
        await self.page.until(option)
        await self.page.value(
            f"(choice => {{ choice.value = {option}.value;"
            " choice.dispatchEvent(new Event('change', {bubbles: true})) })"
            f"(document.querySelector('{selector}'))"
        )

    async def go(self, screen: str) -> None:
        """By the navigation."""
        await self.press(screen, "nav")
        await self.page.see(screen, "nav [aria-current=page]")

    async def say(self, message: str) -> None:
        await self.page.fill("form textarea", message)
        await self.page.press("Enter")


async def test_from_the_first_start_to_the_cost(tmp_path: Path) -> None:
    async with new_instance(tmp_path) as served, browsing(tmp_path / "profile") as page:
        await become_the_first_user(page, served)
        await page.value("window.sameDay = true")
        day = Day(page)
        await give_a_key(day)
        await found_a_crew(day)
        await talk(day)
        await give_an_issue(day)
        await send_on_a_mission(day)
        await spend(day)
        assert await page.value("window.sameDay"), "the page was loaded again"
        assert page.complaints == []


async def become_the_first_user(page: Page, served: Served) -> None:
    link = first_link(served)
    await page.look()
    await page.open(link)
    await page.fill("#user [name=fullName]", "Ada Lovelace")
    await page.fill("#user [name=email]", "ada@example.com")
    await page.fill("#user [name=password]", "a long password")
    await page.press("Enter")
    await page.see("crewship_cli_", "#token-value")
    await page.open(f"{link.split('/#')[0]}/console")
    await page.see("Begin with a crew", "main")


async def give_a_key(day: Day) -> None:
    await day.go("Resources")
    await day.press("Create credential")
    await day.page.fill("dialog [name=name]", "Key of a vendor")
    await day.page.fill("dialog [name=value]", "sk-of-a-vendor")
    await day.press("Create", "dialog")
    await day.page.see("Key of a vendor", "h1")


async def found_a_crew(day: Day) -> None:
    await day.go("Crews")
    await day.press("New crew")
    await day.page.fill("dialog [name=name]", "Stable")
    await day.page.press("Enter")
    await day.page.see("Stable", "h1")
    await day.press("New agent")
    await day.page.until("document.querySelector('dialog [name=llmModel]')?.value")
    await day.page.fill("dialog [name=name]", "Scout")
    await day.page.press("Enter")
    await day.page.see("Scout", "h1")


async def talk(day: Day) -> None:
    """A call of a tool, and the answer."""
    await begin_a_chat(day, ANSWER)
    await day.page.see("The note says: buy hay.", "[role=log]")
    await day.page.see("read_file", "[role=log]")


async def begin_a_chat(day: Day, message: str) -> None:
    await day.go("Chat")
    await day.page.see("Talk with an agent", "main")
    await day.page.click("main a[href$='agent=scout']")
    await day.page.until("document.activeElement === document.querySelector('form textarea')")
    await day.page.fill("form textarea", message)
    await day.page.press("Enter")


async def give_an_issue(day: Day) -> None:
    """Created from anywhere, given to the agent, who works on it until it can be reviewed."""
    await day.page.value("document.activeElement.blur()")
    await day.page.press("c")
    await day.page.until("document.querySelector('dialog [name=title]')")
    await day.page.fill("dialog [name=title]", "Fill the manger")
    await day.choose("dialog [name=assigneeId]", "Scout")
    await day.press("Create", "dialog")
    await day.page.see("Fill the manger", "h1")
    await day.press("Start work", "header")
    await day.page.see("In review", "header")
    await day.go("Now")
    await day.press("Accept")
    await day.page.see("Nothing needs you", "main")


async def send_on_a_mission(day: Day) -> None:
    """Planned, started, and done."""
    await day.go("Missions")
    await day.press("New mission")
    await day.page.fill("dialog [name=title]", "Ride to the coast")
    await day.press("Create", "dialog")
    await day.page.see("Ride to the coast", "h1")
    await day.press("Add a task")
    await day.page.fill("dialog [name=title]", "Saddle the horse")
    await day.choose("dialog [name=assignedAgentId]", "Scout")
    await day.press("Add", "dialog")
    await day.page.see("Saddle the horse", ".sheet")
    await day.press("Start", "header")
    await day.page.see("done", ".sheet")


async def spend(day: Day) -> None:
    """A budget stops the run that would exceed it; its trace, and what it has cost."""
    await day.go("Costs")
    await day.press("Budgets")
    await day.press("Create a budget")
    await day.page.fill("dialog [name=amountUsd]", "0.3")
    await day.press("Create", "dialog")
    await day.page.see("$0.30", "main")
    await begin_a_chat(day, COSTLY)
    await day.page.see("budget", "[role=log]")
    await day.go("Runs")
    await day.page.see("failed", ".view")
    await day.page.click(".view a")
    await day.page.see("m-1", ".trace")
    await day.go("Costs")
    await day.page.see("$0.20", "main")
