"""Runs end with the right to them: when a person leaves, or an agent, a crew or a workspace is deleted.

They become CANCELLED in the transaction that removes the right. Every write of a worker requires a live run, so nothing
of it is stored afterwards. A job carries out the consequences.
"""

import asyncio
import time
from functools import partial
from typing import Any, Final

from sqlalchemy import or_, select
from sqlmodel import col

from models.base import table_of
from models.staff.agents import Agent
from models.staff.assignments import PeerConversation, PeerConversationStatus
from models.staff.chats import Chat, Message
from models.staff.runs import RUN_STATES, Run, RunStatus
from models.work.missions import Assignment
from resolvers.kernel import NOW, Context, Ended, Holder, Topic, ends, job
from resolvers.staff.runs import work
from resolvers.staff.runs.cancelling import show_cancelled
from resolvers.staff.runs.events import RUN_ENDS
from resolvers.staff.runs.lifecycle import follow_end, hold_starts
from resolvers.staff.runs.passing_on import RunToPassOn

SETTLE = job("runs.settle", RunToPassOn, unique="{run_id}", emits=RUN_ENDS)
"""Carries out the consequences of a run's end that its worker has not written."""
WHY: Final = {
    Holder.person: "The user who started the run is no longer a member of the workspace",
    Holder.agent: "The agent was deleted",
    Holder.crew: "The crew was deleted",
    Holder.workspace: "The workspace was deleted",
}
FORGOTTEN: Final = "The data of a participant was erased"
LONGEST_WAIT: Final = 5.0
"""Seconds that a command waits for workers to release the runs: a worker that is gone writes nothing in any case."""
FIRST_LOOK, LONGEST_PAUSE = 0.01, 0.1


@ends(2)
async def end_runs(ctx: Context, ended: Ended) -> None:
    """Ends the live runs of the holder, and of those that these have given work. Locks are taken in the usual order:
    starts, chats, runs; each by id.
    """
    if ended.holder in (Holder.agent, Holder.crew):
        for agent_id in await agents_of(ctx, ended):
            await hold_starts(ctx, agent_id, shared=False)
    found = await _live(ctx, ended)
    if not found:
        return
    in_chats = sorted({run.chat_id for run in found if run.chat_id is not None})
    here = col(Chat.id).in_(in_chats)
    locked = ctx.select(Chat, here, including_hidden=True, including_deleted=True).order_by(col(Chat.id)).locked()
    chats = {chat.id: chat for chat in await locked.all()} if in_chats else {}
    these = (col(Run.id).in_([run.id for run in found]), col(Run.status) == RunStatus.RUNNING)
    runs = await ctx.select(Run, *these, including_hidden=True).order_by(col(Run.id)).locked().all()
    for run in runs:
        if run.chat_id in chats:
            # frames of a forgotten run are removed: the end stays for listeners of the chat
            shown = await show_cancelled(ctx, chats[run.chat_id], run, alone=ended.forgotten)
            chats[run.chat_id].last_seq = shown
    ids = [run.id for run in runs]
    why = FORGOTTEN if ended.forgotten else WHY[ended.holder]
    changes: dict[str, Any] = {"error_message": why, "cancel_requested_at": NOW, "including_hidden": True}
    await ctx.move_all(RUN_STATES, RunStatus.CANCELLED, col(Run.id).in_(ids), **changes)
    for run in runs:
        ctx.enqueue(SETTLE, run_id=run.id)
        ctx.ring(Topic.cancel, run.id)
    ctx.afterwards.append(partial(_let_go, ids))


async def agents_of(ctx: Context, ended: Ended) -> list[str]:
    """The agents that lose their work with this, by id."""
    if ended.holder is Holder.agent:
        return [ended.id]
    of_crew = ctx.select(Agent, col(Agent.crew_id) == ended.id, including_deleted=True, including_hidden=True)
    return [agent.id for agent in await of_crew.order_by(col(Agent.id)).all()]


async def _live(ctx: Context, ended: Ended) -> list[Run]:
    live = ctx.select(Run, col(Run.status) == RunStatus.RUNNING, including_hidden=True)
    found = {run.id: run for run in await live.where(*await _whose(ctx, ended)).all()}
    front = list(found.values())
    while front:
        given = [run for each in front for run in await live.where(_given_by(ctx, each)).all()]
        front = [run for run in given if run.id not in found]
        found |= {run.id: run for run in front}
    return list(found.values())


async def _whose(ctx: Context, ended: Ended) -> list[Any]:
    if ended.holder is Holder.workspace:
        return []
    if ended.holder in (Holder.agent, Holder.crew):
        return [col(Run.agent_id).in_(await agents_of(ctx, ended))]
    started = col(Run.triggered_by) == ended.id
    if not ended.forgotten:
        return [started]
    chats, messages = table_of(Chat).c, table_of(Message).c
    here = (chats.workspace_id == ctx.workspace_id, messages.workspace_id == ctx.workspace_id)
    begun = select(chats.id).where(here[0], chats.created_by == ended.id)
    written = select(messages.chat_id).where(here[1], messages.author_user_id == ended.id)
    return [or_(started, col(Run.chat_id).in_(begun), col(Run.chat_id).in_(written))]


def _given_by(ctx: Context, run: Run) -> Any:
    """Runs of the assignments and questions that the run has given: in its chat, since it began."""
    given, asked = table_of(Assignment).c, table_of(PeerConversation).c
    tasks = select(given.id).where(
        given.workspace_id == ctx.workspace_id,
        given.chat_id == run.chat_id,
        given.assigned_by_id == run.agent_id,
        given.created_at >= run.created_at,
    )
    questions = select(asked.id).where(
        asked.workspace_id == ctx.workspace_id,
        asked.chat_id == run.chat_id,
        asked.from_agent_id == run.agent_id,
        asked.status == PeerConversationStatus.RUNNING,
    )
    return or_(col(Run.assignment_id).in_(tasks), col(Run.id).in_(questions))


async def _let_go(ids: list[str]) -> None:
    """Until no worker is at one of these runs."""
    pause, until = FIRST_LOOK, time.monotonic() + LONGEST_WAIT
    while await work.at_work(ids) and time.monotonic() < until:
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


async def settle(ctx: Context, run_id: str) -> None:
    """Informs the run's agent, its assignment and listeners of the end."""
    run = await ctx.select(Run, col(Run.id) == run_id).locked().first()
    if run is not None and run.status is not RunStatus.RUNNING:
        await follow_end(ctx, run)
