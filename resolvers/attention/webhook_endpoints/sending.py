"""Delivery of events to endpoints: put into lanes in order, sent one after the other in each lane, signed as Standard
Webhooks specify, and retried for a day.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlmodel import col

from models.attention.inbox import InboxKind, InboxPriority, SenderType
from models.attention.webhook_endpoints import (
    ANSWER,
    LANES,
    DeliveryState,
    WebhookDelivery,
    WebhookEndpoint,
    delivery_id,
)
from models.base import new_id
from models.bounds import LINE, cut
from models.people.workspaces import Role
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import put
from resolvers.instance.outbound import Policy
from resolvers.kernel import NOW, AcrossWorkspaces, Context, Id, Input, Refusal, clock, instance, job
from resolvers.kernel.background.followers import follow, news

TIMEOUT = 15.0  # seconds
PAUSES = [timedelta(seconds=s) for s in (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 32400)]
"""Before the second attempt, the third, …: a day in all."""
LONG = timedelta(days=1)
GONE = 410
TEST = "webhook.test"
"""The type of a delivery that a person asks for: it is sent once, and says nothing of the endpoint."""
NEVER = frozenset({"access.changed"})
IDS = ("mission_id", "run_id", "id", "agent_id", "crew_id", "key")


class OfLane(Input):
    endpoint_id: Id
    lane: Id


DELIVER = job("webhook_endpoints.deliver", OfLane, unique="{endpoint_id}:{lane}", serial=True, emits=InboxItemUpdated)
"""The deliveries of one lane, in order."""
FOLLOW = clock("webhook_endpoints.follow", every=timedelta(seconds=1), when=news("webhook_endpoints"))
"""Reads the outbox for subscribed endpoints."""
SUBSCRIBED = (col(WebhookEndpoint.enabled),)


def subject_of(event: Any) -> str:
    """The subject of an event: events with the same subject are delivered in order."""
    named = next((str(event["payload"][key]) for key in IDS if event["payload"].get(key)), event["channel"])
    return cut(named, LINE)


def lane_of(subject: str) -> int:
    return int.from_bytes(hashlib.sha256(subject.encode()).digest()[:4], "big") % LANES


async def distribute(rows: AcrossWorkspaces) -> bool:
    """Puts new events into the lanes of subscribed endpoints. Returns whether there may be more."""
    events, more = await follow(rows, "webhook_endpoints", WebhookEndpoint, SUBSCRIBED)
    endpoints = await _endpoints_of(rows, events) if events else []
    made = list[WebhookDelivery]()
    for event in events:
        subject = subject_of(event)
        for endpoint in endpoints:
            same = endpoint["workspace_id"] == event["workspace_id"] and event["type"] not in NEVER
            if same and not {event["type"], "*"}.isdisjoint(endpoint["event_types"]):
                delivery = WebhookDelivery(
                    id=delivery_id(),
                    endpoint_id=endpoint["id"],
                    event_type=event["type"],
                    subject=subject,
                    lane=lane_of(subject),
                    payload=event["payload"],
                    xid=int(event["xid"]),
                    seq=event["seq"],
                    happened_at=event["created_at"],
                )
                delivery.workspace_id = event["workspace_id"]
                made.append(delivery)
    await rows.everywhere.insert_all(made)
    for workspace_id, endpoint_id, lane in sorted({(row.workspace_id, row.endpoint_id, row.lane) for row in made}):
        rows.enqueue(DELIVER, workspace_id, endpoint_id=endpoint_id, lane=str(lane))
    return more


async def _endpoints_of(rows: AcrossWorkspaces, events: Sequence[Any]) -> list[Any]:
    """Enabled endpoints of the workspaces in which something has happened."""
    places = list({event["workspace_id"] for event in events})
    columns = ("id", "workspace_id", "event_types")
    return await rows.everywhere.select(
        WebhookEndpoint, *SUBSCRIBED, col(WebhookEndpoint.workspace_id).in_(places), columns=columns
    )


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """The response of a receiver, or the reason why there is none."""

    status: int | None = None
    answer: str | None = None
    error: str | None = None

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


async def next_of(ctx: Context, data: OfLane) -> tuple[WebhookEndpoint, WebhookDelivery] | None:
    """The first delivery of a lane; None if it is empty, or the endpoint is deleted or disabled."""
    live = (col(WebhookEndpoint.id) == data.endpoint_id, col(WebhookEndpoint.enabled))
    endpoint = await ctx.select(WebhookEndpoint, *live).first()
    lane = (
        col(WebhookDelivery.endpoint_id) == data.endpoint_id,
        col(WebhookDelivery.lane) == int(data.lane),
        col(WebhookDelivery.state) == DeliveryState.pending,
    )
    in_order = (col(WebhookDelivery.xid), col(WebhookDelivery.seq))
    delivery = None if endpoint is None else await ctx.select(WebhookDelivery, *lane).order_by(*in_order).first()
    return None if endpoint is None or delivery is None else (endpoint, delivery)


async def send(
    endpoint: WebhookEndpoint, delivery: WebhookDelivery, now: datetime, traceparent: str | None = None
) -> DeliveryOutcome:
    """One attempt. A redirect is an answer like any other: it is not followed. `traceparent`: of the event's run."""
    told = {"type": delivery.event_type, "timestamp": delivery.happened_at, "data": delivery.payload}
    body = orjson.dumps(told | {"workspace_id": delivery.workspace_id}, option=orjson.OPT_UTC_Z)
    policy = Policy.PRIVATE_TOO if instance.settings.hooks_allow_private else Policy.PUBLIC
    traced = {"traceparent": traceparent} if traceparent else {}
    try:
        async with instance.http(policy, timeout=TIMEOUT, most=ANSWER, cut=True) as http:
            headers = await signed(endpoint, delivery.id, body, now) | traced
            answer = await http.post(endpoint.url, body, headers=headers)
    except Refusal as refusal:
        return DeliveryOutcome(error=cut(refusal.detail, LINE))
    text = answer.body.decode(errors="replace").replace("\0", "")
    return DeliveryOutcome(
        answer.status, text[:ANSWER], None if answer.status < 300 else f"The receiver answers {answer.status}"
    )


