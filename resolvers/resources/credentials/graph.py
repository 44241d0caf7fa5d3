"""Who sees credentials, and which facts: never a value."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Text, and_, case, func, not_, or_, select
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlmodel import col

from models.base import table_of
from models.people.auth import User
from models.people.workspaces import Workspace
from models.resources.credentials import (
    AgentCredential,
    Credential,
    CredentialCrew,
    CredentialEvent,
    CredentialScope,
    CredentialType,
)
from models.resources.integrations import AgentIntegration
from models.staff.agents import Agent
from models.staff.crews import CrewMember
from resolvers.kernel import EVERYONE, Action, constant, count, derived, extend, graph, many
from resolvers.kernel.declarations.row_events import heard, of_action
from resolvers.resources.credentials.probes import PROBES, UNTESTED

WORKSPACE: Any = constant(CredentialScope.WORKSPACE)
NONE: Any = constant([])
ONE: Any = constant(1)
LEVELS: Final = {1: "L1 · low", 2: "L2 · medium", 3: "L3 · high", 4: "L4 · critical"}
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


def is_credential_seen(row: Any, scope: Any) -> Any:
    """True if the caller may see the credential of a row, deleted or not."""
    credential, visible = scope.beside(Credential, row, including_deleted=True)
    found = select(ONE).select_from(credential).where(credential.c.id == row.credential_id, *visible)
    return scope.scalar(found.limit(ONE)).is_not(None)


def of_credential(column: str) -> Any:
    """A column of a row's credential that every reader of the row sees, regardless of scope and deletion (contract:
    agent_credentials.list).
    """

    def expression(row: Any, scope: Any) -> Any:
        credential = table_of(Credential).alias()
        same = (credential.c.workspace_id == row.workspace_id, credential.c.id == row.credential_id)
        return scope.scalar(select(credential.c[column]).where(*same))

    return derived(str, expression)


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


def _of_agents(column: str) -> Callable[[Any, Any], Any]:
    """The ids or the names of the live agents, in one order."""

    def listed(row: Any, scope: Any) -> Any:
        given, own = scope.beside(AgentCredential, row)
        agent, live = scope.beside(Agent, row)
        found = func.jsonb_agg(aggregate_order_by(agent.c[column], agent.c.name, agent.c.id))
        held = and_(given.c.credential_id == row.id, agent.c.id == given.c.agent_id)
        return func.coalesce(scope.scalar(select(found).where(held, *own, *live)), NONE, type_=JSONB())

    return listed


def _testable(row: Any, scope: Any) -> Any:
    """`probes.is_testable`, of a row."""
    provider, type = UNTESTED
    asked = and_(
        row.provider.in_([constant(name) for name in PROBES]),
        not_(and_(row.provider == constant(provider), row.type == constant(type))),
    )
    return or_(row.type == constant(CredentialType.ENDPOINT_URL), asked)


def _level_label(row: Any, scope: Any) -> Any:
    named = [(row.security_level == constant(level), constant(label)) for level, label in LEVELS.items()]
    return case(*named, else_=constant(""))


def _mcp_used(row: Any, scope: Any) -> Any:
    """True if a binding to an MCP server uses it."""
    tie, own = scope.beside(AgentIntegration, row)
    return scope.scalar(select(ONE).where(tie.c.credential_id == row.id, *own).limit(ONE)).is_not(None)


class TimelineActor(StrEnum):
    """The kind of actor of an entry in the timeline of a credential."""

    user = "user"
    agent = "agent"
    crew = "crew"
    system = "system"


def _actor_kind(row: Any, scope: Any) -> Any:
    kinds = [(row.user_id.is_not(None), TimelineActor.user), (row.agent_id.is_not(None), TimelineActor.agent)]
    named = [(given, constant(kind, Text(), as_="text")) for given, kind in kinds]
    return case(*named, else_=constant(TimelineActor.system, Text(), as_="text"))


def _actor_name(row: Any, scope: Any) -> Any:
    """The name of the user, otherwise of the agent, deleted or not; empty if it is unknown."""
    user = table_of(User).alias()
    users = scope.scalar(select(user.c.full_name).where(user.c.id == row.user_id))
    agents = scope.parent(Agent, row, "agent_id", "name")
    return case(
        (row.user_id.is_not(None), func.coalesce(users, constant(""))), else_=func.coalesce(agents, constant(""))
    )


graph(
    Credential,
    gate=Action.READ,
    scope="credentials:read",
    visible=_is_seen,
    crew_id=derived(str | None, _first_crew),
    crew_ids=derived(list[str], _crew_ids),
    agent_count=count(AgentCredential, "credential_id"),
    agent_ids=derived(list[str], _of_agents("id")),
    agent_names=derived(list[str], _of_agents("name")),
    testable=derived(bool, _testable),
    security_level_label=derived(str, _level_label),
    mcp_used=derived(bool, _mcp_used),
)
heard(Credential, _hearers)
graph(CredentialCrew, gate=Action.READ, scope="credentials:read", visible=EVERYONE)
graph(AgentCredential, gate=Action.READ, scope="credentials:read", visible=EVERYONE)
graph(
    CredentialEvent,
    gate=Action.UPDATE,
    scope="credentials:read",
    visible=EVERYONE,
    actor_kind=derived(TimelineActor, _actor_kind),
    actor_id=derived(str, lambda row, _: func.coalesce(row.user_id, row.agent_id, constant(""))),
    actor_name=derived(str, _actor_name),
)
extend(Workspace, credentials=many(Credential, "workspace_id", order_by=IN_ORDER))
