"""Runs found by their state, place and time: every filter leads an index in the order of the list."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from sqlalchemy import Text as SQLText
from sqlalchemy import column, func, or_, select, tuple_
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
NO_CREW: Any = constant("")
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
    search: Annotated[Text | None, Filter(bounds=True, scope="chats:read")] = None
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
        rows = rows.where(col(Run.began_at) >= _oldest(scope), _says(scope, data.search))
    return rows.page(data)


def _oldest(scope: QueryScope) -> Any:
    """When the oldest run began at which a search looks. A scalar as a whole: no index is read from a COALESCE on,
    because PostgreSQL does not know it as safe to compare before a policy.
    """
    runs = scope.table(Run)
    began = select(runs.c.began_at).order_by(runs.c.began_at.desc()).offset(constant(LOOKED_AT)).limit(ONE)
    return select(func.coalesce(scope.scalar(began), EVER)).scalar_subquery()


def _named(scope: QueryScope, value: Any) -> Any:
    """Returns the condition that the agent or the crew of the run has this name, deleted or not. Names are compared
    once a search and not once a run: the subquery refers to no run.
    """
    newest = func.newest_runs(scope.workspace_id, constant(LOOKED_AT))
    own = newest.table_valued(column("agent", SQLText()), column("crew", SQLText()), name="newest")
    named = list[Any]()
    for model, key in ((Agent, own.c.agent), (Crew, own.c.crew)):
        other = table_of(model).alias()
        found = (other.c.workspace_id == scope.workspace_id, other.c.id == key, contains(other.c.name)(value))
        named.append(select(ONE).select_from(other).where(*found).correlate(*scope.outer, own).exists())
    pairs = select(own.c.agent, own.c.crew).where(or_(*named)).correlate(*scope.outer)
    return tuple_(col(Run.agent_id), func.coalesce(col(Run.crew_id), NO_CREW)).in_(pairs)


def _says(scope: QueryScope, value: Any) -> Any:
    return or_(_named(scope, value), *[contains(each)(value) for each in (Run.id, Run.error_message, Run.prompt)])
