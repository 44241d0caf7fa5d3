"""The page that a decision link leads to, in a real browser."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from models.attention.approvals import Approval, ApprovalKind
from models.oversight.decision_links import DecisionKind, DecisionLink
from models.staff.agents import Agent
from resolvers.instance.crypto import digest
from resolvers.instance.running import instance
from tests.console.deck import PHONE, pictures
from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.looks import axe, judge
from tests.world import World, now

__all__ = ["axe"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.thorough]


@pytest.fixture(scope="module")
async def page(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Page]:
    async with browsing(tmp_path_factory.mktemp("profile")) as made:
        yield made
        assert made.complaints == []


async def link_to(world: World) -> tuple[Approval, str]:
    here = {"workspace_id": world.workspace.id}
    agent = Agent(name="Ada", slug=f"ada-{now().timestamp()}".replace(".", "-"), **here)
    asked = Approval(
        kind=ApprovalKind.destructive_op, reason="The agent wants to call drop_table", tool="drop_table",
        agent_id=agent.id, payload={"tool": "drop_table", "args": {"table": "<img src=x>", "cascade": True}},
        timeout_at=now() + timedelta(hours=1), created_at=now(), **here,
    )  # fmt: skip
    link = DecisionLink(
        channel_id="nch_1", kind=DecisionKind.approval, subject_id=asked.id, source_id=asked.id,
        user_id=world.admin.user_id, token_hash="", expires_at=now() + timedelta(hours=1), **here,
    )  # fmt: skip
    token = instance.signer.decision_token(link.id)
    link.token_hash = digest(token)
    await world.add(agent, asked, link)
    return asked, f"{world.url}/decision#token={token}"


async def status(world: World, asked: Approval) -> tuple[Any, ...]:
    return tuple(await world.database.fetchrow("SELECT status, comment FROM approvals WHERE id = $1", asked.id))


@pytest.mark.slow
async def test_what_is_asked_is_shown_and_decided_once(page: Page, world: World, axe: str) -> None:
    asked, link = await link_to(world)
    await page.open("about:blank")
    await page.open(link)
    await page.see("The agent wants to call drop_table", "#decision-title")
    await page.see("Asked by Ada in", "#asked-by")
    await page.see('"table": "<img src=x>"', "#arguments")
    await page.see("You decide as", "#as")
    assert await page.value("location.href") == f"{world.url}/decision", "the token is not left in the address"
    assert await page.value("document.title") == "The agent wants to call drop_table · Crewship"
    await judge(page, axe, "decision")
    await pictures(page, "decision")
    assert (await status(world, asked))[0] == "pending", "to look changes nothing"
    await page.fill("#decision-form [name=comment]", "Not on a Friday")
    await page.click("#decision-form [value=reject]")
    await page.see("Rejected.", "#done")
    assert await status(world, asked) == ("denied", "Not on a Friday")
    assert await page.value("document.activeElement.id") == "decision-title"
    await judge(page, axe, "decision made")
    await pictures(page, "decision-made")
    await page.open("about:blank")
    await page.open(link)
    await page.see("This link was already used", "#closed")
    assert await page.value("document.querySelector('#decision-form, #question')") is None
    await judge(page, axe, "decision link used")
    await pictures(page, "decision-used")
    assert not [url for url in page.requests if "token" in url], "no request names the token"


@pytest.mark.slow
async def test_a_decision_that_came_first_is_told(page: Page, world: World) -> None:
    asked, link = await link_to(world)
    await page.open("about:blank")
    await page.open(link)
    await page.see("You decide as", "#as")
    body = {"status": "approved"}
    assert (await world.rest(world.owner, "POST", f"/api/v1/approvals/{asked.id}/decide", body)).status_code == 200
    await page.click("#decision-form [value=reject]")
    await page.see("This was already decided: approved", "#closed")
    assert (await status(world, asked))[0] == "approved"
    await page.open("about:blank")
    await page.open(f"{world.url}/decision")
    await page.see("Open the link again", "#closed")


@pytest.mark.slow
async def test_somebody_decides_by_keyboard_alone_on_a_phone(page: Page, world: World) -> None:
    asked, link = await link_to(world)
    await page.look(*PHONE)
    await page.open("about:blank")
    await page.open(link)
    await page.see("You decide as", "#as")
    for _ in range(4):  # the way home, the arguments, the comment, the button
        await page.press("Tab")
    assert await page.value("document.activeElement.value") == "approve"
    await page.press("Enter")
    await page.see("Approved.", "#done")
    assert await page.value("document.documentElement.scrollWidth <= innerWidth")
    assert (await status(world, asked))[0] == "approved"
    await page.look()


@pytest.mark.slow
async def test_a_comment_that_is_refused_can_be_mended(page: Page, world: World) -> None:
    asked, link = await link_to(world)
    await page.open("about:blank")
    await page.open(link)
    await page.fill("#decision-form [name=comment]", "no")
    await page.command("Network.setBlockedURLs", urls=["*/api/auth/graphql"])
    try:
        await page.click("#decision-form [value=approve]")
        await page.see("The server cannot be reached.", "#decision-form [role=alert]")
    finally:
        await page.command("Network.setBlockedURLs", urls=[])
    assert await page.value("document.querySelector('[name=comment]').value") == "no"
    await page.value("document.querySelector('[name=comment]').value = 'a'.repeat(10001)")
    await page.click("#decision-form [value=approve]")
    await page.until("document.querySelector('#decision-form [aria-invalid=true]')")
    assert (await status(world, asked))[0] == "pending"
    await page.value("document.querySelector('[name=comment]').value = 'yes'")
    await page.click("#decision-form [value=approve]")
    await page.see("Approved.", "#done")
    page.complaints.clear()  # of the request that was blocked


async def test_a_scanner_that_follows_the_link_decides_nothing(world: World) -> None:
    asked, link = await link_to(world)
    async with world.client() as client:
        for method in ("HEAD", "GET", "POST"):
            answer = await client.request(method, link)
            assert answer.status_code == (405 if method == "POST" else 200)
    assert (await status(world, asked))[0] == "pending"
