"""Keys of providers of models that are for the whole workspace."""

from typing import Any, NamedTuple

from pydantic import SecretStr
from sqlmodel import col

from models.resources.credentials import Credential, CredentialScope, CredentialStatus, CredentialType
from resolvers.instance.vault import Unopenable
from resolvers.kernel import Code, Context, Refusal, log
from resolvers.resources.credentials.references import value_of

MOST_LOOKED_AT = 100
"""The most keys that are read, including empty slots."""
SEALED = "The key of the workspace cannot be opened"


class Key(NamedTuple):
    """`id` is the credential's."""

    id: str
    value: SecretStr


async def credential_of(ctx: Context, provider: str) -> Any:
    """The workspace's oldest active key of the provider that is for all of it and has a value, or None."""
    found = ctx.select(
        Credential,
        col(Credential.provider) == provider,
        col(Credential.type) == CredentialType.API_KEY,
        col(Credential.status) == CredentialStatus.ACTIVE,
        col(Credential.scope) == CredentialScope.WORKSPACE.value,
        including_hidden=True,
    )
    oldest = await found.order_by(col(Credential.created_at), col(Credential.id)).limit(MOST_LOOKED_AT).all()
    return next((each for each in oldest if each.value is not None), None)


async def opened_key(credential: Any) -> Key:
    """The key that a credential holds; a store that does not give it is BAD_GATEWAY, as is one that is unreadable."""
    try:
        value = (await value_of(credential.id, credential.value, credential.secret_ref)).reveal()
    except Unopenable:
        log.warning("credential cannot be opened", credential_id=credential.id)
        raise Refusal(Code.BAD_GATEWAY, SEALED) from None
    return Key(credential.id, SecretStr(value.strip()))
