"""Challenges: each is one browser's, and is good once, whether what is brought back for it proves anything or not."""

import base64
import binascii
from datetime import timedelta
from typing import Any

from sqlalchemy import func
from sqlmodel import col

from models.people.passkeys import PasskeyChallenge, PasskeyPurpose
from resolvers.identity import cookies
from resolvers.instance.crypto import digest, secret_equals
from resolvers.kernel import Context, Refusal, forbidden
from resolvers.people.passkeys.ceremonies import TIMEOUT

LIFETIME = timedelta(seconds=TIMEOUT)
NO_TOKEN = "The csrf token is missing, or differs from the cookie"


def refused() -> Refusal:
    """One answer to everything that is wrong with what a browser brings back. The challenge is used up all the same."""
    refusal = forbidden("The passkey was not accepted")
    refusal.commit = True
    return refusal


def browser_of_session(ctx: Context) -> str:
    return digest(ctx.credential_id)


def browser_of_nobody(ctx: Context, csrf_token: str) -> str:
    """Identifies a browser without a user by the cookie of the login page, which no page of another origin can read or
    set.
    """
    expected = cookies.csrf_token(ctx.caller.cookies)
    if not expected or not secret_equals(expected, csrf_token):
        raise forbidden(NO_TOKEN)
    return digest(expected)


async def find_challenge(ctx: Context, browser: str, purpose: PasskeyPurpose) -> PasskeyChallenge | None:
    mine = col(PasskeyChallenge.browser) == browser, col(PasskeyChallenge.purpose) == purpose.value
    return await ctx.select(PasskeyChallenge, *mine, col(PasskeyChallenge.expires_at) > func.now()).first()


async def put_challenge(
    ctx: Context, browser: str, purpose: PasskeyPurpose, user_id: str | None, challenge: str
) -> None:
    """In the place of the one that this browser had."""
    until = await ctx.now() + LIFETIME
    row = PasskeyChallenge(browser=browser, purpose=purpose, user_id=user_id, challenge=challenge, expires_at=until)
    await ctx.upsert(row, "browser", "purpose")


async def use_up(ctx: Context, challenge: PasskeyChallenge) -> bool:
    """Returns true if no other request has used the challenge since it was read."""
    same = col(PasskeyChallenge.browser) == challenge.browser, col(PasskeyChallenge.challenge) == challenge.challenge
    return await ctx.delete_where(PasskeyChallenge, *same) > 0


def credential_id_of(credential: dict[str, Any]) -> bytes:
    """The id of a credential; empty if the value cannot be an id."""
    named = credential.get("rawId")
    if not isinstance(named, str):
        return b""
    try:
        return base64.urlsafe_b64decode(named + "=" * (-len(named) % 4))
    except (ValueError, binascii.Error):
        return b""
