"""The desk of an agent: what it waits for, who waits for it, and its cost of this month."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from sqlalchemy import func, select, union

from models.attention.approvals import Approval, ApprovalStatus
from models.resources.costs import CostDay
from models.staff.agents import Agent
from models.staff.assignments import Escalation, EscalationStatus, PeerConversation
from models.work.missions import Assignment, AssignmentStatus
from resolvers.kernel import Absent, Action, Context, Id, Input, Output, Subject, constant, procedure

AGENT: Final = Subject(Agent, "agent_id")
MOST_MESSAGES: Final = 20
OPEN: Final = (AssignmentStatus.PENDING, AssignmentStatus.QUEUED, AssignmentStatus.RUNNING)
MONTH: Any = func.date_trunc("month", func.timezone("UTC", func.now()))
MICROS: Final = 1_000_000
NAMES: Final = ("name", "slug")
SHOWN: Final = ("id", "question", "response", "escalated", "duration_ms", "status")


class PeerDirection(StrEnum):
    """The agent's side of the question: asked or asking."""

    incoming = "incoming"
    outgoing = "outgoing"


class OfDesk(Input):
    """An agent of the workspace."""

    agent_id: Id


class PeerMessage(Output):
    """A question between two agents, and its answer."""

    id: str
    from_agent_name: str
    from_agent_slug: str
    to_agent_name: Annotated[str | None, Absent()] = None
    to_agent_slug: Annotated[str | None, Absent()] = None
    question: str
    response: Annotated[str | None, Absent()] = None
    escalated: bool
    duration_ms: Annotated[int | None, Absent()] = None
    status: str
    created_at: datetime
    direction: PeerDirection

    @property
    def conversation_id(self) -> str:
        return self.id


class AgentInbox(Output):
    """`peer_messages` are the newest 20, for an agent of a crew. Costs are of the calendar month, in UTC."""

    approvals_pending: int
    assignments_open: int
    escalations_open: int
    peer_messages: list[PeerMessage]
    cost_usd_this_month: float
    llm_calls_this_month: int
    tokens_used_this_month: int


@procedure("agents.inbox", Action.READ, subject=AGENT)
async def get_agent_inbox(ctx: Context, agent: Agent, data: OfDesk) -> AgentInbox:
    """Get open items of an agent.

    Returns approvals and decisions that the agent waits for, its assignments, questions to and from it, and its
    costs.
    """
    approvals, given, raised = ctx.table(Approval).c, ctx.table(Assignment).c, ctx.table(Escalation).c
    pending = select(func.count()).where(approvals.agent_id == agent.id, approvals.status == ApprovalStatus.pending)
    work = select(func.count()).where(given.assigned_to_id == agent.id, given.status.in_(OPEN))
    asked = select(func.count()).where(raised.from_agent_id == agent.id, raised.status == EscalationStatus.PENDING)
    days = ctx.table(CostDay).c
    sums = [func.coalesce(func.sum(amount), constant(0)) for amount in _amounts(days)]
    spent = select(*sums).where(days.agent_id == agent.id, days.day >= MONTH).subquery()
    counts = [each.scalar_subquery() for each in (pending, work, asked)]
    (found,) = await ctx.report(select(*counts, *spent.c))
    return AgentInbox(
        approvals_pending=found[0],
        assignments_open=found[1],
        escalations_open=found[2],
        peer_messages=[] if agent.crew_id is None else await _messages(ctx, agent),
        cost_usd_this_month=float(found[3]) / MICROS,
        llm_calls_this_month=int(found[4]),
        tokens_used_this_month=int(found[5]),
    )


def _amounts(days: Any) -> tuple[Any, ...]:
    return days.cost_micros, days.calls, days.input_tokens + days.output_tokens


async def _messages(ctx: Context, agent: Agent) -> list[PeerMessage]:
    """The newest messages of both directions, each read by an index of its own."""
    rows = ctx.table(PeerConversation)

    def newest(end: str) -> Any:
        order = (rows.c.created_at.desc(), rows.c.id.desc())
        return select(rows).where(rows.c[end] == agent.id).order_by(*order).limit(MOST_MESSAGES).subquery()

    # one that an agent has with itself is in both, and shown once
    both = union(*[select(newest(end)) for end in ("from_agent_id", "to_agent_id")]).subquery()
    asks, answers = (ctx.table(Agent, including_deleted=True).alias() for _ in range(2))
    named = select(
        both,
        *[side.c[what].label(f"{end}_{what}") for end, side in (("from", asks), ("to", answers)) for what in NAMES],
    ).where(asks.c.id == both.c.from_agent_id, answers.c.id == both.c.to_agent_id)
    shown = named.order_by(both.c.created_at.desc(), both.c.id.desc()).limit(MOST_MESSAGES)
    return [_message(row, agent) for row in await ctx.report(shown)]


def _message(row: Any, agent: Agent) -> PeerMessage:
    return PeerMessage(
        **{name: row[name] for name in SHOWN},
        from_agent_name=row["from_name"],
        from_agent_slug=row["from_slug"],
        to_agent_name=row["to_name"],
        to_agent_slug=row["to_slug"],
        created_at=row["created_at"].astimezone(UTC),
        direction=PeerDirection.outgoing if row["from_agent_id"] == agent.id else PeerDirection.incoming,
    )
