"""Terminals of people, where agents' commands run."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from resolvers.instance.ports import NotRun, OpenedTerminal, TerminalPlace
from resolvers.instance.running import instance
from resolvers.instance.settings import Settings
from resolvers.rules.redaction import Redactor
from runtime.containers.choice import EngineContainers, Sandboxes
from runtime.containers.sandbox import ContainerSandbox
from runtime.runs.job import Failed
from runtime.runs.network import gateway_of
from runtime.sandbox import Sandbox, Workdir
from runtime.sandbox.namespace import Bubblewrap

SHELLS = (Path("/bin/bash"), Path("/bin/sh"))


class SandboxedTerminals:
    """Without a boundary there are none: what people type would be the service's own."""

    def __init__(self, settings: Settings, sandbox: Sandbox | None = None) -> None:
        self._settings, self._sandboxes = settings, Sandboxes(settings, sandbox)

    async def available(self) -> bool:
        """For some crew: of an engine it is not asked whether it is there now."""
        return isinstance(instance.containers, EngineContainers) or isinstance(
            await self._sandboxes.of_machine(), Bubblewrap
        )

    @contextlib.asynccontextmanager
    async def open(self, place: TerminalPlace) -> AsyncIterator[OpenedTerminal]:
        try:
            sandbox = await self._sandboxes.of_crew(place.workspace_id, place.crew_id)
            workdir = Workdir.of_crew(
                self._settings.storage_path,
                workspace_id=place.workspace_id,
                crew_id=place.crew_id,
                agent_slug=place.agent_slug,
            )
            network = await gateway_of(place.workspace_id, place.crew_id, {}, Redactor())
            how = {"workdir": workdir, "size": (place.rows, place.columns), "read_only": place.read_only}
            if isinstance(sandbox, ContainerSandbox):
                async with sandbox.terminal(**how, network=network) as in_container:  # type: ignore[arg-type]
                    yield in_container
            elif isinstance(sandbox, Bubblewrap):
                shell = next(path for path in SHELLS if path.exists())
                async with sandbox.terminal([str(shell)], **how, network=network) as made:  # type: ignore[arg-type]
                    yield made
            else:
                raise NotRun("Terminals are disabled on this server", unavailable=True)
        except Failed as failed:
            raise NotRun(str(failed)) from None
