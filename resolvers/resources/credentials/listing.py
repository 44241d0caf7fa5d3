"""Further lists of credentials: newest first by cursor, and all that an agent gets."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final

from sqlmodel import col

from models.resources.credentials import AgentCredential, Credential, CredentialStatus, CredentialType, LeaseSource
from models.staff.agents import Agent
from resolvers.kernel import (
    GRAPHQL_ONLY,
    Absent,
    AcrossWorkspaces,
    Action,
    Context,
    Output,
    Page,
    QueryScope,
    across_workspaces,
    procedure,
    query,
)
from resolvers.resources.credentials.assignments import AGENT, CredentialsOfAgent, GrantSource
from resolvers.resources.credentials.credentials import ListCredentials
from resolvers.resources.credentials.delivery import MOST, SOURCES, GivenCredential, SlotSource, delivered, offered_to

NEWEST_FIRST = (col(Credential.created_at).desc(), col(Credential.id).desc())
SHOWN: Final = ("type", "provider", "status", "created_at")
OF_ASSIGNMENT: Final = (
    "id", "credential_id", "env_var_name", "priority", "created_at", "expires_at", "lease_source", "lease_issued_at",
)  # fmt: skip


class ListNewestCredentials(ListCredentials):
    """A page of credentials: 50 by default, at most 500. The filters of `credentials`."""

    page_default: ClassVar[int] = 50


class DeliveredCredential(Output):
    """A credential that an agent has. `id` is the id of the assignment; empty for a binding, or a crew of the
    credential.
    """

    id: str
    agent_id: str
    credential_id: str
    credential_name: str
    credential_type: CredentialType
    credential_provider: str
    credential_status: CredentialStatus
    env_var_name: str
    priority: int
    created_at: datetime
    expires_at: Annotated[datetime | None, Absent()] = None
    expired: bool = False
    lease_source: Annotated[LeaseSource | None, Absent()] = None
    lease_issued_at: Annotated[datetime | None, Absent()] = None
    grant_source: GrantSource


@query("credentials.list_newest", Action.READ, surfaces=GRAPHQL_ONLY, tickets=False)
def list_newest(scope: QueryScope, data: ListNewestCredentials) -> Page[Credential]:
    """List credentials, newest first.

    Ties by id. Filters are combined with AND. Values are never returned.
    """
    return scope.select(Credential).matching(data).order_by(*NEWEST_FIRST).page(data)


@procedure("agent_credentials.list_delivered", Action.READ, subject=AGENT, surfaces=GRAPHQL_ONLY, late=True)
async def list_delivered(ctx: Context, agent: Agent, data: CredentialsOfAgent) -> list[DeliveredCredential]:
    """List all credentials that an agent gets.

    Assignments, and the credentials that a binding or the crew gives to the agent. Sorted by variable, then by
    priority, descending.
    """

    async def find(rows: AcrossWorkspaces) -> tuple[list[Any], list[Any]]:
        here = rows.within(agent.workspace_id)
        offers = await here.report(offered_to(here.table, agent.id, *SHOWN))
        own = col(AgentCredential.agent_id) == agent.id
        return offers, await here.select(AgentCredential, own, columns=OF_ASSIGNMENT, limit=MOST)

    offers, assignments = await across_workspaces(find)
    held = {offer["id"]: offer for offer in offers if SOURCES[offer["rank"]] is SlotSource.agent_grant}
    assigned = [(row, held[row["credential_id"]]) for row in assignments if row["credential_id"] in held]
    others = [each for each in delivered(offers)[0] if each.source is not SlotSource.agent_grant]
    made = [*[_assigned(agent, *pair) for pair in assigned], *[_offered(agent, each) for each in others]]
    return sorted(made, key=lambda row: (row.env_var_name, -row.priority, row.id))


def _assigned(agent: Agent, assignment: Any, offer: Any) -> DeliveredCredential:
    return DeliveredCredential(
        **{name: assignment[name] for name in OF_ASSIGNMENT if name != "credential_id"},
        **_facts(agent, offer),
        expired=offer["lapsed"],
        grant_source=GrantSource.explicit,
    )


def _offered(agent: Agent, each: GivenCredential) -> DeliveredCredential:
    return DeliveredCredential(
        **_facts(agent, each.row),
        id="",
        env_var_name=each.asked,
        priority=0,
        created_at=each.row["at"] or each.row["created_at"],
        grant_source=GrantSource.crew if each.source is SlotSource.crew_link else GrantSource.binding,
    )


def _facts(agent: Agent, offer: Mapping[str, Any]) -> dict[str, str]:
    named = {f"credential_{name}": offer[name] for name in ("id", "name", "type", "provider", "status")}
    return {"agent_id": agent.id} | named
