"""Changes of the own email, by a link to the new address, which proves its ownership. The old address is notified."""

from sqlalchemy import func
from sqlmodel import col

from models.people.account import EmailChange
from models.people.auth import Session, User
from resolvers.instance.crypto import digest
from resolvers.instance.ports import Mail
from resolvers.kernel import (
    NOW,
    Action,
    Auth,
    Code,
    Context,
    CredentialKind,
    Email,
    Id,
    Input,
    Output,
    Refusal,
    Tenancy,
    Text,
    command,
    instance,
    job,
    people_only,
)
from resolvers.people.account.password import confirm
from resolvers.people.recovery import INVALID, LIFETIME, Password, end_links, may_be_mailed, owner_was_seen, works

SENT = "If the address can be used, a link to confirm it is on its way there. Until then nothing changes."
NO_MAIL = "This server sends no mail, so it cannot verify the address"
SAME = "This is the email of the account"
OFTEN = "A link was mailed just now, or too many today; try again later"
SUBJECT, TOLD = "Confirm your new email", "The email of your account was changed"
LINK = """\
A request was made, presumably by you, to sign in to {place} as {email} from now on.

Open this link within 30 minutes to confirm it. It works once.

{link}

If it was not you, there is nothing to do: nothing changes.
"""
NOTICE = """\
The account on {place} that had this email has another one now, which was confirmed by a link.
The change required the password.

If this was not you, contact the operator of the server: {place}
"""


class ChangeEmail(Input):
    """The new address, and the password of the account."""

    email: Email
    password: Password


class ConfirmEmail(Input):
    """`token`: from the link in the mail."""

    token: Text = ""


class EmailChangeRequested(Output):
    """The answer, the same for every address."""

    ok: bool = True
    message: str = SENT


class EmailChanged(Output):
    """The account has the new email."""

    ok: bool = True


class OfEmailChange(Input):
    change_id: Id


MAIL_LINK = job("account.mail_link", OfEmailChange, of_instance=True, attempts=10)
"""Checks in the background whether another account has the address, so that neither the answer nor its duration reveals
it.
"""
MAIL_NOTICE = job("account.mail_notice", OfEmailChange, of_instance=True, attempts=10)


@command(
    "auth.email_change",
    Action.SELF,
    audit="user.email_change_requested",
    tenancy=Tenancy.NONE,
    errors=(Code.FORBIDDEN, Code.LOCKED, Code.CONFLICT, Code.RATE_LIMITED),
    allow=people_only,
    late=True,
    secret=True,
    writes_on_refusal=True,
)
async def change_email(ctx: Context, data: ChangeEmail) -> EmailChangeRequested:
    """Send a link that changes the email.

    Mails the link to the new address. It works once, for 30 minutes, until a later link replaces it; the old
    email stays valid until then. The answer is the same whether or not the address can be used. A wrong password
    counts as at sign-in; an account without a password sets one by a mailed link first.
    """
    if not instance.mails_links:
        raise Refusal(Code.CONFLICT, NO_MAIL)
    user = await confirm(ctx, data.password)
    if data.email == user.email:
        raise Refusal(Code.BAD_REQUEST, SAME)
    if not await may_be_mailed(ctx, EmailChange, ctx.user_id):
        raise Refusal(Code.RATE_LIMITED, OFTEN)
    await end_links(ctx, ctx.user_id, EmailChange)
    until = await ctx.now() + LIFETIME
    change = EmailChange(user_id=ctx.user_id, email=data.email, old_email=user.email, expires_at=until)
    ctx.audit("USER", ctx.user_id)
    await ctx.insert(change)
    ctx.enqueue(MAIL_LINK, change_id=change.id)
    return EmailChangeRequested()


async def make_link(ctx: Context, change_id: str) -> Mail | None:
    """Returns None if the change has expired or another account has the address."""
    change = await ctx.select(EmailChange, col(EmailChange.id) == change_id).locked().first()
    if change is None or change.used_at is not None or change.expires_at <= await ctx.now():
        return None
    if await _taken(ctx, change):
        return None
    token, place = instance.signer.email_token(change.id), instance.settings.public_url
    await ctx.update(EmailChange, change.id, token_hash=digest(token))
    link = f"{place}/confirm-email?token={token}"
    return Mail(change.email, SUBJECT, LINK.format(email=change.email, place=place, link=link))


async def _taken(ctx: Context, change: EmailChange) -> bool:
    """Also in another case: a mailed link would not know whom it is for."""
    same = (func.lower(col(User.email)) == change.email.lower(), col(User.id) != change.user_id)
    return await ctx.select(User, *same).exists()


@command("auth.email_confirm", Action.NONE, audit="user.email_changed", auth=Auth.NONE)
async def confirm_email(ctx: Context, data: ConfirmEmail) -> EmailChanged:
    """Set the email by the token of a mailed link.

    The token works once. Revokes password-reset links mailed to the old address, and notifies the old address. Sessions
    and CLI tokens are kept if the old email was verified. Otherwise they are revoked, with passkeys and linked
    accounts; only the session that confirms the email, and the password, are kept.
    """
    good = (col(EmailChange.token_hash) == digest(data.token), *works(EmailChange))
    change = await ctx.select(EmailChange, *good).locked().first() if data.token else None
    if change is None or await _taken(ctx, change):
        raise Refusal(Code.BAD_REQUEST, INVALID)
    ctx.user_id = change.user_id
    ctx.audit("USER", change.user_id)
    user = await ctx.get(User, change.user_id, lock=True)
    await owner_was_seen(ctx, user, but=await _confirming(ctx, user))
    try:
        await ctx.update(User, change.user_id, email=change.email, email_verified=NOW)
    except Refusal as refusal:
        if refusal.code is Code.CONFLICT:  # another user was quicker
            raise Refusal(Code.BAD_REQUEST, INVALID) from None
        raise
    await end_links(ctx, change.user_id)
    ctx.enqueue(MAIL_NOTICE, change_id=change.id)
    await ctx.update(EmailChange, change.id, used_at=NOW)
    return EmailChanged()


async def _confirming(ctx: Context, user: User) -> str:
    """The live session of the account in the browser that shows the link, if there is one."""
    if ctx.caller.kind is not CredentialKind.SESSION:
        return ""
    live = (col(Session.revoked_at).is_(None), col(Session.expires_at) > func.now())
    own = ctx.select(Session, col(Session.id) == ctx.caller.credential, col(Session.user_id) == user.id, *live)
    return str(ctx.caller.credential) if await own.exists() else ""


async def make_notice(ctx: Context, change_id: str) -> Mail | None:
    """To the address that was the account's."""
    change = await ctx.select(EmailChange, col(EmailChange.id) == change_id).first()
    if change is None or change.used_at is None:
        return None
    return Mail(change.old_email, TOLD, NOTICE.format(place=instance.settings.public_url))
