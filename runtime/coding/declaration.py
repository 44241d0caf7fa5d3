"""The declaration of a coding agent: how to start it without a terminal, and how to read its stream."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from models.staff.agents import CliAdapter, LlmProvider, ToolProfile
from resolvers.resources.integrations.configuration import McpConfiguration
from runtime.coding.events import EventReading

FOLDER: Final = "/opt/coding-agent"
"""The folder of the coding agent's program in the sandbox."""
FILES: Final = "/etc/coding-agent"
"""The folder of its configuration, which is read-only."""


@dataclass(frozen=True, slots=True)
class Task:
    """The inputs of a start.

    `session` is the name of the session to continue if `resumes`, otherwise a name for a new one. `address` and
    `stand_in` replace the address of the model's API and its key; `of_login`: the placeholder is for a subscription.
    """

    prompt: str
    system: str
    model: str
    provider: LlmProvider
    session: str
    resumes: bool
    profile: ToolProfile
    address: str
    stand_in: str = field(repr=False)
    of_login: bool = False
    mcp: McpConfiguration = field(default_factory=McpConfiguration)


@dataclass(frozen=True, slots=True)
class CommandLine:
    """Arguments after the program, variables, and files by their paths in the sandbox. Its input is `prompt`, or else
    the task's. `first` is a shell command before it: for files that the program looks for only in its home.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, str] = field(default_factory=dict)
    prompt: str | None = None
    first: str = ""

    def argv(self, program: tuple[str, ...]) -> tuple[str, ...]:
        called = (*program, *self.arguments)
        return ("sh", "-c", f'{self.first} && exec "$@"', "sh", *called) if self.first else called


@dataclass(frozen=True, slots=True)
class CodingAgent:
    """`package` and `version`: on npm, the version that the tests run. `entry`: the path of its program below
    `node_modules`, which may name the machine; `needs_node`: the program is a script. `providers`: the providers of its
    models. `takes_login`: it accepts the token of a subscription.
    """

    adapter: CliAdapter
    name: str
    package: str
    version: str
    entry: str
    providers: tuple[LlmProvider, ...]
    command: Callable[[Task], CommandLine]
    reading: Callable[[], EventReading]
    needs_node: bool = False
    takes_login: bool = False

    @property
    def program(self) -> str:
        machine = os.uname().machine
        return self.entry.format(machine=machine, npm={"x86_64": "x64", "aarch64": "arm64"}.get(machine, machine))

    @property
    def how_to_get(self) -> str:
        return f"npm install --prefix FOLDER {self.package}@{self.version}, and CREWSHIP_CODING_AGENTS=FOLDER"
