"""Which events notify members, with which words; and how many notifications of a category a member receives."""

from typing import Any

import pytest

from models.actors import ActorType
from models.attention.inbox import InboxKind
from models.base import new_id
from models.resources.budgets import Budget, BudgetPeriod, BudgetScope
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.runs import BY_SCHEDULE, Run, RunStatus
from models.work.issues import ActivityAction, IssueActivity, IssueComment
from models.work.missions import Mission
from resolvers.attention.notification_deliveries.routing import AT_ONCE
from tests.attention.notification_deliveries import test_routing
from tests.attention.notification_deliveries.test_routing import channel, choose, item, settled, working
from tests.world import World

pytestmark = pytest.mark.anyio
_empty = test_routing._empty


async def happened(world: World, type_: str, **payload: Any) -> None:
    """An event, as the outbox has it."""
    await world.database.execute(
        "INSERT INTO events (workspace_id, channel, type, payload) VALUES ($1::text, 'workspace:' || $1::text, $2, $3)",
        world.workspace.id, type_, payload,
    )  # fmt: skip


async def crew_of(world: World) -> tuple[Crew, Agent]:
    here: dict[str, Any] = {"workspace_id": world.workspace.id}
    crew = Crew(name="Deck", slug=f"deck-{new_id()}", **here)
    agent = Agent(name="Ann", slug=f"ann-{new_id()}", crew_id=crew.id, **here)
    await world.add(crew, agent)
    return crew, agent


async def issue_of(world: World, crew: Crew, agent: Agent) -> Mission:
    issue = Mission(
        crew_id=crew.id, lead_agent_id=agent.id, trace_id=f"mission-{new_id()}", title="Leaks", identifier="DECK-1",
        description="Below the line", workspace_id=world.workspace.id,
    )  # fmt: skip
    await world.add(issue)
    return issue


async def titles(world: World, number: int) -> list[tuple[str, str, str]]:
    rows = await settled(world, number)
    return sorted((row["category"], row["source_kind"], row["title"]) for row in rows)


async def test_issues_notify_of_their_changes(world: World) -> None:
    crew, agent = await crew_of(world)
    async with working(world) as receiver:
        shared = await channel(world, receiver)
        named = ("issues.created", "issues.state", "issues.assigned", "issues.comment")
        await choose(world, world.viewer, shared, *named)
        issue = await issue_of(world, crew, agent)
        await happened(world, "issue.created", id=issue.id)
        at: dict[str, Any] = {"mission_id": issue.id, "workspace_id": world.workspace.id}
        by: dict[str, Any] = {"actor_type": ActorType.user, "actor_id": world.owner.user_id, **at}
        await world.add(
            IssueActivity(action=ActivityAction.status_changed, details="TODO to DONE", **by),
            IssueActivity(action=ActivityAction.assignee_changed, **by),
            IssueActivity(action=ActivityAction.priority_changed, **by),
            IssueComment(body="Pumped", author_type=ActorType.user, author_id=world.owner.user_id, **at),
        )
        await happened(world, "issue.updated", id=issue.id)
        found = await titles(world, 4)
    assert found == [
        ("issues.assigned", "journal:mission.assigned", "DECK-1 was assigned"),
        ("issues.comment", "journal:mission.comment", "DECK-1 was commented on"),
        ("issues.created", "journal:mission.created", "DECK-1: Leaks"),
        ("issues.state", "journal:mission.status_change", "DECK-1 has changed"),
    ]


async def test_runs_that_nobody_waits_for_budgets_and_preparations_notify(world: World) -> None:
    crew, agent = await crew_of(world)
    here: dict[str, Any] = {"workspace_id": world.workspace.id}
    done: dict[str, Any] = {"agent_id": agent.id, "prompt": "Sound", "status": RunStatus.COMPLETED, **here}
    scheduled, asked = Run(trigger_type=BY_SCHEDULE, **done), Run(**done)
    budget = Budget(scope=BudgetScope.workspace, period=BudgetPeriod.day, amount_micros=1, reservation_micros=1, **here)
    await world.add(scheduled, asked, budget)
    async with working(world) as receiver:
        shared = await channel(world, receiver)
        await choose(world, world.viewer, shared, "routines.completed", "agents.budget", "agents.error")
        for run in (scheduled, asked):
            await happened(world, "run.completed", run_id=run.id)
        await happened(world, "budget.warning", id=budget.id)
        await happened(world, "provision.failed", crew_id=crew.id, error="no space")
        found = await titles(world, 3)
        await happened(world, "budget.exceeded", id=budget.id)
        await happened(world, "issue.created", id="gone")
        assert ("agents.budget", "journal:budget.exceeded", "A budget (workspace, day) is spent") in await titles(
            world, 4
        )
    assert found == [
        ("agents.budget", "journal:budget.warning", "A budget (workspace, day) is nearly spent"),
        ("agents.error", "journal:provisioning.failed", "The container of Deck could not be prepared"),
        ("routines.completed", "journal:pipeline.run.completed", "Ann has completed a run"),
    ]


async def test_a_member_receives_so_many_of_a_category_and_the_log_has_the_others(world: World) -> None:
    async with working(world) as receiver:
        shared = await channel(world, receiver)
        await choose(world, world.viewer, shared, "memory", "agents.approval")
        await world.database.execute(
            "INSERT INTO notification_deliveries (workspace_id, id, channel_id, user_id, category, dedup_key,"
            " source_kind, source_id, title, message, status, attempts)"
            " SELECT $1, 'del_' || left(category, 1) || n, $2, $3, category, category || n,"
            " 'x', 'x', 'x', '{}', 'sent', 1"
            " FROM generate_series(1, $4) AS n, unnest(ARRAY['memory', 'agents.approval']) AS category",
            world.workspace.id, shared, world.viewer.user_id, AT_ONCE,
        )  # fmt: skip
        await item(world, "A proposal", InboxKind.memory_consolidation)
        await item(world, "May I?")
        rows = [row for row in await settled(world, 2 * AT_ONCE + 2) if row["title"] != "x"]
    assert {row["title"]: row["status"] for row in rows} == {"A proposal": "dropped_rate", "May I?": "sent"}
    assert len(receiver.got) == 1
    kinds = await world.database.fetch(
        "SELECT entry_type FROM journal_entries WHERE payload->>'channel_id' = $1 ORDER BY entry_type", shared
    )
    assert [row["entry_type"] for row in kinds] == ["notification.delivered", "notification.dropped"]
