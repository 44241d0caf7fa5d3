"""Facts about a person beyond the workspace, and changes of them, for the erasure of a person."""

from collections.abc import Callable
from typing import Any

import orjson

from models.base import table_of
from models.kernel import IdempotencyKey
from resolvers.instance.running import instance
from resolvers.kernel.writing.context import Context

ELSEWHERE = "SELECT belongs_elsewhere($1, $2)"
END_CONSENTS = "SELECT end_consents($1)"
"""The functions look past row-level security themselves: no statement before them sets a scope."""

Signed = Callable[[bytes, bytes], bool]
PERSONAL_DIGEST = """
    sha256(convert_to(jsonb_build_array(salt, user_id, actor_id, data, changes, ip_address, user_agent)::text, 'UTF8'))
"""
"""The digest of an audit row's personal data."""
LEFT_DIGEST = """
    sha256(convert_to(jsonb_build_array(user_id, actor_id, data, changes, ip_address, user_agent)::text, 'UTF8'))
"""
"""The digest of the data that an erasure has left."""
ABOUT = f"""
    SELECT id, {LEFT_DIGEST} AS rest, erased, erased_signature FROM audit_logs
    WHERE workspace_id = $1 AND (user_id = $2 OR actor_id = $2 OR entity_id = ANY ($3::text[]))
    ORDER BY id
"""
# Functions of the owner: the service itself cannot change a row of the audit log.
TAKE_OUT = "SELECT audit_take_out($1, $2, $3::text::jsonb, $4::text[], $5::text[])"
LEFT = f"SELECT id, erased, {LEFT_DIGEST} AS rest FROM audit_logs WHERE workspace_id = $1 AND id = ANY ($2::text[])"
SIGN = "SELECT audit_sign_erased($1, $2::text[], $3::bytea[])"


def data_erased(id: str, digest: bytes, rest: bytes = b"") -> bytes:
    """The signed content after an erasure from an audit row: the digest of the earlier data, and of the rest. Rows from
    before that was signed have no `rest`.
    """
    return (b"erased, and left" if rest else b"erased") + id.encode() + digest + rest


def is_as_erased(signed: Signed, row: Any) -> bool:
    """Returns true if this instance has erased the missing data, and the rest is unchanged."""
    said, signature = (row["id"], row["erased"]), row["erased_signature"] or b""
    return signed(data_erased(*said, row["rest"]), signature) or signed(data_erased(*said), signature)


async def erase_in_audit(ctx: Context, user_id: str, personal: dict[str, str], about: list[str]) -> list[str]:
    """Removes a person from the audit rows of the person's actions, and from rows `about` these ids: the person's ids
    and addresses and, in each row, the fields whose whole value is the person's, as `personal` says. Text by others
    stays. A digest of the earlier data is stored, so that the seal can be verified, and the rest is signed.
    """
    await ctx.lock(f"persons in the audit log of {ctx.workspace_id}")  # what is read now is what is changed below
    found = await ctx._send(ABOUT, [ctx.workspace_id, user_id, about], many=True)
    # a row that was tampered with stays detectable: it keeps the invalid signature
    rows = [row for row in found if row["erased"] is None or is_as_erased(instance.vault.signed, row)]
    ids = [row["id"] for row in rows]
    if not ids:
        return []
    await ctx._send(TAKE_OUT, [ctx.workspace_id, user_id, orjson.dumps(personal).decode(), about, ids])
    left = await ctx._send(LEFT, [ctx.workspace_id, ids], many=True)
    signatures = [instance.vault.sign(data_erased(row["id"], row["erased"], row["rest"])) for row in left]
    await ctx._send(SIGN, [ctx.workspace_id, [row["id"] for row in left], signatures])
    return ids


async def belongs_elsewhere(ctx: Context, user_id: str, *, than: str | None = None) -> bool:
    """Returns true if a user is a member of another live workspace than `than`, or than the caller's."""
    return bool((await ctx._one(ELSEWHERE, [user_id, than or ctx.workspace_id], begins=False))[0])


async def end_consents(ctx: Context, user_id: str) -> None:
    """Nothing that was accepted in the name of a user gives a workspace rights over the account any more; the user
    stays a member.
    """
    await ctx._one(END_CONSENTS, [user_id])


async def forget_answers(ctx: Context, user_id: str) -> None:
    """Removes the stored answers to a user's requests in all workspaces."""
    await ctx.flush()
    ctx.conn.acts_for(user_id)
    await ctx.delete_where(IdempotencyKey, table_of(IdempotencyKey).c.principal == user_id)
    ctx.conn.acts_for(ctx.user_id or ctx.credential_id)
