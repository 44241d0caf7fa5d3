"""The log of deliveries to agents: accepted and refused ones."""

import contextlib
from datetime import timedelta
from typing import Annotated, Any

from sqlmodel import col

from models import bounds
from models.bounds import cut
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.runs import Run
from models.staff.webhooks import WebhookReceipt, WebhookResult
from resolvers.identity.webhook_senders import Unproven
from resolvers.kernel import (
    EVERYONE,
    NO_SURFACE,
    NOW,
    Action,
    Caller,
    Context,
    CredentialKind,
    Entity,
    Filter,
    Id,
    Input,
    Page,
    Paging,
    QueryScope,
    Refusal,
    Subject,
    Success,
    Text,
    command,
    graph,
    one,
    plus,
    query,
)

MOST_ALIKE = 5
"""The most rows per hour for deliveries to one agent with the same result and reason. Further ones are counted on the
last row, so that unproven deliveries cannot fill the log.
"""
ALIKE_FOR = timedelta(hours=1)
HOOKED = Subject(Agent, "agent_id", of=Subject(Crew, "crew_id"))
NEWEST_FIRST = (col(WebhookReceipt.created_at).desc(), col(WebhookReceipt.id).desc())

graph(WebhookReceipt, gate=Action.READ, scope="webhooks:read", visible=EVERYONE, run=one(Run, "run_id"))


class ListReceipts(Paging):
    """Deliveries to one agent, of one result if it is given; none for an unknown agent."""

    agent_id: Id
    result: Annotated[WebhookResult | None, Filter(WebhookReceipt.result, leads=True)] = None


class NoteRefused(Input):
    crew_id: Id
    agent_id: Id
    scheme: Text
    reason: Text


@query("webhooks.list", Action.READ)
def list_receipts(scope: QueryScope, data: ListReceipts) -> Page[WebhookReceipt]:
    """List deliveries to an agent.

    Lists deliveries of the last 30 days, newest first. At most five similar refusals per hour are listed; the
    last one counts the rest.
    """
    receipts = scope.select(WebhookReceipt).where(col(WebhookReceipt.agent_id) == data.agent_id).matching(data)
    return receipts.order_by(*NEWEST_FIRST).page(data)


async def note_refusal(caller: Caller, named: dict[str, Any], refusal: Refusal) -> None:
    """In the log of the agent, if there is one; whether there is makes no difference to who was refused."""
    why = refusal.why if isinstance(refusal, Unproven) else refusal.reason
    scheme = "" if caller.webhook is None else caller.webhook.scheme
    with contextlib.suppress(Refusal):
        await note_refused(
            Caller(CredentialKind.SERVICE, "webhooks"),
            named | {"scheme": str(scheme), "reason": why or refusal.code.value.lower()},
        )


@command("webhooks.note_refused", Action.UPDATE, tenancy=Entity(Agent, "agent_id"), subject=HOOKED, surfaces=NO_SURFACE)
async def note_refused(ctx: Context, agent: Agent, data: NoteRefused) -> Success:
    """Record a refused delivery.

    Its content is not stored.
    """
    await note(ctx, agent.id, WebhookResult.refused, scheme=data.scheme, reason=data.reason)
    return Success()


async def note(ctx: Context, agent_id: str, result: WebhookResult, *, scheme: str, **more: Any) -> None:
    """A row, or one more of the last that was alike. Of two at once both may be rows."""
    alike = (
        col(WebhookReceipt.agent_id) == agent_id,
        col(WebhookReceipt.result) == result,
        col(WebhookReceipt.created_at) > await ctx.now() - ALIKE_FOR,
        col(WebhookReceipt.reason).is_not_distinct_from(more.get("reason")),
    )
    lately = await ctx.select(WebhookReceipt, *alike).order_by(*NEWEST_FIRST).limit(MOST_ALIKE).all()
    if len(lately) == MOST_ALIKE:
        await ctx.update(WebhookReceipt, lately[0].id, times=plus(1), last_at=NOW)
        return
    shown: dict[str, Any] = {name: cut(more.pop(name, ""), bounds.LINE) for name in ("event", "source")}
    await ctx.insert(WebhookReceipt(agent_id=agent_id, result=result, scheme=scheme, **shown, **more))
