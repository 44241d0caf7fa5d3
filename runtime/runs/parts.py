"""From a run's frames to its stored reply: parts, text, and the adapter's own data.

The rules are chats.behaviour 18 and 19, and chats.Message.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from models.bounds import CUT, REPLY, TURN, cut
from models.staff.runs import ChatEventType, SystemEvent
from runtime.runs.storable import size_of

JOINED = (ChatEventType.text, ChatEventType.thinking)
STORED = (*JOINED, ChatEventType.tool_call, ChatEventType.tool_result, ChatEventType.image)
SUMMARY_LINES = 10
MOST_PARTS = TURN // 2  # bytes of JSON: PostgreSQL takes more for the same
SUMMARY_RESULT = 200  # characters of a result
USAGE = ("total_cost_usd", "num_turns", "usage", "model_usage")
"""The fields of a result event that the run's metadata takes unchanged."""


@dataclass(slots=True)
class AgentReply:
    """An agent's reply. `usage` and `model` go into the run's metadata if the adapter named them."""

    content: str = ""
    parts: list[dict[str, Any]] = field(default_factory=list)
    tool_summary: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    model: str | None = None


def fold(events: Iterable[Mapping[str, Any]]) -> AgentReply:
    """`events`: payloads of chat_event frames of one run, in order."""
    reply, texts = AgentReply(), list[str]()
    pieces: list[str] = []  # of the part that is still being joined
    for event in events:
        type, content, metadata = event["type"], event.get("content") or "", event.get("metadata") or {}
        if type == ChatEventType.result:
            reply.usage = {key: metadata[key] for key in USAGE if metadata.get(key) is not None}
        elif type == ChatEventType.system and metadata.get("subtype") == SystemEvent.init:
            reply.model = reply.model or metadata.get("model")
        if type not in STORED or (type in JOINED and not content):
            continue
        if type == ChatEventType.text:
            texts.append(content)
        if type in JOINED and pieces and _joins(reply.parts[-1], type, metadata):
            pieces.append(content)
            continue
        _close(reply.parts, pieces)
        reply.parts.append(_part(type, content, metadata))
        if type in JOINED:
            pieces.append(content)
    _close(reply.parts, pieces)
    reply.content = cut("".join(texts), REPLY)
    reply.parts = _within(reply.parts)
    reply.tool_summary = summary(reply.parts)
    return reply


def _within(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As many of the parts as one message holds, and a mark where there were more."""
    left = MOST_PARTS
    for number, part in enumerate(parts):
        left -= size_of(part)
        if left < 0:
            return [*parts[:number], {"type": ChatEventType.text.value, "content": CUT}]
    return parts


def _joins(last: Mapping[str, Any], type: str, metadata: Mapping[str, Any]) -> bool:
    """Pieces of one kind join; the agent's and a sub-agent's remain separate."""
    return bool(last["type"] == type and last.get("metadata", {}) == _of_a_whole(metadata))


def _close(parts: list[dict[str, Any]], pieces: list[str]) -> None:
    if pieces:
        parts[-1]["content"] = "".join(pieces)
        pieces.clear()


def _of_a_whole(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Removes the mark of a piece, because the stored text is whole."""
    return {key: value for key, value in metadata.items() if key != "streaming"}


def _part(type: str, content: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"type": type, "content": content}
    if type == ChatEventType.tool_call:
        made["tool_name"] = metadata.get("tool_name") or content
    if type in (ChatEventType.tool_call, ChatEventType.tool_result):
        id = metadata.get("tool_id") or metadata.get("tool_use_id")
        made |= {"tool_id": id} if id else {}
    kept = _of_a_whole(metadata)
    return made | ({"metadata": kept} if kept else {})


def summary(parts: Iterable[Mapping[str, Any]]) -> str | None:
    """A line for each tool call and its result; None without tools."""
    lines = []
    for part in parts:
        if part["type"] == ChatEventType.tool_call:
            lines.append(f"[tool: {str(part['tool_name'])[:SUMMARY_RESULT]}]")
        elif part["type"] == ChatEventType.tool_result:
            lines.append(f"[result: {' '.join(part['content'].split())[:SUMMARY_RESULT]}]")
    if len(lines) > SUMMARY_LINES:
        lines[SUMMARY_LINES:] = [f"...and {len(lines) - SUMMARY_LINES} more"]
    return "\n".join(lines) or None
