"""Reviews of proposed routines."""

from typing import Final

from sqlmodel import col

from models.attention.inbox import InboxKind
from models.work.saved_routines import ROUTINE_STATES, RoutineStatus, RoutineVersion, SavedRoutine
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import settle
from resolvers.kernel import Action, Code, Context, Output, Refusal, command
from resolvers.work.routines.events import CatalogueChange, RoutinesChanged
from resolvers.work.routines.graph import ROUTINE, ByRoutineSlug, proposal_of
from resolvers.work.routines.versions import head_at

NOT_PROPOSED: Final = "The routine is not proposed"
IN_REVIEW: Final = "The routine is proposed: approve or reject it"
REJECTED: Final = "rejected"


class RoutineStanding(Output):
    """The status of a routine after a decision: one of RoutineStatus, or rejected."""

    slug: str
    status: str


async def settled(ctx: Context, routine: SavedRoutine, action: str) -> None:
    await settle(ctx, InboxKind.escalation, proposal_of(routine.workspace_id, routine.slug), action)


def _check_proposed(routine: SavedRoutine) -> None:
    if routine.status is not RoutineStatus.proposed:
        raise Refusal(Code.CONFLICT, NOT_PROPOSED, extra={"status": routine.status.value})


@command(
    "routines.approve",
    Action.CREATE,
    subject=ROUTINE,
    locked=True,
    audit="routine.approved",
    emits=(RoutinesChanged, InboxItemUpdated),
    errors=(Code.CONFLICT,),
)
async def approve_routine(ctx: Context, routine: SavedRoutine, data: ByRoutineSlug) -> RoutineStanding:
    """Approve a proposed routine.

    It becomes active, and its inbox item is resolved. Its author may approve it. CONFLICT if it is not proposed.
    """
    _check_proposed(routine)
    await ctx.move(ROUTINE_STATES, routine, RoutineStatus.active, approved_version=routine.head_version)
    await settled(ctx, routine, "approved")
    ctx.emit(RoutinesChanged(reason=CatalogueChange.approved))
    return RoutineStanding(slug=routine.slug, status=RoutineStatus.active)


@command(
    "routines.reject",
    Action.CREATE,
    subject=ROUTINE,
    locked=True,
    audit="routine.rejected",
    emits=(RoutinesChanged, InboxItemUpdated),
    errors=(Code.CONFLICT, Code.UNPROCESSABLE),
)
async def reject_routine(ctx: Context, routine: SavedRoutine, data: ByRoutineSlug) -> RoutineStanding:
    """Reject a proposed routine.

    A routine that was active before returns to that version, and stays active; another one is deleted. Its inbox item
    is resolved. CONFLICT if it is not proposed.
    """
    _check_proposed(routine)
    if routine.approved_version is None:
        await ctx.delete(SavedRoutine, routine.id)
    else:
        former = col(RoutineVersion.number) == routine.approved_version
        version = await ctx.select(RoutineVersion, col(RoutineVersion.routine_id) == routine.id, former).one()
        changes = await head_at(ctx, routine, version)
        await ctx.move(ROUTINE_STATES, routine, RoutineStatus.active, **changes)
    await settled(ctx, routine, REJECTED)
    ctx.emit(RoutinesChanged(reason=CatalogueChange.rejected))
    return RoutineStanding(slug=routine.slug, status=REJECTED)


@command(
    "routines.enable",
    Action.MANAGE,
    subject=ROUTINE,
    locked=True,
    audit="routine.enabled",
    emits=RoutinesChanged,
    errors=(Code.CONFLICT,),
)
async def enable_routine(ctx: Context, routine: SavedRoutine, data: ByRoutineSlug) -> RoutineStanding:
    """Enable a disabled routine.

    CONFLICT for a proposed one, which waits for its review. Enabling an active one changes nothing.
    """
    if routine.status is RoutineStatus.proposed:
        raise Refusal(Code.CONFLICT, IN_REVIEW, extra={"status": routine.status.value})
    if routine.status is RoutineStatus.disabled:
        await ctx.move(ROUTINE_STATES, routine, RoutineStatus.active, approved_version=routine.head_version)
        ctx.emit(RoutinesChanged(reason=CatalogueChange.enabled))
    return RoutineStanding(slug=routine.slug, status=RoutineStatus.active)
