"""A consent that is under way ends with the right of the person who began it."""

from sqlmodel import col

from models.resources.oauth import OAuthState
from resolvers.kernel import Context, Ended, Holder, ends


@ends(3)
async def end_consents(ctx: Context, ended: Ended) -> None:
    if ended.holder is Holder.person:
        await ctx.delete_where(OAuthState, col(OAuthState.user_id) == ended.id, including_hidden=True)
    elif ended.holder is Holder.workspace:
        await ctx.delete_where(OAuthState, including_hidden=True)
