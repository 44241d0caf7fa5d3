"""A coding agent's session in a chat: its home, which is kept while the chat is used, and the name of the conversation
in it.

    <storage>/workspaces/<workspace>/agents/<agent id>/coding/<chat>/<coding agent>/home/    its HOME
    <storage>/workspaces/<workspace>/agents/<agent id>/coding/<chat>/<coding agent>/session  the name

A run without a chat has a home of its own, which is removed with it.
"""

import contextlib
import os
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from models.staff.agents import CliAdapter
from resolvers.instance import clearing
from resolvers.instance.store import LocalStore
from runtime.runs.job import Job
from runtime.sandbox.workdir import Workdir

KEPT: Final = 30 * 86400.0
"""Seconds without a word in the chat."""
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")


@dataclass(slots=True)
class Session:
    """`known` is the name of the conversation to continue, None if there is none."""

    folder: Path
    workdir: Workdir
    lasts: bool
    known: str | None

    @classmethod
    def open(cls, workdir: Workdir, job: Job, adapter: CliAdapter) -> "Session":
        """Opens the session, and removes sessions of the agent that were not used for too long."""
        above = (*workdir.home[:-1], "coding")
        _forget_old(workdir.storage, workdir.storage.joinpath(*above))
        place = (*above, job.chat_id or job.run_id, adapter.value.lower())
        own = replace(workdir, home=(*place, "home"))
        os.close(own.open_home())
        folder = workdir.storage.joinpath(*place)
        return cls(folder, own, job.chat_id is not None, _known(folder) if job.chat_id else None)

    def keep(self, name: str) -> None:
        """Stores the name as soon as the coding agent reports it: an interrupted run's conversation can then
        continue.
        """
        if self.lasts and _NAME.fullmatch(name):
            made = self.folder / "session.new"
            made.write_text(name)
            made.replace(self.folder / "session")

    def forget(self) -> None:
        (self.folder / "session").unlink(missing_ok=True)
        self.known = None

    def close(self) -> None:
        if not self.lasts:
            _discard(self.workdir.storage, self.folder.parent)


def _known(folder: Path) -> str | None:
    try:
        name = (folder / "session").read_text()
    except (OSError, UnicodeDecodeError):
        return None
    return name if _NAME.fullmatch(name) else None


def _discard(storage: Path, folder: Path) -> None:
    """Removes a folder of any depth and permissions, because a coding agent has created its contents."""
    with contextlib.suppress(OSError):
        clearing.discard(LocalStore(storage).open_base, folder.relative_to(storage).parts)


def _forget_old(storage: Path, chats: Path) -> None:
    oldest = time.time() - KEPT
    with contextlib.suppress(OSError), os.scandir(chats) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                folders = [entry.stat(follow_symlinks=False), *(each.stat() for each in os.scandir(entry.path))]
                if max(folder.st_mtime for folder in folders) < oldest:
                    _discard(storage, chats / entry.name)
