"""OpenAPI 3.1 of the route table: parameters and bodies from the inputs, responses from the wire models, errors from the operations."""

from functools import cache
from typing import Any, get_args, get_origin

import orjson
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from resolvers.kernel.errors import Code
from resolvers.kernel.gate import Tenancy
from resolvers.kernel.operation import Auth, Operation
from resolvers.kernel.policy import Action
from rest_compat.errors import STATUS
from rest_compat.problem import REASON_PHRASES
from rest_compat.routes import ROUTES
from rest_compat.table import PARAMETER, Route

REFERENCE = "#/components/schemas/{model}"
PROBLEM = {
    "type": "object",
    "description": "RFC 7807, and the same text under `error`.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "error": {"type": "string"},
        "fields": {"type": "object", "additionalProperties": {"type": "string"}, "description": "What is wrong with which field."},
    },
    "required": ["type", "title", "status", "detail", "instance", "error"],
}


def _model(wire: Any) -> type[BaseModel]:
    return get_args(wire)[0] if get_origin(wire) is list else wire  # type: ignore[no-any-return]


@cache
def document() -> dict[str, Any]:
    """The whole document. The same table always gives the same document."""
    wires = [(_model(r.wire), "serialization") for r in ROUTES if r.wire is not None]
    inputs = [(r.operation.input, "validation") for r in ROUTES if r.operation.input.model_fields]
    models, definitions = models_json_schema([*dict.fromkeys(wires), *dict.fromkeys(inputs)], ref_template=REFERENCE)  # type: ignore[list-item]
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, models, definitions.get("$defs", {}))
    schemas = dict(sorted(definitions.get("$defs", {}).items())) | {"Problem": PROBLEM}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Crewship", "version": "1", "description": "The REST API. The same operations are served as GraphQL at /graphql."},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A CLI token, or a session token."},
                "session": {"type": "apiKey", "in": "cookie", "name": "authjs.session-token"},
            },
        },
    }


def encoded() -> bytes:
    return _encoded()


@cache
def _encoded() -> bytes:
    return orjson.dumps(document())


def _operation(route: Route, models: dict[Any, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    op, fields = route.operation, route.operation.input.model_fields
    lines = op.doc.split("\n\n", 1)
    made: dict[str, Any] = {
        "operationId": op.name if route is _first(op) else f"{op.name}.{route.method.lower()}",
        "summary": lines[0].replace("\n", " "),
        "tags": [op.name.split(".")[0]],
        "x-crewship-role": op.action.value,
    }
    if len(lines) > 1:
        made["description"] = lines[1]
    if op.deprecated is not None:
        made["deprecated"] = True
    made["security"] = [] if op.auth is Auth.NONE else [{"bearer": []}, {"session": []}]
    parameters = _parameters(route, definitions)
    if parameters:
        made["parameters"] = parameters
    if route.takes_body:
        schema = models.get((op.input, "validation"), {"type": "object"})
        content = {"application/json": {"schema": _without(schema, route.parameters, definitions)}}
        made["requestBody"] = {
            "required": not route.optional_body and any(f.is_required() for n, f in fields.items() if n not in route.parameters),
            "content": content,
        }
    made["responses"] = _responses(route, models)
    return made


def _first(op: Operation[Any]) -> Route:
    return next(r for r in ROUTES if r.operation is op)


def _without(reference: dict[str, Any], names: tuple[str, ...], definitions: dict[str, Any]) -> dict[str, Any]:
    """The input without what the path says."""
    schema = definitions.get(reference.get("$ref", "").rsplit("/", 1)[-1], {})
    if not names or not schema:
        return reference
    kept = {n: s for n, s in schema.get("properties", {}).items() if n not in names}
    required = [n for n in schema.get("required", ()) if n not in names]
    return {"type": "object", "properties": kept, **({"required": required} if required else {})}


def _parameters(route: Route, definitions: dict[str, Any]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in PARAMETER.findall(route.path)]
    if route.operation.tenancy is Tenancy.WORKSPACE and "{workspaceId}" not in route.path:
        text = "Id or slug of the workspace; the header X-Workspace-ID does as well."
        made.append({"name": "workspace_id", "in": "query", "required": False, "description": text, "schema": {"type": "string"}})
    if route.method in ("GET", "DELETE"):
        properties = definitions.get(route.operation.input.__name__, {}).get("properties", {})
        for name, info in route.operation.input.model_fields.items():
            if name not in route.parameters and name not in ("first", "after"):
                made.append({"name": name, "in": "query", "required": info.is_required(), "schema": properties.get(name, {"type": "string"})})
    return made


def _responses(route: Route, models: dict[Any, Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": REASON_PHRASES[route.status]}
    if route.wire is not None:
        schema = models[(_model(route.wire), "serialization")]
        schema = {"type": "array", "items": schema} if get_origin(route.wire) is list else schema
        schema = {"type": "object", "properties": {route.envelope: schema}, "required": [route.envelope]} if route.envelope else schema
        good["content"] = {"application/json": {"schema": schema}}
    made = {str(route.status): good}
    for code in sorted(_codes(route), key=lambda c: STATUS[c]):
        status = STATUS[code]
        made[str(status)] = {"description": REASON_PHRASES[status], "content": {"application/json": {"schema": {"$ref": REFERENCE.format(model="Problem")}}}}
    return made


def _codes(route: Route) -> set[Code]:
    """What the operation declares, and what its auth, role and input imply."""
    op = route.operation
    codes = {Code.RATE_LIMITED, Code.UNAVAILABLE, *op.errors}
    if op.auth is not Auth.NONE:
        codes.add(Code.UNAUTHENTICATED)
    if op.tenancy is not Tenancy.NONE or op.action not in (Action.NONE, Action.SELF):
        codes |= {Code.FORBIDDEN, Code.BAD_REQUEST}
    if op.input.model_fields:
        codes.add(Code.BAD_REQUEST)
    if route.takes_body:
        codes.add(Code.TOO_LARGE)
    return codes
