"""The folders of a crew, and access to them that follows no link.

    <storage>/workspaces/<workspace>/crews/<crew>/output/<agent>/        what a crew's agents make: their /output
    <storage>/workspaces/<workspace>/agents/<agent id>/output/<agent>/   the same for an agent without a crew
    <storage>/workspaces/<workspace>/agents/<agent id>/home/             HOME of an agent's commands

Everything below the storage path is opened from directory to directory, each relative to the previous one and none
through a symbolic link. So a command that exchanges a file meanwhile gains nothing.
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
    """The directories of one agent. They are opened or created on request; descriptors belong to the caller.

    `owner` of new files: the sandbox's user if the service runs as root, otherwise None for the service's own user.
    """

    storage: Path
    output: tuple[str, ...]
    home: tuple[str, ...]
    agent: str
    owner: int | None
    given: Mapping[str, bytes] = field(default_factory=dict)
    """Files that commands find, and cannot change, by their paths in the sandbox."""
    apart: bool = False
    """True if commands see only these directories: they begin in an empty folder, have an empty home, and both
    disappear with them.
    """

    @classmethod
    def of(
        cls, storage: Path, *, workspace_id: str, agent_id: str, agent_slug: str, crew_id: str | None = None
    ) -> "Workdir":
        """Raises Failed for an invalid id or slug."""
        workspace = ("workspaces", _name(workspace_id))
        own = (*workspace, "agents", _name(agent_id))
        shared = (*workspace, "crews", _name(crew_id)) if crew_id is not None else own
        return cls(storage, (*shared, "output"), (*own, "home"), _name(agent_slug), owner_of_agents_files())

    @classmethod
    def of_crew(cls, storage: Path, *, workspace_id: str, crew_id: str, agent_slug: str = "") -> "Workdir":
        """The folder that all agents of a crew share, or one of them, with a home that belongs to no agent: for users'
        commands.
        """
        own = ("workspaces", _name(workspace_id), "crews", _name(crew_id))
        agent = _name(agent_slug) if agent_slug else ""
        return cls(storage, (*own, "output"), (*own, "home"), agent, owner_of_agents_files())

    @classmethod
    def of_nobody(cls, storage: Path, *, workspace_id: str) -> "Workdir":
        """Temporary folders of a workspace, for programs without a crew."""
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
        """The working directory of commands."""
        return SCRATCH if self.apart else f"{OUTPUT}/{self.agent}" if self.agent else OUTPUT

    @property
    def agent_id(self) -> str:
        """The agent whose home it has; empty if it is no agent's."""
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
        """The files that users attached to the agent's chats; None if there are none, or the directory is not ours."""
        try:
            return open_directory(output, (self.agent, ATTACHMENTS))
        except OSError:
            return None

    def open_home(self) -> int:
        return self._open(self.home)

    def give(self, descriptor: int) -> None:
        """Makes the commands' user the owner of a new file."""
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
