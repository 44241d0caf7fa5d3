"""The secret that signs what is sent to an agent: made with it, shown when it is replaced, and to its runtime."""

from models.agents import Agent
from models.crews import Crew
from resolvers.agents.permission import EDITED, may_edit
from resolvers.agents.webhook_secret import new_secret, opened, sealed
from resolvers.kernel import (
    REST_ONLY,
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
    Time,
    command,
    procedure,
)

MISSING = "Agent not found"


class WebhookSecretRotated(Output):
    """The new secret. It is shown only here."""

    webhook_secret: str
    rotated_at: Time


class FindSecret(Input):
    """What is sent beside the agent has to be where it is."""

    agent_id: Id
    crew_id: Id | None = None


class WebhookSecret(Output):
    """The secret of an agent's webhook."""

    webhook_secret: str


@command(
    "agents.webhook_secret_rotate",
    Action.UPDATE,
    subject=EDITED,
    allow=may_edit,
    audit="agent.webhook_secret_rotated",
    errors=(Code.NOT_FOUND,),
    secret=True,
)
async def rotate_secret(ctx: Context, agent: Agent, data: ById) -> WebhookSecretRotated:
    """Rotate the secret of an agent's webhook.

    32 random bytes as hex digits. The one before is good no more.
    """
    made = new_secret()
    await ctx.update(Agent, agent.id, webhook_secret=await sealed(ctx, agent.id, made))
    return WebhookSecretRotated(webhook_secret=made, rotated_at=await ctx.now())


@procedure(
    "webhooks.internal_secret",
    Action.NONE,
    auth=Auth.INTERNAL,
    tenancy=Entity(Agent, "agent_id"),
    surfaces=REST_ONLY,
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
