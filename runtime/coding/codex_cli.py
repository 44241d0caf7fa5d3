"""Codex: https://github.com/openai/codex"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from models.staff.agents import CliAdapter, LlmProvider, ToolProfile
from runtime.coding.declaration import CodingAgent, CommandLine, Task
from runtime.coding.events import Answered, Began, Called, Ended, Event, Said, TriesAgain
from runtime.coding.texts import images_of, text_of

CONFIGURATION: Final = "/etc/codex/config.toml"
"""The system-wide configuration, which precedes the one in the home."""
KEY: Final = "CODING_AGENT_KEY"
RETRIES: Final = 4
COMMANDS: Final = ("shell_tool", "unified_exec")


def command(task: Task) -> CommandLine:
    resuming = ["resume", task.session] if task.resumes else []
    # Its own sandbox and its questions are off: it is in a sandbox, and no user would answer.
    arguments = ["exec", *resuming, "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    arguments += ["-m", task.model, "--disable", "plugins"]
    if task.profile is ToolProfile.MINIMAL:
        arguments += [part for feature in COMMANDS for part in ("--disable", feature)]
    settings: dict[str, str | int | bool] = {
        "model_provider": "crewship",
        "developer_instructions": task.system,
        "check_for_update_on_startup": False,
        "analytics.enabled": False,
        "model_providers.crewship.name": "crewship",
        "model_providers.crewship.base_url": task.address,
        "model_providers.crewship.env_key": KEY,
        "model_providers.crewship.wire_api": "responses",
        "model_providers.crewship.request_max_retries": RETRIES,
        "model_providers.crewship.stream_max_retries": RETRIES,
    }
    lines = [f"{name} = {_toml(value)}" for name, value in settings.items()]
    configuration = "\n".join([*lines, "", task.mcp.document])
    return CommandLine(
        (*arguments, *task.mcp.arguments, "-"),
        {KEY: task.stand_in, **task.mcp.environment},
        {CONFIGURATION: configuration},
    )


def _toml(value: str | int | bool) -> str:
    """A value in TOML. JSON and TOML differ in one character of texts."""
    return json.dumps(value).replace("\x7f", "\\u007f")


@dataclass(slots=True)
class CodexStream:
    """Texts arrive whole. The kind of an item identifies its call."""

    called: set[str] = field(default_factory=set)
    said: str = ""
    fault: str = ""

    def take(self, told: dict[str, Any]) -> Iterator[Event]:
        match told.get("type"):
            case "thread.started":
                yield Began(told["thread_id"])
            case "item.started" | "item.updated":
                yield from self._call(told["item"])
            case "item.completed":
                yield from self._item(told["item"])
            case "error":
                self.fault = str(told["message"])
                yield TriesAgain({"error": self.fault})
            case "turn.failed":
                yield Ended(error=str(told["error"]["message"]))
            case "turn.completed":
                yield Ended(text=self.said)

    def _item(self, item: dict[str, Any]) -> Iterator[Event]:
        kind = item["type"]
        if kind == "agent_message":
            self.said = item["text"]
            yield Said("text", item["text"])
        elif kind == "reasoning":
            yield Said("thinking", item["text"])
        else:
            yield from self._call(item)
            if item["id"] in self.called:
                yield Answered(item["id"], *_answer(item))
                yield from images_of((item.get("result") or {}).get("content"), item["id"])

    def _call(self, item: dict[str, Any]) -> Iterator[Event]:
        if item["id"] in self.called:
            return
        match item["type"]:
            case "command_execution":
                call = Called(item["id"], "shell", {"command": item["command"]})
            case "file_change":
                call = Called(item["id"], "apply_patch", {"changes": item["changes"]})
            case "mcp_tool_call":
                call = Called(item["id"], f"mcp__{item['server']}__{item['tool']}", item.get("arguments") or {})
            case "web_search":
                call = Called(item["id"], "web_search", {"query": item.get("query", "")})
            case _:
                return
        self.called.add(item["id"])
        yield call


def _answer(item: dict[str, Any]) -> tuple[str, bool]:
    failed = item.get("status") == "failed"
    match item["type"]:
        case "command_execution":
            return item.get("aggregated_output") or "", failed or bool(item.get("exit_code"))
        case "mcp_tool_call":
            if item.get("error"):
                return str(item["error"]["message"]), True
            return text_of((item.get("result") or {}).get("content")), failed
        case "file_change":
            return "\n".join(f"{one['kind']} {one['path']}" for one in item["changes"]), failed
    return "", failed


CODEX_CLI: Final = CodingAgent(
    adapter=CliAdapter.CODEX_CLI,
    name="Codex",
    package="@openai/codex",
    version="0.169.0",
    entry="@openai/codex-linux-{npm}/vendor/{machine}-unknown-linux-musl/bin/codex",
    providers=(LlmProvider.OPENAI,),
    command=command,
    reading=CodexStream,
)
