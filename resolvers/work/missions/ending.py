"""Assignments that wait for an agent end with the agent, and with its crew."""

from sqlmodel import col

from models.staff.agents import Agent
from models.work.missions import Assignment, AssignmentStatus
from resolvers.kernel import NOW, Context, Ended, Holder, ends
from resolvers.staff.runs.assignments import ASSIGNMENT_ENDED
from resolvers.staff.runs.ending import WHY, agents_of
from resolvers.work.missions.dispatching import hold_slots


@ends(1)
async def end_queued(ctx: Context, ended: Ended) -> None:
    """Before runs end: starts waiting assignments of the crew."""
    if ended.holder not in (Holder.agent, Holder.crew):
        return
    agents = await agents_of(ctx, ended)
    ours = ctx.select(Agent, col(Agent.id).in_(agents), including_deleted=True, including_hidden=True)
    held = set[str]()
    for agent in await ours.order_by(col(Agent.crew_id), col(Agent.id)).all():
        if (key := agent.crew_id or agent.id) not in held:
            held.add(key)
            await hold_slots(ctx, agent)
    waiting = (col(Assignment.assigned_to_id).in_(agents), col(Assignment.status) == AssignmentStatus.QUEUED)
    changes = {"status": AssignmentStatus.FAILED, "finished_at": NOW, "error_message": WHY[ended.holder]}
    for id in await ctx.update_where(Assignment, *waiting, including_hidden=True, **changes):
        ctx.enqueue(ASSIGNMENT_ENDED, assignment_id=id)
