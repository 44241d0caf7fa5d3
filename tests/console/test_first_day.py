"""A first day in the browser alone: from the first start to what it has cost, without one reload of the page."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.console.deck import choose, press
from tests.console.vendor import at_its_own_address
from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.commands import Served, environment, serving
from tests.runtime.adapters.vendors import Call, Says

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]
KEY = "sk-ant-api03-of-a-first-day"
MODEL = "claude-haiku-4-5"
HALF = 200_000  # tokens that cost two thirds of the budget


def answer(asked: dict[str, Any]) -> Says:
    """What the model says: it writes a note where it is asked to, and then reads it for a lot of money."""
    asks, results = json.dumps(asked["messages"][0]), json.dumps(asked["messages"][-1]["content"])
    if "Write a note" in asks:
        if "tool_result" in results:
            return Says(("The note says: ", "buy hay."))
        return Says(calls=(Call.of("w1", "write_file", path="notes.md", content="Buy hay"),))
    if "Read everything" in asks:
        reads = Call.of(f"r{len(results)}", "read_file", path="notes.md")
        return Says(("Half way.",), calls=(reads,), usage=(HALF, 90, 0))
    return Says(("It is done.",))


@contextlib.asynccontextmanager
async def new_instance(directory: Path, **variables: str) -> AsyncIterator[Served]:
    """A server that nobody has used."""
    given = environment(directory / "data", CREWSHIP_RUN_ADAPTER="native", CREWSHIP_RATELIMIT_DISABLED="true")
    with contextlib.ExitStack() as stack:
        served = await asyncio.to_thread(lambda: stack.enter_context(serving(env=given | variables)))
        try:
            yield served
        finally:
            await asyncio.to_thread(stack.close)


def first_link(served: Served) -> str:
    assert served.process.stdout is not None
    found = re.search(r"http\S+#setup_token=\S+", served.said + served.logged() + served.process.stdout.readline())
    assert found is not None, served.logged()
    return found[0]


class Day:
    """A person with a mouse and a keyboard, on one page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def press(self, text: str, within: str = "main") -> None:
        await press(self.page, text, within)

    async def choose(self, selector: str, text: str) -> None:
        await choose(self.page, selector, text)

    async def go(self, screen: str) -> None:
        """By the navigation."""
        await self.press(screen, "nav")
        await self.page.see(screen, "nav [aria-current=page]")


async def test_from_the_first_start_to_the_cost(tmp_path: Path) -> None:
    async with (
        at_its_own_address(tmp_path) as (vendor, variables),
        new_instance(tmp_path, **variables) as served,
        browsing(tmp_path / "profile") as page,
    ):
        vendor.knows, vendor.plays = {KEY}, answer
        await become_the_first_user(page, served)
        await page.value("window.sameDay = true")
        day = Day(page)
        await create_a_key(day)
        await found_a_crew(day)
        await give_the_key(day)
        await ask_before_files_are_written(day)
        await talk(day)
        await give_an_issue(day)
        await send_on_a_mission(day)
        await spend(day)
        assert await page.value("window.sameDay"), "the page was loaded again"
        assert page.complaints == []
        results = [part for asked in vendor.asked for one in asked["messages"] for part in one["content"]]
        assert any(part["type"] == "tool_result" and "notes.md" in str(part["content"]) for part in results)
        assert all(asked["stream"] and asked["model"] == MODEL for asked in vendor.asked)


async def become_the_first_user(page: Page, served: Served) -> None:
    link = first_link(served)
    await page.look()
    await page.open(link)
    await page.fill("[name=fullName]", "Ada Lovelace")
    await page.fill("[name=email]", "ada@example.com")
    await page.fill("[name=password]", "a long password")
    await page.press("Enter")
    await page.see("crewship_cli_", "main code")
    await page.open(f"{link.split('/#')[0]}/")
    await page.see("Begin with a crew", "main")


async def create_a_key(day: Day) -> None:
    await day.go("Resources")
    await day.press("Create credential")
    await day.page.fill("dialog [name=name]", "Key of a vendor")
    await day.page.fill("dialog [name=provider]", "ANTHROPIC")
    await day.page.fill("dialog [name=value]", KEY)
    await day.press("Create", "dialog")
    await day.page.see("Key of a vendor", "h1")


async def found_a_crew(day: Day) -> None:
    """And its agent, whose model is one of the key's."""
    await day.go("Crews")
    await day.press("New crew")
    await day.page.fill("dialog [name=name]", "Stable")
    await day.page.press("Enter")
    await day.page.see("Stable", "h1")
    await day.press("New agent")
    await day.page.until("document.querySelector('dialog [name=llmModel]')?.value.startsWith('ANTHROPIC/')")
    await day.choose("dialog [name=llmModel]", "Claude Haiku 4.5")
    await day.page.fill("dialog [name=name]", "Scout")
    await day.page.press("Enter")
    await day.page.see("Scout", "h1")


async def give_the_key(day: Day) -> None:
    await day.go("Resources")
    await day.page.see("Key of a vendor", "main")
    await day.page.click("main a[href*='/resources/credentials/']")
    await day.page.see("Key of a vendor", "h1")
    await day.press("Give to an agent")
    await day.choose("dialog [name=agentId]", "Scout")
    await day.press("Give to an agent", "dialog form")
    await day.page.see("ANTHROPIC_API_KEY", "main")


async def ask_before_files_are_written(day: Day) -> None:
    await day.go("Settings")
    await day.press("Workspace")
    await day.press("Add a rule")
    await day.page.fill("dialog [name=pattern]", "write_file")
    await day.press("Create", "dialog")
    await day.page.see("write_file", "[aria-label=Approvals]")


async def talk(day: Day) -> None:
    """A call of a tool, which waits for a person, and the answer."""
    await begin_a_chat(day, "Write a note")
    await day.page.see("Buy hay", "[data-status=pending]")
    await day.press("Approve", "[role=log]")
    await day.page.see("The note says: buy hay.", "[role=log]")
    await day.page.see("write_file", "[role=log]")


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
    await begin_a_chat(day, "Read everything")
    await day.page.see("budget", "[role=log]")
    await day.go("Runs")
    await day.page.see("failed", ".view")
    await day.page.click(".view a")
    await day.page.see(MODEL, ".trace")
    await day.go("Costs")
    await day.page.see("$0.20", "main")
