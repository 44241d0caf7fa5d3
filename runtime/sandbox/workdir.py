"""Where a crew's files are, and how they are reached without following a link that somebody put there.

    <storage>/workspaces/<workspace>/crews/<crew>/output/<agent>/        what a crew's agents make: their /output
    <storage>/workspaces/<workspace>/agents/<agent id>/output/<agent>/   the same for an agent without a crew
    <storage>/workspaces/<workspace>/agents/<agent id>/home/             HOME of an agent's commands

Everything below the storage path is opened from directory to directory, each step relative to the one before and none
through a symbolic link. So it does not matter what a name meant a moment ago, or what a command makes of it meanwhile.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from resolvers.instance.confined import ATTACHMENTS, open_directory, owner_of_agents_files
from resolvers.rules.agent_folders import OUTPUT, SCRATCH
from runtime.runs.job import Failed, Job

_NAME = re.compile(r"[a-z0-9_-]{1,200}")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise Failed("An id or slug has characters that a directory name must not have")
    return value


@dataclass(frozen=True, slots=True)
class Workdir:
    """The directories of one agent. Nothing is opened or made before it is asked for; descriptors belong to the caller.

    `owner` of new files: the sandbox's user when the service is root, else nobody (None): they are ours.
    """

    storage: Path
    output: tuple[str, ...]
    home: tuple[str, ...]
    agent: str
    owner: int | None
    given: Mapping[str, bytes] = field(default_factory=dict)
    """Files that commands find, and cannot change, by their paths in the sandbox."""
    apart: bool = False
    """Whether commands find these alone: they begin in a folder that is empty, as their home is, and both are gone with
    them.
    """

    @classmethod
    def of(
        cls, storage: Path, *, workspace_id: str, agent_id: str, agent_slug: str, crew_id: str | None = None
    ) -> "Workdir":
        """Raises Failed for an id or slug that is no plain name."""
        workspace = ("workspaces", _name(workspace_id))
        own = (*workspace, "agents", _name(agent_id))
        shared = (*workspace, "crews", _name(crew_id)) if crew_id is not None else own
        return cls(storage, (*shared, "output"), (*own, "home"), _name(agent_slug), owner_of_agents_files())

    @classmethod
    def of_crew(cls, storage: Path, *, workspace_id: str, crew_id: str, agent_slug: str = "") -> "Workdir":
        """What works for people: in the folder that all agents of the crew share, or one of them, with a home that is
        no agent's.
        """
        own = ("workspaces", _name(workspace_id), "crews", _name(crew_id))
        agent = _name(agent_slug) if agent_slug else ""
        return cls(storage, (*own, "output"), (*own, "home"), agent, owner_of_agents_files())

    @classmethod
    def of_nobody(cls, storage: Path, *, workspace_id: str) -> "Workdir":
        """What works for a workspace and none of its crews: folders in which nothing is kept."""
        own = ("workspaces", _name(workspace_id), "nobody")
        return cls(storage, (*own, "output"), (*own, "home"), "", owner_of_agents_files())

    @classmethod
    def of_job(cls, storage: Path, job: Job) -> "Workdir":
        agent = job.agent
        return cls.of(
            storage, workspace_id=job.workspace_id, agent_id=agent.id, agent_slug=agent.slug, crew_id=agent.crew_id
        )

    @property
    def path(self) -> Path:
        """The agent's own folder as the host names it; for a process that sees the host's files anyway."""
        return self.storage.joinpath(*self.output, self.agent)

    @property
    def start(self) -> str:
        """Where commands begin."""
        return SCRATCH if self.apart else f"{OUTPUT}/{self.agent}" if self.agent else OUTPUT

    @property
    def agent_id(self) -> str:
        """Whose home it has; empty where it has no agent's."""
        return self.home[-2] if self.home[-3] == "agents" else ""

    def open_output(self) -> int:
        """The directory that the crew shares; it and the agent's own folder exist then."""
        output = self._open(self.output)
        try:
            os.close(open_directory(output, (self.agent,) if self.agent else (), make=True, owner=self.owner))
        except OSError as error:
            os.close(output)
            raise _unusable(error) from error
        return output

    def open_attachments(self, output: int) -> int | None:
        """What people gave the agent with its chats; None where that is nothing, or is no directory of ours."""
        try:
            return open_directory(output, (self.agent, ATTACHMENTS))
        except OSError:
            return None

    def open_home(self) -> int:
        return self._open(self.home)

    def give(self, descriptor: int) -> None:
        """Make what was just made here belong to whom commands run as."""
        if self.owner is not None:
            os.fchown(descriptor, self.owner, self.owner)

    def _open(self, names: tuple[str, ...]) -> int:
        """Directories above the last belong to the service alone."""
        try:
            self.storage.mkdir(mode=0o700, parents=True, exist_ok=True)
            base = os.open(self.storage, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                opened = open_directory(base, names, make=True)
            finally:
                os.close(base)
        except OSError as error:
            raise _unusable(error) from error
        self.give(opened)
        return opened


def _unusable(error: OSError) -> Failed:
    return Failed(f"The directory of the crew's files cannot be used ({error.strerror})")
