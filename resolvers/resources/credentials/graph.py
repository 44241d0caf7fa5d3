"""Who sees credentials, and which facts: never a value."""

from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlmodel import col

from models.base import table_of
from models.people.workspaces import Workspace
from models.resources.credentials import AgentCredential, Credential, CredentialCrew, CredentialEvent, CredentialScope
from models.resources.integrations import AgentIntegration
from models.staff.agents import Agent
from models.staff.crews import CrewMember
from resolvers.kernel import EVERYONE, Action, constant, count, derived, extend, graph, many
from resolvers.kernel.declarations.row_events import heard, of_action

WORKSPACE: Any = constant(CredentialScope.WORKSPACE)
NONE: Any = constant([])
ONE: Any = constant(1)
IN_ORDER = (col(Credential.type), col(Credential.recency), col(Credential.id))


def _is_seen(credential: Any, scope: Any) -> Any:
    """Managers see all credentials; other members see credentials of the workspace and of their crews (contract:
    visibility).
    """
    link, member = table_of(CredentialCrew).alias(), table_of(CrewMember).alias()
    in_crew = (
        select(ONE)
        .select_from(link.join(member, link.c.crew_id == member.c.crew_id))
        .where(
            link.c.credential_id == credential.id,
            link.c.workspace_id == credential.workspace_id,
            member.c.user_id == scope.user_id,
        )
    )
    shared = scope.scalar(in_crew.limit(ONE)).is_not(None)
    return or_(scope.may(credential, Action.UPDATE), credential.scope == WORKSPACE, shared)


def _hearers(credential: Credential, changed: frozenset[str]) -> str:
    """Only managers hear of credentials of crews: the members of the crews are not known here, and read the list."""
    everyone = credential.scope == CredentialScope.WORKSPACE or "scope" in changed
    return of_action(Action.READ if everyone else Action.UPDATE)


def _crew_ids(row: Any, scope: Any) -> Any:
    link, own = scope.beside(CredentialCrew, row)
    ids = func.jsonb_agg(aggregate_order_by(link.c.crew_id, link.c.position))
    return func.coalesce(scope.scalar(select(ids).where(link.c.credential_id == row.id, *own)), NONE, type_=JSONB())


def _first_crew(row: Any, scope: Any) -> Any:
    link, own = scope.beside(CredentialCrew, row)
    crews = select(link.c.crew_id).where(link.c.credential_id == row.id, *own)
    return scope.scalar(crews.order_by(link.c.position).limit(ONE))


def _agent_names(row: Any, scope: Any) -> Any:
    """The names of the live agents."""
    given, own = scope.beside(AgentCredential, row)
    agent, live = scope.beside(Agent, row)
    names = func.jsonb_agg(aggregate_order_by(agent.c.name, agent.c.name, agent.c.id))
    held = and_(given.c.credential_id == row.id, agent.c.id == given.c.agent_id)
    return func.coalesce(scope.scalar(select(names).where(held, *own, *live)), NONE, type_=JSONB())


def _mcp_used(row: Any, scope: Any) -> Any:
    """True if a binding to an MCP server uses it."""
    tie, own = scope.beside(AgentIntegration, row)
    return scope.scalar(select(ONE).where(tie.c.credential_id == row.id, *own).limit(ONE)).is_not(None)


graph(
    Credential,
    gate=Action.READ,
    scope="credentials:read",
    visible=_is_seen,
    crew_id=derived(str | None, _first_crew),
    crew_ids=derived(list[str], _crew_ids),
    agent_count=count(AgentCredential, "credential_id"),
    agent_names=derived(list[str], _agent_names),
    mcp_used=derived(bool, _mcp_used),
)
heard(Credential, _hearers)
graph(CredentialCrew, gate=Action.READ, scope="credentials:read", visible=EVERYONE)
graph(AgentCredential, gate=Action.READ, scope="credentials:read", visible=EVERYONE)
graph(CredentialEvent, gate=Action.UPDATE, scope="credentials:read", visible=EVERYONE)
extend(Workspace, credentials=many(Credential, "workspace_id", order_by=IN_ORDER))
