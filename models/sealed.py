"""Secrets as they are stored: bytes that nobody but a vault can read. Nothing here knows a key."""

from typing import Any, NoReturn

from sqlalchemy import LargeBinary

HIDDEN = "<sealed>"
MARK = b"\xff"
"""The first byte of whatever is sealed.

No text in UTF-8 has it, so that a sealed value is text nowhere: not in JSON, not in a log.
"""
SEAL = 128
"""Bytes that a seal adds to a text at most."""


class Sealed(bytes):
    """What a column of secrets holds. It is no text, it is not printed, and no JSON takes it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return HIDDEN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return HIDDEN


class SealedBytes(LargeBinary):
    """The type of a column of secrets.

    Such a column takes part in no expression: nothing is filtered, sorted or computed by it.
    """

    cache_ok = True

    class Comparator(LargeBinary.Comparator[Any]):
        def operate(self, op: Any, *other: Any, **options: Any) -> NoReturn:
            raise TypeError(f"{self.expr} holds secrets: nothing is filtered, sorted or computed by it")

        reverse_operate = operate

    comparator_factory = Comparator
