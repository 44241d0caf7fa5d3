"""What coding agents are told of MCP servers: each in its own form, and no secret in a document or an argument."""

import json
import subprocess
import tomllib
from typing import Any

import pytest

from models.resources.credentials import Credential, CredentialScope, CredentialType
from models.resources.integrations import CredentialPlacement, IntegrationScope, Transport
from models.staff.agents import CliAdapter
from resolvers.resources.integrations.configuration import (
    NO_STREAM,
    NOT_STARTED,
    NOT_TOLD,
    McpConfiguration,
    configuration_of,
    configured,
)
from resolvers.resources.integrations.given import GivenServer, referred_by, servers_of
from resolvers.rules.mcp_references import Filled, arguments_of, filled, names_in, variables_of
from resolvers.rules.mcp_tools import KnownTool
from tests.resources.integrations.test_servers import _nothing_yet, agent_of, bound, crew_of, made  # noqa: F401
from tests.sealing import sealed_before
from tests.world import World

pytestmark = pytest.mark.anyio
SECRET = 'canary "$HOME" `id` {env:HOME} \\ é'
TOLD = (CliAdapter.CLAUDE_CODE, CliAdapter.CODEX_CLI, CliAdapter.GEMINI_CLI, CliAdapter.OPENCODE)


def given(name: str = "harbour", **fields: Any) -> GivenServer:
    usual: dict[str, Any] = {
        "id": f"id-of-{name}", "scope": IntegrationScope.crew, "transport": Transport.streamable_http,
        "endpoint": "https://mcp.example.com/mcp", "command": None, "args_json": None, "env_json": None,
        "cred_type": CredentialPlacement.bearer, "cred_header": None, "env_var_name": None, "credential_id": "c1",
        "sealed": None, "tools": {"drop": KnownTool(False), "speak": KnownTool(True)},
    }  # fmt: skip
    return GivenServer(name=name, **usual | fields)


LOCAL: dict[str, Any] = {
    "transport": Transport.stdio, "endpoint": None, "command": "npx", "env_var_name": "TOKEN",
    "args_json": '["-y", "a server", "--dsn=${DB_DSN}", "$HOME ${ANTHROPIC_API_KEY}"]',
    "env_json": '{"PLAIN": "it\'s $(id)", "OTHER": "Bearer ${DB_DSN}", "BAD NAME": "x"}',
}  # fmt: skip


def told(adapter: CliAdapter, *servers: GivenServer, secret: str | None = "canary-of-the-header") -> McpConfiguration:
    known = {"DB_DSN": "canary-dsn"}
    return configuration_of(adapter, [configured(one, secret, known) for one in servers], stdio=True)


def test_claude_code() -> None:
    made = told(CliAdapter.CLAUDE_CODE, given(), given("local", **LOCAL), given("old one", endpoint="https://a.b/sse"))
    servers = json.loads(made.document)["mcpServers"]
    assert servers["harbour"] == {
        "type": "http", "url": "https://mcp.example.com/mcp", "headers": {"authorization": "${MCP_VALUE_1}"},
    }  # fmt: skip
    assert made.environment["MCP_VALUE_1"] == "Bearer canary-of-the-header"
    assert servers["old_one"]["type"] == "sse"
    local = servers["local"]
    assert (local["type"], local["command"], local["args"][:2]) == ("stdio", "npx", ["-y", "a server"])
    expanded = {name: _expand(text, made) for name, text in local["env"].items()}
    assert expanded["TOKEN"] == "canary-of-the-header"
    assert expanded["OTHER"] == "Bearer canary-dsn"
    assert [_expand(text, made) for text in local["args"][2:]] == ["--dsn=canary-dsn", "$HOME "]
    assert made.arguments == [
        "--strict-mcp-config", "--disallowedTools", "mcp__harbour__drop,mcp__local__drop,mcp__old_one__drop",
    ]  # fmt: skip
    assert made.names == {"harbour": "id-of-harbour", "local": "id-of-local", "old_one": "id-of-old one"}


