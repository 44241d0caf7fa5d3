"""Work on a mission is called off: its agents' runs end, and nothing follows from them."""

from sqlmodel import col

from models.missions import Assignment, AssignmentStatus, MissionTask, TaskStatus
from models.runs import Run, RunStatus
from resolvers.kernel import NOW, Context
from resolvers.missions.dispatching import make_room
from resolvers.missions.events import TaskStatusChanged, TaskUpdated
from resolvers.runs.cancelling import NEVER_RAN, ask_to_cancel, waits
from resolvers.runs.events import RUN_ENDS
from resolvers.runs.lifecycle import end_run

OPEN = (AssignmentStatus.PENDING, AssignmentStatus.QUEUED, AssignmentStatus.RUNNING)
CALLED_OFF = "The work was called off"
WORK_IS_CALLED_OFF = (*RUN_ENDS, TaskStatusChanged, TaskUpdated)
"""What an operation declares that calls work off."""


async def call_off(ctx: Context, mission_id: str, to: TaskStatus = TaskStatus.CANCELLED, why: str = CALLED_OFF) -> None:
    """Every worker that has a run of the mission is asked to end it. Assignments under way are CANCELLED, so that
    nothing comes of their ends, and their tasks are what is said. For who holds the mission's row.
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
    live = (col(Run.assignment_id).in_(ids), col(Run.status) == RunStatus.RUNNING)
    for run in await ctx.select(Run, *live).order_by(col(Run.id)).locked().all():
        if waits(run):
            await end_run(ctx, run.id, NEVER_RAN)
        else:
            await ask_to_cancel(ctx, run.id)
    ended_ones = await ctx.select(Assignment, col(Assignment.id).in_(ids)).all()
    for agent_id in sorted({assignment.assigned_to_id for assignment in ended_ones}):
        await make_room(ctx, agent_id)
