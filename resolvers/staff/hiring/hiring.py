"""Hiring, rehiring and approval of agents (contract: agents.hire, rehire, approve_hire)."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, field_validator
from pydantic_core import PydanticCustomError
from sqlmodel import col

from models import bounds
from models.attention.inbox import InboxKind, InboxPriority, SenderType
from models.base import new_id
from models.staff.agents import Agent, AgentRole, AgentStatus, CliAdapter, LlmProvider, ToolProfile
from models.staff.crews import Crew
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import put, settle
from resolvers.kernel import (
    TRIMMED,
    Absent,
    Action,
    Code,
    Context,
    Description,
    Emptied,
    Id,
    Input,
    Int,
    Output,
    Refusal,
    Subject,
    Text,
    command,
)
from resolvers.rules.autonomy import PolicyAction, PolicyDecision, decide
from resolvers.staff.agents.agents import TAKEN
from resolvers.staff.agents.events import AgentHireApproved, AgentHired, AgentRehired
from resolvers.staff.agents.webhook_secret import sealed
from resolvers.staff.crew_templates.catalog import catalog
from resolvers.staff.crew_templates.deployment import give_keys

AGENT: Final = Subject(Agent, "agent_id")
DEFAULT_MINUTES, MOST_MINUTES = 30, 1_440
TIMEOUT: Final = 1_800
MAKERS: Final = {
    "claude": LlmProvider.ANTHROPIC,
    "gpt": LlmProvider.OPENAI,
    "o1": LlmProvider.OPENAI,
    "o3": LlmProvider.OPENAI,
    "o4": LlmProvider.OPENAI,
    "gemini": LlmProvider.GOOGLE,
}
"""The provider of a model, by the beginning of its name."""


def _minutes(sent: int) -> int:
    return min(sent, MOST_MINUTES) if sent > 0 else DEFAULT_MINUTES


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "is required")
    return text


Reason = Annotated[Description, AfterValidator(_not_blank)]
Minutes = Annotated[Int, AfterValidator(_minutes)]


class HireAgent(Input):
    """Exactly one of `crew_id` and `crew_slug`. `ttl_minutes` is 30 by default, also for 0 and less, and at most 1440.

    `parent_lead_id` is the LEAD of the crew.
    """

    crew_id: Emptied[Id] = None
    crew_slug: Annotated[Emptied[Text], Field(validate_default=True)] = None
    template_slug: Annotated[Text, TRIMMED, AfterValidator(_not_blank)]
    reason: Reason
    ttl_minutes: Minutes = DEFAULT_MINUTES
    model: Emptied[Text] = None
    parent_lead_id: Emptied[Id] = None

    @field_validator("crew_slug")
    @classmethod
    def _one_crew(cls, slug: str | None, info: Any) -> str | None:
        if "crew_id" in info.data and (slug is None) == (info.data["crew_id"] is None):
            raise PydanticCustomError("one_crew", "send either crew_id or crew_slug")
        return slug


class OfHired(Input):
    """An agent of the workspace."""

    agent_id: Id


class RehireAgent(OfHired):
    """`ttl_minutes` is 30 by default, also for 0 and less, and at most 1440."""

    reason: Reason
    ttl_minutes: Minutes = DEFAULT_MINUTES


class Hire(Output):
    """A hired agent. `decision` is the decision of the crew's policy; `hire_reason` has a line per hire and rehire."""

    id: str
    crew_id: str | None
    workspace_id: str
    slug: str
    name: str
    status: AgentStatus
    ephemeral: bool
    expires_at: datetime | None
    expired_at: datetime | None
    parent_lead_id: str | None
    hire_reason: str | None
    pending_review: bool
    inbox_item_id: Annotated[str | None, Absent()] = None
    decision: PolicyDecision


class HireApproved(Output):
    """The agent can work."""

    id: str
    status: AgentStatus
    crew_id: str


