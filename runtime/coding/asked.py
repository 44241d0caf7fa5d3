"""The facts about a model call that must be known before it is made."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import h11

from runtime.runs.prompt import BYTES_A_TOKEN

LONGEST_ANSWER: Final = 16_384
"""Tokens, of a call that names no bound."""
MOST_VALUES: Final = 2_000_000
"""The most values of a body, and the most commas in its texts: parsing takes some hundred bytes for each value."""
BEYOND_ALL: Final = 100_000_000
_BOUNDS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")


class Unmeasured(Exception):
    """The reason why the usage of a call could not be determined."""


@dataclass(frozen=True, slots=True)
class CallAsked:
    """`reads` and `writes`: the maximum of tokens, as far as it follows from the request."""

    model: str
    reads: int
    writes: int


def asked_of(request: h11.Request, body: bytes) -> CallAsked:
    """Raises Unmeasured for a body that cannot be read, or whose answer comes later."""
    if any(name == b"content-encoding" for name, _ in request.headers):
        raise Unmeasured("A model call must not have a content encoding")
    if sum(map(body.count, (b"[", b"{", b","))) > MOST_VALUES:
        raise Unmeasured(f"A call of a model has at most {MOST_VALUES:,} values")
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise Unmeasured("A model call must be a JSON object")
    if told.get("background"):
        raise Unmeasured("A model call must not request a background response")
    return CallAsked(_model_of(request, told), -(-len(body) // BYTES_A_TOKEN), _most(told))


def _model_of(request: h11.Request, told: Mapping[str, Any]) -> str:
    """Google's wire has it in the path."""
    path = urlsplit(request.target.decode("ascii", "replace")).path
    if ":" in path:
        return path.rpartition("/")[2].partition(":")[0]
    model = told.get("model")
    return model if isinstance(model, str) else ""


def _most(told: Mapping[str, Any]) -> int:
    """The least of its bounds, for each of the answers that it wants."""
    google = told.get("generationConfig") or told.get("generation_config")
    given = [told.get(name) for name in _BOUNDS]
    if isinstance(google, dict):
        given += [google.get("maxOutputTokens"), google.get("max_output_tokens")]
    bounds = [bound for bound in given if isinstance(bound, int) and bound > 0]
    answers = told.get("n")
    most = min(bounds, default=LONGEST_ANSWER) * (answers if isinstance(answers, int) and answers > 1 else 1)
    return min(most, BEYOND_ALL)
