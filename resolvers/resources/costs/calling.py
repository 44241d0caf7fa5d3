"""Model calls by the service itself, for a workspace: one question, one answer.

Like a run, a call reserves money before it is made and is booked afterwards. Both are transactions of their own: the
answer has to be paid even if the operation that requested it fails.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from typing import Annotated, Any, Final

from pydantic import Field
from sqlmodel import col

from models.base import new_id, table_of
from models.bounds import LINE, cut
from models.resources.budgets import Budget, BudgetScope, BudgetSpend, CallReservation
from models.resources.costs import SLOTS, CostDay, ModelCall
from models.resources.credentials import Credential, CredentialEventType
from models.staff.agents import LlmProvider
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.instance.completions import Completed, CompletionFailed, CompletionRequest, Model
from resolvers.kernel import (
    NO_SURFACE,
    NOW,
    Action,
    Bool,
    Caller,
    Code,
    Context,
    Id,
    Input,
    Int,
    Output,
    Refusal,
    Text,
    command,
    instance,
)
from resolvers.resources.costs.events import ALARMS
from resolvers.resources.costs.money import micros
from resolvers.resources.costs.pricing import Used, cost, own_cost
from resolvers.resources.costs.reserving import State, alarm, states
from resolvers.resources.credentials.keys import Key, credential_of, opened_key
from resolvers.resources.credentials.vault import tell

FENCED: Final = re.compile(r"\s*```[a-z]*\n(.*)\n```\s*", re.DOTALL)
SECONDS: Final = 90.0
LASTS: Final = timedelta(minutes=5)
"""The duration of a reservation for a call whose process has died."""
SLOT: Final = SLOTS
"""The slot of the sums that runs do not use."""
VENDOR: Final = "https://api.anthropic.com"
SERVICE: Final = "models"
SUMMED: Final = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_creation_tokens")
NOT_COVERED: Final = "The rest of the workspace's budget does not cover the call"
Micros = Annotated[Int, Field(ge=0)]


class NotCovered(Exception):
    """No budget that the call counts for has enough left: no model was asked."""


class OfCall(Input):
    """`agent_id` and `crew_id` name the agent and crew of the call, if it is not for the workspace alone."""

    call_id: Id
    purpose: Text
    agent_id: Id = ""
    crew_id: Id = ""


class HoldCall(OfCall):
    """`most` is the maximum cost of the call, in millionths of a US dollar. `credential_id` is the key's, if it is the
    workspace's.
    """

    credential_id: Id | None = None
    most: Micros


class BookCall(OfCall):
    """Without an `answer` nothing is booked, and the reservation ends."""

    provider: Text
    model: Text
    answered: Bool
    input_tokens: Micros = 0
    output_tokens: Micros = 0
    estimated: Bool = False
    cost: Micros | None = None


class MoneyHeld(Output):
    """The result of a reservation: whether money was reserved, or none was needed."""

    refused: bool = False


async def key_of(ctx: Context, missing: Refusal) -> Key:
    """The workspace's oldest active Anthropic key without crews, opened; `missing` if there is none."""
    found = await credential_of(ctx, LlmProvider.ANTHROPIC.value)
    if found is None:
        raise missing
    return await opened_key(found)


async def ask(ctx: Context, key: Key, model: str, question: CompletionRequest, purpose: str) -> str:
    """The model's answer. BAD_GATEWAY if the model fails or no budget covers the call. Call it before `begin()`."""
    address = instance.settings.anthropic_base_url or VENDOR
    asked = Model(LlmProvider.ANTHROPIC.lower(), model, address, key.value, timeout=SECONDS)
    try:
        return (await completed(ctx, asked, question, purpose, credential_id=key.id)).text
    except NotCovered:
        raise Refusal(Code.BAD_GATEWAY, NOT_COVERED) from None
    except CompletionFailed as failed:
        raise Refusal(Code.BAD_GATEWAY, str(failed)) from None


async def completed(
    ctx: Context, model: Model, question: CompletionRequest, purpose: str, *, call_id: str | None = None, **whose: str
) -> Completed:
    """The model's answer. Raises NotCovered, or CompletionFailed within the model's timeout. Call it before `begin()`.

    `whose`: the agent and the crew that the call is for, and the credential whose key is used.
    """
    by = Caller.service(SERVICE, ctx.workspace_id or "")
    credential_id = whose.pop("credential_id", None)
    told = {"call_id": call_id or new_id(), "purpose": purpose} | {name: id for name, id in whose.items() if id}
    read = len((question.system + question.text).encode())  # bytes: no tokenizer makes more of them
    place = ctx.workspace_id or ""
    most = await _most(place, model, Used(read, question.most_tokens))
    held = await hold_call(by, told | {"most": most} | ({"credential_id": credential_id} if credential_id else {}))
    if b"true" in (held.body or b""):
        raise NotCovered
    named = told | {"provider": cut(model.provider, LINE), "model": cut(model.name, LINE)}
    try:
        said = await ctx.outside.completions.complete(model, question)
    except CompletionFailed:
        await book_call(by, named | {"answered": False})
        raise
    booked = {name: getattr(said, name) for name in ("input_tokens", "output_tokens", "estimated")}
    own = await own_cost(place, model.name, Used(said.input_tokens, said.output_tokens))
    costs = said.cost_micros if own is None else micros(own)
    await book_call(by, named | booked | ({} if costs is None else {"cost": costs}) | {"answered": True})
    return said


