"""Runs of assignments: the result is stored with the assignment, and waiting runs continue."""

from sqlmodel import col

from models.bounds import CUT, ERROR, cut
from models.staff.runs import Run, RunStatus
from models.work.missions import Assignment, AssignmentStatus
from resolvers.kernel import NOW, Context, Id, Input, job
from resolvers.rules.handoff import handoff_in
from resolvers.staff.runs.events import RUN_ENDS
from resolvers.staff.runs.passing_on import RunToPassOn
from resolvers.staff.runs.pauses import break_loop

LONGEST_RESULT = 8000
ENDS = {
    RunStatus.COMPLETED: AssignmentStatus.COMPLETED,
    RunStatus.FAILED: AssignmentStatus.FAILED,
    RunStatus.TIMEOUT: AssignmentStatus.TIMEOUT,
    RunStatus.CANCELLED: AssignmentStatus.FAILED,  # it was called off before it was done (contract: missions.behaviour)
}


class RunOfAssignment(Input):
    assignment_id: Id


ASSIGNMENT_ENDED = job("assignments.ended", RunOfAssignment, unique="{assignment_id}")
"""Continues the work that waits for the assignment."""
GIVER_CALLED_OFF = job("assignments.giver_called_off", RunToPassOn, unique="{run_id}", emits=RUN_ENDS)
"""Cancels the work that a cancelled run has given to others."""


async def end_assignment(ctx: Context, run: Run, reply: str | None) -> None:
    """With the run's own end; an assignment that has ended already stays as it is."""
    if run.assignment_id is None:
        return
    handed = None if reply is None else handoff_in(reply)
    changes = {
        "status": ENDS[run.status],
        "finished_at": NOW,
        "handoff": None if handed is None else handed._asdict(),
        "result_summary": None
        if not reply
        else reply
        if len(reply) <= LONGEST_RESULT
        else reply[:LONGEST_RESULT] + CUT,
        "error_message": None if run.error_message is None else cut(run.error_message, ERROR),
    }
    open_ = (col(Assignment.id) == run.assignment_id, col(Assignment.finished_at).is_(None))
    if await ctx.update_where(Assignment, *open_, **changes):
        ctx.enqueue(ASSIGNMENT_ENDED, assignment_id=run.assignment_id)
        await break_loop(ctx, run, await ctx.get(Assignment, run.assignment_id))


def call_off_given(ctx: Context, run: Run) -> None:
    """Called with the end of a run that a user wanted cancelled. A run whose worker died is not cancelled: its
    assignments continue.
    """
    asked = run.status is RunStatus.CANCELLED and run.cancel_requested_at is not None
    if asked and run.chat_id is not None and run.started_at is not None:
        ctx.enqueue(GIVER_CALLED_OFF, run_id=run.id)
