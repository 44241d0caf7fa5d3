"""Standing approvals: one approval step of one routine does not ask any more, as long as its definition is the same.

A grant holds for an exact definition. Runs use it while its granter may approve, and never in a strict crew.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from sqlalchemy import func, or_, select
from sqlmodel import col

from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.people.workspaces import Membership, Role
from models.staff.crews import AutonomyLevel, Crew
from models.work.routine_runs import RoutineRun, Waitpoint, WaitpointStatus
from models.work.saved_routines import HASH, LONGEST_SLUG, LONGEST_SUMMARY, RoutineTrustGrant, SavedRoutine
from resolvers.kernel import (
    NOW,
    Absent,
    Action,
    Code,
    Context,
    Domain,
    Event,
    Id,
    Int,
    Output,
    Refusal,
    Text,
    command,
    constant,
    invalid,
    outranks,
    people_only,
    procedure,
)
from resolvers.kernel.declarations.events import Distinct
from resolvers.rules.redaction import Redactor
from resolvers.work.routines.graph import ROUTINE, ByRoutineSlug

DOMAIN = Domain("routine_trust", scopes="routines")
THRESHOLD: Final = 3
"""Approvals by people before a grant is offered (contract: routine_trust.behaviour.offer)."""
LOOKED_AT: Final = 1_000
"""The newest runs of a routine whose approvals count."""
MOST_LISTED: Final = 500
SUPERSEDED: Final = "superseded by a new grant"
CHANGED: Final = "The routine has changed since: look at it again"
TRUSTED: Final = "The step is trusted already, for this definition"
NO_GRANT: Final = "The routine has no such grant, or it was revoked"


class TrustChange(StrEnum):
    """The reason for which clients read the grants again."""

    trust_granted = "trust_granted"
    trust_revoked = "trust_revoked"


class RoutineTrustChanged(Event, type="inbox.updated", channel="workspace:{workspace_id}"):
    """A standing approval was granted or revoked, so that approvals in the inbox offer something else."""

    reason: Annotated[TrustChange, Distinct("trust_change")]


class TrustGrant(Output):
    """A standing approval of one step. It is live if it was not revoked, has not expired and is not used up; it holds
    for runs of its definition alone. `prior_approvals` is the number that the granter was shown.
    """

    id: str
    workspace_id: str
    pipeline_id: str
    step_id: str
    definition_hash: str
    granted_by_user_id: str
    granted_at: datetime
    reason: Annotated[str | None, Absent()]
    prior_approvals: int
    max_uses: Annotated[int | None, Absent()]
    uses: int
    expires_at: Annotated[datetime | None, Absent()]
    revoked_at: Annotated[datetime | None, Absent()]
    revoked_by_user_id: Annotated[str | None, Absent()]
    revoke_reason: Annotated[str | None, Absent()]
    live: bool


class RoutineTrust(Output):
    """The standing approvals of a routine, newest first; at most 500. `definition_hash` is that of the definition that
    runs now.
    """

    slug: str
    definition_hash: str
    grants: list[TrustGrant]


class GrantRoutineTrust(ByRoutineSlug):
    """`step_id` is not looked up. `definition_hash`: the definition that the person has seen; absent means the present
    one. `expires_at`: a time of RFC 3339.
    """

    step_id: Annotated[str, Field(strict=True, min_length=1, max_length=LONGEST_SLUG)]
    definition_hash: Annotated[str, Field(strict=True, max_length=HASH)] = ""
    reason: Annotated[str, Field(strict=True, max_length=LONGEST_SUMMARY)] = ""
    prior_approvals: Annotated[Int, Field(ge=0)] = 0
    max_uses: Annotated[Int, Field(ge=1)] | None = None
    expires_at: Text | None = None


class RoutineTrustGranted(Output):
    """The step does not ask any more, in runs of this definition."""

    id: str
    slug: str
    step_id: str
    definition_hash: str


class RevokeRoutineTrust(ByRoutineSlug):
    """A grant of the routine; the reason is shown with it."""

    grant_id: Id
    reason: Annotated[str, Field(strict=True, max_length=LONGEST_SUMMARY)] = ""


class RoutineTrustRevoked(Output):
    """The step asks again."""

    id: str
    status: Literal["revoked"] = "revoked"


@procedure("routine_trust.list", Action.READ, subject=ROUTINE)
async def list_routine_trust(ctx: Context, routine: SavedRoutine, data: ByRoutineSlug) -> RoutineTrust:
    """List standing approvals of a routine.

    Newest first, with those that are revoked, expired or used up; at most 500.
    """
    of_routine = col(RoutineTrustGrant.routine_id) == routine.id
    newest = (col(RoutineTrustGrant.granted_at).desc(), col(RoutineTrustGrant.id).desc())
    found = await ctx.select(RoutineTrustGrant, of_routine).order_by(*newest).limit(MOST_LISTED).all()
    now = await ctx.now()
    grants = [_shown(grant, now) for grant in found]
    return RoutineTrust(slug=routine.slug, definition_hash=routine.definition_hash, grants=grants)


def _shown(grant: RoutineTrustGrant, now: datetime) -> TrustGrant:
    return TrustGrant(
        pipeline_id=grant.routine_id,
        granted_by_user_id=grant.granted_by_user_id or "",
        live=is_live(grant, now),
        **{
            name: getattr(grant, name)
            for name in (
                "id", "workspace_id", "step_id", "definition_hash", "granted_at", "reason", "prior_approvals",
                "max_uses", "uses", "expires_at", "revoked_at", "revoked_by_user_id", "revoke_reason",
            )
        },
    )  # fmt: skip


def is_live(grant: RoutineTrustGrant, now: datetime) -> bool:
    expired = grant.expires_at is not None and grant.expires_at <= now
    used_up = grant.max_uses is not None and grant.uses >= grant.max_uses
    return grant.revoked_at is None and not expired and not used_up


@command(
    "routine_trust.grant",
    Action.CREATE,
    allow=people_only,
    audit="routine_trust_grant.created",
    emits=RoutineTrustChanged,
    errors=(Code.NOT_FOUND, Code.CONFLICT),
)
async def grant_routine_trust(ctx: Context, data: GrantRoutineTrust) -> RoutineTrustGranted:
    """Approve a step of a routine in advance.

    Runs of the present definition pass the step without asking, until the grant expires, is used up or revoked. They
    ask all the same while the crew is strict, or the granter may not approve any more. Another prompt or model of a
    step ends all grants of the routine. CONFLICT if the definition has changed, or a live grant exists.
    """
    routine: SavedRoutine = await ctx.find(ROUTINE)
    if data.definition_hash and data.definition_hash != routine.definition_hash:
        raise Refusal(Code.CONFLICT, CHANGED, extra={"definition_hash": routine.definition_hash})
    now = await ctx.now()
    expires_at = _time(data.expires_at, now)
    same = (
        col(RoutineTrustGrant.step_id) == data.step_id,
        col(RoutineTrustGrant.definition_hash) == routine.definition_hash,
    )
    former = await ctx.select(RoutineTrustGrant, *_unrevoked(routine.id), *same).locked().first()
    if former is not None and is_live(former, now):
        raise Refusal(Code.CONFLICT, TRUSTED)
    if former is not None:
        await ctx.update(RoutineTrustGrant, former.id, **_revocation(ctx, SUPERSEDED))
    grant = RoutineTrustGrant(
        routine_id=routine.id,
        step_id=data.step_id,
        definition_hash=routine.definition_hash,
        granted_by_user_id=ctx.user_id,
        reason=data.reason or None,
        prior_approvals=data.prior_approvals,
        max_uses=data.max_uses,
        expires_at=expires_at,
    )
    told = {
        "prior_approvals": grant.prior_approvals,
        "max_uses": grant.max_uses,
        "expires_at": "" if expires_at is None else expires_at.isoformat(),
    }
    _tell(ctx, routine, grant, TrustChange.trust_granted, data.reason, told)
    await ctx.insert(grant, conflict=TRUSTED)
    return RoutineTrustGranted(
        id=grant.id, slug=routine.slug, step_id=grant.step_id, definition_hash=grant.definition_hash
    )


def _time(text: str | None, now: datetime) -> datetime | None:
    """BAD_REQUEST unless it is a time of RFC 3339 in the future."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text.strip())
        if time.tzinfo is None or "T" not in text.upper():
            raise ValueError
        time = time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid("expires_at", "must be a time as RFC 3339 writes it") from None
    if time <= now:
        raise invalid("expires_at", "must be in the future")
    return time


