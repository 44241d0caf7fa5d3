"""Personas that are proposed: what becomes of one is the policy's of the agent's crew (contract: policies)."""

from datetime import datetime
from typing import Annotated, Any, Final

from sqlmodel import col

from models import bounds
from models.attention.inbox import InboxKind, InboxPriority, SenderType
from models.people.workspaces import Role
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import put
from resolvers.kernel import Absent, Action, Code, Context, Description, Output, Refusal, command, extend, written
from resolvers.rules.autonomy import PolicyAction, PolicyDecision, decide
from resolvers.staff.personas.reading import AGENT
from resolvers.staff.personas.writing import SetPersona, within_cap, write

SENDER: Final = "Persona Suggest"
PENDING: Final = "persona.suggest_pending"
APPLIED: Final = frozenset(
    {PolicyDecision.auto_journal, PolicyDecision.auto_log_journal, PolicyDecision.auto_log_inbox}
)


class SuggestPersona(SetPersona):
    """`content` has at most 1500 bytes of UTF-8; `rationale` is the reason."""

    rationale: Description = ""


class PersonaSuggestion(Output):
    """The outcome of a proposal. `pending`: the proposal waits for a decision; `self_learning_gate` is off if it waits
    because self-learning is disabled for the agent.
    """

    agent_id: str
    decision: PolicyDecision
    bytes: int
    rationale: str
    timestamp: datetime
    applied: bool
    pending: Annotated[bool | None, Absent()] = None
    reason: Annotated[str | None, Absent()] = None
    self_learning_gate: Annotated[str | None, Absent()] = None


extend(PersonaSuggestion, agent=written(Agent, "agent_id"))


@command(
    "agents.persona_suggest",
    Action.CREATE,
    subject=AGENT,
    audit=PENDING,
    emits=InboxItemUpdated,
    errors=(Code.TOO_LARGE,),
    late=True,
)
async def suggest_persona(ctx: Context, agent: Agent, data: SuggestPersona) -> PersonaSuggestion:
    """Propose a persona for an agent.

    The policy of the agent's crew decides the effect. At level `full`, with self-learning enabled, the persona is
    written at once; otherwise only the audit log records the proposal.
    """
    content = within_cap(data.content)
    decision = await _decision(ctx, agent)
    gated = decision in APPLIED and not agent.learning_enabled
    outcome = PersonaSuggestion(
        agent_id=agent.id,
        decision=PolicyDecision.inbox_approve if gated else decision,
        bytes=len(content),
        rationale=data.rationale,
        timestamp=await ctx.now(),
        applied=decision in APPLIED and not gated,
    )
    if decision is PolicyDecision.rejected:
        refused = outcome.model_copy(update={"reason": "The crew's policy forbids it"})
        raise Refusal(Code.FORBIDDEN, refused.reason or "", extra=refused.model_dump(mode="json", exclude_none=True))
    if outcome.applied:
        await write(ctx, agent, data.content)
        ctx.audit("AGENT", agent.id, action="agent.persona_set", rationale=data.rationale)
        return outcome
    await ctx.begin()
    gate = {"self_learning_gate": "off"} if gated else {}
    told: dict[str, Any] = {"content": data.content, "rationale": data.rationale, "bytes": len(content)} | gate
    proposal = ctx.audit("agent", agent.id, whole=True, **told)
    if gated:
        await _ask(ctx, agent, data, proposal)
    return outcome.model_copy(update={"pending": True} | gate)


async def _decision(ctx: Context, agent: Agent) -> PolicyDecision:
    """The decision by the level of the agent's crew; an agent without a crew needs approval."""
    crew = None if agent.crew_id is None else await ctx.select(Crew, col(Crew.id) == agent.crew_id).first()
    if crew is None:
        return PolicyDecision.inbox_approve
    return decide(PolicyAction.persona_suggest, crew.autonomy_level)


async def _ask(ctx: Context, agent: Agent, data: SuggestPersona, proposal: str) -> None:
    """The level would apply the persona, but the agent's own switch is off: users are asked."""
    why = f"\n\n_Rationale: {data.rationale}_" if data.rationale else ""
    await put(
        ctx,
        InboxKind.escalation,
        proposal,
        subject=agent,
        target_role=Role.MANAGER,
        title=bounds.cut(f"Persona proposed for {agent.name}", bounds.LINE * 3),
        body_md=bounds.cut(f"**Proposed persona** (the agent does not learn by itself):\n\n{data.content}{why}",
                           bounds.DESCRIPTION),
        sender_type=SenderType.agent,
        sender_id=agent.id,
        sender_name=SENDER,
        priority=InboxPriority.low,
        blocking=True,
        payload={
            "action": PENDING, "agent_id": agent.id, "crew_id": agent.crew_id, "audit_id": proposal,
            "rationale": data.rationale, "bytes": len(data.content.encode(errors="surrogatepass")),
            "self_learning_gate": "off",
        },
    )  # fmt: skip
