"""The accounts at providers that are linked to the caller's own."""

from sqlmodel import col

from models.people.auth import User
from models.people.sign_in_providers import LinkedIdentity
from resolvers.kernel import (
    Action,
    ById,
    Code,
    Context,
    Deleted,
    NoInput,
    QueryScope,
    Rows,
    Tenancy,
    command,
    graph,
    query,
)
from resolvers.people.auth.ways_to_sign_in import keep_a_way_to_sign_in

MISSING = "Linked identity not found"

graph(
    LinkedIdentity,
    gate=Action.SELF,
    scope=None,
    visible=lambda identity, scope: identity.user_id == scope.user_id,
)


@query("auth.identities_list", Action.SELF, tenancy=Tenancy.NONE)
def list_linked_identities(scope: QueryScope, data: NoInput) -> Rows[LinkedIdentity]:
    """List linked identities.

    Lists the caller's accounts at sign-in providers, in the order they were linked.
    """
    return scope.select(LinkedIdentity).order_by(col(LinkedIdentity.created_at))


@command(
    "auth.identities_delete",
    Action.SELF,
    audit="linked_identity.deleted",
    tenancy=Tenancy.NONE,
    errors=(Code.NOT_FOUND, Code.CONFLICT),
)
async def unlink_identity(ctx: Context, data: ById) -> Deleted:
    """Remove a linked identity.

    Only the caller's own. CONFLICT if it is the only way to sign in: the caller has no password, no passkey, and no
    other identity at a configured provider.
    """
    user = await ctx.get(User, ctx.user_id, lock=True)
    await ctx.delete(LinkedIdentity, data.id, missing=MISSING)
    await keep_a_way_to_sign_in(ctx, user)
    return Deleted(id=data.id)
