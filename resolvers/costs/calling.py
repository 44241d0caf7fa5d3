"""Calls of models that the service makes itself, for a workspace and by its key: one question, one answer.

As a run does it, a call sets money aside before it is made, and is booked. Both are transactions of their own: the
answer is paid for, whatever becomes of the operation that wanted it.
"""

import asyncio
import re
from datetime import UTC, timedelta
from typing import Annotated, Any, Final, NamedTuple

from pydantic import Field, SecretStr
from sqlmodel import col

from models.agents import LlmProvider
from models.base import new_id, table_of
from models.budgets import Budget, BudgetScope, BudgetSpend, CallReservation
from models.costs import SLOTS, CostDay, ModelCall
from models.credentials import Credential, CredentialEventType, CredentialScope, CredentialStatus, CredentialType
from resolvers.costs.events import ALARMS
from resolvers.costs.money import micros
from resolvers.costs.reserving import alarm, states
from resolvers.credentials.references import value_of
from resolvers.credentials.vault import tell
from resolvers.inbox.events import InboxItemUpdated
from resolvers.kernel import (
    NO_SURFACE,
    NOW,
    Action,
    Bool,
    Caller,
    Code,
    CompletionFailed,
    Context,
    Id,
    Input,
    Int,
    Model,
    Output,
    Question,
    Refusal,
    Text,
    Unopenable,
    command,
    instance,
    log,
    price,
)

FENCED: Final = re.compile(r"\s*```[a-z]*\n(.*)\n```\s*", re.DOTALL)
SECONDS: Final = 90.0
LASTS: Final = timedelta(minutes=5)
"""How long money is set aside for a call whose process died."""
SLOT: Final = SLOTS + 1
"""Of sums: neither runs nor the keeper have it."""
MOST_LOOKED_AT: Final = 100
"""Keys: slots that nobody has filled come with them."""
VENDOR: Final = "https://api.anthropic.com"
SERVICE: Final = "models"
NOT_COVERED: Final = "What is left of the budget of the workspace does not cover the call"
SEALED: Final = "The key of the workspace cannot be opened"
Micros = Annotated[Int, Field(ge=0)]


class Key(NamedTuple):
    """`id` is that of the credential."""

    id: str
    value: SecretStr


class HoldCall(Input):
    """`most` is what the call costs at most, in millionths of a US dollar."""

    call_id: Id
    credential_id: Id
    purpose: Text
    most: Micros


class BookCall(Input):
    """Without an `answer` nothing is booked: what was set aside goes back."""

    call_id: Id
    purpose: Text
    model: Text
    answered: Bool
    input_tokens: Micros = 0
    output_tokens: Micros = 0
    estimated: Bool = False
    cost: Micros | None = None


class Held(Output):
    """Whether money was set aside, or none has to be."""

    refused: bool = False


async def key_of(ctx: Context, missing: Refusal) -> Key:
    """The workspace's oldest active key of Anthropic that is for all of it, opened; `missing` where there is none."""
    found = ctx.select(
        Credential,
        col(Credential.provider) == LlmProvider.ANTHROPIC.value,
        col(Credential.type) == CredentialType.API_KEY,
        col(Credential.status) == CredentialStatus.ACTIVE,
        col(Credential.scope) == CredentialScope.WORKSPACE.value,
        including_hidden=True,
    )
    oldest = await found.order_by(col(Credential.created_at), col(Credential.id)).limit(MOST_LOOKED_AT).all()
    filled = next((each for each in oldest if each.value is not None), None)
    if filled is None or filled.value is None:
        raise missing
    try:  # a store that does not give it is BAD_GATEWAY, too
        value = (await value_of(filled.id, filled.value, filled.secret_ref)).reveal()
    except Unopenable:
        log.warning("credential cannot be opened", credential_id=filled.id)
        raise Refusal(Code.BAD_GATEWAY, SEALED) from None
    return Key(filled.id, SecretStr(value.strip()))


