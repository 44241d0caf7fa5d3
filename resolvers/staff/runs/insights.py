"""Topics, durations and failures of a workspace's runs over a period."""

from typing import Any

from sqlalchemy import BigInteger, cast, desc, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import Text as SQLText

from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.runs import Run, RunStatus
from resolvers.kernel import Action, Context, Input, Output, constant, procedure
from resolvers.rules.windows import WINDOWS, Window
from resolvers.staff.runs.lifecycle import GOES_WRONG

MOST_RUNS = 20_000  # the newest of the window
MOST_ROWS = 8  # crews and agents
ONE: Any = constant(1)
UNKNOWN: Any = constant("unknown", SQLText())
NOTHING: Any = constant("", SQLText())
NO_CREW: Any = constant("—", SQLText())


class RunWindow(Input):
    """Runs that started within the last `24h`, `7d` or `30d`."""

    window: Window = "24h"


class RunTotals(Output):
    """FAILED and TIMEOUT count as failed; a CANCELLED run counts in `total` only."""

    total: int
    succeeded: int
    failed: int
    running: int


class RunDuration(Output):
    """Milliseconds, by nearest rank, over finished runs; 0 without any."""

    p50_ms: int
    p95_ms: int


class CategoryCount(Output):
    """Runs of one category."""

    key: str
    total: int
    failed: int


class CrewCount(Output):
    """Runs of the agents of a crew; agents without a crew are combined in one row with an empty id."""

    id: str
    name: str
    total: int
    failed: int

    @property
    def crew_id(self) -> str:
        return self.id


class AgentCount(Output):
    """Runs of one agent; `crew_name` is empty for an agent without a crew."""

    id: str
    name: str
    crew_name: str
    total: int
    failed: int

    @property
    def agent_id(self) -> str:
        return self.id


class RunInsights(Output):
    """Runs that started within a time window: the newest 20,000. `truncated` is set if there are more.

    Lists are ordered by number of runs, descending; crews and agents have at most eight entries.
    """

    window: str
    totals: RunTotals
    duration: RunDuration
    by_trigger: list[CategoryCount]
    by_model: list[CategoryCount]
    by_crew: list[CrewCount]
    top_agents: list[AgentCount]
    truncated: bool


class Sample:
    """The runs of a window as a FROM entry that is read once, with the names of agents and crews, deleted or not."""

    def __init__(self, ctx: Context, window: str) -> None:
        run = ctx.table(Run).c
        order = (run.began_at.desc(), run.id.desc())
        columns = [run.agent_id, run.trigger_type, run.model, run.status, run.began_at, run.finished_at]
        within = run.began_at >= func.now() - WINDOWS[window]
        newest = (
            select(*columns, func.row_number().over(order_by=order).label("place"))
            .where(within)
            .order_by(*order)
            .limit(MOST_RUNS + 1)
        )
        self.newest = newest.cte("newest")  # one more than is counted shows whether there are more
        self.run = select(self.newest).where(self.newest.c.place <= MOST_RUNS).subquery()
        self.agent, self.crew = ctx.table(Agent, including_deleted=True), ctx.table(Crew, including_deleted=True)
        self.failed = func.count().filter(self.run.c.status.in_(GOES_WRONG))

    def numbers(self) -> list[Any]:
        run = self.run.c
        took = cast(func.floor(func.extract("epoch", run.finished_at - run.began_at) * 1000), BigInteger)
        succeeded, running = (
            func.count().filter(run.status == status) for status in (RunStatus.COMPLETED, RunStatus.RUNNING)
        )
        totals = {"total": func.count(), "succeeded": succeeded, "failed": self.failed, "running": running}
        ranks = {
            name: func.coalesce(func.percentile_disc(rank).within_group(took), 0)
            for name, rank in (("p50_ms", 0.5), ("p95_ms", 0.95))
        }
        return [column.label(name) for name, column in (totals | ranks).items()]

    def by(self, column: str) -> Any:
        key = func.coalesce(func.nullif(self.run.c[column], NOTHING), UNKNOWN)
        counted = select(key.label("key"), func.count().label("total"), self.failed.label("failed")).group_by(key)
        return counted.order_by(desc("total"), "key")

    def _named(self, *columns: Any) -> Any:
        """Counters by columns of the agent or the crew."""
        joined = self.run.outerjoin(self.agent, self.agent.c.id == self.run.c.agent_id).outerjoin(
            self.crew, self.crew.c.id == self.agent.c.crew_id
        )
        counted = select(*columns, func.count().label("total"), self.failed.label("failed")).select_from(joined)
        return counted.group_by(*[column.element for column in columns]).limit(MOST_ROWS)

    def by_crew(self) -> Any:
        id, name = (
            func.coalesce(self.crew.c.id, NOTHING).label("id"),
            func.coalesce(self.crew.c.name, NO_CREW).label("name"),
        )
        return self._named(id, name).order_by(desc("total"), "name", "id")

    def top_agents(self) -> Any:
        id, name = self.run.c.agent_id.label("id"), func.coalesce(self.agent.c.name, self.run.c.agent_id).label("name")
        crew_name = func.coalesce(self.crew.c.name, NOTHING).label("crew_name")
        return self._named(id, name, crew_name).order_by(desc("total"), "id")

    def statement(self) -> Any:
        """One row: the numbers, whether there are more runs, and each list as JSON."""
        lists = {
            "by_trigger": self.by("trigger_type"),
            "by_model": self.by("model"),
            "by_crew": self.by_crew(),
            "top_agents": self.top_agents(),
        }
        truncated = select(select(ONE).where(self.newest.c.place > MOST_RUNS).exists()).scalar_subquery()
        columns = [_as_json(rows, f"{name}_rows").label(name) for name, rows in lists.items()]
        return select(*self.numbers(), truncated.label("truncated"), *columns).select_from(self.run)


def _as_json(rows: Any, name: str) -> Any:
    listed = rows.subquery(name)
    whole: Any = func.to_jsonb(listed.table_valued(), type_=JSONB())
    return (
        select(func.coalesce(func.jsonb_agg(whole), constant([]), type_=JSONB())).select_from(listed).scalar_subquery()
    )


@procedure("runs.insights", Action.READ, tickets=True)
async def run_insights(ctx: Context, data: RunWindow) -> RunInsights:
    """Get run insights.

    Summarises outcomes, durations, agents and triggers of the workspace's runs.
    """
    (found,) = await ctx.report(Sample(ctx, data.window).statement())
    return RunInsights(
        window=data.window,
        totals=RunTotals(**{name: found[name] for name in RunTotals.model_fields}),
        duration=RunDuration(**{name: found[name] for name in RunDuration.model_fields}),
        by_trigger=[CategoryCount(**row) for row in found["by_trigger"]],
        by_model=[CategoryCount(**row) for row in found["by_model"]],
        by_crew=[CrewCount(**row) for row in found["by_crew"]],
        top_agents=[AgentCount(**row) for row in found["top_agents"]],
        truncated=found["truncated"],
    )
