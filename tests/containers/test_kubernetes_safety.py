"""What a sandbox of Kubernetes must not be: another one of the same name, in the service's own namespace, connected, or
a place where secrets are shown. In front of the same store as `test_kubernetes.py`.
"""

import asyncio
import contextlib
import logging
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from models.base import new_id
from models.staff.crews import Crew
from resolvers.instance.running import instance
from resolvers.instance.settings import load_settings
from resolvers.kernel.background.clocks import AcrossWorkspaces, across_workspaces
from runtime.containers.channels import BEGINS, script
from runtime.containers.choice import EngineContainers, Sandboxes
from runtime.containers.cluster import MERGE, OUTSIDE
from runtime.containers.engine import EngineRefused
from runtime.containers.kubernetes import NO_NAMESPACE, NOT_CLOSED, KubernetesEngine
from runtime.containers.place import CREW, WORKSPACE, CrewContainer, instance_of
from runtime.containers.pods import NOT_ON_VOLUME
from runtime.containers.sandbox import ContainerSandbox
from runtime.runs.job import Failed
from runtime.sandbox import Unconfined
from runtime.sandbox.boundary import Limits
from runtime.sandbox.workdir import Workdir
from runtime.staff.crews import _can_remove, remove_containers
from tests.containers.clusters import PODS, POLICIES, POLICY, RELEASE, SANDBOXES, TestCluster
from tests.containers.kubelet import why_not
from tests.containers.test_kubernetes import CREW_ID, OPEN, an_engine, box
from tests.containers.test_kubernetes import cluster as cluster
from tests.containers.test_kubernetes import engine as engine
from tests.containers.test_kubernetes import started as started
from tests.containers.test_kubernetes import workdir as workdir
from tests.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(bool(why_not()), reason=why_not()), pytest.mark.thorough]
ONLY_STORE = pytest.mark.parametrize("cluster", ["store"], indirect=True)


class Proxied:
    """A network that a command is to be given, on this engine in vain."""

    listens = (("127.0.0.1", 3128),)
    environment = {"HTTPS_PROXY": "http://user:s3cret@127.0.0.1:3128"}


class Ticked:
    """A tick of this moment, which no other process has claimed."""

    def __init__(self) -> None:
        self.now = instance.clock.now()

    async def write(self, change: Callable[[AcrossWorkspaces], Awaitable[Any]]) -> Any:
        return await across_workspaces(change)


def secretive(engine: KubernetesEngine) -> ContainerSandbox:
    crew = CrewContainer("w", CREW_ID, "registry.test/agent:1", environment={"OF_CREW": "crew-s3cret"})
    return ContainerSandbox(engine, crew, Limits(output=1000))


async def shown(cluster: TestCluster) -> str:
    """All that the cluster keeps, and the addresses of all requests."""
    owner = cluster.owner()
    kept = [await owner.ask("GET", path) for path in (PODS, SANDBOXES)]
    await owner.close()
    return f"{kept} {cluster.requests}"