async def ask(ctx: Context, key: Key, model: str, question: Question, purpose: str) -> str:
    """What the model says; BAD_GATEWAY where it does not, or where no budget covers the call. Before `begin()`."""
    address = instance.settings.anthropic_base_url or VENDOR
    by, call_id = Caller.service(SERVICE, ctx.workspace_id or ""), new_id()
    read = len((question.system + question.text).encode())  # bytes: no tokenizer makes more of them
    most = await _cost(address, model, read, question.most_tokens)
    told = {"call_id": call_id, "purpose": purpose}
    held = await hold_call(by, told | {"credential_id": key.id, "most": most or 0})
    if b"true" in (held.body or b""):
        raise Refusal(Code.BAD_GATEWAY, NOT_COVERED)
    asked = Model("anthropic", model, address, key.value, timeout=SECONDS)
    try:
        said = await ctx.outside.completions.complete(asked, question)
    except CompletionFailed as failed:
        await book_call(by, told | {"model": model, "answered": False})
        raise Refusal(Code.BAD_GATEWAY, str(failed)) from None
    used = {"input_tokens": said.input_tokens, "output_tokens": said.output_tokens}
    cost = await _cost(address, model, *used.values())
    booked = told | used | {"model": model, "answered": True, "estimated": said.estimated}
    await book_call(by, booked if cost is None else booked | {"cost": cost})
    return said.text


def unfenced(text: str) -> str:
    """What a model was asked for, where it has put a code fence around it."""
    fenced = FENCED.fullmatch(text)
    return text if fenced is None else fenced[1]


async def _cost(address: str, model: str, read: int, written: int) -> int | None:
    return micros(await asyncio.to_thread(price, address, model, read=read, wrote=written))


@command("model_calls.hold", Action.UPDATE, emits=(*ALARMS, InboxItemUpdated), surfaces=NO_SURFACE)
async def hold_call(ctx: Context, data: HoldCall) -> Held:
    """Set money aside for a call that no run makes.

    Of the workspace's budgets. The use of the key is told on its timeline.
    """
    found = await states(ctx, _whose())
    await alarm(ctx, found)
    held = [state for state in found if state.budget.hard_stop]
    if any(state.left <= 0 or state.left < data.most for state in held):
        return Held(refused=True)
    ends = await ctx.now() + LASTS
    for state in held:
        row = CallReservation(call_id=data.call_id, budget_id=state.budget.id, micros=data.most, expires_at=ends)
        ctx.record(row)
    tell(ctx, data.credential_id, CredentialEventType.USE, source=data.purpose)
    await ctx.update_where(Credential, col(Credential.id) == data.credential_id, last_used_at=NOW)
    return Held()


@command("model_calls.book", Action.UPDATE, emits=(*ALARMS, InboxItemUpdated), surfaces=NO_SURFACE)
async def book_call(ctx: Context, data: BookCall) -> None:
    """Book a call that no run has made.

    What was set aside for it is spent, or goes back.
    """
    found = await states(ctx, _whose())
    await ctx.delete_where(CallReservation, col(CallReservation.call_id) == data.call_id)
    await ctx.delete_where(CallReservation, col(CallReservation.expires_at) < await ctx.now())
    if not data.answered:
        return
    tokens: dict[str, Any] = {"input_tokens": data.input_tokens, "output_tokens": data.output_tokens}
    call = ModelCall(
        run_id=data.call_id,
        step=data.purpose,
        provider=LlmProvider.ANTHROPIC.value.lower(),
        model=data.model,
        cost_micros=data.cost,
        estimated=data.estimated,
        **tokens,
    )
    day = (await ctx.now()).astimezone(UTC).date()
    await ctx.lock(f"sums of calls without a run of {ctx.workspace_id}")
    of_day = {"day": day, "agent_id": "", "crew_id": "", "model": data.model}
    await _add(ctx, CostDay, of_day, calls=1, cost_micros=data.cost or 0, **tokens)
    for state in found if data.cost else ():
        await _add(ctx, BudgetSpend, {"budget_id": state.budget.id, "span": state.span}, micros=data.cost or 0)
    ctx.record(call)
    await alarm(ctx, await states(ctx, _whose()))


async def _add(ctx: Context, model: type[CostDay | BudgetSpend], key: dict[str, Any], **amounts: Any) -> None:
    """To the row of sums that is of calls without a run: who adds to it holds its lock, and runs do not add to it."""
    columns = table_of(model).c
    key |= {"slot": SLOT}
    more: dict[str, Any] = {name: columns[name] + amount for name, amount in amounts.items()}
    if not await ctx.update_where(model, *[columns[name] == value for name, value in key.items()], **more):
        await ctx.insert_all([model(**key, **amounts)])


def _whose() -> list[Any]:
    return [col(Budget.scope) == BudgetScope.workspace]
