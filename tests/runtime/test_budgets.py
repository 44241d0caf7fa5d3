"""Money is set aside before a run starts, and what it spends is no longer set aside: over all runs at once."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from models.base import new_id
from models.resources.budgets import Budget, BudgetPeriod, BudgetScope, BudgetSpend
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.staff.runs import Run
from models.work.missions import Assignment, Mission
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.kernel.store.across import ALL_ROWS
from resolvers.resources.costs.reserving import reserve
from resolvers.staff.runs import work
from resolvers.staff.runs.booking import Charge
from resolvers.staff.runs.work import Batch, RunClaim
from runtime.adapters.scripted import ScriptedAdapter
from runtime.runs.job import BUDGET_EXCEEDED, Job, Outcome, Sink
from tests.runtime.doubles import says
from tests.runtime.estate import Estate
from tests.runtime.shop import Shop, never

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_waits", "no_budgets")]
DOLLAR = 1_000_000


@pytest.fixture
async def no_budgets(estate: Estate) -> AsyncIterator[None]:
    """None of a test is left to the next."""
    yield
    await estate.owner.execute("DELETE FROM budgets")


async def budgeted(estate: Estate, amount: int, reservation: int, spent: int = 0, **fields: Any) -> Budget:
    given: dict[str, Any] = {"scope": BudgetScope.workspace, "period": BudgetPeriod.total, "soft_limit_percent": 80}
    here = {"workspace_id": estate.workspace.id}
    made = Budget(amount_micros=amount, reservation_micros=reservation, **(given | fields), **here)
    await estate.add(made, BudgetSpend(budget_id=made.id, span="total", slot=7, micros=spent, **here))
    return made


async def claimed(estate: Estate, chat: Chat | None = None) -> RunClaim:
    run = await estate.ask(chat=chat)
    [claim] = [claim for claim in await work.claim("w", 100, seconds=30.0) if claim.run_id == run.id]
    return claim


async def reserved(claim: RunClaim) -> dict[str, Any]:
    caller = Caller.service("runtime", claim.workspace_id)
    answer = await reserve(caller, {"id": claim.run_id, "lease": claim.lease})
    return orjson.loads(answer.body or b"")  # type: ignore[no-any-return]


async def set_aside(estate: Estate, budget: Budget) -> list[int]:
    rows = await estate.owner.fetch("SELECT micros FROM run_reservations WHERE budget_id = $1 ORDER BY 1", budget.id)
    return [row[0] for row in rows]


async def spent_of(estate: Estate, budget: Budget) -> int:
    found: int = await estate.owner.fetchval(
        "SELECT coalesce(sum(micros), 0)::bigint FROM budget_spends WHERE budget_id = $1", budget.id
    )
    return found


async def pays(claim: RunClaim, step: str, micros: int) -> None:
    charge = Charge("p", "m", 1, 1, cost_micros=micros)
    assert await work.append(claim, Batch(finished={step: None}, charges={step: charge}), 0)


async def items(estate: Estate) -> list[tuple[str, str]]:
    rows = await estate.owner.fetch(
        "SELECT title, target_role FROM inbox_items WHERE source_id LIKE 'budget%' ORDER BY created_at, id"
    )
    return [tuple(row) for row in rows]


async def told(estate: Estate, budget: Budget) -> list[str]:
    return [kind for kind, payload in await estate.events() if payload.get("id") == budget.id]


# ---- the race --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_fifty_claims_at_once_never_set_aside_more_than_there_is(estate: Estate) -> None:
    """Of two budgets that are locked in one order, whichever is the narrower."""
    agent = await estate.agent()
    whole = await budgeted(estate, 10 * DOLLAR, DOLLAR, spent=7 * DOLLAR + 500_000)
    narrow = await budgeted(estate, 5 * DOLLAR, DOLLAR, scope=BudgetScope.agent, agent_id=agent.id)
    for _ in range(50):
        await estate.ask(chat=await estate.chat(agent))
    claims = await work.claim("w", 100, seconds=30.0)
    assert len(claims) == 50
    answers = await asyncio.gather(*map(reserved, claims))
    granted = [answer["micros"] for answer in answers if answer["refused"] is None]
    assert sorted(granted) == [500_000, DOLLAR, DOLLAR]
    assert await set_aside(estate, whole) == [500_000, DOLLAR, DOLLAR]
    assert sum(await set_aside(estate, narrow)) == 3 * DOLLAR
    refused = {answer["refused"] for answer in answers if answer["refused"] is not None}
    assert refused == {
        "The rest of the budget of the workspace is reserved for active runs: $7.50 of $10.00 is spent."
        " The run was not started; try again when these runs have ended."
    }


@pytest.mark.slow
async def test_calls_during_the_race_lead_nobody_astray(estate: Estate) -> None:
    """Runs spend, end and begin at once: what is spent and set aside is never more than the amount and what the last
    calls have cost beyond their reservations, which is nothing here.
    """
    budget = await budgeted(estate, 10 * DOLLAR, DOLLAR)
    agent = await estate.agent()
    for _ in range(50):
        await estate.ask(chat=await estate.chat(agent))
    claims = await work.claim("w", 100, seconds=30.0)
    most = 0

    async def works(claim: RunClaim) -> None:
        nonlocal most
        answer = await reserved(claim)
        if answer["refused"] is None:
            for step in ("1", "2"):
                await pays(claim, step, answer["micros"] // 2)
        row = await estate_sum(budget)
        most = max(most, row)
        await work.give_up(claim, "done")

    async def estate_sum(budget: Budget) -> int:
        found: int = await work._value(
            ALL_ROWS,
            "SELECT (SELECT coalesce(sum(micros), 0) FROM budget_spends WHERE budget_id = $1)::bigint"
            " + (SELECT coalesce(sum(micros), 0) FROM run_reservations WHERE budget_id = $1)::bigint",
            budget.id,
        )
        return found

    await asyncio.gather(*map(works, claims))
    assert most == 10 * DOLLAR
    assert await spent_of(estate, budget) <= 10 * DOLLAR
    assert await set_aside(estate, budget) == []


# ---- one run ---------------------------------------------------------------------------------------------------------


async def test_what_is_spent_is_no_longer_set_aside_and_the_end_gives_back_the_rest(estate: Estate) -> None:
    budget = await budgeted(estate, 10 * DOLLAR, DOLLAR)
    claim = await claimed(estate)
    assert await reserved(claim) == {"micros": DOLLAR, "refused": None}
    await pays(claim, "1 model", 400_000)
    assert await set_aside(estate, budget) == [600_000]
    await pays(claim, "2 model", 900_000)
    assert await set_aside(estate, budget) == [0]
    await work.give_up(claim, "enough")
    assert await set_aside(estate, budget) == []
    assert await spent_of(estate, budget) == 1_300_000


async def test_a_run_that_is_taken_over_pays_once(estate: Estate) -> None:
    budget = await budgeted(estate, DOLLAR, DOLLAR)
    claim = await claimed(estate)
    await reserved(claim)
    await pays(claim, "1 model", 300_000)
    await estate.owner.execute("UPDATE runs SET leased_until = now() - interval '1 s' WHERE id = $1", claim.run_id)
    [heir] = await work.claim("w2", 1, seconds=30.0)
    assert await reserved(heir) == {"micros": DOLLAR, "refused": None}
    assert await set_aside(estate, budget) == [700_000]
    await pays(heir, "1 model", 300_000)
    assert (await spent_of(estate, budget), await set_aside(estate, budget)) == (300_000, [700_000])
    with pytest.raises(Refusal) as refused:
        await reserved(claim)
    assert refused.value.code is Code.CONFLICT


async def test_a_run_that_has_ended_sets_nothing_aside(estate: Estate) -> None:
    budget = await budgeted(estate, DOLLAR, DOLLAR)
    claim = await claimed(estate)
    await work.give_up(claim, "gone")
    with pytest.raises(Refusal):
        await reserved(claim)
    assert await set_aside(estate, budget) == []


async def test_budgets_concern_what_they_name(estate: Estate) -> None:
    here = {"workspace_id": estate.workspace.id}
    crew, other = (Crew(name=name, slug=f"{name}-{new_id()}", **here) for name in ("deck", "galley"))
    await estate.add(crew, other)
    agent = await estate.agent(crew_id=crew.id)
    mission = Mission(crew_id=crew.id, lead_agent_id=agent.id, trace_id=new_id(), title="Sail", **here)
    await estate.add(mission, Chat(id=mission.id, agent_id=agent.id, **here))
    assignment = Assignment(chat_id=mission.id, assigned_by_id=agent.id, assigned_to_id=agent.id, task="Hoist", **here)
    await estate.add(assignment)
    ours = [
        await budgeted(estate, DOLLAR, 10_000),
        await budgeted(estate, DOLLAR, 9_000, scope=BudgetScope.crew, crew_id=crew.id),
        await budgeted(estate, DOLLAR, 8_000, scope=BudgetScope.agent, agent_id=agent.id),
        await budgeted(estate, DOLLAR, 7_000, scope=BudgetScope.mission, mission_id=mission.id),
    ]
    strange = [
        await budgeted(estate, 1, 1, 1, scope=BudgetScope.crew, crew_id=other.id),
        await budgeted(estate, 1, 1, 1, scope=BudgetScope.agent, agent_id=(await estate.agent()).id),
    ]
    claim = await claimed(estate, await estate.chat(agent))
    await estate.owner.execute("UPDATE runs SET assignment_id = $1 WHERE id = $2", assignment.id, claim.run_id)
    assert await reserved(claim) == {"micros": 7_000, "refused": None}
    await pays(claim, "1 model", 5_000)
    assert [await set_aside(estate, budget) for budget in ours] == [[5_000], [4_000], [3_000], [2_000]]
    assert [await spent_of(estate, budget) for budget in ours] == [5_000] * 4
    assert [await spent_of(estate, budget) for budget in strange] == [1, 1]


async def test_without_a_hard_stop_nothing_is_refused(estate: Estate) -> None:
    budget = await budgeted(estate, DOLLAR, DOLLAR, spent=2 * DOLLAR, hard_stop=False)
    assert await reserved(await claimed(estate)) == {"micros": None, "refused": None}
    assert await set_aside(estate, budget) == []
    assert await told(estate, budget) == ["budget.exceeded"]


# ---- from the message to the end -------------------------------------------------------------------------------------


def script(*costs: float) -> str:
    steps = [{"call": {"model": "m", "input_tokens": 10, "cost_usd": cost}} for cost in costs]
    return json.dumps({"script": [*steps, {"text": "done"}]})


async def scripted(job: Job, sink: Sink) -> Outcome:
    return await ScriptedAdapter().run(job, sink)


async def test_a_spent_budget_ends_a_run_before_it_starts(estate: Estate, shop: Shop) -> None:
    await budgeted(estate, 10 * DOLLAR, DOLLAR, spent=10 * DOLLAR)
    begun: list[Job] = []

    async def does(job: Job, sink: Sink) -> Outcome:
        begun.append(job)
        return Outcome()

    await shop.worker(does)
    ended = await estate.ended((await estate.ask()).id)
    assert (ended.status, begun) == ("FAILED", [])
    assert ended.error_message == "The budget of the workspace is spent: $10.00 of $10.00. The run was not started."
    assert ended.data is not None
    assert ended.data["reason"] == BUDGET_EXCEEDED
    errors = [event["content"] for event in await estate.answer(str(ended.chat_id)) if event["type"] == "error"]
    assert errors[0] == ended.error_message


async def test_a_run_ends_when_its_money_is_spent(estate: Estate, shop: Shop) -> None:
    budget = await budgeted(estate, 10 * DOLLAR, 500_000)
    await shop.worker(scripted)
    ended = await estate.ended((await estate.ask(script(0.3, 0.3, 0.3))).id)
    assert ended.status == "FAILED"
    assert ended.error_message == (
        "The run has used the $0.50 that its budget left to it, and was ended before the work was done."
    )
    assert ended.data is not None
    assert ended.data["reason"] == BUDGET_EXCEEDED
    assert (await spent_of(estate, budget), await set_aside(estate, budget)) == (600_000, [])


async def test_people_are_told_once_of_each_limit(estate: Estate, shop: Shop) -> None:
    before = len(await items(estate))
    budget = await budgeted(estate, DOLLAR, DOLLAR)
    await shop.worker(scripted)
    for cost in (0.5, 0.35, 0.05):
        await estate.ended((await estate.ask(script(cost))).id)
    assert await told(estate, budget) == ["budget.warning"]
    await estate.ended((await estate.ask(script(0.2))).id)
    await estate.ended((await estate.ask(script(0.2))).id)
    assert await told(estate, budget) == ["budget.warning", "budget.exceeded"]
    assert (await items(estate))[before:] == [
        ("The budget of the workspace is nearly spent", "MANAGER"),
        ("The budget of the workspace is spent", "MANAGER"),
    ]
    row = await estate.owner.fetchrow("SELECT warned_in, exceeded_in, version FROM budgets WHERE id = $1", budget.id)
    assert row is not None
    assert tuple(row) == ("total", "total", 1)


@pytest.mark.slow
async def test_a_worker_that_dies_leaves_one_payment_and_nothing_set_aside(estate: Estate, shop: Shop) -> None:
    budget = await budgeted(estate, DOLLAR, DOLLAR)
    reached = asyncio.Event()

    async def calls(sink: Sink) -> None:
        async def body() -> None:
            sink.charge(Charge("p", "m", 10, 5, cost_micros=300_000))

        await sink.step("1 model", body)

    async def hangs(job: Job, sink: Sink) -> Outcome:
        await calls(sink)
        reached.set()
        await never().wait()
        return Outcome()

    async def ends(job: Job, sink: Sink) -> Outcome:
        await calls(sink)
        await says(sink, "done")
        return Outcome()

    first = await shop.worker(hangs)
    run: Run = await estate.ask()
    await reached.wait()
    await shop.kill(first)
    await shop.worker(ends)
    ended = await estate.ended(run.id)
    assert ended.status == "COMPLETED"
    assert ended.lease == 2
    assert (await spent_of(estate, budget), await set_aside(estate, budget)) == (300_000, [])


async def test_what_is_set_aside_limits_the_tokens(estate: Estate, shop: Shop) -> None:
    await budgeted(estate, 10 * DOLLAR, DOLLAR)
    jobs: list[Job] = []

    async def does(job: Job, sink: Sink) -> Outcome:
        jobs.append(job)
        return Outcome()

    worker = await shop.worker(does)
    fit = worker._outfit.fit

    async def priced(job: Job) -> Any:
        fitted = await fit(job)

        async def tokens_for(micros: int) -> int:
            return micros // 5

        fitted.adapter.tokens_for = tokens_for  # type: ignore[attr-defined]
        return fitted

    worker._outfit.fit = priced  # type: ignore[method-assign]
    await estate.ended((await estate.ask()).id)
    assert [(job.max_cost, job.max_tokens, job.bought) for job in jobs] == [(DOLLAR, 200_000, True)]
