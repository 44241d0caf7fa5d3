"""Work is called off: that on a mission, and what a run has given others to do. The runs of its agents end, and nothing
follows from them.
"""

from typing import Any

from sqlmodel import col

from models.staff.agents import Agent
from models.staff.assignments import PeerConversation, PeerConversationStatus
from models.staff.runs import Run, RunStatus
from models.work.missions import Assignment, AssignmentStatus, MissionTask, TaskStatus
from resolvers.kernel import NOW, Context
from resolvers.staff.runs.cancelling import NEVER_RAN, ask_to_cancel, waits
from resolvers.staff.runs.events import RUN_ENDS
from resolvers.staff.runs.lifecycle import end_run
from resolvers.work.missions.assigning import TELL
from resolvers.work.missions.dispatching import hold_slots, make_room
from resolvers.work.missions.events import TaskStatusChanged, TaskUpdated

OPEN = (AssignmentStatus.PENDING, AssignmentStatus.QUEUED, AssignmentStatus.RUNNING)
CALLED_OFF = "The work was cancelled"
GIVER_CALLED_OFF = "The run that assigned the work was cancelled"
WORK_IS_CALLED_OFF = (*RUN_ENDS, TaskStatusChanged, TaskUpdated)
"""The events of an operation that cancels work."""


async def call_off(ctx: Context, mission_id: str, to: TaskStatus = TaskStatus.CANCELLED, why: str = CALLED_OFF) -> None:
    """Asks every worker with a run of the mission to end it. Assignments under way are CANCELLED, so that their ends
    have no effect, and their tasks get the given state. The caller holds the mission's row.
    """
    of_mission = (col(Assignment.chat_id) == mission_id, col(Assignment.status).in_(OPEN))
    ids = await ctx.update_where(
        Assignment, *of_mission, status=AssignmentStatus.CANCELLED, finished_at=NOW, error_message=why
    )
    if not ids:
        return
    at_work = (col(MissionTask.assignment_id).in_(ids), col(MissionTask.status) == TaskStatus.IN_PROGRESS)
    ended = {"status": to, "completed_at": NOW, "error_message": why}
    for task_id in await ctx.update_where(MissionTask, *at_work, **ended):
        ctx.emit(TaskStatusChanged(mission_id=mission_id, id=task_id, status=to))
        ctx.emit(TaskUpdated(id=task_id, mission_id=mission_id, status=to))
    await _end_runs(ctx, col(Run.assignment_id).in_(ids))
    ended_ones = await ctx.select(Assignment, col(Assignment.id).in_(ids)).all()
    for agent_id in sorted({assignment.assigned_to_id for assignment in ended_ones}):
        await make_room(ctx, agent_id)


async def call_off_given(ctx: Context, run_id: str) -> None:
    """Cancels the assignments and questions that a cancelled run has given and that have not ended: everything that its
    agent gave in its chat between the run's begin and the next run, because a chat has one run at a time.
    """
    run = await ctx.select(Run, col(Run.id) == run_id, including_hidden=True).first()
    if run is None or run.chat_id is None:
        return
    following = (col(Run.chat_id) == run.chat_id, col(Run.created_at) > run.created_at)
    after = await ctx.select(Run, *following, including_hidden=True).order_by(col(Run.created_at)).first()
    await _call_off_assignments(ctx, run, [*_meanwhile(Assignment, run, after), *_given_by(Assignment, run)])
    asked = [*_meanwhile(PeerConversation, run, after), col(PeerConversation.from_agent_id) == run.agent_id]
    open_ = (
        col(PeerConversation.chat_id) == run.chat_id,
        col(PeerConversation.status) == PeerConversationStatus.RUNNING,
    )
    questions = await ctx.select(PeerConversation, *asked, *open_, including_hidden=True).all()
    if questions:
        await _end_runs(ctx, col(Run.id).in_([question.id for question in questions]))


def _meanwhile(model: Any, run: Run, after: Run | None) -> list[Any]:
    since = [col(model.created_at) >= run.created_at]
    return since if after is None else [*since, col(model.created_at) < after.created_at]


def _given_by(model: Any, run: Run) -> list[Any]:
    return [col(model.chat_id) == run.chat_id, col(model.assigned_by_id) == run.agent_id]


async def _call_off_assignments(ctx: Context, run: Run, given: list[Any]) -> None:
    open_ = (*given, col(Assignment.status).in_(OPEN))
    to = sorted({each.assigned_to_id for each in await ctx.select(Assignment, *open_, including_hidden=True).all()})
    of_crews = ctx.select(Agent, col(Agent.id).in_(to), including_deleted=True).order_by(
        col(Agent.crew_id), col(Agent.id)
    )
    for agent in await of_crews.all() if to else []:
        await hold_slots(ctx, agent)
    ended = {"status": AssignmentStatus.CANCELLED, "finished_at": NOW, "error_message": GIVER_CALLED_OFF}
    ids = await ctx.update_where(Assignment, *open_, **ended)
    if not ids:
        return
    await _end_runs(ctx, col(Run.assignment_id).in_(ids))
    for id in ids:
        ctx.audit("ASSIGNMENT", id, action="assignment.cancelled", run_id=run.id, agent_id=run.agent_id)
        ctx.enqueue(TELL, assignment_id=id)
    for agent_id in to:
        await make_room(ctx, agent_id)


async def _end_runs(ctx: Context, which: Any) -> None:
    """Every worker that has one is asked to end it."""
    live = col(Run.status) == RunStatus.RUNNING
    for run in await ctx.select(Run, which, live, including_hidden=True).order_by(col(Run.id)).locked().all():
        if waits(run):
            await end_run(ctx, run.id, NEVER_RAN)
        else:
            await ask_to_cancel(ctx, run.id)
