"""The keys of an instance: created once, with an empty database, and never silently replaced.

The database stores a fingerprint of each key. A process with a missing or different key does not start: it could
neither open the vault nor accept existing tokens, and other processes could not read its writes.

NEXTAUTH_SECRET is replaced together with its predecessor: with that as NEXTAUTH_SECRET_PREVIOUS, the stored fingerprint
changes to the new one, which signs from then on, and tokens of both are valid. After 30 days, the life of a session,
the predecessor can be removed. If several processes restart one by one, the new secret is NEXTAUTH_SECRET_PREVIOUS in a
first round, so that all know it before one signs with it.
"""

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import asyncpg
from pydantic import SecretStr, TypeAdapter, ValidationError

from crewship.process.private_files import make_private, write_secret
from models.connections import open_connection
from resolvers.errors import Refusal
from resolvers.instance.crypto import LEAST_SECRET, is_strong
from resolvers.instance.data_keys import KeyStore
from resolvers.instance.setting_types import AesKey, HexKey
from resolvers.instance.settings import Settings
from resolvers.instance.transit import PREFIX, Login, Transit
from resolvers.instance.vault import Vault
from resolvers.instance.wrapping import Unwrappable, name_of

log = logging.getLogger("crewship.keys")

EPOCH = "events.epoch"
WRAPPED = "SELECT wrapped_by, count(*) FROM data_keys GROUP BY wrapped_by ORDER BY wrapped_by"
ALL_ROWS = "SELECT set_config('crewship.workspaces', '*', true)"
# One process at a time decides about the keys of a database.
_LOCK = 0x6372657773686B65


class KeysError(Exception):
    """The keys do not fit the database; the text names them and the remedy, and shows no key."""


@dataclass(frozen=True)
class Key:
    """`make` is None for a key that only the operator introduces; `pinned`: the database remembers which one it is."""

    name: str
    field: str
    form: TypeAdapter[SecretStr]
    make: Callable[[], str] | None
    pinned: bool = True

    @property
    def fact(self) -> str:
        return f"key.{self.name}"


def _hex_32() -> str:
    return secrets.token_hex(32)


DROPPED = "dropped"
"""Recorded in the place of the fingerprint of a key that nothing needs any more."""
FURTHER = re.compile(r"ENCRYPTION_KEY_V([3-9]|[1-9]\d{1,2})")
SIGNING, PREVIOUS = "NEXTAUTH_SECRET", "NEXTAUTH_SECRET_PREVIOUS"
TOO_SHORT = (
    f"{SIGNING} has fewer than {LEAST_SECRET} bytes, so it can be guessed and used to impersonate every "
    f"user: set a new one (openssl rand -base64 {LEAST_SECRET})"
)
KEYS = (
    Key(SIGNING, "nextauth_secret", TypeAdapter(SecretStr), lambda: secrets.token_urlsafe(48)),
    Key("ENCRYPTION_KEY", "encryption_key", TypeAdapter(AesKey), _hex_32),
    Key("CREWSHIP_ADMIN_TOKEN_HMAC_KEY", "admin_token_hmac_key", TypeAdapter(HexKey), _hex_32),
    Key("ENCRYPTION_KEY_V2", "encryption_key_v2", TypeAdapter(AesKey), None),
    Key(PREVIOUS, "nextauth_secret_previous", TypeAdapter(SecretStr), None, pinned=False),
)


def known(names: Iterable[str]) -> tuple[Key, ...]:
    """KEYS, and the further ones among the names: keys of CREWSHIP_ENCRYPTION_KEYS."""
    further = sorted({name for name in names if FURTHER.fullmatch(name)})
    return (*KEYS, *[Key(name, "encryption_keys", TypeAdapter(AesKey), None) for name in further])


@lru_cache(maxsize=16)
def fingerprint(name: str, value: str) -> str:
    """32 hex digits that tell keys apart and lead back to none: a slow derivation, then a hash, truncated."""
    derived = hashlib.scrypt(
        value.encode(), salt=f"crewship fingerprint {name}".encode(), n=1 << 12, r=8, p=1, dklen=32
    )
    return hashlib.sha256(derived).hexdigest()[:32]


def secrets_path(data_dir: Path) -> Path:
    return data_dir / "secrets.env"


def stored(data_dir: Path) -> dict[str, str]:
    """The keys in `secrets.env`; none when there is no such file."""
    path = secrets_path(data_dir)
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise KeysError(f"{path} cannot be read ({error.strerror}); start as the user who owns it") from error
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def without_key(settings: Settings) -> KeysError:
    """The error of a command that needs the server's keys."""
    return KeysError(
        f"ENCRYPTION_KEY is neither in the environment nor in {secrets_path(settings.data_dir)};"
        " set it, or CREWSHIP_DATA_DIR to the data directory of the server"
    )


