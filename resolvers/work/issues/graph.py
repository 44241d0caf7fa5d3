"""The access to issues and their parts, and their edges."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from sqlalchemy import BigInteger, case, cast, func, or_, select
from sqlalchemy import Text as SQLText
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import col

from models.attention.inbox import InboxItem, InboxSubject
from models.people.workspaces import Workspace
from models.staff.crews import Crew
from models.work.issues import IssueActivity, IssueComment, IssueLabel, IssueRelation, RelationType
from models.work.labels import Label
from models.work.missions import ISSUE_BOARD, Assignment, IssueStatus, Mission, MissionStatus, MissionType
from models.work.projects import Milestone, Project
from resolvers.attention.inbox import attention, subjects
from resolvers.attention.inbox.kinds import AttentionSubject
from resolvers.kernel import (
    EVERYONE,
    MOST_LISTED,
    Action,
    CommaList,
    Filter,
    Id,
    Input,
    Order,
    Otherwise,
    Page,
    Paging,
    QueryScope,
    Text,
    View,
    actor,
    actor_name,
    at_most,
    constant,
    contains,
    count,
    derived,
    extend,
    graph,
    many,
    one,
    reads,
    through,
)
from resolvers.kernel.reader import Subtype, closed, either
from resolvers.kernel.reader.filters import CommaTexts
from resolvers.rules.issue_fields import IssuePriority
from resolvers.work.projects.graph import assigned_name

IS_ISSUE = (col(Mission.mission_type) == MissionType.issue,)
ISSUE_ROWS = Subtype(Mission, "Issue", IS_ISSUE)
OLDEST_FIRST = (col(IssueComment.created_at), col(IssueComment.id))
BY_HAND = (col(Mission.sort_order), col(Mission.created_at), col(Mission.id))
LAST_CHANGES = 50  # rows of activity that are shown
LINE_SHOWN = 200  # letters of the first line of an outcome


class IssueSort(StrEnum):
    """The order of a list of issues, descending; ties newest first."""

    created_at = "created_at"
    updated_at = "updated_at"
    priority = "priority"
    sort_order = "sort_order"


NEWEST_FIRST = (col(Mission.created_at).desc(), col(Mission.id).desc())
ORDERS = {
    IssueSort.created_at: NEWEST_FIRST,
    IssueSort.updated_at: (col(Mission.updated_at).desc(), col(Mission.id).desc()),
    IssueSort.priority: (col(Mission.priority).desc(), *NEWEST_FIRST),
    IssueSort.sort_order: (col(Mission.sort_order).desc(), *NEWEST_FIRST),
}

Statuses = Annotated[list[MissionStatus], at_most(MOST_LISTED), CommaList(MissionStatus)]


class IssueFilters(Input):
    """The filters that REST has, too."""

    project_id: Annotated[Id | None, Filter(Mission.project_id, leads=True)] = None
    crew_id: Annotated[Id | None, Filter(Mission.crew_id, leads=True)] = None
    assignee_id: Annotated[Id | None, Filter(Mission.assignee_id, leads=True)] = None
    status: Annotated[Statuses | None, Filter(Mission.status, leads=True, beside="crew_id")] = None
    priority: Annotated[CommaTexts | None, Filter(Mission.priority)] = None
    label: Annotated[Text | None, Filter(through(Mission, IssueLabel, "mission_id", Label, "label_id", "name"))] = None
    search: Annotated[Text | None, Filter(contains(Mission.title))] = None


class FilterIssues(IssueFilters, Paging):
    """Filters are combined with AND. `label` is the name of a label.

    `search` matches a part of the title, ignoring the case of ASCII letters.
    """

    cut_to_default: ClassVar[bool] = True  # contract: issues.list

    sort: Annotated[IssueSort, Otherwise(IssueSort.created_at), Order(ORDERS)] = IssueSort.created_at


class OfType(Input):
    """Issues, or missions of another type."""

    mission_type: Annotated[Text, Filter(Mission.mission_type)] = MissionType.issue.value


class ListIssues(OfType, FilterIssues):
    """Lists issues, or missions of another type."""


def listed(scope: QueryScope, data: FilterIssues) -> Page[Mission]:
    """The list, by the filters and in the order that the input has."""
    return scope.select(Mission).matching(data).page(data)


class IssueComments(Paging):
    """Comments, oldest first."""


class IssueChanges(Paging):
    """Changes, newest first."""


SOURCE_END, TARGET_END = ":source", ":target"


class IssueRelationView(View):
    """A relation as seen from one of its ends: `relation_type` is how that one stands to the other, which
    `target_identifier` and the rest are of. `id` is of the relation and the end; `relation_id` is the same at both.
    """

    id: str
    relation_id: str
    source_id: str
    target_id: str
    relation_type: RelationType
    target_identifier: str | None
    target_title: str
    target_status: MissionStatus
    created_at: str


def relations_of(issue_id: Any, row: Any, scope: Any) -> Any:
    """The statement of an IssueRelationView. `row`: whose workspace it is."""
    relation, own = scope.beside(IssueRelation, row)
    other, others = scope.beside(Mission, row)
    is_source = relation.c.source_id == issue_id
    seen = case(
        (or_(is_source, relation.c.relation_type != constant("blocks")), relation.c.relation_type),
        else_=constant("blocked_by"),
    )
    end = case((is_source, constant(SOURCE_END)), else_=constant(TARGET_END))
    columns = [
        func.concat(relation.c.id, end, type_=SQLText()).label("id"), relation.c.id.label("relation_id"),
        relation.c.source_id, relation.c.target_id, seen.label("relation_type"),
        other.c.identifier.label("target_identifier"),
        other.c.title.label("target_title"), other.c.status.label("target_status"), relation.c.created_at,
    ]  # fmt: skip
    ends = other.c.id == case((is_source, relation.c.target_id), else_=relation.c.source_id)
    return (
        select(*columns)
        .select_from(relation.join(other, ends))
        .where(or_(is_source, relation.c.target_id == issue_id), *own, *others)
    )


def _first_line(name: str) -> Any:
    def cut(row: Any, scope: Any) -> Any:
        line = func.split_part(row[name], constant("\n"), constant(1), type_=SQLText())
        shown = func.left(line, constant(LINE_SHOWN), type_=SQLText()).concat(constant("…"))
        return case((func.char_length(line) > constant(LINE_SHOWN), shown), else_=line)

    return derived(str, cut)


def _next_statuses(row: Any, scope: Any) -> Any:
    """A JSON list of the states that a person can set."""
    shown = [MissionStatus(status) for status in IssueStatus]
    leads = [
        (row.status == constant(status), constant([to.value for to in shown if to in following], JSONB()))
        for status, following in ISSUE_BOARD.moves.items()
    ]
    return case(*leads, else_=constant([], JSONB()))


def _duration(row: Any, scope: Any) -> Any:
    """Milliseconds; 0 while the duration is unknown."""
    seconds = func.extract("epoch", row.finished_at - row.started_at)
    return cast(
        func.greatest(func.coalesce(seconds, constant(0)) * constant(1000), constant(0)),
        BigInteger,
    )


extend(
    Mission,
    priority_level=closed(IssuePriority, "priority"),
    next_statuses=derived(list[IssueStatus], _next_statuses),
    assignee=actor("assignee_type", "assignee_id"),
    assignee_name=assigned_name("assignee_type", "assignee_id"),
    creator=actor("created_by_type", "created_by_id"),
    created_by_name=actor_name("created_by_type", "created_by_id"),
    project=one(Project, "project_id"),
    milestone=one(Milestone, "milestone_id"),
    parent_issue=one(ISSUE_ROWS, "parent_issue_id"),
    sub_issues=many(ISSUE_ROWS, "parent_issue_id", order_by=BY_HAND),
    sub_issues_count=count(ISSUE_ROWS, "parent_issue_id"),
    labels=many(Label, "mission_id", through=IssueLabel, other_key="label_id", order_by=col(Label.name)),
    comments=many(IssueComment, "mission_id", order_by=OLDEST_FIRST, input=IssueComments),
    comment_count=count(IssueComment, "mission_id"),
    relations=reads(
        IssueRelationView, lambda row, scope: relations_of(row.id, row, scope), order_by=("created_at", "relation_id")
    ),
    changes=many(
        IssueActivity,
        "mission_id",
        order_by=(col(IssueActivity.created_at).desc(), col(IssueActivity.id).desc()),
        input=IssueChanges,
    ),
    activity=many(
        IssueActivity, "mission_id", order_by=(col(IssueActivity.created_at).desc(), col(IssueActivity.id).desc())
    ),
)
extend(
    InboxItem,
    subject=either("subject_type", subjects.ABOUT | {InboxSubject.issue: one(ISSUE_ROWS, "subject_id")}, guarded=True),
)
extend(
    attention.Attention,
    subject=either(
        "subject_type",
        subjects.SUBJECTS | {AttentionSubject.issue: one(ISSUE_ROWS, "subject_id")},
        guarded=True,
    ),
)
graph(
    IssueComment, gate=Action.READ, scope="issues:read", visible=EVERYONE,
    author=actor("author_type", "author_id"), author_name=actor_name("author_type", "author_id"),
    issue=one(ISSUE_ROWS, "mission_id"),
)  # fmt: skip
graph(
    IssueActivity,
    gate=Action.READ,
    scope="issues:read",
    visible=EVERYONE,
    actor=actor("actor_type", "actor_id"),
    actor_name=actor_name("actor_type", "actor_id"),
)
graph(IssueRelationView, gate=Action.READ, scope="issues:read", visible=EVERYONE)
extend(
    Assignment,
    result_line=_first_line("result_summary"),
    error_line=_first_line("error_message"),
    duration_ms=derived(int, _duration),
)
for owner, key in (
    (Workspace, "workspace_id"),
    (Crew, "crew_id"),
    (Project, "project_id"),
    (Milestone, "milestone_id"),
):
    extend(owner, issues=many(ISSUE_ROWS, key, order_by=NEWEST_FIRST, input=FilterIssues))
labelled = many(
    ISSUE_ROWS,
    "label_id",
    through=IssueLabel,
    other_key="mission_id",
    order_by=NEWEST_FIRST,
    input=FilterIssues,
)
extend(Label, issues=labelled)
