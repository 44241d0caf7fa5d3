"""The configuration of a crew's containers, and what they must not contain.

Each agent has a container of its own, so that none can read another's home; each terminal has one, too. Labels identify
the containers of a crew and of this server: containers with other labels, or none, are never touched.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from resolvers.rules.agent_folders import HOME, OUTPUT, SCRATCH, SKILLS
from runtime.sandbox.boundary import MIB, Limits
from runtime.sandbox.workdir import Workdir

_LABELS: Final = ("instance", "workspace", "crew", "agent", "configured", "build", "layout", "apart", "service")
INSTANCE, WORKSPACE, CREW, AGENT, CONFIGURED, BUILD, LAYOUT, APART, SERVICE = (f"crewship.{name}" for name in _LABELS)
CURRENT: Final = "2"
"""The layout of names, labels and mounts: commands do not use a container of another layout."""
# Ends at once on request, and adopts remaining processes of commands: the engine puts its own init before it.
WAITS: Final = ("/bin/sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done")
# Ends when nothing else has run beside it and the engine's init for half a minute, as where its server was killed.
_PASSES: Final = """
trap 'exit 0' TERM INT; lonely=0
while [ $lonely -lt 6 ]; do
  sleep 5 & wait $!
  running=0; for each in /proc/[0-9]*; do running=$((running + 1)); done
  if [ $running -gt 2 ]; then lonely=0; else lonely=$((lonely + 1)); fi
done
"""
PASSES: Final = ("/bin/sh", "-c", _PASSES)
_SMALLEST, _FEWEST = 64 * MIB, 0.05
"""Bytes of memory and processors: with less, no engine starts anything."""
_MOST_PROCESSES: Final = 4096


def instance_of(storage: Path) -> str:
    """The owner of a container: a server is identified by the folder of its files."""
    return hashlib.sha256(str(storage).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class CrewContainer:
    """A crew's configuration of its containers."""

    workspace_id: str
    crew_id: str
    image: str
    memory_mb: int = 4096
    cpus: float = 2.0
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    hosts: tuple[str, ...] = ()
    """The services beside the container, as lines of its hosts file."""


class Apart(StrEnum):
    """Commands that share no container with others of the same agent, as they may reach less, or know more.

    What is in one container is of one network and one user: it can use the way out of all else that runs there, and
    read its variables.
    """

    nothing = ""
    restricted = "restricted"
    """Runs that external content has started: their container remains, beside the others."""
    alone = "alone"
    """One command, which may hold a secret."""
    terminal = "terminal"
    """One terminal of a person."""

    @property
    def passes(self) -> bool:
        """True if the container is created for one use and ends with it."""
        return self in (Apart.alone, Apart.terminal)