def _expand(text: str, made: McpConfiguration) -> str:
    """As coding agents do: once, and of the variables they have."""
    variable = text.removeprefix("${").removesuffix("}")
    return made.environment[variable] if text.startswith("${") else text


def test_gemini_cli() -> None:
    made = told(CliAdapter.GEMINI_CLI, given(), given("old", endpoint="https://a.b/sse"), given("local", **LOCAL))
    servers = json.loads(made.document)["mcpServers"]
    assert servers["harbour"] == {
        "httpUrl": "https://mcp.example.com/mcp", "headers": {"authorization": "${MCP_VALUE_1}"},
        "timeout": 60_000, "trust": True, "excludeTools": ["drop"],
    }  # fmt: skip
    assert servers["old"]["url"] == "https://a.b/sse"
    assert _expand(servers["local"]["env"]["PLAIN"], made) == "it's $(id)"


def test_codex_cli() -> None:
    made = told(CliAdapter.CODEX_CLI, given(), given("local", **LOCAL), given("old", endpoint="https://a.b/sse"))
    servers = tomllib.loads(f'model = "x"\n{made.document}')["mcp_servers"]
    assert servers["harbour"] == {
        "url": "https://mcp.example.com/mcp", "env_http_headers": {"authorization": "MCP_VALUE_1"},
        "startup_timeout_sec": 15, "tool_timeout_sec": 60, "disabled_tools": ["drop"],
    }  # fmt: skip
    assert servers == made.settings["mcp_servers"]
    assert made.left_out == {"old": NO_STREAM}


def test_a_shell_gives_a_server_of_codex_what_is_its() -> None:
    arguments = json.dumps(["-c", 'printf "%s|" "$TOKEN" "$OTHER" "$PLAIN" "$1"', "x", "${DB_DSN}'`id`"])
    made = told(CliAdapter.CODEX_CLI, given(**LOCAL | {"command": "bash", "args_json": arguments}), secret=SECRET)
    server = made.settings["mcp_servers"]["harbour"]
    passed = {name: made.environment[name] for name in server["env_vars"]} | {"PATH": "/usr/bin:/bin"}
    ran = subprocess.run([server["command"], *server["args"]], env=passed, capture_output=True, check=True)
    assert ran.stdout.decode() == f"{SECRET}|Bearer canary-dsn|it's $(id)|canary-dsn'`id`|"


def test_opencode() -> None:
    made = told(CliAdapter.OPENCODE, given(), given("local", **LOCAL), secret=SECRET.replace("é", "e"))
    text = made.environment["OPENCODE_CONFIG_CONTENT"]
    assert (made.document, "{env:" in text, "{file:" in text) == ("", False, False)
    settings = json.loads(text)
    assert settings["mcp"]["harbour"]["headers"] == {"authorization": f"Bearer {SECRET.replace('é', 'e')}"}
    local = settings["mcp"]["local"]
    assert (local["type"], local["command"][:3]) == ("local", ["npx", "-y", "a server"])
    assert local["environment"]["OTHER"] == "Bearer canary-dsn"
    assert settings["tools"] == {"harbour_drop": False, "local_drop": False}


@pytest.mark.parametrize("adapter", TOLD)
def test_no_secret_is_in_a_document_or_an_argument(adapter: CliAdapter) -> None:
    made = told(adapter, given(), given("local", **LOCAL), given("basic", cred_type=CredentialPlacement.basic))
    shown = (made.document, made.settings, made.arguments, repr(made), made.names, made.left_out)
    assert "canary" not in str(shown)
    assert "canary" in str(made.environment)
    assert "ANTHROPIC_API_KEY" not in made.document, "a text of a server names no variable of the coding agent"


@pytest.mark.parametrize("adapter", TOLD)
def test_servers_behind_stdio_are_told_of_where_they_may_be_started(adapter: CliAdapter) -> None:
    made = configuration_of(adapter, [configured(given("local", **LOCAL), None, {}), configured(given(), None, {})])
    assert (made.left_out, made.names) == ({"local": NOT_STARTED}, {"harbour": "id-of-harbour"})


