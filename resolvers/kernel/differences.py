"""What a command has changed of a row, as its audit row says it: fields with the values before and after.

Secrets are left out, whether sealed or hashed. Of what may hold one, such as a configuration, it is said that it
changed, and not how. Long values are cut: they are shown with their length.
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
from resolvers.kernel.reader.graph import CONFIDENTIAL

LONGEST = 300  # characters of one value
STAMPS = frozenset({"id", "workspace_id", "version", "created_at", "updated_at"})
SECRET = ("hash", "password", "secret", "token")
"""Ends of the names of columns that hold secrets in another form."""
CONFIGURATION = ("args_json", "config_json", "env_json", "headers_json")
UNTOLD = "(not recorded)"
Changes = dict[str, dict[str, Any]]


@cache
def told_of(model: type[SQLModel]) -> frozenset[str]:
    """The columns whose changes are told."""
    named = {
        name
        for name, column in readable(model).items()
        if not name.endswith(SECRET) and not isinstance(column.type, LargeBinary)
    }
    return frozenset(named - STAMPS - bookkeeping_of(model))


@cache
def _untold(model: type[SQLModel]) -> frozenset[str]:
    """Columns that may hold secrets."""
    named = {name for name in table_of(model).c.keys() if name.endswith(CONFIGURATION)}  # noqa: SIM118
    return frozenset(named | CONFIDENTIAL.get(model, {}).keys())


def differences(
    model: type[SQLModel], names: Iterable[str], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Changes:
    """Of the columns in `names`, those that differ."""
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
