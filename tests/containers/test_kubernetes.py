"""Crews' containers as sandboxes of a Kubernetes cluster, in front of a store that answers as the documentation of its
API says, and of a real API server where its program is found.

The store, the controller of sandboxes and the kubelet are written for these tests, after the documentation of
Kubernetes and the types of agent-sandbox (v1beta1). The engine has not been run with the controller itself, or in a
cluster.
"""

import asyncio
import contextlib
import inspect
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from crewship.cli.doctor import check_containers
from resolvers.instance.settings import load_settings
from resolvers.rules.services import parse_services
from runtime.containers.cluster import MERGE, OUTSIDE, Cluster
from runtime.containers.engine import ContainerEngine, EngineRefused
from runtime.containers.kubernetes import NO_CLAIM, NO_NAMESPACE, NO_SANDBOXES, NOT_CLOSED, KubernetesEngine
from runtime.containers.place import CREW, Apart, CrewContainer
from runtime.containers.pods import ClusterOptions
from runtime.containers.sandbox import ContainerSandbox
from runtime.containers.selection import engine_of
from runtime.containers.services import CrewServices
from runtime.runs.job import Failed
from runtime.sandbox.boundary import Limits
from runtime.sandbox.workdir import Workdir
from tests.containers.api_store import ApiStore
from tests.containers.clusters import (
    CLAIM,
    CLOSED,
    NAMESPACE,
    PODS,
    POLICIES,
    POLICY,
    Started,
    TestCluster,
    account,
    api_server,
    controlled,
    prepared,
    programs,
    served,
)
from tests.containers.kubelet import Kubelet, why_not
from tests.kernel.servers import certificate

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(bool(why_not()), reason=why_not()), pytest.mark.thorough]
CREW_ID = "c" + "1" * 24
OPEN: dict[str, Any] = {"spec": {"egress": [{}]}}
REAL = pytest.param("real", marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    if programs() is None:
        pytest.skip("CREWSHIP_TEST_CLUSTER names no folder with kube-apiserver and etcd")
    folder = tmp_path_factory.mktemp("cluster")
    authority, _ = certificate(folder, "localhost")
    with api_server(folder, authority, folder / "localhost.key") as made:
        yield made


@contextlib.asynccontextmanager
async def stored(tmp_path: Path) -> AsyncIterator[TestCluster]:
    kubelet, requests = Kubelet(tmp_path / "files"), list[str]()
    store = ApiStore(kubelet, requests)
    async with served(store.app()) as port:
        worker, owner = (account(tmp_path / name, name, b"") for name in ("worker", "owner"))
        cluster = TestCluster(f"http://localhost:{port}", worker, owner, kubelet, requests)
        cluster.knows = lambda known: setattr(store, "sandboxes_known", known)
        cluster.replaces = lambda replaced: setattr(store, "pods_replaced", replaced)
        async with controlled(cluster):
            yield cluster


@contextlib.asynccontextmanager
async def real(started: Started, tmp_path: Path) -> AsyncIterator[TestCluster]:
    kubelet = Kubelet(tmp_path / "files")
    app = Starlette(routes=[WebSocketRoute(f"/exec/{NAMESPACE}/{{pod}}/agent", kubelet.execute)])
    certificate(tmp_path, "node")
    async with served(app, ssl_certfile=str(tmp_path / "node.pem"), ssl_keyfile=str(tmp_path / "node.key")) as port:
        cluster = TestCluster(started.address, started.worker_account, started.owner_account, kubelet)
        owner = cluster.owner()
        await prepared(owner, port)
        await owner.close()
        async with controlled(cluster, "node"):
            yield cluster


@pytest.fixture(params=["store", REAL])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TestCluster]:
    if request.param == "store":
        async with stored(tmp_path) as made:
            yield made
    else:
        async with real(request.getfixturevalue("started"), tmp_path) as made:
            yield made


@pytest.fixture
async def engine(cluster: TestCluster, tmp_path: Path) -> AsyncIterator[KubernetesEngine]:
    owner = cluster.owner()
    with contextlib.suppress(EngineRefused):  # of an earlier test
        await owner.ask("DELETE", f"{POLICIES}/{POLICY}")
    await owner.ask("POST", POLICIES, body=CLOSED)
    made = an_engine(cluster, tmp_path)
    yield made
    for each in await made.list({}):
        await made.remove(str(each["Id"]))
    await made.close()
    await owner.close()


def an_engine(cluster: TestCluster, tmp_path: Path, **how: Any) -> KubernetesEngine:
    given = {"namespace": NAMESPACE, "claim": CLAIM, "storage": tmp_path / "files", "policy": POLICY}
    return KubernetesEngine(ClusterOptions(**given | how), Limits(), cluster.worker())


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    return Workdir.of(tmp_path / "files", workspace_id="w", agent_id="a", agent_slug="nell", crew_id=CREW_ID)


