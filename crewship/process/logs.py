"""Log lines on stderr: JSON for machines, text for people, with one shape for our loggers and for loggers of
libraries.
"""

import logging
import sys
from typing import Any

from resolvers.instance.log_level import LogLevel, log_from
from resolvers.instance.telemetry import request_id, structlog


def configure(level: str, form: str) -> None:
    """Set up structlog and the root logger; `level` and `form` as CREWSHIP_LOG_LEVEL and CREWSHIP_LOG_FORMAT."""
    shared: list[Any] = [
        _with_request_id,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(form)],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    log_from(LogLevel(level))
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _rendering(form: str) -> list[Any]:
    """Tracebacks are plain in both forms: the ones that show local variables would show the secrets in them."""
    if form == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
    ]


def _with_request_id(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    id = request_id.get()
    if id is not None:
        event.setdefault("request_id", id)
    return event
