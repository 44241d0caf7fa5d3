"""Routines in versions, and runs of them that wait or have ended, for one workspace."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlmodel import SQLModel

from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.routine_runs import (
    RoutineRun,
    RoutineRunStatus,
    RoutineRunStep,
    RoutineStepState,
    RoutineTrigger,
    Waitpoint,
    WaitpointStatus,
)
from models.work.routine_schedules import RoutineSchedule, ScheduleOutcome
from models.work.routine_webhooks import RoutineWebhook
from models.work.saved_routines import RoutineStatus, RoutineVersion, SavedRoutine

if TYPE_CHECKING:
    from tests.reader.rows import Sower

TAGS = [[], ["chat"], ["chat", "plain"]]
ENDED = (RoutineRunStatus.completed, RoutineRunStatus.failed, RoutineRunStatus.cancelled)


def routines(sower: "Sower", crews: list[Crew], agents: list[Agent]) -> Iterator[SQLModel]:
    """Of live and deleted crews; the first one has most versions and runs."""
    pick = sower.random.choice
    for number in range(7):
        made = SavedRoutine(
            slug=f"routine-{number}", name=sower.text(), description=sower.maybe(sower.text()),
            icon=sower.maybe("anchor"), status=pick(list(RoutineStatus)), definition_hash=f"{number}1",
            author_crew_id=sower.maybe(pick(crews).id), author_agent_id=sower.maybe(pick(agents).id),
            author_user_id=sower.maybe(pick(sower.people).user_id), manifest={"integrations": ["charts"]},
            risk_reasons=pick([[], ["http_step"]]), tags=pick(TAGS), invocation_count=pick([0, 1, 1, 2**31 - 1]),
            last_invoked_at=sower.maybe(sower.time()), **sower.here, **sower.stamps(),
        )  # fmt: skip
        yield made
        for version in range(1, 6 if number == 0 else 2):
            definition = {"name": "tides", "steps": [], "version": version}
            yield RoutineVersion(
                routine_id=made.id, number=version, definition_hash=f"{number}{version}",
                source=json.dumps(definition), definition=definition, author_id=pick(sower.people).user_id,
                parent_version=sower.maybe(1), change_summary=sower.maybe(sower.text()), created_at=sower.time(),
                **sower.here,
            )  # fmt: skip
        schedule = _schedule(sower, made, crews)
        webhook = _webhook(sower, made)
        yield from (schedule, webhook)
        for _ in range(5 if number == 0 else 1):
            yield from _run(sower, made, crews, agents, schedule_id=schedule.id, webhook_id=sower.maybe(webhook.id))


def _schedule(sower: "Sower", routine: SavedRoutine, crews: list[Crew]) -> RoutineSchedule:
    pick = sower.random.choice
    return RoutineSchedule(
        routine_id=routine.id, name=sower.text(), cron_expr="@daily", next_run_at=sower.time(),
        enabled=pick([True, False]), inputs={"x": sower.text()}, wake_routine_id=sower.maybe(routine.id),
        wake_fail_closed=pick([True, False]), wake_check_count=pick([0, 3]), last_run_at=sower.maybe(sower.time()),
        last_status=sower.maybe(pick(list(ScheduleOutcome))), last_error=sower.maybe(sower.text()),
        crew_id=sower.maybe(pick(crews).id), run_as_id=sower.maybe(pick(sower.people).user_id),
        **sower.here, **sower.stamps(),
    )  # fmt: skip


def _webhook(sower: "Sower", routine: SavedRoutine) -> RoutineWebhook:
    return RoutineWebhook(
        routine_id=routine.id, name=sower.text(), token_hash=f"hash of {routine.id}"[:64],
        inputs_template={"x": sower.text()}, fire_count=sower.random.choice([0, 7]),
        last_fired_at=sower.maybe(sower.time()), run_as_id=sower.maybe(sower.random.choice(sower.people).user_id),
        **sower.here, **sower.stamps(),
    )  # fmt: skip


def _run(
    sower: "Sower", routine: SavedRoutine, crews: list[Crew], agents: list[Agent], **trigger: Any
) -> Iterator[SQLModel]:
    pick = sower.random.choice
    status = pick([RoutineRunStatus.running, RoutineRunStatus.waiting, RoutineRunStatus.queued, *ENDED])
    ends: dict[str, Any] = {"ended_at": sower.time(), "output": sower.text()} if status in ENDED else {}
    if status is RoutineRunStatus.queued:
        ends = {"fire_at": sower.time(), "priority": pick([0, 3]), "merges": pick([0, 1])}
    run = RoutineRun(
        routine_id=routine.id, definition_hash=routine.definition_hash, status=status,
        current_step_id=sower.maybe("gate"), inputs={"x": sower.text()}, tags=pick(TAGS),
        error_message=sower.maybe(sower.text()), failed_at_step=sower.maybe("gate"),
        cost_usd=pick([0.0, 0.25]), started_at=sower.time(), triggered_via=pick(list(RoutineTrigger)),
        triggered_by_id=sower.maybe("ENG-1"), invoking_user_id=sower.maybe(pick(sower.people).user_id),
        invoking_crew_id=sower.maybe(pick(crews).id), invoking_agent_id=sower.maybe(pick(agents).id),
        **trigger, **ends, **sower.here, **sower.stamps(),
    )  # fmt: skip
    yield run
    for path, state in (("a", RoutineStepState.completed), ("b", RoutineStepState.skipped)):
        output = sower.text() if state is RoutineStepState.completed else None
        yield RoutineRunStep(
            routine_run_id=run.id, path=path, step_type="transform", state=state, output=output,
            started_at=sower.time(), ended_at=sower.maybe(sower.time()), **sower.here,
        )  # fmt: skip
    for path in ("gate", "gate[1].sail"):
        yield Waitpoint(
            routine_run_id=run.id, path=path, prompt=sower.text(), timeout_at=sower.time(), created_at=sower.time(),
            status=pick([WaitpointStatus.pending, WaitpointStatus.pending, WaitpointStatus.denied]), **sower.here,
        )  # fmt: skip
