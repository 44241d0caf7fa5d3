"""Bindings: which credential fills a slot, for one agent, for the agents of a crew, or for all agents."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from sqlmodel import col

from models.resources.credential_bindings import BindingScope, CredentialBinding
from models.resources.credentials import Credential
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import (
    MOST_LISTED,
    Absent,
    Action,
    ById,
    Code,
    CommaList,
    Context,
    Deleted,
    Emptied,
    Filter,
    Id,
    Input,
    Output,
    Paging,
    QueryScope,
    Ref,
    Rows,
    Subject,
    at_most,
    command,
    extend,
    graph,
    many,
    one,
    procedure,
    query,
)
from resolvers.kernel.declarations.row_events import heard, of_action
from resolvers.resources.credentials.assignments import AGENT, CredentialsOfAgent
from resolvers.resources.credentials.delivery import SlotSource, delivered_to
from resolvers.resources.credentials.graph import is_credential_seen, of_credential
from resolvers.resources.credentials.variables import SlotName, SoughtSlot

BINDING = Subject(CredentialBinding, "id", called="Binding")
BOUND = "The slot has a credential in this scope; delete its binding first"
BY_SLOT = tuple(
    col(column)
    for column in (
        CredentialBinding.slot, CredentialBinding.scope, CredentialBinding.created_at, CredentialBinding.id,
    )
)  # fmt: skip
OWNERS = {"crew_id": BindingScope.CREW, "agent_id": BindingScope.AGENT}
Scopes = Annotated[list[BindingScope], at_most(MOST_LISTED), CommaList(BindingScope)]


def _scope(raw: Any) -> Any:
    return (raw.strip().upper() or BindingScope.WORKSPACE) if isinstance(raw, str) else raw


class ListBindings(Input):
    """Filters are combined with AND. `slot` is compared in canonical form."""

    scope: Annotated[Scopes | None, Filter(CredentialBinding.scope)] = None
    crew_id: Annotated[Id | None, Filter(CredentialBinding.crew_id)] = None
    agent_id: Annotated[Id | None, Filter(CredentialBinding.agent_id)] = None
    credential_id: Annotated[Id | None, Filter(CredentialBinding.credential_id)] = None
    slot: Annotated[SoughtSlot | None, Filter(CredentialBinding.slot)] = None


class ListBindingsOfCredential(Paging):
    """A page of bindings, by slot."""


class CreateBinding(Input):
    """`slot` is stored in canonical form: upper-case, with `_` for `-`. `crew_id` is for scope CREW, `agent_id` for
    AGENT.
    """

    slot: SlotName
    scope: Annotated[BindingScope, BeforeValidator(_scope)] = BindingScope.WORKSPACE
    credential_id: Annotated[Id, Ref(Credential), Field(min_length=1)]
    crew_id: Annotated[Emptied[Id], Ref(Crew)] = None
    agent_id: Annotated[Emptied[Id], Ref(Agent)] = None

    @model_validator(mode="after")
    def _has_its_owner(self) -> "CreateBinding":
        for name, scope in OWNERS.items():
            if (getattr(self, name) is not None) is not (self.scope is scope):
                said = "is required for" if self.scope is scope else "is only for"
                raise PydanticCustomError("owner", f"{name} {said} scope {scope}", {"field": name})
        return self


class ResolvedSlot(Output):
    """A variable of an agent, and the credential whose value it holds. `source`: the reason for it."""

    slot: str
    credential_id: str
    credential_name: str
    source: SlotSource


class ResolvedSlots(Output):
    """The variables of an agent. `warnings` names credentials that have no variable; absent if there are none."""

    agent_id: str
    slots: list[ResolvedSlot]
    warnings: Annotated[list[str] | None, Absent()] = None


graph(
    CredentialBinding,
    gate=Action.READ,
    scope="credentials:read",
    visible=is_credential_seen,
    credential_name=of_credential("name"),
    credential=one(Credential, "credential_id"),
    crew=one(Crew, "crew_id"),
    agent=one(Agent, "agent_id"),
)
extend(
    Credential,
    bindings=many(CredentialBinding, "credential_id", order_by=BY_SLOT, input=ListBindingsOfCredential),
)
heard(CredentialBinding, lambda binding, changed: of_action(Action.UPDATE))


@query("credential_bindings.list", Action.READ, tickets=False)
def list_bindings(scope: QueryScope, data: ListBindings) -> Rows[CredentialBinding]:
    """List bindings of credentials.

    Sorted by slot, then by scope, oldest first. Members below managers see bindings of the credentials that they see.
    A binding of a deleted credential stays listed until it is deleted, and holds its slot.
    """
    return scope.select(CredentialBinding).matching(data).order_by(*BY_SLOT)


find_bindings = list_bindings.paged("credential_bindings.find")


@command("credential_bindings.create", Action.MANAGE, audit="credential_binding.created", errors=(Code.CONFLICT,))
async def create_binding(ctx: Context, data: CreateBinding) -> CredentialBinding:
    """Create a binding of a credential to a slot.

    The agents in the scope get the credential in the variable of this name with their next run. Of one slot an agent
    gets the binding of the most specific scope: its own, then the crew's, then the workspace's. That binding holds the
    slot even while its credential cannot be used.
    """
    return await ctx.insert(CredentialBinding(**data.model_dump()), conflict=BOUND)


@command("credential_bindings.delete", Action.MANAGE, audit="credential_binding.deleted", subject=BINDING)
async def delete_binding(ctx: Context, binding: CredentialBinding, data: ById) -> Deleted:
    """Delete a binding of a credential.

    Running containers keep their variables.
    """
    await ctx.delete(CredentialBinding, binding.id)
    return Deleted(id=binding.id)


@procedure("credential_bindings.resolve", Action.READ, subject=AGENT, late=True)
async def resolve_slots(ctx: Context, agent: Agent, data: CredentialsOfAgent) -> ResolvedSlots:
    """List the variables of an agent.

    Shows which credential the agent gets in each variable, and why: by an assignment, a binding, or a crew of the
    credential. Every member sees this for all credentials. Values and fields are not included.
    """
    found, warnings = await delivered_to(agent.workspace_id, agent.id)
    slots = dict[str, ResolvedSlot]()
    for each in found:
        if each.variable:
            named = {"credential_id": each.row["id"], "credential_name": each.row["name"]}
            slots.setdefault(each.variable, ResolvedSlot(slot=each.variable, source=each.source, **named))
    return ResolvedSlots(agent_id=agent.id, slots=list(slots.values()), warnings=warnings or None)
