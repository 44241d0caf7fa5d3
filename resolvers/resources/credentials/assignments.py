"""Which agents are given a credential, and under which name they find it."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import func, select, true
from sqlmodel import col

from models import bounds
from models.base import table_of
from models.resources.credentials import AgentCredential, Credential, CredentialCrew
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import (
    Action,
    Code,
    Context,
    Id,
    Input,
    Int,
    Paging,
    QueryScope,
    Row,
    Rows,
    Subject,
    Success,
    command,
    derived,
    extend,
    many,
    one,
    query,
)
from resolvers.resources.credentials.credentials import ListCredentials
from resolvers.resources.credentials.graph import IN_ORDER

AGENT = Subject(Agent, "agent_id")
ASSIGNMENT = Subject(AgentCredential, "assignment_id", of=AGENT, called="Assignment")
ASSIGNED = "The credential is already assigned to this agent"
BY_VARIABLE = (
    col(AgentCredential.env_var_name),
    col(AgentCredential.priority).desc(),
    col(AgentCredential.id),
)
OF_CREDENTIAL = (col(AgentCredential.created_at), col(AgentCredential.id))


def _told(column: str) -> Any:
    """A column of the credential that every member sees, regardless of scope and deletion (contract:
    agent_credentials.list).
    """

    def expression(row: Any, scope: Any) -> Any:
        credential = table_of(Credential).alias()
        same = (credential.c.workspace_id == row.workspace_id, credential.c.id == row.credential_id)
        return scope.scalar(select(credential.c[column]).where(*same))

    return derived(str, expression)


def _seen(row: Any, scope: Any) -> Any:
    """The number of an agent's assignments whose credentials the caller may see, including deleted ones."""
    given, own = scope.beside(AgentCredential, row)
    credential, visible = scope.beside(Credential, row, including_deleted=True)
    held = (given.c.agent_id == row.id, credential.c.id == given.c.credential_id)
    return scope.scalar(select(func.count()).select_from(given.join(credential, true())).where(*held, *own, *visible))


class CredentialsOfAgent(Input):
    agent_id: Id


class ListAssignments(Paging):
    """A page of assignments, oldest first."""


class AssignCredential(CredentialsOfAgent):
    """Credentials with the same `env_var_name` form a pool, used in the order of `priority`, lowest first."""

    credential_id: Annotated[Id, Field(min_length=1)]
    env_var_name: Annotated[str, Field(strict=True, min_length=1, max_length=bounds.CREDENTIAL)]
    priority: Int = 0


class OfAssignment(CredentialsOfAgent):
    """`assignment_id` is the id of the assignment, not of the credential."""

    assignment_id: Id


@query("agent_credentials.list", Action.READ, subject=AGENT, tickets=False)
def list_assignments(scope: QueryScope, agent: Row[Agent], data: CredentialsOfAgent) -> Rows[AgentCredential]:
    """List credentials of an agent.

    Sorted by variable, then by priority, descending. Every member sees every assignment; values are never
    returned.
    """
    return scope.children(agent, AgentCredential, "agent_id").order_by(*BY_VARIABLE)


@command(
    "agent_credentials.assign", Action.MANAGE, audit="agent_credential.assigned", subject=AGENT, errors=(Code.CONFLICT,)
)
async def assign_credential(ctx: Context, agent: Agent, data: AssignCredential) -> AgentCredential:
    """Assign a credential to an agent.

    The agent gets the value in the variable of this name. The credential's scope is not checked.
    """
    await ctx.get(Credential, data.credential_id, lock=True, missing="Credential not found")
    return await ctx.insert(AgentCredential(**data.model_dump()), conflict=ASSIGNED)


@command("agent_credentials.unassign", Action.MANAGE, audit="agent_credential.unassigned", subject=ASSIGNMENT)
async def unassign_credential(ctx: Context, assignment: AgentCredential, data: OfAssignment) -> Success:
    """Unassign a credential from an agent."""
    await ctx.delete(AgentCredential, assignment.id)
    return Success()


extend(
    AgentCredential,
    credential_name=_told("name"),
    credential_type=_told("type"),
    credential_provider=_told("provider"),
    credential_status=_told("status"),
    agent=one(Agent, "agent_id"),
    credential=one(Credential, "credential_id"),
)
extend(
    Credential,
    assignments=many(AgentCredential, "credential_id", order_by=OF_CREDENTIAL, input=ListAssignments),
)
extend(
    Agent,
    credential_count=derived(int, _seen),
    credentials=many(
        Credential,
        "agent_id",
        through=AgentCredential,
        other_key="credential_id",
        order_by=IN_ORDER,
        input=ListCredentials,
    ),
)
extend(
    Crew,
    credentials=many(
        Credential,
        "crew_id",
        through=CredentialCrew,
        other_key="credential_id",
        order_by=IN_ORDER,
        input=ListCredentials,
    ),
)
