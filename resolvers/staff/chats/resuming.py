"""The frames that a client missed of a chat's live run (contract: websocket.messages, resume; websocket.buffers)."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Text as SQLText
from sqlalchemy import cast, func, select
from sqlmodel import col

from models.staff.chats import Chat
from models.staff.runs import Run, RunFrame, RunStatus
from resolvers.kernel import NO_SURFACE, Action, Code, Context, Entity, Id, Input, Int, Output, procedure

MOST_FRAMES = 5000
MOST_BYTES = 8 * 1024 * 1024  # of payloads


class ResumeChat(Input):
    """`last_seq` is the number of the last frame received, 0 for none."""

    chat_id: Id
    last_seq: Annotated[Int, Field(ge=0)] = 0


class Missed(Output):
    """The frames after `after`, up to `last`; none if both are equal. `overrun`: there are too many to send again."""

    after: int
    last: int
    overrun: bool = False


@procedure(
    "chats.resume",
    Action.READ,
    tenancy=Entity(Chat, "chat_id"),
    errors=(Code.NOT_FOUND,),
    surfaces=NO_SURFACE,
    tickets=True,
)
async def resume_chat(ctx: Context, data: ResumeChat) -> Missed:
    """Get missed frames of a chat.

    The frames of the live run after the last one received; none without a live run.
    """
    run = await running_in(ctx, data.chat_id)
    return Missed(after=data.last_seq, last=data.last_seq) if run is None else await missed_of(ctx, run, data.last_seq)


async def running_in(ctx: Context, chat_id: str) -> Run | None:
    return await ctx.select(Run, col(Run.chat_id) == chat_id, col(Run.status) == RunStatus.RUNNING).first()


async def missed_of(ctx: Context, run: Run, last_seq: int) -> Missed:
    """The frames of a run after a number."""
    frame: Any = ctx.table(RunFrame).c
    newer = select(frame.seq, func.octet_length(cast(frame.payload, SQLText)).label("size"))
    newer = newer.where(frame.run_id == run.id, frame.seq > last_seq).order_by(frame.seq).limit(MOST_FRAMES + 1)
    found = newer.subquery().c
    first, last, count, size = (
        await ctx.report(select(func.min(found.seq), func.max(found.seq), func.count(), func.sum(found.size)))
    )[0]
    if not count:
        return Missed(after=last_seq, last=last_seq)
    return Missed(after=first - 1, last=last, overrun=count > MOST_FRAMES or size > MOST_BYTES)
