"""Rotation of CLI tokens: a new secret takes the place of the old one, at once or after an overlap."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import Field
from sqlmodel import col

from models.people.auth import CliToken
from resolvers.kernel import NOW, Action, ById, Code, Context, Input, Refusal, Tenancy, Topic, command
from resolvers.people.auth.cli_tokens import CreatedCliToken, judge_rights, new_token

LONGEST_OVERLAP = 7 * 24 * 3600
Overlap = Annotated[int, Field(strict=True, ge=0, le=LONGEST_OVERLAP)]


class Rotation(Input):
    overlap_seconds: Overlap = 0


class RotateCliToken(Rotation, ById):
    """The old token stays valid for `overlap_seconds`, at most 7 days and at most until its expiry."""


async def rotated(ctx: Context, token: CliToken, overlap_seconds: int) -> CreatedCliToken:
    """The successor of a token whose row is locked: with the same owner, name, tier, scopes and lifetime.

    CONFLICT if the token is no longer valid or has a successor: one of two concurrent rotations wins.
    """
    now = await ctx.now()
    if token.rotated_at is not None:
        raise Refusal(Code.CONFLICT, "The token was already rotated")
    if token.revoked_at is not None or (token.expires_at is not None and token.expires_at <= now):
        raise Refusal(Code.CONFLICT, "The token was revoked or has expired: create a new one")
    life = None if token.expires_at is None else round((token.expires_at - token.created_at).total_seconds())
    value, token_hash = new_token(token.tier)
    await _end(ctx, token, now, timedelta(seconds=overlap_seconds))
    row = await ctx.insert(
        CliToken(
            user_id=token.user_id,
            name=token.name,
            tier=token.tier,
            token_hash=token_hash,
            scopes=token.scopes,
            expires_at=None if life is None else now + timedelta(seconds=life),
        )
    )
    return CreatedCliToken.of(row, value, now)


async def _end(ctx: Context, token: CliToken, now: datetime, overlap: timedelta) -> None:
    ends: dict[str, Any] = {"revoked_at": NOW}
    if overlap:
        until = now + overlap
        ends = {"expires_at": until if token.expires_at is None else min(until, token.expires_at)}
    await ctx.update_where(CliToken, col(CliToken.id) == token.id, including_hidden=True, rotated_at=NOW, **ends)
    ctx.ring(Topic.access, token.user_id)


@command(
    "auth.cli_token_rotate",
    Action.SELF,
    audit="cli_token.rotated",
    tenancy=Tenancy.NONE,
    errors=(Code.FORBIDDEN, Code.NOT_FOUND, Code.CONFLICT, Code.UNAVAILABLE),
    secret=True,
)
async def rotate_cli_token(ctx: Context, data: RotateCliToken) -> CreatedCliToken:
    """Rotate a CLI token.

    Only the caller's own. The new token has the name, tier, scopes and lifetime of the old one, which ends at once or
    after the overlap. A token is rotated once; CONFLICT if it was rotated, has expired or is revoked.
    """
    token = await ctx.get(CliToken, data.id, lock=True, missing="CLI token not found")
    await judge_rights(ctx, token.tier, token.scopes)
    return await rotated(ctx, token, data.overlap_seconds)
