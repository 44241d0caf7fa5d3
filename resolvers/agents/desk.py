"""What is on the desk of one agent: what it waits for and is waited for, and what it has cost this month."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from sqlalchemy import func, literal_column, select

from models.agents import Agent
from models.approvals import Approval, ApprovalStatus
from models.assignments import Escalation, EscalationStatus, PeerConversation
from models.costs import CostDay
from models.missions import Assignment, AssignmentStatus
from resolvers.kernel import Absent, Action, Code, Context, Id, Input, Output, Subject, procedure

AGENT: Final = Subject(Agent, "agent_id")
MOST_MESSAGES: Final = 20
OPEN: Final = (AssignmentStatus.PENDING, AssignmentStatus.QUEUED, AssignmentStatus.RUNNING)
MONTH: Any = func.date_trunc("month", func.timezone("UTC", func.now()))
MICROS: Final = 1_000_000


class PeerDirection(StrEnum):
    """Whether the agent was asked, or has asked."""

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


class AgentInbox(Output):
    """`peer_messages` are the newest 20, for an agent of a crew. Costs are of the calendar month, in UTC."""

    approvals_pending: int
    assignments_open: int
    escalations_open: int
    peer_messages: list[PeerMessage]
    cost_usd_this_month: float
    llm_calls_this_month: int
    tokens_used_this_month: int


@procedure("agents.inbox", Action.READ, subject=AGENT, errors=(Code.NOT_FOUND,))
async def get_agent_inbox(ctx: Context, agent: Agent, data: OfDesk) -> AgentInbox:
    """Get what is open around an agent.

    Approvals and decisions that it waits for, work that it was given, questions between it and others, and its costs.
    """
    approvals, given, raised = ctx.table(Approval).c, ctx.table(Assignment).c, ctx.table(Escalation).c
    pending = select(func.count()).where(approvals.agent_id == agent.id, approvals.status == ApprovalStatus.pending)
    work = select(func.count()).where(given.assigned_to_id == agent.id, given.status.in_(OPEN))
    asked = select(func.count()).where(raised.from_agent_id == agent.id, raised.status == EscalationStatus.PENDING)
    counts = [(await ctx.report(each))[0][0] for each in (pending, work, asked)]
    days = ctx.table(CostDay).c
    sums = [func.coalesce(func.sum(amount), literal_column("0")) for amount in _amounts(days)]
    (spent,) = await ctx.report(select(*sums).where(days.agent_id == agent.id, days.day >= MONTH))
    return AgentInbox(
        approvals_pending=counts[0],
        assignments_open=counts[1],
        escalations_open=counts[2],
        peer_messages=[] if agent.crew_id is None else await _messages(ctx, agent),
        cost_usd_this_month=float(spent[0]) / MICROS,
        llm_calls_this_month=int(spent[1]),
        tokens_used_this_month=int(spent[2]),
    )


def _amounts(days: Any) -> tuple[Any, ...]:
    return days.cost_micros, days.calls, days.input_tokens + days.output_tokens


async def _messages(ctx: Context, agent: Agent) -> list[PeerMessage]:
    """Of both directions: the newest of each, by an index of its own, and of these the newest."""
    found: list[Any] = []
    for end in ("from_agent_id", "to_agent_id"):
        rows = ctx.table(PeerConversation).c
        newest = select(*rows).where(rows[end] == agent.id).order_by(rows.created_at.desc(), rows.id.desc())
        found += await ctx.report(newest.limit(MOST_MESSAGES))
    found.sort(key=lambda row: (row["created_at"], row["id"]), reverse=True)
    shown = found[:MOST_MESSAGES]
    agents = ctx.table(Agent, including_deleted=True).c
    ids = {row[end] for row in shown for end in ("from_agent_id", "to_agent_id")}
    known = select(agents.id, agents.name, agents.slug).where(agents.id.in_(ids))
    names = {row["id"]: row for row in await ctx.report(known)} if ids else {}
    return [_message(row, agent, names) for row in shown]


def _message(row: Any, agent: Agent, names: dict[str, Any]) -> PeerMessage:
    asks, answers = names[row["from_agent_id"]], names[row["to_agent_id"]]
    return PeerMessage(
        id=row["id"],
        from_agent_name=asks["name"],
        from_agent_slug=asks["slug"],
        to_agent_name=answers["name"],
        to_agent_slug=answers["slug"],
        question=row["question"],
        response=row["response"],
        escalated=row["escalated"],
        duration_ms=row["duration_ms"],
        status=row["status"],
        created_at=row["created_at"].astimezone(UTC),
        direction=PeerDirection.outgoing if row["from_agent_id"] == agent.id else PeerDirection.incoming,
    )
