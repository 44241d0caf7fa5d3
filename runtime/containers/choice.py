"""The place of a crew's commands: its containers, if it has an image and the server an engine; otherwise the sandbox of
this machine.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from models.staff.crews import NetworkMode
from resolvers.identity.caller import Caller
from resolvers.instance.ports import (
    BegunContainers,
    CachedImage,
    ContainerOfCrew,
    ImageDigests,
    InUse,
    NotRun,
    PulledImage,
    RunningContainer,
)
from resolvers.instance.running import instance
from resolvers.instance.settings import Settings
from resolvers.instance.store import Folder, LocalTree
from resolvers.kernel import Refusal
from resolvers.resources.credentials.given import named_for
from resolvers.staff.crews.building import CACHE, BuildPlan
from resolvers.staff.crews.containers import NOT_BUILT, KeptContainer, Workplace, workplace_of
from resolvers.staff.crews.progress import report_step
from runtime.containers import inventory
from runtime.containers.build import Builder
from runtime.containers.engine import ContainerEngine, EngineRefused
from runtime.containers.inside import opened_root
from runtime.containers.inventory import AT_ONCE, name_of, of_agents, passes
from runtime.containers.making import Tell
from runtime.containers.measuring import Cpu, cpu_of, measured
from runtime.containers.place import (
    AGENT,
    APART,
    BUILD,
    CREW,
    CURRENT,
    INSTANCE,
    LAYOUT,
    WORKSPACE,
    Apart,
    CrewContainer,
    instance_of,
)
from runtime.containers.sandbox import ContainerSandbox
from runtime.containers.selection import engine_of
from runtime.containers.services import CrewServices, not_running
from runtime.egress import EgressGateway, Policy
from runtime.runs.job import Failed
from runtime.runs.network import servers_of_models
from runtime.sandbox import Sandbox, Workdir, detect
from runtime.sandbox.boundary import Limits
from runtime.sandbox.detection import limits_of

SERVICE: Final = "runtime"
MOST_TOLD: Final = 500
STOPPED: Final = frozenset({"exited", "stopped", "dead"})
NOT_STARTED: Final = "The container of {} did not start: {}"
REGISTRIES: Final = ("", "docker.io/library/", "localhost/")
"""The prefixes that engines add to names of images without a registry."""


def cached_tag(name: str) -> str:
    """The tag of an image that was built for crews, as it is stored; empty for any other."""
    registry, found, rest = name.rpartition(f"{CACHE}:")
    return f"{CACHE}:{rest}" if found and rest and registry in REGISTRIES else ""


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

    async def of_crew(self, workspace_id: str, crew_id: str | None, apart: Apart = Apart.nothing) -> Sandbox:
        """Raises Failed for a crew whose image has to be built first. `apart` of others in the same sandbox, if that
        stays when a command ends.
        """
        containers = instance.containers
        if not isinstance(containers, EngineContainers) or crew_id is None:
            return await self.of_machine()
        found = await workplace_of(workspace_id, crew_id)
        if found is None:
            return await self.of_machine()
        if not found.image:
            raise Failed(NOT_BUILT)
        services = await services_of(workspace_id, crew_id, found)
        limits = limits_of(self._settings)
        return boxed(containers.engine, limits, (workspace_id, crew_id), found, services, apart)


def boxed(
    engine: ContainerEngine,
    limits: Limits,
    whose: tuple[str, str],
    found: Workplace,
    services: CrewServices,
    apart: Apart = Apart.nothing,
) -> ContainerSandbox:
    """The containers of a crew, `whose` workspace and id these are."""
    workspace_id, crew_id = whose
    given = (found.image, found.memory_mb, found.cpus, found.environment, tuple(services.hosts()))
    crew, tell = CrewContainer(workspace_id, crew_id, *given), telling(workspace_id, crew_id)
    return ContainerSandbox(engine, crew, limits, tell, apart=apart, services=services)


async def services_of(workspace_id: str, crew_id: str, found: Workplace) -> CrewServices:
    """With the values of the credentials that they name."""
    names = sorted({name for service in found.services for name in service.env_refs or ()})
    secrets = await named_for(workspace_id, crew_id, names) if names else {}
    return CrewServices(found.services, secrets, found.memory_mb, found.cpus)


def telling(workspace_id: str, crew_id: str) -> Tell:
    """Reports the creation of containers on the crew's channel."""

    async def tell(step: str, status: str, error: str | None, took: int) -> None:
        told = {"crew_id": crew_id, "step": step, "status": status}
        more = {"error": error[:MOST_TOLD]} if error else {}
        times = {"duration_ms": took} if took else {}
        with contextlib.suppress(Refusal):  # the workspace is gone
            await report_step(Caller.service(SERVICE, workspace_id), told | more | times)

    return tell


