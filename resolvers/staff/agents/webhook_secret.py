"""The secret that signs deliveries to an agent."""

from models.sealed import Sealed
from models.staff.agents import Agent, WebhookScheme
from resolvers.identity.webhook_senders import new_secret as new_webhook_secret
from resolvers.instance.vault import Revealed
from resolvers.kernel import Context, instance

COLUMN = "webhook_secret"


async def sealed(ctx: Context, agent_id: str, secret: str | None = None) -> Sealed:
    """The secret, or a new one, for this agent alone, which is one of the call's workspace."""
    return await instance.vault.seal(
        secret or new_webhook_secret(WebhookScheme.crewship),
        table=Agent,
        column=COLUMN,
        row_id=agent_id,
        workspace_id=ctx.workspace_id,
    )


async def opened(agent: Agent) -> Revealed | None:
    """None of an agent without one, or with an empty one. Raises Unopenable."""
    if agent.webhook_secret is None:
        return None
    found = await instance.vault.open(agent.webhook_secret, table=Agent, column=COLUMN, row_id=agent.id)
    return found if found.reveal() else None
