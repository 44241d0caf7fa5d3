"""What a container of a crew is made from, and what it is not given.

Each agent has a container of its own, so that one cannot read what is at home with another; people at terminals have
theirs. All of a crew's are told by their labels, which also say whose server made them: what has other labels, or none,
is never touched.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from resolvers.rules.agent_folders import HOME, OUTPUT, SKILLS
from runtime.sandbox.boundary import MIB, Limits
from runtime.sandbox.workdir import Workdir

INSTANCE, WORKSPACE, CREW, AGENT, CONFIGURED, BUILD, LAYOUT = (
    f"crewship.{name}" for name in ("instance", "workspace", "crew", "agent", "configured", "build", "layout")
)
CURRENT: Final = "2"
"""How names, labels and mounts are laid out: a container of another layout is used by no command any more."""
# Ends at once when it is told to, and adopts what commands leave behind: the engine puts its own init before it.
WAITS: Final = ("/bin/sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done")
_SMALLEST, _FEWEST = 64 * MIB, 0.05
"""Bytes of memory and processors: with less, no engine starts anything."""
_MOST_PROCESSES: Final = 4096


def instance_of(storage: Path) -> str:
    """Whose a container is: a server is known by the folder that its files are in."""
    return hashlib.sha256(str(storage).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class CrewContainer:
    """What a crew has said of its containers."""

    workspace_id: str
    crew_id: str
    image: str
    memory_mb: int = 4096
    cpus: float = 2.0
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ContainerPlace:
    """One container: whose it is, and the folders of the host that it is shown."""

    crew: CrewContainer
    agent: str
    output: Path
    home: Path | None
    given: Path | None
    read_only: bool
    user: str
    instance: str

    @classmethod
    def of(
        cls, crew: CrewContainer, workdir: Workdir, *, given: Path | None, at_terminal: bool, read_only: bool
    ) -> "ContainerPlace":
        """At a terminal, people have a home that is memory: the agent's holds what its programs know."""
        owner = os.geteuid() if workdir.owner is None else workdir.owner
        storage = workdir.storage
        return cls(
            crew,
            "" if at_terminal else workdir.home[-2],
            storage.joinpath(*workdir.output),
            None if at_terminal else storage.joinpath(*workdir.home),
            given,
            read_only,
            f"{owner}:{owner}",
            instance_of(storage),
        )

    @property
    def name(self) -> str:
        whose = self.agent or ("readers" if self.read_only else "people")
        return f"crewship-{self.instance}-{self.crew.crew_id}-{whose}"

    def labels(self, configured: str) -> dict[str, str]:
        return {
            INSTANCE: self.instance,
            WORKSPACE: self.crew.workspace_id,
            CREW: self.crew.crew_id,
            AGENT: self.agent,
            CONFIGURED: configured,
            LAYOUT: CURRENT,
        }

    def _mounts(self) -> list[dict[str, Any]]:
        shown = [(self.output, OUTPUT, self.read_only)]
        if self.home is not None:
            shown.append((self.home, HOME, False))
        if self.given is not None:
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

    def configuration(self, limits: Limits, *, keep_id: bool) -> dict[str, Any]:
        """As the engine's API takes it. `keep_id`: of an engine without root, whose users are mapped."""
        crew = self.crew
        memory = max(crew.memory_mb * MIB, _SMALLEST)
        tmpfs = {"/tmp": f"rw,nosuid,nodev,size={limits.temporary},mode=1777"}  # noqa: S108 - the container's own
        if self.home is None:
            tmpfs[HOME] = f"rw,nosuid,nodev,size={limits.temporary},mode=1777"
        host: dict[str, Any] = {
            "Init": True,
            "Privileged": False,
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "NetworkMode": "none",
            "IpcMode": "private",
            "PidsLimit": limits.processes,
            "Memory": memory,
            "MemorySwap": memory,
            "NanoCpus": int(max(crew.cpus, _FEWEST) * 1_000_000_000),
            "OomScoreAdj": 1000,
            "Mounts": self._mounts(),
            "Tmpfs": tmpfs,
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m"}},
            "Ulimits": [{"Name": name, "Soft": most, "Hard": most} for name, most in limits_of(limits)],
        }
        if keep_id:
            host["UsernsMode"] = "keep-id"
        made = {
            "Image": crew.image,
            "Entrypoint": list(WAITS),
            "Cmd": [],
            "User": self.user,
            "WorkingDir": OUTPUT,
            "Env": [f"{name}={value}" for name, value in sorted(crew.environment.items())],
            "AttachStdout": False,
            "AttachStderr": False,
            "HostConfig": host,
        }
        return {**made, "Labels": self.labels(digest_of(made))}


def limits_of(limits: Limits) -> tuple[tuple[str, int], ...]:
    """Of each process. The number of processes is that of a user in all containers: `PidsLimit` is what bounds it."""
    return ("nofile", limits.open_files), ("fsize", limits.file_size), ("core", 1), ("nproc", _MOST_PROCESSES)


def digest_of(configuration: Mapping[str, Any]) -> str:
    """What a container is made from but its image: one of an older image is used until the crew is restarted."""
    told = {name: value for name, value in configuration.items() if name not in ("Image", "Labels")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
