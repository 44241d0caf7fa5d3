"""Consent: whether agents of a workspace may keep peer cards about the caller."""

from datetime import UTC, datetime

from sqlmodel import col

from models.people.privacy import PeerAuditAction, PeerConsent
from resolvers.kernel import Action, Bool, Context, Input, NoInput, Output, command, procedure
from resolvers.people.privacy.cards import about, purge
from resolvers.people.privacy.user_model import forget_model


class Consent(Output):
    """The choice of a user in a workspace. `opted_out_at` is empty unless they have opted out."""

    user_id: str
    workspace_id: str
    opted_out: bool
    opted_out_at: str


class ConsentSet(Output):
    """The choice, and how many peer cards were removed: `purged`."""

    user_id: str
    workspace_id: str
    opted_out: bool
    purged: int


class SetConsent(Input):
    """`opted_out` is required: absence does not mean consent."""

    opted_out: Bool


def consent_lock(workspace_id: str | None, user_id: str) -> str:
    """Held exclusively by changes of the choice, and shared by writers of cards: no card is written after an
    opt-out.
    """
    return f"peer consent of {workspace_id}/{user_id}"


@procedure("privacy.consent.get", Action.SELF)
async def get_my_consent(ctx: Context, data: NoInput) -> Consent:
    """Get the caller's consent to peer cards.

    Applies to the workspace. The default is not opted out.
    """
    choice = await ctx.select(PeerConsent, col(PeerConsent.user_id) == ctx.user_id).first()
    since = None if choice is None else choice.opted_out_at
    return Consent(
        user_id=ctx.user_id,
        workspace_id=ctx.workspace_id or "",
        opted_out=choice is not None and choice.opted_out,
        opted_out_at="" if since is None else written(since),
    )


def written(time: datetime) -> str:
    """RFC 3339 in UTC with fractions of a second."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


@command("privacy.consent.put", Action.SELF)
async def set_my_consent(ctx: Context, data: SetConsent) -> ConsentSet:
    """Set the caller's consent to peer cards.

    Applies to the workspace. Opting out deletes existing peer cards and facts, and agents write no new ones
    about the caller.
    """
    await ctx.lock(consent_lock(ctx.workspace_id, ctx.user_id))
    since = await ctx.now() if data.opted_out else None
    choice = PeerConsent(user_id=ctx.user_id, opted_out=data.opted_out, opted_out_at=since)
    await ctx.upsert(choice, "workspace_id", "user_id")
    action = PeerAuditAction.opt_out if data.opted_out else PeerAuditAction.opt_in
    ctx.record(about(ctx, ctx.user_id, action))
    purged = await purge(ctx, ctx.user_id) if data.opted_out else 0
    if data.opted_out:
        await forget_model(ctx, ctx.user_id)
    return ConsentSet(user_id=ctx.user_id, workspace_id=ctx.workspace_id or "", opted_out=data.opted_out, purged=purged)
