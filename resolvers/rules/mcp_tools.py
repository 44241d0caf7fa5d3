"""Which tools of an MCP server a model may be shown, and under which name: nothing of a server is taken on trust."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from models.bounds import LINE
from resolvers.rules.content_scan import scan

MOST_TOOLS: Final = 128
"""The most tools of one server; models choose badly among more."""
LONGEST_DESCRIPTION: Final = 2_000
LARGEST_SCHEMA: Final = 16 << 10
DEEPEST_SCHEMA: Final = 16
LONGEST_NAME: Final = 64
"""The longest name of a tool, as the APIs of models accept it."""
WITHHELD: Final = "(The description is withheld: it looked like an attempt to give the agent instructions.)"
UNNAMEABLE = re.compile(r"[^A-Za-z0-9_-]")


class Definition(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def schema(self) -> dict[str, Any]: ...
    @property
    def fingerprint(self) -> str: ...


@dataclass(frozen=True, slots=True)
class KnownTool:
    """A workspace's settings of a tool. `fingerprint`: of the definition that a user has reviewed."""

    enabled: bool = True
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class ShownTool:
    """`shown` is the model's name of the tool; `name` the server's."""

    shown: str
    name: str
    description: str
    schema: dict[str, Any]


def shown_name(server: str, tool: str) -> str:
    """`mcp__<server>__<tool>`, as coding agents call them, of letters that every model's API takes."""
    return f"mcp__{UNNAMEABLE.sub('_', server)[:20]}__{UNNAMEABLE.sub('_', tool)}"[:LONGEST_NAME]


def shown_tools(
    server: str, offered: Iterable[Definition], known: Mapping[str, KnownTool]
) -> tuple[list[ShownTool], dict[str, str]]:
    """Tools in the order of their names, and of those that are left out why. Names that differ in nothing but the case
    of their letters, or in signs that a model does not see, are one: the first has it.
    """
    kept, left_out, taken = list[ShownTool](), dict[str, str](), set[str]()
    for tool in sorted(offered, key=lambda tool: tool.name):
        name = shown_name(server, tool.name)
        fault = _fault(tool, known.get(tool.name, KnownTool()))
        if fault is None and name.casefold() in taken:
            fault = "another tool has this name"
        if fault is None and len(kept) >= MOST_TOOLS:
            fault = f"the server has more than {MOST_TOOLS} tools"
        if fault is not None:
            left_out[tool.name[:LINE]] = fault
            continue
        taken.add(name.casefold())
        kept.append(ShownTool(name, tool.name, _described(server, tool.description), tool.schema))
    return kept, left_out


def _fault(tool: Definition, known: KnownTool) -> str | None:
    if not known.enabled:
        return "it is disabled"
    if not 0 < len(tool.name) <= LINE or not tool.name.isprintable():
        return "its name is invalid"
    if known.fingerprint is not None and known.fingerprint != tool.fingerprint:
        return "its definition has changed since the last refresh"
    return _schema_fault(tool.schema)


def _schema_fault(schema: Any) -> str | None:
    try:
        size = len(orjson.dumps(schema))
    except (TypeError, ValueError, RecursionError):
        return "its schema is invalid"
    if size > LARGEST_SCHEMA:
        return f"its schema has more than {LARGEST_SCHEMA} bytes"
    if not _is_schema(schema):
        return "its schema is invalid"
    found = scan(orjson.dumps(schema).decode())
    return None if found is None else "its schema looks like an attempt to give the agent instructions"


def _is_schema(schema: Any) -> bool:
    """Returns true if the schema is of an object, simple enough for the APIs of models, and refers only to itself."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return False
    properties, required = schema.get("properties", {}), schema.get("required", [])
    fits = isinstance(properties, dict) and all(isinstance(value, (dict, bool)) for value in properties.values())
    return (
        fits
        and isinstance(required, list)
        and all(isinstance(name, str) for name in required)
        and _is_shallow(schema, DEEPEST_SCHEMA)
    )


def _is_shallow(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            return False
        return depth > 0 and all(_is_shallow(each, depth - 1) for each in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_is_shallow(each, depth - 1) for each in value)
    return True


def _described(server: str, text: str) -> str:
    """Its beginning, marked with whose words it is."""
    plain = "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)
    told = WITHHELD if text and scan(text) is not None else plain[:LONGEST_DESCRIPTION]
    return f"[Of the MCP server {UNNAMEABLE.sub('_', server)[:LONGEST_NAME]}] {told}".rstrip()
