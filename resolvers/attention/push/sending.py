"""Pushes: the notices that a browser receives, and their way through a push service.

What needs attention is asked of the list itself, as the person, with the session or token that the browser was
registered with. So a browser receives exactly what its owner would see, and nothing once the access has ended.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import column, select
from sqlalchemy.types import Text as SQLText
from sqlmodel import col

from models.attention.push import PushKey, PushNotice, PushState, PushSubscription
from models.bounds import LINE, cut
from models.people.workspaces import Workspace
from resolvers.attention.inbox.attention import list_attention
from resolvers.attention.inbox.following import ATTENTION
from resolvers.attention.inbox.kinds import AttentionKind
from resolvers.attention.push.encryption import MOST, authorization, encrypted, from_text
from resolvers.attention.push.keys import opened, signing_key
from resolvers.instance.outbound import Policy
from resolvers.instance.ports import in_a_line
from resolvers.kernel import (
    NOW,
    AcrossWorkspaces,
    Caller,
    Code,
    Context,
    CredentialKind,
    Id,
    Input,
    Refusal,
    clock,
    instance,
    job,
)
from resolvers.kernel.background.followers import follow, news
from resolvers.kernel.background.following import ROWS, ListenerQuestion, place_at, rows_of
from resolvers.kernel.declarations.row_events import LEVELS, PART
from resolvers.kernel.reader import Column, Item, Nested, Shape
from resolvers.rules.redaction import Redactor

TIMEOUT = 15.0  # seconds
ANSWER = 512  # bytes that are read of an answer
PAGE = 100  # changes that are looked at together
PAUSES = [timedelta(seconds=s) for s in (5, 30, 120, 600, 1800, 3600)]
"""After the first failure, the second, …; from then on the last."""
LIFE: Final = timedelta(days=1)
"""A notice that is not delivered by then is given up; a push service keeps one for a phone that is off as long."""
GONE: Final = frozenset({404, 410})
BUSY: Final = 429
TEST: Final = "test"
BODY: Final = 600  # characters
ENDED: Final = frozenset({Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.NOT_FOUND})
SAYS: Final = {
    AttentionKind.approval: "Approval needed",
    AttentionKind.question: "An agent has a question",
    AttentionKind.task: "A task waits for approval",
    AttentionKind.failed_run: "A run failed",
    AttentionKind.stuck_run: "A run is stuck",
    AttentionKind.budget: "A budget is reached",
    AttentionKind.work_pause: "Work is paused",
    AttentionKind.mission_pause: "A mission is paused",
    AttentionKind.review: "Work to review",
    AttentionKind.credential: "A credential has expired",
    AttentionKind.inbox_item: "New in the inbox",
}
ACTS: Final = {
    AttentionKind.approval: (("approve", "Approve"), ("deny", "Deny")),
    AttentionKind.task: (("approve", "Approve"), ("deny", "Reject")),
    AttentionKind.question: (("answer", "Answer"),),
}
"""Buttons of a notification. They open its page, where the decision is made."""


class OfSubscription(Input):
    subscription_id: Id


DELIVER = job("push.deliver", OfSubscription, unique="{subscription_id}", serial=True)
"""Sends one browser what is new for its owner, one notice after the other."""
FOLLOW = clock("push.follow", every=timedelta(seconds=1), when=news("push", PushSubscription))
"""Reads the outbox for workspaces with subscribed browsers."""
NODE = "node"


def _edges(*fields: Item) -> Shape:
    return rows_of((Nested(NODE, None, Shape(fields)),))


_NAMED = Shape((Column("name", "name"),))
_CHANGES = _edges(
    Column("id", "id"), Column("kind", "kind"), Nested("attention", "attention", Shape((Column("id", "id"),)))
)
_ENTRIES = _edges(
    Column("urgency", "urgency"),
    Column("id", "id"),
    Column("title", "title"),
    Nested("crew", "crew", _NAMED),
    Nested("agent", "agent", _NAMED),
)


async def distribute(rows: AcrossWorkspaces) -> bool:
    """Enqueues a job for each browser of the workspaces in which what needs attention may have changed.
    Returns whether there may be more.
    """
    events, more = await follow(rows, "push", PushSubscription, (), parts=True)
    first = {event["workspace_id"]: int(event["xid"]) for event in reversed(events)}
    places = [place for place, transaction in first.items() if await _concerned(rows, place, transaction)]
    if places:
        here = col(PushSubscription.workspace_id).in_(places)
        for row in await rows.everywhere.select(PushSubscription, here):
            rows.enqueue(DELIVER, row["workspace_id"], subscription_id=row["id"])
    return more


async def _concerned(rows: AcrossWorkspaces, place: str, transaction: int) -> bool:
    """Returns true if events from a transaction on may change the list of any member, by the list's own function."""
    from sqlalchemy import func

    parts = ["", *[f"{PART}{level}" for level in LEVELS]]
    found = func.attention_changes(place, "", parts, place_at(transaction), 1)
    change = found.table_valued(column("seen", SQLText()), name="change")
    return bool(await rows.everywhere.report(select(change.c.seen)))


