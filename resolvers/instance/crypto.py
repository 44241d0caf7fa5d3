"""Signed session tokens, CLI tokens and random secrets (contract: auth.methods)."""

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

from models.people.auth import TokenTier
from resolvers.instance.ciphers import derived

LEEWAY = 5  # seconds after its expiry that a token is still good (contract: session_cookie.expiry_leeway)
CLI_PREFIXES = {TokenTier.STANDARD: "crewship_cli_", TokenTier.ADMIN: "crewship_admin_"}

LEAST_SECRET = 32  # bytes

_ALGORITHM = "HS256"
_VERIFIED_TOKENS = 4096
# Browsers drop a cookie of more than 4096 bytes, so no token of ours is longer, and a longer one is none of ours.
_LONGEST_TOKEN = 4096
_LONGEST_NAME, _LONGEST_EMAIL = 96, 320


class TokenKind(StrEnum):
    access = "access"
    refresh = "refresh"
    ws = "ws"


class TokenInvalid(Exception):
    """Malformed, forged, of another kind, or without a claim that its kind needs."""


class TokenExpired(Exception):
    """Genuine, and past its expiry and the leeway."""


class MalformedKey(ValueError):
    """A configured key that cannot be used; never carries the key."""


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """The claims of a token. Times are unix seconds.

    A ws ticket names the credential that requested it: `session_id`, or the id of a CLI token in `token_id`.
    `generation`, of an access token: how often its session had been refreshed.
    """

    user_id: str
    name: str
    email: str
    session_id: str | None
    kind: TokenKind
    issued_at: int
    expires_at: int
    jti: str
    token_id: str | None = None
    generation: int = 0


class Signer:
    """Creates and reads the three kinds of tokens, each with a key of its own, so that none can replace another.

    `previous`: an earlier secret, whose tokens remain valid; new ones are not signed with it.
    """

    def __init__(self, secret: str, previous: str | None = None) -> None:
        if not secret:
            raise MalformedKey("the token secret is empty")
        self._keys = _keys(secret)
        self._resets = derived(secret.encode(), salt=b"crewship.reset", info=b"crewship reset token v1")
        self._codes = derived(secret.encode(), salt=b"crewship.code", info=b"crewship short code v1")
        self._verifying = [self._keys, *([_keys(previous)] if previous else [])]
        # A token's bytes never change their meaning, except by time, which `read` looks at on every call. Refused ones
        # raise, and are therefore not kept: junk cannot push good tokens out.
        self._verified = lru_cache(maxsize=_VERIFIED_TOKENS)(self._verify)

    def sign(
        self,
        kind: TokenKind,
        *,
        user_id: str,
        lifetime: timedelta,
        session_id: str | None = None,
        token_id: str | None = None,
        generation: int = 0,
        name: str = "",
        email: str = "",
        now: float | None = None,
    ) -> tuple[str, TokenClaims]:
        """A new token and its claims. A long name or email is truncated: it is for display, and the cookie has a size
        limit.
        """
        issued_at = int(time.time() if now is None else now)
        claims = TokenClaims(
            user_id=user_id,
            name=name[:_LONGEST_NAME],
            email=email[:_LONGEST_EMAIL],
            session_id=session_id,
            kind=kind,
            issued_at=issued_at,
            expires_at=issued_at + int(lifetime.total_seconds()),
            jti=secrets.token_hex(16),
            token_id=token_id,
            generation=generation,
        )
        if not user_id or not _is_bound(kind, session_id, token_id):
            raise ValueError(f"{kind} tokens need a user and a session")
        import jwt

        return jwt.encode(_payload(claims), self._keys[kind], algorithm=_ALGORITHM), claims

    def reset_token(self, id: str) -> str:
        """The token (hex) of a link to reset a password: the same whenever the same reset is mailed again."""
        return hmac.new(self._resets, id.encode(), "sha256").hexdigest()

    def decision_token(self, id: str) -> str:
        """The token (hex) of a link that decides: the same whenever the same question is sent again."""
        return hmac.new(self._resets, f"decision {id}".encode(), "sha256").hexdigest()

    def runner_token(self, id: str) -> str:
        """The secret part (hex) of a runner's token: a wrong one is refused before the database is asked."""
        return hmac.new(self._resets, f"runner {id}".encode(), "sha256").hexdigest()

    def routine_token(self, tested: str) -> str:
        """The signature (hex) of a save token: of what was tested, when, and by whom."""
        return hmac.new(self._resets, f"routine {tested}".encode(), "sha256").hexdigest()

    def email_token(self, id: str) -> str:
        """The token (hex) of a link to confirm an email: the same whenever the same change is mailed again."""
        return hmac.new(self._resets, f"email {id}".encode(), "sha256").hexdigest()

    def code_hash(self, code: str) -> str:
        """The keyed hash (hex) under which a short code is stored: from a plain one it could be guessed."""
        return hmac.new(self._codes, code.encode(), "sha256").hexdigest()

    def read(self, kind: TokenKind, token: str, *, now: float) -> TokenClaims:
        """The claims of a genuine, unexpired token; raises TokenExpired, or TokenInvalid for everything else."""
        if len(token) > _LONGEST_TOKEN or not token.isascii():
            raise TokenInvalid
        claims = self._verified(kind, token)
        if now > claims.expires_at + LEEWAY:
            raise TokenExpired
        return claims

    def _verify(self, kind: TokenKind, token: str) -> TokenClaims:
        import jwt

        for keys in self._verifying:
            try:
                payload = jwt.decode(token, keys[kind], algorithms=[_ALGORITHM], options=_SIGNATURE_ONLY)
            except jwt.PyJWTError:
                continue
            return _claims(kind, payload)
        raise TokenInvalid


