"""Reads of runs of routines, and of the approvals that they wait for."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final

from sqlalchemy import Text as Words
from sqlalchemy import cast, func
from sqlmodel import col

from models.work.routine_runs import RoutineRun, RoutineRunStatus, Waitpoint
from models.work.saved_routines import SavedRoutine
from resolvers.kernel import (
    GRAPHQL_ONLY,
    Action,
    ById,
    Filter,
    NoInput,
    Page,
    Paging,
    QueryScope,
    Row,
    Rows,
    Text,
    constant,
    query,
)
from resolvers.rules.times import Since
from resolvers.work.routine_runs.graph import (
    NEWEST_FIRST,
    NEWEST_WAITPOINT,
    PENDING,
    RUN,
    UNDER_WAY,
)
from resolvers.work.routines.graph import ROUTINE, ByRoutineSlug

MOST_ACTIVE: Final = 500
MOST_WAITPOINTS: Final = 200
"""contract: waitpoints.list"""


class RoutineRunChoice(StrEnum):
    """A status of runs; `active` are those that have not ended."""

    queued = "queued"
    running = "running"
    waiting = "waiting"
    completed = "completed"
    failed = "failed"
    cancelled = "cancelled"
    interrupted = "interrupted"
    dry_run = "dry_run"
    active = "active"


class ListRoutineRuns(Paging):
    """`since`: runs that began at this time or later; an invalid time matches nothing."""

    page_maximum: ClassVar[int] = 200
    cut_to_default: ClassVar[bool] = True

    status: RoutineRunChoice | None = None
    since: Since = None


@query("routine_runs.list", Action.READ, tickets=False)
def list_routine_runs(scope: QueryScope, data: ListRoutineRuns) -> Page[RoutineRun]:
    """List runs of routines.

    Newest first.
    """
    rows = scope.select(RoutineRun)
    if data.status is not None:
        active = data.status is RoutineRunChoice.active
        chosen = UNDER_WAY if active else (RoutineRunStatus(data.status.value),)
        rows = rows.where(col(RoutineRun.status).in_([constant(status) for status in chosen]))
    if data.since is not None:
        rows = rows.where(col(RoutineRun.started_at) >= data.since)
    return rows.order_by(*NEWEST_FIRST).page(data)


def _tagged(value: Any) -> Any:
    return col(RoutineRun.tags).contains(func.jsonb_build_array(cast(value.clause, Words())))


class ListRoutineRunRecords(Paging, ByRoutineSlug):
    """Filters of the runs of a routine."""

    page_maximum: ClassVar[int] = 500
    cut_to_default: ClassVar[bool] = True

    status: Annotated[RoutineRunStatus | None, Filter(RoutineRun.status)] = None
    tag: Annotated[Text | None, Filter(_tagged)] = None


@query("routines.run_records", Action.READ, subject=ROUTINE, tickets=False)
def list_routine_run_records(
    scope: QueryScope, routine: Row[SavedRoutine], data: ListRoutineRunRecords
) -> Page[RoutineRun]:
    """List runs of one routine.

    Newest first.
    """
    return scope.children(routine, RoutineRun, "routine_id").matching(data).order_by(*NEWEST_FIRST).page(data)


@query("routines.active_runs", Action.READ, tickets=False)
def list_active_routine_runs(scope: QueryScope, data: NoInput) -> Rows[RoutineRun]:
    """List runs of routines that are executed now.

    At most 500, newest first. Runs that wait for a person or an event are not among them.
    """
    running = col(RoutineRun.status) == constant(RoutineRunStatus.running)
    return scope.select(RoutineRun).where(running).order_by(*NEWEST_FIRST).limit(MOST_ACTIVE)


@query("routine_runs.get", Action.READ, subject=RUN, tickets=False)
def get_routine_run(scope: QueryScope, run: Row[RoutineRun], data: ById) -> Row[RoutineRun]:
    """Get a run of a routine."""
    return run


@query("waitpoints.list", Action.READ, tickets=False)
def list_waitpoints(scope: QueryScope, data: NoInput) -> Rows[Waitpoint]:
    """List pending approvals of runs.

    At most 200, newest first. Only members who may decide receive the token.
    """
    return _pending(scope).limit(MOST_WAITPOINTS)


@query("waitpoints.find", Action.READ, surfaces=GRAPHQL_ONLY, tickets=False)
def find_waitpoints(scope: QueryScope, data: Paging) -> Page[Waitpoint]:
    """List pending approvals of runs, in pages.

    Newest first.
    """
    return _pending(scope).page(data)


def _pending(scope: QueryScope) -> Rows[Waitpoint]:
    return scope.select(Waitpoint).where(col(Waitpoint.status) == PENDING).order_by(*NEWEST_WAITPOINT)
