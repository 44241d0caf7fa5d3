"""Questions between agents, over the internal API: the asking agent waits for the answer."""

import asyncio
import contextlib
import time
from typing import Annotated, Any, Final

import orjson
from pydantic import Field
from sqlalchemy import select
from sqlmodel import col

from models import bounds
from models.staff.agents import Agent
from models.staff.assignments import PeerConversation, PeerConversationStatus
from models.staff.chats import Chat
from models.staff.runs import Run, RunStatus
from resolvers.kernel import (
    NO_SURFACE,
    AcrossWorkspaces,
    Action,
    Auth,
    Code,
    Context,
    Emptied,
    Id,
    Input,
    Output,
    Refusal,
    Topic,
    across_workspaces,
    command,
    forbidden,
    job,
    procedure,
)
from resolvers.kernel.store.bus import bus
from resolvers.staff.assignments.events import (
    PeerConversationUpdated,
    PeerQueryCompleted,
    PeerQueryFailed,
    PeerQueryRunning,
)
from resolvers.staff.runs.cancelling import NEVER_RAN, ask_to_cancel, waits
from resolvers.staff.runs.events import RUN_ENDS, RUN_STARTS
from resolvers.staff.runs.lifecycle import check_can_work, end_run, hold_starts, start_run
from resolvers.staff.runs.origin import is_restricted
from resolvers.staff.runs.questions import NO_ANSWER, TRIGGER, OfQuestion
from resolvers.work.missions.assigning import NO_CHAT, NO_TARGET, NO_WAY
from resolvers.work.missions.dispatching import GONE, are_connected

BEGINS = 20.0
"""Seconds in which a worker has to start the question: the asking run occupies a worker that may be missing."""
PATIENCE = 300.0
"""Seconds until the answer."""
LOOK, PAUSE = 1.0, 0.05
MOST_OF_AGENT: Final = 4
"""Questions that an agent is asked at once."""
BUSY: Final = f"the agent already has {MOST_OF_AGENT} open questions"
ITSELF: Final = "an agent cannot ask itself"
NOT_ITS_CHAT: Final = "an agent can only ask in a chat in which it works"
NOT_BEGUN: Final = f"{NO_ANSWER}: no worker started the question"
TOO_LATE: Final = f"{NO_ANSWER} within {PATIENCE:.0f} seconds"
TELL = job("questions.tell", OfQuestion, emits=(PeerQueryCompleted, PeerQueryFailed, PeerConversationUpdated))
"""Reports the end of a question where it was asked."""
Slug = Annotated[str, Field(strict=True, max_length=bounds.NAME)]


class AskPeer(Input):
    """`crew_id` is the crew of the target. `chat_id` is a chat of the asking agent, which is `from_slug` or the
    chat's own agent.
    """

    crew_id: Annotated[Id, Field(min_length=1)]
    workspace_id: Annotated[Id, Field(min_length=1)]
    chat_id: Annotated[Id, Field(min_length=1)]
    target_slug: Annotated[Slug, Field(min_length=1)]
    question: Annotated[str, Field(strict=True, min_length=1, max_length=bounds.CONFIG)]
    from_slug: Emptied[Slug] = None


class PeerAnswer(Output):
    """The other agent's answer, or the reason without one. `status` is COMPLETED or FAILED."""

    id: str
    status: PeerConversationStatus
    response: str | None = None
    error_message: str | None = None
    duration_ms: int | None = None


class QuestionAsked(Output):
    """A question that is on its way."""

    id: str


@command(
    "queries.ask",
    Action.NONE,
    audit="peer_conversation.created",
    auth=Auth.INTERNAL,
    emits=(PeerQueryRunning, *RUN_STARTS),
    surfaces=NO_SURFACE,
    errors=(Code.NOT_FOUND, Code.CONFLICT),
)
async def begin_query(ctx: Context, data: AskPeer) -> QuestionAsked:
    """Send a question of one agent to another.

    In a transaction of its own: how it ends is the end of the run that answers.
    """
    target = await ctx.select(
        Agent, col(Agent.crew_id) == data.crew_id, col(Agent.slug) == data.target_slug, including_hidden=True
    ).one(NO_TARGET)
    chat = await ctx.select(Chat, col(Chat.id) == data.chat_id, including_hidden=True).one(NO_CHAT)
    asker = await _asker(ctx, chat, data.from_slug)
    if asker.id == target.id:
        raise Refusal(Code.BAD_REQUEST, ITSELF, fields={"target_slug": ITSELF})
    if not await are_connected(ctx, asker.crew_id, target):
        raise forbidden(NO_WAY)
    check_can_work(target)
    await ctx.lock(f"questions to {target.id}")
    open_ = (col(PeerConversation.to_agent_id) == target.id, _is_open())
    if await ctx.select(PeerConversation, *open_, including_hidden=True).count() >= MOST_OF_AGENT:
        raise Refusal(Code.CONFLICT, BUSY)
    await hold_starts(ctx, target.id)
    asked = PeerConversation(chat_id=chat.id, from_agent_id=asker.id, to_agent_id=target.id, question=data.question)
    await ctx.insert(asked)
    told = {"cli_adapter": target.cli_adapter, "crew_id": target.crew_id, "agent_slug": target.slug}
    run = Run(
        id=asked.id,
        agent_id=target.id,
        parent_id=await _live_run(ctx, chat, asker),
        trigger_type=TRIGGER,
        restricted=await is_restricted(ctx, chat.id),
        prompt=data.question,
        data=told | {"tags": ["query"]},
    )
    await start_run(ctx, run, conflict={})
    ctx.audit("PEER_CONVERSATION", asked.id, crew_id=data.crew_id, agent_id=asker.id, target_id=target.id)
    ctx.emit(PeerQueryRunning(chat_id=chat.id, id=asked.id, from_=asker.slug, target=target.slug))
    ctx.ring(Topic.queue)
    return QuestionAsked(id=asked.id)