def unfenced(text: str) -> str:
    """Removes a code fence around a model's answer."""
    fenced = FENCED.fullmatch(text)
    return text if fenced is None else fenced[1]


async def _most(workspace_id: str, model: Model, most: Used) -> int:
    """The maximum cost of a call; 0 if the model's price is unknown: such calls are refused only for money already
    spent.
    """
    return micros(await cost(workspace_id, model.address or "", model.name, most)) or 0


@command("model_calls.hold", Action.UPDATE, emits=(*ALARMS, InboxItemUpdated), surfaces=NO_SURFACE)
async def hold_call(ctx: Context, data: HoldCall) -> MoneyHeld:
    """Set money aside for a call that no run makes.

    From the budgets of the workspace, and of the crew and agent that the call is for. The key's use is added to its
    timeline.
    """
    found = await states(ctx, _whose(data))
    await alarm(ctx, found)
    held = [state for state in found if state.budget.hard_stop]
    if any(state.left <= 0 or state.left < data.most for state in held):
        return MoneyHeld(refused=True)
    ends = await ctx.now() + LASTS
    for state in held:
        row = CallReservation(call_id=data.call_id, budget_id=state.budget.id, micros=data.most, expires_at=ends)
        ctx.record(row)
    if data.credential_id is not None:
        tell(ctx, data.credential_id, CredentialEventType.USE, source=data.purpose)
        await ctx.update_where(Credential, col(Credential.id) == data.credential_id, last_used_at=NOW)
    return MoneyHeld()


@command("model_calls.book", Action.UPDATE, emits=(*ALARMS, InboxItemUpdated), surfaces=NO_SURFACE)
async def book_call(ctx: Context, data: BookCall) -> None:
    """Book a call that no run has made.

    What was set aside for it is spent, or goes back.
    """
    found = await states(ctx, _whose(data))
    await ctx.delete_where(CallReservation, col(CallReservation.call_id) == data.call_id)
    await ctx.delete_where(CallReservation, col(CallReservation.expires_at) < await ctx.now())
    if not data.answered:
        return
    call = ModelCall(
        run_id=data.call_id,
        step=data.purpose,
        agent_id=data.agent_id or None,
        crew_id=data.crew_id or None,
        provider=data.provider,
        model=data.model,
        input_tokens=data.input_tokens,
        output_tokens=data.output_tokens,
        cost_micros=data.cost,
        estimated=data.estimated,
    )
    await book(ctx, call, found)
    await alarm(ctx, await states(ctx, _whose(data)))


async def book(ctx: Context, call: ModelCall, found: Sequence[State]) -> None:
    """Adds a call that no run has made to the ledger, to the sums of the day, and to the budgets that were found and
    locked before.
    """
    day = (await ctx.now()).astimezone(UTC).date()
    await ctx.lock(f"sums of calls without a run of {ctx.workspace_id}")
    of_day = {"day": day, "agent_id": call.agent_id or "", "crew_id": call.crew_id or "", "model": call.model}
    tokens: dict[str, Any] = {name: getattr(call, name) for name in SUMMED}
    await _add(ctx, CostDay, of_day, calls=1, cost_micros=call.cost_micros or 0, **tokens)
    for state in found if call.cost_micros else ():
        key = {"budget_id": state.budget.id, "span": state.span}
        await _add(ctx, BudgetSpend, key, micros=call.cost_micros or 0)
    ctx.record(call)


async def _add(ctx: Context, model: type[CostDay | BudgetSpend], key: dict[str, Any], **amounts: Any) -> None:
    """To the row of sums that is of calls without a run: who adds to it holds its lock, and runs do not add to it."""
    columns = table_of(model).c
    key |= {"slot": SLOT}
    more: dict[str, Any] = {name: columns[name] + amount for name, amount in amounts.items()}
    if not await ctx.update_where(model, *[columns[name] == value for name, value in key.items()], **more):
        await ctx.insert_all([model(**key, **amounts)])


def _whose(call: OfCall) -> list[Any]:
    return budgets_of_call({"agent_id": call.agent_id, "crew_id": call.crew_id})


def budgets_of_call(named: Mapping[str, str | None]) -> list[Any]:
    """The conditions of the budgets that concern a call outside runs: of the workspace, and of each row that it
    names.
    """
    own = [col(getattr(Budget, key)) == id for key, id in named.items() if id]
    return [col(Budget.scope) == BudgetScope.workspace, *own]
