"""CLI tokens: bearer tokens of scripts and command lines, which act as the user who made them."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from sqlalchemy import and_, false, func
from sqlalchemy.dialects.postgresql import INTERVAL, JSONB
from sqlmodel import col

from models import bounds
from models.people.auth import CliToken, TokenTier, User
from models.people.workspaces import Role
from resolvers.instance.crypto import hash_cli_token, new_cli_token
from resolvers.kernel import (
    NOW,
    Absent,
    Action,
    ById,
    Code,
    Context,
    Input,
    NoInput,
    Output,
    QueryScope,
    Refusal,
    Rows,
    Tenancy,
    Text,
    Topic,
    at_most,
    command,
    constant,
    derived,
    forbidden,
    graph,
    instance,
    interval,
    invalid,
    procedure,
    query,
)
from resolvers.kernel.ground.inputs import INT32
from resolvers.kernel.ground.policy import lowest
from resolvers.kernel.ground.scopes import OPEN, SCOPES

DEFAULT_NAME = "CLI token"
ADMIN_SHORTEST, ADMIN_DEFAULT, ADMIN_LONGEST = 60, 24 * 3600, 7 * 24 * 3600  # seconds
NO_KEY = "ADMIN tokens need CREWSHIP_ADMIN_TOKEN_HMAC_KEY, which this server does not have"
WEEK: Any = interval(INTERVAL(), days=7)
NOTHING: Any = constant(timedelta(0), INTERVAL())
QUARTERS: Any = constant(4)

graph(
    CliToken,
    gate=Action.SELF,
    scope=None,
    visible=lambda token, scope: token.user_id == scope.user_id,
    limited_to=derived(list[str], lambda token, _: func.nullif(token.scopes, constant([]), type_=JSONB())),
    expires_soon=derived(bool, lambda token, _: expires_soon(token)),
)


def expires_soon(token: Any) -> Any:
    """True if a valid token without a successor expires within a week, or is in the last quarter of a shorter life."""
    left, life = token.expires_at - func.now(), token.expires_at - token.created_at
    alone = and_(token.revoked_at.is_(None), token.rotated_at.is_(None))
    return func.coalesce(and_(left > NOTHING, left < WEEK, left.op("*", precedence=8)(QUARTERS) < life, alone), false())


def _tier(raw: Any) -> Any:
    return raw.strip().upper() or TokenTier.STANDARD if isinstance(raw, str) else raw


def _seconds(raw: Any) -> Any:
    """Clamps a whole number to the allowed range: a negative lifetime is none."""
    return min(max(raw, 0), INT32) if type(raw) is int else raw


TokenName = Annotated[str, Field(strict=True, max_length=bounds.NAME)]


class CreateCliToken(Input):
    """An `expires_in_seconds` of 0 means the default of the tier: never for STANDARD, 24 hours for ADMIN.

    An ADMIN token lives at most 7 days. Without `scopes` the token has all permissions of its user.
    """

    name: TokenName = ""
    tier: Annotated[TokenTier, BeforeValidator(_tier)] = TokenTier.STANDARD
    expires_in_seconds: Annotated[int, BeforeValidator(_seconds), Field(strict=True)] = 0
    scopes: Annotated[list[Text], at_most(100)] = []


class CreatedCliToken(Output):
    """A new token. Its value is returned only here."""

    token: str = Field(repr=False)
    id: str
    name: str
    tier: TokenTier
    created_at: datetime
    expires_at: Annotated[datetime | None, Absent()] = None
    scopes: Annotated[list[str] | None, Absent()] = None

    @classmethod
    def of(cls, row: CliToken, value: str, now: datetime) -> "CreatedCliToken":
        return cls(
            token=value,
            id=row.id,
            name=row.name,
            tier=row.tier,
            created_at=now,
            expires_at=row.expires_at,
            scopes=row.scopes or None,
        )


class ValidCliToken(Output):
    """The user of a valid credential."""

    valid: bool = True
    user_id: str
    user_email: str


class RevokedCliToken(Output):
    """The token has stopped working."""

    status: str = "revoked"


def new_token(tier: TokenTier) -> tuple[str, str]:
    """A token, and the hash to store. UNAVAILABLE for an ADMIN token where its key is missing."""
    token = new_cli_token(tier)
    hashed = hash_cli_token(token, instance.admin_key)
    if hashed is None:
        raise Refusal(Code.UNAVAILABLE, NO_KEY)
    return token, hashed[1]


@command(
    "auth.cli_token_create",
    Action.SELF,
    audit="cli_token.created",
    tenancy=Tenancy.NONE,
    errors=(Code.FORBIDDEN, Code.UNAVAILABLE),
    secret=True,
)
async def create_cli_token(ctx: Context, data: CreateCliToken) -> CreatedCliToken:
    """Create a CLI token.

    The token belongs to the caller. No scope can exceed the caller's best role in any workspace.

    A token with scopes is limited to them, and has no access to accounts, sessions and tokens. A token without scopes
    has all permissions of the caller.
    """
    scopes = known_scopes(data.scopes)
    lifetime = _lifetime(data.tier, data.expires_in_seconds)
    await judge_rights(ctx, data.tier, scopes)
    token, token_hash = new_token(data.tier)
    now = await ctx.now()
    row = await ctx.insert(
        CliToken(
            user_id=ctx.user_id,
            name=data.name or DEFAULT_NAME,
            tier=data.tier,
            token_hash=token_hash,
            scopes=scopes,
            expires_at=None if lifetime is None else now + lifetime,
        )
    )
    return CreatedCliToken.of(row, token, now)


def known_scopes(given: list[str]) -> list[str]:
    named = list(dict.fromkeys(stripped for scope in given if (stripped := scope.strip())))
    unknown = next((scope for scope in named if scope not in SCOPES), None)
    if unknown is not None:
        raise Refusal(Code.BAD_REQUEST, f"scopes: unknown scope '{unknown[:100]}'", fields={"scopes": "unknown scope"})
    return named


def _lifetime(tier: TokenTier, seconds: int) -> timedelta | None:
    if tier is TokenTier.STANDARD:
        return timedelta(seconds=seconds) if seconds else None
    seconds = min(seconds or ADMIN_DEFAULT, ADMIN_LONGEST)
    if seconds < ADMIN_SHORTEST:
        text = f"an ADMIN token lives at least {ADMIN_SHORTEST} seconds"
        raise invalid("expires_in_seconds", text)
    return timedelta(seconds=seconds)


async def judge_rights(ctx: Context, tier: TokenTier, scopes: list[str]) -> None:
    """Checks that the caller may grant these rights, by the caller's highest role in any workspace."""
    if tier is TokenTier.STANDARD and not scopes:
        return
    roles = set(await ctx.own_roles())
    if tier is TokenTier.ADMIN and Role.OWNER not in roles:
        raise forbidden("Only the owner of a workspace creates ADMIN tokens", role=Role.OWNER)
    beyond = next((scope for scope in scopes if roles.isdisjoint(SCOPES[scope])), None)
    if beyond is not None:
        raise forbidden(f"The scope '{beyond}' exceeds your role", role=lowest(SCOPES[beyond]))


