"""What becomes of the tasks of a mission that agents work on: handoffs, approvals, tries, failures, turns, costs."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from models.staff.agents import Agent
from models.work.missions import Mission, TaskStatus
from models.work.work_pauses import WorkPause
from resolvers.staff.runs.booking import Charge
from resolvers.staff.runs.pauses import PAUSED
from resolvers.work.missions import create_task, decide_task, dispatching, driving, resume_mission, update_mission
from runtime.runs.job import Failed, Job, Outcome, Sink
from tests.runtime.doubles import Does, says
from tests.runtime.shop import Hanging, failing
from tests.work.missions.harbour import Berth, Harbour

pytestmark = pytest.mark.anyio
HANDOFF = "Well.\n---HANDOFF---\nsummary: The hull is tight\nconfidence: {}\nartifacts: hull.md\n---END HANDOFF---"


@pytest.fixture
async def berth(harbour: Harbour) -> Berth:
    return await harbour.crew()


def saying(text: str) -> Does:
    async def does(job: Job, sink: Sink) -> Outcome:
        await says(sink, text)
        return Outcome()

    return does


def fails(times: int) -> Does:
    """So often, then it goes well."""
    left = [times]

    async def does(job: Job, sink: Sink) -> Outcome:
        if left[0]:
            left[0] -= 1
            raise Failed("no luck")
        await says(sink, "At last")
        return Outcome()

    return does


async def asked(berth: Berth, mission: Mission) -> list[Any]:
    """What people were asked of the tasks of the mission."""
    sql = "SELECT * FROM inbox_items WHERE kind = 'waitpoint' AND payload->>'mission_id' = $1 ORDER BY created_at"
    found: list[Any] = await berth.estate.owner.fetch(sql, mission.id)
    return found


async def status(berth: Berth, mission: Mission, title: str, wanted: str, seconds: float = 30.0) -> dict[str, Any]:
    async with asyncio.timeout(seconds):
        while True:
            (task,) = [task for task in await berth.tasks(mission) if task["title"] == title]
            if task["status"] == wanted:
                return task
            await asyncio.sleep(0.02)


async def escalates(berth: Berth, config: str) -> None:
    await berth.estate.owner.execute("UPDATE crews SET escalation_config = $1 WHERE id = $2", config, berth.crew.id)


# ---- handoffs and approvals ------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_handoff_is_what_the_next_agent_reads(berth: Berth) -> None:
    second = await berth.estate.agent(crew_id=berth.crew.id)
    berth.harbour.agents.acts[berth.worker.id] = saying("x" * 9000 + HANDOFF.format("medium"))
    mission = await berth.mission()
    hull = await berth.task(mission, "Hull", 1, berth.worker)
    await berth.task(mission, "Paint", 2, second, hull, status=TaskStatus.BLOCKED)
    await berth.go(mission)
    assert (await berth.ended(mission)).status == "REVIEW"
    [first, _] = await berth.tasks(mission)
    told = "The hull is tight\n\nArtifacts: hull.md"
    assert (first["handoff_context"], first["confidence"], first["needs_review"]) == (told, 0.7, False)
    assert len(first["result_summary"]) < 8100
    [job] = berth.harbour.agents.of(second)
    assert f"## What came of: Hull\n{told}" in job.prompt


@pytest.mark.parametrize(
    ("config", "confidence", "required", "held"),
    [
        (None, "low", False, False), (None, None, True, True), (None, "high", True, True),
        ('{"require_approval_below": 0.5}', "low", False, True),
        ('{"require_approval_below": 0.5}', "medium", False, False),
        ('{"require_approval_below": 0.5}', None, False, False),
        ('{"auto_approve_threshold": 0.8}', "high", True, False),
        ('{"auto_approve_threshold": 0.8}', "medium", True, True),
        ('{"notify_threshold": 0.5}', "low", False, False),
    ],
)  # fmt: skip
async def test_who_decides(
    berth: Berth, config: str | None, confidence: str | None, required: bool, held: bool
) -> None:
    if config is not None:
        await escalates(berth, config)
    berth.harbour.agents.acts[berth.worker.id] = saying(HANDOFF.format(confidence) if confidence else "Done")
    mission = await berth.mission()
    task = await berth.task(mission, "Hull", 1, berth.worker, approval_required=required)
    behind = await berth.task(mission, "Paint", 2, berth.lead, task, status=TaskStatus.BLOCKED)
    await berth.go(mission)
    if not held:
        assert (await berth.ended(mission)).status == "REVIEW"
    else:
        await status(berth, mission, "Hull", "AWAITING_APPROVAL")
        await berth.quiet(mission)
        assert [(t["status"]) for t in await berth.tasks(mission)] == ["AWAITING_APPROVAL", "BLOCKED"]
        assert (await berth.row(mission)).status == "IN_PROGRESS"
        [item] = await asked(berth, mission)
        assert (item["state"], item["target_role"], item["blocking"]) == ("unread", "MANAGER", True)
        await berth.go(mission, decide_task, mission_id=mission.id, id=task.id, decision="approve")
        assert (await berth.ended(mission)).status == "REVIEW"
    told = [type for type, payload in await berth.estate.events(f"workspace:{berth.estate.workspace.id}")
            if payload.get("task_id") == task.id]  # fmt: skip
    assert told.count("approval.required") == told.count("approval.resolved") == int(held)
    assert [item["resolved_action"] for item in await asked(berth, mission)] == ["approved"] * held
    assert told.count("confidence.low") == int(config is not None and "notify" in config)
    assert len([t for t in await berth.tasks(mission) if t["id"] == behind.id and t["status"] == "COMPLETED"]) == 1


async def test_nobody_is_asked_any_more_once_the_mission_has_ended(berth: Berth) -> None:
    """A task that is held anew is asked for anew."""
    mission = await berth.mission()
    await berth.task(mission, "Hull", 1, berth.worker, approval_required=True)
    await berth.go(mission)
    await status(berth, mission, "Hull", "AWAITING_APPROVAL")
    await berth.quiet(mission)
    await berth.go(mission, update_mission, status="FAILED")
    assert [item["resolved_action"] for item in await asked(berth, mission)] == ["cancelled"]
    await berth.go(mission, resume_mission)
    await status(berth, mission, "Hull", "AWAITING_APPROVAL")
    assert [item["resolved_action"] for item in await asked(berth, mission)] == ["cancelled", None]
    await berth.quiet(mission)
    await berth.go(mission, update_mission, status="CANCELLED")
    assert [item["resolved_action"] for item in await asked(berth, mission)] == ["cancelled"] * 2


async def test_an_issue_that_is_stopped_asks_nobody_any_more(berth: Berth) -> None:
    issue = await berth.issue()
    await berth.task(issue, "Hull", 1, berth.worker, approval_required=True)
    await berth.start(issue)
    await status(berth, issue, "Hull", "AWAITING_APPROVAL")
    await berth.quiet(issue)
    [item] = await asked(berth, issue)
    assert (item["state"], item["blocking"]) == ("unread", True)
    await berth.stop(issue)
    [item] = await asked(berth, issue)
    assert (item["state"], item["resolved_action"]) == ("resolved", "cancelled")
    assert (await berth.row(issue)).status == "CANCELLED"


async def test_a_rejection_fails_what_is_behind(berth: Berth) -> None:
    mission = await berth.mission()
    hull = await berth.task(mission, "Hull", 1, berth.worker, approval_required=True)
    paint = await berth.task(mission, "Paint", 2, None, hull, status=TaskStatus.BLOCKED)
    await berth.task(mission, "Varnish", 3, None, paint, status=TaskStatus.BLOCKED)
    await berth.go(mission)
    await status(berth, mission, "Hull", "AWAITING_APPROVAL")
    await berth.go(mission, decide_task, mission_id=mission.id, id=hull.id, decision="reject")
    assert [item["resolved_action"] for item in await asked(berth, mission)] == ["rejected"]
    assert (await berth.ended(mission)).status == "FAILED"
    assert [task["status"] for task in await berth.tasks(mission)] == ["FAILED"] * 3
    assert len(await berth.of("assignments", mission)) == 1


# ---- tries and failures ----------------------------------------------------------------------------------------------


async def test_a_task_is_tried_as_often_as_it_says(berth: Berth) -> None:
    berth.harbour.agents.acts[berth.worker.id] = fails(2)
    mission = await berth.mission()
    await berth.task(mission, "Hull", 1, berth.worker, max_iterations=3)
    await berth.go(mission)
    assert (await berth.ended(mission)).status == "REVIEW"
    [task] = await berth.tasks(mission)
    assert (task["status"], task["iteration"], task["error_message"]) == ("COMPLETED", 3, None)
    ends = sorted(each["status"] for each in await berth.of("assignments", mission))
    assert ends == ["COMPLETED", "FAILED", "FAILED"]
    assert [job.prompt.count("(attempt") for job in berth.harbour.agents.of(berth.worker)] == [0, 1, 1]


@pytest.mark.slow
async def test_a_failure_sends_back_to_what_can_be_done_again(berth: Berth) -> None:
    """The task before is repeated, and then the one that has failed: until the tries of the first are used up."""
    second = await berth.estate.agent(crew_id=berth.crew.id)
    berth.harbour.agents.acts[second.id] = fails(1)
    mission = await berth.mission()
    draft = await berth.task(mission, "Draft", 1, berth.worker, max_iterations=2)
    await berth.task(mission, "Review", 2, second, draft, status=TaskStatus.BLOCKED)
    await berth.go(mission)
    assert (await berth.ended(mission)).status == "REVIEW"
    tasks = {task["title"]: (task["status"], task["iteration"]) for task in await berth.tasks(mission)}
    assert tasks == {"Draft": ("COMPLETED", 2), "Review": ("COMPLETED", 1)}
    assert [len(berth.harbour.agents.of(agent)) for agent in (berth.worker, second)] == [2, 2]
    berth.harbour.agents.acts[second.id] = fails(9)
    again = await berth.mission()
    draft = await berth.task(again, "Draft", 1, berth.worker, max_iterations=2)
    await berth.task(again, "Review", 2, second, draft, status=TaskStatus.BLOCKED)
    await berth.go(again)
    assert (await berth.ended(again)).status == "FAILED"
    assert len(await berth.of("assignments", again)) == 4


@pytest.mark.parametrize("behind", [TaskStatus.BLOCKED, TaskStatus.PENDING])  # as it is after a change by hand
async def test_what_waits_for_a_failure_ends_the_mission_and_can_be_resumed(berth: Berth, behind: TaskStatus) -> None:
    berth.harbour.agents.acts[berth.worker.id] = fails(1)
    mission = await berth.mission()
    hull = await berth.task(mission, "Hull", 1, berth.worker)
    await berth.task(mission, "Paint", 2, None, hull, status=behind)
    await berth.go(mission)
    assert (await berth.ended(mission)).status == "FAILED"
    assert [task["status"] for task in await berth.tasks(mission)] == ["FAILED", behind]
    assert (await berth.go(mission, resume_mission))["reset_tasks"] == 2
    assert (await berth.ended(mission)).status == "REVIEW"
    assert [(t["status"], t["iteration"]) for t in await berth.tasks(mission)] == [("COMPLETED", 2)] * 2


@pytest.mark.slow
async def test_an_agent_that_keeps_failing_is_given_nothing_for_a_while(berth: Berth) -> None:
    berth.harbour.agents.acts[berth.worker.id] = failing(ValueError("boom"))
    for n in range(4):
        mission = await berth.mission()
        await berth.task(mission, "Hull", 1, berth.worker)
        await berth.go(mission)
        assert (await berth.ended(mission)).status == "FAILED"
        [task] = await berth.tasks(mission)
        assert (task["error_message"] == dispatching.BROKEN) is (n == 3)
        assert len(await berth.of("assignments", mission)) == (n < 3)
    del berth.harbour.agents.acts[berth.worker.id]
    await berth.estate.owner.execute(
        "UPDATE assignments SET finished_at = finished_at - interval '31 minutes' WHERE assigned_to_id = $1",
        berth.worker.id,
    )
    for _ in range(2):  # one is tried, and it goes well
        mission = await berth.mission()
        await berth.task(mission, "Hull", 1, berth.worker)
        await berth.go(mission)
        assert (await berth.ended(mission)).status == "REVIEW"


# ---- turns, calling off, costs ---------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_crew_carries_out_so_many_at_once(berth: Berth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatching, "MOST_OF_CREW", 2)
    at_once, most, let_go = [0], [0], asyncio.Event()

    async def counts(job: Job, sink: Sink) -> Outcome:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        await let_go.wait()
        at_once[0] -= 1
        await says(sink, "Done")
        return Outcome()

    berth.harbour.agents.acts[berth.worker.id] = counts
    mission = await berth.mission()
    for n in range(6):
        await berth.task(mission, f"T{n}", n, berth.worker)
    await berth.go(mission)
    async with asyncio.timeout(20):
        while [each["status"] for each in await berth.of("assignments", mission)].count("QUEUED") != 4 or most[0] < 2:
            await asyncio.sleep(0.02)
    let_go.set()
    assert (await berth.ended(mission)).status == "REVIEW"
    assert most[0] == 2
    events = [type for type, _ in await berth.estate.events(f"workspace:{berth.estate.workspace.id}")]
    assert events.count("assignment_queued") == events.count("assignment_unqueued") == 4


async def test_cancelling_ends_its_agents_at_once_and_starts_nothing(berth: Berth) -> None:
    hanging = Hanging()
    berth.harbour.agents.acts[berth.worker.id] = hanging
    mission = await berth.mission()
    hull = await berth.task(mission, "Hull", 1, berth.worker)
    await berth.task(mission, "Paint", 2, None, hull, status=TaskStatus.BLOCKED)
    await berth.go(mission)
    async with asyncio.timeout(20):
        await hanging.reached.wait()
    began = time.monotonic()
    await berth.go(mission, update_mission, status="CANCELLED")
    async with asyncio.timeout(20):
        await hanging.cancelled.wait()
    assert time.monotonic() - began < 2
    async with asyncio.timeout(20):
        while await berth.estate.owner.fetchval(
            "SELECT count(*) FROM runs WHERE agent_id = $1 AND status = 'RUNNING'", berth.worker.id
        ):
            await asyncio.sleep(0.02)
    await berth.quiet(mission)
    assert [task["status"] for task in await berth.tasks(mission)] == ["CANCELLED", "BLOCKED"]
    assert [each["status"] for each in await berth.of("assignments", mission)] == ["CANCELLED"]
    assert (await berth.row(mission)).status == "CANCELLED"
    assert await berth.of("issue_comments", mission) == []


async def test_what_tasks_cost_is_summed_up(berth: Berth) -> None:
    left = [1]

    async def calls(job: Job, sink: Sink) -> Outcome:
        async def asks() -> None:
            sink.charge(Charge("scripted", "scripted", 100, 20, cost_micros=1500))

        await sink.step("model", asks)
        if left[0]:
            left[0] -= 1
            raise Failed("no luck")
        await says(sink, "Done")
        return Outcome()

    berth.harbour.agents.acts[berth.worker.id] = calls
    mission = await berth.mission()
    for n in range(2):
        await berth.task(mission, f"T{n}", n, berth.worker, max_iterations=2)
    await berth.go(mission)
    row = await berth.ended(mission)
    assert (row.status, row.total_token_count, round(row.total_estimated_cost or 0, 6)) == ("REVIEW", 360, 0.0045)
    tokens = sorted(task["token_count"] for task in await berth.tasks(mission))
    assert tokens == [120, 240]  # the failed try counts


async def test_a_task_that_is_added_while_others_are_worked_on_is_done_too(berth: Berth) -> None:
    hanging, let_go = asyncio.Event(), asyncio.Event()

    async def waits(job: Job, sink: Sink) -> Outcome:
        hanging.set()
        await let_go.wait()
        await says(sink, "Done")
        return Outcome()

    berth.harbour.agents.acts[berth.worker.id] = waits
    mission = await berth.mission()
    await berth.task(mission, "Hull", 1, berth.worker)
    await berth.go(mission)
    async with asyncio.timeout(20):
        await hanging.wait()
    await berth.go(mission, create_task, mission_id=mission.id, title="Paint", assigned_agent_id=berth.lead.id)
    await status(berth, mission, "Paint", "COMPLETED")
    let_go.set()
    assert (await berth.ended(mission)).status == "REVIEW"


@pytest.mark.slow
async def test_the_deadline_calls_agents_off(berth: Berth) -> None:
    hanging = Hanging()
    berth.harbour.agents.acts[berth.worker.id] = hanging
    mission = await berth.mission()
    await berth.task(mission, "Hull", 1, berth.worker)
    await berth.go(mission)
    async with asyncio.timeout(20):
        await hanging.reached.wait()
    await berth.estate.owner.execute(
        "UPDATE missions SET started_at = now() - interval '2 hours 1 second' WHERE id = $1", mission.id
    )
    await berth.estate.owner.execute(
        "UPDATE dbos.workflow_status SET delay_until_epoch_ms = 0"
        " WHERE name = 'missions.expire' AND status = 'DELAYED' AND workflow_uuid LIKE '%' || $1 || '%'", mission.id
    )  # fmt: skip
    assert (await berth.ended(mission)).status == "FAILED"
    async with asyncio.timeout(20):
        await hanging.cancelled.wait()
    [task] = await berth.tasks(mission)
    assert (task["status"], task["error_message"]) == ("FAILED", driving.TIMED_OUT)
    assert (await berth.go(mission, resume_mission))["reset_tasks"] == 1
    del berth.harbour.agents.acts[berth.worker.id]
    assert (await berth.ended(mission)).status == "REVIEW"


# ---- a plan ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_twenty_tasks_in_the_order_of_their_graph(berth: Berth) -> None:
    """Four rows of five, each task behind two of the row before."""
    agents: list[Agent] = [berth.worker, *[await berth.estate.agent(crew_id=berth.crew.id) for _ in range(2)]]
    mission, rows = await berth.mission(), list[list[Any]]()
    for row in range(4):
        before = rows[-1] if rows else []
        made = list[Any]()
        for n in range(5):
            behind = [before[n], before[(n + 1) % 5]] if before else []
            waits = TaskStatus.BLOCKED if before else TaskStatus.PENDING
            title, agent = f"{row}.{n}", agents[n % 3]
            made.append(await berth.task(mission, title, row * 5 + n, agent, *behind, status=waits))
        rows.append(made)
    began = time.monotonic()
    await berth.go(mission)
    assert (await berth.ended(mission, 60)).status == "REVIEW"
    print(f"twenty tasks in {time.monotonic() - began:.2f} s")
    tasks = {task["id"]: task for task in await berth.tasks(mission)}
    assert len(await berth.of("assignments", mission)) == 20
    for task in tasks.values():
        assert task["status"] == "COMPLETED"
        assert all(tasks[id]["completed_at"] <= task["started_at"] for id in task["depends_on"])


# ---- agents that are paused ------------------------------------------------------------------------------------------


async def pause(berth: Berth, mission: Mission, agent: Agent, **fields: Any) -> None:
    here = {"workspace_id": berth.estate.workspace.id, "mission_id": mission.id}
    await berth.estate.add(WorkPause(agent_id=agent.id, runs=5, **here | fields))


async def test_a_paused_agent_is_given_nothing_of_that_mission(berth: Berth) -> None:
    mission, other = await berth.mission(), await berth.mission()
    await pause(berth, mission, berth.worker)
    for each in (mission, other):
        await berth.task(each, "Hull", 1, berth.worker)
        await berth.task(each, "Paint", 2)
        await berth.go(each)
    assert (await berth.ended(mission)).status == "FAILED"
    hull, paint = await berth.tasks(mission)
    assert (hull["status"], hull["error_message"], hull["assignment_id"]) == ("FAILED", PAUSED, None)
    assert (paint["status"], paint["assigned_agent_id"]) == ("COMPLETED", berth.lead.id)
    assert (await berth.ended(other)).status == "REVIEW"
    assert {task["assigned_agent_id"] for task in await berth.tasks(other)} >= {berth.worker.id}


async def test_a_paused_lead_plans_nothing_until_it_is_resumed(berth: Berth) -> None:
    mission, resumed = await berth.mission(), await berth.mission()
    await pause(berth, mission, berth.lead)
    await pause(berth, resumed, berth.lead, resumed_at=datetime.now(UTC))
    await berth.go(mission)
    await berth.go(resumed)
    assert (await berth.ended(mission)).status == "FAILED"
    assert not await berth.of("assignments", mission)
    assert (await berth.ended(resumed)).status == "REVIEW"
