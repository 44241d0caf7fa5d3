"""Deliveries to webhooks of routines: who may send them, and the run that each starts."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Final

import orjson
from pydantic import Field
from sqlmodel import col

from models.bounds import LINE, PAYLOAD, PROMPT
from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.staff.agents import WebhookScheme
from models.work.routine_runs import RoutineRun, RoutineRunStatus, RoutineTrigger
from models.work.routine_webhooks import SEEN_FOR, RoutineDelivery, RoutineWebhook, RoutineWebhookOutcome
from resolvers.identity.webhook_senders import SenderClaim, Unproven
from resolvers.kernel import (
    ENDS,
    Absent,
    Action,
    Auth,
    Code,
    Context,
    Input,
    Output,
    Refusal,
    Tenancy,
    command,
    instance,
    plus,
    within,
)
from resolvers.kernel.ground.inputs import validate
from resolvers.work.routine_runs.chains import DEEPEST
from resolvers.work.routine_runs.events import RoutineRunStarted, RoutineTriggerChanged
from resolvers.work.routine_runs.starting import limits_of, store_run
from resolvers.work.routine_runs.triggering import ReadyRun, check_member, ready_run
from resolvers.work.routine_webhooks.webhooks import create_routine_webhook, hash_of, opened

UNKNOWN: Final = "Unknown webhook"
UNPROVEN: Final = "Invalid webhook signature"
GONE: Final = "The routine of the webhook was deleted"
DEFAULT_RATE: Final = 600
"""Deliveries a minute (contract: routine_webhooks.create, rate_limit_per_min)."""
MINUTE: Final = timedelta(minutes=1)
TOO_DEEP: Final = f"More than {DEEPEST} runs led to each other by webhooks"
RESERVED: Final = frozenset({"event", "raw", "headers"})
RUN_HEADER: Final = "x_crewship_run"
UNSHOWN: Final = frozenset(
    {
        "authorization", "cookie", "proxy_authorization", "x_crewship_signature", "x_signature", "x_webhook_secret",
        "webhook_signature", "svix_signature", "x_hub_signature", "x_hub_signature_256", "stripe_signature",
        "x_slack_signature",
    }
)  # fmt: skip
"""Headers that prove something: runs, which members read, do not show them."""
OUTCOMES: Final = {
    RoutineRunStatus.completed: RoutineWebhookOutcome.COMPLETED,
    RoutineRunStatus.failed: RoutineWebhookOutcome.FAILED,
    RoutineRunStatus.interrupted: RoutineWebhookOutcome.FAILED,
    RoutineRunStatus.cancelled: RoutineWebhookOutcome.CANCELLED,
    RoutineRunStatus.waiting: RoutineWebhookOutcome.WAITING,
}

HeaderName = Annotated[str, Field(strict=True, max_length=LINE)]
HeaderValue = Annotated[str, Field(strict=True, max_length=PROMPT)]


class ByWebhookToken(Input):
    """The token at the end of the address."""

    token: Annotated[str, Field(strict=True, max_length=LINE)]


class FireRoutineWebhook(ByWebhookToken):
    """The body is the event, in any form. `headers` are the headers of the request."""

    headers: Annotated[dict[HeaderName, HeaderValue], Field(max_length=200)] = {}


class DeliveredEvent(Input):
    """An event that is kept as a value."""

    most_values: ClassVar[int] = 50_000

    event: Annotated[Any, within(PAYLOAD), ENDS] = None


class DeliveryAccepted(Output):
    """`status` is PENDING, or DEDUPED with the run of the first delivery. `challenge` repeats the sender's challenge,
    for which no run starts.
    """

    run_id: str
    status: str
    deduped: bool
    challenge: Annotated[str | None, Absent()] = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A verified delivery: the hashes by which it is known, and the number of runs that led to it."""

    key: str
    proof: str | None
    depth: int


