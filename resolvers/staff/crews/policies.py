"""Policies of crews: what their agents may do without an operator's approval."""

from typing import Annotated

from pydantic import Field
from sqlalchemy import func
from sqlmodel import col

from models import bounds
from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.staff.crews import AutonomyLevel, BehaviorMode, Crew
from resolvers.kernel import (
    NOW,
    TRIMMED,
    Action,
    Code,
    Context,
    NoInput,
    QueryScope,
    Row,
    Rows,
    command,
    invalid,
    query,
)
from resolvers.rules.redaction import Redactor
from resolvers.staff.crews.members import CREW, ByCrew


class SetPolicy(ByCrew):
    """`full` needs a reason, and cannot be combined with `block`."""

    autonomy_level: Annotated[AutonomyLevel, TRIMMED]
    behavior_mode: Annotated[BehaviorMode, TRIMMED]
    reason: Annotated[str, TRIMMED, Field(strict=True, max_length=bounds.DESCRIPTION)] = ""


@query("policies.list", Action.READ)
def list_policies(scope: QueryScope, data: NoInput) -> Rows[Crew]:
    """List policies of crews.

    Lists one policy per crew, sorted by crew name, ignoring case. Crews without a policy are `guided` with
    warnings.
    """
    return scope.select(Crew).order_by(func.lower(col(Crew.name)))


@query("policies.get", Action.READ, subject=CREW)
def get_policy(scope: QueryScope, crew: Row[Crew], data: ByCrew) -> Row[Crew]:
    """Get the policy of a crew.

    The default is `guided` with warnings.
    """
    return crew


@command("policies.put", Action.CREATE, audit="crew.policy_set", errors=(Code.NOT_FOUND,), versioned=Crew)
async def set_policy(ctx: Context, data: SetPolicy) -> Crew:
    """Set the policy of a crew.

    Replaces level, mode and reason; an absent reason is cleared. It applies to the next decision. The crew's version
    rises; its `updated_at` does not change.
    """
    if data.autonomy_level is AutonomyLevel.full:
        if data.behavior_mode is BehaviorMode.block:
            raise invalid("behavior_mode", "cannot be block while autonomy_level is full")
        if not data.reason:
            raise invalid("reason", "is required while autonomy_level is full")
    crew: Crew = await ctx.find(CREW)  # after the body: a bad one is reported for an unknown crew, too (policies.put)
    ctx.record(
        JournalEntry(
            entry_type="policy.changed",
            severity=Severity.notice,
            actor_type=JournalActor.user,
            actor_id=ctx.user_id,
            crew_id=crew.id,
            summary=f"crew policy updated: {data.autonomy_level.value}/{data.behavior_mode.value}",
            payload={
                "crew_id": crew.id, "autonomy_level": data.autonomy_level, "behavior_mode": data.behavior_mode,
                "reason": Redactor().redact(data.reason),
            },
            refs={"crew_id": crew.id},
        )
    )  # fmt: skip
    return await ctx.edit(
        crew,
        autonomy_level=data.autonomy_level,
        behavior_mode=data.behavior_mode,
        policy_reason=data.reason or None,
        policy_set_at=NOW,
        policy_set_by_user_id=ctx.user_id,
    )
