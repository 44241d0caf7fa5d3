"""Browsers of the caller that receive pushes: list, register, change, remove, and a test."""

from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import and_, cast, func, or_, select
from sqlalchemy.types import Text as SQLText
from sqlmodel import col

from models import bounds
from models.attention.push import ENDPOINT, POINT, PushNotice, PushSubscription
from models.base import new_id
from models.people.auth import CliToken, Session
from resolvers.attention.inbox.kinds import AttentionKind
from resolvers.attention.push.encryption import SECRET, from_text, public_of, to_text
from resolvers.attention.push.sending import DELIVER, TEST
from resolvers.instance.addresses import is_public_address, parse_address
from resolvers.kernel import (
    GRAPHQL_ONLY,
    MOST_LISTED,
    TRIMMED,
    Action,
    ById,
    Code,
    Context,
    CredentialKind,
    Deleted,
    Input,
    NoInput,
    Patch,
    QueryScope,
    Refusal,
    Rows,
    Subject,
    Success,
    at_most,
    command,
    graph,
    instance,
    query,
)
from resolvers.kernel.background.following import place_at
from resolvers.kernel.ground.pace import Pace

MOST = 20
FIRST_LOOK = timedelta(seconds=30)
FULL = f"You already have {MOST} devices in this workspace, the maximum: remove one first"
TESTS = Pace(5, "Too many tests; try again in a minute")
USUAL = [AttentionKind.approval, AttentionKind.question, AttentionKind.task, AttentionKind.failed_run]
SUBSCRIPTION = Subject(PushSubscription, "id", called="Push subscription")
NEWEST_FIRST = (col(PushSubscription.created_at).desc(), col(PushSubscription.id).desc())


def _is_push_service(url: str) -> str:
    """Names of private hosts are found when a push is sent; an address can be judged now."""
    private = instance.settings.hooks_allow_private
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or "@" in parts.netloc or parts.fragment or not url.isascii() or not url.isprintable() or port == 0:
        raise PydanticCustomError("endpoint", "has to be the address of a push service")
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        raise PydanticCustomError("endpoint", "has to begin with https://")
    if not private and parse_address(host) is not None and not is_public_address(host):
        raise PydanticCustomError("endpoint", "has a private address, which may not be called")
    return url


def _is_point(text: str) -> str:
    try:
        point = from_text(text)
        public_of(point)
    except ValueError:
        raise PydanticCustomError("p256dh", "has to be a point of P-256 in base64url") from None
    return to_text(point)


def _is_secret(text: str) -> str:
    try:
        good = len(from_text(text)) == SECRET
    except ValueError:
        good = False
    if not good:
        raise PydanticCustomError("auth", "has to be {size} bytes in base64url", {"size": SECRET})
    return text


Kinds = Annotated[list[AttentionKind], Field(min_length=1), at_most(MOST_LISTED)]
Label = Annotated[str, TRIMMED, Field(strict=True, min_length=1, max_length=bounds.NAME)]
Endpoint = Annotated[str, Field(strict=True, min_length=1, max_length=ENDPOINT), AfterValidator(_is_push_service)]
Point = Annotated[str, Field(strict=True, max_length=POINT), AfterValidator(_is_point)]
Secret = Annotated[str, Field(strict=True, max_length=bounds.LINE, repr=False), AfterValidator(_is_secret)]


class RegisterPush(Input):
    """`endpoint`, `p256dh` and `auth` come from the browser's `PushSubscription`. `kinds` are the kinds of entries
    of `attention` that it receives; without them: approvals, questions, tasks that wait for approval, failed runs.
    """

    endpoint: Endpoint
    p256dh: Point
    auth: Secret
    label: Label
    kinds: Kinds = USUAL


class UpdatePushSubscription(Patch, ById):
    """`kinds` are the kinds of entries of `attention` that it receives."""

    label: Label
    kinds: Kinds


graph(
    PushSubscription,
    gate=Action.SELF,
    scope=None,
    visible=lambda row, scope: row.user_id == scope.user_id,
)


def _lives(scope: QueryScope) -> Any:
    """Devices of ended sessions and of revoked tokens receive nothing, and are not listed."""
    sessions, tokens = scope.table(Session), scope.table(CliToken)
    live = select(sessions.c.id).where(sessions.c.revoked_at.is_(None), sessions.c.expires_at > func.now())
    good = select(tokens.c.id).where(
        tokens.c.revoked_at.is_(None), or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > func.now())
    )
    return or_(col(PushSubscription.session_id).in_(live), col(PushSubscription.token_id).in_(good))


