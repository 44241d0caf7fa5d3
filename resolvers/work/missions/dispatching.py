"""The assignment of a task: the choice of an agent, its permission, and the queue of its crew (contract:
missions.behaviour.scheduling).
"""

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import exists, select
from sqlmodel import col

from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import Chat, ChatMode
from models.staff.crews import ConnectionDirection, ConnectionStatus, CrewConnection
from models.staff.runs import Run
from models.work.missions import Assignment, AssignmentStatus, Mission, MissionTask
from resolvers.kernel import NOW, Context, Id, Input, Topic, job
from resolvers.staff.assignments.events import (
    AssignmentQueued,
    AssignmentRunning,
    AssignmentUnqueued,
    AssignmentUpdated,
    ChatAssignmentQueued,
    ChatAssignmentUnqueued,
)
from resolvers.staff.runs.assignments import ASSIGNMENT_ENDED
from resolvers.staff.runs.events import RUN_STARTS
from resolvers.staff.runs.lifecycle import hold_starts, start_run, why_idle
from resolvers.staff.runs.pauses import PAUSED, is_paused, paused_on

TRIGGER = "ASSIGNMENT"
MOST_OF_CREW = 8
"""The most concurrent assignments of a crew's agents; others are queued."""
MOST_FAILURES = 3
PAUSE = timedelta(minutes=30)
"""The pause of an agent that has failed repeatedly, unless a user edits it; then it gets one task."""
GONE = "The agent has been deleted"
NO_AGENT = "No agent can take the task"
NOT_CONNECTED = "The crew of the agent is not connected with the crew of the mission"
BROKEN = "The agent failed several times in a row and gets no work for a while"
FAILED = (AssignmentStatus.FAILED, AssignmentStatus.TIMEOUT)
WORK_IS_GIVEN = (
    *RUN_STARTS,
    AssignmentQueued,
    AssignmentUnqueued,
    ChatAssignmentQueued,
    ChatAssignmentUnqueued,
    AssignmentRunning,
    AssignmentUpdated,
)
"""The events of an operation that gives work to agents."""


class AgentToDispatch(Input):
    agent_id: Id


TURNS = job("missions.turns", AgentToDispatch, unique="{agent_id}", emits=WORK_IS_GIVEN)
"""The crew of the agent has room for assignments that wait."""


async def agent_for(ctx: Context, mission: Mission, task: MissionTask, tasks: list[MissionTask]) -> Agent | str:
    """The agent for the task, or the reason why there is none."""
    if task.assigned_agent_id is None:
        agent = await _least_busy(ctx, mission, tasks)
    else:
        agent = await ctx.select(Agent, col(Agent.id) == task.assigned_agent_id).first()
    if agent is None:
        return NO_AGENT
    if (idle := why_idle(agent)) is not None:
        return idle.detail
    if not await are_connected(ctx, mission.crew_id, agent):
        return NOT_CONNECTED
    if await is_paused(ctx, agent.id, mission.id):
        return PAUSED
    return BROKEN if await _keeps_failing(ctx, agent) else agent


async def _least_busy(ctx: Context, mission: Mission, tasks: list[MissionTask]) -> Agent | None:
    """The agent of the mission's crew with the fewest of its tasks, by name; the lead if there is no other, and a
    paused one if all are.
    """
    of_crew = await ctx.select(Agent, col(Agent.crew_id) == mission.crew_id).all()
    agents = [agent for agent in of_crew if why_idle(agent) is None]
    paused, busy = await paused_on(ctx, mission.id), Counter(task.assigned_agent_id for task in tasks)

    def turn(agent: Agent) -> tuple[Any, ...]:
        return agent.id in paused, agent.id == mission.lead_agent_id, busy[agent.id], agent.name, agent.id

    return min(agents, key=turn, default=None)


async def are_connected(ctx: Context, crew_id: str | None, agent: Agent) -> bool:
    """Agents of another crew work for this one over an active connection."""
    if agent.crew_id is None or agent.crew_id == crew_id:
        return True
    if crew_id is None:
        return False
    there, back = (crew_id, agent.crew_id), (agent.crew_id, crew_id)
    ends = (col(CrewConnection.from_crew_id).in_(there), col(CrewConnection.to_crew_id).in_(there))
    active = await ctx.select(CrewConnection, col(CrewConnection.status) == ConnectionStatus.active, *ends).all()
    directions = {(each.from_crew_id, each.to_crew_id): each.direction for each in active}
    return there in directions or directions.get(back) is ConnectionDirection.bidirectional


