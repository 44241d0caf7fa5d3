"""The directories of a crew that a sandbox shows, each where it is and as it may be used."""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from resolvers.instance.confined import ATTACHMENTS
from resolvers.rules.agent_folders import HOME, OUTPUT, SCRATCH
from runtime.sandbox.process import keep
from runtime.sandbox.program import Mount
from runtime.sandbox.workdir import Workdir

HOME_SIZE: Final = str(256 << 20)
"""Bytes of a home that is memory."""


@dataclass(frozen=True, slots=True)
class ShownDirectory:
    """An open directory: its path on the way, its path in the sandbox, and whether it is writable there."""

    descriptor: int
    name: str
    at: str
    read_only: bool = False

    @property
    def kind(self) -> str:
        return "--ro-bind" if self.read_only else "--bind"


@dataclass(frozen=True, slots=True)
class Reach:
    """In the order in which they are mounted: one may be within another."""

    shown: tuple[ShownDirectory, ...]
    in_memory: tuple[str, ...]
    """Folders that are empty and gone with the sandbox."""

    @classmethod
    def open(
        cls,
        stack: contextlib.ExitStack,
        workdir: Workdir,
        mounts: Sequence[Mount] = (),
        *,
        own_home: bool,
        read_only: bool,
    ) -> "Reach":
        """Closed with the stack. Commands for users have a home of their own, because the agent's home holds what its
        programs know.
        """
        if workdir.apart:
            return cls((), (HOME, SCRATCH))
        output = keep(stack, workdir.open_output())
        shown = [ShownDirectory(output, "output", OUTPUT, read_only)]
        if not own_home:
            shown.append(ShownDirectory(keep(stack, workdir.open_home()), "home", HOME))
        if (attachments := workdir.open_attachments(output)) is not None:
            at = os.path.join(OUTPUT, workdir.agent, ATTACHMENTS)
            shown.append(ShownDirectory(keep(stack, attachments), ATTACHMENTS, at, read_only=True))
        for number, mount in enumerate(mounts):
            opened = os.open(mount.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            shown.append(ShownDirectory(keep(stack, opened), f"mount{number}", mount.at, read_only=True))
        return cls(tuple(shown), (HOME,) if own_home else ())

    @property
    def descriptors(self) -> tuple[int, ...]:
        return tuple(each.descriptor for each in self.shown)

    def _memory(self) -> list[str]:
        return [part for at in self.in_memory for part in ("--perms", "0700", "--size", HOME_SIZE, "--tmpfs", at)]

    def from_descriptors(self) -> list[str]:
        """Options of the one bubblewrap that there is."""
        made = self._memory()
        for each in self.shown:
            made += [f"{each.kind}-fd", str(each.descriptor), each.at]
        return made

    def handed_on(self) -> list[str]:
        """Options of the outer bubblewrap, which shows the directories to the inner one."""
        made = []
        for each in self.shown:
            made += ["--bind-fd", str(each.descriptor), f"/run/{each.name}"]
        return made

    def from_run(self) -> list[str]:
        """Options of the inner one."""
        made = self._memory()
        for each in self.shown:
            made += [each.kind, f"/run/{each.name}", each.at]
        return made
