"""Escalations: decisions that agents ask people for."""

from typing import Annotated, Any

import orjson
from pydantic import Field
from sqlalchemy import case, func, select
from sqlmodel import col

from models.actors import ActorType
from models.attention.inbox import InboxKind, InboxPriority, SenderType
from models.bounds import CREDENTIAL, DESCRIPTION, LINE, PROMPT, cut
from models.people.workspaces import Role
from models.resources.credentials import Credential, CredentialEventType, CredentialStatus, CredentialType
from models.staff.agents import Agent
from models.staff.assignments import (
    ESCALATION_STATES,
    HANDED_OVER,
    Escalation,
    EscalationAction,
    EscalationStatus,
    EscalationType,
)
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.work.missions import Mission
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import put, settle
from resolvers.kernel import (
    EVERYONE,
    NOW,
    Action,
    Auth,
    Code,
    ConfigText,
    Context,
    Domain,
    Emptied,
    Filter,
    Id,
    Input,
    NoInput,
    Output,
    Page,
    Paging,
    QueryScope,
    Ref,
    Refusal,
    Row,
    Subject,
    Text,
    View,
    command,
    constant,
    derived,
    extend,
    graph,
    instance,
    invalid,
    many,
    named,
    one,
    query,
)
from resolvers.resources.credentials.vault import sealed, tell, unbind
from resolvers.staff.assignments.events import (
    ChatEscalationCreated,
    ChatEscalationResolved,
    EscalationCreated,
    EscalationResolved,
    EscalationsPurgedEvent,
)

DOMAIN = Domain("escalations", scopes="crews")

RESOLVED = "The escalation is already resolved"
SEALED = "The value is encrypted and waits for approval: agents get it when the credential is approved."
NO_AGENT = "there is no such agent in this crew"
RESOLVER = "user"
"""The resolver of an escalation on the wire (contract: Escalation). The inbox names the person."""
CREW = Subject(Crew, "crew_id")
NEWEST_FIRST = (col(Escalation.created_at).desc(), col(Escalation.id).desc())
PENDING: Any = constant(EscalationStatus.PENDING)
Required = Annotated[Id, Field(min_length=1)]


class RaiseEscalation(Input):
    """`from_slug` is an agent of the crew. `metadata` is an https address for a LINK.

    For a CREDENTIAL it may be a JSON object with `name`, `value`, and `type` and `provider`: the credential is stored
    for approval, and the escalation does not contain the value.
    """

    workspace_id: Required
    crew_id: Annotated[Id, Field(min_length=1), Ref(Crew)]
    from_slug: Required
    chat_id: Annotated[Emptied[Id], Ref(Chat)] = None
    reason: Annotated[ConfigText, Field(min_length=1)]
    type: EscalationType = EscalationType.TEXT
    context: Emptied[ConfigText] = None
    metadata: Emptied[ConfigText] = None


class EscalationRaised(Output):
    """The id of the escalation, which is PENDING."""

    escalation_id: str
    status: EscalationStatus = EscalationStatus.PENDING


class FilterEscalations(Paging):
    """`status` is one status; unknown values match nothing."""

    status: Annotated[Text | None, Filter(Escalation.status, leads=True)] = None


class ListEscalations(FilterEscalations):
    """The list is empty if the crew does not exist."""

    crew_id: Id


class ByEscalation(Input):
    escalation_id: Id


class ResolveEscalation(ByEscalation):
    """`redirect_to` is the slug of another agent of the crew: required for `redirect`, ignored for other actions."""

    resolution: Annotated[ConfigText, Field(min_length=1)]
    action: EscalationAction = EscalationAction.approve
    redirect_to: Text | None = None


class EscalationOutcome(Output):
    """The decision."""

    id: str
    status: EscalationStatus
    action: EscalationAction


class PurgeEscalations(Input):
    """A crew whose escalations are deleted."""

    crew_id: Id


class EscalationsPurged(Output):
    """The number of escalations deleted."""

    deleted: int


class PendingEscalations(View):
    """Open escalations of existing crews."""

    count: int


def _resolution(row: Any, scope: Any) -> Any:
    """A marker replaces a value that was handed over."""
    submitted = case((row.status == PENDING, None), else_=constant(HANDED_OVER))
    return case((row.type == constant(EscalationType.CREDENTIAL), submitted), else_=row.resolution)


graph(
    Escalation,
    gate=Action.READ,
    scope="crews:read",
    visible=EVERYONE,
    crew=one(Crew, "crew_id"),
    from_agent=one(Agent, "from_agent_id"),
    **named("from", Agent, "from_agent_id"),
    shown_resolution=derived(str, _resolution),
    metadata=derived(str | None, lambda row, scope: row.data),
)
extend(Mission, escalations=many(Escalation, "chat_id", order_by=NEWEST_FIRST, input=FilterEscalations))
graph(PendingEscalations, gate=Action.READ, scope="crews:read", visible=EVERYONE)
for owner, key in ((Crew, "crew_id"), (Agent, "from_agent_id")):
    extend(owner, escalations=many(Escalation, key, order_by=NEWEST_FIRST, input=FilterEscalations))


