"""What a command has to know of, and do with, a person beyond its workspace: to erase them."""

from models.base import table_of
from models.kernel import IdempotencyKey
from resolvers.kernel.context import SCOPE_SQL, Context
from resolvers.kernel.database import database
from resolvers.kernel.idempotency import PRINCIPAL_SQL

ELSEWHERE = (
    "SELECT EXISTS (SELECT FROM memberships m JOIN workspaces w ON w.id = m.workspace_id WHERE m.user_id = $1"
    " AND m.workspace_id <> $2 AND w.deleted_at IS NULL)"
)


async def belongs_elsewhere(ctx: Context, user_id: str) -> bool:
    """Whether a user is a member of another live workspace."""
    if database.row_security:
        await ctx._one(SCOPE_SQL, [f"@{user_id}"], begins=False)
    found = await ctx._one(ELSEWHERE, [user_id, ctx.workspace_id], begins=False)
    if database.row_security:
        await ctx._one(SCOPE_SQL, [ctx.scope], begins=False)
    return bool(found[0])


async def forget_answers(ctx: Context, user_id: str) -> None:
    """Removes what is kept to answer a user's requests again, in all workspaces."""
    await ctx._one(PRINCIPAL_SQL, [user_id])
    await ctx.delete_where(IdempotencyKey, table_of(IdempotencyKey).c.principal == user_id)
    await ctx._one(PRINCIPAL_SQL, [ctx.user_id or ctx.credential_id])