async def _keeps_failing(ctx: Context, agent: Agent) -> bool:
    """Returns true if its last assignments, over all missions, have all failed, the last one recently. The count is
    computed from rows, so it survives every process.
    """
    ended = (col(Assignment.assigned_to_id) == agent.id, col(Assignment.finished_at).is_not(None))
    counted = col(Assignment.status) != AssignmentStatus.CANCELLED  # called off: it says nothing of the agent
    newest = (col(Assignment.created_at).desc(), col(Assignment.id).desc())
    last = await ctx.select(Assignment, *ended, counted).order_by(*newest).limit(MOST_FAILURES).all()
    if len(last) < MOST_FAILURES or any(assignment.status not in FAILED for assignment in last):
        return False
    failed_at = max(assignment.finished_at for assignment in last if assignment.finished_at is not None)
    return agent.updated_at <= failed_at and await ctx.now() < failed_at + PAUSE


# ---- assignments -----------------------------------------------------------------------------------------------------


async def assign(ctx: Context, mission: Mission, agent: Agent, prompt: str) -> Assignment:
    """An assignment from the lead of a mission."""
    chat = Chat(id=mission.id, agent_id=mission.lead_agent_id, mode=ChatMode.MISSION)
    return await give(ctx, chat, mission.lead_agent_id, agent, prompt)


async def give(
    ctx: Context, chat: Chat, giver_id: str, agent: Agent, prompt: str, *, restricted: bool = False
) -> Assignment:
    """An assignment in a chat, and the run that carries it out, once the crew has room for it. `restricted` as the run
    is that gives it.
    """
    await hold_slots(ctx, agent)
    at_work, waiting = await _in_crew(ctx, agent)
    has_room = at_work < MOST_OF_CREW
    assignment = Assignment(
        id=f"m_{secrets.token_hex(12)}" if chat.mode is ChatMode.MISSION else new_id(),
        chat_id=chat.id,
        assigned_by_id=giver_id,
        assigned_to_id=agent.id,
        task=prompt,
        restricted=restricted,
        status=AssignmentStatus.RUNNING if has_room else AssignmentStatus.QUEUED,
        started_at=NOW if has_room else None,
    )
    await ctx.insert(assignment)
    if has_room:
        await _run(ctx, agent, assignment, chat)
    else:
        told: dict[str, Any] = {"id": assignment.id, "crew_id": agent.crew_id or "", "target": agent.slug}
        told |= {"ahead_of": waiting, "queue_depth": waiting + 1}
        ctx.emit(ChatAssignmentQueued(chat_id=chat.id, **told))
        ctx.emit(AssignmentQueued(**told))
    return assignment


async def waiting_in_crew(ctx: Context, agent: Agent) -> int:
    """Asked and answered one after the other: who asks may give one more."""
    await hold_slots(ctx, agent)
    return (await _in_crew(ctx, agent))[1]


async def make_room(ctx: Context, agent_id: str) -> None:
    """An assignment to the agent has ended: what waits in its crew gets its turn, where anything does."""
    agent = await ctx.select(Agent, col(Agent.id) == agent_id, including_deleted=True).one()
    await hold_slots(ctx, agent)
    if (await _in_crew(ctx, agent))[1]:
        ctx.enqueue(TURNS, agent_id=agent_id)


async def give_turns(ctx: Context, agent_id: str) -> None:
    """Starts the waiting assignments of the agent's crew, the oldest first, up to the limit."""
    agent = await ctx.select(Agent, col(Agent.id) == agent_id, including_deleted=True).one()
    await hold_slots(ctx, agent)
    at_work, waiting = await _in_crew(ctx, agent)
    if not waiting or at_work >= MOST_OF_CREW:
        return
    queued = (col(Assignment.status) == AssignmentStatus.QUEUED, _of_crew(ctx, agent), ~_is_held_back(ctx))
    oldest = (col(Assignment.created_at), col(Assignment.id))
    first = await ctx.select(Assignment, *queued).order_by(*oldest).limit(MOST_OF_CREW - at_work).all()
    workers = {each.id: each for each in await _workers(ctx, first)}
    idle = {each.id: why for each in first if (why := _why_idle(workers[each.assigned_to_id])) is not None}
    await _give_up(ctx, idle)
    begun = [each for each in first if each.id not in idle]
    running = {"status": AssignmentStatus.RUNNING, "started_at": NOW}
    await ctx.update_each(Assignment, {each.id: running for each in begun})
    named = col(Chat.id).in_([each.chat_id for each in begun])
    chats = {chat.id: chat for chat in await ctx.select(Chat, named).all()} if begun else {}
    for assignment in begun:
        worker, chat = workers[assignment.assigned_to_id], chats.get(assignment.chat_id or "")
        told = {"id": assignment.id, "crew_id": worker.crew_id or ""}
        if chat is not None:
            ctx.emit(ChatAssignmentUnqueued(chat_id=chat.id, **told))
        ctx.emit(AssignmentUnqueued(**told))
        await _run(ctx, worker, assignment, chat, col(Run.created_at) <= assignment.created_at)


