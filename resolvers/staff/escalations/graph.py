"""The view of escalations. One whose time for answers has ended reads as expired before the clock moves it."""

from datetime import datetime
from typing import Annotated, Any, Final

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.types import Boolean, Text
from sqlmodel import col

from models.attention.inbox import InboxItem, InboxKind
from models.base import alias_of
from models.resources.credentials import Credential
from models.staff.agents import Agent
from models.staff.assignments import HANDED_OVER, Escalation, EscalationStatus, EscalationType
from models.staff.crews import Crew
from models.work.missions import Mission
from resolvers.kernel import (
    EVERYONE,
    Action,
    Filter,
    Paging,
    View,
    constant,
    derived,
    extend,
    graph,
    many,
    named,
    one,
    shown_as,
)
from resolvers.kernel import Text as GivenText
from resolvers.rules.security_levels import CRITICAL, label_of

NEWEST_FIRST = (col(Escalation.created_at).desc(), col(Escalation.id).desc())
PENDING: Any = constant(EscalationStatus.PENDING)
EXPIRED: Any = constant(EscalationStatus.EXPIRED)
FOR_CREDENTIAL: Any = constant(EscalationType.CREDENTIAL)
SYSTEM: Final = "system"
"""The resolver of escalations that expire."""
LATE: Final = "expired: no human answered by "
TO_THE_SECOND: Any = constant('YYYY-MM-DD"T"HH24:MI:SS"Z"', Text())


def is_overdue(row: Any) -> Any:
    """The time for answers has ended."""
    return and_(row.status == PENDING, row.answer_deadline_at <= func.now())


def is_open(row: Any) -> Any:
    return and_(row.status == PENDING, or_(row.answer_deadline_at.is_(None), row.answer_deadline_at > func.now()))


def expiry_of(until: datetime) -> str:
    return f"{LATE}{until:%Y-%m-%dT%H:%M:%SZ}"


def _expiry(row: Any) -> Any:
    shown = func.to_char(func.timezone(constant("UTC", Text()), row.answer_deadline_at), TO_THE_SECOND, type_=Text())
    return func.concat(constant(LATE, Text()), shown, type_=Text())


def _overdue_or(value: Any, column: str) -> Any:
    return lambda row, scope: case((is_overdue(row), value(row)), else_=row[column])


def _resolution(row: Any, scope: Any) -> Any:
    """A marker replaces a value that was handed over."""
    submitted = and_(row.type == FOR_CREDENTIAL, row.status == constant(EscalationStatus.RESOLVED))
    return case((submitted, constant(HANDED_OVER)), (is_overdue(row), _expiry(row)), else_=row.resolution)


def _level(row: Any, scope: Any) -> Any:
    """Alike for every reader, and of a deleted credential, too."""
    credential = alias_of(Credential)
    same = (credential.c.workspace_id == row.workspace_id, credential.c.id == row.credential_id)
    return scope.scalar(select(credential.c.security_level).where(*same))


def _critical(row: Any, scope: Any) -> Any:
    of_tier = and_(row.type == FOR_CREDENTIAL, _level(row, scope) == constant(CRITICAL))
    return func.coalesce(of_tier, constant(False))


def _question(item: Any) -> tuple[Any, Any, Any, tuple[Any, ...]]:
    """The question for a credential that an inbox item is about."""
    question, credential, agent = (alias_of(model) for model in (Escalation, Credential, Agent))
    here = [table.c.workspace_id == item.workspace_id for table in (question, credential, agent)]
    behind = (credential.c.id == question.c.credential_id, agent.c.id == question.c.from_agent_id)
    asked = (question.c.id == item.source_id, item.kind == constant(InboxKind.escalation))
    return question, credential, agent, (*here, *behind, *asked, question.c.type == FOR_CREDENTIAL)


def _level_of_item(item: Any, scope: Any) -> Any:
    _, credential, _, same = _question(item)
    return scope.scalar(select(label_of(credential.c.security_level)).where(*same))


def _not_alone(item: Any, scope: Any) -> Any:
    """True for questions that wait and that the caller cannot decide; null for all others."""
    question, credential, agent, same = _question(item)
    own = (agent.c.created_by_user_id == scope.user_id, credential.c.security_level == constant(CRITICAL))
    return scope.scalar(select(constant(True, Boolean())).where(*same, *own, question.c.status == PENDING))


def _in_status(value: Any) -> Any:
    row: Any = Escalation
    return and_(col(row.status) == value.clause, or_(value.clause != PENDING, is_open(row)))


class FilterEscalations(Paging):
    """`status` is one status; unknown values match nothing."""

    status: Annotated[GivenText | None, Filter(_in_status, leads=True)] = None


class PendingEscalations(View):
    """Open escalations of existing crews."""

    count: int


graph(
    Escalation,
    gate=Action.READ,
    scope="crews:read",
    visible=EVERYONE,
    crew=one(Crew, "crew_id"),
    from_agent=one(Agent, "from_agent_id"),
    **named("from", Agent, "from_agent_id"),
    shown_resolution=derived(str, _resolution),
    metadata=derived(str | None, lambda row, scope: row.data),
    second_approver_required=derived(bool, _critical),
    second_approver_by_workspace=derived(bool, lambda row, scope: constant(False)),
    second_approver_by_tier=derived(bool, _critical),
    security_level_label=derived(str | None, lambda row, scope: label_of(_level(row, scope))),
)
shown_as(
    Escalation,
    status=_overdue_or(lambda row: EXPIRED, "status"),
    resolution=_overdue_or(_expiry, "resolution"),
    resolved_by=_overdue_or(lambda row: constant(SYSTEM, Text()), "resolved_by"),
    resolved_at=_overdue_or(lambda row: row.answer_deadline_at, "resolved_at"),
)
extend(
    InboxItem,
    second_approver_required=derived(bool | None, _not_alone),
    second_approver_by_workspace=derived(bool | None, lambda item, scope: constant(None, Boolean())),
    second_approver_by_tier=derived(bool | None, _not_alone),
    security_level_label=derived(str | None, _level_of_item),
)
extend(Mission, escalations=many(Escalation, "chat_id", order_by=NEWEST_FIRST, input=FilterEscalations))
graph(PendingEscalations, gate=Action.READ, scope="crews:read", visible=EVERYONE)
for owner, key in ((Crew, "crew_id"), (Agent, "from_agent_id")):
    extend(owner, escalations=many(Escalation, key, order_by=NEWEST_FIRST, input=FilterEscalations))
