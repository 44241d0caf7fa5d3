"""The features of a crew's container for authors of routines (contract: crews.capabilities)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypedDict, TypeVar

from resolvers.kernel import Refusal
from resolvers.rules.devcontainer import parse_devcontainer, tool_names
from resolvers.rules.mise import is_json, parse_mise
from resolvers.rules.services import Datastore, datastores, parse_services

CODE_WIRED: Final = ("cel", "expr")
"""Languages that a routine's code step evaluates."""

CODE_RESERVED: Final = ("bash", "go", "python")
"""Languages whose names a code step reserves without running them yet."""

SCRIPT_INTERPRETERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        ".py": "python3",
        ".sh": "bash",
        ".bash": "bash",
        ".js": "node",
        ".mjs": "node",
        ".cjs": "node",
        ".ts": "node",
        ".rb": "ruby",
        ".pl": "perl",
        ".php": "php",
        ".go": "go run",
    }
)
"""File suffix -> the command that runs such a script."""

T = TypeVar("T")


class CodeRuntimes(TypedDict):
    wired: list[str]
    reserved_unwired: list[str]


class Runtimes(TypedDict):
    code: CodeRuntimes
    script_interpreters: dict[str, str]


class Tool(TypedDict):
    """A command on the container's PATH; `type` is the same name."""

    type: str
    name: str


class Container(TypedDict):
    datastores: list[Datastore]
    tools: list[Tool]


def runtimes() -> Runtimes:
    return Runtimes(
        code=CodeRuntimes(wired=list(CODE_WIRED), reserved_unwired=list(CODE_RESERVED)),
        script_interpreters=dict(SCRIPT_INTERPRETERS),
    )


def _readable(parse: Callable[[str], T], text: str | None) -> T | None:
    """A malformed stored text counts as empty instead of failing a read."""
    try:
        return parse(text) if text else None
    except Refusal:
        return None


def container(devcontainer_config: str | None, mise_config: str | None, services_json: str | None) -> Container:
    """Datastores in the declared order, tools by name. Of mise only the JSON form counts (contract)."""
    devcontainer = _readable(parse_devcontainer, devcontainer_config)
    mise = _readable(parse_mise, mise_config) if mise_config and is_json(mise_config) else None
    names = (tool_names(devcontainer) if devcontainer else set()) | set((mise.tools if mise else None) or ())
    return Container(
        datastores=datastores(_readable(parse_services, services_json) or []),
        tools=[Tool(type=name, name=name) for name in sorted(names)],
    )
