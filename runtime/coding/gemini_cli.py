"""Gemini CLI: https://github.com/google-gemini/gemini-cli"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from models.staff.agents import CliAdapter, LlmProvider, ToolProfile
from resolvers.rules.agent_folders import HOME
from runtime.coding.declaration import FILES, CodingAgent, CommandLine, Task
from runtime.coding.events import Answered, Began, Called, Ended, Event, Said
from runtime.coding.texts import text_of

COMMANDS: Final = ("run_shell_command",)
ATTEMPTS: Final = 4
FOLDER: Final = f"{HOME}/.gemini"
"""In other folders it accepts settings only from root, who does not exist in the sandbox."""


def command(task: Task) -> CommandLine:
    """Its own prompt would be replaced by another one: ours goes before the first message, and stays in the session."""
    settings: dict[str, Any] = {
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "privacy": {"usageStatisticsEnabled": False},
        "telemetry": {"enabled": False},
        "general": {"enableAutoUpdate": False, "maxAttempts": ATTEMPTS},
        "tools": {"exclude": list(COMMANDS) if task.profile is ToolProfile.MINIMAL else []},
        **task.mcp.settings,
    }
    path = f"{FILES}/settings.json"
    environment = {
        "GOOGLE_GEMINI_BASE_URL": task.address,
        "GEMINI_API_KEY": task.stand_in,
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        "GEMINI_CLI_NO_RELAUNCH": "true",
        **task.mcp.environment,
    }
    session = ("--resume" if task.resumes else "--session-id", task.session)
    return CommandLine(
        ("-o", "stream-json", "-m", task.model, "-y", *session, *task.mcp.arguments),
        environment,
        {path: json.dumps(settings)},
        task.prompt if task.resumes else f"{task.system}\n\n{task.prompt}",
        f"mkdir -p {FOLDER} && rm -rf {FOLDER}/settings.json && cp {path} {FOLDER}/settings.json",
    )


@dataclass(slots=True)
class GeminiStream:
    """Texts arrive in pieces. Its thinking is not part of the stream."""

    said: str = ""

    def take(self, told: dict[str, Any]) -> Iterator[Event]:
        match told.get("type"):
            case "init":
                yield Began(told["session_id"], told["model"])
            case "message":
                if told["role"] == "assistant":
                    self.said += told["content"]
                    yield Said("text", told["content"])
            case "tool_use":
                self.said = ""
                yield Called(told["tool_id"], told["tool_name"], told.get("parameters") or {})
            case "tool_result":
                failed = told["status"] == "error"
                error = (told.get("error") or {}).get("message")
                yield Answered(told["tool_id"], text_of(told.get("output")) or str(error or ""), failed)
            case "result":
                error = told.get("error") or {}
                failed = told["status"] == "error"
                yield Ended(str(error.get("message") or "it failed")) if failed else Ended(text=self.said)


GEMINI_CLI: Final = CodingAgent(
    adapter=CliAdapter.GEMINI_CLI,
    name="Gemini CLI",
    package="@google/gemini-cli",
    version="0.61.0",
    entry="@google/gemini-cli/bundle/gemini.js",
    providers=(LlmProvider.GOOGLE,),
    command=command,
    reading=GeminiStream,
    needs_node=True,
)
