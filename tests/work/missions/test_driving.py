"""Issues that are started are worked on by their agents, and come to an end."""

import asyncio
from datetime import timedelta
from operator import itemgetter
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import LeadMode
from models.staff.crews import ConnectionDirection, ConnectionStatus, CrewConnection
from models.work.missions import Mission, MissionStatus, MissionTask, TaskStatus
from resolvers.work.issues.work import review_issue
from resolvers.work.missions import dispatching, driving
from runtime.runs.job import Job, Outcome, Sink
from tests.runtime.doubles import says
from tests.runtime.shop import Hanging, failing
from tests.work.missions.harbour import Berth, Harbour

pytestmark = pytest.mark.anyio


@pytest.fixture
async def berth(harbour: Harbour) -> Berth:
    return await harbour.crew()


async def lived(berth: Berth, issue: Mission) -> list[tuple[str | None, str, str]]:
    """(agent, what, details) of its activity, the oldest first; no agent where a person did it."""
    rows = sorted(await berth.of("issue_activity", issue), key=itemgetter("created_at"))
    return [(row["actor_id"] if row["actor_type"] == "agent" else None, row["action"], row["details"]) for row in rows]


@pytest.mark.slow
async def test_an_issue_is_worked_on_and_put_up_for_review(berth: Berth) -> None:
    issue = await berth.issue(title="Leak", description="Below the waterline")
    await berth.start(issue)
    row = await berth.ended(issue)
    assert (row.status, row.completed_at is not None) == ("REVIEW", True)
    said = f"Done by {berth.worker.name}"
    [task], [assignment] = await berth.tasks(issue), await berth.of("assignments", issue)
    assert (task["status"], task["result_summary"], task["error_message"], task["assignment_id"]) == (
        "COMPLETED",
        said,
        None,
        assignment["id"],
    )
    assert task["started_at"] <= task["completed_at"]
    assert task["duration_ms"] >= 0
    assert (assignment["status"], assignment["assigned_by_id"], assignment["assigned_to_id"]) == (
        "COMPLETED",
        berth.lead.id,
        berth.worker.id,
    )
    assert assignment["id"].startswith("m_")
    [comment], [message] = await berth.of("issue_comments", issue), await berth.inbox(issue)
    assert await lived(berth, issue) == [
        (None, "status_changed", f"{issue.status} \u2192 IN_PROGRESS"),
        (berth.worker.id, "task_completed", "Leak"),
        (berth.worker.id, "status_changed", "IN_PROGRESS \u2192 REVIEW"),
    ]
    assert (comment["author_type"], comment["author_id"], comment["body"]) == ("agent", berth.worker.id, said)
    assert (message["title"], message["body_md"], message["target_role"]) == (
        f"{issue.identifier} ready for review",
        "Leak",
        "MANAGER",
    )
    assert message["payload"] == {"mission_id": issue.id, "issue_identifier": issue.identifier, "new_status": "REVIEW"}
    assert await berth.told(issue) == [
        ("issue.started", "IN_PROGRESS"), ("mission.updated", "STARTED"), ("task.updated", "IN_PROGRESS"),
        ("task.updated", "COMPLETED"),
        ("mission.updated", "REVIEW"),
    ]  # fmt: skip
    assert [(type, payload["status"]) for type, payload in await berth.estate.events(f"mission:{issue.id}")] == [
        ("mission.status", "STARTED"), ("task.status", "IN_PROGRESS"), ("task.status", "COMPLETED"),
        ("mission.status", "REVIEW"),
    ]  # fmt: skip
    [job] = berth.harbour.agents.of(berth.worker)
    assert job.prompt == assignment["task"]
    assert all(part in job.prompt for part in (str(issue.identifier), "Leak", "Below the waterline"))
    run = await berth.estate.owner.fetchrow("SELECT * FROM runs WHERE id = $1", job.run_id)
    assert (run["trigger_type"], run["triggered_by"], run["assignment_id"], run["status"]) == (
        "ASSIGNMENT",
        berth.lead.id,
        assignment["id"],
        "COMPLETED",
    )


