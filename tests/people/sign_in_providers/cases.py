"""Cases of sign-in providers, for the tests that are made for every operation."""

from models.people.sign_in_providers import LinkedIdentity
from resolvers.kernel import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe


@entity
def linked_identity(plot: Plot) -> LinkedIdentity:
    return LinkedIdentity(
        user_id=plot.owner.user_id,
        provider="google",
        issuer="https://accounts.google.com",
        subject=plot.owner.user_id,
        email=plot.owner.email,
    )


NOBODY = "google"
RECIPES = {
    # no provider is configured where these tests are made
    "auth.google_redirect": Recipe(refused=Code.NOT_FOUND),
    "auth.google_callback": Recipe(refused=Code.NOT_FOUND),
    "auth.oidc_redirect": Recipe({"provider": NOBODY}, refused=Code.NOT_FOUND),
    "auth.oidc_callback": Recipe({"provider": NOBODY}, refused=Code.NOT_FOUND),
    "auth.identities_delete": Recipe(ids={"id": "linked_identity"}),
}
ANONYMOUS = frozenset({"auth.oidc_callback", "auth.oidc_redirect", "auth.sign_in_providers"})
