"""The environment of Alembic: `models.migrations` opens the connection."""

import re
from typing import Any, Literal

from alembic import context
from sqlalchemy import String
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlmodel import AutoString

from models.kernel import Xid8
from models.migrations.tables import metadata

ischema_names["xid8"] = Xid8
PARTITION_NAME = re.compile(r"_(\d{8}|before|earlier|later)$")


def unbounded(kind: Any) -> bool:
    """`varchar` without a length, SQLModel's type of a `str`, is what we create as `text`."""
    return isinstance(kind, String | AutoString) and kind.length is None


def types_differ(
    _context: Any, _inspected: Any, _declared: Any, inspected_type: Any, declared_type: Any
) -> bool | None:
    return False if unbounded(inspected_type) and unbounded(declared_type) else None


def is_ours(item: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
    """A partition is a part of its table, and no table of its own. An index of a CASE that both sides have is taken for
    the same: PostgreSQL writes the expression in its own way.
    """
    if kind == "index" and other is not None and any("CASE " in str(key) for key in item.expressions):
        return False
    return not (kind == "table" and reflected and name is not None and PARTITION_NAME.search(name))


def render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    return "sa.Text()" if kind == "type" and unbounded(item) else False


# Each migration in its own transaction, so that no lock outlives the one that needs it.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata(),
    compare_type=types_differ,
    render_item=render,
    include_object=is_ours,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
