"""Is the audit log as it was sealed? Asked from the machine of the server, which has the key."""

from collections.abc import Callable

from crewship import keys
from crewship.serve import Access
from resolvers.audit.verification import Fault, Verified, verify
from resolvers.instance.settings import Settings
from resolvers.kernel.database import connect

EVERYTHING = {"crewship.workspaces": "*"}


async def verified(
    settings: Settings, access: Access, workspace: str | None, tell: Callable[[Fault], None]
) -> Verified:
    """Walks the chains on one snapshot of the database, and tells of each fault when it is found."""
    vault, found = keys.vault(keys.with_stored(settings)), Verified()
    conn = await connect(access.application, EVERYTHING)
    try:
        async with conn.transaction(isolation="repeatable_read", readonly=True):
            if workspace is not None:
                named = "SELECT id FROM workspaces WHERE id = $1 OR slug = $1 ORDER BY id = $1 DESC LIMIT 1"
                workspace = await conn.fetchval(named, workspace) or workspace
            async for fault in verify(conn, vault.signed, workspace, found):
                tell(fault)
    finally:
        await conn.close()
    return found
