"""Which coding agents are installed on this machine, in which version, and how to get one that is missing."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.coding.claude_code import CLAUDE_CODE
from runtime.coding.codex_cli import CODEX_CLI
from runtime.coding.declaration import FOLDER, CodingAgent
from runtime.coding.gemini_cli import GEMINI_CLI
from runtime.coding.opencode import OPENCODE
from runtime.sandbox.program import Mount

MACHINES: Final = {"x86_64": 62, "aarch64": 183}
"""As the head of a program names them (elf(5))."""
KNOWN: Final = {agent.adapter: agent for agent in (CLAUDE_CODE, CODEX_CLI, GEMINI_CLI, OPENCODE)}
"""The coding agents by the adapter that an agent names."""


@dataclass(frozen=True, slots=True)
class Installed:
    """The command of an installed coding agent in the sandbox, and the folders that it needs there."""

    agent: CodingAgent
    version: str
    argv: tuple[str, ...]
    mounts: tuple[Mount, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a coding agent cannot be used, and how to fix it."""

    agent: CodingAgent
    why: str
    fix: str


def find(agent: CodingAgent, folder: Path | None) -> Installed | Missing:
    """`folder`: where npm has installed it, as `--prefix` names it."""
    if folder is None:
        return Missing(agent, "CREWSHIP_CODING_AGENTS is not set", agent.how_to_get)
    modules = folder / "node_modules"
    program = modules / agent.program
    if not program.is_file():
        return Missing(agent, "it is not installed", agent.how_to_get)
    if not agent.needs_node and not os.access(program, os.X_OK):
        return Missing(agent, "its program cannot be executed", agent.how_to_get)
    if not agent.needs_node and not _is_of_this_machine(program):
        return Missing(agent, "its program is not for this machine", agent.how_to_get)
    argv: tuple[str, ...] = (f"{FOLDER}/{agent.program}",)
    mounts: tuple[Mount, ...] = (Mount(modules, FOLDER),)
    if agent.needs_node:
        node = shutil.which("node")
        if node is None:
            return Missing(agent, "it requires Node.js, which is not on the PATH", "install Node.js 20 or newer")
        real = Path(node).resolve()
        argv = (str(real), *argv)
        if not real.is_relative_to("/usr"):
            mounts = (*mounts, Mount(real.parents[1], str(real.parents[1])))
    return Installed(agent, _version(modules / agent.package), argv, mounts)


def report(folder: Path | None) -> Iterator[Installed | Missing]:
    for agent in KNOWN.values():
        yield find(agent, folder)


def _is_of_this_machine(program: Path) -> bool:
    """Returns false for a program for another processor or a partial download, for which the sandbox could give no
    reason.
    """
    try:
        with program.open("rb") as file:
            head = file.read(20)
    except OSError:
        return False
    if head[:2] == b"#!":
        return True
    wanted = MACHINES.get(os.uname().machine)
    return head[:4] == b"\x7fELF" and wanted in (None, int.from_bytes(head[18:20], "little"))


def _version(package: Path) -> str:
    try:
        told = json.loads((package / "package.json").read_text())
        return str(told["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return "of unknown version"
