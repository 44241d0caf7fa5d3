"""Agents make schedules: the autonomy of their crew decides (contract: internal.routines.schedules.create)."""

from typing import Any, Final

from sqlalchemy import Text as Words
from sqlalchemy import case, func
from sqlmodel import col

from models.attention.inbox import InboxKind, InboxPriority, SenderType
from models.bounds import LINE, cut
from models.people.workspaces import Capability, Membership, Role
from models.staff.crews import AutonomyLevel, Crew
from models.work.routine_schedules import RoutineSchedule
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import put
from resolvers.kernel import (
    Action,
    Auth,
    Code,
    Context,
    Emptied,
    Id,
    Input,
    Refusal,
    command,
    constant,
    derived,
    extend,
    forbidden,
)
from resolvers.kernel.ground.policy import effective
from resolvers.work.routine_schedules.events import RoutineScheduleCreated
from resolvers.work.routine_schedules.schedules import CreateRoutineSchedule, make_schedule

STRICT: Final = "The autonomy level of the crew lets its agents make no schedules"
ACTION: Final = "routine_schedule_create"
ANNOUNCED: Final = "auto_log_inbox"
"""contract: internal-newer.behaviour.autonomy_gate"""


class OfActingCrew(Input):
    """`crew_id`: the acting crew; absent or unknown, its level counts as guided."""

    crew_id: Emptied[Id] = None


class CreateAgentsRoutineSchedule(CreateRoutineSchedule, OfActingCrew):
    """A schedule as people create it, and the acting crew."""


async def _acting(ctx: Context, crew_id: str | None) -> Crew | None:
    return None if crew_id is None else await ctx.select(Crew, col(Crew.id) == crew_id).first()


async def may_create(ctx: Context) -> None:
    """A user whom the program names with a signature must have the capability. A name without one is ignored."""
    named = ctx.caller.on_behalf
    if named is None or not named.signed_for(ctx.workspace_id or ""):
        return
    own = col(Membership.user_id) == named.user_id
    member = await ctx.select(Membership, own, including_hidden=True).first()
    if member is None or Capability.routine_create not in effective(Role(member.role), member.capabilities):
        raise forbidden(capability=Capability.routine_create)
    ctx.user_id = named.user_id


async def may_act(ctx: Context, data: OfActingCrew | None) -> None:
    """The level of the crew must let its agents make schedules."""
    crew = await _acting(ctx, None if data is None else data.crew_id)
    if crew is not None and crew.autonomy_level is AutonomyLevel.strict:
        extra = {
            "autonomy_level": crew.autonomy_level.value, "crew_id": crew.id, "policy_action": ACTION,
            "reason": "strict",
        }  # fmt: skip
        raise Refusal(Code.FORBIDDEN, STRICT, extra=extra)


@command(
    "internal.routines.schedules.create",
    Action.NONE,
    auth=Auth.INTERNAL,
    allow=(may_create, may_act),
    audit="routine_schedule.created",
    emits=(RoutineScheduleCreated, InboxItemUpdated),
    errors=(Code.FORBIDDEN, Code.UNPROCESSABLE),
    late=True,
)
async def create_agents_routine_schedule(ctx: Context, data: CreateAgentsRoutineSchedule) -> RoutineSchedule:
    """Create a schedule of a routine (for agents).

    The autonomy level of the crew decides: `strict` refuses, `guided` creates the schedule and announces it in the
    inbox, and other levels create it. Runs start in the name of the user whom the request names with a signature;
    otherwise for the crew, whose level is asked again at each occurrence.
    """
    crew, user_id = await _acting(ctx, data.crew_id), ctx.user_id
    of_crew: dict[str, Any] = {"crew_id": None if crew is None else crew.id}
    made = await make_schedule(ctx, data, run_as_id=user_id or None, by_agent=not user_id, **of_crew)
    if crew is None or crew.autonomy_level is AutonomyLevel.guided:
        await put(
            ctx,
            InboxKind.message,
            f"schedule:{made.id}",
            subject=crew,
            title=cut(f"An agent created a schedule: {made.name}", LINE),
            body_md=f"It runs at `{cut(made.cron_expr, LINE)}` in {made.timezone}. Disable or delete it to stop it.",
            sender_type=SenderType.crew if crew is not None else SenderType.system,
            sender_id=None if crew is None else crew.id,
            sender_name=cut(crew.name, LINE) if crew is not None else None,
            priority=InboxPriority.low,
            payload={"schedule_id": made.id, "policy_action": ACTION, "decision": ANNOUNCED},
        )
    return made


def _level(row: Any, scope: Any) -> Any:
    """The level by which the schedule was announced; null for another one."""
    level = func.coalesce(
        scope.parent(Crew, row, "crew_id", "autonomy_level"), constant(AutonomyLevel.guided), type_=Words()
    )
    return case((level == constant(AutonomyLevel.guided), level))


def _of_guided(value: Any) -> Any:
    return lambda row, scope: case((_level(row, scope).is_not(None), value))


extend(
    RoutineSchedule,
    announced_level=derived(str | None, _level),
    announced_decision=derived(str | None, _of_guided(constant(ANNOUNCED, Words()))),
    announced_review=derived(bool | None, _of_guided(constant(False))),
)
