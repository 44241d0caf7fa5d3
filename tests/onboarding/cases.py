"""Cases of the first run, for the tests that are made for every operation."""

from models.credentials import Credential, CredentialType
from resolvers.kernel import instance
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe


@entity
def credential(plot: Plot) -> Credential:
    made = Credential(name="Key of the harbour", type=CredentialType.SECRET, provider="GITHUB", **plot.here)
    made.value = instance.vault.seal("open sesame", table=Credential, column="value", row_id=made.id)
    return made


RECIPES = {
    "onboarding.setup": Recipe(
        {"crew_name": "First Crew", "agent_name": "First Hand", "credential_value": "sk-ant-oat01-first"}
    )
}
PROSE = ("onboarding.setup",)
"""MANAGER and above, in a workspace that the caller does not name; whoever has none is told so."""
