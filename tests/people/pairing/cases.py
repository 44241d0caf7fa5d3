"""Cases of pairings, for the tests that are made for every operation."""

from datetime import timedelta

from models.people.pairing import Pairing
from resolvers.kernel import instance
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


@entity
def pairing(plot: Plot) -> Pairing:
    return Pairing(
        user_id=plot.owner.user_id,
        code_hash=instance.signer.code_hash(code_of(plot)),
        adapter_hint="CLAUDE_CODE",
        expires_at=now() + timedelta(minutes=10),
    )


def code_of(plot: Plot) -> str:
    """Another one in every workspace."""
    return plot.workspace.id[-8:].upper()


CODE = {"code": lambda world: code_of(world.home)}
RECIPES = {
    "auth.pair_poll": Recipe(CODE),
    "auth.pair_redeem": Recipe(CODE),
}