async def _found(ctx: Context, token: str) -> RoutineWebhook:
    """The enabled webhook of a token; the call continues in its workspace."""
    hashed = hash_of(token)
    place = await ctx.place_by_secret(RoutineWebhook.token_hash, hashed)
    if place is None:
        raise Refusal(Code.NOT_FOUND, UNKNOWN)
    await ctx.enter(place)
    return await ctx.select(RoutineWebhook, col(RoutineWebhook.token_hash) == hashed, col(RoutineWebhook.enabled)).one(
        UNKNOWN
    )


async def signed(ctx: Context, data: ByWebhookToken | None) -> None:
    """Checks the token, then the signature. A sender learns no reason."""
    webhook = await _found(ctx, "" if data is None else data.token)
    claim, secret = ctx.caller.webhook, await opened(webhook)
    if claim is None or secret is None or claim.sender != webhook.scheme:
        raise Refusal(Code.UNAUTHENTICATED, UNPROVEN)
    try:
        now = instance.clock.seconds()
        claim.verify(ctx.caller.body, secret=secret.reveal(), require_timestamp=False, now=now)
    except Unproven:
        raise Refusal(Code.UNAUTHENTICATED, UNPROVEN) from None


@command(
    "routine_webhooks.fire",
    Action.NONE,
    auth=Auth.WEBHOOK,
    tenancy=Tenancy.NONE,
    allow=signed,
    emits=(RoutineRunStarted, RoutineTriggerChanged),
    errors=(Code.UNAUTHENTICATED, Code.NOT_FOUND, Code.CONFLICT, Code.UNPROCESSABLE, Code.RATE_LIMITED),
    writes_on_refusal=True,
    late=True,
)
async def fire_routine_webhook(ctx: Context, data: FireRoutineWebhook) -> DeliveryAccepted:
    """Start a run of a routine by a webhook.

    The body, of at most 1 MiB, is signed with the secret of the webhook: `X-Crewship-Signature` is the hexadecimal
    HMAC-SHA256 of the body, or of `<X-Crewship-Timestamp>.<body>`, or the signature of the scheme of the webhook. The
    run gets the inputs `event`, `raw` and `headers`, without headers that prove something, and continues without the
    sender. Its requests are held to restricted networks.

    A delivery accepted within 24 hours starts no second run; it is known by `Idempotency-Key`, otherwise
    `X-Crewship-Event-ID`, otherwise its signature and body, and with a signed time also by its signature. A failed run
    can be delivered again. A delivery by a run of the workspace counts the runs that led to it, and more than eight are
    refused.
    """
    webhook, claim = await _found(ctx, data.token), ctx.caller.webhook
    assert claim is not None
    place, body = ctx.workspace_id or "", ctx.caller.body
    if (challenge := _challenge_of(claim, body)) is not None:
        return DeliveryAccepted(run_id="", status="PENDING", deduped=False, challenge=challenge)
    _check_rate(webhook, await ctx.now())
    delivery = Delivery(_key_of(data.token, claim, body), _proof_of(claim), await _depth_of(ctx, data.headers))
    ready: ReadyRun | None = None
    fault: Refusal | None = None
    known = await _known(ctx, webhook, delivery)
    if known is None:
        try:
            inputs = await asyncio.to_thread(inputs_of, webhook.inputs_template, data.headers, body)
            routine, version = webhook.routine_id, webhook.routine_version
            ready = await ready_run(ctx, routine, version, inputs, **limits_of(inputs, restricted=True))
            fault = Refusal(Code.CONFLICT, GONE) if ready is None else None
        except Refusal as refusal:
            fault = refusal
    await ctx.begin()
    await ctx.enter(place)
    return await _accept(ctx, webhook.id, delivery, ready, fault)