@dataclass(frozen=True, slots=True)
class ContainerPlace:
    """One container: its owner, and the folders of the host in it. `use` names one for a single use."""

    crew: CrewContainer
    agent: str
    output: Path | None
    home: Path | None
    given: Path | None
    read_only: bool
    user: str
    instance: str
    apart: Apart
    use: str

    @classmethod
    def of(
        cls,
        crew: CrewContainer,
        workdir: Workdir,
        *,
        given: Path | None = None,
        apart: Apart = Apart.nothing,
        read_only: bool = False,
    ) -> "ContainerPlace":
        """A container for users has a home in memory, because the agent's home holds what its programs know. A separate
        container has the given files in place of all others.
        """
        agent = "" if apart is Apart.terminal else workdir.agent_id
        owner = os.geteuid() if workdir.owner is None else workdir.owner
        storage = workdir.storage
        return cls(
            crew,
            agent,
            None if workdir.apart else storage.joinpath(*workdir.output),
            storage.joinpath(*workdir.home) if agent and not workdir.apart else None,
            given,
            read_only,
            f"{owner}:{owner}",
            instance_of(storage),
            apart,
            secrets.token_hex(6) if apart.passes else "",
        )

    @property
    def name(self) -> str:
        parts = ("crewship", self.instance, self.crew.crew_id, self.agent, self.apart.value, self.use)
        return "-".join(filter(None, parts))

    def labels(self, configured: str) -> dict[str, str]:
        return {
            INSTANCE: self.instance,
            WORKSPACE: self.crew.workspace_id,
            CREW: self.crew.crew_id,
            AGENT: self.agent,
            APART: self.apart.value,
            CONFIGURED: configured,
            LAYOUT: CURRENT,
        }

    def _mounts(self) -> list[dict[str, Any]]:
        if self.output is None:
            shown = [] if self.given is None else [(self.given, OUTPUT, True)]
        else:
            shown = [(self.output, OUTPUT, self.read_only)]
        if self.home is not None:
            shown.append((self.home, HOME, False))
        if self.given is not None and self.output is not None:
            shown.append((self.given, SKILLS, True))
        return [
            {
                "Type": "bind",
                "Source": str(source),
                "Target": target,
                "ReadOnly": read_only,
                "BindOptions": {"Propagation": "private"},
            }
            for source, target, read_only in shown
        ]

    def configuration(self, limits: Limits, *, keep_id: bool, owned: bool = False) -> dict[str, Any]:
        """The configuration in the format of the engine's API. `keep_id`: for an engine without root, whose users are
        mapped. `owned`: the engine copies the mode of the image's directory to a file system in memory, and accepts an
        owner for it.
        """
        crew = self.crew
        in_memory = f"rw,exec,nosuid,nodev,size={limits.temporary},mode=1777"
        if owned:
            in_memory += ",uid={},gid={}".format(*self.user.split(":"))
        tmpfs = {"/tmp": in_memory}  # noqa: S108 - the container's own
        if self.home is None:
            tmpfs[HOME] = in_memory
        if self.output is None:
            tmpfs[SCRATCH] = in_memory
        host: dict[str, Any] = {
            "Init": True,
            "Privileged": False,
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "NetworkMode": "none",
            "IpcMode": "private",
            **held(crew.memory_mb * MIB, limits.processes, crew.cpus),
            "Mounts": self._mounts(),
            "Tmpfs": tmpfs,
            "RestartPolicy": {"Name": "no"},
            "AutoRemove": self.apart.passes,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
            "Ulimits": [{"Name": name, "Soft": most, "Hard": most} for name, most in limits_of(limits)],
        }
        if crew.hosts and self.apart is not Apart.alone:
            host["ExtraHosts"] = list(crew.hosts)
        if keep_id:
            host["UsernsMode"] = "keep-id"
        made = {
            "Image": crew.image,
            "Entrypoint": list(PASSES if self.apart.passes else WAITS),
            "Cmd": [],
            "User": self.user,
            "WorkingDir": OUTPUT,
            "Env": [f"{name}={value}" for name, value in sorted(crew.environment.items())],
            "AttachStdout": False,
            "AttachStderr": False,
            "HostConfig": host,
        }
        return {**made, "Labels": self.labels(digest_of(made))}


def held(memory: int, processes: int, cpus: float) -> dict[str, int]:
    """The kernel's limits of every container: without swap, and killed before the service if memory runs out."""
    memory = max(memory, _SMALLEST)
    return {
        "PidsLimit": processes,
        "Memory": memory,
        "MemorySwap": memory,
        "NanoCpus": int(max(cpus, _FEWEST) * 1_000_000_000),
        "OomScoreAdj": 1000,
    }


def limits_of(limits: Limits) -> tuple[tuple[str, int], ...]:
    """The limits of each process. The number of processes is counted per user over all containers: `PidsLimit` limits
    it.
    """
    return ("nofile", limits.open_files), ("fsize", limits.file_size), ("core", 1), ("nproc", _MOST_PROCESSES)


def digest_of(configuration: Mapping[str, Any]) -> str:
    """The digest of the configuration without the image: a container with an older image is used until the crew
    restarts.
    """
    told = {name: value for name, value in configuration.items() if name not in ("Image", "Labels")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
