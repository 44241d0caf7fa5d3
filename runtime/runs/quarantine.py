"""Withholds tool results that contain instructions, from the agent and from readers (contract: chats.behaviour 16)."""

from collections.abc import Callable
from typing import Any, Protocol

NOTICE = (
    "[Blocked: the result of this tool looked like an attempt to give the agent instructions"
    " ({category}). It is not shown.]"
)


class Finding(Protocol):
    @property
    def category(self) -> str: ...

    @property
    def pattern(self) -> str: ...


Scan = Callable[[str], Finding | None]


def quarantine(content: str, metadata: dict[str, Any], scan: Scan) -> tuple[str, dict[str, Any]]:
    """Content and metadata of a tool_result as they may be shown. An already blocked one is unchanged."""
    found = None if metadata.get("scan_quarantined") is True else scan(content)
    if found is None:
        return content, metadata
    category, pattern = str(found.category), str(found.pattern)
    return NOTICE.format(category=category), {
        **metadata,
        "scan_quarantined": True,
        "scan_category": category,
        "scan_pattern": pattern,
    }
