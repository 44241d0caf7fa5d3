"""Imports of libraries without SQLAlchemy's mapper, which this server does not use (docs/database.md). The mapper is 41
modules, 6 MB in every process and a tenth of the time of a start.

SQLModel and DBOS import its names for sessions and mapped classes. In the block, these names are empty classes. Later
imports of the mapper find the real one, for example in a migration.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from sqlalchemy import MetaData

MAPPER = (
    "sqlalchemy.orm",
    "sqlalchemy.orm._typing",
    "sqlalchemy.orm.attributes",
    "sqlalchemy.orm.decl_api",
    "sqlalchemy.orm.instrumentation",
)
SESSIONS = "sqlalchemy.ext.asyncio"


class _Registry:
    """A registry of classes that holds the tables only."""

    def __init__(self) -> None:
        self.metadata = MetaData()


class _Metaclass(type):
    """The metaclass of mapped classes: sets and deletes attributes as `type` does."""


class _OfClass:
    """An attribute of a class, computed for each class."""

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        self._compute = compute

    def __get__(self, _: Any, owner: type) -> Any:
        return self._compute(owner)


class _Empty(ModuleType):
    """A module that has every name."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {"__class_getitem__": classmethod(lambda cls, _: cls)})
        setattr(self, name, made)
        return made


@contextmanager
def unmapped(*more: str) -> Iterator[None]:
    """Imports in the block find empty modules for the mapper and for `more`, unless the mapper is already imported."""
    hidden = [name for name in (*MAPPER, *more) if name not in sys.modules] if MAPPER[0] not in sys.modules else []
    for name in hidden:
        module: Any = _Empty(name)
        module.registry, module.DeclarativeMeta, module.declared_attr = _Registry, _Metaclass, _OfClass
        sys.modules[name] = module
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
