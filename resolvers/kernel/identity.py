"""Credentials of a request -> Caller. Nothing is looked up here: a Caller is a claim, proven by each operation's gate."""

from collections.abc import Mapping
from datetime import timedelta

from models.auth import TokenTier
from resolvers.kernel import cookies
from resolvers.kernel.caller import Caller, CredentialKind
from resolvers.kernel.crypto import Claims, TokenExpired, TokenInvalid, TokenKind, hash_cli_token
from resolvers.kernel.errors import Reason
from resolvers.kernel.instance import instance

SESSION_LIFETIME = timedelta(days=30)
TICKET_LIFETIME = timedelta(minutes=15)
CLI_PREFIXES = ("crewship_cli_", "crewship_admin_")


def caller_of(headers: Mapping[bytes, bytes], *, client: str = "", forwarded: bool = False, https: bool = False, origin: str = "", path: str = "") -> Caller:
    """Authorization with exactly `Bearer ` wins, even when its value is bad; else the session cookie (contract: auth.selection)."""
    authorization = headers.get(b"authorization", b"")
    raw_cookies = headers.get(b"cookie")
    jar = cookies.parse(raw_cookies) if raw_cookies else {}
    if authorization[:7] == b"Bearer ":
        made = bearer(authorization[7:].decode("latin-1"))
    else:
        token = cookies.access_token(jar) if jar else None
        made = Caller(CredentialKind.NONE) if token is None else of_session_token(token)
    made.cookies, made.client, made.forwarded, made.https, made.origin, made.path = jar, client, forwarded, https, origin, path
    made.user_agent = headers.get(b"user-agent", b"").decode("latin-1").replace("\0", "")
    workspace = headers.get(b"x-workspace-id")
    made.workspace = workspace.decode("latin-1") if workspace else None
    key = headers.get(b"idempotency-key")
    made.idempotency_key = None if key is None else key.decode("latin-1")
    return made


def bearer(value: str) -> Caller:
    """A CLI token by its prefix; anything else is a session token (the CLI may send one as bearer)."""
    if not value.startswith(CLI_PREFIXES):
        return of_session_token(value)
    hashed = hash_cli_token(value, instance.admin_key)
    if hashed is None:
        return invalid(Reason.session_invalid)
    tier, hash = hashed
    return Caller(CredentialKind.ADMIN if tier is TokenTier.ADMIN else CredentialKind.TOKEN, hash)


def of_session_token(token: str) -> Caller:
    claims = read_token(TokenKind.access, token)
    if isinstance(claims, Reason):
        return invalid(claims)
    return Caller(CredentialKind.SESSION, claims.session_id or "", user_id=claims.user_id, session_id=claims.session_id)


def read_token(kind: TokenKind, token: str) -> Claims | Reason:
    """What a genuine token says, or the reason to refuse it."""
    try:
        return instance.signer.read(kind, token, now=instance.clock.seconds())
    except TokenExpired:
        return Reason.session_expired
    except TokenInvalid:
        return Reason.session_invalid


def invalid(reason: Reason) -> Caller:
    return Caller(CredentialKind.INVALID, reason=reason)


def session_cookies(caller: Caller) -> list[str]:
    """Set-Cookie values of the session this request opened or ended."""
    if caller.signed_in is not None:
        return cookies.set_session(caller.signed_in.access, caller.signed_in.refresh, https=caller.https)
    return cookies.clear_all() if caller.signed_out else []
