"""The body of refusals: RFC 7807's keys, and `error` for clients that read only that (contract: errors.superset)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson

# RFC 9110 renamed these two, and newer Pythons follow; the contract's clients know the old phrases.
REASON_PHRASES = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Request Entity Too Large",
    422: "Unprocessable Entity",
}


def problem(status: int, detail: str, path: str, extra: Mapping[str, Any] | None = None) -> bytes:
    """JSON of a refusal; `path` has no query. `extra` adds members, or replaces `error` where that is a code."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": REASON_PHRASES[status],
        "status": status,
        "detail": detail,
        "instance": path,
        "error": detail,
    }
    return orjson.dumps(body | dict(extra) if extra else body)
