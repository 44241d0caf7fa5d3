"""Containers as sandboxes of a Kubernetes cluster: the configuration of the container engines' API as the custom
resource of kubernetes-sigs/agent-sandbox, and its state in the format of the engines.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from runtime.containers.place import CONFIGURED, SERVICE
from runtime.runs.job import Failed
from runtime.sandbox.boundary import MIB

GROUP, VERSION = "agents.x-k8s.io", "v1beta1"
VOLUME, CLUSTER, PLACE = "crewship.volume", "crewship.cluster", "crewship.name"
"""Labels with the claim of the files, by which an installation knows its own, and with the digest of the options; and
the annotation with the name that the service uses.
"""
AGENT: Final = "agent"
"""The name of the container."""
SUSPENDED: Final = "suspended"
LONGEST_USE: Final = timedelta(days=1)
"""After it the cluster removes a sandbox for one use, if its server could not."""
NOT_ON_VOLUME: Final = "A folder of the container is not one of the folders on the volume of the service's files"
NO_SERVICES: Final = "containers on Kubernetes have no services beside them"
_NAME: Final = re.compile(r"crewship-[0-9a-f]{32}")
_MISSING: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_BROKEN: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """`namespace`: where sandboxes are, and nothing else. `claim`: the volume with the service's files, as this
    namespace names it, and `storage`: where the service has it. `policy`: the network policy that forbids sandboxes
    every connection.
    """

    namespace: str
    claim: str
    storage: Path
    policy: str
    runtime_class: str | None = None

    @property
    def digest(self) -> str:
        told = json.dumps({**asdict(self), "storage": str(self.storage)}, sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:16]


def resource_name(name: str) -> str:
    """The name of the resource: names of places are longer than a label's value may be."""
    return name if _NAME.fullmatch(name) else f"crewship-{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def sandbox(name: str, configuration: Mapping[str, Any], options: ClusterOptions, now: datetime) -> dict[str, Any]:
    """The resource of a container. Raises Failed for what pods do not have."""
    given = configuration["Labels"]
    if SERVICE in given or "User" not in configuration:
        raise Failed(NO_SERVICES)
    labels = {**given, VOLUME: options.claim, CLUSTER: options.digest}
    spec: dict[str, Any] = {
        "operatingMode": "Running",
        "service": False,
        "podTemplate": {"metadata": {"labels": labels}, "spec": _pod(configuration, options)},
    }
    if configuration["HostConfig"].get("AutoRemove"):
        spec["shutdownTime"] = (now + LONGEST_USE).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        spec["shutdownPolicy"] = "Delete"
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Sandbox",
        "metadata": {"name": resource_name(name), "labels": labels, "annotations": {PLACE: name}},
        "spec": spec,
    }


def _pod(configuration: Mapping[str, Any], options: ClusterOptions) -> dict[str, Any]:
    """Without variables: a crew's may be secret, and all who may look at pods read their specification. Each command
    brings its own.
    """
    user, group = (int(each) for each in configuration["User"].split(":"))
    volumes, mounts = _volumes(configuration["HostConfig"], options)
    container = {
        "name": AGENT,
        "image": configuration["Image"],
        "command": list(configuration["Entrypoint"]),
        "workingDir": configuration["WorkingDir"],
        "resources": _resources(configuration["HostConfig"]),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": mounts,
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "shareProcessNamespace": True,  # so that the pod's own first process adopts what commands leave behind
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": group,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": volumes,
        **({"runtimeClassName": options.runtime_class} if options.runtime_class else {}),
    }


def _resources(host: Mapping[str, Any]) -> dict[str, Any]:
    memory, cpu = int(host["Memory"]), int(host["NanoCpus"]) // 1_000_000
    return {
        "limits": {"memory": str(memory), "cpu": f"{cpu}m"},
        "requests": {"memory": str(min(memory, 256 * MIB)), "cpu": f"{min(cpu, 100)}m"},
    }


def _volumes(host: Mapping[str, Any], options: ClusterOptions) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Folders of the service's volume, and memory: of the node, nothing is mounted."""
    volumes: list[dict[str, Any]] = []
    mounts: list[dict[str, Any]] = []
    for mount in host["Mounts"]:
        try:
            folder = Path(mount["Source"]).relative_to(options.storage)
        except ValueError:
            raise Failed(NOT_ON_VOLUME) from None
        if not folder.parts or ".." in folder.parts:
            raise Failed(NOT_ON_VOLUME)
        mounts.append(
            {"name": "files", "mountPath": mount["Target"], "subPath": str(folder), "readOnly": mount["ReadOnly"]}
        )
    if mounts:
        volumes.append({"name": "files", "persistentVolumeClaim": {"claimName": options.claim}})
    for number, (target, how) in enumerate(sorted(host["Tmpfs"].items())):
        size = re.search(r"size=(\d+)", how)
        memory = {"medium": "Memory", **({"sizeLimit": size[1]} if size else {})}
        volumes.append({"name": f"memory-{number}", "emptyDir": memory})
        mounts.append({"name": f"memory-{number}", "mountPath": target})
    return volumes, mounts


