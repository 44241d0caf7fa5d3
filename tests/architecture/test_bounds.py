"""Nothing that is taken or stored is without an end."""

from typing import Annotated, Any

import asyncpg
import pytest
from graphql import GraphQLInputObjectType, get_named_type
from pydantic import BaseModel, TypeAdapter, ValidationError
from sqlalchemy import Column, LargeBinary, MetaData, String
from sqlalchemy import Table as SQLTable
from sqlalchemy import Text as Unbounded
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel

from models.base import FREE, most_bytes, most_characters, table_of
from models.migrations.tables import metadata
from resolvers.kernel.declarations.operation import Operation
from resolvers.kernel.ground import faults
from resolvers.kernel.ground.bounds import longest, unbounded
from resolvers.kernel.ground.inputs import Id, Input, Notes, Text, at_most
from resolvers.kernel.reader import GRAPHS, Edge
from resolvers.rules.devcontainer import Devcontainer
from resolvers.rules.escalation import EscalationConfig
from resolvers.rules.mise import Mise
from resolvers.rules.services import Service
from rest_compat.http.routes import ROUTES
from schema.bridge.fields import _INPUTS
from tests.conftest import Database
from tests.every import each_of, for_every
from tests.generation.registry import SCHEMA, operations

ENDLESS = (String, JSONB, LargeBinary)
SIZED = ("pg_column_size", "octet_length")
EDGES = [
    (model, name, edge.input)
    for model, graph in GRAPHS.items()
    for name, edge in graph.items()
    if isinstance(edge, Edge) and edge.input is not None
]
SHORTENED = {
    ("Chat", "title"): "white space is collapsed before it is measured",
    ("Run", "error_message"): "cut where it is written",
    ("MessageFeedback", "chat_id"): "a longer id is no chat's",
}
"""Fields that take more than their column holds, and what becomes of it."""


# ---- inputs ----------------------------------------------------------------------------------------------------------


@for_every(operations(), ids=lambda op: op.name)
def test_every_input_has_bounds(op: Operation[Any]) -> None:
    assert unbounded(op.input) == []


def test_every_edge_and_every_route_takes_a_declared_input() -> None:
    assert [
        f"{model.__name__}.{name}" for model, name, taken in EDGES if not issubclass(taken, Input) or unbounded(taken)
    ] == []
    known = {*operations()}
    assert [f"{route.method} {route.path}" for route in ROUTES if route.operation not in known] == []


def test_every_argument_of_the_graph_stands_for_a_field_with_a_bound() -> None:
    """Input types are derived from inputs; what a field takes beside them are places and versions."""
    derived = {f"{model.__name__}Input" for model in _INPUTS if unbounded(model) == []}
    types = {kind.name for kind in SCHEMA.type_map.values() if isinstance(kind, GraphQLInputObjectType)}
    assert types <= derived | {"AfterInput", "NodeKey"}, types - derived
    fields = {field for op in operations() for field in op.input.model_fields} | {
        field for *_, taken in EDGES for field in taken.model_fields
    }
    camel = {
        "".join([word.capitalize() if at else word for at, word in enumerate(field.split("_"))]) for field in fields
    }
    others = {
        name
        for root in (SCHEMA.query_type, SCHEMA.mutation_type)
        for field in (root.fields if root else {}).values()
        for name, argument in field.args.items()
        if name not in camel and get_named_type(argument.type).name not in types
    }
    assert others <= {"workspaceId", "workspaceSlug", "slug", "ifVersion"}, others


@each_of(
    ("kind", "fault"),
    [
        (str, "a text without a longest length"),
        (str | None, "a text without a longest length"),
        (list[Text], "a list without a largest size"),
        (Annotated[list[str], at_most(3)], "field[]: a text"),
        (dict[str, Any], "an object without a largest size"),
        (Any, "may hold anything"),
        (tuple[Any, ...], "may hold anything"),
        (bytes, "may hold anything"),
    ],
    ids=str,
)
def test_an_endless_field_cannot_be_declared(kind: Any, fault: str) -> None:
    with pytest.raises(TypeError, match="has no bound") as refused:
        type("Endless", (Input,), {"__annotations__": {"field": kind}, "__module__": __name__})
    assert fault in str(refused.value)