async def test_an_issue_is_once_in_the_inbox(berth: Berth) -> None:
    issue = await berth.issue()
    await berth.start(issue)
    await berth.ended(issue)
    await berth.estate.owner.execute("UPDATE inbox_items SET state = 'read' WHERE source_id LIKE '%' || $1", issue.id)
    await berth.again(issue)
    assert (await berth.ended(issue)).status == "REVIEW"
    assert [message["state"] for message in await berth.inbox(issue)] == ["read"]


async def test_a_failing_agent_fails_its_issue(berth: Berth) -> None:
    berth.harbour.agents.acts[berth.worker.id] = failing(ValueError("boom"))
    issue = await berth.issue()
    await berth.start(issue)
    row = await berth.ended(issue)
    assert (row.status, row.completed_at is not None) == ("FAILED", True)
    [task], [assignment] = await berth.tasks(issue), await berth.of("assignments", issue)
    assert (task["status"], assignment["status"], bool(task["error_message"])) == ("FAILED", "FAILED", True)
    assert (await lived(berth, issue))[1:] == [
        (berth.worker.id, "task_failed", "Leak"),
        (berth.worker.id, "status_changed", "IN_PROGRESS \u2192 FAILED"),
    ]
    assert len(await berth.of("issue_comments", issue)) == 1
    assert await berth.inbox(issue) == []
    assert (await berth.told(issue))[-2:] == [("task.updated", "FAILED"), ("mission.updated", "FAILED")]
    [item] = await berth.failures(issue)
    assert (item["state"], item["target_role"], item["priority"]) == ("unread", "MANAGER", "high")
    assert item["title"] == f"{issue.identifier} failed"
    assert "- Leak: " in item["body_md"]
    await berth.again(issue)
    await berth.ended(issue)
    first, second = await berth.failures(issue)
    assert (first["state"], first["resolved_action"]) == ("resolved", "retried"), "what is taken up again is settled"
    assert second["state"] == "unread", "each start that fails is told of"


@pytest.mark.slow
@pytest.mark.parametrize(("action", "outcome"), [("approve", "approved"), ("request_changes", "rejected")])
async def test_a_review_settles_its_item_and_the_next_one_opens_it(berth: Berth, action: str, outcome: str) -> None:
    issue, estate = await berth.issue(), berth.estate
    await berth.start(issue)
    await berth.ended(issue)
    review = {"crew_id": issue.crew_id, "identifier": issue.identifier, "action": action}
    await review_issue(estate.caller, review, place=estate.workspace.id)
    [item] = await berth.inbox(issue)
    assert (item["state"], item["resolved_action"]) == ("resolved", outcome)
    assert item["resolved_by_user_id"] == estate.user_id
    await berth.again(issue)
    assert (await berth.ended(issue)).status == "REVIEW"
    [item] = await berth.inbox(issue)
    assert (item["state"], item["resolved_action"], item["resolved_at"]) == ("unread", None, None)
    heard = [each for type, each in await estate.events() if type == "inbox.updated" and each["id"] == item["id"]]
    assert [each["state"] for each in heard] == ["unread", "resolved", "unread"]


@pytest.mark.slow
async def test_who_stops_within_the_first_seconds_has_started_nothing(
    berth: Berth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driving, "FIRST_LOOK", timedelta(seconds=0.5))
    issue = await berth.issue()
    await berth.start(issue)
    await berth.stop(issue)
    await berth.quiet(issue)
    row = await berth.row(issue)
    assert (row.status, [task["status"] for task in await berth.tasks(issue)]) == ("CANCELLED", ["CANCELLED"])
    assert await berth.of("assignments", issue) == []
    assert berth.harbour.agents.of(berth.worker) == []
    assert [type for type, _ in await berth.told(issue)] == ["issue.started", "mission.updated", "issue.updated"]


