"""Ports: the access of operations to the outside world. `crewship/process/app.py` supplies the adapters, tests supply
fakes.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from models.bounds import cut
from resolvers.instance.mcp_programs import Line
from resolvers.instance.store import Folder


class Releases(Protocol):
    """The announcements of newer versions of this server."""

    async def latest(self) -> tuple[str, str] | None:
        """(version, address) of the newest release; None when nothing is known, within four seconds."""


class NoReleases:
    """No announcements: the server asks for none unless its deployer supplies an adapter."""

    async def latest(self) -> tuple[str, str] | None:
        return None


LONGEST_SUBJECT = 150
_ENCODED = re.compile(r"=(?=\?)|\?(?==)")


def in_a_line(text: str, most: int) -> str:
    """User text for one line of a mail, also in its head: without line ends, and without encoded words (RFC 2047),
    which may contain one.
    """
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return cut(_ENCODED.sub(lambda half: f"{half[0]} ", line), most)


@dataclass(frozen=True, slots=True)
class Mail:
    """A message to one address, of plain text. It may hold a link that is as good as a password."""

    to: str
    subject: str
    text: str = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "subject", in_a_line(self.subject, LONGEST_SUBJECT))


class Mailer(Protocol):
    """Hands mail to the service that delivers it."""

    async def send(self, mail: Mail, key: str) -> None:
        """Returns when the mail was taken. `key` is the same whenever the same mail is sent again.

        Raises Undeliverable where another try is in vain, MailFailed where it is not.
        """


class MailFailed(Exception):
    """The mail was not accepted. The text names neither receiver nor content."""


class Undeliverable(MailFailed):
    """The mail service refuses this mail permanently."""


@dataclass(frozen=True, slots=True)
class CommandOfAgent:
    """A shell command in an agent's sandbox and folder. `environment` contains secrets.

    Without `agent_id` it sees only the folder of an agent; without `agent_slug`, the folder of the crew. It has the
    crew's network only if it `reaches_out`. A command that is `given` files, by their paths, sees these in place of all
    files of agent and crew, and its writes are discarded, unless placeholders can replace its `environment`, whose
    values are for these `hosts` only.
    """

    workspace_id: str
    agent_id: str
    agent_slug: str
    crew_id: str | None
    command: str
    environment: Mapping[str, str] = field(repr=False)
    timeout: float
    reaches_out: bool = False
    given: Mapping[str, bytes] | None = field(default=None, repr=False)
    hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Ran:
    """The result of a command. `truncated`: the output was longer than the limit, and its end may be incomplete.
    `stood_in`: placeholders replaced its environment, and it worked in the agent's folder.
    """

    exit_code: int
    output: str = field(repr=False)
    truncated: bool = False
    stood_in: bool = False


class Commands(Protocol):
    """Runs commands for operations, where agents' commands run."""

    async def run(self, command: CommandOfAgent) -> Ran:
        """Raises NotRun if there is no sandbox or it could not be started."""


@dataclass(frozen=True, slots=True)
class TerminalPlace:
    """The place and size of a user's terminal. Without `agent_slug` it is in the folder of the crew."""

    workspace_id: str
    crew_id: str
    agent_slug: str
    rows: int
    columns: int
    read_only: bool


class OpenedTerminal(Protocol):
    async def read(self) -> bytes:
        """The program's next output; empty when it has ended."""

    async def write(self, typed: bytes) -> None:
        """Waits while the program reads nothing."""

    def resize(self, rows: int, columns: int) -> None: ...


class Terminals(Protocol):
    """Opens terminals of users, where agents' commands run."""

    async def available(self) -> bool: ...

    def open(self, place: TerminalPlace) -> AbstractAsyncContextManager[OpenedTerminal]:
        """A shell, of which nothing is left when the block ends. Raises NotRun where it could not be started."""


@dataclass(frozen=True, slots=True)
class AskedProgram:
    """An MCP server behind stdio that is started for people, and for no run. `environment` holds secrets.

    It sees the files of its crew, from the folder of an agent or of them all, and reaches what the crew does. Without
    `crew_id` it has no files, and reaches nothing.
    """

    workspace_id: str
    server_id: str
    crew_id: str | None
    agent_slug: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(repr=False)


class Programs(Protocol):
    """Starts stdio MCP servers for operations, where agents' commands run."""

    async def check(self, workspace_id: str, crew_id: str | None) -> None:
        """Raises NotRun if programs cannot be started."""

    def start(self, program: AskedProgram) -> AbstractAsyncContextManager[Line]:
        """A program of which nothing is left when the block ends. It changes no files of its crew. Raises McpFailed."""


@dataclass(frozen=True, slots=True)
class CachedImage:
    """An image that was built for crews: its name without a registry, bytes, and Unix seconds."""

    tag: str
    size: int
    created_at: int


