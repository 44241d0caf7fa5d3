"""Cases of OAuth, for the tests that are made for every operation."""

from models.resources.credentials import Credential, CredentialType
from resolvers.errors import Code
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe


@entity
def consenting(plot: Plot) -> Credential:
    """A credential that can be got by consent; its server is one that nobody reaches."""
    return Credential(
        name="charts-oauth-00000",
        type=CredentialType.OAUTH2,
        oauth_client_id="crewship",
        oauth_auth_url="https://auth.example.com/authorize",
        oauth_token_url="https://auth.invalid/token",
        **plot.here,
    )


ANONYMOUS = {"oauth.callback", "oauth.callback_loopback"}
OF = {"credential_id": "consenting"}
NAMED = {"mcp_url": "https://mcp.linear.app/mcp"}
RECIPES = {
    "oauth.initiate": Recipe({"redirect_uri": "https://app.example.com/cb"}, ids=OF),
    "oauth.loopback": Recipe(ids=OF),
    "oauth.exchange": Recipe({"code": "good"}, ids=OF, refused=Code.BAD_GATEWAY),
    "oauth.callback": Recipe({"code": "good", "state": "0" * 64}, refused=Code.BAD_REQUEST),
    "oauth.callback_loopback": Recipe(
        {"code": "good", "state": "0" * 64, "redirect_uri": "http://127.0.0.1:1/callback"}, refused=Code.BAD_REQUEST
    ),
    "oauth.discover": Recipe(NAMED),
    "oauth.auto_connect": Recipe({"mcp_url": "http://127.0.0.1/mcp"}, refused=Code.BAD_REQUEST),
}
