"""Cases of schedules of routines, for the tests that are made for every operation."""

from datetime import UTC, datetime
from typing import Any

from models.work.routine_runs import RoutineRun, RoutineRunStatus, RoutineTrigger
from models.work.routine_schedules import (
    CatchupPolicy,
    RoutineSchedule,
    ScheduleDisabledReason,
    ScheduleOutcome,
    WakeOutcome,
)
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.reader.oracle import Asker, Listing, Store, ordered
from tests.reader.words import Arguments, Order, by, found, tenants
from tests.world import now

LATER = datetime(2999, 1, 1, tzinfo=UTC)


def _schedule(plot: Plot, **more: Any) -> RoutineSchedule:
    given: dict[str, Any] = {"routine_id": plot["runnable_routine"].id, "name": "Neap", "cron_expr": "0 9 * * 1"}
    given |= {"next_run_at": LATER, "run_as_id": plot.owner.user_id}
    return RoutineSchedule(**given | more, **plot.here)


@entity
def routine_schedule(plot: Plot) -> RoutineSchedule:
    return _schedule(plot, inputs={"x": "high"}, jitter_seconds=30)


@entity
def tripped_routine_schedule(plot: Plot) -> RoutineSchedule:
    """It has had everything that a schedule can have."""
    gate: dict[str, Any] = {
        "wake_routine_id": plot["runnable_routine"].id,
        "wake_inputs": {"go": True},
        "wake_fail_closed": True,
        "wake_check_count": 3,
        "wake_fire_count": 2,
        "last_wake_at": now(),
        "last_wake_status": WakeOutcome.WOKE,
        "wake_run_id": plot["routine_run"].id,
    }
    return _schedule(
        plot,
        routine_id=plot["routine"].id,
        routine_version=1,
        enabled=False,
        catchup_policy=CatchupPolicy.all,
        catchup_left=2,
        last_run_at=now(),
        last_run_id=plot["ended_routine_run"].id,
        current_run_id=plot["routine_run"].id,
        last_status=ScheduleOutcome.FAILED,
        last_error="the tide is out",
        last_missed_count=4,
        consecutive_failures=5,
        disabled_reason=ScheduleDisabledReason.circuit_breaker,
        by_agent=True,
        crew_id=plot["crew"].id,
        **gate,
    )


@entity
def triggered_routine_run(plot: Plot) -> RoutineRun:
    """Of a schedule and of a webhook, as no run is."""
    return RoutineRun(
        routine_id=plot["routine"].id,
        definition_hash="0" * 64,
        status=RoutineRunStatus.waiting,
        triggered_via=RoutineTrigger.schedule,
        triggered_by_id=plot["routine_schedule"].id,
        schedule_id=plot["routine_schedule"].id,
        webhook_id=plot["routine_webhook"].id,
        restricted=True,
        chain_depth=2,
        **plot.here,
    )


CRON = {"cron_expr": "0 9 * * 1", "timezone": "Europe/Berlin"}
TARGET = {"target_pipeline_slug": lambda world: world.home["runnable_routine"].slug}
WITHOUT_WAKE = {"wake_pipeline_slug": "", "wake_pipeline_id": "", "target_pipeline_id": ""}
IDS = {"schedule_id": "routine_schedule"}
NAMES = frozenset({"target_pipeline_id", "wake_pipeline_id"})
RECIPES = {
    "schedules.create": Recipe(CRON | TARGET | WITHOUT_WAKE | {"inputs": {}}, chosen=NAMES),
    "internal.routines.schedules.create": Recipe(CRON | TARGET | WITHOUT_WAKE | {"inputs": {}}, chosen=NAMES),
    "schedules.update": Recipe(
        CRON | TARGET | WITHOUT_WAKE | {"inputs": {}, "name": "Spring"}, ids={"id": "routine_schedule"}, chosen=NAMES
    ),
    "schedules.get": Recipe(ids={"id": "routine_schedule"}),
    "schedules.delete": Recipe(ids={"id": "routine_schedule"}),
    "schedules.run": Recipe(ids={"id": "routine_schedule"}),
}
IN_ORDER: Order = by("next_run_at", "id")


def schedules(store: Store, asker: Asker, _: Arguments) -> Listing:
    rows = ordered(list(tenants(store, asker, "RoutineSchedule")), IN_ORDER)
    return Listing("RoutineSchedule", rows, IN_ORDER, (500, 500), clamped=False)


READS = {"routineSchedules": schedules, "routineSchedule": found("RoutineSchedule")}