@dataclass(frozen=True, slots=True)
class ContainerOfCrew:
    """A container of a crew as the engine has it. `state` is the engine's word; None means not measured.

    `agent_id` is empty for a service and for a person's terminal. `passes`: it was made for one use. `current`: by the
    settings of this release.
    """

    id: str
    name: str
    image: str
    state: str
    agent_id: str = ""
    service: str = ""
    passes: bool = False
    current: bool = True
    cpu_percent: float | None = None
    memory_mb: int | None = None
    started_at: datetime | None = None
    memory_limit_mb: int | None = None
    cpu_limit: float | None = None
    ports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BegunContainers:
    """The containers that run now, by agent, and what did not start."""

    containers: Mapping[str, str]
    notices: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ImageDigests:
    """Digests of manifests. `running`: of the image of a running container; `resolved`: of the image that its registry
    has now, empty if the registry did not answer.
    """

    container_id: str = ""
    running: Sequence[str] = ()
    resolved: str = ""


@dataclass(frozen=True, slots=True)
class PulledImage:
    """The digests of an image before and after it was pulled, and the number of containers that were removed."""

    before: str
    after: str
    removed: int


@dataclass(frozen=True, slots=True)
class RunningContainer:
    """A running container with the label of a workspace. `ours`: of this server, by its label."""

    id: str
    crew_id: str
    ours: bool


class Containers(Protocol):
    """Crews' containers, as operations see them. Each raises NotRun where the engine does not do it."""

    @property
    def knows_digests(self) -> bool:
        """True if the engine says which digest an image has."""

    async def start(self, workspace_id: str, crew_id: str, agents: Mapping[str, str]) -> BegunContainers:
        """Starts the crew's services and the container of each agent, as their first command would. `agents`: slugs by
        id. Raises NotRun if no container runs then.
        """

    async def stop(self, workspace_id: str, crew_id: str) -> int:
        """Stops a crew's containers and services, with the programs in them; volumes stay. Returns the number of
        containers that ran.
        """

    async def known(
        self, workspace_id: str, crew_id: str, *, measured: bool = False, inspected: bool = False
    ) -> Sequence[ContainerOfCrew]:
        """A crew's containers by name. `measured`: with what they use; `inspected`: with their limits and ports."""

    async def digests(self, workspace_id: str, crew_id: str, image: str) -> ImageDigests:
        """Compares the image of the crew's running container with its registry."""

    async def refresh(self, workspace_id: str, crew_id: str, image: str) -> PulledImage:
        """Pulls an image, then removes the containers of the crew's agents. A failed pull removes nothing."""

    async def running(self, workspace_id: str) -> Sequence[RunningContainer]:
        """All running containers of the engine with the label of the workspace, also those that another server made."""

    async def discard(self, container: str) -> bool:
        """Removes a container by force. False if it does not exist."""

    async def remove(self, workspace_id: str, crew_id: str) -> int:
        """Removes a crew's containers by force, with the programs in them, and returns their number."""

    async def images(self) -> Sequence[CachedImage]:
        """All images of the engine."""

    async def remove_image(self, tag: str, *, force: bool) -> bool:
        """False if it does not exist. Raises InUse while a container uses it, unless `force` is set."""

    async def outdated(self, workspace_id: str) -> Sequence[str]:
        """Names of what earlier releases have made for the workspace, and this one does not use."""

    def inside(self, workspace_id: str, crew_id: str, agent_id: str) -> AbstractAsyncContextManager[Folder | None]:
        """The files of an agent's container, as its own processes see them, to be read. None where it does not run, or
        this service may not look into it.
        """

    async def prune(self, workspace_id: str, removed: list[str], *, outdated: bool) -> None:
        """Removes all containers of the workspace, or the outdated ones; appends the name of each."""


@dataclass(frozen=True, slots=True)
class RoutineTrial:
    """The definition of a routine, and values for its texts. `prompts` replace prompts of steps, by their ids.
    `network` and `domains` are of the author crew; None without one.
    """

    source: str
    run_id: str
    inputs: Mapping[str, Any]
    env: Mapping[str, str]
    outputs: Mapping[str, str] = field(default_factory=dict)
    state: Mapping[str, str] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    network: Any = None
    domains: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class WalkedStep:
    """A step that a run would execute. `prompt`: the text for an agent."""

    id: str
    type: str
    agent: str | None = None
    routine: str | None = None
    prompt: str = ""
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class WalkedRoutine:
    """The steps that a run would execute, and the outputs that later steps would read. `failed_at`: the step whose
    texts cannot be rendered.
    """

    steps: Sequence[WalkedStep]
    outputs: Mapping[str, str]
    output: str = ""
    failed_at: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class TriedStep:
    """The outcome of one step that was executed by itself, or the reason why it failed. `prompt`: the text for an
    agent, whom the caller asks.
    """

    output: str = ""
    error: str = ""
    prompt: str = ""


class RoutineTrials(Protocol):
    """Tries routines and their steps, outside of runs. Nothing is recorded."""

    async def walk(self, trial: RoutineTrial) -> WalkedRoutine:
        """Renders all texts and judges all conditions, and executes nothing. Raises NotRun if too many are tried."""

    async def attempt(self, trial: RoutineTrial, step_id: str) -> TriedStep:
        """Executes one step of the top level, once. Raises NotRun if too many are tried."""


class InUse(Exception):
    """A container uses the image."""


class NotRun(Exception):
    """Nothing was run. `unavailable`: nothing ever is, on this machine."""

    def __init__(self, text: str, *, unavailable: bool = False) -> None:
        super().__init__(text)
        self.unavailable = unavailable