def with_stored(settings: Settings) -> Settings:
    """The settings with the keys of `secrets.env` for those that the environment lacks."""
    return _applied(settings, stored(settings.data_dir))


async def settle(settings: Settings, dsn: str) -> Settings:
    """The settings with all keys, made now when the database is empty. `dsn` needs rows of `instance_facts` and
    `users`. Raises KeysError.
    """
    await _try_transit(settings)
    connection = await open_connection(dsn)
    try:
        async with connection.transaction():
            await hold(connection)
            await connection.fetchval(ALL_ROWS)
            facts = {
                row["name"]: row["value"]
                for row in await connection.fetch("SELECT name, value FROM instance_facts WHERE name LIKE 'key.%'")
            }
            empty = not facts and not await connection.fetchval("SELECT EXISTS (SELECT FROM users)")
            complete = with_stored(settings)
            if empty:
                complete = _make_missing(complete)
            present = held(complete)
            problems = [*judge(facts, present, settings.data_dir), *_gone(facts, complete)]
            if empty and not is_strong(present[SIGNING]):
                problems.append(TOO_SHORT)
            problems += [
                f"{name} wraps {count} data keys of this database, but is not set: set it"
                for name, count in await connection.fetch(WRAPPED)
                if name not in present and not (settings.transit_address and name.startswith(PREFIX))
            ]
            if problems:
                raise KeysError("\n".join(problems))
            await _record(connection, facts, present)
    finally:
        await connection.close()
    if weakness := weak(complete):
        log.error("%s", weakness)
    return complete


