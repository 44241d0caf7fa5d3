"""Values of credentials and their timeline: how both are written."""

from typing import Any

from sqlmodel import col

from models.resources.credentials import Credential, CredentialEvent, CredentialEventType
from models.resources.integrations import AgentIntegration
from models.sealed import Sealed
from resolvers.instance.vault import Revealed
from resolvers.kernel import Context, instance


async def sealed(ctx: Context, credential_id: str, column: str, text: str) -> Sealed:
    """For a column of this credential alone, which is one of the call's workspace."""
    return await instance.vault.seal(
        text, table=Credential, column=column, row_id=credential_id, workspace_id=ctx.workspace_id
    )


async def opened(credential_id: str, column: str, stored: Sealed) -> Revealed:
    """Raises Unopenable."""
    return await instance.vault.open(stored, table=Credential, column=column, row_id=credential_id)


async def unbind(ctx: Context, credential_id: str) -> None:
    """No MCP server gets a credential that is deleted. Its row stays, so that no foreign key does this."""
    tied = col(AgentIntegration.credential_id) == credential_id
    if await ctx.select(AgentIntegration, tied).exists():
        await ctx.update_where(AgentIntegration, tied, credential_id=None)


def tell(
    ctx: Context, credential_id: str, event_type: CredentialEventType, /, agent_id: str | None = None, **details: Any
) -> None:
    """Adds a line to the timeline, without a value. `agent_id`: the acting agent, if any."""
    ctx.record(
        CredentialEvent(
            credential_id=credential_id,
            event_type=event_type,
            user_id=ctx.user_id or None,
            # of a program that acts for an agent, the address is the server's own
            ip_address=(ctx.caller.client or None) if ctx.limited else None,
            agent_id=agent_id,
            details=details,
        )
    )