def box(engine: KubernetesEngine, image: str = "registry.test/agent:1", **how: Any) -> ContainerSandbox:
    crew = CrewContainer("w", CREW_ID, image, environment={"SHOWN": "yes"})
    return ContainerSandbox(engine, crew, Limits(output=1000), **how)


async def test_a_command_runs_in_a_sandbox_and_leaves_its_files(engine: KubernetesEngine, workdir: Workdir) -> None:
    said = "pwd; echo made >made; echo home >~/x; touch /skills/x || echo refused; echo oops >&2; echo $SHOWN; exit 3"
    ended = await box(engine).run(["sh", "-c", said], workdir=workdir, timeout=60)
    assert ended.stdout == "/output/nell\nrefused\nyes\n"
    assert ended.stderr.endswith("oops\n")
    assert ended.exit_code == 3
    assert (workdir.path / "made").read_text() == "made\n"
    assert workdir.storage.joinpath(*workdir.home, "x").read_text() == "home\n"
    [one] = await engine.list({CREW: CREW_ID})
    assert (one["State"], one["Image"]) == ("running", "registry.test/agent:1")


async def test_output_is_cut_and_input_is_read(engine: KubernetesEngine, workdir: Workdir) -> None:
    long = await box(engine).run(["sh", "-c", "seq 100000; seq 9 >&2"], workdir=workdir, timeout=60)
    assert long.truncated
    assert long.stderr == "1\n2\n3\n4\n5\n6\n7\n8\n9\n"
    fed = await box(engine).run(["cat"], workdir=workdir, timeout=60, stdin=b"given\n")
    assert fed.stdout == "given\n"


async def test_what_takes_too_long_is_ended(engine: KubernetesEngine, workdir: Workdir) -> None:
    call = ["sh", "-c", "echo begun; (sleep 3; touch late) & sleep 1234"]
    ended = await box(engine).run(call, workdir=workdir, timeout=1)
    assert (ended.exit_code, ended.timed_out, ended.stdout) == (137, True, "begun\n")
    await asyncio.sleep(2.5)
    assert not (workdir.path / "late").exists()


async def test_a_suspended_sandbox_is_resumed_with_its_files(engine: KubernetesEngine, workdir: Workdir) -> None:
    await box(engine).run(["sh", "-c", "echo kept >~/x; echo gone >/tmp/x"], workdir=workdir, timeout=60)
    [one] = await engine.list({})
    assert await engine.suspend(one["Id"])
    assert (await engine.list({}))[0]["State"] == "suspended"
    again = await box(engine).run(["sh", "-c", "cat ~/x; cat /tmp/x"], workdir=workdir, timeout=60)
    assert again.stdout == "kept\n"
    assert [each["Id"] for each in await engine.list({})] == [one["Id"]]


async def test_two_that_begin_at_once_make_one_sandbox(
    engine: KubernetesEngine, workdir: Workdir, cluster: TestCluster, tmp_path: Path
) -> None:
    other = an_engine(cluster, tmp_path)
    other.address = "another process"
    calls = [box(each).run(["echo", "done"], workdir=workdir, timeout=60) for each in (engine, other)]
    assert [each.stdout for each in await asyncio.gather(*calls)] == ["done\n", "done\n"]
    await other.close()
    assert len(await engine.list({})) == 1


async def test_other_options_are_another_sandbox_and_other_installations_are_not_seen(
    engine: KubernetesEngine, workdir: Workdir, cluster: TestCluster, tmp_path: Path
) -> None:
    await box(engine).run(["true"], workdir=workdir, timeout=60)
    [first] = await engine.list({})
    stricter = an_engine(cluster, tmp_path, runtime_class="gvisor")
    await box(stricter).run(["true"], workdir=workdir, timeout=60)
    [second] = await stricter.list({})
    assert second["Id"] != first["Id"]
    neighbour = an_engine(cluster, tmp_path, claim="neighbour-files")
    assert not await neighbour.list({})
    for each in (stricter, neighbour):
        await each.close()


