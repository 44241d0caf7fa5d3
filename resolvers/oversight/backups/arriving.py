"""The payload of a bundle as it is read: entry by entry, in threads, compared with its manifest."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import IO, Any, Final, TypeVar

import orjson

from models import migrations
from models.base import table_of
from resolvers.instance.bundles import sealing
from resolvers.instance.bundles.faults import BundleError, BundleFault
from resolvers.instance.bundles.reading import Bundle
from resolvers.kernel import Code, Refusal, invalid
from resolvers.oversight.backups.crews import order_of_crew
from resolvers.oversight.backups.dumping import HEAD, KEYS
from resolvers.oversight.backups.places import workspace_of
from resolvers.oversight.backups.tables import ALWAYS, columns_of, needed_of, order

T = TypeVar("T")
MOST_ROWS: Final = 64 << 20  # bytes of an entry of rows; one has a megabyte and a row
NO_KEY: Final = "The bundle is sealed: a passphrase or an identity is required"
BAD_IDENTITY: Final = "is not an age identity (AGE-SECRET-KEY-1…)"
NOT_ITS_MANIFEST: Final = "The bundle was changed: its payload does not belong to its manifest"
UNKNOWN: Final = "The bundle has tables or columns that this release does not know"


class ArrivingPayload:
    """The entries of a payload, of which one is looked at ahead."""

    def __init__(self, entries: Any) -> None:
        self._entries = entries
        self._next: tuple[str, int, IO[bytes]] | None = None

    async def look(self) -> tuple[str, int, IO[bytes]] | None:
        """The entry that comes next; it stays the next one until it is taken."""
        if self._next is None:
            self._next = await asyncio.to_thread(next, self._entries, None)
        return self._next

    def take(self) -> None:
        self._next = None

    async def read(self, most: int = MOST_ROWS) -> bytes:
        """The content of the next entry, which is taken."""
        entry = await self.look()
        if entry is None or entry[1] > most:
            raise BundleError(BundleFault.invalid_checksum, NOT_ITS_MANIFEST)
        self.take()
        return await asyncio.to_thread(entry[2].read)

    async def expect(self, name: str) -> Any:
        """The JSON of the entry that has to be the next one."""
        entry = await self.look()
        if entry is None or entry[0] != name:
            raise BundleError(BundleFault.invalid_checksum, NOT_ITS_MANIFEST)
        try:
            return orjson.loads(await self.read())
        except orjson.JSONDecodeError as error:
            raise BundleError(BundleFault.invalid_checksum, NOT_ITS_MANIFEST) from error

    async def rows_of(self, table: str, change: Callable[[bytes], bytes]) -> AsyncIterator[bytes]:
        """The lines of a table, changed in a thread, a portion at a time."""
        while (entry := await self.look()) is not None and entry[0].startswith(f"db/{table}/"):
            yield await asyncio.to_thread(change, await self.read())


@asynccontextmanager
async def payload_of(bundle: Bundle, identity: str | None) -> AsyncIterator[ArrivingPayload]:
    """The end of the block raises BundleError unless the payload was whole."""
    opening = bundle.entries(identity)
    entries = await asyncio.to_thread(opening.__enter__)
    try:
        yield ArrivingPayload(entries)
    except BaseException as error:
        # the threads that read and open have ended, with any error
        if not await asyncio.shield(asyncio.to_thread(opening.__exit__, type(error), error, error.__traceback__)):
            raise
    else:
        await asyncio.to_thread(opening.__exit__, None, None, None)


def check_schema(manifest: Any) -> None:
    """BAD_REQUEST for a bundle of a later release: this one would not know what its rows mean."""
    steps = manifest.get("schema_migration_versions")
    if not isinstance(steps, list) or not all(isinstance(step, int) for step in steps):
        raise BundleError(BundleFault.invalid_manifest, "The manifest does not list the schema of its rows")
    if set(steps) - set(migrations.applied()):
        release = manifest.get("crewship_version_at_backup")
        newer = f"Crewship {release}" if isinstance(release, str) else "a later release"
        raise BundleError(
            BundleFault.schema_too_old,
            f"The bundle was made by {newer}, whose schema is newer than that of this server",
        )


async def identity_for(bundle: Bundle, passphrase: str | None, identity: str | None) -> str | None:
    """The key that opens the payload; None for one in clear."""
    if identity is not None and not sealing.is_identity(identity):
        raise invalid("identity", BAD_IDENTITY)
    if not bundle.sealed:
        return None
    key = await asyncio.to_thread(bundle.key)
    if key is not None and passphrase:
        return await sealing.identity_of(key, passphrase)
    if identity is None:
        raise Refusal(Code.BAD_REQUEST, NO_KEY)
    return identity


async def checked_head(
    payload: ArrivingPayload, manifest: Any, crew: str | None
) -> tuple[dict[str, list[str]], list[dict[str, Any]]]:
    """The columns of the tables, and the keys. `crew`: the id of the crew that the manifest names. Raises BundleError
    where they contradict the manifest.
    """
    head, keys = await payload.expect(HEAD), await payload.expect(KEYS)
    try:
        same = head["workspace_id"] == workspace_of(manifest)["id"] and head.get("crew_id") == crew
        if not same or head["schema"] != manifest["schema_migration_versions"]:
            raise BundleError(BundleFault.invalid_checksum, NOT_ITS_MANIFEST)
        tables: dict[str, list[str]] = head["tables"]
        known = {str(table_of(model).name): model for model in (order() if crew is None else order_of_crew())}
        if any(name not in known or set(columns) - set(columns_of(known[name])) for name, columns in tables.items()):
            raise BundleError(BundleFault.schema_too_old, UNKNOWN)
        whole = all(
            len(set(columns)) == len(columns) and needed_of(known[name]) <= set(columns)
            for name, columns in tables.items()
        )
        if not isinstance(keys, list) or not whole or ALWAYS - tables.keys():
            raise BundleError(BundleFault.invalid_checksum, NOT_ITS_MANIFEST)
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(BundleFault.invalid_checksum, NOT_ITS_MANIFEST) from error
    return tables, keys
