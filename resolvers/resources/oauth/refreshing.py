"""Renewal of tokens that expire soon: a clock finds them, and a job renews them, one at a time for each credential. A
token that ends without renewal is expired.
"""

from datetime import timedelta
from typing import Final

from sqlalchemy import and_, not_
from sqlmodel import col

from models.resources.credentials import Credential, CredentialStatus, CredentialType
from resolvers.kernel import AcrossWorkspaces, Context, Id, Input, clock, constant, instance, job
from resolvers.kernel.store.across import has_secret
from resolvers.resources.credentials.events import CredentialExpired
from resolvers.resources.credentials.vault import opened
from resolvers.resources.oauth.client import Tokens
from resolvers.resources.oauth.tokens import kept

AHEAD: Final = timedelta(minutes=10)
PORTION: Final = 1_000
REFUSED: Final = "The authorization server did not renew the token"
# One that has a job waiting gets no second one: the job is unique.
_LIVE: Final = (col(Credential.status) == constant(CredentialStatus.ACTIVE),)
_RENEWABLE: Final = (
    has_secret(Credential.refresh_token),
    col(Credential.type) == constant(CredentialType.OAUTH2),
    col(Credential.oauth_client_id).is_not(None),
    col(Credential.oauth_token_url).is_not(None),
)

ENDED: Final = "The token has expired, and there is no refresh token"


class CredentialOfJob(Input):
    """A credential of the workspace."""

    credential_id: Id


DUE = clock("oauth.look_for_tokens", every=timedelta(minutes=5))
REFRESH = job(
    "oauth.refresh", CredentialOfJob, unique="{credential_id}", serial=True, attempts=5, emits=CredentialExpired
)

END = job("oauth.end", CredentialOfJob, unique="{credential_id}", emits=CredentialExpired)


async def enqueue_due(rows: AcrossWorkspaces) -> None:
    ends = col(Credential.oauth_expires_at)
    due = (*_LIVE, *_RENEWABLE, ends < instance.clock.now() + AHEAD)
    for row in await rows.everywhere.select(Credential, *due, order_by=ends, limit=PORTION):
        rows.enqueue(REFRESH, row["workspace_id"], credential_id=row["id"])


async def enqueue_ended(rows: AcrossWorkspaces) -> None:
    ends = col(Credential.oauth_expires_at)
    ended = (*_LIVE, not_(and_(*_RENEWABLE)), ends <= instance.clock.now())
    for row in await rows.everywhere.select(Credential, *ended, order_by=ends, limit=PORTION):
        rows.enqueue(END, row["workspace_id"], credential_id=row["id"])


async def due(ctx: Context, id: str) -> Credential | None:
    """The credential, if it is still due: another job may have renewed it."""
    credential = await ctx.select(Credential, col(Credential.id) == id).first()
    if credential is None or credential.status is not CredentialStatus.ACTIVE or credential.refresh_token is None:
        return None
    ends = credential.oauth_expires_at
    return credential if ends is not None and ends < instance.clock.now() + AHEAD else None


async def refresh_token_of(credential: Credential) -> str:
    """Raises Unopenable."""
    assert credential.refresh_token is not None
    return (await opened(credential.id, "refresh_token", credential.refresh_token)).reveal()


async def renew(ctx: Context, asked: Credential, tokens: Tokens) -> None:
    """Stores renewed tokens unless a user has reconnected the credential meanwhile."""
    credential = await _unchanged(ctx, asked)
    if credential is not None:
        await ctx.update(Credential, credential.id, **await kept(ctx, credential, tokens, instance.clock.now()))


async def expire(ctx: Context, asked: Credential) -> None:
    credential = await _unchanged(ctx, asked)
    if credential is not None:
        await _expired(ctx, credential, REFUSED)


async def end(ctx: Context, id: str) -> None:
    """Ends the credential unless a user has reconnected it or replaced its value meanwhile."""
    credential = await ctx.select(Credential, col(Credential.id) == id).locked().first()
    if credential is None or credential.status is not CredentialStatus.ACTIVE:
        return
    if credential.oauth_expires_at is not None and credential.oauth_expires_at <= instance.clock.now():
        await _expired(ctx, credential, ENDED)


async def _expired(ctx: Context, credential: Credential, why: str) -> None:
    await ctx.update(Credential, credential.id, status=CredentialStatus.EXPIRED, last_error=why)
    ctx.emit(CredentialExpired(credential_id=credential.id, reason=why))


async def _unchanged(ctx: Context, asked: Credential) -> Credential | None:
    found = await ctx.select(Credential, col(Credential.id) == asked.id).locked().first()
    if found is None or found.status is not CredentialStatus.ACTIVE or found.refresh_token != asked.refresh_token:
        return None
    return found
