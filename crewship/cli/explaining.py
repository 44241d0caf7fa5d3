"""Errors that a person can correct: one message, and exit code 1. A traceback is for our own faults."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def explained(*errors: type[Exception]) -> Iterator[None]:
    try:
        yield
    except errors as error:
        for line in str(error).splitlines():
            print(f"crewship: {line}", file=sys.stderr)
        raise typer.Exit(1) from None


@contextmanager
def refusals() -> Iterator[None]:
    """Errors that an operator of the server can correct."""
    from crewship.process.database import StartError
    from crewship.process.keys import KeysError
    from crewship.process.postgres_child import PostgresError
    from resolvers.instance.settings import SettingsError

    with explained(SettingsError, StartError, PostgresError, KeysError):
        yield
