"""The levels of a credential's security, and what they are called."""

from typing import Any, Final

from sqlalchemy import case, null
from sqlalchemy.types import Text

from resolvers.kernel import constant

LABELS: Final = {1: "L1 · low", 2: "L2 · medium", 3: "L3 · high", 4: "L4 · critical"}
CRITICAL: Final = 4
"""A member other than the one who made the asking agent approves a credential of this level."""


def label_of(level: Any) -> Any:
    """The label of an expression's level; null for any other number."""
    called = [(level == constant(number), constant(label, Text())) for number, label in LABELS.items()]
    return case(*called, else_=null())
