"""Texts of tool results."""

import json
from typing import Any


def text_of(content: Any) -> str:
    """The text of a result, or of its blocks as models receive them; blocks of other kinds are named."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_of_block(block) for block in content)
    return "" if content is None else json.dumps(content)


def _of_block(block: Any) -> str:
    if not isinstance(block, dict):
        return str(block)
    return str(block["text"]) if isinstance(block.get("text"), str) else f"[{block.get('type', 'something')}]"
