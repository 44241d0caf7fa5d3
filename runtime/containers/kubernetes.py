"""A Kubernetes cluster as the engine of crews' containers, by the resources of kubernetes-sigs/agent-sandbox.

Sandboxes mount folders of the volume that holds the service's files, so that a removed or suspended one loses nothing.
They have no network. See docs/kubernetes.md.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from resolvers.instance.settings import Settings
from runtime.containers.channels import PodContainer, at_terminal, executed, script
from runtime.containers.cluster import MERGE, Cluster
from runtime.containers.engine import (
    IMAGE,
    LONGEST_NAME,
    LONGEST_PAUSE,
    MAKE,
    PAUSE,
    ContainerEngine,
    EngineGone,
    EngineKind,
    EngineRefused,
    Running,
)
from runtime.containers.place import limits_of as process_limits
from runtime.containers.pods import (
    AGENT,
    GROUP,
    VERSION,
    VOLUME,
    ClusterOptions,
    belongs,
    closes,
    identity,
    listed,
    obstacle,
    resource_name,
    sandbox,
    shown,
    status_of,
)
from runtime.runs.job import Failed
from runtime.sandbox.boundary import Limits
from runtime.sandbox.detection import limits_of

PATIENCE: Final = 180.0
"""Seconds for a sandbox to be ready: a node may have to be added, or an image pulled."""
PAGE: Final = 500  # sandboxes of one answer
TRIES: Final = 10  # changes of a sandbox whose state is reported meanwhile
BLOCK: Final = 512  # bytes, in which a shell counts the size of files
NO_SANDBOXES: Final = "The cluster has no sandboxes: install kubernetes-sigs/agent-sandbox"
NO_CLAIM: Final = "CREWSHIP_KUBERNETES_CLAIM does not name the claim of the volume with the service's files"
NOT_CLOSED: Final = "The network policy {} does not forbid sandboxes all connections"
NO_NAMESPACE: Final = "CREWSHIP_KUBERNETES_NAMESPACE does not name a namespace for sandboxes alone"
REPLACED: Final = "the sandbox was removed"
NO_BUILDS: Final = "Images of crews are not built on Kubernetes: name an image that is built elsewhere"
NO_VOLUMES: Final = "Containers on Kubernetes have no volumes of services"


class KubernetesEngine(ContainerEngine):
    """Sandboxes of one installation, in a namespace of their own: those that have the label of its volume."""

    knows_digests = False

    def __init__(self, options: ClusterOptions, limits: Limits, cluster: Cluster | None = None) -> None:
        super().__init__("kubernetes:")
        self._options = options
        self._cluster = cluster or Cluster()
        self._limits = (
            ("c", 0),
            ("n", dict(process_limits(limits))["nofile"]),
            ("f", limits.file_size // BLOCK),
        )

    @classmethod
    def of(cls, settings: Settings) -> "KubernetesEngine":
        options = ClusterOptions(
            settings.kubernetes_namespace or "",
            settings.kubernetes_claim or "",
            settings.storage_path,
            settings.kubernetes_policy,
            settings.kubernetes_runtime_class,
        )
        return cls(options, limits_of(settings))

    async def close(self) -> None:
        await self._cluster.close()

    async def kind(self) -> EngineKind:
        """Raises Failed where sandboxes could not be created."""
        self._assert_configured()
        version = await self._cluster.ask("GET", "/version")
        await self._sandboxes("GET", parameters={"limit": "1"})
        await self._assert_closed()
        self._known = EngineKind("kubernetes", str(version.get("gitVersion", "")).removeprefix("v"), rootless=True)
        return self._known

    async def list(self, labels: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        chosen = {**labels, VOLUME: self._options.claim}
        asked = {"labelSelector": ",".join(f"{name}={value}" for name, value in chosen.items()), "limit": str(PAGE)}
        found: list[Mapping[str, Any]] = []
        while True:
            page = await self._sandboxes("GET", parameters=asked, seconds=MAKE)
            found += [listed(each) for each in page["items"]]
            if not (after := page["metadata"].get("continue")):
                return found
            asked["continue"] = after

    async def inspect(self, container: str) -> Mapping[str, Any] | None:
        found = await self._found(container)
        return None if found is None else shown(found, self._options)

    async def create(self, name: str, configuration: Mapping[str, Any]) -> str:
        """Refuses while connections of sandboxes are not forbidden."""
        await self._assert_closed()
        made = await self._sandboxes("POST", body=sandbox(name, configuration, self._options, datetime.now(UTC)))
        return f"{made['metadata']['name']}.{made['metadata']['uid']}"

    async def start(self, container: str) -> None:
        """Resumes a suspended one, and waits until it is ready. Refuses where `create` does."""
        await self._assert_closed()
        found, ends = await self._there(container), asyncio.get_running_loop().time() + PATIENCE
        if found["spec"].get("operatingMode") == "Suspended":
            await self._operate(found, "Running")
        pause = PAUSE
        while (status := status_of(found)) == "created":
            code, why = await self._obstacle(found)
            if code:
                raise EngineRefused(code, why)
            if asyncio.get_running_loop().time() > ends:
                raise EngineRefused(504, f"the sandbox is not ready after {PATIENCE:.0f} seconds. {why}")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            found = await self._there(container)
        if status != "running":
            raise EngineRefused(500, "the sandbox has ended")

    async def suspend(self, container: str) -> bool:
        """Ends the pod and keeps the sandbox: the next command resumes it. False if it does not exist."""
        try:
            await self._operate(await self._there(container), "Suspended")
        except EngineRefused as refused:
            if refused.status in (404, 410):
                return False
            raise
        return True

    async def stop(self, container: str) -> bool:
        return await self.suspend(container)

    async def remove(self, container: str) -> bool:
        """Returns when its pod has ended, too. An id means one sandbox, and never its successor of the same name."""
        name, _, uid = container.partition(".")
        options: dict[str, Any] = {"propagationPolicy": "Foreground"}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            await self._sandboxes("DELETE", resource_name(name), body=options)
        except EngineRefused as refused:
            if refused.status in (404, 409):
                return False
            raise
        pause = PAUSE
        try:
            async with asyncio.timeout(MAKE):
                while await self._found(container) is not None:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
        except TimeoutError as error:
            raise EngineGone from error
        return True

    async def image(self, name: str) -> str | None:
        """The name itself: nodes pull images when a pod needs one."""
        if len(name) > LONGEST_NAME or not IMAGE.fullmatch(name):
            raise Failed(f"{name[:LONGEST_NAME]} is not an image name")
        return name

    async def digests(self, image: str) -> Sequence[str]:
        return []

    async def registry_digest(self, image: str) -> str:
        raise Failed(NO_BUILDS)

    async def images(self) -> Sequence[Mapping[str, Any]]:
        """None: the cluster has to answer, and does not say what its nodes have."""
        await self._sandboxes("GET", parameters={"limit": "1"})
        return []

    async def remove_image(self, name: str, *, force: bool) -> bool:
        return False

    async def keep_volume(self, name: str, labels: Mapping[str, str]) -> None:
        raise Failed(NO_VOLUMES)

    async def volumes(self, labels: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        return []

    async def remove_volume(self, name: str) -> bool:
        return False

    async def stats(self, container: str) -> Mapping[str, Any] | None:
        """None: the cluster's own metrics have the usage of pods."""
        return None

    async def pull(self, name: str) -> None:
        raise Failed(NO_BUILDS)

    async def keep_image(self, container: str, repository: str, tag: str, labels: Mapping[str, str]) -> None:
        raise Failed(NO_BUILDS)

    async def log(self, container: str, lines: int) -> str:
        return ""

    @contextlib.asynccontextmanager
    async def running(
        self,
        container: str,
        argv: Sequence[str],
        *,
        user: str,
        workdir: str,
        environment: Mapping[str, str],
        lifeline: bool = False,
        terminal: bool = False,
    ) -> AsyncIterator[Running]:
        """The pod has one user, which is the user of all its programs. Refuses where `create` does, and if the pod is
        another one when the connection is there.
        """
        program = script(argv, workdir, environment, self._limits)
        await self._assert_closed()
        found = await self._there(container)
        pod = await self._pod(found)

        async def confirm() -> None:
            if await self._pod(found) != pod:
                raise EngineRefused(410, REPLACED)

        where = PodContainer(self._cluster, self._options.namespace, found["metadata"]["name"], AGENT, confirm)
        async with at_terminal(where, program) if terminal else executed(where, program, lifeline=lifeline) as made:
            yield made

    async def _found(self, container: str) -> Mapping[str, Any] | None:
        """None also for an id whose sandbox has a successor of the same name."""
        name, _, uid = container.partition(".")
        try:
            found = await self._sandboxes("GET", resource_name(name))
        except EngineRefused as refused:
            if refused.status == 404:
                return None
            raise
        return found if uid in ("", found["metadata"]["uid"]) else None

    async def _there(self, container: str) -> Mapping[str, Any]:
        if (found := await self._found(container)) is None:
            raise EngineRefused(410, REPLACED)
        return found

    async def _pod(self, sandbox: Mapping[str, Any]) -> str:
        """The uid of its pod, which has the name of the sandbox."""
        try:
            found = await self._cluster.ask("GET", f"{self._pods}/{sandbox['metadata']['name']}")
        except EngineRefused as refused:
            if refused.status == 404:
                raise EngineRefused(410, REPLACED) from None
            raise
        if not belongs(found, sandbox["metadata"]["uid"]):
            raise EngineRefused(410, REPLACED)
        return str(found["metadata"]["uid"])

    async def _operate(self, found: Mapping[str, Any], mode: str) -> None:
        """A successor of the same name has another version, and so has each report of the sandbox's state: then it is
        looked for again, by its uid.
        """
        for tried in range(TRIES):
            version = found["metadata"]["resourceVersion"]
            body = {"metadata": {"resourceVersion": version}, "spec": {"operatingMode": mode}}
            try:
                await self._sandboxes("PATCH", found["metadata"]["name"], body=body, kind=MERGE)
                return
            except EngineRefused as refused:
                if refused.status != 409 or tried == TRIES - 1:
                    raise
            found = await self._there(identity(found))

    async def _obstacle(self, sandbox: Mapping[str, Any]) -> tuple[int, str]:
        try:
            return obstacle(await self._cluster.ask("GET", f"{self._pods}/{sandbox['metadata']['name']}"))
        except EngineRefused as refused:
            if refused.status == 404:
                return 0, "it has no pod yet"
            raise

    @property
    def _pods(self) -> str:
        return f"/api/v1/namespaces/{self._options.namespace}/pods"

    def _assert_configured(self) -> None:
        """A right to execute programs in pods of a namespace is one over all its pods: so the service's own, which hold
        its keys, must be in another.
        """
        if not self._options.namespace:
            raise Failed(NO_NAMESPACE)
        if not self._options.claim:
            raise Failed(NO_CLAIM)
        if self._options.namespace == self._cluster.namespace:
            raise Failed(NO_NAMESPACE)

    async def _assert_closed(self) -> None:
        self._assert_configured()
        options = self._options
        path = f"/apis/networking.k8s.io/v1/namespaces/{options.namespace}/networkpolicies/{options.policy}"
        try:
            policy = await self._cluster.ask("GET", path)
        except EngineRefused as refused:
            if refused.status == 404:
                raise Failed(NOT_CLOSED.format(self._options.policy)) from None
            raise
        if not closes(policy, {VOLUME: self._options.claim}):
            raise Failed(NOT_CLOSED.format(self._options.policy))

    async def _sandboxes(self, method: str, name: str = "", **how: Any) -> Mapping[str, Any]:
        """Raises Failed where the cluster does not know the resource."""
        self._assert_configured()
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{self._options.namespace}/sandboxes"
        try:
            return await self._cluster.ask(method, f"{path}/{name}" if name else path, **how)
        except EngineRefused as refused:
            if refused.status == 404 and (not name or "could not find the requested resource" in str(refused)):
                raise Failed(NO_SANDBOXES) from None
            raise
