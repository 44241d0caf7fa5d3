"""Runs of one agent, and how they are stopped."""

from sqlmodel import col

from models.staff.agents import AGENT_STATES, Agent, AgentStatus
from models.staff.chats import Chat
from models.staff.runs import Run, RunStatus
from resolvers.kernel import Action, ById, Code, Context, Id, Input, QueryScope, Rows, command, query
from resolvers.staff.runs.cancelling import NEVER_RAN, ask_to_cancel, show_cancelled, waits
from resolvers.staff.runs.events import AgentStatusChanged, RunFailed
from resolvers.staff.runs.lifecycle import announce_end, close_run, hold_starts
from resolvers.staff.runs.listing import newest_first

MOST_RUNS = 100


class RunsOfAgent(Input):
    """An agent of the workspace; the list is empty for an unknown agent."""

    agent_id: Id


@query("agents.runs", Action.READ)
def list_runs_of_agent(scope: QueryScope, data: RunsOfAgent) -> Rows[Run]:
    """List runs of an agent.

    Newest first, at most 100.
    """
    return scope.select(Run).where(col(Run.agent_id) == data.agent_id).order_by(*newest_first).limit(MOST_RUNS)


@command(
    "agents.stop",
    Action.CREATE,
    audit="agent.stopped",
    emits=(RunFailed, AgentStatusChanged),
    errors=(Code.NOT_FOUND, Code.CONFLICT),
)
async def stop_agent(ctx: Context, data: ById) -> Agent:
    """Stop an agent.

    Cancels its runs; output produced so far is kept. The next message in one of its chats starts a new run.
    """
    agent = await ctx.get(Agent, data.id)
    await hold_starts(ctx, agent.id, shared=False)
    ended = await _cancel_all(ctx, agent)
    agent = await ctx.get(Agent, agent.id, lock=True)
    if agent.status != AgentStatus.STOPPED:
        agent = await ctx.move(AGENT_STATES, agent.id, AgentStatus.STOPPED)
    for run in ended:
        announce_end(ctx, run, agent)
    ctx.emit(AgentStatusChanged(agent_id=agent.id, agent_name=agent.name, status=AgentStatus.STOPPED))
    return agent


async def _cancel_all(ctx: Context, agent: Agent) -> list[Run]:
    """Returns the runs that end with it: those that waited for a worker. Locks chats first, then runs, each by id."""
    live = (col(Run.agent_id) == agent.id, col(Run.status) == RunStatus.RUNNING)
    waiting = [run.chat_id for run in await ctx.select(Run, *live).all() if waits(run) and run.chat_id is not None]
    locked = await ctx.select(Chat, col(Chat.id).in_(waiting)).order_by(col(Chat.id)).locked().all() if waiting else []
    chats, ended = {chat.id: chat for chat in locked}, []
    for run in await ctx.select(Run, *live).order_by(col(Run.id)).locked().all():
        if not waits(run):  # perhaps not until the first look
            await ask_to_cancel(ctx, run.id)
            continue
        chat = chats.get(run.chat_id or "")
        if chat is not None:
            await show_cancelled(ctx, chat, run)
        ended.append(await close_run(ctx, run, NEVER_RAN))
    return ended
