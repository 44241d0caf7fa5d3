"""The key of a coding agent's calls, and its placeholder in the sandbox."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pydantic import SecretStr

Before = Callable[[], Awaitable[SecretStr | None]]


class Key:
    """`before` finds the one that was rotated away and is still valid: a server may know the new one late."""

    def __init__(self, secret: str, before: Before | None = None) -> None:
        self.secret = secret
        self._before = before
        self._going_back = asyncio.Lock()

    async def go_back(self, refused: str) -> bool:
        """Returns true if there is another key to try than the refused one. All further calls use it."""
        async with self._going_back:
            if self.secret != refused:
                return True  # another call has been here
            find, self._before = self._before, None
            before = await find() if find is not None else None
            if before is None:
                return False
            self.secret = before.get_secret_value().strip()
            return self.secret != refused


@dataclass(frozen=True, slots=True)
class KeyStandIn:
    """`shown` replaces the key in the headers `names` only: a server may quote other headers."""

    shown: str
    key: Key = field(repr=False)
    names: frozenset[str]
