"""Cases of peer cards, for the tests that are made for every operation."""

from models.people.privacy import PeerAuditAction, PeerCard, PeerCardAudit, PeerConsent, UserModel
from resolvers.errors import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


@entity
def peer_card(plot: Plot) -> PeerCard:
    named = {"user_slug": "owner", "path": "agent:hand/peers/owner.md", "content": "Likes tea", "bytes": 9}
    return PeerCard(agent_id=plot["agent"].id, user_id=plot.owner.user_id, **named, **plot.here)


@entity
def user_model(plot: Plot) -> UserModel:
    content = "- role: captain\n- drink: tea"
    return UserModel(user_id=plot.owner.user_id, user_slug="owner", content=content, bytes=29, **plot.here)


@entity
def peer_consent(plot: Plot) -> PeerConsent:
    return PeerConsent(user_id=plot.owner.user_id, opted_out=True, opted_out_at=now(), **plot.here)


@entity
def peer_card_audit(plot: Plot) -> PeerCardAudit:
    by = {"actor_user_id": plot.owner.user_id, "actor_kind": "user", "target_user_id": plot.owner.user_id}
    return PeerCardAudit(action=PeerAuditAction.read, agent_id=plot["agent"].id, details={}, **by, **plot.here)


RECIPES = {"privacy.user_model_fact_delete": Recipe({"key": "unknown"}, refused=Code.NOT_FOUND)}
