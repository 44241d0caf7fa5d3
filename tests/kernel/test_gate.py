"""The statement that asks who and where."""

from models.staff.agents import Agent
from resolvers.identity.caller import CredentialKind
from resolvers.kernel.admission.gate import Entity, Gate, Tenancy, Where
from tests.every import each_of

TABLES = {
    CredentialKind.SESSION: "FROM sessions",
    CredentialKind.SESSION_TICKET: "FROM sessions",
    CredentialKind.TOKEN: "FROM cli_tokens",
    CredentialKind.TOKEN_TICKET: "FROM cli_tokens",
}


@each_of("kind", TABLES)
@each_of("tenancy", [Tenancy.NONE, Tenancy.WORKSPACE, Entity(Agent, "id")], ids=["none", "workspace", "entity"])
def test_a_credential_is_looked_up_once(kind: CredentialKind, tenancy: Where) -> None:
    assert Gate.build(tenancy, kind, False).plan().sql.count(TABLES[kind]) == 1
