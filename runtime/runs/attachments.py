"""Files that people have attached to a chat: the prompt names them, and in the sandbox they can only be read."""

import os
from collections.abc import Sequence
from itertools import islice
from typing import Final

from resolvers.instance.confined import ATTACHMENTS, open_directory
from resolvers.rules.agent_folders import OUTPUT
from runtime.sandbox.workdir import Workdir
from runtime.tools.files import shown

MOST_LOOKED_AT: Final = 1000
MOST_LISTED: Final = 50
INTRODUCTION: Final = "Files that are attached to this chat, and that you can read, but not change:"


def attached(workdir: Workdir, chat_id: str | None) -> tuple[str, ...]:
    """Their paths, as the agent knows them, by name."""
    if chat_id is None:
        return ()
    place = (workdir.agent, ATTACHMENTS, chat_id)
    output = workdir.open_output()
    try:
        here = open_directory(output, place)
    except OSError:
        return ()
    finally:
        os.close(output)
    try:
        with os.scandir(here) as listed:
            names = sorted(
                entry.name for entry in islice(listed, MOST_LOOKED_AT) if entry.is_file(follow_symlinks=False)
            )
    finally:
        os.close(here)
    return tuple("/".join((OUTPUT, *place, shown(name))) for name in names)


def listing(paths: Sequence[str]) -> str:
    """The part of the prompt that names them; empty where there are none."""
    if not paths:
        return ""
    more = len(paths) - MOST_LISTED
    lines = [f"- {path}" for path in paths[:MOST_LISTED]]
    return "\n".join([INTRODUCTION, *lines, *([f"and {more} more in the same folder"] if more > 0 else [])])
