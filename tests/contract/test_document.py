"""The OpenAPI document: valid, of public names, and whole: roles, examples, and what answers and bodies really hold."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from resolvers.kernel.declarations.operation import Operation
from resolvers.kernel.ground.inputs import validate
from rest_compat.http import openapi
from rest_compat.http.routes import ROUTES
from rest_compat.http.table import Route, ValueOf
from tests.every import for_every
from tests.generation.registry import routes_of
from tests.generation.surfaces import Outcome

pytestmark = pytest.mark.thorough

DOCUMENT = openapi.document()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
ID = "cm4xq8v7k0000a1b2c3d4"
IN_PATHS = {"admin.retention_set.kind": "journal"}


def documented(route: Route) -> dict[str, Any]:
    return DOCUMENT["paths"][route.path][route.method.lower()]  # type: ignore[no-any-return]


WITH_BODY = [
    pytest.param(route, id=f"{route.method} {route.path}")
    for route in ROUTES
    if "application/json" in documented(route).get("requestBody", {}).get("content", {})
]


def within(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def parts(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of the document but examples."""
    if isinstance(node, dict):
        yield node
        for name, value in node.items():
            if name != "example":
                yield from parts(value)
    elif isinstance(node, list):
        for value in node:
            yield from parts(value)


def test_it_is_valid() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_the_validator_finds_a_default_that_its_own_schema_forbids() -> None:
    broken = {"type": "object", "properties": {"name": {"type": "string", "minLength": 1, "default": ""}}}
    document = DOCUMENT | {"components": {"schemas": SCHEMAS | {"Broken": broken}}}
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]


def test_names_are_public_and_unique() -> None:
    titles = [schema["title"] for schema in SCHEMAS.values() if "title" in schema]
    assert [name for name in [*SCHEMAS, *titles] if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name)] == []
    assert [name for name, times in Counter(titles).items() if times > 1] == []
    ids = [operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert [name for name, times in Counter(ids).items() if times > 1] == []


def test_no_component_is_there_for_nothing() -> None:
    used = {part["$ref"].rsplit("/", 1)[1] for part in parts(DOCUMENT) if isinstance(part.get("$ref"), str)}
    assert set(SCHEMAS) - used == set()


def test_every_operation_says_whom_it_requires() -> None:
    told = {
        operation["operationId"]: operation.get("description", "")
        for path in DOCUMENT["paths"].values()
        for operation in path.values()
    }
    assert [name for name, text in told.items() if "Requires: " not in text] == []
    assert told["crews.create"].endswith("Requires: `create` (OWNER, ADMIN, MANAGER).")
    assert told["issues.create"].endswith("or the capability `issue.create`.")
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    used = {tag for path in DOCUMENT["paths"].values() for operation in path.values() for tag in operation["tags"]}
    assert tags == used


def test_the_values_of_roles_are_explained() -> None:
    values = {operation["x-crewship-role"] for path in DOCUMENT["paths"].values() for operation in path.values()}
    assert [value for value in sorted(values) if f"`{value}`" not in DOCUMENT["info"]["description"]] == []


@for_every(WITH_BODY)
def test_a_body_has_no_defaults(route: Route) -> None:
    """Generators of types take one for a property that is always there."""
    schema = documented(route)["requestBody"]["content"]["application/json"]["schema"]
    reached, open_ = dict[str, Any](), [schema]
    while open_:
        for part in parts(open_.pop()):
            name = str(part.get("$ref", "")).rsplit("/", 1)[-1]
            if name and name not in reached:
                reached[name] = SCHEMAS[name]
                open_.append(SCHEMAS[name])
    properties = [
        (name, part)
        for whole in (schema, *reached.values())
        for holder in parts(whole)
        for name, part in holder.get("properties", {}).items()
        if isinstance(part, dict)
    ]
    assert [name for name, part in properties if "default" in part] == []


@for_every(WITH_BODY)
def test_a_body_has_an_example_that_is_good(route: Route) -> None:
    content = documented(route)["requestBody"]["content"]["application/json"]
    example = content["example"]
    assert [error.message for error in within(content["schema"]).iter_errors(example)] == []
    raw = {route.body.field: example} if isinstance(route.body, ValueOf) else dict(example)
    for name, info in route.operation.input.model_fields.items():
        if name in route.parameters or (name in route.in_query and info.is_required()):
            raw[name] = IN_PATHS.get(f"{route.operation.name}.{name}", ID)
    validate(route.operation.input, raw)


def is_as_documented(op: Operation[Any], outcome: Outcome) -> None:
    """Checks the REST answer to valid input."""
    responses = documented(routes_of(op)[0])["responses"]
    assert str(outcome.status) in responses, str(outcome)
    content = responses[str(outcome.status)].get("content", {})
    if isinstance(outcome.body, bytes) and outcome.body:
        assert set(content) != {"application/json"}, str(outcome)
    elif "application/json" in content:
        content = content["application/json"]
        assert [error.message for error in within(content["schema"]).iter_errors(outcome.body)] == [], str(outcome)