async def _accept(
    ctx: Context, webhook_id: str, delivery: Delivery, ready: ReadyRun | None, fault: Refusal | None
) -> DeliveryAccepted:
    """In the transaction, under the webhook's lock: of two deliveries at once the second finds the first."""
    here = (col(RoutineWebhook.id) == webhook_id, col(RoutineWebhook.enabled))
    webhook = await ctx.select(RoutineWebhook, *here).locked().one(UNKNOWN)
    now = await ctx.now()
    counted = _counted(webhook, now)
    known = await _known(ctx, webhook, delivery)
    if known is not None:
        outcome = {"last_status": RoutineWebhookOutcome.DEDUPED, "last_run_id": known.run_id}
        await _note(ctx, webhook, counted | outcome | {"last_fired_at": now, "fire_count": plus(1)})
        return DeliveryAccepted(run_id=known.run_id, status="DEDUPED", deduped=True)
    try:
        if delivery.depth > DEEPEST:
            _tell_of_depth(ctx, webhook, delivery.depth)
            raise Refusal(Code.CONFLICT, TOO_DEEP)
        if ready is None:
            raise fault or Refusal(Code.CONFLICT, "The delivery was known when it came; send it again")
        await check_member(ctx, webhook.run_as_id, create_routine_webhook)
        cause: dict[str, Any] = {
            "triggered_via": RoutineTrigger.webhook,
            "triggered_by_id": webhook.id,
            "webhook_id": webhook.id,
            "restricted": True,
            "chain_depth": delivery.depth,
            "pinned": ready.pinned,
            "invoking_user_id": webhook.run_as_id,
        }
        run = await store_run(ctx, ready.version, ready.prepared, cause)
    except Refusal as refusal:
        if refusal.constraint is not None:
            raise
        failed = {"last_status": RoutineWebhookOutcome.FAILED, "last_run_id": None}
        await _note(ctx, webhook, counted | failed | {"last_fired_at": now, "fire_count": plus(1)})
        refusal.commit = True
        raise
    known_by: dict[str, Any] = {"key": delivery.key, "proof": delivery.proof, "created_at": now}
    row = RoutineDelivery(webhook_id=webhook.id, run_id=run.id, **known_by)
    await ctx.update(RoutineWebhook, webhook.id, **counted)
    await ctx.delete_where(RoutineDelivery, *_older(webhook, delivery))
    await ctx.insert_all([row])
    ctx.audit("ROUTINE_RUN", run.id, action="routine_run.started", webhook_id=webhook.id)
    return DeliveryAccepted(run_id=run.id, status="PENDING", deduped=False)


async def _note(ctx: Context, webhook: RoutineWebhook, changes: dict[str, Any]) -> None:
    await ctx.update(RoutineWebhook, webhook.id, **changes)
    ctx.emit(RoutineTriggerChanged(id=webhook.id))


async def settle_webhook(ctx: Context, run: RoutineRun) -> None:
    """Records how a run ended, or that it waits. The delivery of one that failed may be repeated."""
    webhook = await ctx.select(RoutineWebhook, col(RoutineWebhook.id) == run.webhook_id).locked().first()
    outcome = OUTCOMES.get(run.status)
    if outcome is None:
        return
    if outcome is RoutineWebhookOutcome.FAILED:
        await ctx.delete_where(RoutineDelivery, col(RoutineDelivery.run_id) == run.id)
    if webhook is None:
        return
    ended = {} if outcome is RoutineWebhookOutcome.WAITING else {"fire_count": plus(1)}
    shown = {"last_fired_at": run.started_at, "last_status": outcome, "last_run_id": run.id}
    is_newer = webhook.last_fired_at is None or run.started_at >= webhook.last_fired_at
    if changes := (shown if is_newer else {}) | ended:
        await _note(ctx, webhook, changes)


# ---- what a delivery is known by -------------------------------------------------------------------------------------


def _key_of(token: str, claim: SenderClaim, body: bytes) -> str:
    try:
        named = claim.replay_id(body)
    except Refusal:  # the sender's id is in a body that is no object
        named = ""
    if named:
        return hash_of(f"delivery {named}")
    return hash_of(f"{hash_of(token)} {claim.proof.lower()} {hash_of(body.decode('latin-1'))}")


