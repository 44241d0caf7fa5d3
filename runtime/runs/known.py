"""The secrets that a run knows."""

from collections.abc import Iterable

from resolvers.rules import known_sets
from resolvers.rules.known_values import TooManyValues
from resolvers.rules.redaction import Redactor
from runtime.runs.job import Failed


async def redactor_of(values: Iterable[str]) -> Redactor:
    """Raises Failed if the values are too long for a search."""
    try:
        return await known_sets.redactor_of(values)
    except TooManyValues as refused:
        raise Failed(str(refused)) from None
