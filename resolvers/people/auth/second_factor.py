"""The second step of a sign-in with a required passkey: the password was correct, and the user is not signed in yet."""

from datetime import timedelta

from models.people.auth import User
from models.people.passkeys import PasskeyChallenge, PasskeyPurpose
from resolvers.identity import cookies
from resolvers.instance.crypto import digest
from resolvers.kernel import Context

PATIENCE = timedelta(minutes=5)


async def remember_password(ctx: Context, user: User) -> None:
    """In this browser the password of the user was right: what it signs in with next has to be a passkey of theirs."""
    browser = digest(cookies.csrf_token(ctx.caller.cookies) or "")
    until = await ctx.now() + PATIENCE
    row = PasskeyChallenge(browser=browser, purpose=PasskeyPurpose.sign_in, user_id=user.id, expires_at=until)
    await ctx.upsert(row, "browser", "purpose")
