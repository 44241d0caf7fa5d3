"""Issues by the filters of boards, which GraphQL has: as a list, and as counts."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import BigInteger, Integer, case, cast, func, or_, select
from sqlalchemy import Text as SQLText
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import col

from models.work.issues import IssueComment, IssueLabel
from models.work.missions import Mission
from models.work.projects import Project
from resolvers.kernel import (
    EVERYONE,
    GRAPHQL_ONLY,
    MOST_LISTED,
    Action,
    Filter,
    Id,
    Input,
    Order,
    Page,
    QueryScope,
    Rows,
    Text,
    View,
    actor,
    at_most,
    constant,
    contains,
    graph,
    one,
    query,
)
from resolvers.kernel.reader.filters import linked, says_below
from resolvers.rules.issue_fields import PRIORITIES
from resolvers.rules.times import Since, from_time
from resolvers.work.issues.graph import FilterIssues, IssueFilters, OfType

DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
MOST_COUNTS = 1000
LabelIds = Annotated[list[Id], at_most(MOST_LISTED)]


class IssueOrder(StrEnum):
    """The field and the direction of a list of issues. `rank` is the order of boards, which `moveIssue` sets.

    `priority_desc` begins with urgent issues; an arbitrary text counts as none. `due_date_asc` ends with issues that
    have no due date. In both, issues that are equal are in the order of their creation, in the same direction.
    """

    rank_asc = "rank_asc"
    rank_desc = "rank_desc"
    created_at_asc = "created_at_asc"
    created_at_desc = "created_at_desc"
    updated_at_asc = "updated_at_asc"
    updated_at_desc = "updated_at_desc"
    priority_asc = "priority_asc"
    priority_desc = "priority_desc"
    due_date_asc = "due_date_asc"
    due_date_desc = "due_date_desc"
    sort_order_asc = "sort_order_asc"
    sort_order_desc = "sort_order_desc"


COMMENTED = says_below(Mission, IssueComment, "mission_id", "body")


PLACES = [*enumerate(PRIORITIES)][:0:-1]  # the most urgent first
# As the indexes have them: models.work.missions.URGENCY, and DUE.
URGENCY = case(
    *[(col(Mission.priority) == constant(name), constant(place, Integer())) for place, name in PLACES],
    else_=constant(0, Integer()),
)
DUE = case((col(Mission.due_date).is_(None), constant("none")), else_=col(Mission.due_date))


def _both_ways(name: str, *keys: Any) -> dict[IssueOrder, tuple[Any, ...]]:
    return {
        IssueOrder(f"{name}_asc"): keys,
        IssueOrder(f"{name}_desc"): tuple([key.desc() for key in keys]),
    }


CREATED = (col(Mission.created_at), col(Mission.id))
ORDERS = (
    _both_ways("rank", col(Mission.rank), col(Mission.id))
    | _both_ways("created_at", *CREATED)
    | _both_ways("updated_at", col(Mission.updated_at), col(Mission.id))
    | _both_ways("priority", URGENCY, *CREATED)
    | _both_ways("due_date", DUE, *CREATED)
    | _both_ways("sort_order", col(Mission.sort_order), *CREATED)
)


def _unassigned(value: Any) -> Any:
    return (func.coalesce(col(Mission.assignee_id), constant("")) == constant("")) == value.clause


def _due_before(value: Any) -> Any:
    """Dates are texts as they were sent; those that are no dates are not due."""
    due = col(Mission.due_date)
    return due.regexp_match(constant(DAY)) & (due.collate("C") < value.clause)


def _says(value: Any) -> Any:
    texts = (Mission.identifier, Mission.title, Mission.description)
    return or_(*[contains(each)(value) for each in texts], COMMENTED(value))


class BoardFilters(Input):
    """Filters that only GraphQL has. The first ones are in few issues, so they lead if they are sent."""

    parent_issue_id: Annotated[Id | None, Filter(Mission.parent_issue_id, leads=True)] = None
    milestone_id: Annotated[Id | None, Filter(Mission.milestone_id, leads=True)] = None
    creator_id: Annotated[Id | None, Filter(Mission.created_by_id, leads=True)] = None
    unassigned: Annotated[bool | None, Filter(_unassigned)] = None
    any_label_ids: Annotated[LabelIds | None, Filter(linked(Mission, IssueLabel, "mission_id", "label_id"))] = None
    all_label_ids: Annotated[
        LabelIds | None, Filter(linked(Mission, IssueLabel, "mission_id", "label_id", every=True))
    ] = None
    due_before: Annotated[Annotated[str, Field(pattern=DAY, max_length=10)] | None, Filter(_due_before)] = None
    text: Annotated[Text | None, Filter(_says, bounds=True)] = None
    updated_since: Annotated[Since, from_time(Mission.updated_at)] = None


MOST_CANDIDATES: Any = constant(1_000)
"""Issues that are looked up by their ids. A text of more is so common that a list in its order is soon full. Measured
among 20,000 issues: a text of 1,111 takes 4 ms by their ids and 20 in order. A text of all takes 5 ms, 13 if the limit
is 5,000, and 54 by their ids.
"""


def _candidates(scope: QueryScope, data: BoardFilters) -> Any:
    """The ids of issues that may contain the text, by an index that row-level security keeps conditions on texts out
    of. See models/sql/issue_texts.sql.
    """
    if data.text is None:
        return None
    sought: Any = data.text
    return func.issue_candidates(scope.workspace_id.clause, sought.clause, MOST_CANDIDATES, type_=ARRAY(SQLText()))


class Ordering(Input):
    """An order that goes before `sort`."""

    order_by: Annotated[IssueOrder | None, Order(ORDERS)] = None


class FindIssues(FilterIssues, OfType, BoardFilters, Ordering):
    """Filters are combined with AND. `label` is the name of a label; `any_label_ids` and `all_label_ids` are ids.

    `search` matches a part of the title, `text` a part of the identifier, the title, the description or a comment; both
    ignore the case of ASCII letters. `due_before` is a day, YYYY-MM-DD; issues without such a due date do not match.
    `order_by` replaces `sort`.
    """


class IssueCountBy(StrEnum):
    """The columns that issues can be counted by."""

    status = "status"
    assignee = "assignee"
    priority = "priority"
    project = "project"


class CountIssues(IssueFilters, OfType, BoardFilters):
    """The filters of the list of issues."""

    by: IssueCountBy


class IssueCount(View):
    """The number of issues that have one status, assignee, priority or project."""

    workspace_id: str
    key: str | None
    assignee_type: str | None
    assignee_id: str | None
    project_id: str | None
    count: int


graph(
    IssueCount,
    gate=Action.READ,
    scope="issues:read",
    visible=EVERYONE,
    assignee=actor("assignee_type", "assignee_id"),
    project=one(Project, "project_id"),
)


@query("issues.find", Action.READ, surfaces=GRAPHQL_ONLY)
def find_issues(scope: QueryScope, data: FindIssues) -> Page[Mission]:
    """List issues.

    Newest first by default. `orderBy: rank_asc` is the order of boards.
    """
    return scope.select(Mission).matching(data).found_among(_candidates(scope, data)).page(data)


@query("issues.count", Action.READ, surfaces=GRAPHQL_ONLY)
def count_issues(scope: QueryScope, data: CountIssues) -> Rows[IssueCount]:
    """Count issues by status, assignee, priority or project.

    Counts the issues that the filters match, the largest count first, at most 1,000. The key is a status, the id of an
    assignee or a project, or a priority; null stands for issues without one.
    """
    none: Any = constant(None, SQLText())
    issues = scope.matched(Mission, data, _candidates(scope, data))
    keys: dict[str, Any] = {"assignee_type": none, "assignee_id": none, "project_id": none}
    if data.by is IssueCountBy.assignee:
        key = keys["assignee_id"] = func.nullif(issues.c.assignee_id, constant(""), type_=SQLText())
        keys["assignee_type"] = issues.c.assignee_type
    elif data.by is IssueCountBy.project:
        key = keys["project_id"] = issues.c.project_id
    else:
        key = issues.c[data.by.value]
    columns = [issues.c.workspace_id, key.label("key"), *[each.label(name) for name, each in keys.items()]]
    counted = select(*columns, cast(func.count(), BigInteger).label("count")).select_from(issues)
    grouped = [issues.c.workspace_id, key, *[each for each in keys.values() if each is not none]]
    rows = scope.view(IssueCount, counted.group_by(*grouped))
    return rows.order_by("-count", "key", "assignee_type").limit(MOST_COUNTS)
