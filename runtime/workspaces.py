"""The body of the job that mails invitations."""

from resolvers.instance.ports import Undeliverable
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.workspaces.invitations import MAIL_INVITATION, OfInvitation, write_invitation
from runtime.background import Work, carries

TIMEOUT = 60.0  # seconds


@carries(MAIL_INVITATION)
async def mail_invitation(work: Work, data: OfInvitation) -> None:
    """Done again it mails the same text, under the same key."""
    mailer = instance.mailer
    mail = await work.read(lambda ctx: write_invitation(ctx, data.invitation_id))
    if mail is None or mailer is None:
        return
    try:
        await work.call("mail", lambda key: mailer.send(mail, key), timeout=TIMEOUT)
    except Undeliverable as error:
        log.warning("an invitation could not be mailed", cause=str(error))