@query("escalations.list", Action.READ)
def list_escalations(scope: QueryScope, data: ListEscalations) -> Page[Escalation]:
    """List escalations of a crew.

    Newest first, ties by id, descending. Values provided for a CREDENTIAL are not included.
    """
    rows = scope.children(scope.find(CREW, data), Escalation, "crew_id")
    return rows.matching(data).order_by(*NEWEST_FIRST).page(data)


@query("escalations.pending_count", Action.READ)
def count_pending(scope: QueryScope, data: NoInput) -> Row[PendingEscalations]:
    """Count escalations that are pending.

    Covers all crews of the workspace.
    """
    rows, crews = scope.table(Escalation), scope.table(Crew)
    joined = rows.join(crews, rows.c.crew_id == crews.c.id)
    found = select(func.count().label("count")).select_from(joined).where(rows.c.status == PENDING)
    return scope.view(PendingEscalations, found).one("Workspace not found")


@command(
    "escalations.raise",
    Action.NONE,
    audit="escalation.raised",
    auth=Auth.INTERNAL,
    emits=(ChatEscalationCreated, EscalationCreated, InboxItemUpdated),
)
async def raise_escalation(ctx: Context, data: RaiseEscalation) -> EscalationRaised:
    """Raise an escalation (for agents).

    It stays in the managers' inbox until one of them resolves it.
    """
    agent = await _agent(ctx, data.crew_id, data.from_slug, "from_slug")
    if data.type is EscalationType.LINK and not (data.metadata or "").startswith("https://"):
        raise invalid("metadata", "must be an https address for an escalation of type LINK")
    kept, credential_id = data.metadata, None
    if data.type is EscalationType.CREDENTIAL and data.metadata:
        kept, credential_id = await _stage(ctx, agent, data.metadata)
    row = await ctx.insert(
        Escalation(
            crew_id=data.crew_id,
            chat_id=data.chat_id,
            from_agent_id=agent.id,
            credential_id=credential_id,
            type=data.type,
            reason=data.reason,
            context=data.context,
            data=kept,
        )
    )
    if data.chat_id:
        ctx.emit(ChatEscalationCreated(chat_id=data.chat_id, id=row.id, from_=agent.slug, reason=data.reason))
    ctx.emit(EscalationCreated(id=row.id, crew_id=row.crew_id, from_slug=agent.slug, reason=data.reason))
    told = {"chat_id": data.chat_id, "crew_id": data.crew_id, "escalation_type": data.type, "reason": data.reason}
    title, body, waiting = f"Agent escalation: {data.reason}", data.context, dict[str, Any]()
    if credential_id is not None:  # clients offer to approve what these keys name
        title = f"Credential approval: {orjson.loads(kept or '{}')['name']}"
        body = "\n\n".join([data.reason, *([data.context] if data.context else []), SEALED])
        waiting = {"credential_id": credential_id, "has_pending_credential": True}
    await put(
        ctx,
        InboxKind.escalation,
        row.id,
        subject=row,
        target_role=Role.MANAGER,
        title=cut(title, LINE * 3),
        body_md=cut(body, DESCRIPTION) if body else None,
        sender_type=SenderType.agent,
        sender_id=agent.id,
        sender_name=cut(agent.slug, LINE),
        priority=InboxPriority.high,
        blocking=True,
        payload={name: cut(value, DESCRIPTION) for name, value in told.items() if value is not None} | waiting,
    )
    return EscalationRaised(escalation_id=row.id)


@command(
    "escalations.resolve",
    Action.CREATE,
    audit="escalation.resolved",
    subject=Subject(Escalation, "escalation_id"),
    locked=True,
    emits=(ChatEscalationResolved, EscalationResolved, InboxItemUpdated),
    errors=(Code.CONFLICT,),
)
async def resolve_escalation(ctx: Context, escalation: Escalation, data: ResolveEscalation) -> EscalationOutcome:
    """Resolve an escalation.

    Works once; later decisions are refused. A value provided for a CREDENTIAL is encrypted and never returned.
    """
    redirect_to = None
    if data.action is EscalationAction.redirect:
        if not data.redirect_to:
            raise invalid("redirect_to", "is required to redirect")
        redirect_to = (await _agent(ctx, escalation.crew_id, data.redirect_to, "redirect_to")).slug
    if escalation.status is not EscalationStatus.PENDING:
        raise Refusal(Code.CONFLICT, RESOLVED)
    handed_over = escalation.type is EscalationType.CREDENTIAL
    if escalation.credential_id is not None:
        await _decide_credential(ctx, escalation.credential_id, data.action)
    said: dict[str, Any] = {"resolution": data.resolution}
    if handed_over:
        said = {
            "handed_over": await instance.vault.seal(
                data.resolution,
                table=Escalation,
                column="handed_over",
                row_id=escalation.id,
                workspace_id=ctx.workspace_id,
            )
        }
    row = await ctx.move(
        ESCALATION_STATES,
        escalation,
        EscalationStatus.RESOLVED,
        action=data.action,
        redirect_to=redirect_to,
        resolved_by=RESOLVER,
        **said,
    )
    shown = HANDED_OVER if handed_over else data.resolution
    if row.chat_id:
        ctx.emit(ChatEscalationResolved(chat_id=row.chat_id, id=row.id, resolution=shown, action=data.action))
    agent = await ctx.select(Agent, col(Agent.id) == row.from_agent_id, including_deleted=True).one()
    ctx.emit(EscalationResolved(id=row.id, crew_id=row.crew_id, from_slug=agent.slug, action=data.action))
    await settle(ctx, InboxKind.escalation, row.id, data.action)
    return EscalationOutcome(id=row.id, status=row.status, action=row.action)