@procedure("auth.cli_token_validate", Action.SELF, tenancy=Tenancy.NONE, scopes=OPEN)
async def validate_cli_token(ctx: Context, data: NoInput) -> ValidCliToken:
    """Validate a CLI token.

    Returns the user of the credential; a session is accepted as well.
    """
    user = await ctx.get(User, ctx.user_id)
    return ValidCliToken(user_id=user.id, user_email=user.email)


@query("auth.cli_tokens_list", Action.SELF, tenancy=Tenancy.NONE)
def list_cli_tokens(scope: QueryScope, data: NoInput) -> Rows[CliToken]:
    """List CLI tokens.

    Lists the caller's tokens, newest first, including revoked and expired ones.
    """
    return scope.select(CliToken).order_by(col(CliToken.created_at).desc())


@command(
    "auth.cli_token_revoke", Action.SELF, audit="cli_token.revoked", tenancy=Tenancy.NONE, errors=(Code.NOT_FOUND,)
)
async def revoke_cli_token(ctx: Context, data: ById) -> RevokedCliToken:
    """Revoke a CLI token.

    Only the caller's own. Idempotent; a repeated call updates the time of revocation.
    """
    await ctx.update(CliToken, data.id, revoked_at=NOW, missing="CLI token not found")
    ctx.ring(Topic.access, ctx.user_id)
    return RevokedCliToken()
