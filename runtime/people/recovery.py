"""The body of the job that mails links to set a new password."""

from resolvers.instance.ports import Undeliverable
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.people.recovery import MAIL_RESET, OfReset, make_link
from runtime.engine.background import Work, carries

TIMEOUT = 60.0  # seconds


@carries(MAIL_RESET)
async def mail_reset(work: Work, data: OfReset) -> None:
    """Done again it mails the same link, under the same key."""
    mailer = instance.mailer
    mail = await work.write("link", lambda ctx: make_link(ctx, data.reset_id))
    if mail is None or mailer is None:
        return
    try:
        await work.call("mail", lambda key: mailer.send(mail, key), timeout=TIMEOUT)
    except Undeliverable as error:
        log.warning("a link to reset a password could not be mailed", cause=str(error))
