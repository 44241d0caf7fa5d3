"""Which rows need attention, and what their entries show. `NEEDS` is the one place that says which rows these are.

A row is listed for those who may read it where it is at home: the gate and the visibility of its own graph apply.
Nothing is stored for the list: each kind is a branch over an index of the few rows that need something.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import Field
from sqlalchemy import ARRAY, Integer, and_, case, func, not_, or_, select
from sqlalchemy.types import Text as SQLText

from models.actors import ActorType
from models.attention.approvals import Approval, ApprovalMode, ApprovalStatus
from models.attention.inbox import (
    LONGEST_ITEM_ID,
    InboxItem,
    InboxKind,
    InboxPriority,
    InboxState,
    InboxSubject,
    SenderType,
)
from models.base import TenantTable
from models.people.workspaces import Membership
from models.resources.budgets import Budget, BudgetPeriod
from models.resources.credentials import Credential, CredentialCrew, CredentialStatus
from models.staff.agents import Agent
from models.staff.assignments import Escalation, EscalationStatus
from models.staff.crews import Crew
from models.staff.runs import Run, RunStatus
from models.work.missions import Mission, MissionStatus, MissionTask, MissionType, TaskStatus
from models.work.work_pauses import WorkPause
from resolvers.attention.inbox.handovers import (
    entry_id,
    handed_over,
    is_left_to_another,
    is_left_to_caller,
)
from resolvers.attention.inbox.kinds import ENDED_BY_STATE, AttentionKind, AttentionSubject
from resolvers.kernel import (
    MOST_LISTED,
    Action,
    Bool,
    Id,
    Paging,
    QueryScope,
    at_most,
    constant,
    interval,
)
from resolvers.kernel.ground.constants import DAY
from resolvers.kernel.reader import access_of
from resolvers.rules.times import Since

SHOWN = 300  # characters of a title
STUCK = interval(minutes=10)
Kinds = Annotated[list[AttentionKind], at_most(MOST_LISTED)]
SubjectId = Annotated[str, Field(strict=True, max_length=LONGEST_ITEM_ID)]


class ListAttention(Paging):
    """Filters are combined with AND. `subject_id`: the id of the row itself. `since`: rows that have needed attention
    from this time on; an invalid time matches nothing. `handed_over`: entries that were left to other members, which
    are not listed otherwise.
    """

    page_maximum: ClassVar[int] = 500

    kind: Kinds | None = None
    crew_id: Id | None = None
    subject_id: SubjectId | None = None
    since: Since = None
    handed_over: Bool | None = None


Value = Callable[[Any, Any], Any]
"""`(row, scope)` -> an expression, or conditions."""
NONE: Any = constant(None, SQLText())


class EntryColumns(NamedTuple):
    """Columns of an entry that conditions may name."""

    since: Any
    crew_id: Any


@dataclass(frozen=True, kw_only=True)
class KindOfNeed:
    """Rows of one table that need attention with the same urgency. `item`: the table of inbox items beside them."""

    kind: AttentionKind
    urgency: int
    model: type[TenantTable]
    since: str
    when: Value
    title: Value
    crew: Value
    agent: Value
    subject: Value
    of_crew: Callable[[Any, Any, Any], Any] | None = None
    told_by_item: bool = False

    def rows(self, scope: QueryScope, data: ListAttention) -> Any:
        conditions: list[Callable[[Any, Any, Any], Any]] = []
        if data.kind is not None:
            conditions.append(lambda row, entry, within: constant(self.kind, SQLText()) == func.any(data.kind))
        if data.crew_id is not None:
            conditions.append(
                lambda row, entry, within: (
                    entry.crew_id == data.crew_id if self.of_crew is None else self.of_crew(row, within, data.crew_id)
                )
            )
        if data.subject_id is not None:
            conditions.append(lambda row, entry, within: row.id == data.subject_id)
        if data.since is not None:
            conditions.append(lambda row, entry, within: entry.since >= data.since)
        conditions.append(self._elsewhere if data.handed_over else self._here)
        return self._select(scope, *conditions)

    def _here(self, row: Any, entry: Any, within: Any) -> Any:
        return or_(row.id.not_in(handed_over(self.kind, within)), self._stays(row, entry, within))

    def _elsewhere(self, row: Any, entry: Any, within: Any) -> Any:
        """Begins with the ids, so that the primary key finds the rows."""
        ids = func.array(handed_over(self.kind, within).scalar_subquery(), type_=ARRAY(SQLText()))
        return and_(row.id == func.any(ids), not_(self._stays(row, entry, within)))

    def _stays(self, row: Any, entry: Any, within: Any) -> Any:
        """True unless it was left to another one."""
        since = None if self.kind in ENDED_BY_STATE else entry.since
        return ~is_left_to_another(self.kind, row, since, within)

    def entry(self, scope: Any, kind: Any, subject_id: Any) -> Any:
        """The entry of one row, if that is of this kind."""
        return self._select(
            scope,
            lambda row, entry, within: and_(
                constant(self.kind, SQLText()) == kind, row.id == subject_id, self._stays(row, entry, within)
            ),
        ).correlate(*scope.outer)

    def of(self, scope: Any, subject_id: Any) -> Any:
        """The entry of one row, also if it was left to another one."""
        return self._select(scope, lambda row, entry, within: row.id == subject_id)

    def _select(self, scope: Any, *conditions: Callable[[Any, Any, Any], Any]) -> Any:
        """`conditions`: of the columns of the table and of the entry."""
        row, own = scope.beside(self.model, scope)
        source, item, within = row, None, scope.around(row)
        if self.told_by_item:
            item, items = _failed_runs(scope)
            source = item.join(row, and_(row.c.id == item.c.subject_id, row.c.workspace_id == item.c.workspace_id))
            own, within = [*own, *items], scope.around(row, item)
        around = within if item is not None else scope.around(row)
        entry = EntryColumns(
            since=(row if item is None else item).c[self.since],
            crew_id=self.crew(row.c, within),
        )
        return (
            select(
                entry_id(self.kind, row.c).label("id"),
                row.c.workspace_id,
                constant(self.kind, SQLText()).label("kind"),
                constant(self.urgency, Integer()).label("urgency"),
                entry.since.label("since"),
                self.title(row.c, within).label("title"),
                self.subject(row.c, within).label("subject_type"),
                row.c.id.label("subject_id"),
                entry.crew_id.label("crew_id"),
                self.agent(row.c, within).label("agent_id"),
                (NONE if item is None else item.c.id).label("item_id"),
            )
            .select_from(source)
            .where(*own, *self.when(row.c, within), scope.may(scope, access_of(self.model).gate))
            .where(*[condition(row.c, entry, around) for condition in conditions])
        )


# ---- what the columns of an entry are -------------------------------------------------------------------------------


def _failed_runs(scope: QueryScope) -> tuple[Any, list[Any]]:
    """The open inbox items about failed runs, visible or not: a run is read with the rights of runs."""
    item, _ = scope.beside(InboxItem, scope)
    return item, [
        item.c.workspace_id == scope.workspace_id,
        item.c.kind == constant(InboxKind.failed_run),
        item.c.state != constant(InboxState.resolved),
        item.c.subject_type == constant(InboxSubject.run),
    ]


def _is(subject: AttentionSubject) -> Value:
    return lambda row, scope: constant(subject, SQLText())


def _column(name: str) -> Value:
    return lambda row, scope: row[name]


def _cut(name: str) -> Value:
    return lambda row, scope: func.left(row[name], constant(SHOWN), type_=SQLText())


def _or_none(name: str) -> Value:
    """A column that is empty without a value."""
    return lambda row, scope: func.nullif(row[name], constant(""), type_=SQLText())


def _nobody(row: Any, scope: Any) -> Any:
    return NONE


def _of(model: type[TenantTable], key: str, column: str) -> Value:
    """A column of the row that `key` names, also of a deleted one."""

    def value(row: Any, scope: Any) -> Any:
        other, own = scope.beside(model, row, including_deleted=True)
        return scope.scalar(select(other.c[column]).where(other.c.id == row[key], *own))

    return value


def _crew_of_budget(row: Any, scope: Any) -> Any:
    return func.coalesce(
        row.crew_id, _of(Agent, "agent_id", "crew_id")(row, scope), _of(Mission, "mission_id", "crew_id")(row, scope)
    )


def _title_of_budget(row: Any, scope: Any) -> Any:
    named = [
        _of(m, k, c)(row, scope)
        for m, k, c in ((Crew, "crew_id", "name"), (Agent, "agent_id", "name"), (Mission, "mission_id", "title"))
    ]
    return func.coalesce(*named, row.scope)


def _title_of_run(row: Any, scope: Any) -> Any:
    prompt = func.nullif(_cut("prompt")(row, scope), constant(""), type_=SQLText())
    return func.coalesce(prompt, _of(Agent, "agent_id", "name")(row, scope))


def _crew_of_credential(row: Any, scope: Any) -> Any:
    link, own = scope.beside(CredentialCrew, row)
    crews = select(link.c.crew_id).where(link.c.credential_id == row.id, *own)
    return scope.scalar(crews.order_by(link.c.position).limit(constant(1)))


def _credential_of_crew(row: Any, scope: Any, crew_id: Any) -> Any:
    return scope.has(CredentialCrew, row, credential_id=row.id, crew_id=crew_id)


def _agent_of_item(row: Any, scope: Any) -> Any:
    return case((row.sender_type == constant(SenderType.agent), row.sender_id), else_=NONE)


def _crew_of_item(row: Any, scope: Any) -> Any:
    agent = _of(Agent, "sender_id", "crew_id")(row, scope)
    return case(
        (row.sender_type == constant(SenderType.crew), row.sender_id),
        (row.sender_type == constant(SenderType.agent), agent),
        else_=NONE,
    )


# ---- which rows need attention --------------------------------------------------------------------------------------


def _asked(mode: ApprovalMode) -> Value:
    return lambda row, scope: [row.status == constant(ApprovalStatus.pending), row.mode == constant(mode)]


def _held(row: Any, scope: Any) -> list[Any]:
    """A task can be decided while its mission is in progress."""
    mission, own = scope.beside(Mission, row)
    goes_on = mission.c.status == constant(MissionStatus.IN_PROGRESS)
    found = select(mission.c.id).where(mission.c.id == row.mission_id, goes_on, *own)
    return [row.status == constant(TaskStatus.AWAITING_APPROVAL), scope.scalar(found).is_not(None)]


def is_stuck(row: Any) -> list[Any]:
    """No worker has taken the run, or its worker has lost it and no other one has taken it over."""
    late = func.now() - STUCK
    waits = and_(row.leased_until.is_(None), row.created_at < late)
    return [row.status == constant(RunStatus.RUNNING), or_(waits, row.leased_until < late)]


def _reached(column: str, *, spent: bool) -> Value:
    def condition(row: Any, scope: Any) -> list[Any]:
        span = case((row.period == constant(BudgetPeriod.day), DAY), else_=constant("total"))
        near = [] if spent else [row.exceeded_in.is_distinct_from(span)]
        return [row.reached_at.is_not(None), row[column] == span, *near]

    return condition


def _to_review(row: Any, scope: Any) -> list[Any]:
    """The work of its creator and of its assignee; of those who review if neither is a member any more."""
    own = or_(
        and_(row.created_by_type == constant(ActorType.user), row.created_by_id == scope.user_id),
        and_(row.assignee_type == constant(ActorType.user), row.assignee_id == scope.user_id),
    )
    others = [
        and_(row[f"{who}_type"] == constant(ActorType.user), scope.has(Membership, row, user_id=row[f"{who}_id"]))
        for who in ("created_by", "assignee")
    ]
    of_nobody = and_(*[func.coalesce(there, constant(False)).is_(constant(False)) for there in others])
    left = is_left_to_caller(AttentionKind.review, row, scope)
    mine = or_(own, and_(scope.may(row, Action.CREATE), of_nobody), left)
    return [row.status == constant(MissionStatus.REVIEW), mine]


def _mission_or_issue(row: Any, scope: Any) -> Any:
    return case((row.mission_type == constant(MissionType.issue), constant(_S.issue)), else_=constant(_S.mission))


def _by_itself(priority: InboxPriority) -> Value:
    """The condition of `BY_THEMSELVES`, word for word: the index is of these rows."""

    def condition(row: Any, scope: Any) -> list[Any]:
        others = [constant(subject) for subject in LISTED]
        return [
            row.state != constant(InboxState.resolved),
            or_(row.blocking, row.state == constant(InboxState.unread)),
            or_(row.subject_type.is_(None), row.subject_type.not_in(others)),
            ~and_(
                row.kind == constant(InboxKind.message),
                row.subject_type.is_not_distinct_from(constant(InboxSubject.issue)),
            ),
            row.priority == constant(priority),
        ]

    return condition


LISTED = (
    InboxSubject.approval,
    InboxSubject.escalation,
    InboxSubject.mission_task,
    InboxSubject.run,
    InboxSubject.budget,
    InboxSubject.work_pause,
)
"""Subjects that are listed in place of the items about them."""
_A, _S = AttentionKind, AttentionSubject
_RUN: dict[str, Any] = {
    "model": Run,
    "title": _title_of_run,
    "crew": _of(Agent, "agent_id", "crew_id"),
    "agent": _column("agent_id"),
    "subject": _is(_S.run),
}
_BUDGET: dict[str, Any] = {
    "kind": _A.budget,
    "model": Budget,
    "since": "reached_at",
    "title": _title_of_budget,
    "crew": _crew_of_budget,
    "agent": _column("agent_id"),
    "subject": _is(_S.budget),
}
_MISSION: dict[str, Any] = {
    "model": Mission, "title": _cut("title"), "crew": _column("crew_id"), "agent": _column("lead_agent_id"),
    "subject": _mission_or_issue,
}  # fmt: skip
NEEDS = (
    *[
        KindOfNeed(
            kind=_A.approval, urgency=urgency, model=Approval, since="created_at", when=_asked(mode),
            title=_cut("reason"), crew=_or_none("crew_id"), agent=_or_none("agent_id"), subject=_is(_S.approval),
        )
        for mode, urgency in ((ApprovalMode.sync, 1), (ApprovalMode["async"], 3))
    ],
    KindOfNeed(
        kind=_A.question, urgency=1, model=Escalation, since="created_at",
        when=lambda row, scope: [
            row.status == constant(EscalationStatus.PENDING), scope.has(Crew, row, id=row.crew_id)
        ],
        title=_cut("reason"), crew=_column("crew_id"), agent=_column("from_agent_id"), subject=_is(_S.escalation),
    ),
    KindOfNeed(
        kind=_A.task, urgency=1, model=MissionTask, since="updated_at", when=_held, title=_cut("title"),
        crew=_of(Mission, "mission_id", "crew_id"), agent=_column("assigned_agent_id"), subject=_is(_S.mission_task),
    ),
    KindOfNeed(
        kind=_A.failed_run, urgency=2, since="created_at", when=lambda row, scope: [], told_by_item=True, **_RUN
    ),
    KindOfNeed(kind=_A.stuck_run, urgency=2, since="began_at", when=lambda row, scope: is_stuck(row), **_RUN),
    KindOfNeed(urgency=2, when=_reached("exceeded_in", spent=True), **_BUDGET),
    KindOfNeed(urgency=3, when=_reached("warned_in", spent=False), **_BUDGET),
    KindOfNeed(
        kind=_A.work_pause, urgency=2, model=WorkPause, since="created_at",
        when=lambda row, scope: [row.resumed_at.is_(None)], title=_of(Mission, "mission_id", "title"),
        crew=_of(Mission, "mission_id", "crew_id"), agent=_column("agent_id"), subject=_is(_S.work_pause),
    ),
    KindOfNeed(
        kind=_A.mission_pause, urgency=3, since="paused_at", when=lambda row, scope: [row.paused_at.is_not(None)],
        **_MISSION,
    ),
    KindOfNeed(
        kind=_A.credential, urgency=2, model=Credential, since="updated_at",
        when=lambda row, scope: [row.status == constant(CredentialStatus.EXPIRED)], title=_cut("name"),
        crew=_crew_of_credential, agent=_nobody, subject=_is(_S.credential), of_crew=_credential_of_crew,
    ),
    KindOfNeed(kind=_A.review, urgency=3, since="updated_at", when=_to_review, **_MISSION),
    *[
        KindOfNeed(
            kind=_A.inbox_item, urgency=urgency, model=InboxItem, since="created_at", when=_by_itself(priority),
            title=_cut("title"), crew=_crew_of_item, agent=_agent_of_item, subject=_is(_S.inbox_item),
        )
        for urgency, priority in enumerate(InboxPriority, 1)
    ],
)  # fmt: skip
"""The kinds of rows. Urgency: 1 work waits for a decision, 2 it has stopped, 3 it continues, 4 everything else."""
