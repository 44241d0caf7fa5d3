"""The form of a credential, by its type (contract: credentials, rules)."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from models import bounds
from models.resources.credentials import Credential, CredentialType
from resolvers.kernel import at_most, invalid
from resolvers.resources.credentials.endpoints import endpoint_of

MOST_TAGS = 8
LONGEST_TAG = 32
PEM: Final = {CredentialType.SSH_KEY: "PRIVATE KEY", CredentialType.CERTIFICATE: "CERTIFICATE"}
NEEDS_VALUE: Final = frozenset({*PEM, CredentialType.ENDPOINT_URL})
"""Types whose values have a form, so that a credential of another type becomes one only with a new value."""
_FIRST, _LAST = re.compile(r"-----BEGIN ([^\n]+?)-----\r?(?:\n|$)"), re.compile(r"-----END ([^\n]+?)-----")
SERVICE = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?/[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")


def _of_bytes(text: str) -> str:
    if len(text.encode(errors="surrogatepass")) > bounds.SECRET:
        raise PydanticCustomError("bytes", f"must have at most {bounds.SECRET:,} bytes")
    return text


SecretPart = Annotated[str, Field(strict=True, max_length=bounds.SECRET), AfterValidator(_of_bytes)]
"""For a field that declares `repr=False` itself, because it can be null."""
SecretText = Annotated[SecretPart, Field(repr=False)]
CredentialName = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.CREDENTIAL)]
Account = Annotated[str, Field(strict=True, max_length=bounds.EMAIL)]
Tag = Annotated[str, Field(strict=True, max_length=bounds.DESCRIPTION)]
Tags = Annotated[list[Tag], at_most(bounds.ENTRIES)]


def not_blank(value: str) -> str:
    if not value.strip():
        raise PydanticCustomError("blank", "it must not be blank")
    return value


def ends_of(credential: Credential) -> dict[str, Any]:
    """The columns to clear with a new value: an expiry belongs to the previous token. A renewed token keeps its own."""
    return {} if credential.refresh_token is not None else {"oauth_expires_at": None}


def default_if_empty(default: Any) -> BeforeValidator:
    return BeforeValidator(lambda value: default if value == "" else value)


def kept_tags(tags: Iterable[str] | None) -> list[str]:
    """Trimmed and in lower case, each once; those that are empty or too long are dropped, and all behind the eighth."""
    plain = [tag.strip().lower() for tag in tags or ()]
    return list(dict.fromkeys(tag for tag in plain if 0 < len(tag) <= LONGEST_TAG))[:MOST_TAGS]


def check_username(type: CredentialType, username: str | None) -> None:
    if type is CredentialType.USERPASS and not (username or "").strip():
        raise invalid("username", "is required for a credential of type USERPASS")


def check_value(type: CredentialType, value: str) -> None:
    """A key or certificate is in PEM, an endpoint is an address. The refusal shows nothing of the value."""
    if type is CredentialType.ENDPOINT_URL:
        endpoint_of(value)
    label = PEM.get(type)
    if label is not None and not _is_pem(value, label):
        raise invalid("value", f"must be PEM, from -----BEGIN … {label}----- to the matching END")


def endpoint_columns(credential: Credential, value: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The column with the shown part of an endpoint's value, if it changes with the value or with these columns.

    With a reference, the value is only a token.
    """
    type, reference = [changes.get(name, getattr(credential, name)) for name in ("type", "secret_ref")]
    shown = credential.endpoint_url
    if type is not CredentialType.ENDPOINT_URL or reference is not None:
        shown = None
    elif value:
        shown = endpoint_of(value).base_url
    return {} if shown == credential.endpoint_url else {"endpoint_url": shown}


def _is_pem(value: str, label: str) -> bool:
    text = value.strip()
    first, last = _FIRST.match(text), _LAST.fullmatch(text.splitlines()[-1] if text else "")
    if first is None or last is None:
        return False
    exact = label == PEM[CredentialType.CERTIFICATE]
    return first[1] == last[1] and (first[1] == label or (not exact and first[1].endswith(f" {label}")))
