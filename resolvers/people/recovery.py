"""Recovery of an account whose password was forgotten: a link by mail, good once."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from sqlalchemy import func
from sqlmodel import SQLModel, col

from models import bounds
from models.base import table_of
from models.kernel import InstanceFact
from models.people.auth import CliToken, RevokedReason, SignInDevice, User, is_person
from models.people.passkeys import Passkey, PasskeyChallenge
from models.people.recovery import PasswordReset
from models.people.sign_in_providers import LinkedIdentity
from resolvers.instance.crypto import digest
from resolvers.instance.passwords import check_password
from resolvers.instance.ports import Mail
from resolvers.instance.running import BOOTSTRAPPED
from resolvers.kernel import (
    NOW,
    Action,
    Auth,
    Code,
    Context,
    Domain,
    Id,
    Input,
    Output,
    Refusal,
    Text,
    command,
    instance,
    job,
    log,
)
from resolvers.kernel.writing.persons import belongs_elsewhere, end_consents
from resolvers.people.auth.sessions import end_sessions
from resolvers.people.pairing import end_pairings

DOMAIN = Domain("recovery", scopes=None)

LIFETIME = timedelta(minutes=30)
PAUSE = timedelta(minutes=1)
"""Between two links to one account: the one before is on its way."""
MOST_A_DAY = 10
INVALID = "Invalid or expired token"
NO_TOKEN = "Token is required"
SENT = (
    "If there is an account with this email, and this server can send mail, a link to set a new password is on its way."
)
SUBJECT = "Set a new password"
TEXT = """\
A new password was requested, presumably by you, for the account {email} on {place}.

Open this link within 30 minutes to choose one. It works once.

{link}

