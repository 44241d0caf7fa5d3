"""Who reads runs of routines, their steps and approvals, and what leads on from them."""

from typing import Any, Final

from sqlalchemy import JSON, Integer, case, cast, func, select
from sqlalchemy.types import Text
from sqlmodel import col

from models.people.auth import User
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.missions import Mission
from models.work.routine_runs import (
    RoutineRun,
    RoutineRunStatus,
    RoutineRunStep,
    RoutineStepState,
    RoutineTrigger,
    Waitpoint,
    WaitpointStatus,
)
from models.work.saved_routines import SavedRoutine
from resolvers.kernel import (
    EVERYONE,
    Action,
    Subject,
    confidential,
    constant,
    derived,
    extend,
    graph,
    many,
    of_parent,
    one,
)
from resolvers.work.routines import graph as of_routines  # noqa: F401 - the graph that the edges lead to

SCOPE: Final = "routines:read"
NEWEST_FIRST = (col(RoutineRun.started_at).desc(), col(RoutineRun.id).desc())
NEWEST_WAITPOINT = (col(Waitpoint.created_at).desc(), col(Waitpoint.id).desc())
IN_ORDER = (col(RoutineRunStep.started_at), col(RoutineRunStep.path))
RUN = Subject(RoutineRun, called="Run")
TO_THE_SECOND: Any = constant('YYYY-MM-DD"T"HH24:MI:SS"Z"', Text())
PENDING: Any = constant(WaitpointStatus.pending)
UNDER_WAY = (RoutineRunStatus.queued, RoutineRunStatus.running, RoutineRunStatus.waiting)
RESULTS: Final = {
    RoutineRunStatus.queued: "RUNNING",
    RoutineRunStatus.running: "RUNNING",
    RoutineRunStatus.waiting: "WAITING",
    RoutineRunStatus.completed: "COMPLETED",
    RoutineRunStatus.cancelled: "CANCELLED",
    RoutineRunStatus.dry_run: "DRY_RUN_OK",
}
"""The word of a result for each status; any other one is FAILED (contract: routines-dsl.ResultStatus)."""


def _or_empty(column: str) -> Any:
    """A text of the row, empty without a value (contract: routine_runs.list)."""
    return derived(str, lambda row, _: func.coalesce(cast(row[column], Text), constant(""), type_=Text()))


def _ended(run: Any, _: Any) -> Any:
    shown = func.to_char(func.timezone(constant("UTC", Text()), run.ended_at), TO_THE_SECOND, type_=Text())
    return func.coalesce(shown, constant(""), type_=Text())


def _duration(run: Any, _: Any) -> Any:
    """Milliseconds so far, or from start to end."""
    seconds = func.extract("epoch", func.coalesce(run.ended_at, func.now()) - run.started_at)
    return cast(func.least(seconds * constant(1000), constant(2**31 - 1)), Integer)


def _result(run: Any, _: Any) -> Any:
    chosen = [(run.status == constant(status), constant(word)) for status, word in RESULTS.items()]
    return case(*chosen, else_=constant("FAILED"))


def _outputs(run: Any, scope: Any) -> Any:
    """The outputs of the steps of the document. Loops and hooks have steps of their own, which are left out."""
    step, own = scope.beside(RoutineRunStep, run)
    ended = step.c.state.in_([constant(RoutineStepState.completed), constant(RoutineStepState.skipped)])
    inner = step.c.path.like(constant("%[%")) | step.c.path.like(constant("%:%"))
    output = case((step.c.state == constant(RoutineStepState.skipped), constant("<skipped>")), else_=step.c.output)
    found = select(func.json_object_agg(step.c.path, output)).where(step.c.routine_run_id == run.id, ended, ~inner)
    return func.coalesce(scope.scalar(found.where(*own)), cast(constant("{}"), JSON), type_=JSON())


def _issue(run: Any, scope: Any) -> Any:
    """The identifier of the issue that caused the run, as long as there is one."""
    mission, own = scope.beside(Mission, run)
    same = select(mission.c.identifier).where(mission.c.identifier == run.triggered_by_id, *own)
    found = scope.scalar(same.limit(constant(1)))
    of_issue = run.triggered_via == constant(RoutineTrigger.issue)
    return func.coalesce(case((of_issue, found)), constant(""), type_=Text())