# The claims are this module's to judge: the library would count a future `iat` as a fault, and one process's clock may
# be ahead of another's.
_SIGNATURE_ONLY: Any = {
    "verify_exp": False,
    "verify_iat": False,
    "verify_nbf": False,
    "verify_aud": False,
    "verify_iss": False,
    "verify_sub": False,
}


def _keys(secret: str) -> dict[TokenKind, bytes]:
    return {
        kind: derived(secret.encode(), salt=b"crewship.token", info=f"crewship {kind} token v1".encode())
        for kind in TokenKind
    }


def _payload(claims: TokenClaims) -> dict[str, str | int]:
    payload: dict[str, str | int] = {
        "id": claims.user_id,
        "kind": claims.kind.value,
        "iat": claims.issued_at,
        "exp": claims.expires_at,
        "jti": claims.jti,
    }
    if claims.session_id is not None:
        payload["sid"] = claims.session_id
    if claims.token_id is not None:
        payload["tid"] = claims.token_id
    if claims.kind is TokenKind.access:
        payload["gen"] = claims.generation
    if claims.kind is not TokenKind.refresh:
        payload["name"], payload["email"] = claims.name, claims.email
    return payload


def _claims(kind: TokenKind, payload: dict[str, Any]) -> TokenClaims:
    user_id, session_id, token_id, jti, issued_at, expires_at = (
        payload.get(key) for key in ("id", "sid", "tid", "jti", "iat", "exp")
    )
    generation = payload.get("gen", 0)  # absent in tokens of releases that did not count
    name, email = payload.get("name", ""), payload.get("email", "")
    if payload.get("kind") != kind.value:
        raise TokenInvalid
    if not (
        isinstance(user_id, str)
        and user_id
        and isinstance(jti, str)
        and jti
        and isinstance(name, str)
        and isinstance(email, str)
    ):
        raise TokenInvalid
    if (
        type(issued_at) is not int
        or type(expires_at) is not int
        or type(generation) is not int
        or not 0 <= generation < 2**31 - 1
    ):
        raise TokenInvalid
    if not _is_bound(kind, session_id, token_id):
        raise TokenInvalid
    return TokenClaims(user_id, name, email, session_id, kind, issued_at, expires_at, jti, token_id, generation)


def _is_bound(kind: TokenKind, session_id: Any, token_id: Any) -> bool:
    """Returns true if a token names the one credential that it expires with; only a ws ticket can name a CLI token."""
    named = [id for id in (session_id, token_id) if id is not None]
    return (
        len(named) == 1 and isinstance(named[0], str) and bool(named[0]) and (token_id is None or kind is TokenKind.ws)
    )


def is_strong(secret: str) -> bool:
    """Returns true if a secret has the 32 bytes of the hash that uses it; two hexadecimal digits make a byte.

    The owner of a token can test guesses of the secret (RFC 7518, 3.2, requires this length).
    """
    return len(secret.encode()) // (2 if re.fullmatch(r"[0-9a-fA-F]+", secret) else 1) >= LEAST_SECRET


def setup_token(secret: str) -> str:
    """The token of the link that creates the first user, the same in every process and start of an instance (hex)."""
    return derived(secret.encode(), salt=b"crewship.setup", info=b"crewship setup token v1").hex()


def new_cli_token(tier: TokenTier) -> str:
    return CLI_PREFIXES[tier] + secrets.token_hex(32)


def cli_token_tier(token: str) -> TokenTier | None:
    """Which tier a bearer value claims by its prefix; None when it is no CLI token but a session token."""
    for tier, prefix in CLI_PREFIXES.items():
        if token.startswith(prefix):
            return tier
    return None


def hash_cli_token(token: str, admin_key: bytes | None) -> tuple[TokenTier, str] | None:
    """The tier and the hash (hex) under which a CLI token is stored; None when no stored token can match this value.

    STANDARD is SHA-256; ADMIN is HMAC-SHA256 under `admin_key`, and so matches nothing where that key is absent.
    """
    tier = cli_token_tier(token)
    if tier is None or not token.isascii() or len(token) != len(CLI_PREFIXES[tier]) + 64:
        return None
    if tier is TokenTier.STANDARD:
        return tier, digest(token)
    return None if admin_key is None else (tier, hmac.new(admin_key, token.encode(), "sha256").hexdigest())


def admin_hmac_key(configured: str | None) -> bytes | None:
    """CREWSHIP_ADMIN_TOKEN_HMAC_KEY as bytes; None if absent or blank, MalformedKey unless 32 bytes of hex or more."""
    if configured is None or not configured.strip():
        return None
    try:
        key = bytes.fromhex(configured)
    except ValueError:
        raise MalformedKey("the admin token HMAC key is not hexadecimal") from None
    if len(key) < 32:
        raise MalformedKey("the admin token HMAC key is shorter than 32 bytes")
    return key


def new_session_id() -> str:
    return "s_" + secrets.token_hex(32)


def new_device_token() -> str:
    return secrets.token_hex(32)


def digest(text: str) -> str:
    """SHA-256 in hex, of a value that cannot be guessed."""
    return hashlib.sha256(text.encode()).hexdigest()


def new_csrf_token() -> str:
    return secrets.token_hex(32)


def secret_equals(left: str, right: str) -> bool:
    """Compares in a time that reveals only the lengths; takes any text, unlike `hmac.compare_digest`."""
    return hmac.compare_digest(left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))
