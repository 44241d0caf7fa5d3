"""Columns that the service keeps by itself are columns that there are."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from models.base import Row, bookkeeping_of, table_of, untimed_of
from models.staff.agents import Agent
from models.work.labels import Label
from tests.every import each_of


def models(kind: type[Row] = Row) -> Iterator[type[Row]]:
    for child in kind.__subclasses__():
        if hasattr(child, "__table__"):
            yield child
        yield from models(child)


@each_of("model", [m for m in models() if hasattr(m, "__bookkeeping__")], ids=lambda model: model.__name__)
def test_what_the_service_notes_is_in_columns(model: type[Row]) -> None:
    assert bookkeeping_of(model)
    assert not bookkeeping_of(model) & {"id", "workspace_id", "version", "created_at", "updated_at", "deleted_at"}


@each_of("model", [m for m in models() if hasattr(m, "__untimed__")], ids=lambda model: model.__name__)
def test_an_edit_that_leaves_the_time_is_no_bookkeeping(model: type[Row]) -> None:
    assert untimed_of(model)
    assert not untimed_of(model) & bookkeeping_of(model)


def test_a_column_that_there_is_not_is_told() -> None:
    class Odd:
        __table__ = table_of(Agent)
        __bookkeeping__ = frozenset({"status", "statsu"})

    with pytest.raises(TypeError, match="Odd has no column statsu"):
        bookkeeping_of(cast(Any, Odd))
    assert bookkeeping_of(Label) == frozenset()