def identity(resource: Mapping[str, Any]) -> str:
    """Name and uid: another one of the same name is not meant by it."""
    return f"{resource['metadata']['name']}.{resource['metadata']['uid']}"


def shown(resource: Mapping[str, Any], options: ClusterOptions) -> dict[str, Any]:
    """The state of a container, as the engines' API shows one. Of other options it counts as configured otherwise."""
    labels = dict(resource["metadata"].get("labels") or {})
    if labels.get(CLUSTER) != options.digest:
        labels[CONFIGURED] = ""
    status = status_of(resource)
    return {
        "Id": identity(resource),
        "Config": {"Labels": labels},
        "HostConfig": _limited(resource),
        "State": {
            "Running": status == "running",
            "Status": status,
            "Pid": 0,
            "StartedAt": resource["metadata"].get("creationTimestamp"),
        },
    }


def _limited(resource: Mapping[str, Any]) -> dict[str, int]:
    """The limits of the container, as `_resources` writes them."""
    [container, *_] = resource["spec"]["podTemplate"]["spec"]["containers"]
    limits = (container.get("resources") or {}).get("limits") or {}
    memory, cpu = str(limits.get("memory", "")), str(limits.get("cpu", "")).removesuffix("m")
    return {
        "Memory": int(memory) if memory.isdigit() else 0,
        "NanoCpus": int(cpu) * 1_000_000 if cpu.isdigit() else 0,
    }


def listed(resource: Mapping[str, Any]) -> dict[str, Any]:
    metadata = resource["metadata"]
    [container, *_] = resource["spec"]["podTemplate"]["spec"]["containers"]
    made = datetime.fromisoformat(metadata["creationTimestamp"])
    return {
        "Id": identity(resource),
        "Names": [(metadata.get("annotations") or {}).get(PLACE, metadata["name"])],
        "Labels": metadata.get("labels") or {},
        "State": SUSPENDED if _suspended(resource) else status_of(resource),
        "Created": int(made.timestamp()),
        "Image": container["image"],
        "ImageID": container["image"],
    }


def status_of(resource: Mapping[str, Any]) -> str:
    """A suspended one, or one that is not ready yet, counts as created: it has to be started."""
    if resource["metadata"].get("deletionTimestamp"):
        return "removing"
    told = {each["type"]: each["status"] for each in (resource.get("status") or {}).get("conditions") or ()}
    if told.get("Finished") == "True":
        return "exited"
    return "running" if told.get("Ready") == "True" and not _suspended(resource) else "created"


def _suspended(resource: Mapping[str, Any]) -> bool:
    return bool(resource["spec"].get("operatingMode") == "Suspended")


def obstacle(pod: Mapping[str, Any]) -> tuple[int, str]:
    """Why a pod does not start: 404 for its image, 500 for what does not pass, 0 for what may pass."""
    status = pod.get("status") or {}
    for each in status.get("containerStatuses") or ():
        waiting = (each.get("state") or {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        if reason in _MISSING or reason in _BROKEN:
            return (404 if reason in _MISSING else 500), f"{reason}: {message}"
    for each in status.get("conditions") or ():
        if each.get("type") == "PodScheduled" and each.get("status") == "False":
            return 0, str(each.get("message") or each.get("reason") or "")
    return 0, ""


def belongs(pod: Mapping[str, Any], uid: str) -> bool:
    """True if the pod was made for the sandbox with this uid, and not for another of the same name."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(each.get("controller") and each.get("uid") == uid for each in owners)


def closes(policy: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """True if a network policy selects all pods with these labels and lets nothing in or out."""
    spec = policy["spec"]
    selector = spec.get("podSelector") or {}
    chosen = (selector.get("matchLabels") or {}).items() <= labels.items() and not selector.get("matchExpressions")
    types: Sequence[str] = spec.get("policyTypes") or ()
    return chosen and {"Ingress", "Egress"} <= set(types) and not spec.get("ingress") and not spec.get("egress")
