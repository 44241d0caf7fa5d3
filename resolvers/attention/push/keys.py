"""The key of the instance that signs pushes. It is made when the first browser asks for it, once for all processes."""

from models.attention.push import PushKey
from resolvers.attention.push.encryption import new_key, point_of, private_of, private_text, to_text
from resolvers.kernel import GRAPHQL_ONLY, Action, Context, NoInput, Output, Tenancy, command, instance


class PushReady(Output):
    """The public key of the instance, which a browser subscribes to (`applicationServerKey`, in base64url)."""

    public_key: str


@command("push.prepare", Action.SELF, tenancy=Tenancy.NONE, surfaces=GRAPHQL_ONLY)
async def prepare_push(ctx: Context, data: NoInput) -> PushReady:
    """Create the key for push subscriptions.

    Only the first call on the instance creates it; all calls return its public half.
    """
    known = await _known(ctx)
    if known is None:
        await ctx.lock("push key")
        known = await _known(ctx)
    if known is None:
        key = new_key()
        made = PushKey(public=to_text(point_of(key)))
        made.private = await instance.vault.seal(
            private_text(key), table=PushKey, column="private", row_id=made.id, workspace_id=None
        )
        known = await ctx.insert(made)
    return PushReady(public_key=known.public)


async def _known(ctx: Context) -> PushKey | None:
    return await ctx.select(PushKey).order_by(PushKey.created_at, PushKey.id).limit(1).first()


async def signing_key(ctx: Context) -> PushKey | None:
    """The key, if there is one; browsers cannot have subscribed without."""
    return await _known(ctx)


async def opened(key: PushKey) -> object:
    revealed = await instance.vault.open(key.private, table=PushKey, column="private", row_id=key.id)
    return private_of(revealed.reveal())