def test_names_that_differ_in_nothing_a_coding_agent_sees_are_told_apart() -> None:
    made = told(CliAdapter.CLAUDE_CODE, given("a b"), given("a.b"), given("A_B"), given(""), given("x" * 90))
    assert list(made.names) == ["a_b", "a_b_2", "A_B_3", "_", "x" * 40]


@pytest.mark.parametrize("adapter", [CliAdapter.CURSOR_CLI, CliAdapter.FACTORY_DROID])
def test_others_are_told_of_nothing(adapter: CliAdapter) -> None:
    made = told(adapter, given())
    assert (made.left_out, made.environment, made.document) == ({"harbour": NOT_TOLD}, {}, "")


def test_references() -> None:
    known = {"A": "${B}", "B": "b"}
    assert filled("x${A}y", known) == Filled("x${B}y", secret=True)
    assert filled("${CREWSHIP_X}${NOT_THERE}$B {B}", known | {"CREWSHIP_X": "no"}) == Filled("$B {B}")
    assert list(names_in("${A}", "${JWT_A}${b}")) == ["A", "b"]
    for wrong in (None, "", "nope", "7", '{"a": 1}', '["a", 1]', "[" * 5000):
        assert set(arguments_of(wrong)) <= {"a"}
        assert variables_of(wrong) == {}


async def test_what_references_stand_for(world: World) -> None:
    crew, other = await crew_of(world), await crew_of(world)
    agent, here = await agent_of(world, crew), {"workspace_id": world.workspace.id}
    environment = json.dumps({"A": "${SLACK_BOT_TOKEN}", "B": "${OWN}", "C": "${OTHERS_KEY}", "D": "${GONE}"})
    path = f"/api/v1/crews/{crew.id}/integrations"
    local = await made(world, path, transport="stdio", command="npx", env_json=environment)
    await made(world, path, name="web", env_json='{"X": "${SLACK_BOT_TOKEN}"}')

    async def credential(name: str, value: str, **fields: Any) -> Credential:
        row = Credential(name=name, type=CredentialType.SECRET, **here, **fields)
        row.value = sealed_before(value, table=Credential, column="value", row_id=row.id)
        await world.add(row)
        return row

    await credential("slack-bot-token-1", "older")
    newer = await credential("slack-bot-token-2", "newer")
    own = await credential("anything", "own", scope=CredentialScope.CREW)
    theirs = await credential("others-key", "theirs", scope=CredentialScope.CREW)
    await credential("gone", "gone", status="REVOKED")
    assign = "INSERT INTO agent_credentials (id, workspace_id, agent_id, credential_id, env_var_name, priority)"
    await world.database.execute(f"{assign} VALUES ('ac1', $1, $2, $3, 'OWN', 0)", *here.values(), agent.id, own.id)
    seen = "INSERT INTO credential_crews (id, workspace_id, credential_id, crew_id, position)"
    await world.database.execute(f"{seen} VALUES ('cc1', $1, $2, $3, 0)", here["workspace_id"], theirs.id, other.id)
    found = await referred_by(here["workspace_id"], agent.id, await servers_of(here["workspace_id"], agent.id))
    assert {name: one.value for name, one in found.items()} == {"SLACK_BOT_TOKEN": "newer", "OWN": "own"}
    assert found["SLACK_BOT_TOKEN"].credential_id == newer.id
    await world.database.execute("UPDATE credential_crews SET crew_id = $1", crew.id)
    found = await referred_by(here["workspace_id"], agent.id, await servers_of(here["workspace_id"], agent.id))
    assert found["OTHERS_KEY"].value == "theirs"
    await bound(world, await agent_of(world), local)
    assert await referred_by(here["workspace_id"], agent.id, await servers_of(here["workspace_id"], agent.id)) == {}
