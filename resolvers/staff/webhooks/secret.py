"""The signature scheme and the secret of an agent's webhook: the secret is created with the scheme, shown when it is
replaced, and given to the agent's runtime.
"""

from typing import Annotated, Any

from pydantic import Field

from models import bounds
from models.staff.agents import Agent, WebhookScheme
from models.staff.crews import Crew
from resolvers.identity.webhook_senders import fits as signs_webhooks
from resolvers.identity.webhook_senders import new_secret as new_webhook_secret
from resolvers.kernel import (
    Action,
    Auth,
    ById,
    Code,
    Context,
    Entity,
    Id,
    Input,
    Output,
    Refusal,
    Subject,
    command,
    invalid,
    procedure,
)
from resolvers.kernel.declarations.events import Time
from resolvers.staff.agents.agents import AgentUpdated
from resolvers.staff.agents.permission import EDITED, may_edit
from resolvers.staff.agents.webhook_secret import opened, sealed

MISSING = "Agent not found"

ChosenSecret = Annotated[str, Field(strict=True, min_length=16, max_length=bounds.LINE)]


class WebhookSecretRotated(Output):
    """The new secret; returned only here."""

    webhook_secret: str
    rotated_at: Time


class FindSecret(Input):
    """Fields beside the agent must match its place."""

    agent_id: Id
    crew_id: Id | None = None


class WebhookSecret(Output):
    """The secret of an agent's webhook."""

    webhook_secret: str


class ConfigureWebhook(ById):
    """Without a `secret` the agent keeps its secret."""

    scheme: WebhookScheme
    secret: Annotated[ChosenSecret | None, Field(repr=False)] = None


class Webhook(Output):
    """The signature scheme of deliveries to an agent, and their path; null for an agent without a crew."""

    agent_id: str
    scheme: WebhookScheme
    require_timestamp: bool
    has_secret: bool
    path: str | None


@procedure("webhooks.get", subject=Subject(Agent, called="Agent"))
async def get_webhook(ctx: Context, agent: Agent, data: ById) -> Webhook:
    """Get the signature scheme of an agent's webhook."""
    return _shown(agent)


@command(
    "webhooks.configure",
    Action.UPDATE,
    subject=EDITED,
    allow=may_edit,
    audit="agent.webhook_configured",
    emits=AgentUpdated,
)
async def configure_webhook(ctx: Context, agent: Agent, data: ConfigureWebhook) -> Webhook:
    """Set the sender of an agent's webhook.

    Afterwards, deliveries with another signature are refused. The secret has at least 16 characters, as the
    sender shows it; for Standard Webhooks it is `whsec_` and base64.
    """
    secret = data.secret
    if secret is None and (known := await opened(agent)) is not None:
        secret = known.reveal()
    if secret is not None and not signs_webhooks(data.scheme, secret):
        raise invalid("secret", "the sender signs with whsec_ and 16 to 128 bytes of base64")
    changes: dict[str, Any] = {"webhook_scheme": data.scheme}
    if data.secret is not None:
        changes["webhook_secret"] = await sealed(ctx, agent.id, data.secret)
    changed = await ctx.update(Agent, agent.id, **changes)
    ctx.audit("AGENT", agent.id, scheme=data.scheme, secret_replaced=data.secret is not None)
    ctx.emit(AgentUpdated(id=agent.id))
    return _shown(changed)


@command(
    "agents.webhook_secret_rotate",
    Action.UPDATE,
    subject=EDITED,
    allow=may_edit,
    audit="agent.webhook_secret_rotated",
    secret=True,
    scopes="agents",
)
async def rotate_secret(ctx: Context, agent: Agent, data: ById) -> WebhookSecretRotated:
    """Rotate the secret of an agent's webhook.

    32 random bytes as hex digits; for Standard Webhooks `whsec_` and base64. The previous secret stops working at once.
    """
    made = new_webhook_secret(agent.webhook_scheme)
    await ctx.update(Agent, agent.id, webhook_secret=await sealed(ctx, agent.id, made))
    return WebhookSecretRotated(webhook_secret=made, rotated_at=await ctx.now())


@procedure(
    "webhooks.internal_secret",
    Action.NONE,
    auth=Auth.INTERNAL,
    tenancy=Entity(Agent, "agent_id"),
    errors=(Code.FORBIDDEN, Code.NOT_FOUND),
)
async def get_secret(ctx: Context, data: FindSecret) -> WebhookSecret:
    """Get the secret of an agent's webhook (for its runtime)."""
    agent = await ctx.get(Agent, data.agent_id, missing=MISSING)
    if data.crew_id and agent.crew_id != data.crew_id:
        raise Refusal(Code.NOT_FOUND, MISSING)
    if agent.crew_id is not None:
        await ctx.get(Crew, agent.crew_id, missing=MISSING)
    secret = await opened(agent)
    if secret is None:
        raise Refusal(Code.NOT_FOUND, "The agent has no webhook secret")
    return WebhookSecret(webhook_secret=secret.reveal())


def _shown(agent: Agent) -> Webhook:
    return Webhook(
        agent_id=agent.id,
        scheme=agent.webhook_scheme,
        require_timestamp=agent.webhook_require_timestamp,
        has_secret=agent.webhook_secret is not None,
        path=None if agent.crew_id is None else f"/api/v1/webhooks/{agent.crew_id}/{agent.id}/trigger",
    )
