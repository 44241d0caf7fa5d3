"""Operations of users on the escalations of crews: list, count, delete."""

from sqlalchemy import func, select
from sqlmodel import col

from models.staff.assignments import Escalation
from models.staff.crews import Crew
from resolvers.kernel import Action, Context, Id, Input, NoInput, Output, Page, QueryScope, Row, Subject, command, query
from resolvers.staff.assignments.events import EscalationsPurgedEvent
from resolvers.staff.escalations.graph import NEWEST_FIRST, FilterEscalations, PendingEscalations, is_open

CREW = Subject(Crew, "crew_id")


class ListEscalations(FilterEscalations):
    """The list is empty if the crew does not exist."""

    crew_id: Id


class PurgeEscalations(Input):
    """A crew whose escalations are deleted."""

    crew_id: Id


class EscalationsPurged(Output):
    """The number of escalations deleted."""

    deleted: int


@query("escalations.list", Action.READ)
def list_escalations(scope: QueryScope, data: ListEscalations) -> Page[Escalation]:
    """List escalations of a crew.

    Newest first, ties by id, descending. Values provided for a CREDENTIAL are not included.
    """
    rows = scope.children(scope.find(CREW, data), Escalation, "crew_id")
    return rows.matching(data).order_by(*NEWEST_FIRST).page(data)


@query("escalations.pending_count", Action.READ)
def count_pending(scope: QueryScope, data: NoInput) -> Row[PendingEscalations]:
    """Count escalations that are pending.

    Covers all crews of the workspace.
    """
    rows, crews = scope.table(Escalation), scope.table(Crew)
    joined = rows.join(crews, rows.c.crew_id == crews.c.id)
    found = select(func.count().label("count")).select_from(joined).where(is_open(rows.c))
    return scope.view(PendingEscalations, found).one("Workspace not found")


@command("escalations.purge", Action.MANAGE, audit="escalations.purged", emits=EscalationsPurgedEvent)
async def purge_escalations(ctx: Context, data: PurgeEscalations) -> EscalationsPurged:
    """Delete the escalations of a crew.

    The crew may be deleted. Inbox items of the escalations are kept and can then be resolved in the inbox.
    """
    deleted = await ctx.delete_where(Escalation, col(Escalation.crew_id) == data.crew_id)
    if deleted:
        ctx.audit("ESCALATIONS", None, crew_id=data.crew_id, deleted=deleted)
        ctx.emit(EscalationsPurgedEvent(crew_id=data.crew_id))
    return EscalationsPurged(deleted=deleted)
