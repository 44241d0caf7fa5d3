"""Agents ask people for a decision, or propose a credential for approval."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import orjson
from pydantic import Field
from sqlmodel import col

from models.actors import ActorType
from models.attention.inbox import InboxKind, InboxPriority, SenderType
from models.bounds import CREDENTIAL, DESCRIPTION, LINE, PROMPT, cut
from models.people.workspaces import Role
from models.resources.credentials import Credential, CredentialEventType, CredentialStatus, CredentialType
from models.staff.agents import Agent
from models.staff.assignments import Escalation, EscalationStatus, EscalationType
from models.staff.chats import Chat
from models.staff.crews import Crew
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import put
from resolvers.kernel import (
    Action,
    Auth,
    ConfigText,
    Context,
    Emptied,
    Id,
    Input,
    Output,
    Ref,
    command,
    invalid,
)
from resolvers.resources.credentials.endpoints import endpoint_of
from resolvers.resources.credentials.vault import sealed, tell
from resolvers.staff.assignments.events import ChatEscalationCreated, EscalationCreated

WAITS: Final = 300
"""Seconds that an agent waits for an answer."""
OPEN_FOR: Final = timedelta(days=7)
"""The time in which people may answer."""
SEALED = "The value is encrypted and waits for approval: agents get it when the credential is approved."
NO_AGENT = "there is no such agent in this crew"
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
    """The escalation, which is PENDING. The agent may wait until `deadline_at`, `timeout_seconds` from now; people may
    answer until `answer_deadline_at`.
    """

    escalation_id: str
    status: EscalationStatus = EscalationStatus.PENDING
    deadline_at: datetime
    timeout_seconds: int = WAITS
    answer_deadline_at: datetime


@command(
    "escalations.raise",
    Action.NONE,
    audit="escalation.raised",
    auth=Auth.INTERNAL,
    emits=(ChatEscalationCreated, EscalationCreated, InboxItemUpdated),
)
async def raise_escalation(ctx: Context, data: RaiseEscalation) -> EscalationRaised:
    """Raise an escalation (for agents).

    It stays in the managers' inbox until one of them resolves or cancels it, or for seven days.
    """
    agent = await agent_of_crew(ctx, data.crew_id, data.from_slug, "from_slug")
    if data.type is EscalationType.LINK and not (data.metadata or "").startswith("https://"):
        raise invalid("metadata", "must be an https address for an escalation of type LINK")
    kept, credential_id = data.metadata, None
    if data.type is EscalationType.CREDENTIAL and data.metadata:
        kept, credential_id = await _stage(ctx, agent, data.metadata)
    now = await ctx.now()
    deadline, until = now + timedelta(seconds=WAITS), now + OPEN_FOR
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
            deadline_at=deadline,
            answer_deadline_at=until,
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
    return EscalationRaised(escalation_id=row.id, deadline_at=deadline, answer_deadline_at=until)


async def agent_of_crew(ctx: Context, crew_id: str, slug: str, field: str) -> Agent:
    """The agent with this slug, or a refusal of `field`."""
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
    if credential.type is CredentialType.ENDPOINT_URL:
        credential.endpoint_url = endpoint_of(value, "metadata").base_url
    credential.value = await sealed(ctx, credential.id, "value", value)
    await ctx.insert(credential)
    status = CredentialStatus.PENDING_APPROVAL
    tell(ctx, credential.id, CredentialEventType.CREATED, agent.id, status=status, actor_type="agent", proposed=True)
    return credential.id
