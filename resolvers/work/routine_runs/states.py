"""The part of a routine's state that a run reads and writes."""

from typing import Final

from models.work.routine_runs import RoutineRun, RoutineTrigger

OF_SCHEDULES: Final = (RoutineTrigger.schedule, RoutineTrigger.wake_check)


def bucket_of(run: RoutineRun) -> str:
    """Runs of a schedule and its wake checks have a state of their own, all others share one (contract:
    routines-dsl.state).
    """
    return run.triggered_by_id or "" if run.triggered_via in OF_SCHEDULES else ""
