"""Where the commands of a crew run: in its containers, where it has an image and the server an engine, else in the
sandbox of this machine.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from resolvers.crews.containers import NOT_BUILT, Kept, workplace_of
from resolvers.instance.ports import NotRun
from resolvers.instance.running import instance
from resolvers.instance.settings import Settings
from runtime.containers.engine import Engine
from runtime.containers.place import AGENT, CREW, INSTANCE, WORKSPACE, CrewContainer, instance_of
from runtime.containers.sandbox import ContainerSandbox
from runtime.job import Failed
from runtime.sandbox import Sandbox, detect
from runtime.sandbox.detection import limits_of


class Sandboxes:
    """The sandbox of the machine is looked for once, when it is first needed."""

    def __init__(self, settings: Settings, sandbox: Sandbox | None = None) -> None:
        self._settings, self._sandbox = settings, sandbox
        self._looking = asyncio.Lock()

    async def of_machine(self) -> Sandbox:
        async with self._looking:
            if self._sandbox is None:
                self._sandbox = await detect(self._settings)
            return self._sandbox

    async def of_crew(self, workspace_id: str, crew_id: str | None) -> Sandbox:
        """Raises Failed for a crew whose image has to be built first."""
        containers = instance.containers
        if not isinstance(containers, EngineContainers) or crew_id is None:
            return await self.of_machine()
        found = await workplace_of(workspace_id, crew_id)
        if found is None:
            return await self.of_machine()
        if not found.image:
            raise Failed(NOT_BUILT)
        crew = CrewContainer(workspace_id, crew_id, found.image, found.memory_mb, found.cpus, found.environment)
        return ContainerSandbox(containers.engine, crew, limits_of(self._settings))


class EngineContainers:
    """This server's containers on its engine: others on it are not looked at."""

    def __init__(self, settings: Settings, address: str) -> None:
        self.engine = Engine(address)
        self._ours = {INSTANCE: instance_of(settings.storage_path)}

    async def remove(self, workspace_id: str, crew_id: str) -> int:
        try:
            found = await self._of_crew(workspace_id, crew_id)
            return sum([await self.engine.remove(each["Id"]) for each in found])
        except Failed as failed:
            raise NotRun(str(failed)) from None

    async def outdated(self, workspace_id: str, crew_id: str, image: str) -> int:
        try:
            wanted = await self.engine.image(image)
            found = await self._of_crew(workspace_id, crew_id)
        except Failed as failed:
            raise NotRun(str(failed)) from None
        running = [each for each in found if each["State"] == "running" and each["Labels"].get(AGENT)]
        return sum(
            each["ImageID"].removeprefix("sha256:") != (wanted or "").removeprefix("sha256:") for each in running
        )

    async def kept(self) -> list[Kept]:
        return [
            Kept(
                each["Id"],
                each["Labels"].get(WORKSPACE, ""),
                each["Labels"].get(CREW, ""),
                each["Labels"].get(AGENT, ""),
                datetime.fromtimestamp(each["Created"], UTC),
            )
            for each in await self.engine.list(self._ours)
        ]

    async def _of_crew(self, workspace_id: str, crew_id: str) -> Sequence[Mapping[str, Any]]:
        return await self.engine.list({**self._ours, WORKSPACE: workspace_id, CREW: crew_id})
