"""Claude Code: https://docs.claude.com/en/docs/claude-code/headless"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from models.staff.agents import CliAdapter, LlmProvider, ToolProfile
from runtime.coding.declaration import FILES, CodingAgent, CommandLine, Task
from runtime.coding.events import Answered, Began, Called, Ended, Event, Said, TriesAgain
from runtime.coding.texts import images_of, text_of

COMMANDS: Final = "Bash,BashOutput,KillShell"
RETRIES: Final = "4"


def command(task: Task) -> CommandLine:
    configuration = f"{FILES}/mcp.json"
    system = f"{FILES}/system.md"
    arguments = ["-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages"]
    # No user would see its questions, and the sandbox decides what it may do.
    arguments += ["--dangerously-skip-permissions", "--model", task.model]
    arguments += ["--append-system-prompt-file", system]
    arguments += ["--resume" if task.resumes else "--session-id", task.session]
    arguments += ["--disallowedTools", COMMANDS] if task.profile is ToolProfile.MINIMAL else []
    arguments += ["--mcp-config", configuration, *task.mcp.arguments] if task.mcp.document else ["--strict-mcp-config"]
    environment = {
        "ANTHROPIC_BASE_URL": task.address,
        "CLAUDE_CODE_OAUTH_TOKEN" if task.of_login else "ANTHROPIC_API_KEY": task.stand_in,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": RETRIES,
        "DISABLE_AUTOUPDATER": "1",
        **task.mcp.environment,
    }
    files = {system: task.system} | ({configuration: task.mcp.document} if task.mcp.document else {})
    return CommandLine(tuple(arguments), environment, files)


@dataclass(slots=True)
class ClaudeStream:
    """A message comes in pieces, and then once more whole, a block at a time: `pieces` are those that have come so."""

    message: str = ""
    pieces: set[tuple[str, str]] = field(default_factory=set)

    def take(self, told: dict[str, Any]) -> Iterator[Event]:
        match told.get("type"), told.get("subtype"):
            case "system", "init":
                yield Began(
                    told["session_id"], told["model"], tuple(told.get("tools", ())), tuple(told.get("mcp_servers", ())),
                    *[str(told.get(key) or "") for key in ("claude_code_version", "apiKeySource", "permissionMode")],
                )  # fmt: skip
            case "system", "api_retry":
                yield TriesAgain({key: value for key, value in told.items() if key not in ("type", "session_id")})
            case "stream_event", _:
                yield from self._piece(told["event"], told.get("parent_tool_use_id") or "")
            case "assistant", _:
                yield from self._blocks(told["message"], told.get("parent_tool_use_id") or "")
            case "user", _:
                yield from self._answers(told["message"]["content"], told.get("parent_tool_use_id") or "")
            case "result", _:
                yield self._end(told)

    def _piece(self, event: dict[str, Any], within: str) -> Iterator[Event]:
        if event["type"] == "message_start":
            self.message = event["message"]["id"]
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            for kind in ("text", "thinking"):
                if delta["type"] == f"{kind}_delta" and delta[kind]:
                    self.pieces.add((self.message, kind))
                    yield Said(kind, delta[kind], within)

    def _blocks(self, message: dict[str, Any], within: str) -> Iterator[Event]:
        for block in message["content"]:
            kind = block["type"]
            if kind == "tool_use":
                yield Called(block["id"], block["name"], block["input"], within)
            elif kind in ("text", "thinking") and (message["id"], kind) not in self.pieces:
                yield Said(kind, block[kind], within)

    def _answers(self, content: Any, within: str) -> Iterator[Event]:
        for block in content if isinstance(content, list) else ():
            if block["type"] == "tool_result":
                said = text_of(block.get("content"))
                yield Answered(block["tool_use_id"], said, bool(block.get("is_error")), within)
                yield from images_of(block.get("content"), block["tool_use_id"], within)

    def _end(self, told: dict[str, Any]) -> Ended:
        """Only `is_error` is reliable: the subtype of a failed model call is `success`."""
        denials = tuple(
            [(denial["tool_name"], denial["tool_use_id"]) for denial in told.get("permission_denials") or ()]
        )
        if told["subtype"] == "success" and not told["is_error"]:
            return Ended(text=told.get("result") or "", denials=denials)
        said = told.get("result") or "; ".join(map(str, told.get("errors") or ())) or told["subtype"].replace("_", " ")
        return Ended(error=said, denials=denials)


CLAUDE_CODE: Final = CodingAgent(
    adapter=CliAdapter.CLAUDE_CODE,
    name="Claude Code",
    package="@anthropic-ai/claude-code",
    version="2.1.332",
    entry="@anthropic-ai/claude-code/bin/claude.exe",
    providers=(LlmProvider.ANTHROPIC,),
    command=command,
    reading=ClaudeStream,
    takes_login=True,
)
