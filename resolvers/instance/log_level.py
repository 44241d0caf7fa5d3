"""The log level of this process, which can change while it runs."""

import logging
from enum import StrEnum
from typing import Final

CHATTY: Final = ("uvicorn.error", "alembic", "httpx2", "httpcore2")
"""Loggers of libraries that log warnings and errors only, at every level: some would show the content of requests."""


class LogLevel(StrEnum):
    """Lines of this severity and above are logged."""

    debug = "debug"
    info = "info"
    warn = "warn"
    error = "error"


NUMBERS: Final = {
    LogLevel.debug: logging.DEBUG,
    LogLevel.info: logging.INFO,
    LogLevel.warn: logging.WARNING,
    LogLevel.error: logging.ERROR,
}


def log_from(level: LogLevel) -> None:
    number = NUMBERS[level]
    logging.getLogger().setLevel(number)
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(max(number, logging.WARNING))
