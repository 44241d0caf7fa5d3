"""Columns of an alias are names and types; what else is known of them is known of the column they pass on."""

from sqlalchemy import func, literal_column, select

from models.base import alias_of, stored_of, table_of
from models.staff.crews import Crew


def test_the_column_of_the_table_is_found_through_aliases_and_subqueries() -> None:
    alias, stored = alias_of(Crew, "t"), table_of(Crew).c.description
    inner = select(*alias.c).subquery("q")
    outer = select(*inner.c).subquery("p")
    assert stored.nullable
    assert all(stored_of(column) is stored for column in (stored, alias.c.description, inner.c.description))
    assert stored_of(outer.c.description) is stored
    assert alias.c.description.type is stored.type


def test_what_no_table_stores_is_no_column_of_one() -> None:
    counted = select(func.count().label("number")).select_from(alias_of(Crew)).subquery("q")
    assert stored_of(counted.c.number) is None
    assert stored_of(literal_column("1")) is None
