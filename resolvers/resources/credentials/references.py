"""Values in another store: the credential contains their address, and the token that reads them.

`secret_ref` is an address in version 2 of the KV engine of OpenBao or HashiCorp Vault, and the key in its answer:
https://bao.example.com/v1/secret/data/team/github#token. The value of the credential is the token that reads it. The
values that are read are not stored.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from models.bounds import URL
from models.sealed import Sealed
from resolvers.instance.outbound import Policy
from resolvers.instance.sign_in_providers import is_safe_url
from resolvers.instance.vault import Revealed, Unopenable, reveal_to_listeners
from resolvers.kernel import Code, Refusal, instance, log
from resolvers.resources.credentials.vault import opened

WHERE: Final = re.compile(r"(https?://[^/?#\s]+/v1/(?:[^/?#\s]+/)+data/[^?#\s]+)(?:#([^#\s]+))?")
USUAL_KEY = "value"
AT_ONCE = 8  # values that are looked up at once
TIMEOUT, LARGEST_ANSWER = 5, 256 * 1024
TOKEN = re.compile(r"[\x21-\x7e]+")


def _reference(text: str) -> str:
    found = WHERE.fullmatch(text)
    if found is None or not is_safe_url(found[1], plain=True):
        raise PydanticCustomError(
            "secret_ref", "it must be https://<host>/v1/<mount>/data/<path>, optionally with # and a key"
        )
    return text


SecretRef = Annotated[str, Field(strict=True, max_length=URL), AfterValidator(_reference)]


async def value_of(credential_id: str, stored: Sealed, secret_ref: str | None) -> Revealed:
    """The value, wherever it is. Raises Unopenable, and Refusal where the other store does not give it."""
    own = await opened(credential_id, "value", stored)
    return own if secret_ref is None else await _asked(secret_ref, own)


async def values_of(rows: Sequence[Any], column: str = "value") -> list[str | None]:
    """The values of credential rows, in order. None for a row without a value, and for one that cannot be opened or
    that its store does not return: a run continues with the others. Such failures are logged.
    """
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(row: Any) -> str | None:
        if row[column] is None:
            return None
        try:
            async with turns:
                stored = Sealed(row[column])
                if column == "value":
                    return (await value_of(row["id"], stored, row["secret_ref"])).reveal()
                return (await opened(row["id"], column, stored)).reveal()
        except Unopenable:
            log.warning("credential cannot be opened", credential_id=row["id"], column=column)
        except Refusal as refusal:
            if row["secret_ref"] is None:
                raise
            log.warning("the secret store did not return a credential", credential_id=row["id"], error=refusal.detail)
        return None

    return await asyncio.gather(*[one(row) for row in rows])


async def _asked(secret_ref: str, token: Revealed) -> Revealed:
    found = WHERE.fullmatch(secret_ref)
    if found is None or not TOKEN.fullmatch(token.reveal()):
        raise _refused("its token or address cannot be used")
    policy = Policy.PRIVATE_TOO if instance.settings.hooks_allow_private else Policy.PUBLIC
    headers = {"x-vault-token": token.reveal(), "x-vault-request": "true"}
    async with instance.http(policy, timeout=TIMEOUT, most=LARGEST_ANSWER) as http:
        answer = await http.get(found[1], headers=headers)
    if answer.status != 200:
        raise _refused(f"it answered with status {answer.status}")
    value: Any = answer.json()
    for key in ("data", "data", found[2] or USUAL_KEY):
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, str) or not value:
        raise _refused("it has no text value for that key")
    return reveal_to_listeners(value)


def _refused(why: str) -> Refusal:
    return Refusal(Code.BAD_GATEWAY, f"The secret store did not return the value: {why}")