@query("push.list", Action.SELF, surfaces=GRAPHQL_ONLY, tickets=False)
def list_subscriptions(scope: QueryScope, data: NoInput) -> Rows[PushSubscription]:
    """List push subscriptions.

    Lists the caller's browsers that receive pushes of this workspace, newest first; at most 20.
    """
    own = scope.select(PushSubscription).where(col(PushSubscription.user_id) == scope.user_id, _lives(scope))
    return own.order_by(*NEWEST_FIRST)


@command(
    "push.register",
    Action.SELF,
    audit="push_subscription.created",
    surfaces=GRAPHQL_ONLY,
    errors=(Code.CONFLICT,),
)
async def register_push(ctx: Context, data: RegisterPush) -> PushSubscription:
    """Add a push subscription.

    From now on the browser receives what needs the caller's attention in this workspace, as `attention` lists it.
    Adding it again replaces its keys, label and kinds. It ends with the session or the token of this call, with the
    caller's membership, and when the push service says that it is gone. A user has at most 20 in a workspace.
    """
    await ctx.lock(f"push subscriptions of {ctx.workspace_id}/{ctx.user_id}")
    same = col(PushSubscription.endpoint) == data.endpoint
    # the browser is the caller's now: another member who used it before hears nothing there any more
    others = and_(same, col(PushSubscription.user_id) != ctx.user_id)
    await ctx.delete_where(PushSubscription, others, including_hidden=True)
    known = await ctx.select(PushSubscription, same).first()
    if known is None and await ctx.select(PushSubscription).count() >= MOST:
        raise Refusal(Code.CONFLICT, FULL)
    id = new_id() if known is None else known.id
    of_session = ctx.caller.kind is CredentialKind.SESSION
    given: dict[str, Any] = {
        "label": data.label,
        "p256dh": data.p256dh,
        "kinds": list(dict.fromkeys(data.kinds)),
        "auth": await instance.vault.seal(
            data.auth, table=PushSubscription, column="auth", row_id=id, workspace_id=ctx.workspace_id
        ),
        "session_id": ctx.credential_id if of_session else None,
        "token_id": None if of_session else ctx.credential_id,
        "failures": 0,
        "last_error": None,
        "next_attempt_at": None,
    }
    position = place_at(int((await ctx.report(select(cast(func.events_horizon(), SQLText))))[0][0]))
    if known is not None:
        same_owner = (known.session_id, known.token_id) == (given["session_id"], given["token_id"])
        return await ctx.edit(known, **given, position=known.position if same_owner else position)
    # what happens until the outbox is followed for the first subscriber of all
    ctx.enqueue(DELIVER, at=await ctx.now() + FIRST_LOOK, subscription_id=id)
    return await ctx.insert(
        PushSubscription(id=id, user_id=ctx.user_id, endpoint=data.endpoint, position=position, **given)
    )


@command(
    "push.update",
    Action.SELF,
    audit="push_subscription.updated",
    surfaces=GRAPHQL_ONLY,
    subject=SUBSCRIPTION,
)
async def update_subscription(
    ctx: Context, subscription: PushSubscription, data: UpdatePushSubscription
) -> PushSubscription:
    """Update a push subscription.

    Changes the label, and the kinds of entries that it receives.
    """
    changes = data.something()
    if "kinds" in changes:
        changes["kinds"] = list(dict.fromkeys(changes["kinds"]))
    return await ctx.edit(subscription, **changes)


@command(
    "push.delete",
    Action.SELF,
    audit="push_subscription.deleted",
    surfaces=GRAPHQL_ONLY,
    subject=SUBSCRIPTION,
)
async def delete_subscription(ctx: Context, subscription: PushSubscription, data: ById) -> Deleted:
    """Delete a push subscription.

    The browser receives nothing more.
    """
    await ctx.delete(PushSubscription, subscription.id)
    return Deleted(id=subscription.id)


@command("push.test", Action.SELF, surfaces=GRAPHQL_ONLY, subject=SUBSCRIPTION, errors=(Code.RATE_LIMITED,))
async def test_push(ctx: Context, subscription: PushSubscription, data: ById) -> Success:
    """Send a test push.

    `lastSuccessAt` and `lastError` of the subscription say how it went.
    """
    TESTS.take(ctx.user_id)
    await ctx.update(PushSubscription, subscription.id, next_attempt_at=None)
    ctx.record(PushNotice(subscription_id=subscription.id, entry=f"{TEST}:{new_id()}"))
    ctx.enqueue(DELIVER, subscription_id=subscription.id)
    return Success()
