"""The bodies of the jobs that mail what a change of an email needs: the link, and the notice to the old address."""

from collections.abc import Awaitable, Callable
from functools import partial

from resolvers.instance.ports import Mail, Undeliverable
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.kernel.writing.context import Context
from resolvers.people.account.avatars import AVATAR_GONE, OfGoneUser, place_of
from resolvers.people.account.email import MAIL_LINK, MAIL_NOTICE, OfEmailChange, make_link, make_notice
from runtime.engine.background import Work, carries

TIMEOUT = 60.0  # seconds
Make = Callable[[Context, str], Awaitable[Mail | None]]


@carries(MAIL_LINK)
async def mail_link(work: Work, data: OfEmailChange) -> None:
    """Done again it mails the same link, under the same key."""
    await _mail(work, data, make_link)


@carries(AVATAR_GONE)
async def remove_avatar(work: Work, data: OfGoneUser) -> None:
    await instance.store.discard(*place_of(data.user_id))


@carries(MAIL_NOTICE)
async def mail_notice(work: Work, data: OfEmailChange) -> None:
    await _mail(work, data, make_notice)


async def _mail(work: Work, data: OfEmailChange, make: Make) -> None:
    mailer = instance.mailer
    mail = await work.write("made", lambda ctx: make(ctx, data.change_id))
    if mail is None or mailer is None:
        return
    try:
        await work.call("mail", partial(mailer.send, mail), timeout=TIMEOUT)
    except Undeliverable as error:
        log.warning("mail about the change of an email could not be sent", cause=str(error))
