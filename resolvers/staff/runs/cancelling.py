"""Calling a run off: at once while no worker has it, else by asking that worker (contract: chats.behaviour 22)."""

from sqlalchemy import case, func
from sqlmodel import col

from models.staff.chats import Chat
from models.staff.runs import ChatEventType, Run, RunStatus
from resolvers.kernel import NOW, Context, Topic, plus
from resolvers.staff.runs.frames import append_frames, chat_event
from resolvers.staff.runs.lifecycle import End
from resolvers.staff.runs.passing_on import turns_of

CANCELLED = "cancelled"
NEVER_RAN = End(RunStatus.CANCELLED, error_message=CANCELLED, data={"duration_ms": 0})


def waits(run: Run) -> bool:
    """Returns true if no worker has claimed the run and no program reports about it."""
    return run.status == RunStatus.RUNNING and run.started_at is None and run.leased_until is None


async def show_cancelled(ctx: Context, chat: Chat, run: Run, *, alone: bool = False) -> int:
    """Writes the remains of a turn without a worker: counts the user's message and writes the end for listeners.
    Returns the number of its frame. `alone`: the frame does not belong to the run.
    """
    counted = {"message_count": plus(1)} if turns_of(run)[0] == 1 else {}
    return await append_frames(ctx, chat, None if alone else run, chat_event(ChatEventType.done), **counted)


async def ask_to_cancel(ctx: Context, run_id: str) -> None:
    """The worker looks at it when it is rung, and whenever it extends its lease; any worker, where the run waits."""
    free = case((col(Run.waits_for).is_not(None), func.now()), else_=col(Run.leased_until))
    this = (Run, col(Run.id) == run_id)
    await ctx.update_where(*this, including_hidden=True, cancel_requested_at=NOW, leased_until=free)
    ctx.ring(Topic.cancel, run_id)
