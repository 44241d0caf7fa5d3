"""Monthly budgets: shown, warning people, and with a hard stop refusing and ending runs."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from models.people.workspaces import Role
from resolvers.errors import Code, Refusal
from resolvers.work import routine_budgets, routine_runs
from resolvers.work.routine_budgets import month_of, wish_of
from tests.every import each_of
from tests.work.routine_budgets.purse import Purse
from tests.work.routine_runs.yard import text

pytestmark = pytest.mark.anyio
GATE = {"id": "gate", "type": "wait", "wait": {"kind": "approval", "approval_prompt": "Sail?"}}


async def refusal_of(purse: Purse, routine: Any) -> Refusal:
    before = await purse.yard.runs_of(routine)
    with pytest.raises(Refusal) as refused:
        await purse.yard.started(routine)
    assert await purse.yard.runs_of(routine) == before
    return refused.value


async def items_of(purse: Purse, routine: Any) -> list[tuple[str, str]]:
    sql = "SELECT title, priority FROM inbox_items WHERE payload ->> 'pipeline_id' = $1 ORDER BY created_at"
    found = await purse.yard.estate.owner.fetch(sql, routine.id)
    return [(item["title"], item["priority"]) for item in found if "budget" in item["title"]]


async def test_a_budget_is_set_shown_and_cleared(purse: Purse) -> None:
    routine = await purse.yard.routine(text("a", "b"))
    month = datetime.now(UTC).strftime("%Y-%m")
    plain = {"slug": routine.slug, "month": month, "spent_usd": 0}
    assert await purse.budget(routine) == plain | {"has_budget": False, "monthly_budget_usd": 0}
    shown = plain | {"has_budget": True, "monthly_budget_usd": 25.5}
    sent = {"slug": routine.slug, "monthly_budget_usd": 25.5}
    assert await purse.yard.ask(routine_budgets.set_routine_budget, sent) == shown
    assert await purse.limit(routine, 25.5) == shown | {"hard_stop": True}
    assert await purse.yard.ask(routine_budgets.set_routine_budget, sent) == shown | {"hard_stop": True}
    assert await purse.limit(routine, 25.5, hard=False) == shown
    cleared = await purse.yard.ask(routine_budgets.set_routine_budget, {"slug": routine.slug})
    assert cleared == await purse.budget(routine) == plain | {"has_budget": False, "monthly_budget_usd": 0}
    log = await purse.yard.found("SELECT action FROM audit_logs WHERE entity_id = $1 LIMIT 1", routine.id)
    assert log["action"] == "routine.budget_set"


@each_of("amount", [-1, 1e12, "lots", True])
async def test_bad_amounts_are_refused(purse: Purse, amount: Any) -> None:
    routine = await purse.yard.routine(text("a", "b"))
    sent = {"slug": routine.slug, "monthly_budget_usd": amount}
    with pytest.raises(Refusal) as refused:
        await purse.yard.ask(routine_budgets.set_routine_budget, sent)
    assert (refused.value.code, list(refused.value.fields)) == (Code.BAD_REQUEST, ["monthly_budget_usd"])


async def test_managers_read_and_do_not_set(purse: Purse) -> None:
    routine, manager = await purse.yard.routine(text("a", "b")), await purse.yard.member(Role.MANAGER)
    with pytest.raises(Refusal) as refused:
        await purse.yard.ask(routine_budgets.set_routine_budget, {"slug": routine.slug}, None, manager)
    assert refused.value.code is Code.FORBIDDEN
    assert await purse.yard.ask(routine_budgets.get_routine_budget, {"slug": routine.slug}, None, manager)


async def test_a_soft_budget_warns_and_stops_nothing(purse: Purse) -> None:
    ask = await purse.agent(1.7)
    routine = await purse.yard.routine(ask)
    await purse.limit(routine, 2, hard=False)
    await purse.yard.ended(await purse.yard.started(routine))
    shown = await purse.budget(routine)
    assert (shown["spent_usd"], shown["pct_used"]) == (pytest.approx(1.7), pytest.approx(85))
    assert "over_budget" not in shown
    near, spent = (f"The monthly budget of {routine.slug} is {how}" for how in ("nearly spent", "spent"))
    assert await items_of(purse, routine) == [(near, "medium")]
    for _ in range(2):
        row = await purse.yard.ended(await purse.yard.started(routine))
        assert (row["status"], row["reserved_usd"]) == ("completed", 0)
    assert (await purse.budget(routine))["over_budget"] is True
    assert await items_of(purse, routine) == [(near, "medium"), (spent, "high")]
    events = await purse.yard.estate.events(f"workspace:{purse.yard.estate.workspace.id}")
    told = [payload for type_, payload in events if type_ == "pipeline.budget_reached"]
    assert [each["exceeded"] for each in told if each["pipeline_id"] == routine.id] == [False, True]
    assert purse.jobs_of(ask)[-1].max_cost is None


async def test_a_spent_budget_refuses_runs(purse: Purse) -> None:
    routine = await purse.yard.routine(await purse.agent(1.0), max_cost_usd=2)
    await purse.limit(routine, 1)
    row = await purse.yard.ended(await purse.yard.started(routine))
    assert (row["status"], row["cost_usd"]) == ("completed", pytest.approx(1))
    refusal = await refusal_of(purse, routine)
    assert refusal.code is Code.CONFLICT
    assert refusal.detail == "The monthly budget of the routine is spent: $1.00 of $1.00"
    assert refusal.extra["reason"] == "budget_exceeded"
    replayed = {"id": row["id"]}
    with pytest.raises(Refusal) as refused:
        await purse.yard.ask(routine_runs.replay_routine_run, replayed)
    assert refused.value.extra["reason"] == "budget_exceeded"
    await purse.limit(routine, 1, hard=False)
    await purse.yard.ended(await purse.yard.started(routine))


async def test_runs_at_the_same_time_do_not_pass_the_budget_together(purse: Purse) -> None:
    """Each reserves what it may cost: two of the four fit."""
    ask = await purse.agent(1.0)
    routine = await purse.yard.routine(ask, max_cost_usd=1)
    await purse.limit(routine, 2)
    purse.gate.clear()
    try:
        made = await asyncio.gather(*[purse.yard.started(routine) for _ in range(4)], return_exceptions=True)
    finally:
        purse.gate.set()
    refused = [each for each in made if isinstance(each, Refusal)]
    assert [each.detail for each in refused] == [
        "The rest of the monthly budget of the routine is reserved for active runs: $0.00 of $2.00 is spent; try again"
        " when these runs have ended"
    ] * 2
    for run_id in [each for each in made if isinstance(each, str)]:
        assert (await purse.yard.ended(run_id))["status"] == "completed"
    assert (await purse.budget(routine))["spent_usd"] == pytest.approx(2)
    assert [job.max_cost for job in purse.jobs_of(ask)] == [1_000_000] * 2


async def test_an_agent_is_ended_when_it_has_used_the_part_of_its_run(purse: Purse) -> None:
    greedy, last = await purse.agent(5.0), await purse.agent(0.0)
    routine = await purse.yard.routine(greedy, last)
    await purse.limit(routine, 10)
    row = await purse.yard.ended(await purse.yard.started(routine))
    assert (row["status"], row["failed_at_step"]) == ("failed", greedy["id"])
    assert row["error_message"].startswith("The run has used the $1.00 that its budget left to it")
    assert row["cost_usd"] == pytest.approx(5), "a failed attempt has cost something, too"
    assert purse.jobs_of(last) == []


async def test_a_run_reserves_another_part_as_long_as_there_is_one(purse: Purse) -> None:
    asks = [await purse.agent(0.6) for _ in range(5)]
    routine = await purse.yard.routine(*asks, estimated_cost_usd=0.6)
    await purse.limit(routine, 1.8)
    row = await purse.yard.ended(await purse.yard.started(routine))
    assert (row["status"], row["failed_at_step"]) == ("failed", asks[3]["id"])
    assert row["error_message"] == "the monthly budget of the routine is spent, or reserved for other runs"
    assert (row["cost_usd"], row["reserved_usd"]) == (pytest.approx(1.8), pytest.approx(1.8))
    assert [len(purse.jobs_of(ask)) for ask in asks] == [1, 1, 1, 0, 0]


async def test_a_run_that_waits_is_ended_when_others_have_spent_the_rest(purse: Purse) -> None:
    """The hard stop came after it began, so that it has reserved nothing."""
    routine = await purse.yard.routine(GATE, text("a", "{{ steps.gate.output }}"))
    run_id = await purse.yard.started(routine)
    await purse.yard.reached(run_id, "waiting")
    await purse.yard.estate.owner.execute(
        "UPDATE routine_runs SET cost_usd = 3 WHERE id = $1", await purse.yard.started(routine)
    )
    await purse.limit(routine, 2)
    await purse.yard.ask(routine_runs.decide_waitpoint, {"token": await purse.yard.token(run_id), "approved": True})
    row = await purse.yard.ended(run_id)
    assert (row["status"], row["failed_at_step"]) == ("failed", "gate")
    assert row["error_message"] == "the monthly budget of the routine is spent, or reserved for other runs"


async def test_a_run_that_waits_holds_no_part_back(purse: Purse) -> None:
    """It reserves a part again when it goes on."""
    ask = await purse.agent(0.5)
    routine = await purse.yard.routine(GATE, ask, max_cost_usd=1)
    await purse.limit(routine, 1)
    first = await purse.yard.started(routine)
    assert (await purse.yard.reached(first, "waiting"))["reserved_usd"] == 0
    second = await purse.yard.started(routine)
    await purse.yard.reached(second, "waiting")
    for run_id in (first, second):
        decided = {"token": await purse.yard.token(run_id), "approved": True}
        await purse.yard.ask(routine_runs.decide_waitpoint, decided)
        row = await purse.yard.ended(run_id)
        assert (row["status"], row["cost_usd"]) == ("completed", pytest.approx(0.5))
    assert [job.max_cost for job in purse.jobs_of(ask)] == [1_000_000, 500_000]


async def test_a_run_reserves_no_more_than_it_may_still_cost(purse: Purse) -> None:
    """After a wait it needs the rest of its own limit, and the budget has another rest for others."""
    first, last = await purse.agent(0.6), await purse.agent(0.1)
    routine = await purse.yard.routine(first, GATE, last, max_cost_usd=1)
    await purse.limit(routine, 3)
    run_id = await purse.yard.started(routine)
    await purse.yard.reached(run_id, "waiting")
    await purse.yard.ask(routine_runs.decide_waitpoint, {"token": await purse.yard.token(run_id), "approved": True})
    row = await purse.yard.ended(run_id)
    assert (row["status"], row["reserved_usd"]) == ("completed", pytest.approx(1))


async def test_a_cancelled_run_releases_its_part_and_keeps_its_costs(purse: Purse) -> None:
    routine = await purse.yard.routine(await purse.agent(0.25), max_cost_usd=1)
    await purse.limit(routine, 1)
    purse.gate.clear()
    known = len(purse.jobs)
    try:
        run_id = await purse.yard.started(routine)
        async with asyncio.timeout(20):
            while len(purse.jobs) == known:
                await asyncio.sleep(0.02)
        assert (await refusal_of(purse, routine)).detail.startswith("The rest of the monthly budget")
        await purse.yard.ask(routine_runs.cancel_routine_run, {"id": run_id})
        row = await purse.yard.ended(run_id)
    finally:
        purse.gate.set()
    assert (row["status"], row["cost_usd"]) == ("cancelled", pytest.approx(0.25))
    await purse.yard.ended(await purse.yard.started(routine))


async def test_agents_side_by_side_share_the_limit(purse: Purse) -> None:
    one, two = await purse.agent(0.4), await purse.agent(0.4)
    join = text("join", f"{{{{ steps.{one['id']}.output }}}}", needs=[one["id"], two["id"]])
    routine = await purse.yard.routine(one, two, join, max_cost_usd=1)
    row = await purse.yard.ended(await purse.yard.started(routine))
    assert (row["status"], row["cost_usd"]) == ("completed", pytest.approx(0.8))
    assert [job.max_cost for job in purse.jobs_of(one, two)] == [500_000] * 2


async def test_a_prompt_that_may_cost_too_much_is_not_sent(purse: Purse) -> None:
    """contract: routines-dsl.cost"""
    ask = await purse.agent(0.0) | {"prompt": "Row " * 1000}
    routine = await purse.yard.routine(ask, max_cost_usd=0.001)
    row = await purse.yard.ended(await purse.yard.started(routine))
    assert (row["status"], row["failed_at_step"]) == ("failed", ask["id"])
    assert row["error_message"].startswith("cost cap exceeded")
    assert purse.jobs_of(ask) == []


async def test_the_summary_has_budgets_and_costs_of_the_month(purse: Purse) -> None:
    owner = purse.yard.estate.owner
    await owner.execute("UPDATE routines SET deleted_at = now()")
    spender, saver, idle, gone = [await purse.yard.routine(text("a", "b")) for _ in range(4)]
    runs = [await purse.yard.started(spender) for _ in range(3)]
    for run_id in runs:
        await purse.yard.ended(run_id)
    await owner.execute("UPDATE routine_runs SET cost_usd = 1.5 WHERE id = ANY($1)", runs)
    earlier = "UPDATE routine_runs SET started_at = date_trunc('month', now(), 'UTC') - interval '1 s' WHERE id = $1"
    await owner.execute(earlier, runs[2])
    await owner.execute("UPDATE routines SET deleted_at = now() WHERE id = $1", gone.id)
    await purse.limit(saver, 2.5, hard=False)
    shown = await purse.yard.ask(routine_budgets.get_routine_budgets, {})
    assert shown == {
        "month": datetime.now(UTC).strftime("%Y-%m"),
        "routines": [
            {"slug": spender.slug, "monthly_budget_usd": 0, "spent_usd": 3},
            {"slug": saver.slug, "monthly_budget_usd": 2.5, "spent_usd": 0},
        ],
        "total_budget_usd": 2.5,
        "total_spent_usd": 3,
    }
    assert (await purse.budget(spender))["spent_usd"] == 3
    assert idle.slug not in str(shown)


def test_a_month_begins_at_its_first_instant() -> None:
    assert month_of(datetime(2026, 12, 31, 23, 59, 59, 9, UTC)) == datetime(2026, 12, 1, tzinfo=UTC)


@each_of(
    "definition, usd",
    [
        ({}, 0.0),
        ({"max_cost_usd": 2, "estimated_cost_usd": 1}, 2.0),
        ({"max_cost_usd": 0, "estimated_cost_usd": 1.5}, 1.5),
        ({"estimated_cost_usd": -3}, 0.0),
    ],
)
def test_a_run_reserves_what_its_definition_says(definition: dict[str, Any], usd: float) -> None:
    assert wish_of(definition) == usd