class EngineContainers:
    """This server's containers on its engine: others on it are not looked at."""

    def __init__(self, settings: Settings, address: str) -> None:
        self.engine = engine_of(settings, address)
        self.limits = limits_of(settings)
        named = settings.build_domains
        self._of_builds = (
            Policy(NetworkMode.free, closed=servers_of_models(settings))
            if named is None
            else Policy(NetworkMode.restricted, frozenset(named))
        )
        self._storage = settings.storage_path
        self._ours = {INSTANCE: instance_of(settings.storage_path)}
        self._cpu: dict[str, Cpu] = {}

    @property
    def knows_digests(self) -> bool:
        return self.engine.knows_digests

    async def start(self, workspace_id: str, crew_id: str, agents: Mapping[str, str]) -> BegunContainers:
        found = await workplace_of(workspace_id, crew_id)
        if found is None or not found.image:
            raise NotRun(NOT_BUILT)
        services = await services_of(workspace_id, crew_id, found)
        box = boxed(self.engine, self.limits, (workspace_id, crew_id), found, services)
        at_once = asyncio.Semaphore(AT_ONCE)

        async def begin(agent_id: str, slug: str) -> str:
            """The reason, if it does not start."""
            async with at_once:
                try:
                    place = {"workspace_id": workspace_id, "crew_id": crew_id, "agent_id": agent_id}
                    begun[agent_id] = await box.start(Workdir.of(self._storage, agent_slug=slug, **place))
                except Failed as failed:
                    return NOT_STARTED.format(slug, failed)
            return ""

        begun: dict[str, str] = {}
        notices = await not_running(self.engine, services, self._ours[INSTANCE], workspace_id, crew_id, self.limits)
        reasons = await asyncio.gather(*[begin(*each) for each in agents.items()])
        notices += filter(None, reasons)
        if not begun:
            raise NotRun(notices[-1] if notices else NOT_BUILT)
        return BegunContainers({agent: begun[agent] for agent in agents if agent in begun}, notices)

    async def stop(self, workspace_id: str, crew_id: str) -> int:
        async def end(container: Mapping[str, Any]) -> bool:
            ends = self.engine.remove if passes(container) else self.engine.stop
            return await ends(container["Id"])

        try:
            found = [each for each in await self._of_crew(workspace_id, crew_id) if each["State"] == "running"]
            return sum(await asyncio.gather(*map(end, found)))
        except Failed as failed:
            raise NotRun(str(failed)) from None

    async def known(
        self, workspace_id: str, crew_id: str, *, measured: bool = False, inspected: bool = False
    ) -> Sequence[ContainerOfCrew]:
        try:
            found = await self._of_crew(workspace_id, crew_id)
            return await inventory.known(self.engine, found, self._cpu, measured=measured, inspected=inspected)
        except Failed as failed:
            raise NotRun(str(failed)) from None

    async def digests(self, workspace_id: str, crew_id: str, image: str) -> ImageDigests:
        try:
            return await inventory.digests(self.engine, of_agents(await self._of_crew(workspace_id, crew_id)), image)
        except Failed as failed:
            raise NotRun(str(failed)) from None

    async def refresh(self, workspace_id: str, crew_id: str, image: str) -> PulledImage:
        try:
            return await inventory.refreshed(self.engine, of_agents(await self._of_crew(workspace_id, crew_id)), image)
        except Failed as failed:
            raise NotRun(str(failed)) from None

    async def running(self, workspace_id: str) -> Sequence[RunningContainer]:
        try:
            found = await self.engine.list({WORKSPACE: workspace_id})
        except Failed as failed:
            raise NotRun(str(failed)) from None
        ours = self._ours[INSTANCE]
        return [
            RunningContainer(str(each["Id"]), each["Labels"].get(CREW, ""), each["Labels"].get(INSTANCE) == ours)
            for each in found
            if each["State"] == "running" and BUILD not in each["Labels"]
        ]

    async def discard(self, container: str) -> bool:
        try:
            return await self.engine.remove(container)
        except Failed as failed:
            raise NotRun(str(failed)) from None

    async def remove(self, workspace_id: str, crew_id: str) -> int:
        try:
            found = await self._of_crew(workspace_id, crew_id)
            return sum([await self.engine.remove(each["Id"]) for each in found])
        except Failed as failed:
            raise NotRun(str(failed)) from None

    @contextlib.asynccontextmanager
    async def inside(self, workspace_id: str, crew_id: str, agent_id: str) -> AsyncIterator[Folder | None]:
        """Without an answer of the engine, no container counts as running."""
        root: int | None = None
        with contextlib.suppress(Failed):
            whose = {**self._ours, WORKSPACE: workspace_id, CREW: crew_id, AGENT: agent_id}
            found = [each for each in await self.engine.list(whose) if not each["Labels"].get(APART)]
            root = await opened_root(self.engine, found[0]["Id"]) if found else None
        if root is None:
            yield None
            return
        try:
            yield LocalTree(root).folder
        finally:
            os.close(root)

    async def images(self) -> Sequence[CachedImage]:
        try:
            found = await self.engine.images()
        except Failed as failed:
            raise NotRun(str(failed)) from None
        tags = [(cached, each) for each in found for name in each.get("RepoTags") or () if (cached := cached_tag(name))]
        return [
            CachedImage(tag, int(each.get("Size") or 0), int(each.get("Created") or 0))
            for tag, each in sorted(tags, key=lambda one: one[0])
        ]

    async def remove_image(self, tag: str, *, force: bool) -> bool:
        try:
            return await self.engine.remove_image(tag, force=force)
        except EngineRefused as refused:
            if refused.status == 409:
                raise InUse from None
            raise NotRun(str(refused)) from None
        except Failed as failed:
            raise NotRun(str(failed)) from None

    async def outdated(self, workspace_id: str) -> Sequence[str]:
        try:
            return [name_of(each) for each in await self._outdated(workspace_id)]
        except Failed as failed:
            raise NotRun(str(failed)) from None

    async def prune(self, workspace_id: str, removed: list[str], *, outdated: bool) -> None:
        try:
            found = await (self._outdated(workspace_id) if outdated else self._of_workspace(workspace_id))
            for each in sorted(found, key=name_of):
                if await self.engine.remove(each["Id"]):
                    removed.append(name_of(each))
            for volume in [] if outdated else await self.engine.volumes({**self._ours, WORKSPACE: workspace_id}):
                if await self.engine.remove_volume(volume["Name"]):
                    removed.append(volume["Name"])
        except Failed as failed:
            raise NotRun(str(failed)) from None

    async def _of_workspace(self, workspace_id: str) -> Sequence[Mapping[str, Any]]:
        return await self.engine.list({**self._ours, WORKSPACE: workspace_id})

    async def _outdated(self, workspace_id: str) -> Sequence[Mapping[str, Any]]:
        found = await self._of_workspace(workspace_id)
        return [each for each in found if each["Labels"].get(LAYOUT) != CURRENT]

    def builder(self, plan: BuildPlan, build_id: str) -> Builder:
        return Builder(self.engine, plan, build_id, self._ours[INSTANCE], self.limits, EgressGateway(self._of_builds))

    async def kept(self) -> list[KeptContainer]:
        return [
            KeptContainer(
                each["Id"],
                each["Labels"].get(WORKSPACE, ""),
                each["Labels"].get(CREW, ""),
                each["Labels"].get(AGENT, ""),
                datetime.fromtimestamp(each["Created"], UTC),
            )
            for each in await self.engine.list(self._ours)
            if BUILD not in each["Labels"]
        ]

    async def kept_volumes(self) -> list[KeptContainer]:
        """Volumes by name; their age is unknown."""
        now = datetime.now(UTC)
        return [
            KeptContainer(each["Name"], each["Labels"].get(WORKSPACE, ""), each["Labels"].get(CREW, ""), "", now)
            for each in await self.engine.volumes(self._ours)
        ]

    async def measured(self) -> list[tuple[str, dict[str, Any]]]:
        """The workspace and the usage of each running container."""
        found = [each for each in await self._of_crews() if each["State"] == "running"]
        at_once = asyncio.Semaphore(AT_ONCE)

        async def ask(container: Mapping[str, Any]) -> Mapping[str, Any] | None:
            async with at_once:
                return await self.engine.stats(container["Id"])

        told = await asyncio.gather(*map(ask, found))
        known, self._cpu = self._cpu, {c["Id"]: cpu_of(s) for c, s in zip(found, told, strict=True) if s is not None}
        return [
            (container["Labels"][WORKSPACE], measured(container, stats, known.get(container["Id"])))
            for container, stats in zip(found, told, strict=True)
            if stats is not None
        ]

    async def pending(self) -> dict[str, int]:
        """Crews, and how many of their agents have a container of another image than the crew's of now."""
        images: dict[str, str | None] = {}
        agents: dict[str, set[str]] = {}
        crews: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for each in await self._of_crews():
            if each["State"] in STOPPED:  # the next command makes another one
                continue
            crews.setdefault((each["Labels"][WORKSPACE], each["Labels"][CREW]), []).append(each)
        for whose, containers in crews.items():
            place = await workplace_of(*whose)
            if place is None or not place.image:
                continue
            if place.image not in images:
                images[place.image] = await self.engine.image(place.image)
            now = images[place.image]
            old = {each["Labels"].get(AGENT, "") for each in containers if now not in (None, each["ImageID"])} - {""}
            if old:
                agents[whose[1]] = old
        return {crew: len(found) for crew, found in agents.items()}

    async def _of_crews(self) -> list[Mapping[str, Any]]:
        found = await self.engine.list(self._ours)
        return [each for each in found if BUILD not in each["Labels"] and {WORKSPACE, CREW} <= each["Labels"].keys()]

    async def remove_builds(self, before: datetime) -> None:
        """Removes containers of builds whose process has died and whose crew is not built again."""
        for each in await self.engine.list(self._ours):
            if BUILD in each["Labels"] and datetime.fromtimestamp(each["Created"], UTC) < before:
                await self.engine.remove(each["Id"])

    async def _of_crew(self, workspace_id: str, crew_id: str) -> Sequence[Mapping[str, Any]]:
        return await self.engine.list({**self._ours, WORKSPACE: workspace_id, CREW: crew_id})
