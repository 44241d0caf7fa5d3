"""Tickets that open a websocket, where browsers can send no header."""

from pydantic import Field

from models.auth import User
from resolvers.kernel.caller import CredentialKind
from resolvers.kernel.command import procedure
from resolvers.kernel.context import Context
from resolvers.kernel.crypto import TokenKind
from resolvers.kernel.gate import Tenancy
from resolvers.kernel.identity import TICKET_LIFETIME
from resolvers.kernel.inputs import NoInput
from resolvers.kernel.instance import instance
from resolvers.kernel.outputs import Output
from resolvers.kernel.policy import Action


class WsToken(Output):
    """A ticket, good for 15 minutes."""

    token: str = Field(repr=False)


@procedure("ws.token", Action.NONE, tenancy=Tenancy.NONE)
async def create_ws_token(ctx: Context, data: NoInput) -> WsToken:
    """A ticket for /ws and /ws/terminal; bound to the session it is asked for with, and to none when asked for with a CLI token."""
    user = await ctx.get(User, ctx.user_id)
    session_id = ctx.credential_id if ctx.caller.kind is CredentialKind.SESSION else None
    now = instance.clock.seconds()
    token, _ = instance.signer.sign(
        TokenKind.ws, user_id=user.id, session_id=session_id, lifetime=TICKET_LIFETIME, name=user.full_name or "", email=user.email, now=now
    )
    return WsToken(token=token)