@command(
    "routine_trust.revoke",
    Action.CREATE,
    subject=ROUTINE,
    audit="routine_trust_grant.revoked",
    emits=RoutineTrustChanged,
)
async def revoke_routine_trust(ctx: Context, routine: SavedRoutine, data: RevokeRoutineTrust) -> RoutineTrustRevoked:
    """Revoke a standing approval.

    Runs that reach the step from now on ask. NOT_FOUND if the routine has no such grant, or it was revoked before.
    """
    named = col(RoutineTrustGrant.id) == data.grant_id
    grant = await ctx.select(RoutineTrustGrant, *_unrevoked(routine.id), named).locked().first()
    if grant is None:
        raise Refusal(Code.NOT_FOUND, NO_GRANT)
    await ctx.update(RoutineTrustGrant, grant.id, **_revocation(ctx, data.reason))
    _tell(ctx, routine, grant, TrustChange.trust_revoked, data.reason, {})
    return RoutineTrustRevoked(id=grant.id)


def _unrevoked(routine_id: str) -> tuple[Any, Any]:
    return col(RoutineTrustGrant.routine_id) == routine_id, col(RoutineTrustGrant.revoked_at).is_(None)


def _revocation(ctx: Context, reason: str) -> dict[str, Any]:
    return {"revoked_at": NOW, "revoked_by_user_id": ctx.user_id or None, "revoke_reason": reason or None}


