"""The caller's peer cards in a workspace: read, which is noted, and removed."""

from datetime import datetime
from typing import Annotated, Final

from sqlmodel import col

from models.people.privacy import PeerAuditAction, PeerCard, PeerCardAudit
from models.staff.agents import Agent
from resolvers.kernel import Absent, Action, Context, NoInput, Output, command

MOST_CARDS: Final = 500  # those that were written last
OF_USER: Final = "user"
PURGED: Final = {"reason": "opt_out_immediate_purge"}  # contract: privacy.PeerAudit, for every purge


class MyPeerCard(Output):
    """An agent's notes about the caller. `user_slug` is the card's name for the caller; `content` is Markdown."""

    id: str
    agent_id: str
    agent_slug: str
    user_slug: str
    bytes: int
    created_at: datetime
    updated_at: datetime
    content: Annotated[str | None, Absent()] = None


class MyPeerCards(Output):
    """The peer cards about the caller in a workspace."""

    user_id: str
    peers: list[MyPeerCard]


class Purged(Output):
    """The number of removed peer cards."""

    user_id: str
    purged: int


def about(ctx: Context, user_id: str, action: PeerAuditAction, agent_id: str | None = None) -> PeerCardAudit:
    """A row of the audit of peer cards, of what the caller does."""
    details = PURGED if action is PeerAuditAction.delete else None
    return PeerCardAudit(
        actor_user_id=ctx.user_id or None,
        actor_kind=OF_USER,
        action=action,
        target_user_id=user_id,
        agent_id=agent_id,
        details=details,
    )


async def purge(ctx: Context, user_id: str) -> int:
    """Removes the peer cards about a user in the workspace, each with a row of their audit; returns how many."""
    cards = await ctx.select(PeerCard, col(PeerCard.user_id) == user_id, including_hidden=True).locked().all()
    removed = await ctx.delete_where(PeerCard, col(PeerCard.id).in_([card.id for card in cards]), including_hidden=True)
    ctx.record(*[about(ctx, user_id, PeerAuditAction.delete, card.agent_id) for card in cards])
    return removed


@command("privacy.cards.list", Action.SELF)
async def list_my_peer_cards(ctx: Context, data: NoInput) -> MyPeerCards:
    """List the caller's peer cards.

    Lists notes about the caller by agents of the workspace, including deleted agents: the 500 last updated,
    newest first. Recorded in the audit of peer cards.
    """
    chosen = ctx.select(PeerCard, col(PeerCard.user_id) == ctx.user_id)
    cards = await chosen.order_by(col(PeerCard.updated_at).desc(), col(PeerCard.id).desc()).limit(MOST_CARDS).all()
    ids = {card.agent_id for card in cards}
    agents = ctx.select(Agent, col(Agent.id).in_(ids), including_deleted=True, including_hidden=True)
    slugs = {agent.id: agent.slug for agent in await agents.all()} if ids else {}
    ctx.record(*[about(ctx, ctx.user_id, PeerAuditAction.read, card.agent_id) for card in cards])
    return MyPeerCards(user_id=ctx.user_id, peers=[_shown(card, slugs.get(card.agent_id, "")) for card in cards])


def _shown(card: PeerCard, agent_slug: str) -> MyPeerCard:
    return MyPeerCard(
        id=card.id,
        agent_id=card.agent_id,
        agent_slug=agent_slug,
        user_slug=card.user_slug,
        bytes=card.bytes,
        created_at=card.created_at,
        updated_at=card.updated_at,
        content=card.content or None,
    )


@command("privacy.cards.purge", Action.SELF)
async def purge_my_peer_cards(ctx: Context, data: NoInput) -> Purged:
    """Delete the caller's peer cards.

    Deletes the cards of all agents of the workspace. Consent is unchanged: agents may write new cards unless the caller
    has opted out. Idempotent.
    """
    return Purged(user_id=ctx.user_id, purged=await purge(ctx, ctx.user_id))
