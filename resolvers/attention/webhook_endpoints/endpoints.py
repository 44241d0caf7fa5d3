"""Endpoints: list, get, create, update, delete, and a new secret."""

import base64
import secrets
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlmodel import col

from models import bounds
from models.attention.webhook_endpoints import LANES, DeliveryState, WebhookDelivery, WebhookEndpoint
from resolvers.attention.webhook_endpoints.sending import DELIVER
from resolvers.kernel import (
    EVERYONE,
    TRIMMED,
    Action,
    Bool,
    ById,
    Context,
    Deleted,
    Input,
    Output,
    Page,
    Paging,
    Patch,
    QueryScope,
    Row,
    Subject,
    Text,
    Url,
    at_most,
    command,
    constant,
    graph,
    instance,
    query,
)
from resolvers.kernel.declarations.events import EVENTS
from resolvers.kernel.declarations.row_events import PART

ENDPOINT = Subject(WebhookEndpoint, "id", called="Webhook endpoint")
NEWEST_FIRST = (col(WebhookEndpoint.created_at).desc(), col(WebhookEndpoint.id).desc())
EVERY = "*"
MOST_TYPES = 500
OVERLAP = timedelta(days=1)
SECRET = "whsec_"


def _is_callable(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        good = False
    if not good or any(letter.isspace() for letter in url):
        raise PydanticCustomError("url", "has to be http or https with a host")
    return url


def _known(types: list[str]) -> list[str]:
    for type_ in types:
        if type_ != EVERY and all(PART in event.channel_ for event in EVENTS.get(type_, ())):
            raise PydanticCustomError("event_type", "there is no event {type}", {"type": type_})
    return [EVERY] if EVERY in types else list(dict.fromkeys(types))


Name = Annotated[str, TRIMMED, Field(strict=True, min_length=1, max_length=bounds.LABEL)]
Target = Annotated[Url, TRIMMED, AfterValidator(_is_callable)]
EventTypes = Annotated[list[Text], Field(min_length=1), at_most(MOST_TYPES), AfterValidator(_known)]


class ListEndpoints(Paging):
    """A page of endpoints."""


class CreateWebhookEndpoint(Input):
    """`event_types` are names of events, or `*` for all of the workspace."""

    name: Name
    url: Target
    event_types: EventTypes


class UpdateWebhookEndpoint(Patch, ById):
    """Enabling it sends its waiting deliveries."""

    name: Name
    url: Target
    event_types: EventTypes
    enabled: Bool


class EndpointSecret(Output):
    """The secret that signs deliveries (Standard Webhooks); returned only here."""

    id: str
    secret: str = Field(repr=False)


graph(WebhookEndpoint, gate=Action.MANAGE, scope="webhooks:read", visible=EVERYONE)


@query("webhook_endpoints.list", Action.MANAGE, tickets=False)
def list_endpoints(scope: QueryScope, data: ListEndpoints) -> Page[WebhookEndpoint]:
    """List webhook endpoints.

    Newest first, ties by id, descending.
    """
    return scope.select(WebhookEndpoint).order_by(*NEWEST_FIRST).page(data)


@query("webhook_endpoints.get", Action.MANAGE, subject=ENDPOINT, tickets=False)
def get_endpoint(scope: QueryScope, endpoint: Row[WebhookEndpoint], data: ById) -> Row[WebhookEndpoint]:
    """Get a webhook endpoint."""
    return endpoint


@command("webhook_endpoints.create", Action.MANAGE, audit="webhook_endpoint.created", secret=True)
async def create_endpoint(ctx: Context, data: CreateWebhookEndpoint) -> EndpointSecret:
    """Create a webhook endpoint.

    The endpoint receives events from now on, signed according to Standard Webhooks.
    """
    made = WebhookEndpoint(**data.model_dump(), created_by=ctx.user_id or None)
    secret = _new_secret()
    made.secret = await _sealed(ctx, made.id, "secret", secret)
    ctx.audit("WEBHOOK_ENDPOINT", made.id, name=made.name, event_types=made.event_types)
    await ctx.insert(made)
    return EndpointSecret(id=made.id, secret=secret)


@command(
    "webhook_endpoints.update",
    Action.MANAGE,
    audit="webhook_endpoint.updated",
    subject=ENDPOINT,
    versioned=WebhookEndpoint,
)
async def update_endpoint(ctx: Context, endpoint: WebhookEndpoint, data: UpdateWebhookEndpoint) -> WebhookEndpoint:
    """Update a webhook endpoint.

    Enabling an endpoint that was disabled after failures sends its waiting deliveries at once.
    """
    changes = data.something()
    if changes.get("enabled"):
        changes["failing_since"] = None
        tried = (
            col(WebhookDelivery.endpoint_id) == endpoint.id,
            col(WebhookDelivery.state) == constant(DeliveryState.pending),  # the index is a partial one
            col(WebhookDelivery.next_attempt_at).is_not(None),
        )
        await ctx.update_where(WebhookDelivery, *tried, next_attempt_at=None)
        for lane in range(LANES):
            ctx.enqueue(DELIVER, endpoint_id=endpoint.id, lane=str(lane))
    return await ctx.edit(endpoint, **changes)


@command("webhook_endpoints.delete", Action.MANAGE, audit="webhook_endpoint.deleted", subject=ENDPOINT)
async def delete_endpoint(ctx: Context, endpoint: WebhookEndpoint, data: ById) -> Deleted:
    """Delete a webhook endpoint.

    Also deletes its deliveries.
    """
    await ctx.delete(WebhookEndpoint, endpoint.id)
    return Deleted(id=endpoint.id)


@command(
    "webhook_endpoints.rotate_secret", Action.MANAGE, audit="webhook_endpoint.rotated", subject=ENDPOINT, secret=True
)
async def rotate_secret(ctx: Context, endpoint: WebhookEndpoint, data: ById) -> EndpointSecret:
    """Rotate the secret of a webhook endpoint.

    Deliveries are signed with both secrets for a day, so that receivers can change theirs.
    """
    locked = await ctx.get(WebhookEndpoint, endpoint.id, lock=True)
    secret, old = _new_secret(), await secret_of(locked, "secret")
    changes: dict[str, Any] = {"secret": await _sealed(ctx, locked.id, "secret", secret)}
    changes["old_secret"] = await _sealed(ctx, locked.id, "old_secret", old)
    ctx.audit("WEBHOOK_ENDPOINT", locked.id, name=locked.name)
    await ctx.update(WebhookEndpoint, locked.id, old_secret_until=await ctx.now() + OVERLAP, **changes)
    return EndpointSecret(id=locked.id, secret=secret)


def _new_secret() -> str:
    return SECRET + base64.b64encode(secrets.token_bytes(32)).decode()


async def _sealed(ctx: Context, id: str, column: str, secret: str) -> Any:
    return await instance.vault.seal(
        secret, table=WebhookEndpoint, column=column, row_id=id, workspace_id=ctx.workspace_id
    )


async def secret_of(endpoint: WebhookEndpoint, column: str) -> str:
    sealed = getattr(endpoint, column)
    opened = await instance.vault.open(sealed, table=WebhookEndpoint, column=column, row_id=endpoint.id)
    return opened.reveal()
