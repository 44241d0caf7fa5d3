"""The requirements of declarations: a binding on each named surface, a docstring, bounded numbers, a gate that fits its
kind.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from resolvers.kernel.declarations.events import Event
from resolvers.kernel.declarations.operation import Operation, Surface
from resolvers.kernel.declarations.outputs import Output
from resolvers.kernel.ground.inputs import Input, Paging, at_most
from resolvers.kernel.ground.policy import Action
from rest_compat.http.routes import ROUTES
from rest_compat.http.table import Route, Wire, shape_of
from schema.bridge.documents import Document
from schema.bridge.selection import Root
from tests.architecture.source import name_of, python_files, tree
from tests.every import for_every
from tests.generation.registry import SCHEMA, graphql_fields, operations, routes_of
from tests.generation.selection import document, required_arguments

LONGEST_SUMMARY = 60
LOOKING = {"Check", "Compare", "Count", "Get", "Identify", "List", "Open", "Redirect", "Search", "Validate"}
DOING = {
    "Apply",
    "Accept",
    "Approve",
    "Write",
    "Suggest",
    "Book",
    "Propose",
    "Reject",
    "Build",
    "Hand",
    "Take",
    "Rebuild",
    "Restart",
    "Activate",
    "Add",
    "Cancel",
    "Create",
    "Deactivate",
    "Delete",
    "Export",
    "Finish",
    "Import",
    "Mark",
    "Queue",
    "Record",
    "Refresh",
}
DOING |= {
    "Decide",
    "Remove",
    "Rename",
    "Resume",
    "Review",
    "Revoke",
    "Rotate",
    "Send",
    "Set",
    "Sign",
    "Start",
    "Stop",
    "Stream",
    "Update",
}
DOING |= {"Disable", "Enable", "Save", "Approve", "Hire", "Judge", "Pause", "Propose", "Reject", "Run", "Synchronise"}
DOING |= {"Clone", "Fork", "Give", "Move", "Restore", "Assign", "Unassign", "Test", "Raise", "Request", "Resolve"}
NOTED = {"agents.peers_get", "backups.download", "privacy.cards.list", "privacy.user_model"}
"""Reads that are recorded, which makes them commands."""
VERBS = {"query": LOOKING, "command": DOING, "procedure": LOOKING | DOING}
"""The verbs that begin a summary. A new verb must be common, and must not mean the same as one of these."""

every_operation = for_every(operations(), ids=lambda op: op.name)


def kinds_of(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds_of(kind)


@pytest.mark.parametrize("base", [Input, Output, Event, Wire])
def test_a_model_that_is_built_when_it_is_first_used_can_be_built(base: type[BaseModel]) -> None:
    for kind in kinds_of(base):
        kind.model_rebuild()
        assert kind.__pydantic_complete__, kind


@every_operation
def test_an_operation_is_bound_where_it_says(op: Operation[Any]) -> None:
    assert bool(routes_of(op)) is (Surface.REST in op.surfaces)
    assert bool(graphql_fields().get(op.name)) is (Surface.GRAPHQL in op.surfaces)


@every_operation
def test_an_operation_is_documented_for_its_users(op: Operation[Any]) -> None:
    """The docstring's first sentence is the summary in OpenAPI, on a line of its own; the rest is the description."""
    summary, *rest = op.doc.split("\n")
    assert len(summary) <= LONGEST_SUMMARY
    assert summary.removesuffix(".").split()[0] in (LOOKING if op.name in NOTED else VERBS[op.kind])
    assert summary.endswith(".")
    assert ". " not in summary
    assert rest[:1] in ([], [""])


@every_operation
def test_a_write_is_not_gated_as_a_read(op: Operation[Any]) -> None:
    assert op.kind != "command" or op.action is not Action.READ