async def test_nothing_follows_from_what_ends_after_a_stop(berth: Berth) -> None:
    hanging, let_go = Hanging(), asyncio.Event()

    async def waits(job: Job, sink: Sink) -> Outcome:
        hanging.reached.set()
        await let_go.wait()
        await says(sink, "Late")
        return Outcome()

    berth.harbour.agents.acts[berth.worker.id] = waits
    issue = await berth.issue()
    await berth.start(issue)
    await asyncio.wait_for(hanging.reached.wait(), 20)
    await berth.stop(issue)
    stopped = await berth.row(issue)
    let_go.set()
    async with asyncio.timeout(20):
        while (await berth.of("assignments", issue))[0]["finished_at"] is None:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    await berth.quiet(issue)
    assert await berth.row(issue) == stopped
    assert [task["status"] for task in await berth.tasks(issue)] == ["CANCELLED"]
    assert await berth.of("issue_comments", issue) == await berth.inbox(issue) == []
    assert [(agent, action) for agent, action, _ in await lived(berth, issue)] == [(None, "status_changed")] * 2


async def test_a_second_start_counts_the_iteration(berth: Berth) -> None:
    issue = await berth.issue()
    await berth.start(issue)
    await berth.ended(issue)
    [first] = await berth.tasks(issue)
    await berth.again(issue)
    assert (await berth.ended(issue)).status == "REVIEW"
    [second] = await berth.tasks(issue)
    assert (first["iteration"], second["iteration"], second["id"], second["status"]) == (1, 2, first["id"], "COMPLETED")
    assert second["assignment_id"] != first["assignment_id"]
    jobs = berth.harbour.agents.of(berth.worker)
    assert len(jobs) == len(await berth.of("assignments", issue)) == 2
    assert "(attempt 2)" in jobs[1].prompt
    assert f"Done by {berth.worker.name}" in jobs[1].prompt  # what was commented before


async def test_dependencies_put_tasks_in_order(berth: Berth) -> None:
    issue, second = await berth.issue(), await berth.estate.agent(crew_id=berth.crew.id)
    pump = await berth.task(issue, "Pump", 3, second)
    hull = await berth.task(issue, "Hull", 2, berth.worker, status=TaskStatus.BLOCKED)
    paint = await berth.task(issue, "Paint", 1, None, hull, pump)
    await berth.estate.owner.execute("UPDATE mission_tasks SET depends_on = $1 WHERE id = $2", [pump.id], hull.id)
    await berth.start(issue)
    assert (await berth.ended(issue)).status == "REVIEW"
    started = {
        task["title"]: (task["started_at"], task["completed_at"], task["status"]) for task in await berth.tasks(issue)
    }
    assert {status for _, _, status in started.values()} == {"COMPLETED"}
    assert started["Pump"][1] <= started["Hull"][0] <= started["Hull"][1] <= started["Paint"][0]
    # a task without an agent is theirs who have the fewest, by name, and not the lead's
    assert berth.harbour.agents.of(berth.lead) == []
    first = min((berth.worker, second), key=lambda agent: agent.name)
    [job] = [job for job in berth.harbour.agents.of(first) if ": Paint\n" in job.prompt.partition("## Your task")[2]]
    assert f"## What came of: Pump\nDone by {second.name}" in job.prompt
    assert "- Hull: COMPLETED" in job.prompt
    assert [task["assigned_agent_id"] for task in await berth.tasks(issue)] == [
        first.id,
        berth.worker.id,
        second.id,
    ]
    assert (await berth.row(issue)).id == paint.mission_id


async def test_independent_tasks_are_worked_on_side_by_side(berth: Berth) -> None:
    met, others = asyncio.Barrier(3), [await berth.estate.agent(crew_id=berth.crew.id) for _ in range(3)]

    async def meets(job: Job, sink: Sink) -> Outcome:
        async with asyncio.timeout(20):
            await met.wait()
        await says(sink, "Met")
        return Outcome()

    issue = await berth.issue()
    for n, agent in enumerate(others):
        berth.harbour.agents.acts[agent.id] = meets
        await berth.task(issue, f"Task {n}", 1, agent)
    await berth.start(issue)
    assert (await berth.ended(issue)).status == "REVIEW"
    assert len(await berth.of("issue_comments", issue)) == 3


