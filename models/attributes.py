"""Classes of tables without SQLAlchemy's mapper: an attribute of the class is the column, a row is a plain value.

See docs/database.md.
"""

from typing import Any, dataclass_transform

from sqlalchemy import Column
from sqlalchemy import Table as SQLTable
from sqlmodel import Field
from sqlmodel.main import FieldInfo, SQLModelMetaclass


class Attribute:
    """On the class, the column. On a row, the value in the row's own dictionary; a missing one is an AttributeError."""

    __slots__ = ("column",)

    def __init__(self, column: Column[Any]) -> None:
        self.column = column

    def __get__(self, row: Any, model: Any = None) -> Any:
        if row is None:
            return self.column
        raise AttributeError(f"this {type(row).__name__} has no value for {self.column.key}")


@dataclass_transform(kw_only_default=True, field_specifiers=(Field, FieldInfo))
class Declared(SQLModelMetaclass):
    """Creates the Table of a class with `table=True` as SQLAlchemy's declarative base would, and nothing else.

    A mapper keeps a property, a strategy and an attribute with events for each column, and a manager for each class: a
    fifth of a start, for sessions that are never opened.
    """

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> None:
        type.__init__(cls, name, bases, namespace)
        if not options.get("table"):
            return
        own = vars(cls)["__annotations__"]
        fields = [name for name in cls.model_fields if name not in own] + [
            name for name in own if name in cls.model_fields
        ]
        columns: dict[str, Column[Any]] = {name: vars(cls)[name] for name in fields}
        for field, column in columns.items():
            column.key = column.key or field
            column.name = column.name or field
        arguments: tuple[Any, ...] = getattr(cls, "__table_args__", ())
        keywords = arguments[-1] if arguments and isinstance(arguments[-1], dict) else {}
        others = arguments[:-1] if keywords else arguments
        known: Any = cls
        table = SQLTable(known.__tablename__, known.metadata, *columns.values(), *others, **keywords)
        type.__setattr__(cls, "__table__", table)
        for field, column in columns.items():
            type.__setattr__(cls, field, Attribute(column))