async def _live_run(ctx: Context, chat: Chat, agent: Agent) -> str | None:
    live = (col(Run.chat_id) == chat.id, col(Run.agent_id) == agent.id, col(Run.status) == RunStatus.RUNNING)
    run = await ctx.select(Run, *live, including_hidden=True).first()
    return None if run is None else run.id


async def _asker(ctx: Context, chat: Chat, slug: str | None) -> Agent:
    """The agent of the chat, or another that works in it now, as in a group."""
    own = await ctx.select(Agent, col(Agent.id) == chat.agent_id, including_deleted=True).one()
    if slug is None or slug == own.slug:
        if own.deleted_at is not None:
            raise Refusal(Code.CONFLICT, GONE)
        return own
    working = (col(Run.chat_id) == chat.id, col(Run.status) == RunStatus.RUNNING)
    live = await ctx.select(Run, *working, including_hidden=True).all()
    at_work = col(Agent.id).in_([run.agent_id for run in live])
    found = await ctx.select(Agent, col(Agent.slug) == slug, at_work, including_hidden=True).first() if live else None
    if found is None:
        raise forbidden(NOT_ITS_CHAT)
    return found


def _is_open() -> Any:
    return col(PeerConversation.status) == PeerConversationStatus.RUNNING


@command(
    "queries.withdraw",
    Action.NONE,
    auth=Auth.INTERNAL,
    emits=RUN_ENDS,
    surfaces=NO_SURFACE,
    errors=(Code.NOT_FOUND,),
)
async def withdraw_query(ctx: Context, data: OfQuestion) -> QuestionAsked:
    """Cancel a question that the asking run no longer waits for."""
    run = await ctx.get(Run, data.question_id, lock=True)
    if waits(run):
        await end_run(ctx, run.id, NEVER_RAN)
    elif run.status is RunStatus.RUNNING:
        await ask_to_cancel(ctx, run.id)
    return QuestionAsked(id=run.id)


@procedure(
    "internal.queries.create", Action.NONE, auth=Auth.INTERNAL, errors=(Code.NOT_FOUND, Code.CONFLICT), late=True
)
async def ask_peer(ctx: Context, data: AskPeer) -> PeerAnswer:
    """Send a question to another agent (for agents).

    Assigns work from the chat's agent to an agent of its crew or of a connected crew. The other agent runs with
    the question, without a chat, and its reply is the answer. A question fails after 300 seconds, or after 20 if no
    worker has started it.
    """
    given = data.model_dump(mode="json", exclude_none=True)
    answer = await begin_query(ctx.caller, given, place=ctx.workspace_id)
    id = orjson.loads(answer.body or b"{}")["id"]
    state = await _ended(ctx.workspace_id or "", id)
    if state["status"] == PeerConversationStatus.RUNNING.value:
        await withdraw_query(ctx.caller, {"question_id": id}, place=ctx.workspace_id)
        why = TOO_LATE if state["begun"] else NOT_BEGUN
        return PeerAnswer(id=id, status=PeerConversationStatus.FAILED, error_message=why)
    return PeerAnswer(
        id=id,
        status=PeerConversationStatus(state["status"]),
        response=state["response"],
        error_message=state["error_message"],
        duration_ms=state["duration_ms"],
    )


async def _ended(workspace_id: str, id: str) -> Any:
    """The question after its end, or after its time limit."""
    began, rung = time.monotonic(), asyncio.Event()
    silence = bus.on(Topic.events, lambda key: rung.set())

    async def look(rows: AcrossWorkspaces) -> Any:
        here = rows.within(workspace_id)
        asked, runs = here.table(PeerConversation), here.table(Run, "id", "started_at")
        shown = [asked.c[name] for name in ("status", "response", "error_message", "duration_ms")]
        state = select(*shown, runs.c.started_at.is_not(None).label("begun")).where(asked.c.id == id)
        return (await here.report(state.select_from(asked.outerjoin(runs, runs.c.id == asked.c.id))))[0]

    try:
        while True:
            rung.clear()
            state, waited = await across_workspaces(look), time.monotonic() - began
            if state["status"] != PeerConversationStatus.RUNNING.value:
                return state
            left = (PATIENCE if state["begun"] else BEGINS) - waited
            if left <= 0:
                return state
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(LOOK, left)):
                    await rung.wait()
            await asyncio.sleep(PAUSE)
    finally:
        silence()


async def tell_answer(ctx: Context, question_id: str) -> None:
    """Notifies listeners of the chat, and of the questions between agents of the workspace."""
    asked = await ctx.select(PeerConversation, col(PeerConversation.id) == question_id).first()
    if asked is None or asked.status is PeerConversationStatus.RUNNING:
        return
    ends = col(Agent.id).in_((asked.from_agent_id, asked.to_agent_id))
    slugs = {agent.id: agent.slug for agent in await ctx.select(Agent, ends, including_deleted=True).all()}
    told = {"id": asked.id, "from_": slugs[asked.from_agent_id], "target": slugs[asked.to_agent_id]}
    if asked.chat_id is not None:
        if asked.status is PeerConversationStatus.COMPLETED:
            ctx.emit(PeerQueryCompleted(chat_id=asked.chat_id, **told, response=asked.response or ""))
        else:
            ctx.emit(PeerQueryFailed(chat_id=asked.chat_id, **told, error=asked.error_message or NO_ANSWER))
    ctx.emit(PeerConversationUpdated(**told, status=asked.status))