async def test_what_waits_for_a_failed_task_fails_the_issue(berth: Berth) -> None:
    bad = await berth.estate.agent(crew_id=berth.crew.id)
    berth.harbour.agents.acts[bad.id] = failing(ValueError("boom"))
    issue = await berth.issue()
    hull = await berth.task(issue, "Hull", 1, bad)
    await berth.task(issue, "Paint", 2, berth.worker, hull, status=TaskStatus.BLOCKED)
    await berth.start(issue)
    await berth.estate.owner.execute(
        "UPDATE mission_tasks SET status = 'BLOCKED' WHERE title = 'Paint' AND mission_id = $1", issue.id
    )
    assert (await berth.ended(issue)).status == "FAILED"
    assert berth.harbour.agents.of(berth.worker) == []


@pytest.mark.slow
async def test_a_lead_plans_what_it_is_assigned(berth: Berth) -> None:
    issue = await berth.issue(berth.lead, title="Sail", description="To the south")
    await berth.start(issue)
    assert (await berth.ended(issue)).status == "REVIEW"
    assert await berth.tasks(issue) == []
    [job], [assignment] = berth.harbour.agents.of(berth.lead), await berth.of("assignments", issue)
    assert job.prompt.startswith("[PLANNING] Sail\n\nTo the south")
    assert (assignment["assigned_by_id"], assignment["assigned_to_id"], assignment["status"]) == (
        berth.lead.id,
        berth.lead.id,
        "COMPLETED",
    )
    assert len(await berth.inbox(issue)) == 1
    await berth.again(issue)
    assert (await berth.ended(issue)).status == "REVIEW"
    assert len(berth.harbour.agents.of(berth.lead)) == 2  # once a start


async def test_a_plan_that_fails_fails_the_issue(berth: Berth) -> None:
    berth.harbour.agents.acts[berth.lead.id] = failing(ValueError("boom"))
    issue = await berth.issue(berth.lead)
    await berth.start(issue)
    assert (await berth.ended(issue)).status == "FAILED"


async def test_a_passive_lead_waits_for_tasks(harbour: Harbour) -> None:
    berth = await harbour.crew(lead_mode=LeadMode.passive)
    issue = await berth.issue(berth.lead)
    await berth.start(issue)
    await berth.quiet(issue)
    assert ((await berth.row(issue)).status, await berth.of("assignments", issue)) == ("IN_PROGRESS", [])
    assert await berth.waiting(issue, "missions.expire") == 1
    await berth.stop(issue)


@pytest.mark.slow
async def test_an_agent_of_another_crew_works_over_a_connection(harbour: Harbour) -> None:
    here: dict[str, Any] = {"workspace_id": harbour.estate.workspace.id}
    there = await harbour.crew()
    one_way, both = ConnectionDirection.unidirectional, ConnectionDirection.bidirectional
    cases = [
        (None, one_way, ConnectionStatus.active, "FAILED"),
        ((0, 1), one_way, ConnectionStatus.active, "REVIEW"),
        ((1, 0), one_way, ConnectionStatus.active, "FAILED"),
        ((1, 0), both, ConnectionStatus.active, "REVIEW"),
        ((0, 1), one_way, ConnectionStatus.inactive, "FAILED"),
    ]
    started = []
    for ends, direction, status, wanted in cases:
        berth = await harbour.crew()
        crews = (berth.crew.id, there.crew.id)
        if ends is not None:
            await harbour.estate.add(
                CrewConnection(
                    from_crew_id=crews[ends[0]], to_crew_id=crews[ends[1]], direction=direction, status=status, **here
                )
            )
        issue = await berth.issue(there.worker)
        await berth.start(issue)
        started.append((berth, issue, wanted))
    for berth, issue, wanted in started:
        assert (await berth.ended(issue)).status == wanted
        [task] = await berth.tasks(issue)
        assert task["error_message"] == (dispatching.NOT_CONNECTED if wanted == "FAILED" else None)
        assert len(await berth.of("assignments", issue)) == (wanted == "REVIEW")