# ---- what is new ------------------------------------------------------------------------------------------


class Device(NamedTuple):
    """A subscription, with the address of its workspace and the key that signs."""

    subscription: PushSubscription
    slug: str
    workspace: str
    key: PushKey

    @property
    def caller(self) -> Caller:
        """The owner, who is away: reads on behalf of a browser are no use of the session."""
        one = self.subscription
        kind = CredentialKind.SESSION_TICKET if one.session_id else CredentialKind.TOKEN_TICKET
        return Caller(kind, one.session_id or one.token_id or "", away=True)


class NewsOfDevice(NamedTuple):
    """Entries by id: `listed` ones need attention, `gone` ones do not any more. `position`: behind the last change."""

    position: str
    listed: list[str]
    gone: list[str]
    more: bool


@dataclass(frozen=True, slots=True)
class PushOutcome:
    """`status` is None if no push service answered. `wait`: what it asked for."""

    status: int | None = None
    error: str | None = None
    wait: timedelta = timedelta()
    again: bool = False

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


async def device_of(ctx: Context, data: OfSubscription) -> Device | None:
    one = await ctx.select(PushSubscription, col(PushSubscription.id) == data.subscription_id).first()
    key = None if one is None else await signing_key(ctx)
    if one is None or key is None:
        return None
    place = await ctx.get(Workspace, one.workspace_id)
    return Device(one, place.slug, place.name, key)


async def look(device: Device) -> NewsOfDevice | None:
    """Returns what has changed for the owner since the last look; None if the owner may not read it any more."""
    one = device.subscription
    question = ListenerQuestion(ATTENTION, {}, one.workspace_id, _CHANGES)
    try:
        found = await question.rows(device.caller, one.position, PAGE)
        changes = [change[NODE] for _, change in found]
        listed = [change["id"] for change in changes if change["attention"] and change["kind"] in one.kinds]
        gone = [change["id"] for change in changes if change["id"] and not change["attention"]]
        if any(change["id"] is None for change in changes):  # any entry may have changed
            since = one.created_at.astimezone(UTC).isoformat()
            listed += [entry["id"] for entry in await _entries(device, {"kind": one.kinds, "since": since})]
    except Refusal as refusal:
        if refusal.code in ENDED:
            return None
        raise
    position = found[-1][0] if found else one.position
    return NewsOfDevice(position, list(dict.fromkeys(listed)), list(dict.fromkeys(gone)), len(found) == PAGE)