def _waitpoint_token(run: Any, scope: Any) -> Any:
    """The token of the approval that the run waits for, for callers who may decide it."""
    waitpoint, own = scope.beside(Waitpoint, run)
    pending = (waitpoint.c.routine_run_id == run.id, waitpoint.c.status == PENDING)
    found = scope.scalar(select(waitpoint.c.token).where(*pending, *own).limit(constant(1)))
    return case((scope.may(run, Action.CREATE), found))


def _pending_id(run: Any, _: Any) -> Any:
    """The id of a queued run in the list of pending runs (contract: routines.Pending)."""
    named = constant("pnd_", Text()).concat(func.replace(run.id, constant("run_", Text()), constant("", Text())))
    return case((run.status == constant(RoutineRunStatus.queued), named))


def _first_line(run: Any, _: Any) -> Any:
    """At most 200 characters of the first line of an error (contract: routines.RunRecord)."""
    line = func.split_part(run.error_message, constant("\n", Text()), constant(1), type_=Text())
    return func.left(line, constant(200), type_=Text())


def _name(run: Any, scope: Any) -> Any:
    """Empty once the routine is deleted."""
    routine, own = scope.beside(SavedRoutine, run)
    found = scope.scalar(select(routine.c.name).where(routine.c.id == run.routine_id, *own))
    return func.coalesce(found, constant(""), type_=Text())


graph(
    RoutineRun,
    gate=Action.READ,
    scope=SCOPE,
    visible=EVERYONE,
    routine=one(SavedRoutine, "routine_id"),
    invoking_user=one(User, "invoking_user_id"),
    invoking_crew=one(Crew, "invoking_crew_id"),
    invoking_agent=one(Agent, "invoking_agent_id"),
    steps=many(RoutineRunStep, "routine_run_id", order_by=IN_ORDER),
    waitpoints=many(Waitpoint, "routine_run_id", order_by=NEWEST_WAITPOINT),
    routine_slug=of_parent(SavedRoutine, "routine_id", "slug"),
    routine_name=derived(str, _name),
    result=derived(str, _result),
    step_outputs=derived(dict[str, Any], _outputs),
    duration_ms=derived(int, _duration),
    ended_text=derived(str, _ended),
    issue_identifier=derived(str, _issue),
    error_line=derived(str | None, _first_line),
    cancel_requested=derived(bool, lambda run, _: run.stopping_at.is_not(None)),
    pending_id=derived(str | None, _pending_id),
    coalesced=derived(bool, lambda run, _: run.merges > constant(0)),
    is_replay=derived(bool, lambda run, _: run.replay_of.is_not(None)),
    waitpoint_token=derived(str | None, _waitpoint_token),
    waiting_step=derived(
        str | None,
        lambda run, _: case((run.status == constant(RoutineRunStatus.waiting), run.current_step_id)),
    ),
    **{
        f"{name}_text": _or_empty(name)
        for name in (
            "output", "current_step_id", "error_message", "failed_at_step", "triggered_by_id", "invoking_user_id",
            "invoking_crew_id", "invoking_agent_id", "replay_of", "concurrency_key",
        )
    },
)  # fmt: skip
graph(
    RoutineRunStep,
    gate=Action.READ,
    scope=SCOPE,
    visible=EVERYONE,
    routine_run=one(RoutineRun, "routine_run_id"),
)
graph(
    Waitpoint,
    gate=Action.READ,
    scope=SCOPE,
    visible=EVERYONE,
    routine_run=one(RoutineRun, "routine_run_id"),
    invoking_crew_id=derived(
        str | None, lambda row, scope: scope.parent(RoutineRun, row, "routine_run_id", "invoking_crew_id")
    ),
    kind=derived(str, lambda row, _: constant("approval", Text())),
)
confidential(Waitpoint, Action.CREATE, "token")
extend(SavedRoutine, runs=many(RoutineRun, "routine_id", order_by=NEWEST_FIRST))
