"""Webhooks themselves: list, create, delete, and what can be read from them."""

import secrets
from hashlib import sha256
from typing import Annotated, Any, ClassVar, Final

from pydantic import Field
from sqlalchemy import select
from sqlmodel import col

from models import bounds
from models.people.auth import User
from models.staff.agents import WebhookScheme
from models.work.routine_runs import RoutineRun
from models.work.routine_webhooks import RoutineWebhook
from models.work.saved_routines import SavedRoutine
from resolvers.identity.webhook_senders import fits, new_secret
from resolvers.instance.vault import Revealed
from resolvers.kernel import (
    EVERYONE,
    Absent,
    Action,
    Bool,
    ById,
    Code,
    Context,
    Deleted,
    Emptied,
    Input,
    Int,
    Output,
    Page,
    Paging,
    QueryScope,
    Refusal,
    Subject,
    command,
    derived,
    extend,
    graph,
    instance,
    invalid,
    many,
    one,
    query,
)
from resolvers.kernel.declarations.events import Time
from resolvers.work.routine_runs.graph import NEWEST_FIRST
from resolvers.work.routine_runs.triggering import (
    OptionalId,
    OptionalSlug,
    PinnedVersion,
    TriggerInputs,
    TriggerName,
    routine_named,
)

SCOPE: Final = "webhooks:read"
WEBHOOK: Final = Subject(RoutineWebhook, called="Webhook")
LATEST_FIRST = (col(RoutineWebhook.created_at).desc(), col(RoutineWebhook.id).desc())
MOST_LISTED: Final = 500
MOST_WEBHOOKS: Final = 1_000
TOKEN: Final = "wh_"
TOO_MANY: Final = f"A workspace has at most {MOST_WEBHOOKS:,} webhooks of routines"
WHSEC: Final = "is whsec_ and 16 to 128 bytes of base64 in this scheme"

SigningSecret = Annotated[str, Field(strict=True, max_length=bounds.LINE)]


class ListRoutineWebhooks(Paging):
    """A page of webhooks."""

    page_default: ClassVar[int] = MOST_LISTED
    page_maximum: ClassVar[int] = MOST_LISTED


class CreateRoutineWebhook(Input):
    """A pipeline is a routine: `target_pipeline_slug` or `target_pipeline_id`, which counts more.
    `target_pipeline_version` pins a version; it need not exist yet.

    `scheme`: the signature of the sender. `signing_secret`: by default 32 random bytes. `inputs_template`: further
    inputs of the runs; `event`, `raw` and `headers` in it are ignored. `rate_limit_per_min`: deliveries a minute; 0 or
    less is 600.
    """

    target_pipeline_slug: OptionalSlug = None
    target_pipeline_id: OptionalId = None
    target_pipeline_version: PinnedVersion | None = None
    name: TriggerName = ""
    scheme: WebhookScheme = WebhookScheme.crewship
    signing_secret: Annotated[Emptied[SigningSecret], Field(repr=False)] = None
    inputs_template: TriggerInputs = {}
    enabled: Bool = True
    rate_limit_per_min: Int = 0


class RoutineWebhookCreated(Output):
    """A webhook with its token and its secret; both are returned only here."""

    id: str
    workspace_id: str
    name: str
    target_pipeline_id: str
    target_pipeline_slug: str
    target_pipeline_version: Annotated[int | None, Absent()] = None
    token: str = Field(repr=False)
    scheme: WebhookScheme
    signing_secret_set: bool = True
    signing_secret: str = Field(repr=False)
    inputs_template: dict[str, Any]
    enabled: bool
    rate_limit_per_min: int
    fire_count: int = 0
    created_at: Time
    updated_at: Time


@query("routine_webhooks.list", Action.READ, tickets=False)
def list_routine_webhooks(scope: QueryScope, data: ListRoutineWebhooks) -> Page[RoutineWebhook]:
    """List webhooks of routines.

    Newest first. Tokens and secrets are not returned.
    """
    return scope.select(RoutineWebhook).order_by(*LATEST_FIRST).page(data)


