"""The streams of coding agents as they print them, in the one form that the runner reads."""

from typing import Any

import pytest

from runtime.coding import claude_code, codex_cli, gemini_cli, opencode
from runtime.coding.events import Answered, Began, Called, Ended, Event, Pictured, Said, TriesAgain


def read(reading: Any, *told: dict[str, Any]) -> list[Event]:
    return [event for each in told for event in reading.take(each)]


def item(state: str, **given: Any) -> dict[str, Any]:
    return {"type": f"item.{state}", "item": given}


def test_claude_code_tells_a_message_in_pieces_and_once_more_whole() -> None:
    def piece(**event: Any) -> dict[str, Any]:
        return {"type": "stream_event", "event": event}

    block = {"type": "text", "text": "whole"}
    told = [
        {"type": "system", "subtype": "init", "session_id": "s", "model": "m", "tools": ["Bash"], "mcp_servers": []},
        piece(type="message_start", message={"id": "m1"}),
        piece(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "who"}),
        piece(type="content_block_delta", index=0, delta={"type": "text_delta", "text": "le"}),
        {"type": "assistant", "message": {"id": "m1", "content": [block]}},
        {"type": "assistant", "message": {"id": "m2", "content": [block]}, "parent_tool_use_id": "t0"},
        {"type": "system", "subtype": "thinking_tokens"},
        {"type": "result", "subtype": "success", "is_error": False, "result": "whole"},
    ]
    assert read(claude_code.ClaudeStream(), *told) == [
        Began("s", "m", ("Bash",)),
        Said("text", "who"),
        Said("text", "le"),
        Said("text", "whole", "t0"),
        Ended(text="whole"),
    ]


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ({"subtype": "success", "is_error": True, "result": "API Error: 400"}, "API Error: 400"),
        ({"subtype": "error_during_execution", "is_error": True, "errors": ["a", "b"]}, "a; b"),
        ({"subtype": "error_max_turns", "is_error": False}, "error max turns"),
    ],
)
def test_claude_code_fails_by_its_mark_and_not_by_the_subtype(result: dict[str, Any], error: str) -> None:
    assert read(claude_code.ClaudeStream(), {"type": "result", **result}) == [Ended(error=error)]


def test_codex_tells_of_items() -> None:
    command = {"id": "i2", "type": "command_execution", "command": "ls"}
    call = {"id": "i4", "type": "mcp_tool_call", "server": "ech", "tool": "echo", "arguments": {"a": 1}}
    change = {"id": "i3", "type": "file_change", "changes": [{"path": "a.py", "kind": "add"}], "status": "completed"}
    told = [
        {"type": "thread.started", "thread_id": "t"},
        {"type": "turn.started"},
        item("completed", id="i0", type="reasoning", text="hm"),
        item("started", **command, status="in_progress"),
        item("completed", **command, aggregated_output="no\n", exit_code=2, status="failed"),
        item("completed", **change),
        item("started", **call),
        item("completed", **call, result={"content": [{"type": "text", "text": "1"}]}, error=None, status="completed"),
        {"type": "error", "message": "Reconnecting... 1/5"},
        item("completed", id="i5", type="error", message="a warning"),
        item("completed", id="i6", type="agent_message", text="Done."),
        {"type": "turn.completed", "usage": {"input_tokens": 2400}},
    ]
    assert read(codex_cli.CodexStream(), *told) == [
        Began("t"),
        Said("thinking", "hm"),
        Called("i2", "shell", {"command": "ls"}),
        Answered("i2", "no\n", is_error=True),
        Called("i3", "apply_patch", {"changes": [{"path": "a.py", "kind": "add"}]}),
        Answered("i3", "add a.py"),
        Called("i4", "mcp__ech__echo", {"a": 1}),
        Answered("i4", "1"),
        TriesAgain({"error": "Reconnecting... 1/5"}),
        Said("text", "Done."),
        Ended(text="Done."),
    ]
    assert read(codex_cli.CodexStream(), {"type": "turn.failed", "error": {"message": "no"}}) == [Ended(error="no")]


