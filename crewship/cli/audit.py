"""Is the audit log as it was sealed? Asked from the machine of the server, which has the key."""

from collections.abc import Callable

from crewship.process import keys
from crewship.process.database import Access, StartError
from resolvers.instance.settings import Settings
from resolvers.instance.vault import Signatures
from resolvers.kernel.store.connection import connect
from resolvers.oversight.audit.verification import Fault, Verified, verify

EVERYTHING = {"crewship.workspaces": "*"}


async def verified(
    settings: Settings, access: Access, workspace: str | None, tell: Callable[[Fault], None]
) -> Verified:
    """Walks the chains on one snapshot of the database, and reports each fault when it is found."""
    settings, found = keys.with_stored(settings), Verified()
    known = keys.wrapping_keys(settings)
    if not known:
        raise keys.without_key(settings)
    signatures = Signatures(known)
    conn = await connect(access.application, EVERYTHING)
    try:
        async with conn.transaction(isolation="repeatable_read", readonly=True):
            if workspace is not None:
                named = "SELECT id FROM workspaces WHERE id = $1 OR slug = $1 ORDER BY id = $1 DESC LIMIT 1"
                found_id = await conn.fetchval(named, workspace)
                if found_id is None:
                    raise StartError(f"there is no workspace {workspace}")
                workspace = found_id
            async for fault in verify(conn, signatures.signed, workspace, found):
                tell(fault)
    finally:
        await conn.close()
    return found
