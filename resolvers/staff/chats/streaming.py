"""The run of a chat as lines of JSON over plain HTTP: what is there of it, and then each frame as it comes.

A process that has live connections offers `Line`s; frames come through one as through a socket, so a slow reader gets
them from the tables. See docs/live.md.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Annotated, Any, Final, NamedTuple, Protocol

import orjson
from pydantic import BeforeValidator, Field
from sqlalchemy import func, select

from models.staff.chats import Chat
from models.staff.runs import RunFrame
from resolvers.identity.caller import Caller
from resolvers.kernel import NO_SURFACE, REST_ONLY, Action, Code, Context, Entity, Id, Input, Output, Refusal, procedure
from resolvers.kernel.ground.inputs import INT32
from resolvers.kernel.ground.streamed import Streamed
from resolvers.staff.chats.resuming import missed_of, running_in

HEARTBEAT: Final = 15.0
"""Seconds of silence. The contract has 20; a stream may be silent for 15."""
IDLE, LONGEST_IDLE = 300, 3_600
NO_HUB: Final = "This process has no live connections"
TRUE, FALSE = frozenset({"1", "t", "true"}), frozenset({"0", "f", "false"})


class Told(NamedTuple):
    """A line for the reader. `seq`: of a frame, otherwise 0; `done`: the end of a run."""

    line: bytes
    seq: int
    done: bool


class FrameLine(Protocol):
    """The events of one chat for one reader."""

    ended: str | None
    """Why nothing more comes: a reason of `stream.end`."""
    reset: bool
    """Frames are missing."""

    async def open(self, chat_id: str, after: int) -> None:
        """`after`: the frame after which they are read. Raises Refusal."""

    async def take(self, seconds: float) -> Sequence[Told]:
        """The events that have come, in order; none if none come in that time, or none will."""

    def close(self) -> None: ...


class _Offer:
    """The way to open lines in this process; None while it has no live connections."""

    opened: Callable[[Caller], FrameLine] | None = None


def offer(opened: Callable[[Caller], FrameLine] | None) -> None:
    """Called when live connections begin and end in this process."""
    _Offer.opened = opened


def _switch(raw: Any) -> Any:
    text = raw.lower() if isinstance(raw, str) else ""
    return True if text in TRUE else False if text in FALSE else raw


class StreamChat(Input):
    """`last_seq` is the number of the last frame received, 0 for none; a header `Last-Event-ID` is the same. `follow`:
    the stream remains open after the run. `idle`: seconds without a frame after which it ends; 0 is the default.
    """

    chat_id: Id
    last_seq: Annotated[int, Field(ge=0, le=INT32)] = 0
    follow: Annotated[bool, BeforeValidator(_switch), Field(strict=True)] = False
    idle: Annotated[int, Field(ge=0, le=INT32)] = IDLE


class OfLiveRun(Input):
    chat_id: Id
    last_seq: Annotated[int, Field(ge=0, le=INT32)] = 0


class LiveRun(Output):
    """`mark`: the number from which the reader resumes. `after`: the frame after which it reads. `overrun`: what is
    between them is too long to be sent again.
    """

    active: bool
    mark: int
    after: int
    overrun: bool = False


@procedure(
    "chats.live_run",
    Action.READ,
    tenancy=Entity(Chat, "chat_id"),
    errors=(Code.NOT_FOUND,),
    surfaces=NO_SURFACE,
)
async def live_run(ctx: Context, data: OfLiveRun) -> LiveRun:
    """Get the live run of a chat, for a reader of its frames."""
    chat, run = await ctx.get(Chat, data.chat_id), await running_in(ctx, data.chat_id)
    if run is None:
        return LiveRun(active=False, mark=data.last_seq, after=chat.last_seq)
    frame: Any = ctx.table(RunFrame).c
    [(first,)] = await ctx.report(select(func.min(frame.seq)).where(frame.run_id == run.id))
    begin = chat.last_seq if first is None else first - 1
    mark = data.last_seq or begin
    if (await missed_of(ctx, run, data.last_seq)).overrun:
        return LiveRun(active=True, mark=mark, after=chat.last_seq, overrun=True)
    return LiveRun(active=True, mark=mark, after=max(begin, min(data.last_seq, chat.last_seq)))


@procedure(
    "chats.stream",
    Action.READ,
    tenancy=Entity(Chat, "chat_id"),
    errors=(Code.NOT_FOUND,),
    surfaces=REST_ONLY,
    late=True,
)
async def stream_chat(ctx: Context, data: StreamChat) -> Streamed:
    """Stream the run of a chat.

    Lines of JSON: `stream.open`, the frames of the live run after `last_seq`, each frame and event that comes, and
    `stream.end` with its reason and the number to resume from. Without a live run it ends at once, unless `follow` is
    set. A finished run is not sent again: its text is in the messages.
    """
    opened, caller = _Offer.opened, ctx.caller
    if opened is None:
        raise Refusal(Code.UNAVAILABLE, NO_HUB)
    answer = await live_run(caller, {"chat_id": data.chat_id, "last_seq": data.last_seq})
    run: LiveRun = LiveRun.model_validate_json(answer.body or b"{}")

    async def lines() -> AsyncGenerator[bytes, None]:
        yield _line("stream.open", chat_id=data.chat_id, from_seq=run.mark, active=run.active)
        if run.overrun:
            yield _line("stream.reset", reason="replay_truncated")
        if not run.active and not data.follow:
            yield _end("no_active_run", run.mark)
        elif run.overrun and data.last_seq:
            yield _end("replay_truncated", run.mark)
        else:
            line = opened(caller)
            try:
                async for told in _followed(line, run, data):
                    yield told
            finally:
                line.close()

    return Streamed(lines(), "application/x-ndjson", endless=True)


async def _followed(line: FrameLine, run: LiveRun, data: StreamChat) -> AsyncGenerator[bytes, None]:
    """The frames of the run, and what comes."""
    last, seen = run.mark, run.after
    try:
        await line.open(data.chat_id, run.after)
    except Refusal:
        yield _end("access_revoked", last)
        return
    clock = asyncio.get_running_loop().time
    idle = min(data.idle or IDLE, LONGEST_IDLE)
    heard = clock()
    while True:
        left = heard + idle - clock()
        taken = await line.take(max(min(HEARTBEAT, left), 0.0))
        shown = list[bytes]()
        for told in taken:
            if told.seq and told.seq <= seen:
                continue
            shown.append(told.line)
            if told.seq:
                last = seen = told.seq
                heard = clock()
            if told.done and not data.follow:
                yield b"".join([*shown, _end("run_complete", last)])
                return
        if shown:
            yield b"".join(shown)
        elif line.ended is not None:
            if line.reset:
                yield _line("stream.reset", reason=line.ended)
            yield _end(line.ended, last)
            return
        elif clock() >= heard + idle:
            yield _end("idle_timeout", last)
            return
        else:
            yield _line("stream.heartbeat")


def _line(type: str, **values: Any) -> bytes:
    return orjson.dumps({"type": type, **values}, option=orjson.OPT_APPEND_NEWLINE)


def _end(reason: str, last: int) -> bytes:
    return _line("stream.end", reason=reason, last_seq=last)
