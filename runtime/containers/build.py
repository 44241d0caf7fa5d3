"""A crew's image, built in a container from the image that the crew names, and committed.

The container has only a loopback, on which the service's proxy listens during a command: installations use this proxy.
The container has no mounts of the host or of a crew.
"""

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

from resolvers.staff.crews.building import BuildPlan
from runtime.containers.engine import ContainerEngine
from runtime.containers.network import served
from runtime.containers.place import BUILD, INSTANCE, WAITS, held, limits_of
from runtime.egress import EgressGateway
from runtime.runs.job import Failed
from runtime.sandbox.boundary import MOST_THREADS, Limits

COMMON_UTILS: Final = "/common-utils"
NO_FEATURE: Final = "The feature {} is not built in: add its contents to the image, or use postCreateCommand"
NO_MISE: Final = "The image has no mise to install tools with"
KEPT: Final = 4000  # bytes of what a step that fails has said last
MOST_REFUSALS: Final = 10  # of a step that fails
_PROCESSORS: Final = 2.0
# What package managers do as root, and no more.
_RIGHTS: Final = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID")
_AGENT: Final = """
set -e
grep -q '^agent:' /etc/group || echo 'agent:x:1001:' >>/etc/group
grep -q '^agent:' /etc/passwd || echo 'agent:x:1001:1001:agent:/home/agent:/bin/sh' >>/etc/passwd
mkdir -p /home/agent /output /skills
chown 1001:1001 /home/agent
"""
_MISE: Final = """
command -v mise >/dev/null || exit 44
export MISE_DATA_DIR=/usr/local/share/mise MISE_CONFIG_DIR=/etc/mise MISE_YES=1
mkdir -p /etc/mise && mise use --global "$@" && mise reshim
"""


class Builder:
    """The container of one build, known by its id."""

    def __init__(
        self,
        engine: ContainerEngine,
        plan: BuildPlan,
        build_id: str,
        instance: str,
        limits: Limits,
        network: EgressGateway | None = None,
    ) -> None:
        self._engine, self._plan, self._limits, self._network = engine, plan, limits, network
        self._name, self._labels = f"crewship-build-{build_id}", {INSTANCE: instance, BUILD: build_id}

    async def steps(self) -> AsyncGenerator[str, None]:
        """Says each step before it does it. Nothing is left of the container, however that ends."""
        plan, steps = self._plan, iter(self._plan.steps)
        await self._engine.remove(self._name)  # of an attempt whose process died
        yield next(steps)
        if await self._engine.image(plan.image) is None:
            await self._engine.pull(plan.image)
        try:
            container = await self._engine.create(self._name, self._configuration())
            await self._engine.start(container)
            for ref, _ in plan.features:
                yield next(steps)
                await self._feature(container, ref)
            if plan.tools:
                yield next(steps)
                await self._run(container, ["/bin/sh", "-c", _MISE, "sh", *(f"{name}@{of}" for name, of in plan.tools)])
            if plan.commands:
                yield next(steps)
                for command in plan.commands:
                    await self._run(container, command)
            yield next(steps)
            repository, _, tag = plan.tag.partition(":")
            await self._engine.keep_image(container, repository, tag, {INSTANCE: self._labels[INSTANCE]})
        finally:
            with contextlib.suppress(Failed):
                await self._engine.remove(self._name)

    async def _feature(self, container: str, ref: str) -> None:
        if COMMON_UTILS not in ref:
            raise Failed(NO_FEATURE.format(ref))
        await self._run(container, ["/bin/sh", "-c", _AGENT])

    async def _run(self, container: str, argv: Sequence[str]) -> None:
        said, network = bytearray(), self._network
        variables = {} if network is None else network.environment
        known = 0 if network is None else len(network.refusals)
        async with (
            served(network, await self._pid(container)),
            self._engine.running(container, argv, user="0:0", workdir="/", environment=variables) as running,
        ):
            async for _, piece in running.pieces():
                said = (said + piece)[-KEPT:]
            code = await running.exit_code()
        if code == 44 and argv[2] == _MISE:
            raise Failed(NO_MISE)
        if code:
            refused = [] if network is None else network.refusals[known : known + MOST_REFUSALS]
            told = "".join(f"\n[network: {each}]" for each in refused)
            raise Failed(f"A step ended with {code}: {said.decode(errors='replace').strip()}{told}")

    async def _pid(self, container: str) -> int:
        found = await self._engine.inspect(container)
        if found is None or not found["State"]["Running"]:
            raise Failed("The container of the build has ended")
        return int(found["State"]["Pid"])

    def _configuration(self) -> Mapping[str, Any]:
        return {
            "Image": self._plan.image,
            "Entrypoint": list(WAITS),
            "Cmd": [],
            "User": "0:0",
            "Labels": self._labels,
            "HostConfig": {
                "Init": True,
                "NetworkMode": "none",
                "Privileged": False,
                "CapDrop": ["ALL"],
                "CapAdd": list(_RIGHTS),
                "SecurityOpt": ["no-new-privileges"],
                **held(self._limits.memory_sum, MOST_THREADS, _PROCESSORS),
                "RestartPolicy": {"Name": "no"},
                "Ulimits": [
                    {"Name": name, "Soft": most, "Hard": most}
                    for name, most in limits_of(self._limits)
                    if name != "fsize"
                ],
            },
        }
