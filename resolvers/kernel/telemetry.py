"""What is measured and logged of every operation: by its name, never its input."""

from contextvars import ContextVar
from typing import Any

import structlog
from prometheus_client import Counter, Histogram

# Until the process sets up its log lines: what structlog does by itself shows the local variables of a traceback, secrets among them.
structlog.configure(processors=[structlog.stdlib.add_log_level, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])

log: Any = structlog.get_logger("crewship")
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request being served; set where it arrives, and read only where a line is logged."""

CALLS = Counter("crewship_operations", "Calls of operations by outcome", ["operation", "code"])
SECONDS = Histogram(
    "crewship_operation_seconds", "Duration of operations", ["operation"], buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
)


class Meter:
    """One operation's counters, looked up once."""

    def __init__(self, operation: str) -> None:
        self.operation = operation
        self._ok = CALLS.labels(operation, "OK")
        self._seconds = SECONDS.labels(operation)

    def observe(self, seconds: float, code: str | None) -> None:
        self._seconds.observe(seconds)
        if code is None:
            self._ok.inc()
        else:
            CALLS.labels(self.operation, code).inc()
