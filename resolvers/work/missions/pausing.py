"""Pausing and continuing missions: tasks that have begun continue, and no other task begins meanwhile."""

from functools import partial

from sqlmodel import col

from models.work.missions import Assignment, AssignmentStatus, Mission, MissionTask
from resolvers.kernel import GRAPHQL_ONLY, NOW, Action, ById, Code, Context, Refusal, Subject, command
from resolvers.work.missions.dispatching import make_room
from resolvers.work.missions.driving import EXPIRE, deadline_of, is_worked_on, look_again
from resolvers.work.missions.events import MissionUpdated
from resolvers.work.missions.moving import NOT_PAUSED

of_mission = partial(
    command,
    action=Action.CREATE,
    subject=Subject(Mission, "id"),
    locked=True,
    surfaces=GRAPHQL_ONLY,
    emits=MissionUpdated,
    errors=(Code.CONFLICT,),
)


@of_mission("missions.pause", audit="mission.paused")
async def pause_mission(ctx: Context, mission: Mission, data: ById) -> Mission:
    """Pause a mission.

    Tasks that have begun continue, and no other task begins. The mission stays IN_PROGRESS, and its deadline is
    postponed by the time that it is paused. CONFLICT unless the mission was started and is not
    paused.
    """
    if not is_worked_on(mission) or mission.paused_at is not None:
        raise Refusal(Code.CONFLICT, "Only a mission under way that is not paused can be paused")
    ctx.emit(MissionUpdated(id=mission.id, crew_id=mission.crew_id, status=mission.status))
    return await ctx.update(Mission, mission.id, paused_at=NOW, paused_by=ctx.user_id or None)


@of_mission("missions.continue", audit="mission.continued")
async def continue_mission(ctx: Context, mission: Mission, data: ById) -> Mission:
    """Resume a paused mission.

    Tasks that are ready begin. CONFLICT unless the mission is paused.
    """
    if mission.paused_at is None:
        raise Refusal(Code.CONFLICT, "The mission is not paused")
    lasted = int((await ctx.now() - mission.paused_at).total_seconds() * 1000)
    changes = NOT_PAUSED | {"paused_ms": mission.paused_ms + lasted}
    continued = await ctx.update(Mission, mission.id, **changes)
    look_again(ctx, continued)
    ctx.enqueue(EXPIRE, at=deadline_of(continued), mission_id=mission.id)
    for agent_id in await _held_back(ctx, mission.id):
        await make_room(ctx, agent_id)
    ctx.emit(MissionUpdated(id=mission.id, crew_id=mission.crew_id, status=mission.status))
    return continued


async def _held_back(ctx: Context, mission_id: str) -> list[str]:
    """The agents whose assignments of the mission wait for a free slot of their crew."""
    tasks = await ctx.select(MissionTask, col(MissionTask.mission_id) == mission_id).all()
    ids = [task.assignment_id for task in tasks if task.assignment_id is not None]
    waiting = (col(Assignment.id).in_(ids), col(Assignment.status) == AssignmentStatus.QUEUED)
    return sorted({each.assigned_to_id for each in await ctx.select(Assignment, *waiting).all()}) if ids else []
