"""Finds the account of a person that a provider has authenticated."""

from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import func
from sqlmodel import col

from models.bounds import LINE, URL, cut
from models.people.auth import User, is_person
from models.people.sign_in_providers import LinkedIdentity
from resolvers.instance.sign_in_providers import SignInProvider, is_safe_url
from resolvers.kernel import NOW, Context, Email, instance, log
from resolvers.people.auth.accounts import is_bootstrapped
from resolvers.people.recovery import owner_was_seen
from resolvers.people.sign_in_providers.openid import Person
from resolvers.people.sign_in_providers.refusals import DENIED, NO_ACCOUNT, NOT_LINKED, turned_away

TAKEN = "An account with this email was created meanwhile; please try again"
_EMAIL = TypeAdapter[str](Email)


class FoundAccount(NamedTuple):
    user: User
    is_new: bool


def verified_email(person: Person) -> str | None:
    """An address as accounts have them; the provider has verified it."""
    try:
        return None if person.email is None else _EMAIL.validate_python(person.email)
    except ValidationError:
        return None


def check_domain(provider: SignInProvider, email: str | None) -> None:
    """Asked at each sign-in: an address that has left the domain has left this server."""
    if provider.allowed_domains and (email is None or email.rpartition("@")[2].lower() not in provider.allowed_domains):
        raise turned_away("Only addresses of certain domains may sign in with this provider", DENIED)


async def account_of(
    ctx: Context, provider: SignInProvider, person: Person, email: str | None, invited: bool
) -> FoundAccount:
    """Finds the account by the identity, otherwise by the verified email; otherwise creates one if this person may have
    one.

    Sign-ins of one person are serialised: two simultaneous first sign-ins create one account.
    """
    await ctx.lock(f"identity {person.subject} of {provider.issuer}")
    identity = await ctx.select(
        LinkedIdentity, col(LinkedIdentity.issuer) == provider.issuer, col(LinkedIdentity.subject) == person.subject
    ).first()
    if identity is not None:
        await ctx.update(LinkedIdentity, identity.id, used_at=NOW, email=email, provider=provider.id)
        return FoundAccount(await ctx.get(User, identity.user_id), False)
    if email is None:
        raise turned_away("The provider has not verified the email address", NOT_LINKED)
    await ctx.lock(f"account of {email.lower()}")
    known = await _by_email(ctx, email)
    found = (
        FoundAccount(await _create(ctx, provider, person, email, invited), True)
        if known is None
        else FoundAccount(known, False)
    )
    if not found.is_new:
        await _take_over(ctx, provider, found.user)
    await ctx.insert(
        LinkedIdentity(
            user_id=found.user.id,
            provider=provider.id,
            issuer=provider.issuer,
            subject=person.subject,
            email=email,
        )
    )
    log.info("an account was linked", provider=provider.id, user_id=found.user.id, new=found.is_new)
    return found


async def _by_email(ctx: Context, email: str) -> User | None:
    """As it is written; else in another letter case, if that is one account."""
    same = func.lower(col(User.email)) == email.lower()
    users = (
        await ctx.select(User, same, is_person(col(User.id))).order_by((col(User.email) == email).desc()).limit(2).all()
    )
    if not users or users[0].email == email or len(users) == 1:
        return users[0] if users else None
    raise turned_away("Several accounts have this email, in different letter cases", NOT_LINKED)


async def _take_over(ctx: Context, provider: SignInProvider, user: User) -> None:
    """Gives the account to the owner of its address, whom the provider has authenticated."""
    own = col(LinkedIdentity.user_id) == user.id
    if await ctx.select(LinkedIdentity, own, col(LinkedIdentity.issuer) == provider.issuer).exists():
        raise turned_away("Another account of this provider is linked to the account with this email", NOT_LINKED)
    await owner_was_seen(ctx, user)


async def _create(ctx: Context, provider: SignInProvider, person: Person, email: str, invited: bool) -> User:
    """Without a password, and of no workspace (contract: auth.google_callback)."""
    open_to_all = instance.settings.allow_signup if provider.signup is None else provider.signup
    if not await is_bootstrapped(ctx):
        raise turned_away("This server has no first user yet; create the first user with the printed link", NO_ACCOUNT)
    if not (open_to_all or invited):
        raise turned_away("No account has this email, and this provider does not create accounts", NO_ACCOUNT)
    picture = person.picture
    return await ctx.insert(
        User(
            email=email.lower(),
            full_name=cut(person.name or email.partition("@")[0], LINE),
            avatar_url=picture if picture and len(picture) <= URL and is_safe_url(picture, plain=False) else None,
            email_verified=await ctx.now(),
        ),
        conflict=TAKEN,
    )