async def test_a_secret_reaches_the_command_and_nothing_else(
    engine: KubernetesEngine, workdir: Workdir, cluster: TestCluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = {"TOKEN": "s3cret\n'quoted' $HOME"}
    call = ["sh", "-c", "printenv TOKEN OF_CREW"]
    ended = await secretive(engine).run(call, workdir=workdir, timeout=60, environment=secret)
    assert ended.stdout == secret["TOKEN"] + "\ncrew-s3cret\n"
    found = await shown(cluster)
    assert "registry.test/agent:1" in found
    for each in ("s3cret", "OF_CREW", "printenv"):
        assert each not in found
        assert each not in caplog.text
    assert "Bearer" not in caplog.text


async def test_a_terminal_shows_no_secret_in_an_address(
    engine: KubernetesEngine, workdir: Workdir, cluster: TestCluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = b""
    size = (33, 99)
    async with secretive(engine).terminal(workdir=workdir, size=size, read_only=False, network=Proxied()) as terminal:  # type: ignore[arg-type]
        await terminal.write(b"stty size; pwd; echo $OF_CREW $HTTPS_PROXY; cat /tmp/.begins-*; echo e''nd\n")
        async with asyncio.timeout(30):
            while b"end" not in said:
                said += await terminal.read()
        found = await shown(cluster)
    assert b"33 99" in said
    assert b"/output/nell" in said
    assert said.count(b"s3cret") == 2, "the file with its program is empty"
    assert "tty=true" in found or not cluster.requests
    for each in ("s3cret", "OF_CREW", "/output/nell"):
        assert each not in str(cluster.requests)
    assert "s3cret" not in found
    assert "s3cret" not in caplog.text
    assert not await engine.list({})


async def test_a_variable_that_no_shell_could_set_is_refused(engine: KubernetesEngine, workdir: Workdir) -> None:
    with pytest.raises(Failed, match=r"The variable A\.B cannot be set on Kubernetes"):
        await box(engine).run(["touch", "made"], workdir=workdir, timeout=60, environment={"A.B": "1"})
    assert not (workdir.path / "made").exists()


async def test_a_command_has_no_way_out(engine: KubernetesEngine, workdir: Workdir) -> None:
    """Not even the proxy: the engine cannot answer in the network of a pod."""
    call = ["bash", "-c", "echo $HTTPS_PROXY; exec 3<>/dev/tcp/127.0.0.1/3128 && echo connected"]
    ended = await box(engine).run(call, workdir=workdir, timeout=60, network=Proxied())  # type: ignore[arg-type]
    assert ended.stdout == f"{Proxied.environment['HTTPS_PROXY']}\n"
    assert "refused" in ended.stderr
    assert ended.exit_code == 1


async def test_a_policy_that_was_opened_stops_commands_and_resumption(
    engine: KubernetesEngine, workdir: Workdir, cluster: TestCluster
) -> None:
    await box(engine).run(["true"], workdir=workdir, timeout=60)
    [one] = await engine.list({})
    owner = cluster.owner()
    await owner.ask("PATCH", f"{POLICIES}/{POLICY}", body=OPEN, kind=MERGE)
    with pytest.raises(Failed, match=NOT_CLOSED.format(POLICY)):
        await box(engine).run(["touch", "made"], workdir=workdir, timeout=60)
    assert await engine.suspend(one["Id"])
    with pytest.raises(Failed, match=NOT_CLOSED.format(POLICY)):
        await engine.start(one["Id"])
    assert (await engine.list({}))[0]["State"] == "suspended"
    await owner.ask("PATCH", f"{POLICIES}/{POLICY}", body={"spec": {"egress": None}}, kind=MERGE)
    await owner.close()
    assert not (workdir.path / "made").exists()
    assert (await box(engine).run(["touch", "made"], workdir=workdir, timeout=60)).exit_code == 0
    assert (workdir.path / "made").exists()


async def execute(engine: KubernetesEngine, container: str, *argv: str) -> None:
    async with engine.running(container, argv, user="", workdir="/output", environment={}) as running:
        await running.exit_code()


async def test_an_id_never_means_a_successor(engine: KubernetesEngine, workdir: Workdir) -> None:
    await box(engine).run(["true"], workdir=workdir, timeout=60)
    [first] = await engine.list({})
    assert await engine.remove(first["Id"])
    assert not await engine.list({})
    await box(engine).run(["true"], workdir=workdir, timeout=60)
    [second] = await engine.list({})
    assert second["Names"] == first["Names"]
    assert second["Id"] != first["Id"]

    assert await engine.inspect(first["Id"]) is None
    for call in (engine.start(first["Id"]), execute(engine, first["Id"], "touch", "made")):
        with pytest.raises(EngineRefused, match="the sandbox was removed") as refused:
            await call
        assert refused.value.status == 410
    assert not await engine.suspend(first["Id"])
    assert not await engine.remove(first["Id"])
    assert not (workdir.path.parent / "made").exists()
    assert [(each["Id"], each["State"]) for each in await engine.list({})] == [(second["Id"], "running")]
    await execute(engine, second["Id"], "touch", "made")
    assert (workdir.path.parent / "made").exists()


@ONLY_STORE
async def test_a_report_of_its_state_does_not_keep_a_sandbox_from_being_resumed(
    engine: KubernetesEngine, workdir: Workdir, monkeypatch: pytest.MonkeyPatch
) -> None:
    await box(engine).run(["true"], workdir=workdir, timeout=60)
    [one] = await engine.list({})
    really, asked = engine._cluster.ask, list[str]()

    async def ask(method: str, path: str, **how: Any) -> Any:
        if method == "PATCH":
            asked.append(path)
            if len(asked) % 2:  # another process writes first
                await really("PATCH", f"{path}/status", body={"status": {"podIPs": [str(len(asked))]}}, kind=MERGE)
        return await really(method, path, **how)

    monkeypatch.setattr(engine._cluster, "ask", ask)
    assert await engine.suspend(one["Id"])
    assert len(asked) == 2
    await engine.start(one["Id"])
    assert len(asked) >= 4  # the pod may report its state, too
    assert [(each["Id"], each["State"]) for each in await engine.list({})] == [(one["Id"], "running")]


@ONLY_STORE
async def test_a_pod_that_is_replaced_meanwhile_gets_no_program(
    engine: KubernetesEngine, workdir: Workdir, cluster: TestCluster
) -> None:
    await box(engine).run(["true"], workdir=workdir, timeout=60)
    cluster.replaces(True)
    with pytest.raises(EngineRefused, match="the sandbox was removed"):
        await box(engine).run(["touch", "made"], workdir=workdir, timeout=60)
    cluster.replaces(False)
    assert not (workdir.path / "made").exists()


async def test_a_pod_of_another_owner_gets_no_program(
    engine: KubernetesEngine, workdir: Workdir, cluster: TestCluster
) -> None:
    await box(engine).run(["true"], workdir=workdir, timeout=60)
    owner = cluster.owner()
    [pod] = (await owner.ask("GET", PODS))["items"]
    other = [{**each, "uid": "0b1c6b7c-2f5e-4a67-8a43-0d3f3f9c2a11"} for each in pod["metadata"]["ownerReferences"]]
    body = {"metadata": {"ownerReferences": other}}
    await owner.ask("PATCH", f"{PODS}/{pod['metadata']['name']}", body=body, kind=MERGE)
    await owner.close()
    with pytest.raises(EngineRefused, match="the sandbox was removed"):
        await box(engine).run(["touch", "made"], workdir=workdir, timeout=60)
    assert not (workdir.path / "made").exists()


async def test_the_namespace_of_the_service_has_no_sandboxes(
    cluster: TestCluster, workdir: Workdir, tmp_path: Path
) -> None:
    for namespace in (RELEASE, ""):
        asked, made = len(cluster.requests), an_engine(cluster, tmp_path, namespace=namespace)
        for call in (made.kind(), made.list({}), box(made).run(["true"], workdir=workdir, timeout=60)):
            with pytest.raises(Failed, match=NO_NAMESPACE):
                await call
        await made.close()
        assert not [each for each in cluster.requests[asked:] if f"/namespaces/{RELEASE}/" in each]


async def test_the_whole_volume_is_never_mounted(
    engine: KubernetesEngine, cluster: TestCluster, workdir: Workdir, tmp_path: Path
) -> None:
    for storage in (workdir.storage.joinpath(*workdir.output), tmp_path / "elsewhere"):
        made = an_engine(cluster, tmp_path, storage=storage)
        with pytest.raises(Failed, match=NOT_ON_VOLUME):
            async with box(made).terminal(workdir=workdir, size=(1, 1), read_only=False, network=Proxied()):  # type: ignore[arg-type]
                pass
        await made.close()
    assert not await engine.list({})


async def test_programs_end_with_their_sandbox(engine: KubernetesEngine, workdir: Workdir) -> None:
    call = ["sh", "-c", "(while :; do date +%s%N >>beats; sleep 0.1; done) >/dev/null 2>&1 &"]
    await box(engine).run(call, workdir=workdir, timeout=60)
    beats = workdir.path / "beats"
    await asyncio.sleep(0.5)
    assert beats.read_text().count("\n") > 2, "what is left behind continues in its sandbox"
    [one] = await engine.list({})
    assert await engine.remove(one["Id"])
    ended = beats.read_text()
    await asyncio.sleep(0.5)
    assert beats.read_text() == ended


def limited(*limits: tuple[str, int], hard: str = "true") -> subprocess.CompletedProcess[str]:
    program = script(["sh", "-c", "echo $(ulimit -n)"], "/", {}, limits)
    given = f"{program.count(chr(10)) + 1}\n{program}\n"
    argv = ["sh", "-c", f"{hard}\n{BEGINS}"]
    return subprocess.run(argv, input=given, capture_output=True, text=True, check=False)


def test_a_limit_that_cannot_be_set_stops_the_command() -> None:
    assert limited(("n", 100)).stdout == "100\n"
    assert limited(("n", 1 << 60), hard="ulimit -n 64").stdout == "64\n", "a lower one does as well"
    for refused in (limited(("q", 5)), limited(("n", 100), hard="ulimit() { return 1; }")):
        assert (refused.stdout, refused.returncode) == ("", 126)
        assert "could not be set" in refused.stderr


async def test_a_command_has_its_limits(engine: KubernetesEngine, workdir: Workdir) -> None:
    ended = await box(engine).run(["sh", "-c", "ulimit -n; ulimit -f; ulimit -c"], workdir=workdir, timeout=60)
    limits = Limits()
    assert ended.stdout == f"{limits.open_files}\n{limits.file_size // 512}\n0\n"


@ONLY_STORE
async def test_the_tick_removes_sandboxes_of_crews_that_are_gone(
    engine: KubernetesEngine, cluster: TestCluster, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(storage_path=tmp_path / "files", container_provider="kubernetes")
    containers = EngineContainers(settings, "kubernetes:")
    await containers.engine.close()
    containers.engine = engine
    monkeypatch.setattr(instance, "containers", containers)
    crews = [Crew(workspace_id=world.workspace.id, name="Cluster", slug=new_id()) for _ in range(2)]
    for crew in crews:
        await world.add(crew)
        where = Workdir.of_crew(tmp_path / "files", workspace_id=crew.workspace_id, crew_id=crew.id)
        of_crew = CrewContainer(crew.workspace_id, crew.id, "registry.test/agent:1")
        await ContainerSandbox(engine, of_crew, Limits()).run(["true"], workdir=where, timeout=60)
    await remove_containers(Ticked())  # type: ignore[arg-type]
    assert len(await engine.list({})) == 2
    await world.rest(world.owner, "DELETE", f"/api/v1/crews/{crews[0].id}")
    await remove_containers(Ticked())  # type: ignore[arg-type]
    assert [each["Labels"][CREW] for each in await engine.list({WORKSPACE: world.workspace.id})] == [crews[1].id]
    assert instance_of(tmp_path / "files") in (await engine.list({}))[0]["Names"][0]


async def test_a_tick_without_an_answer_of_the_cluster_removes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    settings = load_settings(container_provider="kubernetes", kubernetes_namespace="a", kubernetes_claim="b")
    monkeypatch.setattr(instance, "containers", EngineContainers(settings, "kubernetes:"))
    before = await world.snapshot()
    await remove_containers(Ticked())  # type: ignore[arg-type]
    assert await world.snapshot() == before


def test_a_process_of_the_api_leaves_the_tick_to_those_with_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "containers", None)
    for role, expected in (("api", False), ("worker", True), ("all", True)):
        monkeypatch.setattr(instance, "_settings", load_settings(role=role))
        assert _can_remove() is expected
    containers = EngineContainers(load_settings(container_provider="kubernetes"), "kubernetes:")
    monkeypatch.setattr(instance, "containers", containers)
    monkeypatch.setattr(instance, "_settings", load_settings(role="api"))
    assert _can_remove()


async def test_commands_of_a_crew_with_an_image_run_nowhere_else(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a configured cluster that is not there, a run fails with the reason, and no other sandbox is tried."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    row = Crew(workspace_id=world.workspace.id, name="Cluster", slug=new_id(), runtime_image="a")
    await world.add(row)
    where = Workdir.of_crew(tmp_path, workspace_id=row.workspace_id, crew_id=row.id)
    named: dict[str, Any] = {"kubernetes_namespace": "a", "kubernetes_claim": "b"}
    for given, why in (({}, NO_NAMESPACE), (named, OUTSIDE)):
        settings = load_settings(data_dir=tmp_path, storage_path=tmp_path, container_provider="kubernetes", **given)
        containers = EngineContainers(settings, str(settings.container_engine))
        monkeypatch.setattr(instance, "containers", containers)
        sandbox = await Sandboxes(settings, Unconfined()).of_crew(world.workspace.id, row.id)
        assert sandbox.isolation == "container"
        with pytest.raises(Failed, match=why):
            await sandbox.run(["touch", "made"], workdir=where, timeout=60)
        with contextlib.suppress(OSError):
            assert not (where.path / "made").exists()
        await containers.engine.close()
