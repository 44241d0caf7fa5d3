"""Caches of values made from requests: the most recently used, limited in number and in total bytes."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """At most `most` values of at most `room` bytes in total, by the sizes given to `put`; evicts the least recently
    used.
    """

    def __init__(self, most: int, room: int) -> None:
        self._most, self._room = most, room
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self.size = 0

    def get(self, key: K) -> V | None:
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, size: int) -> None:
        if size > self._room:
            return
        if key in self._values:
            self.size -= self._values.pop(key)[1]
        self._values[key] = value, size
        self.size += size
        while len(self._values) > self._most or self.size > self._room:
            _, (_, gone) = self._values.popitem(last=False)
            self.size -= gone

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: K) -> bool:
        return key in self._values
