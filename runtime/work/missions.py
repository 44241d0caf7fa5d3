"""The bodies of the jobs that move missions on. Each step is one transaction: done again, nothing is left to do."""

from functools import partial

from sqlmodel import col

from models.work.missions import Assignment
from resolvers.kernel import Context
from resolvers.staff.runs.assignments import ASSIGNMENT_ENDED, GIVER_CALLED_OFF, RunOfAssignment
from resolvers.staff.runs.passing_on import RunToPassOn
from resolvers.staff.runs.questions import QUESTION_ENDED, OfQuestion
from resolvers.work.missions import calling_off, driving
from resolvers.work.missions.asking import TELL as TELL_ANSWER
from resolvers.work.missions.asking import tell_answer
from resolvers.work.missions.assigning import TELL, tell
from resolvers.work.missions.dispatching import TURNS, AgentToDispatch, give_turns, make_room
from resolvers.work.missions.driving import DRIVE, EXPIRE, MissionToDrive
from runtime.engine.background import Work, carries


@carries(DRIVE)
async def look(work: Work, data: MissionToDrive) -> None:
    """Each task is assigned in a step of its own: two missions that share agents lock one agent each at a time, and
    never wait for each other.
    """
    id = data.mission_id
    await work.write("note", lambda ctx: driving.note(ctx, id))
    for task_id in await work.read(lambda ctx: driving.ready(ctx, id)):
        await work.write(f"dispatch {task_id}", partial(driving.dispatch, mission_id=id, task_id=task_id))
    await work.write("settle", lambda ctx: driving.settle(ctx, id))


@carries(EXPIRE)
async def deadline(work: Work, data: MissionToDrive) -> None:
    await work.write("deadline", lambda ctx: driving.expire(ctx, data.mission_id))


@carries(ASSIGNMENT_ENDED)
async def go_on(work: Work, data: RunOfAssignment) -> None:
    """The mission that the assignment belongs to is looked at, and its crew has room for another one."""

    async def enqueue(ctx: Context) -> None:
        assignment = await ctx.select(Assignment, col(Assignment.id) == data.assignment_id).first()
        if assignment is None:
            return
        if assignment.chat_id is not None:
            ctx.enqueue(DRIVE, mission_id=assignment.chat_id)
        ctx.enqueue(TELL, assignment_id=assignment.id)
        await make_room(ctx, assignment.assigned_to_id)

    await work.write("go on", enqueue)


@carries(TELL)
async def told(work: Work, data: RunOfAssignment) -> None:
    await work.write("tell", lambda ctx: tell(ctx, data.assignment_id))


@carries(GIVER_CALLED_OFF)
async def called_off(work: Work, data: RunToPassOn) -> None:
    await work.write("call off", lambda ctx: calling_off.call_off_given(ctx, data.run_id))


@carries(QUESTION_ENDED)
async def answered(work: Work, data: OfQuestion) -> None:
    async def enqueue(ctx: Context) -> None:
        ctx.enqueue(TELL_ANSWER, question_id=data.question_id)

    await work.write("go on", enqueue)


@carries(TELL_ANSWER)
async def answer_told(work: Work, data: OfQuestion) -> None:
    await work.write("tell", lambda ctx: tell_answer(ctx, data.question_id))


@carries(TURNS)
async def turns(work: Work, data: AgentToDispatch) -> None:
    await work.write("turns", lambda ctx: give_turns(ctx, data.agent_id))