async def hold(connection: Any) -> None:
    """No other process decides about the keys of the database until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)


def _gone(facts: Mapping[str, str], settings: Settings) -> list[str]:
    """The faults of the key that is to wrap and sign."""
    first = next((name_of(number) for number in wrapping_keys(settings)), None)
    if first is None or facts.get(f"key.{first}") != DROPPED:
        return []
    return [f"{first} was dropped and must not sign or wrap again: set the current key of this database"]


async def _record(
    connection: "asyncpg.Connection[asyncpg.Record]", facts: Mapping[str, str], present: Mapping[str, str]
) -> None:
    """The fingerprints of keys that are new to the database, and of one that has replaced its predecessor."""
    shown = {
        key.fact: fingerprint(key.name, present[key.name])
        for key in known(present)
        if key.pinned and key.name in present and facts.get(key.fact) != DROPPED
    }
    if KEYS[0].fact in facts and facts[KEYS[0].fact] != shown[KEYS[0].fact]:
        log.warning(
            "%s was replaced; tokens of its predecessor are %s",
            SIGNING,
            "still good" if is_strong(present[PREVIOUS]) else "void, as that was too short",
        )
    await connection.executemany(
        "INSERT INTO instance_facts (name, value, created_at) VALUES ($1, $2, now())"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value, created_at = now()",
        [fact for fact in shown.items() if fact not in facts.items()],
    )
    made = "INSERT INTO instance_facts (name, value, created_at) VALUES ($1, $2, now()) ON CONFLICT (name) DO NOTHING"
    await connection.execute(made, EPOCH, secrets.token_hex(8))


def judge(facts: Mapping[str, str], present: Mapping[str, str], data_dir: Path) -> list[str]:
    """The faults of the present keys, one text each, for a database that recorded `facts`."""
    problems = []
    for key in known([*(fact.removeprefix("key.") for fact in facts), *present]):
        recorded, value = facts.get(key.fact), present.get(key.name)
        if recorded == DROPPED:
            continue
        if value is None:
            if recorded is not None or key.make is not None:
                problems.append(
                    f"{key.name} is missing, and the database is in use with one: set {key.name},"
                    f" or restore {secrets_path(data_dir)} from a backup. (A new instance needs an empty database.)"
                )
        elif recorded is None or _is(recorded, key.name, value):
            continue
        elif key.name == SIGNING and _is(recorded, SIGNING, present.get(PREVIOUS, "")):  # it is being replaced
            if not is_strong(value):
                problems.append(TOO_SHORT)
        else:
            problems.append(_another(key, data_dir))
    return problems


def _is(recorded: str, name: str, value: str) -> bool:
    return hmac.compare_digest(recorded, fingerprint(name, value))


def _another(key: Key, data_dir: Path) -> str:
    lost = (
        "To replace it on purpose, and lose what it protects,"
        f" delete the row '{key.fact}' of the table instance_facts first."
    )
    replaced = f"To replace it on purpose, set {PREVIOUS} to the previous one."
    return (
        f"{key.name} is not the key that this database is in use with: set the right one,"
        f" or restore {secrets_path(data_dir)} from a backup. {replaced if key.name == SIGNING else lost}"
    )


def weak(settings: Settings) -> str | None:
    """The remedy for a signing secret that is too short; None if it is long enough."""
    secret = settings.nextauth_secret
    if secret is None or is_strong(secret.get_secret_value()):
        return None
    return f"{TOO_SHORT}, and {PREVIOUS} to this one, so that the database accepts it; everybody has to sign in again"


def still_good(settings: Settings) -> str | None:
    """The predecessor of the signing secret whose tokens count. One too short only proves that it may be replaced."""
    previous = settings.nextauth_secret_previous
    value = "" if previous is None else previous.get_secret_value()
    return value if value and is_strong(value) else None


def wrapping_keys(settings: Settings) -> dict[int, bytes]:
    """The keys by number. The first wraps and signs: the highest one, or CREWSHIP_WRAPPING_KEY."""
    given = {1: settings.encryption_key, 2: settings.encryption_key_v2} | settings.encryption_keys
    present = {number: bytes.fromhex(key.get_secret_value()) for number, key in given.items() if key is not None}
    first = settings.wrapping_key or max(present, default=0)
    if present and first not in present:
        raise KeysError(f"CREWSHIP_WRAPPING_KEY is {first}, but {name_of(first)} is not set")
    return dict(sorted(present.items(), key=lambda each: (each[0] != first, -each[0])))


def vault(settings: Settings, store: KeyStore) -> Vault:
    """A vault that opens with any of the keys. A transit engine wraps, unless CREWSHIP_WRAPPING_KEY names
    another key.
    """
    transit = transit_of(settings)
    others = [] if transit is None else [transit]
    return Vault(wrapping_keys(settings), store, wrappings=others, own_first=settings.wrapping_key is not None)


def transit_of(settings: Settings) -> Transit | None:
    if settings.transit_address is None:
        return None
    token, secret = settings.transit_token, settings.transit_secret_id
    login = Login(
        token.get_secret_value() if token else None,
        settings.transit_token_file,
        settings.transit_role_id,
        secret.get_secret_value() if secret else None,
        settings.transit_secret_id_file,
    )
    mount, namespace = settings.transit_mount, settings.transit_namespace
    return Transit(settings.transit_address, settings.transit_key, login, mount=mount, namespace=namespace)


async def _try_transit(settings: Settings) -> None:
    """Ends a start that could read nothing, with the reason."""
    transit = transit_of(settings)
    if transit is None:
        return
    key, place = secrets.token_bytes(32), b"start"
    try:
        answered = await transit.unwrap(await transit.wrap(key, place), place)
    except (Refusal, Unwrappable) as error:
        raise KeysError(f"CREWSHIP_TRANSIT_ADDRESS, {settings.transit_address}: {error}") from None
    if not hmac.compare_digest(answered, key):
        raise KeysError(f"CREWSHIP_TRANSIT_ADDRESS, {settings.transit_address}: it does not unwrap what it wraps")


def _make_missing(settings: Settings) -> Settings:
    present = held(settings)
    made = {key.name: key.make() for key in KEYS if key.make is not None and key.name not in present}
    if not made:
        return settings
    kept = stored(settings.data_dir) | made
    text = (
        "# The keys of this instance."
        " Without this file its stored credentials cannot be read: back it up with the database.\n"
    )
    make_private(settings.data_dir)
    write_secret(secrets_path(settings.data_dir), text + "".join(f"{name}={value}\n" for name, value in kept.items()))
    return _applied(settings, made)


def _applied(settings: Settings, values: Mapping[str, str]) -> Settings:
    added: dict[str, Any] = {}
    for key in KEYS:
        if key.name in values and getattr(settings, key.field) is None:
            try:
                added[key.field] = key.form.validate_python(SecretStr(values[key.name]))
            except ValidationError:
                raise KeysError(
                    f"{key.name} in {secrets_path(settings.data_dir)}"
                    f" takes {Settings.model_fields[key.field].description}"
                ) from None
    further = _further(settings, values)
    return settings.model_copy(update=added | ({"encryption_keys": further} if further else {}))


def _further(settings: Settings, values: Mapping[str, str]) -> dict[int, SecretStr]:
    """CREWSHIP_ENCRYPTION_KEYS, completed by the keys that a restore has written to `secrets.env`."""
    stored = {int(match[1]): value for name, value in values.items() if (match := FURTHER.fullmatch(name))}
    try:
        known = {number: TypeAdapter(AesKey).validate_python(SecretStr(value)) for number, value in stored.items()}
    except ValidationError:
        raise KeysError(f"a key in {secrets_path(settings.data_dir)} is not 32 bytes in hexadecimal") from None
    return known | settings.encryption_keys if known else {}


def held(settings: Settings) -> dict[str, str]:
    """The keys in the settings, in clear: for fingerprints only."""
    values = {key.name: getattr(settings, key.field) for key in KEYS}
    values |= {name_of(number): key for number, key in settings.encryption_keys.items()}
    return {name: secret.get_secret_value() for name, secret in values.items() if secret is not None}
