"""The configuration of a run's MCP servers, for each coding agent.

No document and no argument contains a secret, because both end up in files and process lists. A header or variable with
a secret refers to the environment of the coding agent, which is the run's own. So does a text that the coding agent
would expand itself: text in a server's settings cannot name its variables.
"""

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from models.resources.integrations import CredentialPlacement, Transport
from models.staff.agents import CliAdapter
from resolvers.resources.integrations.given import GivenServer
from resolvers.rules.mcp_credentials import headers_with
from resolvers.rules.mcp_references import Filled, arguments_of, filled, variables_of

LONGEST_NAME: Final = 40
STARTING, CALLING = 15, 60  # seconds: to list tools, and to call one
VARIABLE: Final = "MCP_VALUE_{}"
SHELL_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
UNNAMEABLE: Final = re.compile(r"[^A-Za-z0-9_-]")
NOT_STARTED: Final = "stdio servers are not started"
NO_PLACE: Final = "it has neither an endpoint nor a command"
NOT_TOLD: Final = "this coding agent has no MCP configuration"
NO_STREAM: Final = "the coding agent does not support server-sent events"


@dataclass(frozen=True, slots=True)
class ConfiguredServer:
    """A server with everything filled in; `switched_off` are its tools that the agent may not call."""

    id: str
    name: str
    transport: Transport
    endpoint: str
    headers: Mapping[str, str] = field(repr=False)
    command: str
    arguments: tuple[Filled, ...]
    variables: Mapping[str, Filled]
    switched_off: tuple[str, ...]

    @property
    def streams(self) -> bool:
        """True if the server speaks the older transport, server-sent events."""
        return urlsplit(self.endpoint).path.rstrip("/").endswith("/sse")


@dataclass(slots=True)
class McpConfiguration:
    """`settings` belong to the configuration of the coding agent, `document` is the same as a file in its own format,
    `environment` and `arguments` are added to its call. `names`: the coding agent's name of a server -> the server's
    id; `left_out`: a server's name -> the reason. `secrets`: filled-in values beside the bindings' own; no frame shows
    them.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    document: str = ""
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    arguments: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list, repr=False)

    def put(self, text: str) -> str:
        """The name of a variable that has this text."""
        name = VARIABLE.format(len(self.environment) + 1)
        self.environment[name] = text
        return name


def configured(given: GivenServer, secret: str | None, values: Mapping[str, str]) -> ConfiguredServer:
    """`secret`: of the binding. `values`: of the credentials that the server's texts refer to, by their names."""
    local = given.transport is Transport.stdio
    placement = given.cred_type or CredentialPlacement.bearer
    variables = {name: filled(text, values) for name, text in variables_of(given.env_json).items()}
    if local and secret is not None and given.env_var_name:
        variables[given.env_var_name] = Filled(secret, secret=True)
    return ConfiguredServer(
        id=given.id,
        name=given.name,
        transport=given.transport,
        endpoint="" if local else given.endpoint or "",
        headers={} if local else headers_with(placement, given.cred_header, secret),
        command=given.command or "" if local else "",
        arguments=tuple(filled(text, values) for text in arguments_of(given.args_json)) if local else (),
        variables=variables if local else {},
        switched_off=tuple(sorted(name for name, tool in given.tools.items() if not tool.enabled)),
    )


def configuration_of(
    adapter: CliAdapter, servers: Sequence[ConfiguredServer], *, stdio: bool = False
) -> McpConfiguration:
    """The configuration of the servers for a coding agent. `stdio`: stdio servers may be started in its sandbox."""
    made, kept, make = McpConfiguration(), dict[str, ConfiguredServer](), WRITERS.get(adapter)
    for server in servers:
        why = _fault(adapter, server, stdio)
        if why is not None:
            made.left_out[server.name] = why
            continue
        kept[_name_of(server.name, kept)] = server
    made.names = {name: server.id for name, server in kept.items()}
    if make is not None:
        make(made, kept)
    return made


def command_of(server: ConfiguredServer) -> tuple[tuple[str, ...], dict[str, str]]:
    """The command of a stdio server, and the environment with its secrets: process lists do not show variables."""
    made = McpConfiguration()
    script = _script(made, server)
    return ("/bin/sh", "-c", script), made.environment


def _fault(adapter: CliAdapter, server: ConfiguredServer, stdio: bool) -> str | None:
    if adapter not in WRITERS:
        return NOT_TOLD
    if adapter is CliAdapter.CODEX_CLI and server.streams:
        return NO_STREAM
    if server.transport is Transport.stdio and not stdio:
        return NOT_STARTED
    return None if server.endpoint or server.command else NO_PLACE


def _name_of(name: str, taken: Iterable[str]) -> str:
    """A name of letters that every coding agent accepts; no two names differ only in case."""
    plain = (UNNAMEABLE.sub("_", name) or "_")[:LONGEST_NAME]
    lower, made, number = {one.casefold() for one in taken}, plain, 1
    while made.casefold() in lower:
        number += 1
        made = f"{plain[:LONGEST_NAME]}_{number}"
    return made


def _expanding(made: McpConfiguration, mark: str) -> Callable[[str, bool], str]:
    """Makes a text safe for settings that a coding agent expands: a text that contains the agent's mark becomes a
    variable.
    """
    return lambda text, secret: f"${{{made.put(text)}}}" if secret or mark in text else text


def _texts(server: ConfiguredServer, told: Callable[[str, bool], str]) -> tuple[list[str], dict[str, str]]:
    arguments = [told(one.text, one.secret) for one in server.arguments]
    return arguments, {name: told(one.text, one.secret) for name, one in server.variables.items()}


