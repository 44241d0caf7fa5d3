"""Cases of passkeys, for the tests that are made for every operation."""

from models.people.passkeys import Passkey, PasskeyChallenge, PasskeyPurpose
from resolvers.kernel import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


@entity
def passkey(plot: Plot) -> Passkey:
    return Passkey(
        user_id=plot.owner.user_id,
        name="laptop",
        credential_id=plot.workspace.id.encode(),
        public_key=b"key",
        transports=["internal"],
        last_used_at=now(),
    )


@entity
def passkey_challenge(plot: Plot) -> PasskeyChallenge:
    return PasskeyChallenge(
        browser=plot.workspace.id,
        purpose=PasskeyPurpose.sign_in,
        user_id=plot.owner.user_id,
        challenge="challenge",
        expires_at=now(),
    )


# They take a browser that has just signed in, and a public URL: tests/people/passkeys has them.
RECIPES = {
    name: Recipe(refused=Code.FORBIDDEN)
    for name in (
        "auth.passkey_delete",
        "auth.passkey_options",
        "auth.passkey_register",
        "auth.passkey_require",
        "auth.passkey_sign_in",
        "auth.passkey_sign_in_options",
    )
}
ANONYMOUS = frozenset({"auth.passkey_sign_in", "auth.passkey_sign_in_options"})
