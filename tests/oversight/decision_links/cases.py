"""Cases of decision links, for the tests that are made for every operation."""

from datetime import timedelta

from models.oversight.decision_links import DecisionKind, DecisionLink
from resolvers.instance.crypto import digest
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


def token_of(plot: Plot) -> str:
    return digest(f"decision in {plot.workspace.id}")


@entity
def decision_link(plot: Plot) -> DecisionLink:
    return DecisionLink(
        channel_id="nch_1",
        kind=DecisionKind.approval,
        subject_id=plot["approval"].id,
        source_id=plot["approval"].id,
        user_id=plot.owner.user_id,
        token_hash=digest(token_of(plot)),
        expires_at=now() + timedelta(hours=1),
        **plot.here,
    )


ANONYMOUS = frozenset({"decision_links.show", "decision_links.decide"})
RECIPES = {
    "decision_links.show": Recipe({"token": lambda world: token_of(world.home)}),
    "decision_links.decide": Recipe({"token": lambda world: token_of(world.home), "decision": "approve"}),
}