def _tell(
    ctx: Context, routine: SavedRoutine, grant: RoutineTrustGrant, what: TrustChange, reason: str, more: dict[str, Any]
) -> None:
    verb = what.removeprefix("trust_")
    ctx.record(
        JournalEntry(
            entry_type=f"approval.{what}",
            severity=Severity.notice,
            actor_type=JournalActor.user,
            actor_id=ctx.user_id,
            summary=f"standing approval of the step {grant.step_id!r} of the routine {routine.slug!r} {verb}",
            payload={"definition_hash": grant.definition_hash, "reason": Redactor().redact(reason), **more},
            refs={
                "trust_grant_id": grant.id,
                "pipeline_id": routine.id,
                "pipeline_slug": routine.slug,
                "step_id": grant.step_id,
            },
        )
    )
    ctx.emit(RoutineTrustChanged(reason=what))


async def end_trust(ctx: Context, routine_id: str, reason: str) -> None:
    """Revokes the grants of a routine whose steps do something else from now on, though its definition is the same."""
    await ctx.update_where(RoutineTrustGrant, *_unrevoked(routine_id), **_revocation(ctx, reason))


# ---- in runs ---------------------------------------------------------------------------------------------------------


async def use_trust(ctx: Context, routine: SavedRoutine, run: RoutineRun, step_id: str) -> RoutineTrustGrant | None:
    """The grant that approves the step in this run, counted as used; None if people have to be asked."""
    now = await ctx.now()
    same = (
        col(RoutineTrustGrant.step_id) == step_id,
        col(RoutineTrustGrant.definition_hash) == run.definition_hash,
        or_(col(RoutineTrustGrant.expires_at).is_(None), col(RoutineTrustGrant.expires_at) > now),
        or_(col(RoutineTrustGrant.max_uses).is_(None), col(RoutineTrustGrant.uses) < col(RoutineTrustGrant.max_uses)),
    )
    grant = await ctx.select(RoutineTrustGrant, *_unrevoked(routine.id), *same).locked().first()
    if grant is None or not await _may_approve(ctx, grant.granted_by_user_id) or await _is_strict(ctx, routine, run):
        return None
    return await ctx.update(RoutineTrustGrant, grant.id, uses=grant.uses + 1)


async def _may_approve(ctx: Context, user_id: str | None) -> bool:
    own = await ctx.select(Membership, col(Membership.user_id) == user_id, including_hidden=True).first()
    return own is not None and outranks(own.role, Role.MEMBER)


async def _is_strict(ctx: Context, routine: SavedRoutine, run: RoutineRun) -> bool:
    """The crew that invoked the run decides, else the author crew."""
    crew_id = run.invoking_crew_id or routine.author_crew_id
    if crew_id is None:
        return False
    crew = await ctx.select(Crew, col(Crew.id) == crew_id, including_deleted=True).first()
    return crew is not None and crew.autonomy_level is AutonomyLevel.strict


async def offer_of(ctx: Context, routine: SavedRoutine, run: RoutineRun, step_id: str) -> dict[str, Any]:
    """The offer of a grant in the inbox item of an approval (contract: routine_trust.behaviour.offer)."""
    if await _is_strict(ctx, routine, run):
        return {"eligible": False}
    approvals = await _approvals(ctx, run, step_id)
    if approvals < THRESHOLD:
        return {"eligible": False, "prior_approvals": approvals}
    return {
        "eligible": True,
        "threshold": THRESHOLD,
        "prior_approvals": approvals,
        "pipeline_id": routine.id,
        "step_id": step_id,
        "definition_hash": run.definition_hash,
    }


async def _approvals(ctx: Context, run: RoutineRun, step_id: str) -> int:
    """Approvals of the step by people, in the newest runs of this definition."""
    runs, asked = ctx.table(RoutineRun), ctx.table(Waitpoint).c
    newest = select(runs.c.id, runs.c.definition_hash).where(runs.c.routine_id == run.routine_id)
    of_routine = newest.order_by(runs.c.started_at.desc(), runs.c.id.desc()).limit(LOOKED_AT).subquery().c
    by_people = (
        asked.path == step_id,
        asked.status == constant(WaitpointStatus.approved),
        asked.decided_by_user_id.is_not(None),
        asked.grant_id.is_(None),
    )
    counted = select(func.count()).where(
        asked.routine_run_id == of_routine.id, of_routine.definition_hash == run.definition_hash, *by_people
    )
    ((number,),) = await ctx.report(counted)
    return int(number)
