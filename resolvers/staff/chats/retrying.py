"""A run is repeated by its id: in its chat, if it has one."""

from typing import Annotated, Any

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import Chat, Message, MessageRole
from models.staff.runs import BY_SCHEDULE, BY_USER, BY_WEBHOOK, ChatEventType, Run, RunStatus
from resolvers.kernel import (
    GRAPHQL_ONLY,
    Action,
    ById,
    Code,
    Context,
    Refusal,
    Topic,
    command,
    forbidden,
)
from resolvers.kernel.ground.policy import GATES, MEMBERS, lowest
from resolvers.kernel.writing.reports import first_with
from resolvers.staff.chats.group import ask
from resolvers.staff.runs.events import RUN_STARTS
from resolvers.staff.runs.frames import append_frames, chat_event, run_begin
from resolvers.staff.runs.lifecycle import MISSING, check_can_work, hold_starts, may_start, start_run

OTHERS = "Not allowed to repeat runs of webhooks and schedules"
GONE = "The agent or the chat of the run has been deleted"
GIVEN = "The run is part of a task or a question: start the issue or the mission again"
LIVE = "The run has not ended"
BUSY = "The chat has a live run"


class RetryRun(ById):
    """`prompt` replaces the text that the run began with."""

    prompt: Annotated[str, Field(strict=True, min_length=1, max_length=bounds.PROMPT)] | None = None


@command(
    "chats.retry_run",
    Action.PARTICIPATE,
    audit="run.retried",
    emits=RUN_STARTS,
    errors=(Code.NOT_FOUND, Code.FORBIDDEN, Code.CONFLICT),
    surfaces=GRAPHQL_ONLY,
)
async def retry_run(ctx: Context, data: RetryRun) -> Run:
    """Start a run again.

    Starts a run of the same agent, which names the first one as its original. A run of a message is repeated in
    its chat, as a message of the caller. Runs of webhooks and schedules keep their trigger and their restrictions,
    and require the role to start agents. CONFLICT if the run has not ended, if its chat has another live run, or if
    it is part of a task or a question.
    """
    run = await ctx.get(Run, data.id, missing=MISSING)
    if run.trigger_type != BY_USER and not ctx.may(Action.CREATE):
        raise forbidden(OTHERS, role=lowest(GATES[Action.CREATE]))
    if run.trigger_type not in (BY_USER, BY_WEBHOOK, BY_SCHEDULE):
        raise Refusal(Code.CONFLICT, GIVEN)
    if run.status == RunStatus.RUNNING:
        raise Refusal(Code.CONFLICT, LIVE)
    await hold_starts(ctx, run.agent_id)
    if not await may_start(ctx, ctx.user_id):
        raise forbidden(role=lowest(MEMBERS))
    agent = await ctx.select(Agent, col(Agent.id) == run.agent_id).first()
    chat = await ctx.select(Chat, col(Chat.id) == run.chat_id).locked().first() if run.chat_id else None
    if agent is None or (chat is None and run.chat_id is not None):
        raise Refusal(Code.CONFLICT, GONE)
    check_can_work(agent)
    again = Run(
        id=new_id(),
        agent_id=agent.id,
        chat_id=run.chat_id,
        trigger_type=run.trigger_type,
        triggered_by=ctx.user_id,
        restricted=run.restricted,
        prompt=data.prompt or run.prompt,
        max_turns=run.max_turns,
        retry_of=run.id,
        data={},
    )
    if chat is not None and run.trigger_type == BY_USER:
        await _say(ctx, chat, agent, again)
    else:
        await _start(ctx, chat, again, run)
    return await ctx.get(Run, again.id)


async def _say(ctx: Context, chat: Chat, agent: Agent, run: Run) -> None:
    """As a message of the caller: members of the chat see why the agent answers."""
    if await first_with(ctx, Run, chat_id=chat.id, status=RunStatus.RUNNING) is not None:
        raise Refusal(Code.CONFLICT, BUSY)
    seq = chat.last_message_seq + 1
    author: dict[str, Any] = {"role": MessageRole.user, "content": run.prompt, "author_user_id": ctx.user_id}
    ctx.record(Message(chat_id=chat.id, seq=seq, agent_id=agent.id, run_id=run.id, **author))
    run.message_seq = seq
    shown = chat_event(ChatEventType.user_message, run.prompt, author_user_id=ctx.user_id)
    await ask(ctx, chat, agent, run, shown, last_message_seq=seq)


async def _start(ctx: Context, chat: Chat | None, run: Run, before: Run) -> None:
    kept = {key: value for key, value in (before.data or {}).items() if key in ("event", "source", "trigger")}
    run.data = kept or None
    await start_run(ctx, run, conflict=BUSY)
    if chat is not None:
        await append_frames(ctx, chat, run, run_begin(chat))
    ctx.ring(Topic.queue)
