"""What tools say, as text."""

import json
from typing import Any


def text_of(content: Any) -> str:
    """Of a text, or of blocks as models are given them; what is no text is named."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_of_block(block) for block in content)
    return "" if content is None else json.dumps(content)


def _of_block(block: Any) -> str:
    if not isinstance(block, dict):
        return str(block)
    return str(block["text"]) if isinstance(block.get("text"), str) else f"[{block.get('type', 'something')}]"
