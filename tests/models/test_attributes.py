"""An attribute of a table's class is the column itself, and a row is a plain value."""

import pytest
from sqlalchemy import inspect
from sqlalchemy.exc import NoInspectionAvailable
from sqlmodel import SQLModel

from models.base import classes_of_tables, table_of
from models.work.labels import Label
from tests.every import for_every

MODELS = [model for model in classes_of_tables() if model.__module__.startswith("models.")]


@for_every(MODELS, ids=lambda model: model.__name__)
def test_every_attribute_is_the_tables_own_column(model: type[SQLModel]) -> None:
    assert set(table_of(model).c.keys()) == set(model.model_fields)
    for name, column in table_of(model).c.items():
        assert getattr(model, name) is column
        assert (column.name, column.key) == (name, name)


@for_every(MODELS, ids=lambda model: model.__name__)
def test_no_class_has_a_mapper(model: type[SQLModel]) -> None:
    with pytest.raises(NoInspectionAvailable):
        inspect(model)


def test_a_row_has_what_it_was_given_and_its_defaults() -> None:
    label = Label(name="bug", color="red", label_group=None)
    assert (label.name, label.label_group, label.version) == ("bug", None, 1)
    label.name = "feature"
    assert label.name == "feature"
    assert Label.name is table_of(Label).c.name


def test_a_row_has_no_value_that_it_was_not_given() -> None:
    label = Label(name="bug")
    with pytest.raises(AttributeError, match="this Label has no value for color"):
        _ = label.color
    assert not hasattr(label, "created_at")  # PostgreSQL makes it
