"""The catalogue of routines: list, get and delete."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field
from sqlalchemy import Text, cast, func
from sqlmodel import col

from models.attention.inbox import InboxKind
from models.work.saved_routines import LONGEST_TAG, RoutineStatus, SavedRoutine
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import settle
from resolvers.kernel import (
    Action,
    Context,
    Deleted,
    Filter,
    Id,
    Order,
    Otherwise,
    Page,
    Paging,
    QueryScope,
    Row,
    command,
    query,
)
from resolvers.work.routines.events import CatalogueChange, RoutinesChanged
from resolvers.work.routines.graph import BY_NAME, ROUTINE, ByRoutineSlug, proposal_of

MOST_LISTED = 500


class RoutineOrder(StrEnum):
    """The order of routines: most invoked first, last invoked or created first, or by name."""

    popularity = "popularity"
    recent = "recent"
    name = "name"


ORDERS = {
    RoutineOrder.popularity: (col(SavedRoutine.invocation_count).desc(), *BY_NAME),
    RoutineOrder.recent: (func.coalesce(SavedRoutine.last_invoked_at, SavedRoutine.created_at).desc(), *BY_NAME),
    RoutineOrder.name: BY_NAME,
}


def normalised(raw: Any) -> Any:
    """A tag in lower case, without blanks around it, of at most 128 bytes (contract: routines.tags_add)."""
    if not isinstance(raw, str):
        return raw
    return raw.strip().lower().encode(errors="replace")[:LONGEST_TAG].decode(errors="ignore")


Tag = Annotated[str, BeforeValidator(normalised), Field(strict=True, max_length=LONGEST_TAG)]


def _tagged(value: Any) -> Any:
    return col(SavedRoutine.tags).contains(func.jsonb_build_array(cast(value.clause, Text())))


class ListRoutines(Paging):
    """Filters, order and pagination of routines."""

    page_default: ClassVar[int] = MOST_LISTED
    page_maximum: ClassVar[int] = MOST_LISTED

    author_crew_id: Annotated[Id | None, Filter(SavedRoutine.author_crew_id)] = None
    status: Annotated[RoutineStatus | None, Filter(SavedRoutine.status)] = None
    tag: Annotated[Tag | None, Filter(_tagged)] = None
    order: Annotated[RoutineOrder, Otherwise(RoutineOrder.popularity), Order(ORDERS)] = RoutineOrder.popularity


@query("routines.list", Action.READ, tickets=False)
def list_routines(scope: QueryScope, data: ListRoutines) -> Page[SavedRoutine]:
    """List routines.

    Most invoked first by default; ties by name. Includes proposed and disabled ones.
    """
    return scope.select(SavedRoutine).matching(data).page(data)


@query("routines.get", Action.READ, subject=ROUTINE, tickets=False)
def get_routine(scope: QueryScope, routine: Row[SavedRoutine], data: ByRoutineSlug) -> Row[SavedRoutine]:
    """Get a routine by its slug."""
    return routine


@command(
    "routines.delete",
    Action.MANAGE,
    subject=ROUTINE,
    audit="routine.deleted",
    emits=(RoutinesChanged, InboxItemUpdated),
    versioned=SavedRoutine,
)
async def delete_routine(ctx: Context, routine: SavedRoutine, data: ByRoutineSlug) -> Deleted:
    """Delete a routine.

    Its versions stay: saving its slug again restores it. Its open inbox item is dismissed.
    """
    await ctx.delete(SavedRoutine, routine.id)
    await settle(ctx, InboxKind.escalation, proposal_of(routine.workspace_id, routine.slug), "dismissed")
    ctx.emit(RoutinesChanged(reason=CatalogueChange.deleted))
    return Deleted(id=routine.id)