@command(
    "agents.hire",
    Action.CREATE,
    audit="agent.hired",
    emits=(AgentHired, InboxItemUpdated),
    errors=(Code.NOT_FOUND, Code.RATE_LIMITED),
)
async def hire(ctx: Context, data: HireAgent) -> Hire:
    """Hire an agent for a while.

    Creates an agent for a crew from a crew template. The crew's policy decides: `strict` refuses, `guided`
    requires an approval before the agent can work, and other levels allow it to work at once. A crew has at most
    `max_ephemeral_agents` unexpired hires.

    The agent is assigned the active Anthropic credentials of the workspace.
    """
    crew = await _crew(ctx, data)
    await _check_lead(ctx, data, crew)
    template = catalog().get(data.template_slug)
    if template is None:
        raise Refusal(Code.NOT_FOUND, "Template not found")
    decision = _allowed(crew, "hire")
    await _room(ctx, crew)
    pending, now, id = decision is PolicyDecision.inbox_approve, await ctx.now(), new_id()
    agent = Agent(
        id=id,
        crew_id=crew.id,
        name=template.name,
        slug=f"{template.slug.lower()}-eph-{id[-6:]}",
        status=AgentStatus.PENDING_REVIEW if pending else AgentStatus.IDLE,
        agent_role=AgentRole.AGENT,
        cli_adapter=CliAdapter.CLAUDE_CODE,
        tool_profile=ToolProfile.CODING,
        llm_model=data.model,
        llm_provider=_maker(data.model),
        memory_enabled=True,
        timeout_seconds=TIMEOUT,
        ephemeral=True,
        expires_at=now + timedelta(minutes=data.ttl_minutes),
        parent_lead_id=data.parent_lead_id,
        hire_reason=_line(now, "hire", data.reason),
    )
    agent.webhook_secret = await sealed(ctx, agent.id)
    await ctx.insert(agent, conflict=TAKEN)
    await give_keys(ctx, [agent])
    item = await _ask(ctx, agent, data) if pending else None
    ctx.audit(
        "AGENT", agent.id, crew_id=crew.id, crew_slug=crew.slug, template_slug=template.slug,
        ttl_minutes=data.ttl_minutes, reason=data.reason, model=data.model or "", parent_lead=data.parent_lead_id,
        decision=decision, autonomy_level=crew.autonomy_level, pending_review=pending,
    )  # fmt: skip
    ctx.emit(AgentHired(id=agent.id, crew_id=crew.id, name=agent.name, slug=agent.slug, ephemeral="true"))
    return _shown(agent, decision, slug=agent.slug, parent=agent.parent_lead_id, pending=pending, item=item)


@command(
    "agents.rehire",
    Action.CREATE,
    subject=AGENT,
    locked=True,
    audit="agent.rehired",
    emits=AgentRehired,
    errors=(Code.RATE_LIMITED,),
)
async def rehire(ctx: Context, agent: Agent, data: RehireAgent) -> Hire:
    """Hire an agent again.

    Extends the time of a hired agent, or reactivates it after it has expired. Keeps its status; needs no new
    approval.
    """
    if not agent.ephemeral or agent.crew_id is None:
        raise Refusal(Code.NOT_FOUND, "Agent not found or not ephemeral")
    crew = await ctx.get(Crew, agent.crew_id)
    decision = _allowed(crew, "rehire")
    before = agent.expired_at
    ghost = before is not None
    if ghost:
        await _room(ctx, crew)
    now = await ctx.now()
    ends = now + timedelta(minutes=data.ttl_minutes)
    lines = f"{agent.hire_reason}\n" if agent.hire_reason else ""
    reason = (lines + _line(now, "rehire", data.reason))[-bounds.DESCRIPTION :]  # the oldest lines go
    agent = await ctx.update(Agent, agent.id, expires_at=ends, expired_at=None, hire_reason=reason)
    ctx.audit(
        "AGENT", agent.id, reason=data.reason, ttl_minutes=data.ttl_minutes, was_ghost=ghost, crew_id=crew.id,
        prior_expired_at="" if before is None else _written(before), new_expires_at=_written(ends),
        decision=decision, autonomy_level=crew.autonomy_level,
    )  # fmt: skip
    ctx.emit(AgentRehired(id=agent.id, crew_id=crew.id, name=agent.name, expires_at=ends))
    return _shown(agent, decision)


@command(
    "agents.approve_hire",
    Action.CREATE,
    subject=AGENT,
    audit="agent.hire_approved",
    emits=(AgentHireApproved, InboxItemUpdated),
    errors=(Code.CONFLICT,),
)
async def approve_hire(ctx: Context, agent: Agent, data: OfHired) -> HireApproved:
    """Approve the hire of an agent.

    A PENDING_REVIEW agent can then work, and its inbox item is settled. The user who hired the agent may approve
    it. Of concurrent approvals, one succeeds.
    """
    if not agent.ephemeral:
        why = "permanent agents do not require hire approval"
        raise Refusal(Code.CONFLICT, "Only the hire of an ephemeral agent is approved", extra={"reason": why})
    if agent.status is not AgentStatus.PENDING_REVIEW:
        why = f"expected status=PENDING_REVIEW, got {agent.status}"
        extra = {"reason": why, "current_status": agent.status.value}
        raise Refusal(Code.CONFLICT, "Agent is not pending review", extra=extra)
    waits = (col(Agent.id) == agent.id, col(Agent.status) == AgentStatus.PENDING_REVIEW)
    if not await ctx.update_where(Agent, *waits, status=AgentStatus.IDLE):
        raise Refusal(Code.CONFLICT, "Agent is not pending review", extra={"reason": "it was already approved"})
    await settle(ctx, InboxKind.waitpoint, agent.id, "approved")
    crew_id = agent.crew_id or ""
    ctx.audit("AGENT", agent.id, agent_id=agent.id, crew_id=crew_id, name=agent.name)
    ctx.emit(AgentHireApproved(id=agent.id, crew_id=crew_id, name=agent.name, status=AgentStatus.IDLE))
    return HireApproved(id=agent.id, status=AgentStatus.IDLE, crew_id=crew_id)


