"""The cancellation of one run by its id, for every trigger."""

from sqlmodel import col

from models.staff.chats import Chat
from models.staff.runs import Run, RunStatus
from resolvers.kernel import GRAPHQL_ONLY, Action, ById, Code, Context, command, forbidden
from resolvers.kernel.ground.policy import GATES, lowest
from resolvers.staff.runs.cancelling import NEVER_RAN, ask_to_cancel, show_cancelled, waits
from resolvers.staff.runs.events import RUN_ENDS, RunCancelRequested
from resolvers.staff.runs.lifecycle import MISSING, end_locked

OTHERS = "Not allowed to cancel runs of others"


@command(
    "runs.cancel",
    Action.PARTICIPATE,
    audit="run.cancelled",
    emits=(RunCancelRequested, *RUN_ENDS),
    errors=(Code.NOT_FOUND, Code.FORBIDDEN),
    surfaces=GRAPHQL_ONLY,
)
async def cancel_run(ctx: Context, data: ById) -> Run:
    """Cancel a run.

    Members can cancel runs that they have started; other runs require the role to stop agents. A run that no
    worker has begun ends at once, any other when its worker has stopped. Output is kept. Does nothing if the run
    has ended.
    """
    run = await ctx.get(Run, data.id, missing=MISSING)
    if run.triggered_by != ctx.user_id and not ctx.may(Action.CREATE):
        raise forbidden(OTHERS, role=lowest(GATES[Action.CREATE]))
    chat = await ctx.select(Chat, col(Chat.id) == run.chat_id).locked().first() if run.chat_id else None
    run = await ctx.get(Run, data.id, lock=True, missing=MISSING)
    if run.status != RunStatus.RUNNING:
        return run
    if not waits(run):
        await ask_to_cancel(ctx, run.id)
        ctx.emit(RunCancelRequested(run_id=run.id, agent_id=run.agent_id))
        return await ctx.get(Run, run.id)
    if chat is not None:
        await show_cancelled(ctx, chat, run)
    return await end_locked(ctx, run, NEVER_RAN)
