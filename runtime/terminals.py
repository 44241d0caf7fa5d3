"""Terminals of people, where agents' commands run."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from resolvers.instance.ports import NotRun, OpenedTerminal, TerminalPlace
from resolvers.instance.settings import Settings
from resolvers.rules.redaction import Redactor
from runtime.job import Failed
from runtime.network import gateway_of
from runtime.sandbox import Sandbox, Workdir, detect
from runtime.sandbox.namespace import Bubblewrap

SHELLS = (Path("/bin/bash"), Path("/bin/sh"))


class SandboxedTerminals:
    """Without a boundary there are none: what people type would be the service's own.

    The sandbox is looked for once, when it is first needed.
    """

    def __init__(self, settings: Settings, sandbox: Sandbox | None = None) -> None:
        self._settings, self._sandbox = settings, sandbox
        self._looking = asyncio.Lock()

    async def available(self) -> bool:
        return await self._found() is not None

    async def _found(self) -> Bubblewrap | None:
        async with self._looking:
            if self._sandbox is None:
                self._sandbox = await detect(self._settings)
        return self._sandbox if isinstance(self._sandbox, Bubblewrap) else None

    @contextlib.asynccontextmanager
    async def open(self, place: TerminalPlace) -> AsyncIterator[OpenedTerminal]:
        sandbox = await self._found()
        if sandbox is None:
            raise NotRun("Terminals are off on this server", unavailable=True)
        shell = next(path for path in SHELLS if path.exists())
        try:
            workdir = Workdir.of_crew(
                self._settings.storage_path,
                workspace_id=place.workspace_id,
                crew_id=place.crew_id,
                agent_slug=place.agent_slug,
            )
            size = (place.rows, place.columns)
            network = await gateway_of(place.workspace_id, place.crew_id, {}, Redactor())
            async with sandbox.terminal(
                [str(shell)], workdir=workdir, size=size, read_only=place.read_only, network=network
            ) as made:
                yield made
        except Failed as failed:
            raise NotRun(str(failed)) from None