async def _crew(ctx: Context, data: HireAgent) -> Crew:
    named = col(Crew.id) == data.crew_id if data.crew_id is not None else col(Crew.slug) == data.crew_slug
    return await ctx.select(Crew, named).one("Crew not found in this workspace")


async def _check_lead(ctx: Context, data: HireAgent, crew: Crew) -> None:
    if data.parent_lead_id is None:
        return
    lead = (col(Agent.id) == data.parent_lead_id, col(Agent.agent_role) == AgentRole.LEAD)
    if not await ctx.select(Agent, *lead, col(Agent.crew_id) == crew.id).exists():
        told = "parent_lead_id: there is no such LEAD in the crew"
        raise Refusal(Code.BAD_REQUEST, told, fields={"parent_lead_id": told})


def _allowed(crew: Crew, what: str) -> PolicyDecision:
    """The decision of the crew's policy; FORBIDDEN if it denies."""
    decision = decide(PolicyAction.ephemeral_spawn, crew.autonomy_level)
    if decision is PolicyDecision.rejected:
        why = f"autonomy_level={crew.autonomy_level} forbids {PolicyAction.ephemeral_spawn}"
        extra = {"reason": why, "crew_id": crew.id, "autonomy_level": crew.autonomy_level.value}
        raise Refusal(Code.FORBIDDEN, f"Ephemeral {what} rejected by policy", extra=extra)
    return decision


async def _room(ctx: Context, crew: Crew) -> None:
    """Two callers may not both take the last place."""
    await ctx.lock(f"hired agents of {crew.id}")
    hired = (col(Agent.crew_id) == crew.id, col(Agent.ephemeral).is_(True), col(Agent.expired_at).is_(None))
    live, most = await ctx.select(Agent, *hired, including_hidden=True).count(), crew.max_ephemeral_agents
    if live >= most:
        why = (
            f"the crew has {live} active ephemeral agents of at most {most}: rehire an expired one, or raise the limit"
        )
        extra = {"reason": why, "crew_id": crew.id, "live": live, "max": most}
        raise Refusal(Code.RATE_LIMITED, "Ephemeral quota reached", extra=extra)


async def _ask(ctx: Context, agent: Agent, data: HireAgent) -> str:
    """Asks for approval; returns the id of the inbox item."""
    item = new_id()
    body = (
        f"**Template:** `{data.template_slug}`\n**Model:** `{data.model or '(template default)'}`\n"
        f"**TTL:** {data.ttl_minutes} minutes\n\n**Reason:** {data.reason.strip()}"
    )
    await put(
        ctx,
        InboxKind.waitpoint,
        agent.id,
        subject=agent,
        id=item,
        title=bounds.cut(f"Hire ephemeral agent: {agent.name} ({data.ttl_minutes}m)", bounds.LINE * 3),
        body_md=bounds.cut(body, bounds.DESCRIPTION),
        sender_type=SenderType.user,
        sender_id=ctx.user_id or None,
        sender_name=bounds.cut(agent.name, bounds.LINE),
        priority=InboxPriority.medium,
        blocking=True,
        payload={"kind": "hire", "agent_id": agent.id, "crew_id": agent.crew_id, "agent_name": agent.name},
    )
    return item


def _maker(model: str | None) -> LlmProvider | None:
    return next((maker for start, maker in MAKERS.items() if (model or "").startswith(start)), None)


def _written(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _line(now: datetime, what: str, reason: str) -> str:
    return bounds.cut(f"[{_written(now)}] {what}: {reason.strip()}", bounds.DESCRIPTION)


def _shown(
    agent: Agent,
    decision: PolicyDecision,
    *,
    slug: str = "",
    parent: str | None = None,
    pending: bool = False,
    item: str | None = None,
) -> Hire:
    """A rehire says neither slug nor lead (contract: agents.rehire)."""
    kept = ("id", "crew_id", "workspace_id", "name", "status", "ephemeral", "expires_at", "expired_at", "hire_reason")
    return Hire(
        **{name: getattr(agent, name) for name in kept},
        slug=slug,
        parent_lead_id=parent,
        pending_review=pending,
        inbox_item_id=item,
        decision=decision,
    )