def _is_held_back(ctx: Context) -> Any:
    """The assignment of a task whose mission is paused: those behind it get their turn."""
    tasks, missions = ctx.table(MissionTask), ctx.table(Mission)
    paused = (missions.c.id == tasks.c.mission_id, missions.c.paused_at.is_not(None))
    return exists().where(tasks.c.assignment_id == col(Assignment.id), *paused)


async def _workers(ctx: Context, assignments: Sequence[Assignment]) -> list[Agent]:
    named = col(Agent.id).in_({each.assigned_to_id for each in assignments})
    return await ctx.select(Agent, named, including_deleted=True).all()


def _why_idle(worker: Agent) -> str | None:
    if worker.deleted_at is not None:
        return GONE
    refusal = why_idle(worker)
    return None if refusal is None else refusal.detail


async def _give_up(ctx: Context, idle: Mapping[str, str]) -> None:
    """Assignments that waited longer than their agents could work have failed, and why."""
    ended = {"status": AssignmentStatus.FAILED, "finished_at": NOW}
    await ctx.update_each(Assignment, {id: ended | {"error_message": why} for id, why in idle.items()})
    for id in idle:
        ctx.enqueue(ASSIGNMENT_ENDED, assignment_id=id)


async def hold_slots(ctx: Context, agent: Agent) -> None:
    """Serialises operations that give work to a crew's agents or take it from them."""
    await ctx.lock(f"assignments of {ctx.workspace_id}/{agent.crew_id or agent.id}")


def _of_crew(ctx: Context, agent: Agent) -> Any:
    """Assignments to agents of the same crew; an agent without one has the room of a crew by itself."""
    if agent.crew_id is None:
        return col(Assignment.assigned_to_id) == agent.id
    agents = ctx.table(Agent, including_deleted=True)
    return col(Assignment.assigned_to_id).in_(select(agents.c.id).where(agents.c.crew_id == agent.crew_id))


async def _in_crew(ctx: Context, agent: Agent) -> tuple[int, int]:
    """The numbers of running and of waiting assignments in the crew."""
    of_crew, status = _of_crew(ctx, agent), col(Assignment.status)
    at_work = await ctx.select(Assignment, status == AssignmentStatus.RUNNING, of_crew).count()
    waiting = await ctx.select(Assignment, status == AssignmentStatus.QUEUED, of_crew).count()
    return at_work, waiting


async def _run(ctx: Context, agent: Agent, assignment: Assignment, chat: Chat | None, *there: Any) -> None:
    """The run is in no chat, because the assignment's chat has a live run of its own. `there`: the condition of runs
    that existed when the assignment was given, unless it is given now.
    """
    await hold_starts(ctx, agent.id)
    data: dict[str, Any] = {"cli_adapter": agent.cli_adapter, "crew_id": agent.crew_id, "agent_slug": agent.slug}
    of_mission = chat is None or chat.mode is ChatMode.MISSION
    data |= {"mission_id": assignment.chat_id, "tags": ["mission"]} if of_mission else {"tags": ["assignment"]}
    run = Run(
        agent_id=agent.id,
        assignment_id=assignment.id,
        parent_id=None if of_mission else await _giver(ctx, assignment, *there),
        triggered_by=assignment.assigned_by_id if of_mission else None,
        trigger_type=TRIGGER,
        restricted=assignment.restricted,
        prompt=assignment.task,
        data=data,
    )
    await start_run(ctx, run, conflict={})
    if chat is not None:
        ctx.emit(AssignmentRunning(chat_id=chat.id, id=assignment.id, target=agent.slug))
    ctx.emit(AssignmentUpdated(id=assignment.id, status=AssignmentStatus.RUNNING, target=agent.slug))
    ctx.ring(Topic.queue)


async def _giver(ctx: Context, assignment: Assignment, *there: Any) -> str | None:
    """The run that has given the assignment: the last of the giver's in that chat which had begun then."""
    of_giver = (col(Run.chat_id) == assignment.chat_id, col(Run.agent_id) == assignment.assigned_by_id)
    runs = ctx.select(Run, *of_giver, *there, including_hidden=True)
    run = await runs.order_by(col(Run.began_at).desc(), col(Run.id).desc()).first()
    return None if run is None else run.id
