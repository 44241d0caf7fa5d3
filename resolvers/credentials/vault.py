"""Values of credentials and their timeline: how both are written."""

from typing import Any

from models.credentials import Credential, CredentialEvent, CredentialEventType
from models.sealed import Sealed
from resolvers.kernel import Context, Revealed, instance


async def sealed(ctx: Context, credential_id: str, column: str, text: str) -> Sealed:
    """For a column of this credential alone, which is one of the call's workspace."""
    return await instance.vault.seal(
        text, table=Credential, column=column, row_id=credential_id, workspace_id=ctx.workspace_id
    )


async def opened(credential_id: str, column: str, stored: Sealed) -> Revealed:
    """Raises Unopenable."""
    return await instance.vault.open(stored, table=Credential, column=column, row_id=credential_id)


def tell(ctx: Context, credential_id: str, event_type: CredentialEventType, /, **details: Any) -> None:
    """A line of the timeline. Nothing of a value is in it."""
    ctx.record(
        CredentialEvent(
            credential_id=credential_id,
            event_type=event_type,
            user_id=ctx.user_id or None,
            ip_address=ctx.caller.client or None,
            details=details,
        )
    )
