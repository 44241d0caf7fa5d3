"""Spending as the journal has it: by day, and the routines and runs that cost most (contract: spend.journal)."""

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field
from sqlalchemy import Text as SQLText
from sqlalchemy import func, select

from models.resources.costs import ModelCall
from models.work.routine_runs import RoutineRun
from models.work.saved_routines import SavedRoutine
from resolvers.kernel import Action, Context, Input, Int, Output, constant, procedure
from resolvers.resources.costs.money import MILLION
from resolvers.rules.windows import WINDOWS, Window

MOST_ROWS: Final = 5_000
DIGITS: Final = re.compile(r"[0-9]{1,9}")
NOTHING: Any = constant("", SQLText())
DAY: Any = constant("YYYY-MM-DD", SQLText())
UTC: Any = constant("UTC", SQLText())


def _number(raw: Any) -> Any:
    """A whole number of a query string."""
    return int(raw) if isinstance(raw, str) and DIGITS.fullmatch(raw) else raw


Top = Annotated[Int, Field(ge=1, le=50), BeforeValidator(_number)]


class JournalSpendOf(Input):
    """Spending within the last `24h`, `7d` or `30d`. `top`: how many routines and runs are listed."""

    window: Window = "24h"
    top: Top = 5


class AgentDaySpend(Output):
    """The spending of an agent in a crew on a day. `crew_id` and `agent_id` are empty for calls of none."""

    date: str
    crew_id: str
    agent_id: str
    cost_usd: float
    call_count: int


class RoutineDaySpend(Output):
    """The spending of a routine's runs on a day."""

    date: str
    pipeline_id: str
    pipeline_slug: str
    cost_usd: float
    run_count: int


class SpendRank(Output):
    """A routine or run that is among those that cost most."""

    kind: str
    id: str
    label: str
    cost_usd: float

    @property
    def ranked_id(self) -> str:
        return self.id


class JournalSpend(Output):
    """Spending within a window of time, by days of UTC, in order. Calls that cost nothing are left out, also of the
    counts. `truncated`: `by_agent` has more than its 5,000 rows; the total covers all.
    """

    window: str
    total_cost_usd: float
    by_agent: list[AgentDaySpend]
    by_routine: list[RoutineDaySpend]
    top_routines: list[SpendRank]
    top_runs: list[SpendRank]
    truncated: bool


@procedure("spend.journal", Action.READ)
async def get_journal_spend(ctx: Context, data: JournalSpendOf) -> JournalSpend:
    """Get the spending of the journal's entries.

    Sums the entries cost.incurred by day, crew and agent, and the runs of routines by the day on which they began.
    """
    found = await ctx.report(_by_day(ctx, data.window))
    by_routine, routines, runs = [await ctx.report(each) for each in _of_routines(ctx, data)]
    return JournalSpend(
        window=data.window,
        total_cost_usd=int(found[0]["whole"]) / MILLION if found else 0.0,
        by_agent=[
            AgentDaySpend(
                cost_usd=int(row["cost_micros"]) / MILLION,
                call_count=row["calls"],
                **{name: row[name] for name in ("date", "crew_id", "agent_id")},
            )
            for row in found[:MOST_ROWS]
        ],
        by_routine=[RoutineDaySpend(**row) for row in by_routine],
        top_routines=[SpendRank(kind="routine", **row) for row in routines],
        top_runs=[SpendRank(kind="run", **row) for row in runs],
        truncated=len(found) > MOST_ROWS,
    )


def _by_day(ctx: Context, window: str) -> Any:
    """Each paid call is one entry of the journal (see models/sql/journal_lines.sql), and an index has them alone."""
    calls = ctx.table(ModelCall).c
    date = func.to_char(func.timezone(UTC, calls.created_at), DAY)
    crew, agent = (func.coalesce(calls[key], NOTHING) for key in ("crew_id", "agent_id"))
    cost = func.sum(calls.cost_micros)
    within = (calls.cost_micros > constant(0), calls.created_at >= func.now() - WINDOWS[window])
    columns = [date.label("date"), crew.label("crew_id"), agent.label("agent_id"), cost.label("cost_micros")]
    made = select(*columns, func.count().label("calls"), func.sum(cost).over().label("whole")).where(*within)
    return made.group_by(date, crew, agent).order_by(date, crew, agent).limit(MOST_ROWS + 1)


def _of_routines(ctx: Context, data: JournalSpendOf) -> tuple[Any, Any, Any]:
    """Statements of the days of each routine, of the routines that cost most, and of the runs."""
    run, routine = ctx.table(RoutineRun).c, ctx.table(SavedRoutine, including_deleted=True).c
    since = func.now() - WINDOWS[data.window]
    own = (routine.id == run.routine_id, run.cost_usd > constant(0.0), run.started_at >= since)
    date, cost = func.to_char(func.timezone(UTC, run.started_at), DAY), func.sum(run.cost_usd)
    named = func.coalesce(func.nullif(routine.name, NOTHING), routine.slug)
    day = select(
        date.label("date"), routine.id.label("pipeline_id"), routine.slug.label("pipeline_slug"),
        cost.label("cost_usd"), func.count().label("run_count"),
    ).where(*own)  # fmt: skip
    whole = select(routine.id.label("id"), named.label("label"), cost.label("cost_usd")).where(*own)
    single = select(run.id.label("id"), named.label("label"), run.cost_usd.label("cost_usd")).where(*own)
    return (
        day.group_by(date, routine.id, routine.slug).order_by(date, routine.slug).limit(MOST_ROWS),
        whole.group_by(routine.id, named).order_by(cost.desc(), routine.id).limit(data.top),
        single.order_by(run.cost_usd.desc(), run.id).limit(data.top),
    )
