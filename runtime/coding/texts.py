"""Texts and images of tool results."""

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from runtime.coding.events import Pictured

RASTER: Final = ("image/png", "image/jpeg", "image/gif", "image/webp")
LARGEST_IMAGE: Final = 2 << 20  # letters of base64
MOST_IMAGES: Final = 4  # of one result
BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}")


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


def images_of(content: Any, call: str, within: str = "") -> Iterator[Pictured]:
    """The images in a result: raster images that are not too large, as MCP or as the API of Anthropic states them."""
    blocks = content if isinstance(content, list) else ()
    yield from islice(
        (Pictured(call, *found, within) for block in blocks if (found := _image_in(block)) is not None), MOST_IMAGES
    )


def _image_in(block: Any) -> tuple[str, str] | None:
    if not isinstance(block, dict) or block.get("type") != "image":
        return None
    source = block["source"] if isinstance(block.get("source"), dict) else block
    type, data = source.get("media_type") or source.get("mimeType"), source.get("data")
    if type not in RASTER or not isinstance(data, str) or not len(data) <= LARGEST_IMAGE or not BASE64.fullmatch(data):
        return None
    return str(type), data
