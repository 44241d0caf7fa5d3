"""The accounts at providers that are linked to the caller's own."""

from sqlmodel import col

from models.auth import User
from models.sign_in_providers import LinkedIdentity
from resolvers.kernel import (
    Action,
    ById,
    Code,
    Context,
    Deleted,
    NoInput,
    QueryScope,
    Refusal,
    Rows,
    Tenancy,
    command,
    graph,
    instance,
    query,
)

MISSING = "Linked identity not found"
ONLY_WAY = "You could not sign in any more: set a password first, or link another provider"

graph(
    LinkedIdentity,
    gate=Action.SELF,
    scope=None,
    visible=lambda identity, scope: identity.user_id == scope.user_id,
)


@query("auth.identities_list", Action.SELF, tenancy=Tenancy.NONE)
def list_linked_identities(scope: QueryScope, data: NoInput) -> Rows[LinkedIdentity]:
    """List linked identities.

    The caller's accounts at sign-in providers, in the order they were linked.
    """
    return scope.select(LinkedIdentity).order_by(col(LinkedIdentity.created_at))


@command("auth.identities_delete", Action.SELF, tenancy=Tenancy.NONE, errors=(Code.NOT_FOUND, Code.CONFLICT))
async def unlink_identity(ctx: Context, data: ById) -> Deleted:
    """Remove a linked identity.

    Only the caller's own. CONFLICT if it is the only way to sign in: the caller has no password, and no other identity
    at a configured provider.
    """
    user = await ctx.get(User, ctx.user_id, lock=True)  # of two at once, the second sees what the first has left
    identities = await ctx.select(LinkedIdentity, col(LinkedIdentity.user_id) == user.id).all()
    if not any(identity.id == data.id for identity in identities):
        raise Refusal(Code.NOT_FOUND, MISSING)
    issuers = {provider.issuer for provider in instance.settings.providers}
    others = [identity for identity in identities if identity.id != data.id and identity.issuer in issuers]
    if user.password_hash is None and not others:
        raise Refusal(Code.CONFLICT, ONLY_WAY)
    await ctx.delete(LinkedIdentity, data.id, missing=MISSING)
    return Deleted(id=data.id)