def _numbers(schema: dict[str, Any], at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every integer in a JSON schema, with its place."""
    if schema.get("type") == "integer":
        yield at, schema
    for key, part in schema.items():
        if isinstance(part, dict):
            yield from _numbers(part, f"{at}.{key}")
        elif isinstance(part, list):
            for number, item in enumerate(part):
                if isinstance(item, dict):
                    yield from _numbers(item, f"{at}.{key}[{number}]")


# (operation, place): why no bound is written down.
CUT = {
    (
        "auth.cli_token_create",
        ".properties.expires_in_seconds",
    ): "any whole number is cut to 32 bits before it is looked at",
    ("admin.memory_versions", ".properties.limit"): "a larger one is cut to the most",
    ("memory.versions", ".properties.limit"): "a larger one is cut to the most",
    ("spend.top", ".properties.limit.anyOf[0]"): "any other is the default (contract: spend.top)",
}


def unbounded(model: type[Input]) -> list[str]:
    # a window is cut to size before
    hidden = {f".properties.{name}" for name in Paging.model_fields} if issubclass(model, Paging) else set()
    numbers = [(at, s) for at, s in _numbers(model.model_json_schema()) if not any(at.startswith(h) for h in hidden)]
    return [
        at
        for at, s in numbers
        if not ({"minimum", "exclusiveMinimum"} & s.keys() and {"maximum", "exclusiveMaximum"} & s.keys())
    ]


@every_operation
def test_every_number_of_an_input_has_bounds(op: Operation[Any]) -> None:
    """PostgreSQL's integers end somewhere; a number beyond is the caller's fault and not ours."""
    assert [at for at in unbounded(op.input) if (op.name, at) not in CUT] == []


def test_a_number_without_bounds_is_seen() -> None:
    class Nested(Input):
        size: int

    class Sized(Input):
        inner: Annotated[list[Nested], at_most(10)]
        count: int | None = None

    assert len(unbounded(Sized)) == 2


def test_no_secret_is_an_argument_of_a_graphql_query() -> None:
    """Queries may be sent by GET, and an address is written into logs and histories."""
    asked = [op for op in operations() if any(kind == "query" for kind, *_ in graphql_fields().get(op.name, ()))]
    secret = {op.name for op in asked if any(not info.repr for info in op.input.model_fields.values())}
    assert secret == set()


@for_every(ROUTES, ids=lambda r: f"{r.method} {r.path}")
def test_every_field_of_a_wire_model_resolves(route: Route) -> None:
    if route.wire is not None:
        assert shape_of(route.wire) == route.shape
    assert set(route.parameters) <= {*route.operation.input.model_fields, "workspace_id"}, (
        "a path parameter that the operation does not take"
    )


@for_every([pytest.param(n, f, id=f"{n}-{f[1]}") for n, fields in sorted(graphql_fields().items()) for f in fields])
def test_every_graphql_field_compiles_to_its_operation(name: str, bound: tuple[str, str, Any]) -> None:
    """All leaves of the answer at once take the compiled path: none needs the executor."""
    kind, field, definition = bound
    arguments = dict.fromkeys(
        a for a in definition.args if required_arguments(definition) and str(definition.args[a].type).endswith("!")
    )
    made = Document(SCHEMA, document(kind, field, definition, arguments), None)
    assert not made.errors, made.errors
    plan = made.compile(made.tree(), {})
    assert plan.complete
    assert [root.operation.name for root in plan.roots if isinstance(root, Root)] == [name]


def said_again(module: ast.Module) -> Iterator[str]:
    """Parts of a declaration that follow from the rest of it."""
    for call in ast.walk(module):
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ("command", "query", "procedure"):
            said = {keyword.arg or "": ast.unparse(keyword.value) for keyword in call.keywords}
            if "subject" in said and "Code.NOT_FOUND" in said.get("errors", ""):
                yield "errors"
            if said.get("auth") == "Auth.NONE" and said.get("tenancy") == "Tenancy.NONE":
                yield "tenancy"
            if said.get("auth") in ("Auth.INTERNAL", "Auth.WEBHOOK") and said.get("surfaces") == "REST_ONLY":
                yield "surfaces"


@for_every(python_files("resolvers"), ids=name_of)
def test_a_declaration_leaves_out_what_follows(path: Path) -> None:
    assert [*said_again(tree(path))] == []


def test_what_a_declaration_says_again_is_seen() -> None:
    assert [*said_again(ast.parse("query('a', subject=S, errors=(Code.NOT_FOUND,))"))] == ["errors"]
    assert [*said_again(ast.parse("command('b', auth=Auth.NONE, tenancy=Tenancy.NONE)"))] == ["tenancy"]
    assert [*said_again(ast.parse("command('c', auth=Auth.INTERNAL, surfaces=REST_ONLY)"))] == ["surfaces"]
    assert [*said_again(ast.parse("query('a', errors=(Code.NOT_FOUND,))"))] == []
