"""Stored secrets: bytes that only a vault can read. This module has no key."""

from typing import Any, NoReturn

from sqlalchemy import LargeBinary

HIDDEN = "<sealed>"
MARK = b"\xff"
"""The first byte of every sealed value.

No text in UTF-8 contains it, so a sealed value is not a text anywhere: not in JSON, not in a log.
"""
SEAL = 128
"""Bytes that a seal adds to a text at most."""


class Sealed(bytes):
    """The value of a secret column. It is not a text, is not printed, and JSON refuses it."""

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
