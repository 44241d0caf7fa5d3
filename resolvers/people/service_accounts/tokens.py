"""Tokens of service accounts: managers of the accounts create, rotate and revoke them; an account itself cannot."""

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field
from sqlalchemy import select
from sqlmodel import col

from models.base import table_of
from models.people.auth import CliToken, TokenTier
from models.people.service_accounts import ServiceAccount
from resolvers.kernel import (
    NOW,
    Absent,
    Action,
    Code,
    Context,
    Id,
    Input,
    Output,
    Refusal,
    Subject,
    Text,
    Topic,
    at_most,
    command,
    forbidden,
    procedure,
)
from resolvers.kernel.ground.inputs import INT32
from resolvers.kernel.ground.scopes import EVERYTHING, SCOPES
from resolvers.people.auth.cli_tokens import (
    DEFAULT_NAME,
    CreatedCliToken,
    RevokedCliToken,
    TokenName,
    expires_soon,
    known_scopes,
    new_token,
)
from resolvers.people.auth.token_rotation import Rotation, rotated
from resolvers.people.service_accounts.accounts import ENTITY, judge_role

ACCOUNT = Subject(ServiceAccount, "service_account_id", called="Service account")
MOST_LISTED = 500
UNKNOWN = "Token not found"


class OfServiceAccount(Input):
    service_account_id: Id


class TokenOfServiceAccount(OfServiceAccount):
    """A token of a service account."""

    token_id: Id


class CreateServiceAccountToken(OfServiceAccount):
    """An `expires_in_seconds` of 0 means never. Without `scopes` the token has all permissions of the account."""

    name: TokenName = ""
    expires_in_seconds: Annotated[int, Field(strict=True, ge=0, le=INT32)] = 0
    scopes: Annotated[list[Text], at_most(100)] = []


class RotateServiceAccountToken(Rotation, TokenOfServiceAccount):
    """The old token stays valid for `overlap_seconds`, at most 7 days and at most until its expiry."""


class ServiceAccountToken(Output):
    """A token of a service account, without its value. `expires_soon` as for CLI tokens; `scopes` may be `*`."""

    id: str
    name: str
    created_at: datetime
    expires_at: Annotated[datetime | None, Absent()] = None
    last_used_at: Annotated[datetime | None, Absent()] = None
    revoked_at: Annotated[datetime | None, Absent()] = None
    rotated_at: Annotated[datetime | None, Absent()] = None
    scopes: list[str]
    expires_soon: bool


@procedure("service_accounts.tokens.list", Action.MANAGE, subject=ACCOUNT)
async def list_service_account_tokens(
    ctx: Context, account: ServiceAccount, data: OfServiceAccount
) -> list[ServiceAccountToken]:
    """List tokens of a service account.

    Newest first, including revoked and expired ones; at most 500.
    """
    tokens = table_of(CliToken)
    shown = [tokens.c[name] for name in ServiceAccountToken.model_fields if name != "expires_soon"]
    listed = (
        select(*shown, expires_soon(tokens.c).label("expires_soon"))
        .where(tokens.c.user_id == account.id)
        .order_by(tokens.c.created_at.desc(), tokens.c.id.desc())
        .limit(MOST_LISTED)
    )
    return [ServiceAccountToken(**dict(row)) for row in await ctx.report(listed)]


@command(
    "service_accounts.tokens.create",
    Action.MANAGE,
    subject=ACCOUNT,
    locked=True,
    audit="service_account.token_created",
    errors=(Code.FORBIDDEN,),
    secret=True,
)
async def create_service_account_token(
    ctx: Context, account: ServiceAccount, data: CreateServiceAccountToken
) -> CreatedCliToken:
    """Create a token of a service account.

    No scope can exceed the role of the account. Only an owner can create tokens for an account with the role
    ADMIN.
    """
    judge_role(ctx, account)
    scopes = known_scopes(data.scopes) or [EVERYTHING]
    beyond = next((scope for scope in scopes if scope != EVERYTHING and account.role not in SCOPES[scope]), None)
    if beyond is not None:
        raise forbidden(f"The scope '{beyond}' exceeds the role of the service account")
    value, token_hash = new_token(TokenTier.STANDARD)
    now = await ctx.now()
    token = CliToken(
        user_id=account.id,
        name=data.name or DEFAULT_NAME,
        token_hash=token_hash,
        scopes=scopes,
        expires_at=now + timedelta(seconds=data.expires_in_seconds) if data.expires_in_seconds else None,
    )
    ctx.audit(ENTITY, account.id, token_id=token.id, name=token.name, scopes=scopes)
    await ctx.insert(token)
    return CreatedCliToken.of(token, value, now)


async def _locked_token(ctx: Context, account: ServiceAccount, id: str) -> CliToken:
    own = col(CliToken.id) == id, col(CliToken.user_id) == account.id
    return await ctx.select(CliToken, *own, including_hidden=True).locked().one(UNKNOWN)


@command(
    "service_accounts.tokens.rotate",
    Action.MANAGE,
    subject=ACCOUNT,
    locked=True,
    audit="service_account.token_rotated",
    errors=(Code.FORBIDDEN, Code.CONFLICT),
    secret=True,
)
async def rotate_service_account_token(
    ctx: Context, account: ServiceAccount, data: RotateServiceAccountToken
) -> CreatedCliToken:
    """Rotate a token of a service account.

    The new token has the name, scopes and lifetime of the old one, which ends at once or after the overlap. A token is
    rotated once; CONFLICT if it was rotated, has expired or is revoked.
    """
    judge_role(ctx, account)
    token = await _locked_token(ctx, account, data.token_id)
    made = await rotated(ctx, token, data.overlap_seconds)
    ctx.audit(ENTITY, account.id, token_id=token.id, successor_id=made.id, name=token.name)
    return made


@command("service_accounts.tokens.revoke", Action.MANAGE, subject=ACCOUNT, audit="service_account.token_revoked")
async def revoke_service_account_token(
    ctx: Context, account: ServiceAccount, data: TokenOfServiceAccount
) -> RevokedCliToken:
    """Revoke a token of a service account.

    Idempotent.
    """
    own = col(CliToken.id) == data.token_id, col(CliToken.user_id) == account.id
    if not await ctx.select(CliToken, *own, including_hidden=True).exists():
        raise Refusal(Code.NOT_FOUND, UNKNOWN)
    await ctx.update_where(CliToken, *own, col(CliToken.revoked_at).is_(None), including_hidden=True, revoked_at=NOW)
    ctx.ring(Topic.access, account.id)
    ctx.audit(ENTITY, account.id, token_id=data.token_id)
    return RevokedCliToken()