# ---- tables ----------------------------------------------------------------------------------------------------------


@for_every(metadata().sorted_tables, ids=str)
def test_every_stored_value_has_a_bound(table: SQLTable) -> None:
    assert [
        column.name for column in table.columns if isinstance(column.type, ENDLESS) and most_bytes(column) is None
    ] == []


COLUMNS = """
    SELECT relname AS table, attname AS column, atttypid::regtype::text AS type, nullif(atttypmod, -1) - 4 AS length,
        EXISTS (SELECT FROM pg_constraint
            WHERE conrelid = attrelid AND contype = 'f' AND attnum = ANY (conkey)) AS refers,
        ARRAY(
            SELECT pg_get_constraintdef(oid) FROM pg_constraint
            WHERE conrelid = attrelid AND contype = 'c' AND attnum = ANY (conkey) AND convalidated
        ) AS checks
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid JOIN pg_type ON pg_type.oid = atttypid
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
        AND relname <> 'alembic_version' AND attnum > 0 AND NOT attisdropped AND typlen < 0
"""


@pytest.mark.anyio
async def test_the_database_holds_every_stored_value_to_its_bound(module_database: Database) -> None:
    """Each stored value is limited by its type's length, a reference, a closed set, a check, or the kernel alone."""
    owner = await asyncpg.connect(module_database.owner_url)
    try:
        found = await owner.fetch(COLUMNS)
        assert len(found) > 250
        for row in found:
            column = metadata().tables[row["table"]].c[row["column"]]
            sized = any(
                f"{function}({column.name}) <= {most_bytes(column)}" in check
                for function in SIZED
                for check in row["checks"]
            )
            chosen = any(check.startswith(f"CHECK (({column.name} = ") for check in row["checks"])
            held = row["length"] == most_characters(column) or sized or row["refers"] or chosen
            assert held or column.info.get(FREE), column  # tests/kernel/test_free_columns.py lists the free ones
            if row["length"] is not None and column.computed is None:
                with pytest.raises(asyncpg.StringDataRightTruncationError):
                    await owner.execute(
                        f"INSERT INTO {column.table.name} ({column.name}) VALUES (repeat('a', $1))", row["length"] + 1
                    )
    finally:
        await owner.close()


def test_a_column_without_a_bound_cannot_be_declared() -> None:
    for kind in (String(), Unbounded(100), JSONB()):
        with pytest.raises(TypeError, match="has no bound"):
            SQLTable("endless", SQLModel.metadata, Column("body", kind))
    assert SQLTable("somebody_elses", MetaData(), Column("body", String())) is not None


def test_what_a_reference_holds_is_bounded_by_what_it_refers_to() -> None:
    tables = metadata().tables
    assert most_characters(tables["agents"].c.crew_id) == most_characters(tables["crews"].c.id) == 200
    assert most_characters(tables["agents"].c.status) == len("PENDING_REVIEW")
    assert most_bytes(tables["crews"].c.name) == 800
    assert most_bytes(tables["run_frames"].c.payload) == 8 << 20


@for_every([op for op in operations() if op.kind == "command"], ids=lambda op: op.name)
def test_what_an_input_takes_its_column_holds(op: Operation[Any]) -> None:
    model = op.model
    if not (isinstance(model, type) and issubclass(model, SQLModel) and hasattr(model, "__table__")):
        return
    columns = table_of(model).c
    for name in op.input.model_fields:
        given, held = longest(op.input, name), most_characters(columns[name]) if name in columns else None
        if (
            given is not None
            and held is not None
            and held != max_of_a_set(columns[name])
            and (model.__name__, name) not in SHORTENED
        ):
            assert given <= held, name


def max_of_a_set(column: Column[Any]) -> int | None:
    """The input of a closed set accepts any text, but only its members are stored."""
    return None if column.type.length is not None or column.foreign_keys else most_characters(column)  # type: ignore[attr-defined]


