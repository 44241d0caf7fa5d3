"""Types of environment variables: how their texts are parsed and validated."""

import os
import re
from dataclasses import replace
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AliasChoices, BeforeValidator, Field, PositiveInt, SecretStr
from pydantic.config import JsonDict
from pydantic_settings import NoDecode

from models.address import Address, AddressError
from resolvers.instance.sign_in_providers import is_safe_url

FURTHER_KEYS = range(3, 256)  # numbers of wrapping keys beside the two that have variables of their own
LARGEST_KEY_FILE = 1 << 16
WRITES = ("read-write", "primary")  # of several servers the one that is meant

_DURATION = re.compile(r"(?=.)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")

_SHORT_DURATION = re.compile(r"(?=.)(?:(\d{1,9})m)?(?:(\d{1,9})s)?(?:(\d{1,9})ms)?")

_DOMAIN = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")


def _list(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def duration(value: Any) -> Any:
    """Seconds of `5m`, `90s`, `1h30m`."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip())
    if match is None:
        raise ValueError("not a duration")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def _milliseconds(value: Any) -> Any:
    """Milliseconds from `5s`, `1m30s` or `1500ms`; a number alone is in milliseconds already."""
    if not isinstance(value, str) or value.strip().isdecimal():
        return value
    match = _SHORT_DURATION.fullmatch(value.strip())
    if match is None:
        raise ValueError("not a duration")
    minutes, seconds, rest = (int(part or 0) for part in match.groups())
    return minutes * 60_000 + seconds * 1000 + rest


def _networks(value: Any) -> Any:
    listed = _list(value)
    return (
        tuple(ip_network(part) if isinstance(part, str) else part for part in listed)
        if isinstance(listed, tuple)
        else listed
    )


def origin(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    parts = urlsplit(value.strip())
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.path not in ("", "/")
        or parts.query
        or parts.fragment
        or parts.username
    ):
        raise ValueError("not an origin")
    return f"{parts.scheme}://{parts.netloc}"


def server(value: Any) -> Any:
    made = origin(value)
    if isinstance(made, str) and not is_safe_url(made, plain=True):
        raise ValueError("keys require https")
    return made


def _origins(value: Any) -> Any:
    listed = _list(value)
    return tuple(origin(part) for part in listed) if isinstance(listed, tuple) else listed


def _numbered_keys(value: Any) -> Any:
    """`3:<key>,4:<key>`, or the content of a named file, which may have one key per line."""
    if not isinstance(value, str):
        return value
    if not re.match(r"\s*\d+\s*:", value):
        try:
            with Path(value.strip()).open() as file:
                value = file.read(LARGEST_KEY_FILE)
        except OSError:
            raise ValueError("not a readable file") from None
    pairs = [entry.partition(":") for entry in re.split(r"[,\s]+", value) if entry]
    made = {int(number): _aes_key(SecretStr(key)) for number, _, key in pairs}
    if len(made) < len(pairs) or not all(number in FURTHER_KEYS for number in made):
        raise ValueError("not numbered keys")
    return made


def _hex_key(value: Any) -> Any:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str) or not re.fullmatch(r"[0-9a-fA-F]{64,}", text) or len(text) % 2:
        raise ValueError("not a key")
    return value


def _aes_key(value: Any) -> Any:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str) or len(text) != 64:
        raise ValueError("not a key")
    return _hex_key(value)


def _database_url(value: Any) -> Any:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str):
        raise ValueError("not a database URL")
    address = Address.read(text)
    if len(address.hosts) > 1:
        address = replace(address, parameters={"target_session_attrs": WRITES[0], **address.parameters})
        if address.parameters["target_session_attrs"] not in WRITES:
            raise AddressError(f"target_session_attrs is {WRITES[0]} where it names several servers")
    return SecretStr(address.asyncpg)


def _redis_url(value: Any) -> Any:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str) or urlsplit(text).scheme not in ("redis", "rediss", "unix"):
        raise ValueError("not a Redis URL")
    return value


def _smtp_url(value: Any) -> Any:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str):
        raise ValueError("not an SMTP URL")
    parts = urlsplit(text)
    if (
        parts.scheme not in ("smtp", "smtps")
        or not parts.hostname
        or parts.path not in ("", "/")
        or parts.query not in ("", "tls=off")
        or (parts.scheme == "smtps" and parts.query)
        or parts.port == 0
    ):
        raise ValueError("not an SMTP URL")
    return value


def _sender(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    _, address = parseaddr(value)
    if not re.fullmatch(r"[^@\s]+@[A-Za-z0-9.\-]+", address) or not value.isprintable():
        raise ValueError("not a sender")
    return value


def exactly_true(value: Any) -> bool:
    return value is True or value == "true"


def _absolute(value: Any) -> Any:
    return Path(os.path.abspath(os.path.expanduser(value))) if isinstance(value, str) else value


def _domains(value: Any) -> Any:
    """Names of hosts, as requests name them: no address, port or wildcard, which would match nothing."""
    if not isinstance(value, str):
        return value
    names = tuple(each.strip().lower() for each in value.split(",") if each.strip())
    if not names or not all(map(_DOMAIN.fullmatch, names)):
        raise ValueError("not names of hosts")
    return names


Domains = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_domains)]
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)]
Directory = Annotated[Path, BeforeValidator(_absolute)]
AesKey = Annotated[SecretStr, BeforeValidator(_aes_key)]
NumberedKeys = Annotated[dict[int, SecretStr], NoDecode, BeforeValidator(_numbered_keys)]
HexKey = Annotated[SecretStr, BeforeValidator(_hex_key)]


def _http_url(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    parts = urlsplit(value.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.fragment:
        raise ValueError("not a URL")
    return value.strip()


CollectorUrl = Annotated[SecretStr, BeforeValidator(_http_url)]
RedisUrl = Annotated[SecretStr, BeforeValidator(_redis_url)]
SmtpUrl = Annotated[SecretStr, BeforeValidator(_smtp_url)]
Sender = Annotated[str, BeforeValidator(_sender)]
DatabaseUrl = Annotated[SecretStr, BeforeValidator(_database_url)]


Limit = Annotated[PositiveInt, Field(lt=2**31)]
Milliseconds = Annotated[Limit, BeforeValidator(_milliseconds)]
ModelName = Annotated[str, Field(max_length=200)]
Failures = Annotated[PositiveInt, Field(le=1_000)]
LockSeconds = Annotated[PositiveInt, Field(le=86_400)]
Days = Annotated[PositiveInt, Field(le=36_500)]
KeptDays = Annotated[int, Field(ge=0, le=36_500)]


LIVE: Final[JsonDict] = {"live": True}


def variable(
    alias: str, default: Any = None, *, takes: str, also: str | None = None, live: bool = False, **options: Any
) -> Any:
    """A setting read from `alias`; `takes` completes the sentence "<alias> takes …" when the value is refused.

    `live`: a setting of the instance by the field's name goes before the environment, in every process and at any time
    (resolvers/instance/live_settings.py).
    """
    names = AliasChoices(alias, also) if also else alias
    source = {} if "default_factory" in options else {"default": default}
    return Field(
        validation_alias=names, description=takes, json_schema_extra=LIVE if live else None, **source, **options
    )
