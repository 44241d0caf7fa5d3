"""Who reads schedules of routines, and what leads on from them."""

from typing import Any, Final

from sqlalchemy import case, select
from sqlmodel import col

from models.people.auth import User
from models.staff.crews import Crew
from models.work.routine_runs import RoutineRun
from models.work.routine_schedules import RoutineSchedule
from models.work.saved_routines import SavedRoutine
from resolvers.kernel import EVERYONE, Action, Subject, constant, derived, extend, graph, many, one
from resolvers.work.routine_runs.graph import NEWEST_FIRST

SCOPE: Final = "routines:read"
SCHEDULE: Final = Subject(RoutineSchedule, called="Schedule")
NEXT_FIRST = (col(RoutineSchedule.next_run_at), col(RoutineSchedule.id))


def slug_of(column: str) -> Any:
    """The slug of a live routine only."""

    def read(row: Any, scope: Any) -> Any:
        routine, own = scope.beside(SavedRoutine, row)
        return scope.scalar(select(routine.c.slug).where(routine.c.id == row[column], *own))

    return read


graph(
    RoutineSchedule,
    gate=Action.READ,
    scope=SCOPE,
    visible=EVERYONE,
    routine=one(SavedRoutine, "routine_id"),
    routine_slug=derived(str | None, slug_of("routine_id")),
    wake_routine=one(SavedRoutine, "wake_routine_id"),
    wake_routine_slug=derived(str | None, slug_of("wake_routine_id")),
    fails_closed=derived(bool | None, lambda row, _: case((row.wake_fail_closed, constant(True)))),
    run_as=one(User, "run_as_id"),
    crew=one(Crew, "crew_id"),
    runs=many(RoutineRun, "schedule_id", order_by=NEWEST_FIRST),
)
extend(SavedRoutine, schedules=many(RoutineSchedule, "routine_id", order_by=NEXT_FIRST))
extend(RoutineRun, schedule=one(RoutineSchedule, "schedule_id"))
