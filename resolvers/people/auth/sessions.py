"""Browser sessions: login opens, refresh rotates, users list and end them (contract: conventions, sessions)."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from sqlalchemy import and_, func, or_
from sqlmodel import col

from models.people.auth import RevokedReason, Session, SignInDevice, User, is_service_account
from resolvers.identity import cookies, credentials
from resolvers.identity.caller import IssuedSession
from resolvers.identity.credentials import SESSION_LIFETIME
from resolvers.instance.crypto import TokenClaims, TokenKind, new_session_id
from resolvers.kernel import (
    NOW,
    REST_ONLY,
    Absent,
    Action,
    Auth,
    ById,
    Code,
    Context,
    NoInput,
    Output,
    Reason,
    Refusal,
    Tenancy,
    Topic,
    command,
    forbidden,
    graph,
    instance,
    procedure,
    unauthenticated,
)
from resolvers.kernel.admission.gate import OVERLAP
from resolvers.people.auth.devices import remember_device

LONGEST_USER_AGENT, LONGEST_ADDRESS = 250, 64  # characters that are kept
MOST_SESSIONS = 1000  # in a list

graph(Session, gate=Action.SELF, scope=None, visible=lambda session, scope: session.user_id == scope.user_id)


class SessionUser(Output):
    id: str
    name: str
    email: str
    avatar_url: str | None


class CurrentSession(Output):
    """The signed-in user and the time the session expires; empty without a session."""

    user: Annotated[SessionUser | None, Absent()] = None
    expires: Annotated[datetime | None, Absent()] = None


class RefreshedSession(Output):
    """`expires`: when the new session cookie expires."""

    ok: bool = True
    expires: datetime


class SignedOut(Output):
    """`url` is the sign-in page."""

    url: str = "/login"


class ActiveSession(Output):
    """A session that is neither revoked nor expired. `is_current` marks the session of this request."""

    id: str
    created_at: datetime
    last_used_at: datetime
    user_agent: Annotated[str | None, Absent()] = None
    ip: Annotated[str | None, Absent()] = None
    is_current: bool


class RevokedSession(Output):
    """The session has ended; `is_current` marks the session of this request."""

    ok: bool = True
    id: str
    is_current: bool


async def open_session(ctx: Context, user: User, device: SignInDevice | None = None) -> IssuedSession:
    """Signs the user in, in the caller's transaction: the transport hands the tokens out once it is committed.

    `device`: the browser, if it is known to have signed in before.
    """
    if is_service_account(user.id):
        raise forbidden("A service account has no sessions")
    cookie = await remember_device(ctx, user, device)
    until, id = await ctx.now() + SESSION_LIFETIME, new_session_id()
    issued, jti = _issue(user, id, 0, until)
    caller = ctx.caller
    await ctx.insert(
        Session(
            id=id,
            user_id=user.id,
            expires_at=until,
            user_agent=caller.user_agent[:LONGEST_USER_AGENT],
            ip=caller.client[:LONGEST_ADDRESS],
            current_refresh_jti=jti,
        )
    )
    ctx.session = replace(issued, device=cookie)
    ctx.user_id = ctx.user_id or user.id
    return issued


def _issue(user: User, session_id: str, generation: int, until: datetime) -> tuple[IssuedSession, str]:
    """New tokens of a session, and the id of the refresh token. No token outlives the session: `until` is its end.

    Tokens are signed and read without a database, so by the clocks of the processes; they are for minutes and days, and
    sessions end by PostgreSQL's.
    """
    now = instance.clock.now()
    sign = partial(
        instance.signer.sign,
        user_id=user.id,
        session_id=session_id,
        lifetime=min(SESSION_LIFETIME, until - now),
        now=now.timestamp(),
    )
    access, claims = sign(TokenKind.access, generation=generation, name=user.full_name or "", email=user.email)
    refresh, refresh_claims = sign(TokenKind.refresh)
    return IssuedSession(access, refresh, _time(claims.expires_at)), refresh_claims.jti


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@procedure("auth.session", Action.NONE, auth=Auth.NONE, surfaces=REST_ONLY)
async def get_session(ctx: Context, data: NoInput) -> CurrentSession:
    """Get the current session.

    Reads the session cookie of the request's scheme, and ignores the Authorization header. Returns an empty object
    without a session; an invalid cookie is cleared.
    """
    token = cookies.scheme_access_token(ctx.caller.cookies, https=ctx.caller.https)
    if token is None:
        return CurrentSession()
    claims = credentials.read_token(TokenKind.access, token)
    if isinstance(claims, Reason) or not await _is_active(ctx, claims):
        ctx.session = "ended"
        return CurrentSession()
    user = await ctx.get(User, claims.user_id)
    shown = SessionUser(id=user.id, name=claims.name, email=claims.email, avatar_url=user.avatar_url)
    return CurrentSession(user=shown, expires=_time(claims.expires_at))


async def _is_active(ctx: Context, claims: TokenClaims) -> bool:
    """Returns true if the gate would accept this access token."""
    active = ctx.select(
        Session,
        col(Session.id) == claims.session_id,
        col(Session.user_id) == claims.user_id,
        col(Session.revoked_at).is_(None),
    )
    before = and_(col(Session.generation) == claims.generation + 1, col(Session.refreshed_at) > func.now() - OVERLAP)
    return await active.where(
        col(Session.expires_at) > func.now(), or_(col(Session.generation) == claims.generation, before)
    ).exists()


@command(
    "auth.refresh",
    Action.NONE,
    auth=Auth.NONE,
    errors=(Code.UNAUTHENTICATED, Code.FORBIDDEN),
    writes_on_refusal=True,
    cookies=True,
)
async def refresh_session(ctx: Context, data: NoInput) -> RefreshedSession:
    """Refresh the session.

    Exchanges the refresh cookie for new session and refresh cookies. The previous access token stays valid for another
    minute, for requests in flight.

    A refresh token can be used once. Reuse may mean that it was stolen, and ends the session. If several calls
    use the same token, one succeeds and the session ends.
    """
    caller = ctx.caller
    token = cookies.refresh_token(caller.cookies, https=caller.https)
    if token is None:
        raise unauthenticated(Reason.session_expired)
    claims = credentials.read_token(TokenKind.refresh, token)
    if isinstance(claims, Reason):
        raise _ended(Reason.session_expired)
    session = (
        await ctx.select(Session, col(Session.id) == claims.session_id, col(Session.user_id) == claims.user_id)
        .locked()
        .first()
    )
    if session is None or session.revoked_at is not None:
        raise _ended(Reason.session_revoked)
    if session.expires_at <= await ctx.now():
        raise _ended(Reason.session_expired)
    if session.current_refresh_jti not in (None, claims.jti):
        await ctx.update(Session, session.id, revoked_at=NOW, revoked_reason=RevokedReason.rotation)
        ctx.ring(Topic.access, session.user_id)
        ctx.account = session.user_id
        ctx.audit("SESSION", session.id, action="session.revoked", personal=True, reason=RevokedReason.rotation)
        refusal = _ended(Reason.session_revoked)
        refusal.commit = True
        raise refusal
    generation = session.generation + 1
    issued, jti = _issue(await ctx.get(User, session.user_id), session.id, generation, session.expires_at)
    await ctx.update(
        Session, session.id, current_refresh_jti=jti, last_used_at=NOW, generation=generation, refreshed_at=NOW
    )
    ctx.session = issued
    return RefreshedSession(expires=issued.expires)


def _ended(reason: Reason) -> Refusal:
    """The refusal of a cookie that will never be good again: it is cleared."""
    return unauthenticated(reason, ends_session=True)


@command("auth.signout", Action.NONE, audit="session.closed", auth=Auth.NONE, cookies=True)
async def sign_out(ctx: Context, data: NoInput) -> SignedOut:
    """Sign out.

    Ends the session of the session cookie, or otherwise of the refresh cookie, and clears the cookies. Succeeds
    also without a session.
    """
    jar, https = ctx.caller.cookies, ctx.caller.https
    ctx.session = "ended"
    for kind, token in (
        (TokenKind.access, cookies.access_token(jar, https=https)),
        (TokenKind.refresh, cookies.refresh_token(jar, https=https)),
    ):
        claims = None if token is None else credentials.read_token(kind, token)
        if isinstance(claims, TokenClaims):
            await _revoke(ctx, claims.session_id or "", claims.user_id, RevokedReason.logout)
            break
    return SignedOut()


async def _revoke(ctx: Context, id: str, user_id: str, reason: RevokedReason) -> None:
    """The first end of a session is the one that is remembered."""
    ctx.account = user_id
    own = (col(Session.id) == id, col(Session.user_id) == user_id, col(Session.revoked_at).is_(None))
    await ctx.update_where(Session, *own, revoked_at=NOW, revoked_reason=reason)
    ctx.ring(Topic.access, user_id)


async def end_sessions(ctx: Context, user_id: str, reason: RevokedReason, *, but: str = "") -> int:
    """Ends all sessions of a user and closes their sockets. `but`: a session to keep. Returns their number."""
    own = (col(Session.user_id) == user_id, col(Session.id) != but)
    active = (col(Session.revoked_at).is_(None), col(Session.expires_at) > func.now())
    ended = await ctx.update_where(Session, *own, *active, revoked_at=NOW, revoked_reason=reason)
    ctx.ring(Topic.access, user_id)
    return len(ended)


@procedure("auth.sessions_list", Action.SELF, tenancy=Tenancy.NONE)
async def list_sessions(ctx: Context, data: NoInput) -> list[ActiveSession]:
    """List active sessions.

    Lists the caller's sessions that are neither revoked nor expired, last used first, at most 1000.
    """
    own = ctx.select(Session, col(Session.revoked_at).is_(None), col(Session.expires_at) > func.now())
    return [
        ActiveSession(
            id=session.id,
            created_at=session.created_at,
            last_used_at=session.last_used_at,
            user_agent=session.user_agent or None,
            ip=session.ip or None,
            is_current=session.id == ctx.credential_id,
        )
        for session in await own.order_by(col(Session.last_used_at).desc(), col(Session.id)).limit(MOST_SESSIONS).all()
    ]


@command("auth.sessions_revoke", Action.SELF, audit="session.revoked", tenancy=Tenancy.NONE, errors=(Code.NOT_FOUND,))
async def revoke_session(ctx: Context, data: ById) -> RevokedSession:
    """Revoke a session.

    Only the caller's own, including the current one. Idempotent.
    """
    await ctx.get(Session, data.id, missing="Session not found")
    await _revoke(ctx, data.id, ctx.user_id, RevokedReason.admin_force)
    return RevokedSession(id=data.id, is_current=data.id == ctx.credential_id)
