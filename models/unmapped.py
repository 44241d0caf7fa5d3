"""Imports of libraries that take along SQLAlchemy's mapper, of which nothing here uses anything (see ADR 134): 41
modules, 6 MB in every process, and a tenth of a start.

SQLModel and DBOS import its names for sessions and mapped classes, which nobody makes. In the block they find empty
classes of these names. Outside of it the mapper can be imported as ever: a migration does.
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
    """What a class of tables is registered with: the tables themselves alone are."""

    def __init__(self) -> None:
        self.metadata = MetaData()


class _Metaclass(type):
    """Of mapped classes: sets and deletes attributes as any other."""


class _OfClass:
    """An attribute that each class computes."""

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
    """Imports in the block find no mapper, and none of `more`, unless somebody has imported them already."""
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
