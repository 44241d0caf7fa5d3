"""Tickets that open a websocket, where browsers can send no header."""

from pydantic import Field

from models.people.auth import User
from resolvers.identity.credentials import TICKET_LIFETIME
from resolvers.instance.crypto import TokenKind
from resolvers.kernel import Action, Context, CredentialKind, NoInput, Output, Tenancy, instance, procedure
from resolvers.kernel.ground.scopes import OPEN


class WsToken(Output):
    """A ticket, valid for 15 minutes."""

    token: str = Field(repr=False)


@procedure("ws.token", Action.NONE, tenancy=Tenancy.NONE, scopes=OPEN)
async def create_ws_token(ctx: Context, data: NoInput) -> WsToken:
    """Create a ticket for live channels.

    The ticket expires with the session or CLI token it was requested with, and has no more permissions than that.
    """
    user = await ctx.get(User, ctx.user_id)
    session_id, token_id = (
        (ctx.credential_id, None) if ctx.caller.kind is CredentialKind.SESSION else (None, ctx.credential_id)
    )
    token, _ = instance.signer.sign(
        TokenKind.ws,
        user_id=user.id,
        session_id=session_id,
        token_id=token_id,
        lifetime=TICKET_LIFETIME,
        name=user.full_name or "",
        email=user.email,
        now=instance.clock.seconds(),
    )
    return WsToken(token=token)