async def signed(endpoint: WebhookEndpoint, id: str, body: bytes, now: datetime) -> dict[str, str]:
    """The headers of Standard Webhooks; with a signature by each secret that holds."""
    stamp = str(int(now.timestamp()))
    columns = ["secret"]
    if endpoint.old_secret is not None and endpoint.old_secret_until is not None and endpoint.old_secret_until > now:
        columns.append("old_secret")
    signatures = []
    for column in columns:
        sealed = getattr(endpoint, column)
        opened = await instance.vault.open(sealed, table=WebhookEndpoint, column=column, row_id=endpoint.id)
        key = base64.b64decode(opened.reveal().partition("_")[2])
        made = hmac.new(key, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()
        signatures.append(f"v1,{base64.b64encode(made).decode()}")
    return {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": stamp,
        "webhook-signature": " ".join(signatures),
    }


async def note(ctx: Context, delivery: WebhookDelivery, outcome: DeliveryOutcome, now: datetime) -> None:
    """Records the result of an attempt: delivered, to be retried, or given up after a day."""
    attempts = delivery.attempts + 1
    known: dict[str, Any] = {
        "attempts": attempts, "status": outcome.status, "answer": outcome.answer, "error": outcome.error,
        "next_attempt_at": None,
    }  # fmt: skip
    if outcome.taken:
        known |= {"state": DeliveryState.delivered, "delivered_at": NOW}
    elif attempts > len(PAUSES) or delivery.event_type == TEST:
        known |= {"state": DeliveryState.failed}
    else:
        known |= {"next_attempt_at": now + PAUSES[attempts - 1]}
    await ctx.update(WebhookDelivery, delivery.id, **known)
    if delivery.event_type == TEST:
        return
    endpoint = await ctx.select(WebhookEndpoint, col(WebhookEndpoint.id) == delivery.endpoint_id).locked().first()
    if endpoint is None:
        return
    if outcome.taken:
        if endpoint.failing_since is not None:
            await ctx.update_where(WebhookEndpoint, col(WebhookEndpoint.id) == endpoint.id, failing_since=None)
        return
    since = endpoint.failing_since or now
    if endpoint.failing_since is None:
        await ctx.update_where(WebhookEndpoint, col(WebhookEndpoint.id) == endpoint.id, failing_since=now)
    if endpoint.enabled and (outcome.status == GONE or now - since >= LONG):
        await _disable(ctx, endpoint, outcome)


async def _disable(ctx: Context, endpoint: WebhookEndpoint, outcome: DeliveryOutcome) -> None:
    """Disables an endpoint and notifies the managers of the workspace each time."""
    await ctx.update_where(WebhookEndpoint, col(WebhookEndpoint.id) == endpoint.id, enabled=False)
    why = "it says that it is gone" if outcome.status == GONE else "it has failed for a day"
    await put(
        ctx,
        InboxKind.message,
        f"webhook_disabled_{endpoint.id}_{new_id()}",
        subject=None,
        target_role=Role.ADMIN,
        title=cut(f"Webhook endpoint {endpoint.name} was disabled: {why}", LINE * 3),
        body_md=outcome.error,
        sender_type=SenderType.system,
        sender_name="Webhooks",
        priority=InboxPriority.high,
        payload={"webhook_endpoint_id": endpoint.id, "status": outcome.status},
    )
