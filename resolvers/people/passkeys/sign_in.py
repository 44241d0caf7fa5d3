"""Signing in with a passkey: alone, by whichever of them a person chooses, or after the password, by one of the user's.

A passkey that has verified its user is two factors in itself: something the person has, and knows or is.
"""

from typing import Any

from sqlmodel import col

from models.people.auth import User
from models.people.passkeys import Passkey, PasskeyChallenge, PasskeyPurpose
from resolvers.identity import cookies
from resolvers.kernel import NOW, Action, Auth, Code, Context, Input, Output, Text, command, forbidden, log
from resolvers.people.auth.devices import find_device
from resolvers.people.auth.sessions import open_session
from resolvers.people.passkeys.ceremonies import (
    Assertion,
    CounterWentBack,
    NotAccepted,
    relying_party,
    sign_in_options,
    verify_sign_in,
)
from resolvers.people.passkeys.challenges import (
    browser_of_nobody,
    credential_id_of,
    find_challenge,
    put_challenge,
    refused,
    use_up,
)
from resolvers.people.passkeys.registration import Credential, PasskeyOptions


class StartPasskeySignIn(Input):
    """`csrf_token` repeats the CSRF cookie, as for a login by password."""

    csrf_token: Text = ""


class PasskeySignIn(StartPasskeySignIn):
    """`credential` is the result of `navigator.credentials.get()`, as its `toJSON()` gives it."""

    credential: Credential


class SignedIn(Output):
    """The signed-in user."""

    user_id: str
    email: str


@command(
    "auth.passkey_sign_in_options", Action.NONE, auth=Auth.NONE, errors=(Code.FORBIDDEN, Code.UNAVAILABLE), late=True
)
async def start_passkey_sign_in(ctx: Context, data: StartPasskeySignIn) -> PasskeyOptions:
    """Start to sign in with a passkey.

    Returns the options for `navigator.credentials.get()`. Their challenge is bound to this browser and works
    once, for five minutes.

    After the correct password of a user who requires a passkey, the options accept that user's passkeys.
    Otherwise they accept any passkey of this server, without a user name.
    """
    browser, party = browser_of_nobody(ctx, data.csrf_token), relying_party()
    before = await find_challenge(ctx, browser, PasskeyPurpose.sign_in)
    user_id = None if before is None else before.user_id
    allowed = [] if user_id is None else await ctx.select(Passkey, col(Passkey.user_id) == user_id).all()
    options = await sign_in_options(party, allowed)
    await ctx.begin()
    await put_challenge(ctx, browser, PasskeyPurpose.sign_in, user_id, options["challenge"])
    return PasskeyOptions(options=options)


@command(
    "auth.passkey_sign_in",
    Action.NONE,
    audit="session.opened",
    auth=Auth.NONE,
    errors=(Code.FORBIDDEN, Code.UNAVAILABLE),
    late=True,
    writes_on_refusal=True,
    cookies=True,
)
async def sign_in_with_passkey(ctx: Context, data: PasskeySignIn) -> SignedIn:
    """Sign in with a passkey.

    Sets the cookies of a login. A passkey whose signature counter does not increase is refused, because it may
    have been copied.
    """
    browser, party = browser_of_nobody(ctx, data.csrf_token), relying_party()
    challenge = await find_challenge(ctx, browser, PasskeyPurpose.sign_in)
    if challenge is None or challenge.challenge is None:
        raise forbidden("The sign-in was not started in this browser, or has expired")
    seen = await ctx.select(Passkey, col(Passkey.credential_id) == credential_id_of(data.credential)).first()
    assertion: Assertion | None = None
    if seen is not None and challenge.user_id in (None, seen.user_id):
        try:
            assertion = await verify_sign_in(party, challenge.challenge, data.credential, seen)
        except CounterWentBack:
            log.warning("the counter of a passkey decreased: it may have been copied", passkey=seen.id)
        except NotAccepted:
            pass
    await ctx.begin()
    if not await use_up(ctx, challenge) or assertion is None or seen is None:
        raise refused()
    return await _let_in(ctx, seen, assertion, challenge)


async def _let_in(ctx: Context, seen: Passkey, assertion: Assertion, challenge: PasskeyChallenge) -> SignedIn:
    """With the passkey as it is now: it may be gone, or its counter further, since it was read."""
    passkey = await ctx.select(Passkey, col(Passkey.id) == seen.id).locked().first()
    if passkey is None or passkey.sign_count != seen.sign_count:
        raise refused()
    changes: dict[str, Any] = {"sign_count": assertion.sign_count, "backed_up": assertion.backed_up}
    await ctx.update(Passkey, passkey.id, last_used_at=NOW, **changes)
    user = await ctx.get(User, passkey.user_id)
    device = await find_device(ctx, cookies.device_token(ctx.caller.cookies, https=ctx.caller.https), user)
    await open_session(ctx, user, device)
    return SignedIn(user_id=user.id, email=user.email)