async def test_a_pod_has_no_rights(engine: KubernetesEngine, workdir: Workdir, cluster: TestCluster) -> None:
    await box(engine).run(["true"], workdir=workdir, timeout=60)
    owner = cluster.owner()
    [pod] = (await owner.ask("GET", PODS))["items"]
    await owner.close()
    spec = pod["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == (workdir.owner or os.geteuid())
    assert not any("hostPath" in each or "secret" in each for each in spec["volumes"])
    [container] = spec["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["resources"]["limits"] in ({"memory": "4Gi", "cpu": "2"}, {"memory": "4294967296", "cpu": "2000m"})
    assert all(each.get("subPath", "x").strip("/.") for each in container["volumeMounts"])


async def test_a_sandbox_for_one_use_is_gone_after_it(engine: KubernetesEngine, workdir: Workdir) -> None:
    ended = await box(engine, apart=Apart.alone).run(["cat", "/proc/self/comm"], workdir=workdir, timeout=60)
    assert ended.stdout == "cat\n"
    assert not await engine.list({})


async def test_an_image_that_is_not_there(engine: KubernetesEngine, workdir: Workdir) -> None:
    with pytest.raises(Failed, match=r"The image registry\.test/none:1 is not on the container engine"):
        await box(engine, "registry.test/none:1").run(["true"], workdir=workdir, timeout=60)
    assert not await engine.list({})


async def test_without_a_closed_network_nothing_runs(
    engine: KubernetesEngine, workdir: Workdir, cluster: TestCluster
) -> None:
    owner = cluster.owner()
    await owner.ask("PATCH", f"{POLICIES}/{POLICY}", body=OPEN, kind=MERGE)
    with pytest.raises(Failed, match=NOT_CLOSED.format(POLICY)):
        await box(engine).run(["true"], workdir=workdir, timeout=60)
    await owner.ask("DELETE", f"{POLICIES}/{POLICY}")
    with pytest.raises(Failed, match=NOT_CLOSED.format(POLICY)):
        await box(engine).run(["true"], workdir=workdir, timeout=60)
    await owner.close()
    assert not await engine.list({})


async def test_services_and_builds_are_refused(engine: KubernetesEngine, workdir: Workdir) -> None:
    services = CrewServices(tuple(parse_services('[{"name": "db", "image": "postgres:18"}]')))
    with pytest.raises(Failed, match="containers on Kubernetes have no services beside them"):
        await box(engine, services=services).run(["true"], workdir=workdir, timeout=60)
    with pytest.raises(Failed, match="Images of crews are not built on Kubernetes"):
        await engine.pull("postgres:18")
    assert not await engine.list({})


@pytest.mark.parametrize("cluster", ["store"], indirect=True)
async def test_a_cluster_without_sandboxes(cluster: TestCluster, engine: KubernetesEngine, workdir: Workdir) -> None:
    cluster.knows(False)
    with pytest.raises(Failed, match=NO_SANDBOXES):
        await box(engine).run(["true"], workdir=workdir, timeout=60)
    with pytest.raises(Failed, match=NO_SANDBOXES):
        await engine.kind()
    cluster.knows(True)
    assert (await engine.kind()).name == "kubernetes"


async def test_outside_a_cluster_commands_fail(tmp_path: Path, workdir: Workdir) -> None:
    options = ClusterOptions(NAMESPACE, CLAIM, tmp_path / "files", POLICY)
    engine = KubernetesEngine(options, Limits(), Cluster(tmp_path / "none", "https://localhost:1"))
    with pytest.raises(Failed, match=OUTSIDE):
        await box(engine).run(["true"], workdir=workdir, timeout=60)
    await engine.close()


def test_doctor_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREWSHIP_CONTAINER_PROVIDER", "kubernetes")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    nowhere = check_containers(load_settings())
    assert (nowhere.ok, nowhere.found) == (False, NO_NAMESPACE)
    monkeypatch.setenv("CREWSHIP_KUBERNETES_NAMESPACE", NAMESPACE)
    unnamed = check_containers(load_settings())
    assert (unnamed.ok, unnamed.found) == (False, NO_CLAIM)
    monkeypatch.setenv("CREWSHIP_KUBERNETES_CLAIM", CLAIM)
    outside = check_containers(load_settings())
    assert (outside.ok, outside.found) == (False, OUTSIDE)
    assert "sandboxes.enabled" in outside.fix


def test_no_call_goes_to_another_engine() -> None:
    ours = vars(KubernetesEngine)
    calls = [name for name, call in inspect.getmembers(ContainerEngine, inspect.isfunction) if name[0] != "_"]
    assert len(calls) > 15
    assert [name for name in calls if name not in ours and name != "known_kind"] == []


def test_nothing_of_it_is_loaded_for_another_engine() -> None:
    check = (
        "import sys; from resolvers.instance.settings import load_settings;"
        "from runtime.containers.selection import engine_of;"
        "engine_of(load_settings(), 'unix:///nowhere');"
        "print([name for name in sys.modules if name in ('runtime.containers.kubernetes', 'runtime.containers.cluster',"
        " 'httpx2', 'websockets.asyncio.client')])"
    )
    said = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
    assert type(engine_of(load_settings(), "unix:///nowhere")) is ContainerEngine