async def test_a_task_of_a_deleted_agent_fails(berth: Berth) -> None:
    issue, gone = await berth.issue(), await berth.estate.agent(crew_id=berth.crew.id)
    await berth.task(issue, "Hull", 1, gone)
    await berth.estate.owner.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", gone.id)
    await berth.start(issue)
    assert (await berth.ended(issue)).status == "FAILED"
    assert [task["error_message"] for task in await berth.tasks(issue)] == [dispatching.NO_AGENT]


async def due(berth: Berth, issue: Mission) -> None:
    """The deadlines that wait are there now."""
    sql = (
        "UPDATE dbos.workflow_status SET delay_until_epoch_ms = 0"
        " WHERE name = 'missions.expire' AND status = 'DELAYED' AND workflow_uuid LIKE '%' || $1 || '%'"
    )
    assert await berth.estate.owner.execute(sql, issue.id) != "UPDATE 0"
    async with asyncio.timeout(30):
        while await berth.waiting(issue, "missions.expire"):
            await asyncio.sleep(0.02)


async def aged(berth: Berth, issue: Mission) -> None:
    await berth.estate.owner.execute(
        "UPDATE missions SET started_at = now() - interval '2 hours 1 second' WHERE id = $1", issue.id
    )


async def test_a_deadline_fails_what_is_under_way(harbour: Harbour) -> None:
    berth = await harbour.crew(lead_mode=LeadMode.passive)
    issue = await berth.issue(berth.lead)
    await berth.start(issue)
    await berth.quiet(issue)
    tasks = [
        await berth.task(issue, status, 1, None, status=status)
        for status in (TaskStatus.AWAITING_APPROVAL, TaskStatus.BLOCKED)
    ]
    await aged(berth, issue)
    await due(berth, issue)
    row = await berth.row(issue)
    assert (row.status, row.completed_at is not None) == ("FAILED", True)
    found = {task["id"]: (task["status"], task["error_message"]) for task in await berth.tasks(issue)}
    assert [found[task.id] for task in tasks] == [("FAILED", driving.TIMED_OUT), ("BLOCKED", None)]
    assert (await berth.told(issue))[-1] == ("mission.updated", "FAILED")


@pytest.mark.slow
async def test_the_deadline_of_an_earlier_start_does_nothing(harbour: Harbour) -> None:
    berth = await harbour.crew(lead_mode=LeadMode.passive)
    issue = await berth.issue(berth.lead)
    await berth.start(issue)
    await berth.quiet(issue)
    await aged(berth, issue)
    await berth.stop(issue)
    await berth.again(issue)
    await berth.quiet(issue)
    before, told = await berth.row(issue), await berth.told(issue)
    await due(berth, issue)
    assert (await berth.row(issue), await berth.told(issue)) == (before, told)
    assert before.status == "IN_PROGRESS"
    await berth.stop(issue)


@pytest.mark.slow
async def test_a_mission_that_is_gone_is_no_fault(berth: Berth) -> None:
    """Its jobs find nothing, and end well."""
    issue = await berth.issue()
    await berth.start(issue)
    await berth.ended(issue)
    await berth.estate.owner.execute("DELETE FROM missions WHERE id = $1", issue.id)
    await due(berth, issue)
    sql = "SELECT count(*) FROM dbos.workflow_status WHERE status NOT IN ('SUCCESS', 'ENQUEUED', 'PENDING', 'DELAYED')"
    assert await berth.estate.owner.fetchval(sql) == 0


@pytest.mark.slow
async def test_forty_issues_at_once_all_end(harbour: Harbour) -> None:
    berths = [await harbour.crew() for _ in range(4)]
    pairs: list[tuple[Berth, Any]] = [(berth, await berth.issue(id=new_id())) for berth in berths for _ in range(10)]
    await asyncio.gather(*[berth.start(issue) for berth, issue in pairs])
    assert {(await berth.ended(issue, 60)).status for berth, issue in pairs} == {MissionStatus.REVIEW}
    for berth, issue in pairs:
        assert (
            len(await berth.of("assignments", issue))
            == len(await berth.inbox(issue))
            == len(await berth.of("issue_comments", issue))
            == 1
        )
    assert [MissionTask(**task).status for berth, issue in pairs for task in await berth.tasks(issue)] == [
        TaskStatus.COMPLETED
    ] * 40
