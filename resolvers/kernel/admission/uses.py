"""Records when credentials were last used: in memory, written in batches, at most once a minute per credential."""

import asyncio

from resolvers.identity.caller import CredentialKind
from resolvers.instance.reminders import Reminder
from resolvers.instance.telemetry import log
from resolvers.kernel.store.database import database

EVERY = 1.0  # seconds
SESSIONS = frozenset({CredentialKind.SESSION, CredentialKind.SESSION_TICKET})


class Uses:
    def __init__(self) -> None:
        self._sessions: set[str] = set()
        self._tokens: set[str] = set()
        self._failure = Reminder()

    def note(self, kind: CredentialKind, id: str) -> None:
        (self._sessions if kind in SESSIONS else self._tokens).add(id)

    async def write(self) -> None:
        sessions, tokens = list(self._sessions), list(self._tokens)
        if not sessions and not tokens:
            return
        async with database.lease() as conn:
            await conn.execute("UPDATE sessions SET last_used_at = now() WHERE id = ANY ($1)", sessions)
            await conn.execute("UPDATE cli_tokens SET last_used_at = now() WHERE id = ANY ($1)", tokens)
        self._sessions.difference_update(sessions)
        self._tokens.difference_update(tokens)

    async def run(self) -> None:
        """Runs until cancelled; then writes the recorded uses."""
        try:
            while True:
                await asyncio.sleep(EVERY)
                await self._try()
        finally:
            await self._try()

    async def _try(self) -> None:
        try:
            await self.write()
        except Exception as error:
            if self._failure.is_due(error):
                log.warning("last uses not written", error=type(error).__name__)


uses = Uses()
