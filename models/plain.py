"""Columns whose text needs no escape in JSON."""

from functools import cache
from typing import Any

from sqlalchemy import Column

from models.base import PLAIN


@cache
def is_plain(column: Column[Any]) -> bool:
    """Returns true if the database restricts a column to characters that JSON need not escape: ids, closed sets, and
    references to them.
    """
    table = column.table
    if any(constraint.info.get(PLAIN) == column.name for constraint in table.constraints):
        return True
    for reference in table.foreign_key_constraints:
        others = [c for c in reference.columns if c is not column]
        # with a null among them nothing is compared
        if column in list(reference.columns) and not any(c.nullable for c in others):
            return any(key.parent is column and is_plain(key.column) for key in reference.elements)
    return False
