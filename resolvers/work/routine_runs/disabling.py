"""The switch of a routine: a disabled one starts nothing, and its runs stop."""

from models.work.saved_routines import ROUTINE_STATES, RoutineStatus, SavedRoutine
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import Action, Context, Output, command
from resolvers.work.routine_runs.advancing import cancel_running
from resolvers.work.routines.events import CatalogueChange, RoutinesChanged
from resolvers.work.routines.graph import ROUTINE, ByRoutineSlug
from resolvers.work.routines.reviews import settled


class RoutineDisabled(Output):
    """`cancelled_runs`: the number of running runs that stop."""

    slug: str
    status: str
    cancelled_runs: int


@command(
    "routines.disable",
    Action.MANAGE,
    subject=ROUTINE,
    locked=True,
    audit="routine.disabled",
    emits=(RoutinesChanged, InboxItemUpdated),
)
async def disable_routine(ctx: Context, routine: SavedRoutine, data: ByRoutineSlug) -> RoutineDisabled:
    """Disable a routine.

    Nothing starts a disabled one. Its running runs stop at their next step; a run that waits stays, and ends when it
    would continue. An open review of the routine ends. Disabling it again changes nothing.
    """
    if routine.status is not RoutineStatus.disabled:
        await ctx.move(ROUTINE_STATES, routine, RoutineStatus.disabled)
        await settled(ctx, routine, "disabled")
        ctx.emit(RoutinesChanged(reason=CatalogueChange.disabled))
    cancelled = await cancel_running(ctx, routine.id)
    return RoutineDisabled(slug=routine.slug, status=RoutineStatus.disabled, cancelled_runs=cancelled)