def test_gemini_tells_text_in_pieces() -> None:
    told = [
        {"type": "init", "session_id": "s", "model": "g"},
        {"type": "message", "role": "user", "content": "hello"},
        {"type": "message", "role": "assistant", "content": "I ", "delta": True},
        {"type": "tool_use", "tool_name": "run_shell_command", "tool_id": "t", "parameters": {"command": "ls"}},
        {"type": "tool_result", "tool_id": "t", "status": "error", "error": {"message": "denied"}},
        {"type": "message", "role": "assistant", "content": "Do", "delta": True},
        {"type": "message", "role": "assistant", "content": "ne", "delta": True},
        {"type": "result", "status": "success", "stats": {}},
    ]
    assert read(gemini_cli.GeminiStream(), *told) == [
        Began("s", "g"),
        Said("text", "I "),
        Called("t", "run_shell_command", {"command": "ls"}),
        Answered("t", "denied", is_error=True),
        Said("text", "Do"),
        Said("text", "ne"),
        Ended(text="Done"),
    ]
    failed = {"type": "result", "status": "error", "error": {"type": "x", "message": "over"}}
    assert read(gemini_cli.GeminiStream(), failed) == [Ended(error="over")]


def test_opencode_ends_with_the_step_that_calls_nothing() -> None:
    def told(type: str, **part: Any) -> dict[str, Any]:
        return {"type": type, "sessionID": "ses_1", "part": part}

    state = {"status": "completed", "input": {"command": "ls"}, "output": "x", "metadata": {"exit": 2}}
    stream = [
        told("step_start"),
        told("reasoning", text="hm"),
        told("tool_use", tool="bash", callID="c", state=state),
        told("step_finish", reason="tool-calls"),
        told("text", text="Done."),
        told("step_finish", reason="stop"),
    ]
    assert read(opencode.OpencodeStream(), *stream) == [
        Began("ses_1"),
        Said("thinking", "hm"),
        Called("c", "bash", {"command": "ls"}),
        Answered("c", "x", is_error=True),
        Said("text", "Done."),
        Ended(text="Done."),
    ]
    error = {"type": "error", "sessionID": "ses_1", "error": {"name": "APIError", "data": {"message": "no"}}}
    assert read(opencode.OpencodeStream(), error, told("step_finish", reason="stop")) == [
        Began("ses_1"),
        Ended(error="no"),
    ]


def test_raster_images_of_results_are_told_and_no_others() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    blocks: list[Any] = [
        {"type": "text", "text": "A chart"},
        {"type": "image", "source": source},
        {"type": "image", "data": "R0lGODdh", "mimeType": "image/gif"},
        {"type": "image", "data": "PHN2Zz4=", "mimeType": "image/svg+xml"},
        {"type": "image", "data": 'x" onerror="', "mimeType": "image/png"},
        {"type": "image", "data": "A" * ((2 << 20) + 1), "mimeType": "image/png"},
        {"type": "image", "source": {"type": "url", "url": "http://127.0.0.1/x.png"}},
        {"type": "image", "data": 7, "mimeType": ["image/png"]},
        *[{"type": "image", "data": "R0lGODdh", "mimeType": "image/gif"}] * 9,
    ]
    result = {"type": "tool_result", "tool_use_id": "t1", "content": blocks}
    told = {"type": "user", "message": {"content": [result]}}
    answered, *images = read(claude_code.ClaudeStream(), told)
    assert isinstance(answered, Answered)
    assert answered.content.startswith("A chart\n[image]")
    gif = Pictured("t1", "image/gif", "R0lGODdh")
    assert images == [Pictured("t1", "image/png", "iVBORw0KGgo="), gif, gif, gif]
    call = {"id": "i1", "type": "mcp_tool_call", "server": "s", "tool": "t", "result": {"content": blocks[:2]}}
    assert read(codex_cli.CodexStream(), item("completed", **call))[2:] == [Pictured("i1", "image/png", "iVBORw0KGgo=")]
