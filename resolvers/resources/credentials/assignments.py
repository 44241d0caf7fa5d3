"""Which agents are given a credential, and under which name they find it."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Boolean, Text, func, select, true
from sqlmodel import col

from models import bounds
from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.resources.credentials import (
    AgentCredential,
    Credential,
    CredentialCrew,
    CredentialEventType,
    LeaseSource,
)
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
    constant,
    derived,
    extend,
    many,
    one,
    query,
)
from resolvers.resources.credentials.credentials import ListCredentials
from resolvers.resources.credentials.graph import IN_ORDER, of_credential
from resolvers.resources.credentials.vault import tell

AGENT = Subject(Agent, "agent_id")
ASSIGNMENT = Subject(AgentCredential, "assignment_id", of=AGENT, called="Assignment")
ASSIGNED = "The credential is already assigned to this agent"
BY_VARIABLE = (
    col(AgentCredential.env_var_name),
    col(AgentCredential.priority).desc(),
    col(AgentCredential.id),
)
LONGEST_LEASE = 2_592_000  # seconds
EXPLICIT: Any = constant("explicit", Text(), as_="text")
OF_CREDENTIAL = (col(AgentCredential.created_at), col(AgentCredential.id))


def _seen(row: Any, scope: Any) -> Any:
    """The number of an agent's assignments whose credentials the caller may see, including deleted ones."""
    given, own = scope.beside(AgentCredential, row)
    credential, visible = scope.beside(Credential, row, including_deleted=True)
    held = (given.c.agent_id == row.id, credential.c.id == given.c.credential_id)
    return scope.scalar(select(func.count()).select_from(given.join(credential, true())).where(*held, *own, *visible))


class GrantSource(StrEnum):
    """The reason why an agent gets a credential: an assignment, a crew of the credential, or a binding."""

    explicit = "explicit"
    crew = "crew"
    binding = "binding"


class CredentialsOfAgent(Input):
    agent_id: Id


class ListAssignments(Paging):
    """A page of assignments, oldest first."""


class AssignCredential(CredentialsOfAgent):
    """Credentials with the same `env_var_name` form a pool, used in the order of `priority`, lowest first. With
    `ttl_seconds`, 30 days at most, the assignment is a lease and ends by itself; 0 means no end.
    """

    credential_id: Annotated[Id, Field(min_length=1)]
    env_var_name: Annotated[str, Field(strict=True, min_length=1, max_length=bounds.CREDENTIAL)]
    priority: Int = 0
    ttl_seconds: Annotated[int, Field(strict=True, ge=0, le=LONGEST_LEASE)] = 0


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

    The agent gets the value in the variable of this name, in canonical form: upper-case, with `_` for `-`. The
    credential's scope is not checked.
    """
    credential = await ctx.get(Credential, data.credential_id, lock=True, missing="Credential not found")
    made = AgentCredential(**data.model_dump(exclude={"ttl_seconds"}))
    if data.ttl_seconds:
        made.lease_issued_at = await ctx.now()
        made.expires_at = made.lease_issued_at + timedelta(seconds=data.ttl_seconds)
        made.lease_source = LeaseSource.manual
        _record_lease(ctx, agent, credential, made.expires_at, data.ttl_seconds)
    return await ctx.insert(made, conflict=ASSIGNED)


def _record_lease(ctx: Context, agent: Agent, credential: Credential, until: datetime, seconds: int) -> None:
    ends = f"{until:%Y-%m-%dT%H:%M:%SZ}"
    lease: dict[str, Any] = {
        "lease_source": LeaseSource.manual.value,
        "lease_expires_at": ends,
        "ttl_seconds": seconds,
        "security_level": credential.security_level,
    }
    tell(ctx, credential.id, CredentialEventType.LEASED, leased_to=agent.id, leased_by=ctx.user_id or None, **lease)
    ctx.record(
        JournalEntry(
            entry_type="credential.lease_issued",
            severity=Severity.notice,
            actor_type=JournalActor.user if ctx.user_id else JournalActor.system,
            actor_id=ctx.user_id or None,
            crew_id=agent.crew_id,
            agent_id=agent.id,
            summary=f"{credential.name} leased to {agent.name} until {ends}",
            payload={"credential_id": credential.id, "credential_name": credential.name} | lease,
            refs={"credential_id": credential.id},
        )
    )


@command("agent_credentials.unassign", Action.MANAGE, audit="agent_credential.unassigned", subject=ASSIGNMENT)
async def unassign_credential(ctx: Context, assignment: AgentCredential, data: OfAssignment) -> Success:
    """Unassign a credential from an agent."""
    await ctx.delete(AgentCredential, assignment.id)
    return Success()


extend(
    AgentCredential,
    credential_name=of_credential("name"),
    credential_type=of_credential("type"),
    credential_provider=of_credential("provider"),
    credential_status=of_credential("status"),
    expired=derived(bool, lambda row, _: func.coalesce(row.expires_at <= func.now(), constant(False, Boolean()))),
    grant_source=derived(GrantSource, lambda row, _: EXPLICIT),
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
