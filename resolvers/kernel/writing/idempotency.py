"""Commands that a client may send twice: the same key and the same request give the stored answer.

Unique over (principal, workspace, operation, key). Refusals are not stored; what returns a secret stores no body.
"""

import hashlib
from typing import Any

import orjson

from resolvers.errors import Code, Refusal
from resolvers.kernel.admission.request import Request

LONGEST_KEY = 255
BREAK = "\n"  # no header that a client sends has one
SAME = "WHERE principal = $1 AND workspace_id IS NOT DISTINCT FROM $2 AND operation = $3 AND key = $4"
# a day, or the days of the workspace's rule
AGE = """now() - make_interval(days => coalesce(
    (SELECT days FROM retention_rules WHERE workspace_id = $2 AND kind = 'idempotency_keys'), 1
))"""
STORED = (
    f"WITH gone AS (DELETE FROM idempotency_keys {SAME} AND created_at <= {AGE}) "
    f"SELECT request_hash, body, version FROM idempotency_keys {SAME} AND created_at > {AGE}"
)


def request_hash(operation: str, request: Request) -> bytes:
    """The hash of a request: path, query and body (all of them are in `raw`), and the selection."""
    try:
        named = orjson.dumps([operation, request.raw], option=orjson.OPT_SORT_KEYS, default=str)
    except orjson.JSONEncodeError:  # what no field takes may be nested deeper than fields are
        raise Refusal(Code.BAD_REQUEST, "The request is nested too deeply for an Idempotency-Key") from None
    described = named + repr(request.shape).encode() + repr(request.slots).encode()
    return hashlib.blake2b(described, digest_size=32).digest()


def check_key(key: str) -> None:
    key = key.rpartition(BREAK)[2]
    if not key or len(key) > LONGEST_KEY or not key.isprintable():
        raise Refusal(Code.BAD_REQUEST, f"Idempotency-Key takes 1 to {LONGEST_KEY} printable characters")


def at(key: str, root: str) -> str:
    """The key of one mutation of a document with several; `root` is its response key."""
    return f"{root}{BREAK}{key}"


def lock_name(principal: str, workspace_id: str | None, operation: str, key: str) -> str:
    """Calls with the same key wait for each other until the transaction ends."""
    return "\n".join(["idempotency", principal, workspace_id or "", operation, key])


async def stored(conn: Any, principal: str, workspace_id: str | None, operation: str, key: str) -> Any:
    """(request_hash, body, version) of an earlier call, or None. One that is out of date is removed.

    From here on the connection works for this principal.
    """
    conn.acts_for(principal)
    return await conn.fetchrow(STORED, principal, workspace_id, operation, key)


def replay(row: Any, hash: bytes, secret: bool) -> tuple[bytes | None, int | None]:
    """The stored body and the version of its row, if the request is the same one."""
    if row[0] != hash:
        raise Refusal(Code.UNPROCESSABLE, "This Idempotency-Key was used for a different request")
    if secret:
        raise Refusal(
            Code.CONFLICT, "This request was already processed; its answer contained a secret and was not stored"
        )
    return row[1], row[2]
