"""Peer cards of one agent: what it has noted about people, for members of the workspace."""

from datetime import datetime
from typing import Final

from sqlmodel import col

from models.people.privacy import PeerAuditAction, PeerCard, PeerCardAudit
from models.people.workspaces import Membership
from models.staff.agents import Agent
from resolvers.kernel import Action, Code, Context, Deleted, Id, Input, Output, Refusal, Subject, command, procedure

AGENT: Final = Subject(Agent, "agent_id")
MOST_CARDS: Final = 500
SOURCE: Final = {"source": "agent_endpoint"}
NO_CREW: Final = "The agent has no crew and therefore no peer cards"
OF_USER: Final = "user"


class OfNoter(Input):
    """An agent of the workspace."""

    agent_id: Id


class OfPeerCard(OfNoter):
    """An agent, and the user that its card describes."""

    user_id: Id


class PeerCardEntry(Output):
    """A card without its text. `user_slug` is the card's name for the user."""

    id: str
    user_id: str
    user_slug: str
    bytes: int
    created_at: datetime
    updated_at: datetime


class PeerCardList(Output):
    """The peer cards of an agent."""

    agent_id: str
    peers: list[PeerCardEntry]


class PeerCardText(Output):
    """A card with its text, in Markdown."""

    agent_id: str
    user_id: str
    user_slug: str
    content: str
    bytes: int


def _in_a_crew(agent: Agent) -> None:
    if agent.crew_id is None:
        raise Refusal(Code.CONFLICT, NO_CREW)


def _noted(ctx: Context, agent: Agent, user_id: str, action: PeerAuditAction) -> PeerCardAudit:
    details = SOURCE if action is PeerAuditAction.delete else None
    return PeerCardAudit(
        actor_user_id=ctx.user_id or None,
        actor_kind=OF_USER,
        action=action,
        target_user_id=user_id,
        agent_id=agent.id,
        details=details,
    )


def _about(agent: Agent, user_id: str) -> tuple[bool, bool]:
    return col(PeerCard.agent_id) == agent.id, col(PeerCard.user_id) == user_id  # type: ignore[return-value]


@procedure("agents.peers_list", Action.READ, subject=AGENT, errors=(Code.CONFLICT,))
async def list_peer_cards(ctx: Context, agent: Agent, data: OfNoter) -> PeerCardList:
    """List peer cards of an agent.

    Returns at most the 500 last updated cards, newest first, without their texts.
    """
    _in_a_crew(agent)
    found = ctx.select(PeerCard, col(PeerCard.agent_id) == agent.id)
    cards = await found.order_by(col(PeerCard.updated_at).desc(), col(PeerCard.id).desc()).limit(MOST_CARDS).all()
    peers = [PeerCardEntry(**{name: getattr(card, name) for name in PeerCardEntry.model_fields}) for card in cards]
    return PeerCardList(agent_id=agent.id, peers=peers)


@command("agents.peers_get", Action.PARTICIPATE, subject=AGENT, errors=(Code.CONFLICT,))
async def read_peer_card(ctx: Context, agent: Agent, data: OfPeerCard) -> PeerCardText:
    """Get a peer card of an agent.

    Returns the agent's notes about a user. Recorded in the audit of peer cards.
    """
    _in_a_crew(agent)
    card = await ctx.select(PeerCard, *_about(agent, data.user_id)).one("This user has no peer card")
    ctx.record(_noted(ctx, agent, data.user_id, PeerAuditAction.read))
    return PeerCardText(**{name: getattr(card, name) for name in PeerCardText.model_fields})


@command("agents.peers_delete", Action.PARTICIPATE, subject=AGENT, errors=(Code.CONFLICT,))
async def delete_peer_card(ctx: Context, agent: Agent, data: OfPeerCard) -> Deleted:
    """Delete a peer card of an agent.

    Allowed for every member. Recorded in the audit of peer cards. Idempotent.
    """
    _in_a_crew(agent)
    removed = await ctx.delete_where(PeerCard, *_about(agent, data.user_id))
    member = ctx.select(Membership, col(Membership.user_id) == data.user_id, including_hidden=True)
    if removed or await member.exists():
        ctx.record(_noted(ctx, agent, data.user_id, PeerAuditAction.delete))
    return Deleted(id=agent.id)