If it was not you, there is nothing to do: your password stays as it is.
"""


def _address(raw: Any) -> str:
    """Every request gets the same answer: an invalid address belongs to no account."""
    text = raw.strip() if isinstance(raw, str) else ""
    return text if len(text) <= bounds.EMAIL and text.isascii() and text.isprintable() else ""


Address = Annotated[str, Field(max_length=bounds.EMAIL), BeforeValidator(_address)]
Password = Annotated[str, Field(strict=True, max_length=bounds.URL, repr=False)]


class RequestPasswordReset(Input):
    """Case is ignored if only one account has the email."""

    email: Address = ""


class ResetPassword(Input):
    """A password has at least 8 characters and at most 72 bytes."""

    token: Text = ""
    new_password: Password = ""


class PasswordResetRequested(Output):
    """The answer, the same with and without an account."""

    ok: bool = True
    message: str = SENT


class PasswordSet(Output):
    """The password is set."""

    ok: bool = True


class OfReset(Input):
    reset_id: Id


MAIL_RESET = job("recovery.mail_reset", OfReset, of_instance=True, attempts=10)
"""Checks in the background whether there is an account, so that the duration of the answer reveals nothing."""


@command("auth.forgot", Action.NONE, auth=Auth.NONE)
async def request_password_reset(ctx: Context, data: RequestPasswordReset) -> PasswordResetRequested:
    """Send a link that sets a new password.

    Mails the link to the email of an account, if this server can send mail. It works once, for 30 minutes, until
    a later link replaces it. The answer is the same for every email.
    """
    if not data.email:
        return PasswordResetRequested()
    if not instance.mails_links:
        log.warning("a link to reset a password was asked for, and none can be mailed; see crewship doctor")
        return PasswordResetRequested()
    until = await ctx.now() + LIFETIME
    reset = await ctx.insert(PasswordReset(email=data.email, expires_at=until))
    ctx.enqueue(MAIL_RESET, reset_id=reset.id)
    return PasswordResetRequested()


async def find_account(ctx: Context, email: str) -> User | None:
    """The account of exactly this email, or else the oldest with it in another case."""
    same = ctx.select(User, func.lower(col(User.email)) == email.lower(), is_person(col(User.id)))
    return await same.order_by((col(User.email) == email).desc(), col(User.created_at), col(User.id)).first()


async def make_link(ctx: Context, reset_id: str) -> Mail | None:
    """The mail of a reset, which revokes earlier links. None, and no reset, if there is no account to mail."""
    reset = await ctx.select(PasswordReset, col(PasswordReset.id) == reset_id).locked().first()
    if reset is None or reset.used_at is not None or reset.expires_at <= await ctx.now():
        return None
    account = await find_account(ctx, reset.email)
    if account is None or (reset.token_hash is None and not await may_be_mailed(ctx, PasswordReset, account.id)):
        await ctx.delete(PasswordReset, reset.id)
        return None
    token = instance.signer.reset_token(reset.id)
    await end_links(ctx, account.id)
    await ctx.update(PasswordReset, reset.id, user_id=account.id, token_hash=digest(token), expires_at=reset.expires_at)
    place = instance.settings.public_url
    link = f"{place}/reset-password?token={token}"
    return Mail(account.email, SUBJECT, TEXT.format(email=account.email, place=place, link=link))


async def may_be_mailed(ctx: Context, model: type[SQLModel], user_id: str) -> bool:
    """Strangers cannot flood a mailbox. The account is locked: of two requests at once, one sees the other."""
    await ctx.get(User, user_id, lock=True)
    links = table_of(model).c
    mailed = ctx.select(model, links.user_id == user_id)
    if await mailed.where(links.created_at > func.now() - PAUSE).exists():
        return False
    today = mailed.where(links.created_at > func.now() - timedelta(days=1))
    return len(await today.limit(MOST_A_DAY).all()) < MOST_A_DAY


async def end_links(ctx: Context, user_id: str, model: type[SQLModel] = PasswordReset) -> None:
    """Revokes all links that were mailed to the user."""
    links = table_of(model).c
    await ctx.update_where(model, links.user_id == user_id, links.used_at.is_(None), expires_at=NOW)


def works(model: type[SQLModel]) -> tuple[Any, ...]:
    """The conditions of a link that works."""
    links = table_of(model).c
    return links.used_at.is_(None), links.expires_at > func.now()


@command("auth.reset", Action.NONE, audit="user.password_reset", auth=Auth.NONE, late=True)
async def reset_password(ctx: Context, data: ResetPassword) -> PasswordSet:
    """Set a new password by the token of a mailed link.

    The token works once. Ends all sessions of the user, with their WebSockets, and lifts a lock of the account. CLI
    tokens stay valid, except in an account whose email was never verified: there tokens, passkeys and linked accounts
    end as well.
    """
    check_password(data.new_password)
    if not data.token:
        raise Refusal(Code.BAD_REQUEST, NO_TOKEN)
    good = (col(PasswordReset.token_hash) == digest(data.token), *works(PasswordReset))
    if not await ctx.select(PasswordReset, *good).exists():
        raise Refusal(Code.BAD_REQUEST, INVALID)
    password_hash = await ctx.outside.passwords.hash(data.new_password, ctx.caller.client)
    await ctx.begin()
    used = await ctx.update_where(PasswordReset, *good, used_at=NOW)
    if not used:
        raise Refusal(Code.BAD_REQUEST, INVALID)
    reset = await ctx.get(PasswordReset, used[0])
    ctx.user_id = reset.user_id or ""
    user = await ctx.get(User, ctx.user_id, lock=True)
    if reset.set_up_in is None:
        await owner_was_seen(ctx, user)
    elif not await is_unclaimed(ctx, user, reset.set_up_in):
        raise Refusal(Code.BAD_REQUEST, INVALID)
    await set_password(ctx, reset.user_id or "", password_hash)
    await end_links(ctx, reset.user_id or "")
    return PasswordSet()


async def is_unclaimed(ctx: Context, user: User, workspace_id: str) -> bool:
    """Returns true if there is no way to sign in to the account, and no other workspace than this one has a right in
    it. A link that an administrator sees is made, and works, only for such an account.
    """
    if user.password_hash is not None or user.email_verified is not None:
        return False
    for model in (Passkey, LinkedIdentity):
        if await ctx.select(model, table_of(model).c.user_id == user.id, including_hidden=True).exists():
            return False
    return not await belongs_elsewhere(ctx, user.id, than=workspace_id)


async def is_vouched_for(ctx: Context, user: User) -> bool:
    """Returns true if the holder of the account has proved the ownership of its address, or is the first user, whom the
    operator admitted.
    """
    if user.email_verified is not None:
        return True
    first = await ctx.select(InstanceFact, col(InstanceFact.name) == BOOTSTRAPPED).first()
    return first is not None and first.value == user.id


async def owner_was_seen(ctx: Context, user: User, *, but: str = "") -> None:
    """The owner of an account's address has proved the ownership by a mailed link or by a provider.

    If the address was unproved before, a stranger may have signed up with it and waited for its owner. So all ways into
    the account end, and so do the invitations that it accepted. `but`: the session in which the owner proved it; it
    continues, and the password with it.
    """
    if await is_vouched_for(ctx, user):
        if user.email_verified is None:
            await ctx.update(User, user.id, email_verified=NOW)
        return
    emptied: dict[str, Any] = {} if but else {"password_hash": None}
    unlocked: dict[str, Any] = {"passkey_required": False, "failed_login_count": 0, "locked_until": None}
    await ctx.update(User, user.id, email_verified=NOW, **unlocked, **emptied)
    await end_sessions(ctx, user.id, RevokedReason.password_change, but=but)
    await end_pairings(ctx, user.id)
    await end_links(ctx, user.id)
    await ctx.update_where(
        CliToken, col(CliToken.user_id) == user.id, col(CliToken.revoked_at).is_(None), revoked_at=NOW
    )
    await end_consents(ctx, user.id)
    for model in (Passkey, PasskeyChallenge, SignInDevice, LinkedIdentity):
        await ctx.delete_where(model, table_of(model).c.user_id == user.id)


async def set_password(ctx: Context, user_id: str, password_hash: str, *, but: str = "", **changes: Any) -> int:
    """Locks out anyone who knew the old password: ends all sessions except `but`, and codes that wait for a command
    line.

    Browsers that signed in before are known by the old password; they have to wait for a lock like others. Returns
    the number of ended sessions.
    """
    await ctx.update(User, user_id, password_hash=password_hash, failed_login_count=0, locked_until=None, **changes)
    ended = await end_sessions(ctx, user_id, RevokedReason.password_change, but=but)
    await end_pairings(ctx, user_id)
    return ended
