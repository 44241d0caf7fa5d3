"""The files that a command with a credential names: what it finds of its agent's is this, as it was when it was judged.

A program does what the files around it say: a repository's configuration, a Makefile, a test beside it. So a command
begins in an empty folder, and finds no other file of the crew's than those that it names one by one, which whoever
judges it has been shown. They are read once: what becomes of them afterwards changes nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from resolvers.kernel import Code, Context, Refusal
from resolvers.oversight.keeper.commands import words_of
from resolvers.rules.agent_folders import OUTPUT

MOST: Final = 16
LARGEST: Final = 1 << 20
"""Bytes of one."""
TOGETHER: Final = 4 << 20
PATH: Final = re.compile(rf"{OUTPUT}/[^\s=@:,;'\"]+")
HIDDEN: Final = "it is a hidden file"
NO_FILE: Final = "it is not a plain file"
TOO_LARGE: Final = f"it is larger than {LARGEST >> 20} MiB, or all are larger than {TOGETHER >> 20} MiB together"
TOO_MANY: Final = f"a command gets at most {MOST} files"


@dataclass(frozen=True, slots=True)
class Inputs:
    """`files` by the paths that the command names; `left_out`: why others are not there."""

    files: dict[str, bytes] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def told(self) -> str:
        return "".join(f"[{path} was not provided: {why}]\n" for path, why in self.left_out.items())


def named_in(command: str) -> list[str]:
    """Paths below the crew's folder, in order, wherever they stand in a word: `--file=/output/ada/x`."""
    return list(dict.fromkeys(path for word in words_of(command) for path in PATH.findall(word)))


async def inputs_of(ctx: Context, command: str, *, agent_id: str, crew_id: str | None) -> Inputs:
    """Read as they are now, without following a link."""
    whose = ("agents", agent_id) if crew_id is None else ("crews", crew_id)
    folder = ctx.outside.store.folder("workspaces", ctx.workspace_id or "", *whose, "output", agents=True)
    found, size = Inputs(), 0
    for number, path in enumerate(named_in(command)):
        names = path.removeprefix(f"{OUTPUT}/").split("/")
        if number >= MOST:
            found.left_out[path] = TOO_MANY
        elif any(name.startswith(".") for name in names):
            found.left_out[path] = HIDDEN
        elif (content := await _read(folder, names)) is None:
            found.left_out[path] = NO_FILE
        elif len(content) > LARGEST or size + len(content) > TOGETHER:
            found.left_out[path] = TOO_LARGE
        else:
            found.files[path] = content
            size += len(content)
    return found


async def _read(folder: Any, names: Sequence[str]) -> bytes | None:
    """One byte more than may be given, of one that is larger."""
    try:
        opened = await folder.open("/".join(names))
    except Refusal as refusal:
        if refusal.code in (Code.NOT_FOUND, Code.BAD_REQUEST, Code.CONFLICT):
            return None
        raise
    try:
        content: bytes = await opened.read(0, LARGEST + 1)
    finally:
        opened.close()
    return content