@command(
    "routine_webhooks.create",
    Action.CREATE,
    audit="routine_webhook.created",
    errors=(Code.UNPROCESSABLE,),
    secret=True,
)
async def create_routine_webhook(ctx: Context, data: CreateRoutineWebhook) -> RoutineWebhookCreated:
    """Create a webhook of a routine.

    Returns the token, which is the end of the address of deliveries, and the secret that signs them; of the token only
    a hash is kept. Runs start in the name of the caller, whose right to create webhooks is checked again at each
    delivery. There is no change: create another one to replace the secret. A workspace has at most 1,000 webhooks.
    """
    target = await routine_named(ctx, data.target_pipeline_id, data.target_pipeline_slug, key="target_pipeline")
    secret = data.signing_secret or new_secret(data.scheme)
    if not fits(data.scheme, secret):
        raise invalid("signing_secret", WHSEC)
    await ctx.lock(f"webhooks of routines of {ctx.workspace_id}")
    if await ctx.select(RoutineWebhook).count() >= MOST_WEBHOOKS:
        raise Refusal(Code.UNPROCESSABLE, TOO_MANY)
    token, now = TOKEN + secrets.token_hex(32), await ctx.now()
    kept = {"scheme", "inputs_template", "enabled", "rate_limit_per_min"}
    made = RoutineWebhook(
        routine_id=target.id,
        routine_version=data.target_pipeline_version,
        name=data.name.strip() or target.slug,
        token_hash=hash_of(token),
        run_as_id=ctx.user_id or None,
        created_at=now,
        updated_at=now,
        **data.model_dump(include=kept),
    )
    made.secret = await instance.vault.seal(
        secret, table=RoutineWebhook, column="secret", row_id=made.id, workspace_id=ctx.workspace_id
    )
    await ctx.insert(made)
    return RoutineWebhookCreated(
        id=made.id,
        workspace_id=ctx.workspace_id or "",
        name=made.name,
        target_pipeline_id=target.id,
        target_pipeline_slug=target.slug,
        target_pipeline_version=made.routine_version,
        token=token,
        signing_secret=secret,
        created_at=now,
        updated_at=now,
        **data.model_dump(include=kept),
    )


@command("routine_webhooks.delete", Action.MANAGE, subject=WEBHOOK, audit="routine_webhook.deleted")
async def delete_routine_webhook(ctx: Context, webhook: RoutineWebhook, data: ById) -> Deleted:
    """Delete a webhook of a routine.

    Its token is unknown from then on. Runs that it started go on.
    """
    await ctx.delete(RoutineWebhook, webhook.id)
    return Deleted(id=webhook.id)


def hash_of(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


async def opened(webhook: RoutineWebhook) -> Revealed | None:
    if webhook.secret is None:
        return None
    return await instance.vault.open(webhook.secret, table=RoutineWebhook, column="secret", row_id=webhook.id)


def _slug(webhook: Any, scope: Any) -> Any:
    """The slug of a live routine only."""
    routine, own = scope.beside(SavedRoutine, webhook)
    return scope.scalar(select(routine.c.slug).where(routine.c.id == webhook.routine_id, *own))


graph(
    RoutineWebhook,
    gate=Action.READ,
    scope=SCOPE,
    visible=EVERYONE,
    routine=one(SavedRoutine, "routine_id"),
    routine_slug=derived(str | None, _slug),
    run_as=one(User, "run_as_id"),
    runs=many(RoutineRun, "webhook_id", order_by=NEWEST_FIRST),
)
extend(SavedRoutine, webhooks=many(RoutineWebhook, "routine_id", order_by=LATEST_FIRST))
extend(RoutineRun, webhook=one(RoutineWebhook, "webhook_id"))
