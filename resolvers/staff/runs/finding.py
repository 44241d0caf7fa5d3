"""Runs found by their state, place and time: every filter leads an index in the order of the list."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from sqlalchemy import case, func, or_, select
from sqlmodel import col

from models.base import table_of
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.runs import Run, RunState
from resolvers.kernel import (
    GRAPHQL_ONLY,
    MOST_LISTED,
    Action,
    CommaList,
    Filter,
    Id,
    Order,
    Otherwise,
    Page,
    Paging,
    QueryScope,
    Text,
    at_most,
    constant,
    contains,
    query,
)
from resolvers.kernel.reader.filters import CommaTexts
from resolvers.rules.times import Since, Until, from_time, up_to
from resolvers.staff.runs.listing import newest_first


class RunSort(StrEnum):
    """The order of a list of runs, by the time at which they began; before that, by their creation. `ended` lists runs
    that have ended, the last one first.
    """

    newest = "newest"
    oldest = "oldest"
    ended = "ended"


ORDERS = {
    RunSort.newest: newest_first,
    RunSort.oldest: (col(Run.began_at), col(Run.id)),
    RunSort.ended: (col(Run.finished_at).desc(), col(Run.id).desc()),
}
States = Annotated[list[RunState], at_most(MOST_LISTED), CommaList(RunState)]
ONE: Any = constant(1)
LOOKED_AT = 20_000
"""The newest runs of a workspace, which a search looks at."""
EVER: Any = constant(datetime(1970, 1, 1, tzinfo=UTC))


class FindRuns(Paging):
    """An issue is a mission too, so `issue_id` and `mission_id` are the same. An invalid time matches nothing. `search`
    matches a part of the id, the agent's or crew's name, the input or the error, ignoring the case of ASCII letters.
    """

    page_maximum: ClassVar[int] = 100

    mission_id: Annotated[Id | None, Filter(Run.mission_id, leads=True)] = None
    issue_id: Annotated[Id | None, Filter(Run.mission_id, leads=True)] = None
    agent_id: Annotated[Id | None, Filter(Run.agent_id, leads=True)] = None
    crew_id: Annotated[Id | None, Filter(Run.crew_id, leads=True)] = None
    model: Annotated[Text | None, Filter(Run.model, leads=True)] = None
    state: Annotated[States | None, Filter(Run.state, leads=True)] = None
    trigger: Annotated[CommaTexts | None, Filter(Run.trigger_type, leads=True)] = None
    since: Annotated[Since, from_time(Run.began_at)] = None
    until: Annotated[Until, up_to(Run.began_at)] = None
    ended_since: Annotated[Since, from_time(Run.finished_at)] = None
    search: Annotated[Text | None, Filter(scope="chats:read")] = None
    sort: Annotated[RunSort, Otherwise(RunSort.newest), Order(ORDERS)] = RunSort.newest


@query("runs.find", Action.READ, surfaces=GRAPHQL_ONLY)
def find_runs(scope: QueryScope, data: FindRuns) -> Page[Run]:
    """List runs by state, place and time.

    Newest first, unless `sort` says otherwise. Filters are combined with AND; `state` and `trigger` match one of
    several values. `issueId` and `missionId` match the mission or issue of the run's assignment, `crewId` the crew of
    the agent when the run was created. `since` and `until` are inclusive; `endedSince` matches runs that have ended
    since then, whenever they began. `search` looks at the newest 20,000 runs, and requires the scope `chats:read`,
    because the input of a run may be a message.
    """
    rows = scope.select(Run).matching(data)
    if data.sort is RunSort.ended:
        rows = rows.where(col(Run.finished_at).is_not(None))
    if data.search is not None:
        sought: Any = data.search
        absent = sought.clause.is_(None)
        begin = case((absent, EVER), else_=_oldest(scope))  # one comparison: an index ends there
        rows = rows.where(col(Run.began_at) >= begin, or_(absent, _says(scope, sought)))
    return rows.page(data)


def _newest(scope: QueryScope, column: str) -> Any:
    """A column of the newest runs, at which a search looks."""
    runs = scope.table(Run)
    return select(runs.c[column]).where(runs.c.began_at >= _oldest(scope))


def _oldest(scope: QueryScope) -> Any:
    """When the oldest run began at which a search looks."""
    runs = scope.table(Run)
    began = select(runs.c.began_at).order_by(runs.c.began_at.desc()).offset(constant(LOOKED_AT)).limit(ONE)
    return func.coalesce(scope.scalar(began), EVER)


def _named(scope: QueryScope, model: Any, key: str, value: Any) -> Any:
    """Returns the condition that the agent or the crew of the run has this name, deleted or not. Names are compared
    once a search and not once a run: the subquery refers to no run.
    """
    other = table_of(model).alias()
    own = (other.c.workspace_id == scope.workspace_id, other.c.id.in_(_newest(scope, key).distinct()))
    return col(getattr(Run, key)).in_(select(other.c.id).where(*own, contains(other.c.name)(value)))


def _says(scope: QueryScope, value: Any) -> Any:
    texts = [contains(each)(value) for each in (Run.id, Run.error_message, Run.prompt)]
    names = (_named(scope, Agent, "agent_id", value), _named(scope, Crew, "crew_id", value))
    return or_(*names, *texts)