# ---- the words of a refusal ------------------------------------------------------------------------------------------

RAISED: dict[str, set[str]] = {
    "datetime": set(),  # a validator before it has made it one, or has said why not
    "date": {"date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"},
    "str": {"string_type", "string_too_short", "string_too_long", "string_pattern_mismatch", "string_unicode"},
    "int": {"int_type", "int_parsing", "int_parsing_size", "int_from_float", "greater_than_equal", "less_than_equal",
        "finite_number"},
    "float": {"float_type", "float_parsing", "finite_number", "greater_than_equal", "less_than_equal"},
    "bool": {"bool_type", "bool_parsing"},
    "list": {"list_type", "too_short", "too_long"},
    "tuple": {"tuple_type", "too_short", "too_long"},
    "dict": {"dict_type", "too_short", "too_long"},
    "enum": {"enum"},
    "literal": {"literal_error"},
    "model": {"model_type", "model_attributes_type", "missing"},
    "none": {"none_required"},
    "nullable": set(), "union": set(), "default": set(), "any": set(), "model-fields": set(), "model-field": set(),
    "definitions": set(),
    "definition-ref": set(), "function-before": set(), "function-after": set(), "function-plain": set(),
    "function-wrap": set(), "lax-or-strict": set(),
}  # fmt: skip
"""The possible errors of each kind of validator in use."""


def kinds_in(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        own = {schema["type"]} if isinstance(schema.get("type"), str) else set()
        return own.union(
            *[
                kinds_in(part)
                for key, part in schema.items()
                if key not in ("metadata", "serialization", "ref", "expected", "config", "function")
            ]
        )
    return set().union(*map(kinds_in, schema)) if isinstance(schema, (list, tuple)) else set()


@for_every(
    [*sorted({op.input for op in operations()}, key=str), Devcontainer, EscalationConfig, Mise, Service],
    ids=lambda m: m.__name__,
)
def test_every_fault_of_a_validator_is_worded(model: type[BaseModel]) -> None:
    kinds = kinds_in(model.__pydantic_core_schema__)
    assert kinds <= RAISED.keys(), kinds - RAISED.keys()
    raised = set().union(*(RAISED[kind] for kind in kinds))
    assert raised <= {*faults.FAULTS, "string_pattern_mismatch"}, raised - faults.FAULTS.keys()
    assert raised <= faults.VALIDATORS_OWN


def test_a_kind_that_nobody_worded_is_not_told_in_the_librarys_words() -> None:
    assert faults.worded("url_parsing", {}, "Input should be a valid URL", {}) == faults.NOT_ALLOWED
    assert faults.worded("session_id", {}, "must not hold /", {}) == "must not hold /"


def test_a_path_has_no_names_of_validators() -> None:
    kind = TypeAdapter(dict[str, int | list[dict[str, int]]])
    given = {"a": [{"b": "x"}]}
    with pytest.raises(ValidationError) as refused:
        kind.validate_python(given)
    assert set(faults.told(refused.value, given, {})) == {"a", "a[0].b"}


def test_errors_end_somewhere() -> None:
    wide = type(
        "Wide", (Input,), {"__annotations__": {f"field_{number}": Id for number in range(100)}, "__module__": __name__}
    )
    with pytest.raises(ValidationError) as refused:
        wide.model_validate({})
    assert len(faults.told(refused.value, {}, {})) == faults.MOST


def test_an_object_of_any_shape_ends_somewhere() -> None:
    holder = type("Holder", (Input,), {"__annotations__": {"notes": Notes}, "__module__": __name__})
    assert holder.model_validate({"notes": {"a": ["b"]}}).notes == {"a": ["b"]}  # type: ignore[attr-defined]
    for notes in ({"a": "b" * 300_000}, {str(number): 1 for number in range(20_000)}, {"a": 1 << 70}):
        with pytest.raises(ValidationError):
            holder.model_validate({"notes": notes})
