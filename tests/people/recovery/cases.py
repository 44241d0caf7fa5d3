"""Cases of resets, for the tests that are made for every operation."""

from datetime import timedelta

from models.people.recovery import PasswordReset
from resolvers.instance.crypto import digest
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


def token_of(plot: Plot) -> str:
    return digest(f"reset in {plot.workspace.id}")


@entity
def password_reset(plot: Plot) -> PasswordReset:
    """Of nobody who does anything else: a reset ends the user's sessions."""
    return PasswordReset(
        email="somebody@example.com",
        user_id=plot.second.user_id,
        token_hash=digest(token_of(plot)),
        expires_at=now() + timedelta(minutes=30),
    )


RECIPES = {
    "auth.reset": Recipe({"token": lambda world: token_of(world.home), "new_password": "another horse battery"}),
}
