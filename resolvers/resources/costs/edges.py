"""Edges to recent costs of a workspace, a crew, an agent, a mission or a task, and to their budgets."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import func, select
from sqlmodel import col

from models.base import alias_of, table_of
from models.people.workspaces import Workspace
from models.resources.budgets import Budget, RunReservation
from models.resources.costs import CostDay, ModelCall
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.run_spans import RunSpan
from models.staff.runs import Run
from models.work.missions import Mission, MissionTask
from resolvers.kernel import EVERYONE, Action, View, constant, extend, graph, many, one, reads, sums_up
from resolvers.kernel.ground.constants import DATE
from resolvers.resources.costs.budgets import NEWEST_FIRST
from resolvers.resources.costs.ledger import MONEY
from resolvers.resources.costs.money import dollars, sum_of

DAYS = 30
SINCE: Any = DATE - constant(DAYS - 1)
TOKENS = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_creation_tokens")


class CostOfDay(View):
    """The usage and cost of a day's model calls. Days without calls are left out."""

    day: str
    calls: int
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    cache_creation_tokens: int
    cost_usd: float


graph(CostOfDay, gate=MONEY, scope="workspace:read", visible=EVERYONE)


def _days(key: str | None) -> Any:
    """Daily sums of the rows that name the row in `key`; of the whole workspace without a key."""

    def source(row: Any, scope: Any) -> Any:
        here = row.id if key is None else row.workspace_id
        days = table_of(CostDay).alias()
        own = () if key is None else (days.c[key] == row.id,)
        day = func.to_char(days.c.day, constant("YYYY-MM-DD")).label("day")
        sums = [sum_of(days.c[name]).label(name) for name in ("calls", *TOKENS)]
        made = select(day, *sums, dollars(sum_of(days.c.cost_micros)).label("cost_usd"))
        return made.where(days.c.workspace_id == here, days.c.day >= SINCE, *own).group_by(days.c.day)

    return reads(CostOfDay, source, order_by="-day")


CALLS = (col(ModelCall.created_at).desc(), col(ModelCall.id).desc())
extend(Workspace, costs=_days(None), budgets=many(Budget, "workspace_id", order_by=NEWEST_FIRST))
extend(Crew, costs=_days("crew_id"), budgets=many(Budget, "crew_id", order_by=NEWEST_FIRST))
extend(Agent, costs=_days("agent_id"), budgets=many(Budget, "agent_id", order_by=NEWEST_FIRST))
extend(
    Mission,
    model_calls=many(ModelCall, "mission_id", order_by=CALLS),
    budgets=many(Budget, "mission_id", order_by=NEWEST_FIRST),
)


class Usage(View):
    """The sums of model calls."""

    calls: int
    unpriced_calls: int
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    cache_creation_tokens: int
    cost_usd: float


class MissionUsage(Usage):
    """The usage and cost of the model calls of a mission's work, as of a run."""


class RunUsage(Usage):
    """The usage and cost of a run's model calls, for those who may read costs; others read no row, so that one document
    serves all. `unpriced_calls` have no known price, and count as free.
    """


class TaskUsage(Usage):
    """The usage and cost of the model calls of a task's last attempt, as of a run."""


for usage in (MissionUsage, RunUsage, TaskUsage):
    graph(usage, gate=Action.READ, scope="workspace:read", visible=EVERYONE)


def _of_assignment(task: Any, calls: Any) -> Any:
    """The calls of the runs that execute the task's assignment."""
    runs = alias_of(Run)
    own = (runs.c.workspace_id == task.workspace_id, runs.c.assignment_id == task.assignment_id)
    return calls.run_id.in_(select(runs.c.id).where(*own).correlate(task["id"].table))


def _usage(which: Callable[[Any, Any], Any]) -> Any:
    """The sums of the calls that `which` selects: `(row, calls)` -> a condition."""

    def source(row: Any, scope: Any) -> Any:
        call, own = scope.beside(ModelCall, row)
        calls = call.c
        made = select(
            func.count().label("calls"),
            (func.count() - func.count(calls.cost_micros)).label("unpriced_calls"),
            *[sum_of(calls[name]).label(name) for name in TOKENS],
            dollars(sum_of(calls.cost_micros)).label("cost_usd"),
        )
        return made.where(which(row, calls), *own).having(scope.may(row, MONEY))

    return source


extend(Mission, usage=sums_up(MissionUsage, _usage(lambda row, calls: calls.mission_id == row.id)))
extend(MissionTask, usage=sums_up(TaskUsage, _usage(_of_assignment)))
extend(Run, usage=sums_up(RunUsage, _usage(lambda row, calls: calls.run_id == row.id)))
extend(RunSpan, model_call=one(ModelCall, "model_call_id"))
extend(Run, budgets=many(Budget, "run_id", through=RunReservation, other_key="budget_id", order_by=NEWEST_FIRST))
