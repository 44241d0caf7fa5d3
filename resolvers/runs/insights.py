"""What the runs of a workspace were about, how long they took and how many failed, over a window of time."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import BigInteger, cast, desc, func, literal_column, select
from sqlalchemy.types import Text as SQLText

from models.agents import Agent
from models.crews import Crew
from models.runs import Run, RunStatus
from resolvers.kernel.command import procedure
from resolvers.kernel.context import Context
from resolvers.kernel.inputs import Input, Text
from resolvers.kernel.outputs import Output
from resolvers.kernel.policy import Action
from resolvers.runs.lifecycle import GOES_WRONG

MOST_RUNS = 20_000  # the newest of the window
MOST_ROWS = 8  # crews and agents
WINDOWS = {"24h": "24 hours", "7d": "7 days", "30d": "30 days"}
UNKNOWN: Any = literal_column("'unknown'", SQLText())
NOTHING: Any = literal_column("''", SQLText())
NO_CREW: Any = literal_column("'—'", SQLText())


def _known(window: str) -> str:
    if window not in WINDOWS:
        raise PydanticCustomError("window", "must be one of 24h, 7d and 30d")
    return window


class RunWindow(Input):
    """Runs that began within the last `24h`, `7d` or `30d`."""

    window: Annotated[Text, AfterValidator(_known), Field(json_schema_extra={"enum": list(WINDOWS)})] = "24h"


class RunTotals(Output):
    """FAILED and TIMEOUT are failed; a CANCELLED run counts in `total` alone."""

    total: int
    succeeded: int
    failed: int
    running: int


class RunDuration(Output):
    """Milliseconds, by nearest rank, of the runs that have ended; 0 when none has."""

    p50_ms: int
    p95_ms: int


class CategoryCount(Output):
    key: str
    total: int
    failed: int


class CrewCount(Output):
    """Agents without a crew are one row, with an empty id."""

    id: str
    name: str
    total: int
    failed: int


class AgentCount(Output):
    """`crew_name` is empty for an agent without a crew."""

    id: str
    name: str
    crew_name: str
    total: int
    failed: int


class RunInsights(Output):
    """Of the newest 20,000 runs of the window; `truncated` says that there are more. Busiest first; crews and agents are eight at most."""

    window: str
    totals: RunTotals
    duration: RunDuration
    by_trigger: list[CategoryCount]
    by_model: list[CategoryCount]
    by_crew: list[CrewCount]
    top_agents: list[AgentCount]
    truncated: bool


class Sample:
    """The runs of a window as a FROM entry, with the names of their agents and crews; of deleted ones too."""

    def __init__(self, ctx: Context, window: str) -> None:
        self.ctx = ctx
        run = ctx.table(Run)
        began = func.coalesce(run.c.started_at, run.c.created_at)
        within = began >= func.now() - literal_column(f"interval '{WINDOWS[window]}'")
        self.newest = select(run, began.label("began")).where(within).order_by(began.desc(), run.c.id.desc())
        self.run = self.newest.limit(MOST_RUNS).subquery()
        self.agent, self.crew = ctx.table(Agent, including_deleted=True), ctx.table(Crew, including_deleted=True)
        self.failed = func.count().filter(self.run.c.status.in_(GOES_WRONG))

    async def totals(self) -> tuple[RunTotals, RunDuration]:
        run = self.run.c
        took = cast(func.floor(func.extract("epoch", run.finished_at - run.began) * 1000), BigInteger)
        ranks = [func.coalesce(func.percentile_disc(rank).within_group(took), 0) for rank in (0.5, 0.95)]
        numbers = [func.count(), *[func.count().filter(run.status == status) for status in (RunStatus.COMPLETED, RunStatus.RUNNING)], self.failed]
        total, succeeded, running, failed, p50, p95 = (await self.ctx.report(select(*numbers, *ranks).select_from(self.run)))[0]
        return RunTotals(total=total, succeeded=succeeded, failed=failed, running=running), RunDuration(p50_ms=p50, p95_ms=p95)

    async def by(self, column: str) -> list[CategoryCount]:
        key = func.coalesce(func.nullif(self.run.c[column], NOTHING), UNKNOWN)
        counted = select(key.label("key"), func.count().label("total"), self.failed.label("failed")).group_by(key).order_by(desc("total"), "key")
        return [CategoryCount(**row) for row in await self.ctx.report(counted)]

    def _named(self, *columns: Any) -> Any:
        """Counters by columns of the agent or the crew."""
        joined = self.run.outerjoin(self.agent, self.agent.c.id == self.run.c.agent_id).outerjoin(self.crew, self.crew.c.id == self.agent.c.crew_id)
        counted = select(*columns, func.count().label("total"), self.failed.label("failed")).select_from(joined)
        return counted.group_by(*[column.element for column in columns]).limit(MOST_ROWS)

    async def by_crew(self) -> list[CrewCount]:
        id, name = func.coalesce(self.crew.c.id, NOTHING).label("id"), func.coalesce(self.crew.c.name, NO_CREW).label("name")
        return [CrewCount(**row) for row in await self.ctx.report(self._named(id, name).order_by(desc("total"), "name", "id"))]

    async def top_agents(self) -> list[AgentCount]:
        id, name = self.run.c.agent_id.label("id"), func.coalesce(self.agent.c.name, self.run.c.agent_id).label("name")
        crew_name = func.coalesce(self.crew.c.name, NOTHING).label("crew_name")
        return [AgentCount(**row) for row in await self.ctx.report(self._named(id, name, crew_name).order_by(desc("total"), "id"))]

    async def truncated(self) -> bool:
        further = self.newest.offset(MOST_RUNS).limit(1).subquery()
        return bool((await self.ctx.report(select(select(further.c.id).exists())))[0][0])


@procedure("runs.insights", Action.READ, tickets=True)
async def run_insights(ctx: Context, data: RunWindow) -> RunInsights:
    """Runs of the workspace in numbers: how they ended, how long they took, who did them and why."""
    sample = Sample(ctx, data.window)
    totals, duration = await sample.totals()
    return RunInsights(
        window=data.window,
        totals=totals,
        duration=duration,
        by_trigger=await sample.by("trigger_type"),
        by_model=await sample.by("model"),
        by_crew=await sample.by_crew(),
        top_agents=await sample.top_agents(),
        truncated=await sample.truncated(),
    )
