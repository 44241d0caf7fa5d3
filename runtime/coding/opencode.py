"""OpenCode: https://opencode.ai/docs/cli"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from models.staff.agents import CliAdapter, LlmProvider, ToolProfile
from runtime.coding.declaration import FILES, CodingAgent, CommandLine, Task
from runtime.coding.events import Answered, Began, Called, Ended, Event, Said
from runtime.coding.texts import text_of

PROVIDER: Final = "crewship"
KEY: Final = "CODING_AGENT_KEY"
PACKAGES: Final = {LlmProvider.ANTHROPIC: "@ai-sdk/anthropic"}
"""The packages for providers; all other providers use OpenAI's Chat Completions."""


def command(task: Task) -> CommandLine:
    # Its folder cannot be written to, or it would install something there.
    path, system = f"{FILES}/opencode/opencode.json", f"{FILES}/system.md"
    # Anthropic's own client puts its version into the address, ours has it in each path.
    address = f"{task.address}/v1" if task.provider is LlmProvider.ANTHROPIC else task.address
    commands = "deny" if task.profile is ToolProfile.MINIMAL else "allow"
    model = f"{PROVIDER}/{task.model}"
    settings = {
        "autoupdate": False,
        "share": "disabled",
        "model": model,
        "small_model": model,
        "instructions": [system],
        "permission": {"edit": "allow", "bash": commands, "webfetch": "allow", "external_directory": "allow"},
        "provider": {
            PROVIDER: {
                "npm": PACKAGES.get(task.provider, "@ai-sdk/openai-compatible"),
                "options": {"baseURL": address, "apiKey": f"{{env:{KEY}}}"},
                "models": {task.model: {}},
            }
        },
    }
    resuming = ["-s", task.session] if task.resumes else ["--title", "Chat"]
    arguments = ("run", "--format", "json", "--thinking", "--pure", "-m", model, *resuming)
    environment = {
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        "XDG_CONFIG_HOME": FILES,
        KEY: task.stand_in,
        **task.mcp.environment,
    }
    files = {path: json.dumps(settings), system: task.system, f"{FILES}/opencode/.gitignore": "*"}
    return CommandLine((*arguments, *task.mcp.arguments), environment, files)


@dataclass(slots=True)
class OpencodeStream:
    """It reports a call when it is answered, and its end by exiting: the last step stops by itself."""

    begun: bool = False
    said: str = ""
    failed: bool = False

    def take(self, told: dict[str, Any]) -> Iterator[Event]:
        if not self.begun and isinstance(told.get("sessionID"), str):
            self.begun = True
            yield Began(told["sessionID"])
        match told.get("type"):
            case "text":
                self.said = told["part"]["text"]
                yield Said("text", self.said)
            case "reasoning":
                yield Said("thinking", told["part"]["text"])
            case "tool_use":
                yield from _call(told["part"])
            case "step_finish":
                if told["part"]["reason"] != "tool-calls" and not self.failed:
                    yield Ended(text=self.said)
            case "error":
                self.failed = True
                error = told["error"]
                yield Ended(error=str((error.get("data") or {}).get("message") or error["name"]))


def _call(part: dict[str, Any]) -> Iterator[Event]:
    state = part["state"]
    yield Called(part["callID"], part["tool"], state.get("input") or {})
    failed = state["status"] == "error"
    said = state.get("error") if failed else state.get("output")
    yield Answered(part["callID"], text_of(said), failed or bool((state.get("metadata") or {}).get("exit")))


OPENCODE: Final = CodingAgent(
    adapter=CliAdapter.OPENCODE,
    name="OpenCode",
    package="opencode-ai",
    version="1.18.33",
    entry="opencode-ai/bin/opencode.exe",
    providers=(LlmProvider.OPENAI, LlmProvider.ANTHROPIC, LlmProvider.OLLAMA),
    command=command,
    reading=OpencodeStream,
)
