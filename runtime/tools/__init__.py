"""The tools of our own agent loop: files of the crew, and commands in the sandbox."""

import asyncio
import os
import posixpath
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from models.staff.agents import ToolProfile
from runtime.egress import EgressGateway
from runtime.runs.job import Failed, Job
from runtime.sandbox import NO_ENVIRONMENT, Finished, Isolation, Sandbox, Workdir, require_room
from runtime.tools.arguments import Arguments, ListFiles, ReadFile, RunCommand, SearchFiles, WriteFile, schema_of
from runtime.tools.files import CrewPath, FileError, Found, directory, read_file, shown, walk, write_file
from runtime.tools.search import Matches, search_expression, search_text

A = TypeVar("A", bound=Arguments)
Environment = Mapping[str, str] | Callable[[], Awaitable[Mapping[str, str]]]

CONTENT = 48_000  # characters of a result: some 12,000 tokens
TAIL = 16_000  # of them from the end, where they had to be cut: errors stand there
ENTRIES = 1000
MOST_REFUSALS: Final = 10  # of one command that are shown
# models write bash
SHELL: Final = next((shell for shell in ("/bin/bash", "/bin/sh") if os.access(shell, os.X_OK)), "/bin/sh")
_SHELL_OF_IMAGE: Final = 'command -v bash >/dev/null && exec bash -c "$1"; exec sh -c "$1"'


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The text for the model. `is_error`: the tool failed, or the command's exit code is not 0."""

    content: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """`parameters`: a JSON schema. `run` answers wrong arguments by an error the model can read, and raises none."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[[dict[str, Any]], Awaitable[ToolResult]]


def tools_for(
    job: Job,
    sandbox: Sandbox,
    workdir: Workdir,
    environment: Environment = NO_ENVIRONMENT,
    network: EgressGateway | None = None,
    *,
    searching: Sandbox | None = None,
) -> dict[str, Tool]:
    """The tools of the agent's profile, by name. Commands need more than MINIMAL, and a sandbox that runs any; they
    alone are given the `environment`, asked for before each of them, and the `network`. `searching`: where files are
    searched, if that is another.
    """
    agent = _Toolbox(sandbox, workdir, environment, network, searching or sandbox)
    tools = [
        _tool("read_file", "Show a text file, or a part of it by lines.", ReadFile, agent.read),
        _tool("write_file", "Write a text file: make it, or replace all of it.", WriteFile, agent.write),
        _tool("list_files", "List a folder: name and size of each file; folders end in /.", ListFiles, agent.list),
        _tool("search_files", "Find the lines of text files that hold a pattern.", SearchFiles, agent.search),
    ]
    if job.agent.tool_profile is not ToolProfile.MINIMAL and sandbox.runs_commands:
        tools.append(_tool("run_command", agent.command_description, RunCommand, agent.run))
    return {tool.name: tool for tool in tools}


def _tool(name: str, description: str, model: type[A], body: Callable[[A], Awaitable[ToolResult]]) -> Tool:
    async def run(arguments: dict[str, Any]) -> ToolResult:
        try:
            result = await body(model.model_validate(arguments))
        except ValidationError as refused:
            return ToolResult(f"Wrong arguments for {name}: {explain(refused)}", is_error=True)
        except (FileError, Failed) as failed:
            return ToolResult(str(failed), is_error=True)
        except OSError as failed:
            return ToolResult(f"The files cannot be used ({failed.strerror})", is_error=True)
        return ToolResult(fit(result.content), result.is_error)

    return Tool(name, description, schema_of(model), run)


def explain(refused: ValidationError) -> str:
    """The invalid arguments, without their values."""
    errors = refused.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(
        f"{'.'.join(str(part) for part in error['loc']) or 'arguments'}: {error['msg']}" for error in errors
    )


def fit(content: str) -> str:
    """Short enough for a model, and without NUL, which neither JSON columns nor most models take."""
    content = content.replace("\0", "\ufffd")
    if len(content) <= CONTENT:
        return content
    left_out = len(content) - CONTENT
    return f"{content[: CONTENT - TAIL]}\n[{left_out} characters omitted]\n{content[-TAIL:]}"


class _Toolbox:
    def __init__(
        self,
        sandbox: Sandbox,
        workdir: Workdir,
        environment: Environment,
        network: EgressGateway | None,
        searching: Sandbox,
    ) -> None:
        self._sandbox, self._workdir, self._given = sandbox, workdir, environment
        self._network, self._searching = network, searching

    @property
    def command_description(self) -> str:
        isolation, where = self._sandbox.isolation, "in your own folder"
        ends = "When it ends, so does everything it has started."
        if isolation is not Isolation.none:
            reaches = "without a network" if self._network is None else self._network.description
            where = f"in /output/{self._workdir.agent}, {reaches}; only /output, your home and /tmp can be written"
        if isolation is Isolation.container:
            ends = "Background processes and /tmp are kept until your container is recreated."
        elif isolation is not Isolation.none:
            where += ", and /tmp is empty each time"
        return f"Run a shell command {where}. {ends}"

    def _shell(self, command: str) -> list[str]:
        """The shell of this machine or, in a container, of its image."""
        if self._sandbox.isolation is Isolation.container:
            return ["/bin/sh", "-c", _SHELL_OF_IMAGE, "sh", command]
        return [SHELL, "-c", command]

    async def read(self, data: ReadFile) -> ToolResult:
        place: CrewPath | str = posixpath.normpath(data.path)
        content = self._workdir.given.get(str(place))
        if content is None:
            place = CrewPath.of(data.path, self._workdir)
            content = await asyncio.to_thread(read_file, self._workdir, place)
        try:
            text = content.decode()
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            return ToolResult(f"{place} is a binary file of {len(content)} bytes")
        lines = re.findall(r"[^\n]*\n|[^\n]+", text)  # as grep counts them
        if data.offset > max(len(lines), 1):
            raise FileError(f"{place} has {len(lines)} lines")
        return ToolResult(_page(lines, data.offset, data.limit) or "(the file is empty)")

    async def write(self, data: WriteFile) -> ToolResult:
        place, content = CrewPath.of(data.path, self._workdir), data.content.encode()
        await require_room(self._workdir, self._sandbox.limits)
        made = await asyncio.to_thread(write_file, self._workdir, place, content)
        return ToolResult(f"{'Made' if made else 'Replaced'} {place}: {len(content)} bytes")

    async def list(self, data: ListFiles) -> ToolResult:
        place = CrewPath.of(data.path, self._workdir)
        return ToolResult(await asyncio.to_thread(_listing, self._workdir, place, data.depth))

    async def search(self, data: SearchFiles) -> ToolResult:
        if {"\n", "\0"} & set(data.pattern):
            raise FileError("A pattern is a part of one line")
        place = CrewPath.of(data.path, self._workdir)
        if data.regex:
            matches = await search_expression(
                self._searching, self._workdir, place, data.pattern, ignore_case=data.ignore_case
            )
        else:
            matches = await asyncio.to_thread(
                search_text, self._workdir, place, data.pattern, ignore_case=data.ignore_case
            )
        return ToolResult(_matching(matches))

    async def run(self, data: RunCommand) -> ToolResult:
        if "\0" in data.command:
            raise FileError("A command must not contain NUL")
        known = 0 if self._network is None else len(self._network.refusals)
        given = await self._given() if callable(self._given) else self._given
        ended = await self._sandbox.run(
            self._shell(data.command),
            workdir=self._workdir,
            timeout=data.timeout_seconds,
            environment=given,
            network=self._network,
        )
        refusals = [] if self._network is None else self._network.refusals[known : known + MOST_REFUSALS]
        said = "\n".join([_transcript(ended, data.timeout_seconds), *(f"[network: {each}]" for each in refusals)])
        return ToolResult(said, is_error=ended.exit_code != 0)


def _page(lines: list[str], offset: int, limit: int) -> str:
    """Whole lines up to what a result may hold, and where to go on."""
    shown_lines: list[str] = []
    room = CONTENT - 200
    for line in lines[offset - 1 : offset - 1 + limit]:
        if len(line) > room:
            if not shown_lines:  # one line that is longer than a result
                shown_lines.append(
                    f"{line[:room]}\n[the rest of this line is left out: {len(line) - room} characters]\n"
                )
            break
        shown_lines.append(line)
        room -= len(line)
    following = offset + len(shown_lines)
    more = (
        f"\n[{len(lines) - following + 1} more lines; continue with offset {following}]"
        if following <= len(lines)
        else ""
    )
    return "".join(shown_lines) + more


def _listing(workdir: Workdir, place: CrewPath, depth: int) -> str:
    lines: list[str] = []
    with directory(workdir, place) as start:
        for _, entries in walk(start, depth=depth):
            for entry in entries:
                if len(lines) >= ENTRIES:
                    return "\n".join([*sorted(lines), f"[more than {ENTRIES} entries; list a folder of these]"])
                lines.append(_line(entry))
    return "\n".join(sorted(lines)) or "(the folder is empty)"


def _line(entry: Found) -> str:
    name = "/".join(shown(part) for part in entry.names)
    return {"directory": f"{name}/", "link": f"{name} (symbolic link)", "other": f"{name} (not a file)"}.get(
        entry.kind, f"{name} {entry.size}"
    )


def _matching(matches: Matches) -> str:
    lines = matches.lines or ["No line matches"]
    return "\n".join([*lines, f"[{matches.incomplete}; narrow the search]"] if matches.incomplete else lines)


def _transcript(ended: Finished, seconds: int) -> str:
    parts = [f"Ended after {seconds} seconds: it took too long" if ended.timed_out else f"Exit code {ended.exit_code}"]
    if ended.excess:
        parts = [f"Ended: {ended.excess}"]
    if ended.stdout:
        parts.append(ended.stdout.rstrip("\n"))
    if ended.stderr:
        parts.append(f"[stderr]\n{ended.stderr.rstrip(chr(10))}")
    return "\n".join(parts)
