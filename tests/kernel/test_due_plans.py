"""What clocks look for is found by its own index, whatever the values are: also by a plan that knows none of them."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.assignments import Escalation
from models.staff.crews import Crew
from models.staff.runs import Run
from resolvers.attention.approvals import deciding
from resolvers.kernel.background.clocks import CLOCKS, PORTION, AcrossWorkspaces
from resolvers.oversight.keeper import requests
from resolvers.resources.credentials import rotation
from resolvers.resources.oauth import refreshing
from resolvers.staff.escalations import deciding as escalations
from resolvers.staff.hiring import expiring
from resolvers.staff.runs import schedules
from resolvers.work.recurring_issues import firing as recurring_issues
from resolvers.work.routine_schedules import firing as routine_schedules
from tests.world import World, now

pytestmark = pytest.mark.anyio
Look = Callable[[AcrossWorkspaces], Awaitable[Any]]


IN_ORDER = {"approvals_due_idx", "agents_expires_at_idx", "keeper_requests_pending_idx", "recurring_issues_due_idx"}
"""Indices by whose order the first rows are found: nothing is sorted."""


class Caught:
    """A connection that notes what it is sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.answers = list[list[Any]]()

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        self.sent.append(sql)
        return self.answers.pop(0) if self.answers else []


def first_portion(look: Callable[..., Awaitable[None]]) -> Look:
    return lambda rows: look(lambda change: change(rows), datetime.now(UTC))


async def behind(rows: AcrossWorkspaces) -> None:
    """The second portion, behind a full one."""
    row = {"workspace_id": "w", "id": "x", "next_run": datetime.now(UTC)}
    rows._conn.answers.append([row] * PORTION)
    await first_portion(recurring_issues.look)(rows)
    del rows._conn.sent[0]


async def plan_of(world: World, sql: str) -> str:
    """The generic plan, by indices where there are any."""
    number = len(set(re.findall(r"\$\d+", sql)))
    values = f"({', '.join(['NULL'] * number)})" if number else ""
    async with world.database.transaction():
        await world.database.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await world.database.execute("SET LOCAL enable_seqscan = off")
        await world.database.execute(f"PREPARE looked AS {sql}")
        try:
            rows = await world.database.fetch(f"EXPLAIN EXECUTE looked{values}")
        finally:
            await world.database.execute("DEALLOCATE looked")
    return "\n".join(row[0] for row in rows)


def uses(plan: str, index: str) -> bool:
    return re.search(rf"(using|Scan on) {index}\b", plan) is not None


@pytest.mark.parametrize(
    ("look", "index"),
    [
        (deciding.enqueue_overdue, "approvals_due_idx"),
        (expiring.enqueue_expired, "agents_expires_at_idx"),
        (escalations.enqueue_overdue, "escalations_due_idx"),
        (requests.enqueue_overdue, "keeper_requests_pending_idx"),
        (rotation.end_overdue, "credential_rotations_due_idx"),
        (refreshing.enqueue_due, "credentials_oauth_expires_at_idx"),
        (refreshing.enqueue_ended, "credentials_oauth_expires_at_idx"),
        (first_portion(schedules.look), "agents_schedule_next_run_idx"),
        (first_portion(routine_schedules.look), "routine_schedules_due_idx"),
        (behind, "recurring_issues_due_idx"),
    ],
)
async def test_what_is_due_is_found_by_its_index(world: World, look: Look, index: str) -> None:
    conn = Caught()
    await look(AcrossWorkspaces(conn))
    (sql,) = conn.sent
    plan = await plan_of(world, sql)
    assert uses(plan, index), plan
    assert "Sort" not in plan or index not in IN_ORDER, plan


@pytest.mark.parametrize(
    ("clock", "index"),
    [
        ("approvals.expire", "approvals_due_idx"),
        ("hiring.expire", "agents_expires_at_idx"),
        ("keeper.overdue", "keeper_requests_pending_idx"),
        ("runs.stuck", "runs_stuck_idx"),
    ],
)
async def test_a_clock_asks_by_the_same_index(world: World, clock: str, index: str) -> None:
    plan = await plan_of(world, f"SELECT {CLOCKS[clock].when}")
    assert uses(plan, index), plan


async def test_overdue_escalations_are_found_among_those_that_wait(world: World) -> None:
    """In an empty table every index of escalations that wait costs the same."""
    here: dict[str, Any] = {"workspace_id": world.workspace.id}
    crew = Crew(name="Asking", slug=f"c{new_id()}", **here)
    agent = Agent(name="Asking", slug=f"a{new_id()}", crew_id=crew.id, **here)
    asked: dict[str, Any] = {"crew_id": crew.id, "from_agent_id": agent.id, "reason": "Reef?", **here}
    await world.add(crew, agent)
    until = now() + timedelta(days=7)
    await world.add(*[Escalation(answer_deadline_at=until, **asked) for _ in range(300)])
    await world.database.execute("ANALYZE escalations")
    plan = await plan_of(world, f"SELECT {CLOCKS['escalations.expire'].when}")
    await world.database.execute("DELETE FROM escalations WHERE crew_id = $1", crew.id)
    assert uses(plan, "escalations_due_idx"), plan


async def test_stuck_runs_are_found_among_those_that_workers_hold(world: World) -> None:
    """In an empty table every index of unfinished runs costs the same."""
    here: dict[str, Any] = {"workspace_id": world.workspace.id}
    agent = Agent(name="Busy", slug=f"a{new_id()}", **here)
    await world.add(agent)
    held = now() + timedelta(minutes=5)
    await world.add(*[Run(agent_id=agent.id, prompt="Sail", leased_until=held, **here) for _ in range(300)])
    await world.database.execute("ANALYZE runs")
    plan = await plan_of(world, f"SELECT {CLOCKS['runs.stuck'].when}")
    await world.database.execute("DELETE FROM runs WHERE agent_id = $1", agent.id)
    assert uses(plan, "runs_unfinished_idx"), plan
    assert uses(plan, "runs_stuck_idx"), plan
