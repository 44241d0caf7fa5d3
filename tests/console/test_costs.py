"""Costs: what was spent and on what, each number with the calls behind it, and budgets."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from models.base import new_id
from models.people.workspaces import Membership, Role
from models.resources.costs import CostDay, ModelCall
from models.staff.runs import Run, RunStatus
from tests.console.deck import EMAIL, PHONE, enter, page, pictures, place, tab_to
from tests.people.auth.browsers import new_user
from tests.process.browser import CHROMIUM, Page, browsing
from tests.process.looks import axe, judge
from tests.world import World, now

__all__ = ["axe", "page", "place"]
pytestmark = [pytest.mark.anyio, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.thorough]
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"
BARS = "document.querySelector('figure canvas')?.width > 300"
LIMIT = "SELECT amount_micros || ' ' || hard_stop FROM budgets"


@pytest.fixture
async def run(place: World) -> AsyncIterator[Run]:
    """Two agents that spent money on some days, a model without a price, and the run of the calls of one."""
    agents = await place.database.fetch("SELECT id, crew_id, slug FROM agents ORDER BY slug DESC")
    here: dict[str, Any] = {"workspace_id": place.workspace.id}
    at = datetime.now(UTC)
    made = Run(agent_id=agents[0]["id"], status=RunStatus.COMPLETED, started_at=at, finished_at=at, **here)
    await place.add(made)
    for number, agent in enumerate(agents):
        who: dict[str, Any] = {"agent_id": agent["id"], "crew_id": agent["crew_id"], **here}
        for day in range(0, 12, number + 1):
            used: dict[str, Any] = {
                "input_tokens": 1_200,
                "output_tokens": 80,
                "cost_micros": 1_500_000 * (day % 3 + 1),
            }
            when = at - timedelta(days=day)
            await place.add(CostDay(day=when.date(), model="gpt-5-mini", slot=0, calls=1, **used, **who))
            run_id = made.id if number == 0 else new_id()
            call: dict[str, Any] = {"provider": "OpenAI", "model": "gpt-5-mini", "created_at": when, **used}
            await place.add(ModelCall(run_id=run_id, step=f"{day}", **call, **who))
    free: dict[str, Any] = {"run_id": made.id, "step": "free", "provider": "Own", "model": HOSTILE}
    await place.add(ModelCall(**free, agent_id=agents[0]["id"], created_at=at, **here))
    yield made
    await place.database.execute("TRUNCATE cost_days, model_calls, runs, budgets, model_prices CASCADE")


async def test_from_a_sum_to_its_calls_and_a_budget(place: World, run: Run, page: Page) -> None:
    await enter(page, place, "costs")
    await page.see("$54.00", ".first")
    await page.see("1 call has no known price", ".unpriced")
    await page.until(BARS)
    await pictures(page, "costs")
    led = await page.value("[...document.querySelectorAll('main dl dd a')].map(one => new URL(one.href).search)")
    month = f"?since={now():%Y-%m}-01&until="
    assert len(led) == 5
    assert led[1].startswith(month)
    await page.click(".tables a")
    await page.until(
        "location.pathname.endsWith('/costs/calls') && document.querySelectorAll('.view li').length === 13"
    )
    await pictures(page, "calls")
    await page.press("j")
    await page.press("Enter")
    await page.until(f"location.pathname.endsWith('/runs/{run.id}')")
    await page.value("history.back()")
    await page.click("main nav a:nth-of-type(2)")
    await page.see("No budget yet", "main")
    await page.click("main .empty button")
    await page.fill("dialog [name=amountUsd]", "20")
    await page.press("Enter")
    await page.see("/ $20.00", "main li")
    assert await place.database.fetchval(LIMIT) == "20000000 true"
    await pictures(page, "budgets")
    assert page.complaints == []


@pytest.mark.slow
async def test_a_model_without_a_price_gets_one_by_keyboard_on_a_phone(
    place: World, run: Run, page: Page, axe: str, tmp_path: Path
) -> None:
    await page.look(*PHONE)
    await enter(page, place, "costs")
    await page.see("<img src=x", ".unpriced strong")
    await pictures(page, "costs-unpriced")
    await tab_to(page, "Set a price")
    await page.press("Enter")
    await page.until(f"document.querySelector('dialog [name=model]')?.value === {json.dumps(HOSTILE)}")
    await pictures(page, "costs-set-price")
    await judge(page, axe, "setting a price")
    await page.fill("dialog [name=outputUsd]", "6")
    await page.press("Enter")
    await page.see("0", "dialog .fault")
    await page.until("document.activeElement.name === 'inputUsd'")
    await page.fill("dialog [name=inputUsd]", "1.5")
    await page.press("Enter")
    await page.see("later calls have a price", ".unpriced")
    assert await page.value("document.querySelector('.unpriced button')") is None
    stored = "SELECT model || ' ' || input_micros || ' ' || output_micros FROM model_prices"
    assert await place.database.fetchval(stored) == f"{HOSTILE} 1500000 6000000"
    await tab_to(page, "Prices")
    await page.press("Enter")
    await page.see("$1.50 in, $6.00 out, per million tokens", "dialog[open] li")
    await pictures(page, "costs-prices")
    await judge(page, axe, "prices")
    async with browsing(tmp_path / "second") as other:
        await enter(other, place, "costs")
        await other.see("later calls have a price", ".unpriced")
        await page.click("dialog[open] li button")
        await page.click("dialog dialog button.primary")
        await page.see("No price is set", "dialog[open]")
        await other.see("Set a price", ".unpriced")
        assert other.complaints == []
    assert await page.value("document.documentElement.scrollWidth <= innerWidth")
    assert page.complaints == []


@pytest.mark.slow
async def test_a_manager_reads_prices_and_sets_none(place: World, run: Run, page: Page) -> None:
    email = "mina@example.com"
    mina = await new_user(place, full_name="Mina", email=email)
    await place.add(Membership(role=Role.MANAGER, accepted_at=now(), workspace_id=place.workspace.id, user_id=mina.id))
    await enter(page, place, "costs", email)
    await page.see("A price is set by: admin", ".unpriced")
    assert await page.value("document.querySelector('.unpriced button')") is None
    await page.click("main header .acts button")
    await page.see("No price is set", "dialog[open]")
    assert await page.value("document.querySelector('dialog[open] button.primary')") is None
    assert page.complaints == []


@pytest.mark.slow
async def test_budgets_by_keyboard_on_a_phone_and_in_two_browsers(
    place: World, run: Run, page: Page, axe: str, tmp_path: Path
) -> None:
    async with browsing(tmp_path / "other") as other:
        await enter(other, place, "costs/budgets")
        await other.see("No budget yet", "main")
        await page.look(*PHONE)
        await enter(page, place, "costs")
        await page.until(BARS)
        await judge(page, axe, "costs")
        await page.look(*PHONE)
        await page.press("g")
        await page.press("o")
        await page.value("document.querySelector('main nav a:nth-of-type(2)').focus()")
        await page.press("Enter")
        await page.until("document.querySelector('main .empty button')")
        await page.value("document.querySelector('main .empty button').focus()")
        await page.press("Enter")
        await page.fill("dialog [name=amountUsd]", "-1")
        await page.press("Enter", control=True)
        await page.until("document.activeElement.matches('[name=amountUsd][aria-invalid=true]')")
        await page.value("document.activeElement.select()")
        await page.fill("dialog [name=amountUsd]", "2.5")
        await judge(page, axe, "a new budget")
        await page.look(*PHONE)
        await page.press("Enter", control=True)
        await page.see("/ $2.50", "main li")
        await other.see("/ $2.50", "main li")
        await judge(page, axe, "budgets")
        await page.look(*PHONE)
        await pictures(page, "budget-spent")
        await page.click("main li button:nth-of-type(2)")
        await page.see("nothing is refused", ".notices")
        assert await place.database.fetchval(LIMIT) == "2500000 false"
        await other.see("only warns", "main li")
        await page.press("z")
        await page.until("!document.querySelector('main li').innerText.includes('only warns')")
        assert await place.database.fetchval(LIMIT) == "2500000 true"
        await page.click("main li button:nth-of-type(1)")
        await page.until("document.querySelector('dialog [name=amountUsd]')?.value === '2.5'")
        await page.select("dialog [name=amountUsd]")
        await page.fill("dialog [name=amountUsd]", "7")
        await page.press("Enter")
        await page.see("/ $7.00", "main li")
        await page.click("main li button.danger")
        await page.click("dialog button.danger")
        await page.see("No budget yet", "main")
        await other.see("No budget yet", "main")
        assert page.complaints == other.complaints == []


@pytest.mark.slow
async def test_who_may_not_read_costs_is_told_so(place: World, run: Run, page: Page) -> None:
    role = "UPDATE memberships SET role = $2 WHERE user_id = (SELECT id FROM users WHERE email = $1)"
    await place.database.execute(role, EMAIL, "MEMBER")
    try:
        for path in ("costs", "costs/budgets", "costs/calls"):
            if path == "costs":
                await enter(page, place, path)
            else:
                await page.open(f"{place.url}/console/{place.workspace.slug}/{path}")
            await page.see("You may not see this", "main [role=alert]")
            assert not await page.value("document.querySelector('main :is(.primary, .danger)')")
    finally:
        await place.database.execute(role, EMAIL, "OWNER")
