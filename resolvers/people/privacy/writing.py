"""Writing of peer cards and models of users: every writer calls this, in its own transaction."""

from sqlmodel import col

from models import bounds
from models.bounds import cut
from models.people.privacy import MODEL, PeerAuditAction, PeerCard, PeerCardAudit, PeerConsent, UserModel
from models.people.workspaces import Membership
from models.staff.agents import Agent
from resolvers.kernel import Code, Context, Refusal
from resolvers.people.privacy.consent import consent_lock

OPTED_OUT = "The user has opted out of being remembered by agents"
OF_AGENT = "agent"


async def write_peer_card(ctx: Context, agent: Agent, user_id: str, user_slug: str, content: str) -> PeerCard:
    """The card of this agent about a member, new or replaced; FORBIDDEN while the member has opted out.

    The choice is locked until the end of the transaction: an opt-out waits for it, and removes what it wrote.
    """
    await _hold_consent(ctx, user_id)
    text = cut(content, bounds.DESCRIPTION)
    card = PeerCard(
        agent_id=agent.id,
        user_id=user_id,
        user_slug=user_slug,
        path=f"agent:{agent.slug}/peers/{user_slug}.md",
        bytes=len(text.encode()),
        content=text,
    )
    stored = await ctx.upsert(card, "workspace_id", "user_id", "agent_id")
    ctx.record(
        PeerCardAudit(actor_kind=OF_AGENT, action=PeerAuditAction.write, target_user_id=user_id, agent_id=agent.id)
    )
    return stored


async def write_user_model(ctx: Context, user_id: str, user_slug: str, content: str) -> UserModel:
    """The model of a member, new or replaced: whole lines, up to 1,500 bytes. FORBIDDEN while the member has opted out.
    The choice is locked as for a card.
    """
    await _hold_consent(ctx, user_id)
    text = within_bytes(content, MODEL)
    model = UserModel(user_id=user_id, user_slug=user_slug, bytes=len(text.encode()), content=text)
    stored = await ctx.upsert(model, "workspace_id", "user_id")
    ctx.record(PeerCardAudit(actor_kind=OF_AGENT, action=PeerAuditAction.write, target_user_id=user_id))
    return stored


def within_bytes(content: str, most: int) -> str:
    """The first lines that have at most this number of bytes."""
    kept, size = list[str](), 0
    for line in content.splitlines():
        size += len(line.encode()) + bool(kept)
        if size > most:
            break
        kept.append(line)
    return "\n".join(kept)


async def _hold_consent(ctx: Context, user_id: str) -> None:
    """Locks the choice of a member until the end of the transaction."""
    await ctx.lock(consent_lock(ctx.workspace_id, user_id), shared=True)
    out = ctx.select(PeerConsent, col(PeerConsent.user_id) == user_id, col(PeerConsent.opted_out).is_(True))
    if await out.exists():
        raise Refusal(Code.FORBIDDEN, OPTED_OUT)
    if not await ctx.select(Membership, col(Membership.user_id) == user_id, including_hidden=True).exists():
        raise Refusal(Code.NOT_FOUND, "User not found")
