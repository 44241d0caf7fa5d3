"""Changes of what needs attention: the entries that events of the workspace may have changed, as they are now."""

from typing import Any, ClassVar

from sqlalchemy import Integer, Text, case, cast, column, func, select, union_all
from sqlalchemy.dialects.postgresql import array

from resolvers.attention.inbox.attention import SCOPES, Attention, entries_of
from resolvers.kernel import (
    EVERYONE,
    NO_SURFACE,
    Action,
    Branch,
    Page,
    Paging,
    QueryScope,
    View,
    constant,
    graph,
    query,
    sums_up,
)
from resolvers.kernel.background.following import Followed
from resolvers.kernel.declarations.row_events import LEVELS, PART


class AttentionChange(View):
    """An entry that may be new, changed or gone. Without an id, any entry may have changed."""

    seen: str
    workspace_id: str
    id: str | None
    kind: str | None
    subject_id: str | None


class AttentionAsSeen(Paging):
    """Changes after the position of `after`."""

    page_default: ClassVar[int] = 100
    backwards: ClassVar[bool] = False


def _entry(change: Any, scope: Any) -> Any:
    """The entry as it is now; none if the row does not need attention, or not from this caller."""
    same = union_all(*entries_of(scope, change.kind, change.subject_id)).subquery()
    return select(*same.c)


graph(
    AttentionChange,
    gate=Action.READ,
    scope="workspace:read",
    visible=EVERYONE,
    attention=sums_up(Attention, _entry),
)


def _parts(scope: Any) -> Any:
    """The parts of a workspace's listeners that the caller is in; the empty one is of all."""
    levels = [case((scope.may(scope, level), constant(f"{PART}{level}", as_="text"))) for level in LEVELS]
    return func.array_remove(array([constant("", as_="text"), *levels]), constant(None, as_="text"))


@query("attention.list_as_seen", Action.READ, surfaces=NO_SURFACE, scopes=SCOPES)
def list_attention_as_seen(scope: QueryScope, data: AttentionAsSeen) -> Page[AttentionChange]:
    """List changes of what needs attention.

    In the order in which they appeared.
    """
    place, asker = [fact.__clause_element__() for fact in (scope.workspace_id, scope.user_id)]

    def changes(most: Any, behind: Any) -> Any:
        (seen,) = behind or (constant(None, as_="text"),)
        found = func.attention_changes(place, asker, _parts(scope), seen, cast(most, Integer))
        names = ("seen", "workspace_id", "kind", "subject_id")
        change = found.table_valued(*[column(name, Text()) for name in names], name="change").c
        id = change.kind.concat(constant(":")).concat(change.subject_id)
        return select(change.seen, change.workspace_id, id.label("id"), change.kind, change.subject_id)

    return scope.merge(AttentionChange, Branch(changes, total=constant(0))).order_by("seen").page(data)


ATTENTION = Followed(list_attention_as_seen, news="attention_news")
