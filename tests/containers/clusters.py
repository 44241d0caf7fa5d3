"""Clusters of tests. The parts of a node and of the sandboxes' controller are played here, in front of either a real
API server, if its program and etcd are found, or a small store that answers as one.

CREWSHIP_TEST_CLUSTER names a folder with the programs `kube-apiserver` and `etcd`.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from runtime.containers.cluster import MERGE, Cluster
from runtime.containers.engine import EngineGone, EngineRefused
from runtime.containers.pods import GROUP, VERSION
from runtime.runs.job import Failed
from tests.containers.kubelet import Kubelet

RELEASE, NAMESPACE = "crews", "crews-sandboxes"
"""The namespaces of the service's pods and of sandboxes."""
CLAIM, POLICY = "ship-files", "crewship-sandboxes"
WORKER: Final = f"system:serviceaccount:{RELEASE}:ship"
RULES: Final = [
    {"apiGroups": [GROUP], "resources": ["sandboxes"], "verbs": ["get", "list", "create", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create", "get"]},
    {
        "apiGroups": ["networking.k8s.io"],
        "resources": ["networkpolicies"],
        "resourceNames": [POLICY],
        "verbs": ["get"],
    },
]
"""The rights of a worker; `tests/process/test_chart.py` compares them with the chart."""
CLOSED: Final = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": POLICY},
    "spec": {"podSelector": {"matchLabels": {"crewship.volume": CLAIM}}, "policyTypes": ["Ingress", "Egress"]},
}
SANDBOXES: Final = f"/apis/{GROUP}/{VERSION}/namespaces/{NAMESPACE}/sandboxes"
PODS: Final = f"/api/v1/namespaces/{NAMESPACE}/pods"
POLICIES: Final = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies"
DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_OPEN: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_SPEC: Final = {
    "type": "object",
    "required": ["podTemplate"],
    "properties": {
        "podTemplate": {"type": "object", "required": ["spec"], "properties": {"metadata": _OPEN, "spec": _OPEN}},
        "operatingMode": {"type": "string", "enum": ["Running", "Suspended"], "default": "Running"},
        "service": {"type": "boolean"},
        "shutdownTime": {"type": "string", "format": "date-time"},
        "shutdownPolicy": {"type": "string", "enum": ["Delete", "Retain"], "default": "Retain"},
    },
}
DEFINITION: Final = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    # The group is one that only its own project may define without this word.
    "metadata": {
        "name": f"sandboxes.{GROUP}",
        "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
    },
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "sandboxes", "singular": "sandbox", "kind": "Sandbox"},
        "versions": [
            {
                "name": VERSION,
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": _SPEC, "status": _OPEN}}},
            }
        ],
    },
}


def programs() -> Path | None:
    """The folder with the programs of a real cluster."""
    folder = os.environ.get("CREWSHIP_TEST_CLUSTER")
    found = Path(folder) if folder else None
    return found if found and all((found / name).exists() for name in ("kube-apiserver", "etcd")) else None


@dataclass
class TestCluster:
    """`worker`: with the rights of a worker; `owner`: with all."""

    __test__ = False

    address: str
    worker_account: Path
    owner_account: Path
    kubelet: Kubelet
    requests: list[str] = field(default_factory=list)
    """The addresses of requests, as an audit log of the API would hold them."""
    knows: Callable[[bool], None] = lambda known: None
    """Whether the resource of sandboxes is there."""
    replaces: Callable[[bool], None] = lambda replaced: None
    """Whether the pod of each connection is another one by the time the connection is there."""

    def worker(self) -> Cluster:
        return Cluster(self.worker_account, self.address)

    def owner(self) -> Cluster:
        return Cluster(self.owner_account, self.address)


def account(folder: Path, token: str, authority: bytes) -> Path:
    folder.mkdir(parents=True)
    for name, content in (("token", token.encode()), ("namespace", RELEASE.encode()), ("ca.crt", authority)):
        (folder / name).write_bytes(content)
    return folder