async def _entries(device: Device, filters: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await list_attention(
        device.caller, {**filters, "first": PAGE}, _ENTRIES, (), device.subscription.workspace_id
    )
    return [row[NODE] for row in orjson.loads(answer.body or b"{}").get(ROWS, ())]


async def note_news(ctx: Context, one: PushSubscription, news: NewsOfDevice) -> None:
    """Each entry once, as long as it is listed; and never behind a place twice."""
    moved = await ctx.update_where(PushSubscription, col(PushSubscription.id) == one.id, position=news.position)
    if not moved:
        return
    of_device = col(PushNotice.subscription_id) == one.id
    listed = set(news.listed)
    gone = [entry for entry in news.gone if entry not in listed]
    if gone:
        await ctx.delete_where(PushNotice, of_device, col(PushNotice.entry).in_(gone))
    known = (
        {notice.entry for notice in await ctx.select(PushNotice, of_device, col(PushNotice.entry).in_(listed)).all()}
        if listed
        else set()
    )
    await ctx.insert_all(
        [PushNotice(subscription_id=one.id, entry=entry) for entry in news.listed if entry not in known]
    )


async def next_notice(ctx: Context, one: PushSubscription) -> PushNotice | None:
    waiting = (col(PushNotice.subscription_id) == one.id, col(PushNotice.state) == PushState.pending)
    return await ctx.select(PushNotice, *waiting).order_by(col(PushNotice.created_at), col(PushNotice.id)).first()


async def message_of(device: Device, notice: PushNotice, now: datetime) -> dict[str, Any] | None:
    """Returns what the browser shows; None if the entry needs nothing from its owner any more. Raises Refusal."""
    shown: dict[str, Any] = {"tag": notice.entry, "at": int(now.timestamp() * 1000)}
    place = f"/console/{device.slug}"
    kind, _, subject_id = notice.entry.partition(":")
    if kind == TEST:
        return shown | {
            "title": "Notifications work",
            "body": device.workspace,
            "url": f"{place}/account/notifications",
        }
    if now - notice.created_at > LIFE:
        return None
    found = await _entries(device, {"kind": [kind], "subject_id": subject_id})
    if not found:
        return None
    entry = found[0]
    by = [entry[edge]["name"] for edge in ("agent", "crew") if entry[edge]]
    lines = [Redactor().redact(entry["title"]), " · ".join([*by, device.workspace])]
    return shown | {
        "title": SAYS[AttentionKind(kind)],
        "body": cut("\n".join(in_a_line(line, BODY // 2) for line in lines if line), BODY),
        "url": f"{place}/act/{kind}/{subject_id}",
        "urgent": entry["urgency"] == 1,
        "acts": ACTS.get(AttentionKind(kind), ()),
    }


# ---- delivery -------------------------------------------------------------------------------------------------------


async def send(device: Device, message: dict[str, Any], now: datetime) -> PushOutcome:
    """One attempt. A redirect is an answer like any other: it is not followed."""
    one = device.subscription
    body = orjson.dumps(message)
    if len(body) > MOST:
        body = orjson.dumps(message | {"body": "", "acts": ()})
    opened_secret = await instance.vault.open(one.auth, table=PushSubscription, column="auth", row_id=one.id)
    sealed = encrypted(body, from_text(one.p256dh), from_text(opened_secret.reveal()))
    contact = instance.settings.public_url or "mailto:crewship@localhost"
    signed = authorization(one.endpoint, await opened(device.key), device.key.public, contact, now)
    headers = {
        "authorization": signed,
        "content-encoding": "aes128gcm",
        "content-type": "application/octet-stream",
        "ttl": str(int(LIFE.total_seconds())),
        "topic": topic_of(message["tag"]),
        "urgency": "high" if message.get("urgent", True) else "normal",
    }
    policy = Policy.PRIVATE_TOO if instance.settings.hooks_allow_private else Policy.PUBLIC
    try:
        async with instance.http(policy, timeout=TIMEOUT, most=ANSWER, cut=True) as http:
            answer = await http.post(one.endpoint, sealed, headers=headers)
    except Refusal as refusal:
        return PushOutcome(error=cut(refusal.detail, LINE), again=refusal.code is Code.BAD_GATEWAY)
    if 200 <= answer.status < 300:
        return PushOutcome(answer.status)
    busy = answer.status == BUSY or answer.status >= 500
    error = f"The push service answers {answer.status}"
    return PushOutcome(answer.status, error, _asked_pause(answer.headers.get("retry-after", ""), now), busy)


def topic_of(entry: str) -> str:
    """One that is not delivered yet is replaced by a later one of the same topic (RFC 8030: 32 letters)."""
    return base64.urlsafe_b64encode(hashlib.sha256(entry.encode()).digest())[:32].decode()


def _asked_pause(header: str, now: datetime) -> timedelta:
    """Seconds or a date, up to a day."""
    try:
        asked = timedelta(seconds=int(header)) if header.isdigit() else parsedate_to_datetime(header) - now
    except (ValueError, TypeError, OverflowError):
        return timedelta()
    return max(timedelta(), min(asked, LIFE))


async def note_outcome(ctx: Context, device: Device, notice: PushNotice, outcome: PushOutcome, now: datetime) -> None:
    """Sent, to be tried again, or given up; the subscription goes if the push service does not know it any more."""
    one = device.subscription
    if outcome.status in GONE:
        return await forget(ctx, one)
    await ctx.update_where(PushNotice, col(PushNotice.id) == notice.id, attempts=notice.attempts + 1)
    if outcome.taken:
        await close(ctx, notice, PushState.sent)
        changes: dict[str, Any] = {"failures": 0, "last_error": None, "next_attempt_at": None, "last_success_at": NOW}
    else:
        pause = max(PAUSES[min(one.failures, len(PAUSES) - 1)], outcome.wait)
        changes = {"failures": one.failures + 1, "last_error": outcome.error}
        if outcome.again:
            changes["next_attempt_at"] = now + pause
        else:
            await close(ctx, notice, PushState.dropped)
    await ctx.update_where(PushSubscription, col(PushSubscription.id) == one.id, **changes)


async def close(ctx: Context, notice: PushNotice, state: PushState) -> None:
    await ctx.update_where(PushNotice, col(PushNotice.id) == notice.id, state=state)


async def forget(ctx: Context, one: PushSubscription) -> None:
    await ctx.delete_where(PushSubscription, col(PushSubscription.id) == one.id)
