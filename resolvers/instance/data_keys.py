"""Data keys, which seal values: one for each workspace and one for the instance.

They are stored wrapped; unwrapped keys stay in memory for a limited time. So does the choice of a workspace's current
key: for that time a process may still seal with a replaced one.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

from models.base import new_id
from resolvers.instance.ciphers import Cipher
from resolvers.instance.wrapping import OwnKeys, Unwrappable, Wrapped, Wrapping

LIFETIME = 300.0  # seconds
MOST = 10_000  # unwrapped ones in memory
SIZE = 32  # bytes
K = TypeVar("K")


class StoredKey(NamedTuple):
    """A stored data key. `workspace_id` is None for the instance's own."""

    id: str
    workspace_id: str | None
    wrapped: Wrapped

    @property
    def place(self) -> bytes:
        """The associated data that binds a wrapped key to its id and workspace."""
        return "\0".join(("data key", self.id, self.workspace_id or "")).encode()


class KeyStore(Protocol):
    """The store of wrapped data keys. A key that is added exists at once, even if the caller's transaction fails."""

    async def current(self, workspace_id: str | None) -> StoredKey | None:
        """The key that seals for the workspace."""

    async def find(self, id: str) -> StoredKey | None:
        """Finds a key by id, including replaced ones."""

    async def add(self, made: StoredKey) -> StoredKey:
        """The current one of the workspace: this, or whichever was there first."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """One that is unwrapped. `until`: on the monotonic clock."""

    id: str
    cipher: Cipher
    until: float


class DataKeys:
    """The data keys of the instance. The first of `wrappings` wraps; any of them may unwrap."""

    def __init__(self, wrappings: Sequence[Wrapping], store: KeyStore, *, lifetime: float = LIFETIME) -> None:
        self._wrappings, self._store, self._lifetime = wrappings, store, lifetime
        self._opened: dict[str, DataKey] = {}
        self._current: dict[str | None, DataKey] = {}
        self._loading: dict[tuple[str, str | None], asyncio.Future[DataKey]] = {}

    async def current(self, workspace_id: str | None) -> DataKey:
        """The key that seals for the workspace; creates it if it does not exist."""
        held = self._current.get(workspace_id)
        if held is not None and held.until > time.monotonic():
            return held
        return await self._once(("current", workspace_id), lambda: self._find_current(workspace_id))

    async def get(self, id: str) -> DataKey:
        """Raises Unwrappable."""
        held = self._opened.get(id)
        if held is not None and held.until > time.monotonic():
            return held
        return await self._once(("id", id), lambda: self._find(id))

    async def make(self, workspace_id: str | None) -> StoredKey:
        """A new one, stored nowhere."""
        bare = StoredKey(new_id(), workspace_id, Wrapped("", b""))
        return await self._wrap(bare, os.urandom(SIZE))

    async def wrapped_anew(self, stored: StoredKey) -> StoredKey:
        """Wrapped by the key that wraps now. Raises Unwrappable."""
        return await self._wrap(stored, await self._unwrap(stored))

    async def brought(self, stored: StoredKey, workspace_id: str) -> tuple[DataKey, StoredKey]:
        """A key from a backup: unwrapped, and wrapped for this workspace by the key that wraps now. Raises Unwrappable
        if this server does not have the key that wraps it.
        """
        key = await self._unwrap_foreign(stored)
        if len(key) != SIZE:
            raise Unwrappable("A stored data key is invalid")
        unwrapped = DataKey(stored.id, Cipher(key), time.monotonic() + self._lifetime)
        return unwrapped, await self._wrap(stored._replace(workspace_id=workspace_id), key)

    async def made_for(self, workspace_id: str) -> tuple[DataKey, StoredKey]:
        """A new one, which the caller stores together with the workspace."""
        stored = await self.make(workspace_id)
        return await self._open(stored), stored

    async def _unwrap_foreign(self, stored: StoredKey) -> bytes:
        try:
            return await self._unwrap(stored)
        except Unwrappable:
            for wrapping in self._wrappings:
                if isinstance(wrapping, OwnKeys):
                    return await wrapping.unwrap_by_any(stored.wrapped, stored.place)
            raise

    def knows(self, by: str) -> bool:
        """Returns true if data keys wrapped by the key of this name can be used."""
        return any(wrapping.knows(by) for wrapping in self._wrappings)

    async def _once(self, name: tuple[str, str | None], load: Callable[[], Awaitable[DataKey]]) -> DataKey:
        """Looks a key up once; concurrent callers wait for the same look-up."""
        task = self._loading.get(name)
        if task is None:
            task = self._loading[name] = asyncio.ensure_future(load())
            task.add_done_callback(lambda done: self._loaded(name, done))
        return await asyncio.shield(task)

    def _loaded(self, name: tuple[str, str | None], done: "asyncio.Future[DataKey]") -> None:
        self._loading.pop(name, None)
        if not done.cancelled():
            done.exception()  # callers that still wait receive it

    async def _find_current(self, workspace_id: str | None) -> DataKey:
        stored = await self._store.current(workspace_id)
        if stored is None:
            stored = await self._store.add(await self.make(workspace_id))
        return _remember(self._current, workspace_id, await self._open(stored))

    async def _find(self, id: str) -> DataKey:
        stored = await self._store.find(id)
        if stored is None:
            raise Unwrappable("A data key is missing")
        return await self._open(stored)

    async def _open(self, stored: StoredKey) -> DataKey:
        key = await self._unwrap(stored)
        if len(key) != SIZE:
            raise Unwrappable("A stored data key is invalid")
        made = DataKey(stored.id, Cipher(key), time.monotonic() + self._lifetime)
        return _remember(self._opened, stored.id, made)

    async def _unwrap(self, stored: StoredKey) -> bytes:
        for wrapping in self._wrappings:
            if wrapping.knows(stored.wrapped.by):
                return await wrapping.unwrap(stored.wrapped, stored.place)
        raise Unwrappable(f"A data key is wrapped by {stored.wrapped.by}, which is not available")

    async def _wrap(self, stored: StoredKey, key: bytes) -> StoredKey:
        return stored._replace(wrapped=await self._wrappings[0].wrap(key, stored.place))


def _remember(known: dict[K, DataKey], name: K, key: DataKey) -> DataKey:
    known.pop(name, None)
    known[name] = key
    if len(known) > MOST:
        del known[next(iter(known))]
    return key
