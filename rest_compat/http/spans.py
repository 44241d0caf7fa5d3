"""The text of a value inside a JSON body, as it was sent: a hash of its bytes is the client's, too."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from rest_compat.http.dispatch import body_of
from rest_compat.http.table import Reading, Request

_BLANKS: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder()


def with_text(*path: str) -> Reading:
    """Reads a JSON body whose value at this path becomes its text; a value that is a text stays."""

    def read(request: Request) -> dict[str, Any]:
        raw = body_of(request)
        holder: Any = raw
        for name in path[:-1]:
            holder = holder.get(name)
            if not isinstance(holder, dict):
                return raw
        if not isinstance(holder.get(path[-1]), str | None):
            text = text_at(request.body.decode(), path)
            if text is not None:
                holder[path[-1]] = text
        return raw

    return read


def workspace_and_definition(request: Request) -> dict[str, Any]:
    """For routes of agents whose body names the workspace, and has a definition, of which the text is read."""
    raw = with_text("definition")(request)
    if isinstance(raw.get("workspace_id"), str):
        request.place = raw["workspace_id"]
    return raw


def text_at(body: str, path: tuple[str, ...]) -> str | None:
    """The text of the value in a valid JSON object; of a repeated key, the last one. None for one nested too deep."""
    start, end = _behind(body, 0), len(body)
    try:
        for name in path:
            places = [place for key, *place in _members(body, start) if key == name]
            if not places:
                return None
            start, end = places[-1]
    except RecursionError:
        return None
    return body[start:end]


def _members(body: str, start: int) -> Iterator[tuple[str, int, int]]:
    """The keys of an object, each with the start and the end of its value."""
    at = _behind(body, start + 1)
    while body[at] != "}":
        key, at = _DECODER.raw_decode(body, at)
        first = _behind(body, _behind(body, at) + 1)
        _, at = _DECODER.raw_decode(body, first)
        yield key, first, at
        at = _behind(body, at)
        if body[at] == ",":
            at = _behind(body, at + 1)


def _behind(body: str, at: int) -> int:
    """The place behind blanks."""
    found = _BLANKS.match(body, at)
    return at if found is None else found.end()
