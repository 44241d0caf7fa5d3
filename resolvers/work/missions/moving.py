"""The activity of an issue: what it goes through, regardless of who causes it."""

from typing import Any

from models.actors import ActorType
from models.bounds import LINE, cut
from models.machines import Machine
from models.work.issues import ActivityAction, IssueActivity
from models.work.missions import Mission, MissionStatus, MissionType
from resolvers.kernel import Actor, Code, Context
from resolvers.kernel.writing.actors import actor_of

NOT_PAUSED: dict[str, Any] = {"paused_at": None, "paused_by": None, "paused_ms": 0}
ARROW = " \N{RIGHTWARDS ARROW} "


def record(ctx: Context, issue_id: str, actor: Actor, action: ActivityAction, details: str) -> None:
    ctx.record(
        IssueActivity(
            mission_id=issue_id, actor_type=actor.type, actor_id=actor.id, action=action, details=cut(details, LINE * 5)
        )
    )


def at_work(mission: Mission) -> Actor:
    """The agent whose work moves the mission: the assignee of an issue, otherwise the lead."""
    if mission.assignee_type == ActorType.agent and mission.assignee_id:
        return Actor(ActorType.agent, mission.assignee_id)
    return Actor(ActorType.agent, mission.lead_agent_id)


async def move_mission(
    ctx: Context,
    machine: Machine[Mission, MissionStatus],
    mission: Mission,
    to: MissionStatus,
    /,
    *,
    refused: Code = Code.CONFLICT,
    by: Actor | None = None,
    said: bool = False,
    since: MissionStatus | None = None,
    **changes: Any,
) -> Mission:
    """One transition of a mission that was read before; that of an issue is in its activity. `by`: if not the caller.
    `said`: the operation records it in words of its own. `since`: the state before it, if the mission's own was never
    visible. A mission in another state is not paused any more.
    """
    changes |= NOT_PAUSED
    moved = await ctx.move(machine, mission, to, refused=refused, **changes)
    if mission.mission_type is MissionType.issue and not said:
        details = f"{since or mission.status}{ARROW}{to}"
        record(ctx, mission.id, by or actor_of(ctx), ActivityAction.status_changed, details)
    return moved