def _proof_of(claim: SenderClaim) -> str | None:
    """A signature over a time is made once; one over a body alone is that of each event like it."""
    is_once = claim.timestamp is not None or claim.sender is not WebhookScheme.crewship
    return hash_of(f"signature {claim.proof.lower()}") if is_once else None


async def _known(ctx: Context, webhook: RoutineWebhook, delivery: Delivery) -> RoutineDelivery | None:
    lately = (
        col(RoutineDelivery.webhook_id) == webhook.id,
        col(RoutineDelivery.created_at) > await ctx.now() - SEEN_FOR,
    )
    known = await ctx.select(RoutineDelivery, *lately, col(RoutineDelivery.key) == delivery.key).first()
    if known is None and delivery.proof is not None:
        known = await ctx.select(RoutineDelivery, *lately, col(RoutineDelivery.proof) == delivery.proof).first()
    return known


def _older(webhook: RoutineWebhook, delivery: Delivery) -> tuple[Any, Any]:
    """The same delivery of more than a day ago."""
    return col(RoutineDelivery.webhook_id) == webhook.id, col(RoutineDelivery.key) == delivery.key


def _challenge_of(claim: SenderClaim, body: bytes) -> str | None:
    try:
        return claim.challenge(body)
    except Refusal:
        return None


# ---- limits ----------------------------------------------------------------------------------------------------------


def _check_rate(webhook: RoutineWebhook, now: datetime) -> None:
    most = webhook.rate_limit_per_min if webhook.rate_limit_per_min > 0 else DEFAULT_RATE
    began = webhook.minute_began_at
    if began is not None and now - began < MINUTE and webhook.minute_count >= most:
        text = f"At most {most} deliveries a minute"
        raise Refusal(Code.RATE_LIMITED, text, extra={"retry_after": 60})


def _counted(webhook: RoutineWebhook, now: datetime) -> dict[str, Any]:
    """The columns of the count with one delivery more; raises RATE_LIMITED."""
    _check_rate(webhook, now)
    began = webhook.minute_began_at
    if began is None or now - began >= MINUTE:
        return {"minute_began_at": now, "minute_count": 1}
    return {"minute_count": webhook.minute_count + 1}


async def _depth_of(ctx: Context, headers: dict[str, str]) -> int:
    """The number of runs that led to a delivery: requests of runs name them. Only runs of the workspace count."""
    name = headers.get(RUN_HEADER)
    run = await ctx.select(RoutineRun, col(RoutineRun.id) == name).first() if name else None
    return 0 if run is None else run.chain_depth + 1


def _tell_of_depth(ctx: Context, webhook: RoutineWebhook, depth: int) -> None:
    ctx.record(
        JournalEntry(
            entry_type="automation.depth_exceeded",
            severity=Severity.error,
            actor_type=JournalActor.orchestrator,
            actor_id=webhook.id,
            summary=f"A webhook refused a delivery behind {depth} runs that led to each other",
            payload={"chain_depth": depth, "max_chain_depth": DEEPEST, "edge": "webhook"},
        )
    )


# ---- inputs ----------------------------------------------------------------------------------------------------------


def inputs_of(template: dict[str, Any], headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """The inputs of a run. A body that is no JSON is a text, and an empty one null."""
    raw = body.decode(errors="replace")
    try:
        event = orjson.loads(body) if body.strip() else None
    except orjson.JSONDecodeError:
        event = raw.replace("\0", "")
    event = validate(DeliveredEvent, {"event": event}).event
    shown = {name: value.replace("\0", "") for name, value in headers.items() if name not in UNSHOWN}
    own = {name: value for name, value in template.items() if name not in RESERVED}
    return own | {"event": event, "raw": raw.replace("\0", ""), "headers": shown}
