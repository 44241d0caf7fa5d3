"""Every table is in a bundle, or says why it is not."""

from models.base import place_in, secrets_of, table_of
from models.migrations.tables import metadata
from models.people.auth import User
from models.personal_data import HIDDEN, of_column
from resolvers.oversight.backups.tables import (
    APART,
    ELSEWHERE,
    ENDED,
    FRESH,
    LEFT_OUT,
    NOT_COPIED,
    SIGN_IN,
    carried,
    columns_of,
)


def test_every_table_of_a_workspace_is_carried_or_says_why_not() -> None:
    here = {table.name for table in metadata().tables.values() if place_in(table) is not None}
    names = [table_of(model).name for model in carried()]
    assert len(names) == len(set(names))
    assert {*names, *LEFT_OUT, *(name for name in APART if name in here)} == here
    assert {*names} & {*LEFT_OUT, *APART} == set()
    assert all(LEFT_OUT.values())
    assert all(APART.values())
    assert all(NOT_COPIED.values())
    assert {*NOT_COPIED, *ENDED, *(table for table, _ in FRESH)} <= {*names}


def test_a_table_comes_after_those_that_it_refers_to() -> None:
    seen = {*APART, *ELSEWHERE}
    for model in carried():
        table = table_of(model)
        assert {key.referred_table.name for key in table.foreign_key_constraints} <= seen | {table.name}
        seen.add(table.name)


def test_rows_of_a_table_that_refer_to_each_other_arrive_in_any_order() -> None:
    own = {
        (table.name, key.deferrable)
        for table in map(table_of, carried())
        for key in table.foreign_key_constraints
        if key.referred_table is table
    }
    assert own == {("agents", True), ("checkpoints", True), ("missions", True)}


def test_what_a_person_signs_in_with_is_in_no_bundle() -> None:
    hidden = {column.name for column in table_of(User).c if of_column(column) is HIDDEN}
    assert hidden <= SIGN_IN
    assert set(columns_of(User)) == {"id", "email", "full_name", "avatar_url", "created_at", "updated_at"}


def test_secrets_stay_sealed() -> None:
    """A column of secrets is carried as it is stored; no other column holds an opened one."""
    sealed = {(table_of(model).name, name) for model in carried() for name in secrets_of(model)}
    assert ("credentials", "value") in sealed
    for model in carried():
        assert set(secrets_of(model)) <= set(columns_of(model))


def test_a_unique_column_beside_the_keys_is_renewed_in_a_copy() -> None:
    """Of a workspace that is restored beside its source, the values are taken."""
    found = set()
    for model in carried():
        table = table_of(model)
        if table.name in NOT_COPIED:
            continue
        referring = {column.name for key in table.foreign_key_constraints for column in key.columns}
        for index in [*table.indexes, *table.constraints]:
            if not getattr(index, "unique", type(index).__name__ == "UniqueConstraint"):
                continue
            names = [column.name for column in index.columns]
            if names and not {*names} & {*referring, "id", "workspace_id"}:
                found |= {(table.name, name) for name in names}
    assert found == set(FRESH)
