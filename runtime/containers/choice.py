"""Where the commands of a crew run: in its containers, where it has an image and the server an engine, else in the
sandbox of this machine.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from resolvers.crews.building import Plan
from resolvers.crews.containers import NOT_BUILT, Kept, workplace_of
from resolvers.instance.ports import NotRun
from resolvers.instance.running import instance
from resolvers.instance.settings import Settings
from runtime.containers.build import Builder
from runtime.containers.engine import Engine
from runtime.containers.place import AGENT, BUILD, CREW, INSTANCE, WORKSPACE, CrewContainer, instance_of
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
        self.limits = limits_of(settings)
        self._ours = {INSTANCE: instance_of(settings.storage_path)}

    async def remove(self, workspace_id: str, crew_id: str) -> int:
        try:
            found = await self._of_crew(workspace_id, crew_id)
            return sum([await self.engine.remove(each["Id"]) for each in found])
        except Failed as failed:
            raise NotRun(str(failed)) from None

    def builder(self, plan: Plan, build_id: str) -> Builder:
        return Builder(self.engine, plan, build_id, self._ours[INSTANCE], self.limits)

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
            if BUILD not in each["Labels"]
        ]

    async def remove_builds(self, before: datetime) -> None:
        """Of builds whose process has died, and whose crew is not built again."""
        for each in await self.engine.list(self._ours):
            if BUILD in each["Labels"] and datetime.fromtimestamp(each["Created"], UTC) < before:
                await self.engine.remove(each["Id"])

    async def _of_crew(self, workspace_id: str, crew_id: str) -> Sequence[Mapping[str, Any]]:
        return await self.engine.list({**self._ours, WORKSPACE: workspace_id, CREW: crew_id})
