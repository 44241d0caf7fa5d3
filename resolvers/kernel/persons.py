"""What a command has to know of, and do with, a person beyond its workspace: to erase them."""

from models.base import table_of
from models.kernel import IdempotencyKey
from resolvers.instance.running import instance
from resolvers.kernel.context import Context
from resolvers.kernel.idempotency import PRINCIPAL_SQL

ELSEWHERE = "SELECT belongs_elsewhere($1, $2)"
"""The function looks past row-level security by itself: no statement before it says for whom it works."""

PERSONAL_DIGEST = """
    sha256(convert_to(jsonb_build_array(salt, user_id, actor_id, data, changes, ip_address, user_agent)::text, 'UTF8'))
"""
"""Of what an audit row holds of persons."""
ABOUT = f"""
    SELECT id, {PERSONAL_DIGEST} AS digest FROM audit_logs
    WHERE workspace_id = $1 AND erased IS NULL
        AND (user_id = $2 OR actor_id = $2 OR data::text ~* $3 OR changes::text ~* $3)
"""
KEEP_DIGESTS = """
    UPDATE audit_logs AS row SET salt = NULL, erased = kept.digest, erased_signature = kept.signature
    FROM unnest($2::text[], $3::bytea[], $4::bytea[]) AS kept (id, digest, signature)
    WHERE row.workspace_id = $1 AND row.id = kept.id
"""


def data_erased(id: str, digest: bytes) -> bytes:
    """What is signed where the data of a person were taken out of an audit row."""
    return b"erased" + id.encode() + digest


async def keep_digests(ctx: Context, user_id: str, names: str) -> None:
    """Before a person is erased: of the audit rows that tell of them, which also match the pattern `names`, a digest is
    kept of what is taken out, so that their seal can still be verified.
    """
    rows = await ctx._send(ABOUT, [ctx.workspace_id, user_id, names], many=True, begins=False)
    ids, digests = [row["id"] for row in rows], [row["digest"] for row in rows]
    signatures = [instance.vault.sign(data_erased(*each)) for each in zip(ids, digests, strict=True)]
    if ids:
        await ctx._send(KEEP_DIGESTS, [ctx.workspace_id, ids, digests, signatures])


async def belongs_elsewhere(ctx: Context, user_id: str) -> bool:
    """Whether a user is a member of another live workspace."""
    return bool((await ctx._one(ELSEWHERE, [user_id, ctx.workspace_id], begins=False))[0])


async def forget_answers(ctx: Context, user_id: str) -> None:
    """Removes what is kept to answer a user's requests again, in all workspaces."""
    await ctx._one(PRINCIPAL_SQL, [user_id])
    await ctx.delete_where(IdempotencyKey, table_of(IdempotencyKey).c.principal == user_id)
    await ctx._one(PRINCIPAL_SQL, [ctx.user_id or ctx.credential_id])
