"""Messages that start runs, and their cancellation (contract: chats.behaviour 2-8, 10 and 22)."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from sqlalchemy import bindparam, select
from sqlmodel import col

from models.staff.agents import Agent
from models.staff.chats import Chat, ChatVisibility, Message, MessageRole, new_message_id
from models.staff.runs import ChatEventType, Run, RunStatus
from resolvers.kernel import (
    GRAPHQL_ONLY,
    Action,
    Code,
    Context,
    Entity,
    Id,
    Input,
    Int,
    Output,
    Prompt,
    Refusal,
    command,
    extend,
    forbidden,
    plus,
    written,
)
from resolvers.kernel.ground.policy import MEMBERS, lowest
from resolvers.kernel.writing.reports import first_with, prepared_rows
from resolvers.staff.chats.group import BUSY, ask, mentioned
from resolvers.staff.crews.building import check_built
from resolvers.staff.runs.cancelling import NEVER_RAN, ask_to_cancel, show_cancelled, waits
from resolvers.staff.runs.events import RUN_ENDS, RUN_STARTS
from resolvers.staff.runs.frames import append_frames, chat_event, run_begin
from resolvers.staff.runs.lifecycle import check_can_work, end_run, hold_starts, may_start
from resolvers.staff.runs.passing_on import TURNS

MOST_TURNS = 200
LONGEST_TITLE, CUT_TITLE = 60, 57


def _turns(raw: Any) -> Any:
    return min(max(raw, 0), MOST_TURNS) if type(raw) is int else raw


class SendMessage(Input):
    """`max_turns` limits the calls of the model: at most 200; 0 means the default of the adapter."""

    chat_id: Id
    content: Annotated[Prompt, Field(min_length=1)]
    max_turns: Annotated[Int, BeforeValidator(_turns), Field(ge=0, le=MOST_TURNS)] = 0


class Sent(Output):
    """The stored message. `from_seq` and `seq` are the numbers of the newest frame before and with the message: the
    answer follows `seq`.

    Without a run the agent was not asked.
    """

    run_id: str | None
    message_id: str
    from_seq: int
    seq: int


extend(Sent, run=written(Run, "run_id"), message=written(Message, "message_id"))


class CancelMessage(Input):
    """A chat whose run is cancelled."""

    chat_id: Id


class Cancelled(Output):
    """True if the caller had a run in the chat: the run has ended, or its worker is asked to end it."""

    cancelled: bool


def title_of(content: str) -> str:
    return content if len(content) <= LONGEST_TITLE else content[:CUT_TITLE] + "..."


@command(
    "chats.send",
    Action.PARTICIPATE,
    audit="message.sent",
    tenancy=Entity(Chat, "chat_id"),
    emits=RUN_STARTS,
    errors=(Code.NOT_FOUND, Code.CONFLICT),
    surfaces=GRAPHQL_ONLY,
    tickets=True,
    writes_on_refusal=True,
)
async def send_message(ctx: Context, data: SendMessage) -> Sent:
    """Send a message to a chat.

    The agent answers the message. A chat has at most one active run.

    In a group chat the agent answers messages that mention it as `@slug`, and so do the other agents of its
    crew: one after the other, in the order of the mentions. Agents ask each other by mentions; the exchange ends
    after 8 turns or when a run is cancelled. CONFLICT has a `reason`: already_running (a run of the caller),
    agent_busy (a run of another user), pending_review (the agent waits for approval), agent_expired (its time is
    over) or crew_provisioning (its crew's image is being built; the message is not stored, so send it again).
    """
    agent = await _agent_of(ctx, data.chat_id)
    named = [] if agent is None else await mentioned(ctx, agent, data.content)
    if agent is not None:
        for id in sorted({agent.id, *[other.id for other in named[:1]]}):  # in one order for all callers
            await hold_starts(ctx, id)
    if not await may_start(ctx, ctx.user_id):
        raise forbidden(role=lowest(MEMBERS))
    chat = await ctx.get(Chat, data.chat_id, lock=True)
    if agent is None:
        raise Refusal(Code.CONFLICT, "The agent of this chat has been deleted", reason="agent_deleted")
    check_can_work(agent)
    live = await first_with(ctx, Run, chat_id=chat.id, status=RunStatus.RUNNING)
    if live is not None and live.triggered_by == ctx.user_id:
        raise Refusal(Code.CONFLICT, "Your last message is still being answered", reason="already_running")
    is_group = chat.visibility == ChatVisibility.group
    to_answer = named if is_group else [agent]
    for other in to_answer[:1]:
        check_can_work(other)
        await check_built(ctx, other.crew_id)
    if live is not None and to_answer:
        raise Refusal(Code.CONFLICT, BUSY, reason="agent_busy", extra={"chat_id": chat.id})
    asked: dict[str, Any] = {"role": MessageRole.user, "content": data.content, "author_user_id": ctx.user_id or None}
    asked["run_id"] = new_message_id() if to_answer else None
    message = Message(chat_id=chat.id, seq=chat.last_message_seq + 1, agent_id=agent.id, **asked)
    ctx.record(message)
    if to_answer:
        return await _ask(ctx, chat, to_answer, message, data)
    return await _say(ctx, chat, message, alone=live is None)


async def _agent_of(ctx: Context, chat_id: str) -> Agent | None:
    found = await prepared_rows(ctx, Agent, _of_chat, chat=chat_id)
    return found[0] if found else None


def _of_chat(rows: Any) -> Any:
    agent, chat = rows(Agent), rows(Chat, "id agent_id")
    return select(agent).join(chat, chat.c.agent_id == agent.c.id).where(chat.c.id == bindparam("chat"))


async def _ask(ctx: Context, chat: Chat, asked: list[Agent], message: Message, data: SendMessage) -> Sent:
    agent, *others = asked
    turns = {"number": 1, "next": [other.id for other in others]}
    run = Run(
        id=message.run_id or new_message_id(),
        agent_id=agent.id,
        chat_id=chat.id,
        message_seq=message.seq,
        triggered_by=ctx.user_id or None,
        prompt=data.content,
        max_turns=data.max_turns or None,
        data={TURNS: turns} if others else {},
    )
    seq = await ask(ctx, chat, agent, run, _shown(message), **_counted(chat, message))
    return Sent(run_id=run.id, message_id=message.id, from_seq=chat.last_seq, seq=seq)


async def _say(ctx: Context, chat: Chat, message: Message, *, alone: bool) -> Sent:
    """Stores a message among users. During a live run its frames continue: a `done` in between would end the run for
    listeners.
    """
    shown = (
        (run_begin(chat), _shown(message), chat_event(ChatEventType.done, no_reply=True))
        if alone
        else (_shown(message),)
    )
    seq = await append_frames(ctx, chat, None, *shown, message_count=plus(1), **_counted(chat, message))
    return Sent(run_id=None, message_id=message.id, from_seq=chat.last_seq, seq=seq)


def _shown(message: Message) -> Any:
    return chat_event(ChatEventType.user_message, message.content, author_user_id=message.author_user_id)


def _counted(chat: Chat, message: Message) -> dict[str, Any]:
    named = {} if chat.title else {"title": title_of(message.content)}
    return {"last_message_seq": message.seq, **named}


@command(
    "chats.cancel",
    Action.PARTICIPATE,
    audit="run.cancelled",
    tenancy=Entity(Chat, "chat_id"),
    emits=RUN_ENDS,
    errors=(Code.NOT_FOUND,),
    surfaces=GRAPHQL_ONLY,
    tickets=True,
)
async def cancel_message(ctx: Context, data: CancelMessage) -> Cancelled:
    """Cancel the caller's run in a chat.

    Does nothing without one.
    """
    chat = await ctx.get(Chat, data.chat_id, lock=True)
    own = (col(Run.chat_id) == chat.id, col(Run.status) == RunStatus.RUNNING, col(Run.triggered_by) == ctx.user_id)
    run = await ctx.select(Run, *own).locked().first()
    if run is None:
        return Cancelled(cancelled=False)
    if waits(run):
        await show_cancelled(ctx, chat, run)
        await end_run(ctx, run.id, NEVER_RAN)
    else:
        await ask_to_cancel(ctx, run.id)
    return Cancelled(cancelled=True)
