"""The audit log, as those who manage a workspace read it."""

from enum import StrEnum
from string import ascii_lowercase, ascii_uppercase
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator
from sqlalchemy import and_, case, func, null, or_, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import col

from models.base import table_of
from models.kernel import AuditLog
from models.people.auth import User
from models.people.workspaces import Membership
from resolvers.kernel import (
    EVERYONE,
    NO_SURFACE,
    Action,
    Filter,
    Id,
    Input,
    Numbered,
    Order,
    Otherwise,
    Page,
    Paging,
    QueryScope,
    Text,
    constant,
    contains,
    derived,
    graph,
    query,
)
from resolvers.oversight.audit.sources import Source, entries_of
from resolvers.people.workspaces.members import knows
from resolvers.rules.times import Since, Until, from_time, up_to


class AuditSort(StrEnum):
    """The order of the audit log: by time, then by id."""

    newest_first = "newest_first"
    oldest_first = "oldest_first"


ORDERS = {
    AuditSort.newest_first: (col(AuditLog.created_at).desc(), col(AuditLog.id).desc()),
    AuditSort.oldest_first: (col(AuditLog.created_at), col(AuditLog.id)),
}


LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)
ONE: Any = constant(1)


def _lower(kind: str) -> str:
    """ASCII letters alone, as the database keeps them."""
    return kind.translate(LOWER)


Kind = Annotated[Text, AfterValidator(_lower)]


def _found(value: Any) -> Any:
    """Searches the action, the kind of row, and the email address or name of the actor."""
    user = table_of(User).alias()
    own = user.c.id == col(AuditLog.user_id)
    named = select(ONE).select_from(user).where(own, contains(user.c.full_name)(value))
    member = table_of(Membership).alias()
    here = (member.c.user_id == user.c.id, member.c.workspace_id == col(AuditLog.workspace_id))
    known = user.join(member, and_(*here, member.c.accepted_at.is_not(None)))
    addressed = select(ONE).select_from(known).where(own, contains(user.c.email)(value))
    return or_(
        contains(AuditLog.action)(value), contains(AuditLog.entity_type)(value), named.exists(), addressed.exists()
    )


class FilterAudit(Input):
    """Filters are combined with AND; values match exactly, except that `entity_type` ignores letter case.

    `search` matches a part of the action, the entity type, or the user's email or name, ignoring the case of ASCII
    letters. `date_from` and `date_to` are inclusive; an invalid date matches nothing.
    """

    entity_id: Annotated[Id | None, Filter(AuditLog.entity_id, leads=True)] = None
    user_id: Annotated[Id | None, Filter(AuditLog.user_id, leads=True)] = None
    action: Annotated[Text | None, Filter(AuditLog.action, leads=True)] = None
    entity_type: Annotated[Kind | None, Filter(AuditLog.entity_kind, leads=True)] = None
    date_from: Annotated[Since, from_time(AuditLog.created_at)] = None
    date_to: Annotated[Until, up_to(AuditLog.created_at)] = None
    search: Annotated[Text | None, Filter(_found)] = None
    sort: Annotated[AuditSort, Otherwise(AuditSort.newest_first), Order(ORDERS)] = AuditSort.newest_first


class ListAudit(FilterAudit, Numbered):
    """Filters are combined with AND; values match exactly, except that `entity_type` ignores letter case.

    `search` matches a part of the action, the entity type, or the user's email or name, ignoring the case of ASCII
    letters. `date_from` and `date_to` are inclusive; an invalid date matches nothing. With `sort` and `after` the log
    is read in either direction.

    `source` reads another log: links between crews, the timelines of credentials, or the decisions of the keeper,
    which owners can read. The dates alone filter it.
    """

    source: Source = None

    cut_to_default: ClassVar[bool] = True  # contract: audit.list
    page_highest: ClassVar[int] = 1_000_000


class WalkAudit(FilterAudit, Paging):
    """For the export, which takes larger pages."""

    page_default: ClassVar[int] = 1000
    page_maximum: ClassVar[int] = 1000


def _of_user(column: str, known: Any = None) -> Any:
    def value(log: Any, scope: Any) -> Any:
        user = table_of(User).alias()
        own = scope.scalar(select(user.c[column]).where(user.c.id == log.user_id))
        return own if known is None else case((known(log, scope), own), else_=null())

    return derived(str | None, value)


graph(
    AuditLog,
    gate=Action.MANAGE,
    scope="workspace:read",
    visible=EVERYONE,
    user_email=_of_user("email", knows),
    user_name=_of_user("full_name"),
    change_list=derived(dict | None, lambda log, scope: func.change_list(log.changes, type_=JSONB())),
    metadata_text=derived(str, lambda log, scope: func.json_text(log.data)),
)


@query("audit.list", Action.MANAGE, tickets=False)
def list_audit(scope: QueryScope, data: ListAudit) -> Page[AuditLog]:
    """List entries of the audit log.

    Newest first by default, ties by id in the same direction.
    """
    if data.source is None:
        return scope.select(AuditLog).matching(data).page(data)
    down = "" if data.sort is AuditSort.oldest_first else "-"
    rows = scope.merge(AuditLog, entries_of(scope, data.source, data.date_from, data.date_to))
    return rows.order_by(f"{down}created_at", f"{down}id").page(data)


@query("audit.walk", Action.MANAGE, surfaces=NO_SURFACE, tickets=False)
def walk_audit(scope: QueryScope, data: WalkAudit) -> Page[AuditLog]:
    """List the audit log in large pages.

    For the export.
    """
    return scope.select(AuditLog).matching(data).page(data)
