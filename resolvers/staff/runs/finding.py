"""Runs found by their state, place and time: every filter leads an index in the order of the list."""

from enum import StrEnum
from typing import Annotated, ClassVar

from sqlmodel import col

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
    query,
)
from resolvers.kernel.reader.filters import CommaTexts
from resolvers.rules.times import Since, Until, from_time, up_to
from resolvers.staff.runs.listing import newest_first


class RunSort(StrEnum):
    """The order of a list of runs, by the time at which they began; before that, by their creation."""

    newest = "newest"
    oldest = "oldest"


ORDERS = {RunSort.newest: newest_first, RunSort.oldest: (col(Run.began_at), col(Run.id))}
States = Annotated[list[RunState], at_most(MOST_LISTED), CommaList(RunState)]


class FindRuns(Paging):
    """An issue is a mission too, so `issue_id` and `mission_id` are the same. An invalid time matches nothing."""

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
    sort: Annotated[RunSort, Otherwise(RunSort.newest), Order(ORDERS)] = RunSort.newest


@query("runs.find", Action.READ, surfaces=GRAPHQL_ONLY)
def find_runs(scope: QueryScope, data: FindRuns) -> Page[Run]:
    """List runs by state, place and time.

    Newest first, unless `sort` says otherwise. Filters are combined with AND; `state` and `trigger` match one of
    several values. `issueId` and `missionId` match the mission or issue of the run's assignment, `crewId` the crew of
    the agent when the run was created. `since` and `until` are inclusive.
    """
    return scope.select(Run).matching(data).page(data)
