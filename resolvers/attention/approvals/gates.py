"""Gates: calls of tools that a workspace wants to be asked about, beside those that everybody is asked about."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlmodel import col

from models.attention.approvals import ApprovalGate, ApprovalMode
from models.bounds import LINE
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import (
    EVERYONE,
    TRIMMED,
    Action,
    ById,
    Code,
    Context,
    Deleted,
    Id,
    Input,
    Page,
    Paging,
    QueryScope,
    Ref,
    Refusal,
    Subject,
    command,
    graph,
    one,
    query,
)

GATE = Subject(ApprovalGate, "id", called="Approval gate")
NEWEST_FIRST = (col(ApprovalGate.created_at).desc(), col(ApprovalGate.id).desc())
MOST_GATES = 200
TOO_MANY = f"A workspace has at most {MOST_GATES} approval gates"
Pattern = Annotated[str, TRIMMED, Field(strict=True, min_length=1, max_length=LINE)]


class CreateApprovalGate(Input):
    """`pattern` is the name of a tool, ignoring case; * matches anything.

    Applies to all agents unless a crew or an agent is named. If several gates match, the agent's precedes the
    crew's; among equals, the newest applies. `sync` calls wait for the decision, `async` calls proceed meanwhile.
    """

    pattern: Pattern
    mode: ApprovalMode = ApprovalMode.sync
    crew_id: Annotated[Id, Ref(Crew)] | None = None
    agent_id: Annotated[Id, Ref(Agent)] | None = None


class ListApprovalGates(Paging):
    """A page of approval gates, of which a workspace has at most 200."""


graph(
    ApprovalGate,
    gate=Action.READ,
    scope="workspace:read",
    visible=EVERYONE,
    crew=one(Crew, "crew_id"),
    agent=one(Agent, "agent_id"),
)


@query("approval_gates.list", Action.READ, tickets=False)
def list_gates(scope: QueryScope, data: ListApprovalGates) -> Page[ApprovalGate]:
    """List approval gates.

    Newest first, ties by id, descending.
    """
    return scope.select(ApprovalGate).order_by(*NEWEST_FIRST).page(data)


@command("approval_gates.create", Action.MANAGE, audit="approval_gate.created", errors=(Code.CONFLICT,))
async def create_gate(ctx: Context, data: CreateApprovalGate) -> ApprovalGate:
    """Create an approval gate.

    Matching tool calls need consent from now on, in new and active runs.
    """
    await ctx.lock(f"approval gates of {ctx.workspace_id}")
    if await ctx.select(ApprovalGate).count() >= MOST_GATES:
        raise Refusal(Code.CONFLICT, TOO_MANY)
    return await ctx.insert(ApprovalGate(**data.model_dump()))


@command("approval_gates.delete", Action.MANAGE, audit="approval_gate.deleted", errors=(Code.NOT_FOUND,))
async def delete_gate(ctx: Context, data: ById) -> Deleted:
    """Delete an approval gate.

    Pending approvals stay pending.
    """
    await ctx.delete(ApprovalGate, data.id, missing=GATE.missing)
    return Deleted(id=data.id)


async def gates_on(ctx: Context, agent_id: str) -> Sequence[Mapping[str, Any]]:
    """Pattern and mode of the gates that hold for one agent, as its runs receive them."""
    gates, agents = ctx.table(ApprovalGate), ctx.table(Agent)
    rows = await ctx.report(select(gates_of(gates, agents).label("gates")).where(agents.c.id == agent_id))
    return (rows[0]["gates"] if rows else None) or ()


def gates_of(gates: Any, agent: Any) -> Any:
    """Pattern and mode of those that hold for the agent, in the order in which they are asked, as one value. Both are
    entries of a report.
    """
    whose = ((gates.c.agent_id, agent.c.id), (gates.c.crew_id, agent.c.crew_id))
    told = func.jsonb_build_object("pattern", gates.c.pattern, "mode", gates.c.mode)
    order = *[of.is_(None) for of, _ in whose], gates.c.created_at.desc(), gates.c.id.desc()
    mine = [or_(of.is_(None), of == own) for of, own in whose]
    return select(func.jsonb_agg(aggregate_order_by(told, *order))).where(*mine).scalar_subquery()