@contextlib.asynccontextmanager
async def served(app: Any, **how: Any) -> AsyncIterator[int]:
    """The port of an application on a server of this loop."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=2, **how))
    task = asyncio.ensure_future(server.serve([listening]))
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listening.close()


class Controller:
    """Makes a pod for each sandbox, keeps none for a suspended one, and reports what became of it. It deletes what is
    owned before its owner, too.
    """

    def __init__(self, cluster: Cluster, kubelet: Kubelet, node: str = "") -> None:
        self._cluster, self._kubelet, self._node = cluster, kubelet, node

    async def work(self) -> None:
        while True:
            with contextlib.suppress(EngineGone, EngineRefused, Failed):
                for each in (await self._cluster.ask("GET", SANDBOXES))["items"]:
                    await self._reconcile(each)
            await asyncio.sleep(0.03)

    async def _reconcile(self, sandbox: Mapping[str, Any]) -> None:
        name = sandbox["metadata"]["name"]
        if sandbox["metadata"].get("deletionTimestamp"):
            await self._end(name)
            await self._cluster.ask("PATCH", f"{SANDBOXES}/{name}", body={"metadata": {"finalizers": None}}, kind=MERGE)
        elif sandbox["spec"]["operatingMode"] == "Suspended":
            await self._end(name)
            await self._report(sandbox, ready=False)
        else:
            await self._report(sandbox, ready=await self._run(sandbox["metadata"], sandbox["spec"]["podTemplate"]))

    async def _run(self, owner: Mapping[str, Any], template: Mapping[str, Any]) -> bool:
        name = owner["name"]
        reference = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Sandbox", "name": name, "uid": owner["uid"]}
        metadata = {"name": name, **template["metadata"], "ownerReferences": [{**reference, "controller": True}]}
        spec = {**template["spec"], **({"nodeName": self._node} if self._node else {})}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        try:
            await self._cluster.ask("POST", PODS, body=pod, parameters={"fieldValidation": "Strict"})
        except EngineRefused as refused:
            if refused.status != 409:
                raise
        missing = "/none:" in spec["containers"][0]["image"]
        state = {"waiting": {"reason": "ErrImagePull", "message": "not found"}} if missing else {"running": {}}
        container = {"name": "agent", "image": "x", "imageID": "", "ready": not missing, "restartCount": 0}
        status = {"phase": "Pending" if missing else "Running", "containerStatuses": [{**container, "state": state}]}
        await self._cluster.ask("PATCH", f"{PODS}/{name}/status", body={"status": status}, kind=MERGE)
        if not missing:
            self._kubelet.begin(name, spec)
        return not missing

    async def _end(self, name: str) -> None:
        self._kubelet.end(name)
        with contextlib.suppress(EngineRefused):
            await self._cluster.ask("DELETE", f"{PODS}/{name}", body={"gracePeriodSeconds": 0})

    async def _report(self, sandbox: Mapping[str, Any], *, ready: bool) -> None:
        told = {each["type"]: each["status"] for each in (sandbox.get("status") or {}).get("conditions") or ()}
        if (status := "True" if ready else "False") == told.get("Ready"):
            return
        condition = {"type": "Ready", "status": status, "reason": "Test", "message": ""}
        body = {"status": {"conditions": [{**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}
        await self._cluster.ask("PATCH", f"{SANDBOXES}/{sandbox['metadata']['name']}/status", body=body, kind=MERGE)


@contextlib.asynccontextmanager
async def controlled(cluster: TestCluster, node: str = "") -> AsyncIterator[TestCluster]:
    owner = cluster.owner()
    working = asyncio.ensure_future(Controller(owner, cluster.kubelet, node).work())
    try:
        yield cluster
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        cluster.kubelet.close()
        await owner.close()


@dataclass(frozen=True, slots=True)
class Started:
    """A real API server: its address, and the accounts of its worker and its owner."""

    address: str
    worker_account: Path
    owner_account: Path


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextlib.contextmanager
def api_server(folder: Path, authority: Path, key: Path) -> Iterator[Started]:
    """kube-apiserver and etcd; `authority` and `key`: its certificate, which is its own authority."""
    where = programs()
    assert where is not None
    signing = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "signing.pem").write_bytes(signing)
    (folder / "tokens.csv").write_text(f'owner,admin,1,"system:masters"\nworker,{WORKER},2\n')
    store, peer, port = _free_port(), _free_port(), _free_port()
    stored = f"http://127.0.0.1:{store}"
    etcd = [where / "etcd", f"--data-dir={folder}/etcd", f"--listen-client-urls={stored}", "--log-level=error",
            f"--advertise-client-urls={stored}", f"--listen-peer-urls=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync"]  # fmt: skip
    server = [where / "kube-apiserver", f"--etcd-servers={stored}", "--bind-address=127.0.0.1",
              f"--secure-port={port}", f"--tls-cert-file={authority}", f"--tls-private-key-file={key}",
              f"--token-auth-file={folder}/tokens.csv", "--authorization-mode=RBAC", f"--cert-dir={folder}",
              "--service-account-issuer=https://cluster.test", f"--service-account-key-file={folder}/signing.pem",
              f"--service-account-signing-key-file={folder}/signing.pem", "--service-cluster-ip-range=10.0.0.0/24",
              "--disable-admission-plugins=ServiceAccount,RuntimeClass",
              "--kubelet-preferred-address-types=InternalIP"]  # fmt: skip
    running: list[subprocess.Popen[bytes]] = []
    try:
        with (folder / "log").open("wb") as log:
            for command in (etcd, server):
                running.append(subprocess.Popen([str(each) for each in command], stdout=log, stderr=log))
            _await_ready(port, running, folder / "log")
        told = authority.read_bytes()
        yield Started(
            f"https://127.0.0.1:{port}",
            account(folder / "worker", "worker", told),
            account(folder / "owner", "owner", told),
        )
    finally:
        for each in reversed(running):
            each.terminate()
            each.wait(30)
        shutil.rmtree(folder / "etcd", ignore_errors=True)


def _await_ready(port: int, running: list[subprocess.Popen[bytes]], log: Path) -> None:
    ends, lax = time.monotonic() + 120, ssl._create_unverified_context()
    import http.client

    while True:
        if time.monotonic() > ends or any(each.poll() is not None for each in running):
            raise RuntimeError(log.read_text()[-3000:])
        asking = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=lax)
        with contextlib.suppress(OSError):
            asking.request("GET", "/readyz", headers={"Authorization": "Bearer owner"})
            if asking.getresponse().status == 200:
                return
        time.sleep(0.3)


async def prepared(owner: Cluster, port: int) -> None:
    """A namespace, the resource of sandboxes, the worker's rights, and a node whose kubelet is at this port."""
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "worker"}}
    bound = {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "worker"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": WORKER}],
    }
    rights = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
    for path, body in (
        ("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        (DEFINITIONS, DEFINITION),
        (f"{rights}/roles", {**role, "kind": "Role", "rules": RULES}),
        (f"{rights}/rolebindings", {**role, "kind": "RoleBinding", **bound}),
        ("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"}}),
    ):
        await owner.ask("POST", path, body=body)
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "declaredFeatures": ["ExtendWebSocketsToKubelet"],
    }
    await owner.ask("PATCH", "/api/v1/nodes/node/status", body={"status": status}, kind=MERGE)
    for _ in range(100):  # until the resource is served
        try:
            await owner.ask("GET", SANDBOXES)
        except EngineRefused:
            await asyncio.sleep(0.1)
        else:
            return
