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
from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.looks import axe, judge
from tests.world import World, now

__all__ = ["axe"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


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
    await judge(page, axe, "decision")
    assert (await status(world, asked))[0] == "pending", "to look changes nothing"
    await page.fill("#decision-form [name=comment]", "Not on a Friday")
    await page.click("#decision-form [value=reject]")
    await page.see("Rejected.", "#done")
    assert await status(world, asked) == ("denied", "Not on a Friday")
    await judge(page, axe, "decision made")
    await page.open("about:blank")
    await page.open(link)
    await page.see("This link was already used", "#closed")
    assert await page.value("document.querySelector('#decision-form').hidden") is True
    await judge(page, axe, "decision link used")


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


async def test_a_scanner_that_follows_the_link_decides_nothing(world: World) -> None:
    asked, link = await link_to(world)
    async with world.client() as client:
        for method in ("HEAD", "GET", "POST"):
            answer = await client.request(method, link)
            assert answer.status_code == (405 if method == "POST" else 200)
    assert (await status(world, asked))[0] == "pending"
