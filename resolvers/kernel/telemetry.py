"""What is measured and logged of every operation: by its name, never its input."""

import logging
from collections.abc import Mapping
from typing import Any

import structlog
from prometheus_client import Counter, Histogram

log: Any = structlog.get_logger("crewship")
CALLS = Counter("crewship_operations", "Calls of operations by outcome", ["operation", "code"])
SECONDS = Histogram("crewship_operation_seconds", "Duration of operations", ["operation"], buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5))
LEVELS: Mapping[str, int] = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


def configure(level: str, format: str) -> None:
    """JSON lines or text on standard error, through structlog; a level below the chosen one costs nothing."""
    renderer: Any = structlog.processors.JSONRenderer() if format == "json" else structlog.dev.ConsoleRenderer(colors=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(_Stderr()),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )


class _Stderr:
    """Standard error as it is now, not as it was when logging was configured."""

    def write(self, text: str) -> None:
        import sys

        sys.stderr.write(text)

    def flush(self) -> None:
        import sys

        sys.stderr.flush()


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