def _claude_code(made: McpConfiguration, servers: Mapping[str, ConfiguredServer]) -> None:
    """`--mcp-config FILE --strict-mcp-config`, with the document as the file."""
    told, described = _expanding(made, "$"), dict[str, Any]()
    for name, server in servers.items():
        if server.command:
            arguments, variables = _texts(server, told)
            described[name] = {"type": "stdio", "command": told(server.command, False), "args": arguments}
            described[name] |= {"env": variables}
        else:
            headers = {header: told(value, True) for header, value in server.headers.items()}
            kind = "sse" if server.streams else "http"
            described[name] = {"type": kind, "url": told(server.endpoint, False), "headers": headers}
    _written(made, {"mcpServers": described})
    off = [f"mcp__{name}__{_plain(tool)}" for name, server in servers.items() for tool in server.switched_off]
    made.arguments = ["--strict-mcp-config", *(["--disallowedTools", ",".join(off)] if off else [])]
    made.environment |= {"MCP_TIMEOUT": f"{STARTING}000", "MCP_TOOL_TIMEOUT": f"{CALLING}000"}


def _gemini_cli(made: McpConfiguration, servers: Mapping[str, ConfiguredServer]) -> None:
    """The settings are a part of `.gemini/settings.json`."""
    told, described = _expanding(made, "$"), dict[str, Any]()
    for name, server in servers.items():
        if server.command:
            arguments, variables = _texts(server, told)
            described[name] = {"command": told(server.command, False), "args": arguments, "env": variables}
        else:
            headers = {header: told(value, True) for header, value in server.headers.items()}
            place = "url" if server.streams else "httpUrl"
            described[name] = {place: told(server.endpoint, False), "headers": headers}
        described[name] |= {"timeout": CALLING * 1000, "trust": True, "excludeTools": list(server.switched_off)}
    _written(made, {"mcpServers": described})


def _opencode(made: McpConfiguration, servers: Mapping[str, ConfiguredServer]) -> None:
    """Uses OPENCODE_CONFIG_CONTENT alone, which is merged into the file of OPENCODE_CONFIG and may contain secrets. Its
    texts have no braces, so that the coding agent expands no `{env:…}` or `{file:…}`.
    """
    described = dict[str, Any]()
    for name, server in servers.items():
        if server.command:
            arguments, variables = _texts(server, lambda text, _: text)
            described[name] = {"type": "local", "command": [server.command, *arguments], "environment": variables}
        else:
            described[name] = {"type": "remote", "url": server.endpoint, "headers": dict(server.headers)}
            described[name] |= {"oauth": False}
        described[name] |= {"enabled": True, "timeout": STARTING * 1000}
    off = {f"{name}_{_plain(tool)}": False for name, server in servers.items() for tool in server.switched_off}
    made.environment["OPENCODE_CONFIG_CONTENT"] = _without_braces({"mcp": described, "tools": off})


def _codex_cli(made: McpConfiguration, servers: Mapping[str, ConfiguredServer]) -> None:
    """The document is a part of `config.toml`, behind its top-level keys. Codex hands on variables under the name that
    they have, so that a shell gives them the server's.
    """
    described = dict[str, Any]()
    for name, server in servers.items():
        if server.command:
            known = len(made.environment)
            script = _script(made, server)
            passed = list(made.environment)[known:]
            described[name] = {"command": "sh", "args": ["-c", script], "env_vars": passed}
        else:
            headers = {header: made.put(value) for header, value in server.headers.items()}
            described[name] = {"url": server.endpoint} | ({"env_http_headers": headers} if headers else {})
        described[name] |= {"startup_timeout_sec": STARTING, "tool_timeout_sec": CALLING}
        described[name] |= {"disabled_tools": list(server.switched_off)} if server.switched_off else {}
    made.settings = {"mcp_servers": described}
    made.document = _toml(described)


def _script(made: McpConfiguration, server: ConfiguredServer) -> str:
    def word(one: Filled) -> str:
        return f'"${made.put(one.text)}"' if one.secret else shlex.quote(one.text)

    variables = [f"export {name}={word(one)}; " for name, one in server.variables.items() if SHELL_NAME.fullmatch(name)]
    return "".join(variables) + " ".join(["exec", shlex.quote(server.command), *map(word, server.arguments)])


def _written(made: McpConfiguration, settings: dict[str, Any]) -> None:
    made.settings, made.document = settings, json.dumps(settings, indent=2) + "\n"


def _plain(tool: str) -> str:
    return UNNAMEABLE.sub("_", tool)


def _without_braces(value: Any) -> str:
    """JSON, whose texts are the same when they are read."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_without_braces(key)}:{_without_braces(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_without_braces, value)) + "]"
    return json.dumps(value).replace("{", "\\u007b").replace("}", "\\u007d")


def _toml(servers: Mapping[str, Mapping[str, Any]]) -> str:
    """JSON's texts, numbers and lists of texts are TOML's, too."""
    lines = list[str]()
    for name, server in servers.items():
        lines.append(f"[mcp_servers.{name}]")
        for key, value in server.items():
            if isinstance(value, dict):
                inner = ", ".join(f"{_basic(header)} = {_basic(variable)}" for header, variable in value.items())
                lines.append(f"{key} = {{ {inner} }}")
            else:
                lines.append(f"{key} = {_basic(value)}")
        lines.append("")
    return "\n".join(lines)


def _basic(value: Any) -> str:
    return json.dumps(value).replace("\x7f", "\\u007f")


WRITERS: Final[Mapping[CliAdapter, Callable[[McpConfiguration, Mapping[str, ConfiguredServer]], None]]] = {
    CliAdapter.CLAUDE_CODE: _claude_code,
    CliAdapter.GEMINI_CLI: _gemini_cli,
    CliAdapter.OPENCODE: _opencode,
    CliAdapter.CODEX_CLI: _codex_cli,
}
