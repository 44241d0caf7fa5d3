"""The trace of a caller, by W3C Trace Context: rows that a request makes can name it."""

from contextvars import ContextVar

calling: ContextVar[str | None] = ContextVar("calling", default=None)
"""The `traceparent` of the request being served, if it is sane and traces are exported."""
