"""Every table there is: a domain's file is part of the schema by being there."""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from sqlalchemy import MetaData
from sqlalchemy import Table as SQLTable
from sqlmodel import SQLModel

import models
from models.base import OwnedTable, TenantRow, place_in, table_of


def metadata() -> MetaData:
    for found in iter_modules(models.__path__, "models."):
        if found.name != "models.migrations":
            room = import_module(found.name)
            for module in iter_modules(getattr(room, "__path__", ()), f"{found.name}."):
                import_module(module.name)
    return SQLModel.metadata


def tenant_tables() -> list[SQLTable]:
    """The tables of rows that belong to one workspace each, by name."""
    metadata()
    return sorted(
        (table_of(model) for model in _descendants(TenantRow) if hasattr(model, "__table__")),
        key=lambda table: table.name,
    )


def secured_tables() -> list[SQLTable]:
    """The tables under row-level security, by name: all that say which workspace a row is of, or came from."""
    return sorted(
        (table for table in metadata().tables.values() if place_in(table) is not None), key=lambda table: table.name
    )


def owned_tables() -> set[str]:
    return {str(model.__tablename__) for model in OwnedTable.__subclasses__()}


def _descendants(model: type[TenantRow]) -> Iterator[type[TenantRow]]:
    for child in model.__subclasses__():
        yield child
        yield from _descendants(child)
