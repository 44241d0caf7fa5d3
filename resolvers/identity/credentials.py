"""Credentials of a request -> Caller. Nothing is looked up: a Caller is a claim, proven by each operation's gate."""

from collections.abc import Callable, Mapping
from datetime import timedelta

from models.people.auth import TokenTier
from resolvers.errors import Reason, Refusal
from resolvers.identity import cookies, machine_tokens, webhook_senders
from resolvers.identity.caller import Caller, CredentialKind, IssuedCsrfToken, KnownBrowser, SessionChange
from resolvers.instance.addresses import AddressReach
from resolvers.instance.crypto import TokenClaims, TokenExpired, TokenInvalid, TokenKind, hash_cli_token
from resolvers.instance.running import instance

SESSION_LIFETIME = timedelta(days=30)
TICKET_LIFETIME = timedelta(minutes=15)
CLOCKS_APART = 60  # seconds that the clock of the process that signed a ticket may be ahead
CLI_PREFIXES = ("crewship_cli_", "crewship_admin_")


def caller_of(
    headers: Mapping[bytes, bytes],
    *,
    client: str,
    forwarded: bool,
    local_socket: bool,
    https: bool = False,
    origin: str = "",
    path: str = "",
) -> Caller:
    """Exactly `Bearer ` in Authorization wins, even a bad one; else the session cookie (contract: auth.selection).

    A `Bearer` with nothing behind it is none.
    """
    # blanks around a value are no part of it (RFC 9110, 5.5)
    authorization = headers.get(b"authorization", b"").strip()
    raw_cookies = headers.get(b"cookie")
    jar = cookies.parse(raw_cookies) if raw_cookies else {}
    if authorization[:7] == b"Bearer ":
        made = bearer(authorization[7:].decode("latin-1"))
    else:
        token = cookies.access_token(jar, https=https) if jar else None
        made = Caller(CredentialKind.NONE) if token is None else of_session_token(token)
    made.cookies, made.https, made.origin, made.local_socket = jar, https, origin, local_socket
    return _arrived(made, headers, client, forwarded, path)


def internal(
    headers: Mapping[bytes, bytes], *, client: str, forwarded: bool, local_socket: bool, path: str = ""
) -> Caller:
    """The caller of an internal route, by X-Internal-Token: neither a session nor a CLI token counts there (contract:
    auth.internal_token).
    """
    settings, token = instance.settings, headers.get(b"x-internal-token")
    master = settings.internal_token.get_secret_value() if settings.internal_token else ""
    peer = machine_tokens.CallOrigin(client, forwarded, local_socket)
    try:
        principal = machine_tokens.verify_internal(
            token.decode("latin-1") if token else None,
            master=master,
            caller=peer,
            allow_any=settings.internal_allow_any,
        )
    except Refusal as refusal:
        return _arrived(Caller(CredentialKind.INVALID, refused=refusal), headers, client, forwarded, path)
    if isinstance(principal, machine_tokens.Master):
        made = Caller(CredentialKind.INTERNAL, "internal", any_workspace=True)
    else:
        bound = principal.workspace_id
        made = Caller(CredentialKind.INTERNAL, "internal", bound=bound, workspace=bound)
    made.from_loopback = peer.reach is AddressReach.LOOPBACK
    if user_id := headers.get(b"x-caller-user-id"):
        signature = headers.get(b"x-caller-signature", b"").decode("latin-1")
        shown = token.decode("latin-1") if token else ""
        made.on_behalf = machine_tokens.OnBehalf(user_id.decode("latin-1"), signature, shown)
    return _arrived(made, headers, client, forwarded, path)


def webhook(
    headers: Mapping[bytes, bytes],
    body: bytes,
    *,
    client: str,
    forwarded: bool,
    path: str = "",
    read: Callable[[Mapping[bytes, bytes]], webhook_senders.SenderClaim] = webhook_senders.read_claim,
) -> Caller:
    """The claims of a webhook; a guard verifies them once it knows the secret (contract: webhooks.trigger)."""
    try:
        shown = read(headers)
    except Refusal as refusal:
        return _arrived(Caller(CredentialKind.INVALID, refused=refusal), headers, client, forwarded, path)
    return _arrived(
        Caller(CredentialKind.WEBHOOK, "webhook", webhook=shown, body=body), headers, client, forwarded, path
    )


def _arrived(made: Caller, headers: Mapping[bytes, bytes], client: str, forwarded: bool, path: str) -> Caller:
    made.client, made.forwarded, made.path = client, forwarded, path
    made.user_agent = headers.get(b"user-agent", b"").decode("latin-1").replace("\0", "")
    workspace = headers.get(b"x-workspace-id")
    if workspace:
        made.workspace = workspace.decode("latin-1")
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
    return Caller(CredentialKind.SESSION, claims.session_id or "", user_id=claims.user_id, generation=claims.generation)


def ticket(token: str, *, client: str, forwarded: bool, user_agent: str = "", path: str = "") -> Caller:
    """The caller of a live channel's ticket: good as long as the session or CLI token it names (contract: ws.token)."""
    claims = read_token(TokenKind.ws, token)
    if isinstance(claims, Reason):
        return invalid(claims)
    if (
        claims.expires_at - claims.issued_at > TICKET_LIFETIME.total_seconds()
        or claims.issued_at > instance.clock.seconds() + CLOCKS_APART
    ):
        return invalid(Reason.session_invalid)  # signed, but not by `ws.token`
    if claims.token_id is not None:
        made = Caller(CredentialKind.TOKEN_TICKET, claims.token_id, user_id=claims.user_id)
    else:
        made = Caller(CredentialKind.SESSION_TICKET, claims.session_id or "", user_id=claims.user_id)
    made.client, made.forwarded, made.user_agent, made.path = client, forwarded, user_agent.replace("\0", ""), path
    return made


def read_token(kind: TokenKind, token: str) -> TokenClaims | Reason:
    """The claims of a genuine token, or the reason to refuse it."""
    try:
        return instance.signer.read(kind, token, now=instance.clock.seconds())
    except TokenExpired:
        return Reason.session_expired
    except TokenInvalid:
        return Reason.session_invalid


def invalid(reason: Reason) -> Caller:
    return Caller(CredentialKind.INVALID, reason=reason)


def session_cookies(session: SessionChange | None, *, https: bool) -> list[str]:
    """The Set-Cookie values for the request's effect on the session."""
    if session is None:
        return []
    if session == "ended":
        return cookies.clear_all()
    if isinstance(session, KnownBrowser):
        return [cookies.set_browser(session.value, https=https)]
    if isinstance(session, IssuedCsrfToken):
        return cookies.set_csrf(session.value, https=https)
    made = cookies.set_session(session.access, session.refresh, https=https)
    return made if session.device is None else [*made, cookies.set_device(session.device, https=https)]
