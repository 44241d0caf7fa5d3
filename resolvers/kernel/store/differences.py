"""The changes of a row in an audit row: fields with the values before and after.

Sealed and hashed secrets are left out. For columns that may hold a secret, such as a configuration, the audit row says
that they changed, without values. Long values are truncated, with their length.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any

import orjson
from sqlalchemy import LargeBinary
from sqlmodel import SQLModel

from models.base import bookkeeping_of, readable, table_of
from models.personal_data import CONFIGURATION, DERIVED, HIDDEN, of_column
from resolvers.kernel.reader.graph import CONFIDENTIAL

LONGEST = 300  # characters of one value
STAMPS = frozenset({"id", "workspace_id", "version", "created_at", "updated_at"})
UNTOLD = "(not recorded)"
ENTITY_TYPES = {"workspace_member": "WorkspaceMember"}  # as clients filter by it (contract: audit.list)
NAMES = ("name", "slug", "title", "identifier", "key", "email", "role")
"""Columns by which a person knows a row again."""
Changes = dict[str, dict[str, Any]]


@cache
def told_of(model: type[SQLModel]) -> frozenset[str]:
    """The columns whose changes are recorded."""
    named = {
        name
        for name, column in readable(model).items()
        if of_column(column) not in (HIDDEN, DERIVED) and not isinstance(column.type, LargeBinary)
    }
    return frozenset(named - STAMPS - bookkeeping_of(model))


@cache
def _untold(model: type[SQLModel]) -> frozenset[str]:
    """Columns that may hold secrets; of rows that others do not see, all."""
    if getattr(model, "__private__", False):
        return told_of(model)
    named = {name for name, column in table_of(model).c.items() if of_column(column) is CONFIGURATION}
    return frozenset(named | CONFIDENTIAL.get(model, {}).keys())


@cache
def kinds_of_row(model: type[SQLModel]) -> frozenset[str]:
    """The names of a model in audit actions: its class name, as `cli_token` for CliToken, and `__kinds__`."""
    plain = "".join([f"_{letter.lower()}" if letter.isupper() else letter for letter in model.__name__]).lstrip("_")
    return frozenset({plain}) | getattr(model, "__kinds__", frozenset())


@cache
def _names_of(model: type[SQLModel]) -> tuple[str, ...]:
    told = told_of(model) - _untold(model)
    return tuple([name for name in NAMES if name in told])


def named(row: SQLModel) -> dict[str, Any]:
    """The values by which people recognise the row."""
    values = row.__dict__
    return {name: value for name in _names_of(type(row)) if (value := values.get(name)) is not None}


def lost(model: type[SQLModel], row: Mapping[str, Any]) -> Changes:
    """The recorded values of a deleted row."""
    known = {name: row[name] for name in told_of(model) if row[name] is not None}
    return differences(model, known, known, dict.fromkeys(known))


def differences(
    model: type[SQLModel], names: Iterable[str], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Changes:
    """The columns in `names` whose values differ."""
    told, untold, found = told_of(model), _untold(model), Changes()
    for name in names:
        if name in told and before[name] != after[name]:
            old, new = (UNTOLD, UNTOLD) if name in untold else (_shown(before[name]), _shown(after[name]))
            found[name] = {"before": old, "after": new}
    return found


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return value if len(value) <= LONGEST else f"{value[:LONGEST]}… ({len(value)} characters)"
    written = orjson.dumps(value, default=str)
    return orjson.loads(written) if len(written) <= LONGEST else f"… ({len(written)} bytes)"
