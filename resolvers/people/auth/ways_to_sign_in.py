"""The ways in which a user can sign in: no operation removes the last one by mistake."""

from sqlmodel import col

from models.people.auth import User
from models.people.passkeys import Passkey
from models.people.sign_in_providers import LinkedIdentity
from resolvers.kernel import Code, Context, Refusal, instance

LAST = "It is the only way to sign in: set a password first, or add another way"


async def keep_a_way_to_sign_in(ctx: Context, user: User) -> None:
    """CONFLICT if no way to sign in is left. The caller has locked the user and made the removal, so of two concurrent
    ones the second sees the first.

    An identity at a provider that is no longer configured does not count.
    """
    if user.password_hash is not None or await ctx.select(Passkey, col(Passkey.user_id) == user.id).exists():
        return
    issuers = [provider.issuer for provider in instance.settings.providers]
    own = ctx.select(LinkedIdentity, col(LinkedIdentity.user_id) == user.id)
    if not await own.where(col(LinkedIdentity.issuer).in_(issuers)).exists():
        raise Refusal(Code.CONFLICT, LAST)
