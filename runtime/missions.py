"""The bodies of the jobs that move missions on. Each is one transaction: done again it finds nothing left to do."""

from sqlmodel import col

from models.missions import Assignment
from resolvers.kernel import Context
from resolvers.missions.driving import DRIVE, EXPIRE, OfMission, drive, expire
from resolvers.runs.assignments import ASSIGNMENT_ENDED, OfAssignment
from runtime.background import Work, carries


@carries(DRIVE)
async def look(work: Work, data: OfMission) -> None:
    await work.write("look", lambda ctx: drive(ctx, data.mission_id))


@carries(EXPIRE)
async def deadline(work: Work, data: OfMission) -> None:
    await work.write("deadline", lambda ctx: expire(ctx, data.mission_id))


@carries(ASSIGNMENT_ENDED)
async def go_on(work: Work, data: OfAssignment) -> None:
    """The mission that the assignment belongs to is looked at."""

    async def enqueue(ctx: Context) -> None:
        assignment = await ctx.select(Assignment, col(Assignment.id) == data.assignment_id).first()
        if assignment is not None and assignment.chat_id is not None:
            ctx.enqueue(DRIVE, mission_id=assignment.chat_id)

    await work.write("go on", enqueue)