@command("escalations.purge", Action.MANAGE, audit="escalations.purged", emits=EscalationsPurgedEvent)
async def purge_escalations(ctx: Context, data: PurgeEscalations) -> EscalationsPurged:
    """Delete the escalations of a crew.

    The crew may be deleted. Inbox items of the escalations are kept and can then be resolved in the inbox.
    """
    deleted = await ctx.delete_where(Escalation, col(Escalation.crew_id) == data.crew_id)
    if deleted:
        ctx.audit("ESCALATIONS", None, crew_id=data.crew_id, deleted=deleted)
        ctx.emit(EscalationsPurgedEvent(crew_id=data.crew_id))
    return EscalationsPurged(deleted=deleted)


async def _agent(ctx: Context, crew_id: str, slug: str, field: str) -> Agent:
    found = await ctx.select(Agent, col(Agent.crew_id) == crew_id, col(Agent.slug) == slug).all()
    if not found:
        raise invalid(field, NO_AGENT)
    return found[0]


# ---- credentials that agents propose ---------------------------------------------------------------------------------


async def _stage(ctx: Context, agent: Agent, metadata: str) -> tuple[str, str | None]:
    """The stored proposal without its value, and the credential that waits for approval, if it proposes one."""
    try:
        proposed = orjson.loads(metadata)
    except orjson.JSONDecodeError:
        return metadata, None
    if not isinstance(proposed, dict) or not isinstance(value := proposed.pop("value", None), str):
        return (orjson.dumps(proposed).decode() if isinstance(proposed, dict) else metadata), None
    credential_id = await _proposed(ctx, agent, proposed, value)
    kept = proposed | ({"credential_id": credential_id} if credential_id else {})
    return orjson.dumps(kept).decode(), credential_id


async def _proposed(ctx: Context, agent: Agent, proposed: dict[str, Any], value: str) -> str | None:
    name, type_ = proposed.get("name"), proposed.get("type") or CredentialType.SECRET.value
    provider = proposed.get("provider") or "NONE"
    if not isinstance(name, str) or not 0 < len(name) <= CREDENTIAL or not 0 < len(value) <= PROMPT:
        return None
    if type_ not in {*CredentialType} or not isinstance(provider, str) or len(provider) > LINE:
        return None
    if await ctx.select(Credential, col(Credential.name) == name, including_hidden=True).exists():
        return None
    credential = Credential(
        name=name,
        type=CredentialType(type_),
        provider=provider,
        status=CredentialStatus.PENDING_APPROVAL,
        created_by_actor_type=ActorType.agent,
        created_by_actor_id=agent.id,
    )
    credential.value = await sealed(ctx, credential.id, "value", value)
    await ctx.insert(credential)
    status = CredentialStatus.PENDING_APPROVAL
    tell(ctx, credential.id, CredentialEventType.CREATED, agent.id, status=status, actor_type="agent", proposed=True)
    return credential.id


async def _decide_credential(ctx: Context, id: str, action: EscalationAction) -> None:
    """A credential that a user has decided on meanwhile is unchanged."""
    mine = (col(Credential.id) == id, col(Credential.status) == CredentialStatus.PENDING_APPROVAL)
    if action is EscalationAction.approve:
        # it stays the agent's (contract: created_by_actor_type)
        if await ctx.update_where(Credential, *mine, status=CredentialStatus.ACTIVE):
            tell(ctx, id, CredentialEventType.APPROVED, approved_by=ctx.user_id)
    elif action is EscalationAction.reject and await ctx.update_where(
        Credential, *mine, status=CredentialStatus.REJECTED, deleted_at=NOW
    ):
        await unbind(ctx, id)
        tell(ctx, id, CredentialEventType.REJECTED, rejected_by=ctx.user_id)
