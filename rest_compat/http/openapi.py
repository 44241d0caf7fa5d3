"""OpenAPI 3.1 of the routes: parameters and bodies from inputs, responses from wire models, errors from operations."""

import gzip
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args, get_origin

import orjson
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from models.base import table_of
from models.people.workspaces import Role
from resolvers.errors import Code
from resolvers.kernel.admission.gate import Tenancy
from resolvers.kernel.declarations.operation import Auth, Operation
from resolvers.kernel.declarations.outputs import Absent
from resolvers.kernel.ground.inputs import Input, Paging
from resolvers.kernel.ground.patch import Patch
from resolvers.kernel.ground.policy import GATES, RANK, Action
from resolvers.kernel.reader import View
from resolvers.kernel.writing.idempotency import LONGEST_KEY
from resolvers.problem import REASON_PHRASES
from rest_compat.http.errors import STATUS
from rest_compat.http.examples import example
from rest_compat.http.routes import ROUTES
from rest_compat.http.table import PARAMETER, Form, Route, ValueOf

BY_CURSOR = ("first", "after", "last", "before")  # clients of REST have limit and offset
REFERENCE = "#/components/schemas/{model}"
PROBLEM = {
    "type": "object",
    "description": "Problem details of RFC 7807; `error` repeats the text of `detail`.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "error": {"type": "string"},
        "fields": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "Error message by field.",
        },
    },
    "required": ["type", "title", "status", "detail", "instance", "error"],
}


SECURITY: dict[Auth, list[dict[str, list[str]]]] = {
    Auth.NONE: [],
    Auth.USER: [{"bearer": []}, {"session": []}],
    Auth.INTERNAL: [{"internal": []}],
    Auth.WEBHOOK: [{"webhook": []}],
}
CREDENTIAL: dict[Auth, str] = {
    Auth.NONE: "Requires: no credential.",
    Auth.INTERNAL: "Requires: an internal token.",
    Auth.WEBHOOK: "Requires: a webhook that is signed with the agent's secret.",
}
ABOUT = """The REST API. The same operations are served as GraphQL at /graphql.

Each operation states its requirements; `x-crewship-role` is the same for programs:

| value | who may call the operation |
| --- | --- |
| `none`, `self` | every signed-in user; everybody if no credential is required |
| `read`, `participate` | every member of the workspace |
| `create`, `update` | MANAGER, ADMIN, OWNER |
| `manage`, `delete` | ADMIN, OWNER |
| `owner` | OWNER |
"""
NULL = {"type": "null"}
FLAG = "Only `true` means true."
SKIPPED = "Number of items to skip; a value that is not a whole number means 0."
BESIDE = ("title", "description")  # what is said of a property, not of its values
ETAG = {"description": "Version of the resource, for If-Match and If-None-Match.", "schema": {"type": "string"}}
IF_MATCH = (
    "If-Match",
    "Apply only if this is the current version: the ETag of an earlier answer, or *.",
    {"type": "string", "pattern": r'^(\*|"v[0-9]{1,9}(-[0-9a-f]*)?")$'},
)
IF_NONE_MATCH = ("If-None-Match", "Answer 304 if the current ETag is listed.", {"type": "string"})
KEY = (
    "Idempotency-Key",
    "Repeating a request with the same key within a day returns the stored answer.",
    {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
)


class _Schemas(GenerateJsonSchema):
    """Facts that pydantic cannot know: keys that answers leave out, that a null counts as absent in inputs (contract:
    requests.null_values), and that a default belongs to Python. An answer has every key that it does not leave out;
    type generators would read a default in a body as a property that is always present.
    """

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made, cls = super().model_schema(schema), schema["cls"]
        parts: dict[str, Any] = made.get("properties", {})
        required = made.get("required", [])
        if issubclass(cls, Input):
            stays = issubclass(cls, Patch)
            parts = {n: _told(p, stays) if n in required else _nullable(_told(p, stays)) for n, p in parts.items()}
        elif self.mode == "serialization":
            absent = {
                info.alias or name
                for name, info in cls.model_fields.items()
                if any(isinstance(m, Absent) for m in info.metadata)
            }
            parts = {
                name: {key: value for key, value in part.items() if key != "default"} for name, part in parts.items()
            }
            required = [name for name in parts if name not in absent]
        made.pop("required", None)
        return made | ({"properties": parts} if parts else {}) | ({"required": required} if required else {})


def _told(part: dict[str, Any], stays: bool) -> dict[str, Any]:
    """Removes the default and describes it in words. `stays`: an absent value changes nothing."""
    default = part.get("default")
    kept = {name: value for name, value in part.items() if name != "default"}
    if stays or default in (None, "", [], {}):
        return kept
    text = f"Default: `{default if isinstance(default, str) else orjson.dumps(default).decode()}`."
    return kept | {"description": f"{kept['description']} {text}" if "description" in kept else text}


def _nullable(part: dict[str, Any]) -> dict[str, Any]:
    choices = part.get("anyOf", [{name: value for name, value in part.items() if name not in BESIDE}])
    return {name: part[name] for name in BESIDE if name in part} | {
        "anyOf": choices if NULL in choices else [*choices, NULL]
    }


def _model(wire: Any) -> type[BaseModel]:
    return get_args(wire)[0] if get_origin(wire) is list else wire  # type: ignore[no-any-return]


def document() -> dict[str, Any]:
    """The whole document. The same table always gives the same document."""
    forms = [r.form.route for r in ROUTES if r.form is not None]
    wires = [(_model(r.wire), "serialization") for r in (*ROUTES, *forms) if r.wire is not None]
    inputs = [(r.operation.input, "validation") for r in ROUTES if r.operation.input.model_fields]
    wanted: list[Any] = [*dict.fromkeys(wires), *dict.fromkeys(inputs)]
    models, definitions = models_json_schema(wanted, ref_template=REFERENCE, schema_generator=_Schemas)
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, models, definitions.get("$defs", {}))
    schemas = _reached(paths, definitions.get("$defs", {}) | {"Problem": PROBLEM})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Crewship",
            "version": "1",
            "description": ABOUT,
            "contact": {"name": "Crewship"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in sorted({route.operation.name.split(".")[0] for route in ROUTES})],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A CLI token or a session token. Not needed in a browser that is signed in.",
                },
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "authjs.session-token",
                    "description": (
                        "Set by signing in, and sent by the browser. Over HTTPS: `__Secure-authjs.session-token`."
                    ),
                },
                "internal": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-Internal-Token",
                    "description": "Secret of an internal program next to the server.",
                },
                "webhook": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-Signature",
                    "description": "Signature made with the agent's webhook secret.",
                },
            },
        },
    }


@cache
def encoded() -> bytes:
    """The encoded document, which alone is kept. The first encoding takes too long for the event loop."""
    return orjson.dumps(document())


@cache
def packed() -> bytes:
    """The same for clients that take gzip, a tenth as long."""
    return gzip.compress(encoded(), 6, mtime=0)


def _operation(route: Route, models: dict[Any, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    op = route.operation
    summary, _, description = op.doc.partition("\n\n")
    made: dict[str, Any] = {
        "operationId": op.name if route is _first(op) else f"{op.name}.{route.method.lower()}",
        "summary": summary.removesuffix("."),
        "tags": [op.name.split(".")[0]],
        "x-crewship-role": op.action.value,
    }
    made["description"] = "\n\n".join([*([description] if description else []), _requires(op)])
    if op.deprecated is not None:
        made["deprecated"] = True
    made["security"] = SECURITY[op.auth]
    parameters = _parameters(route, definitions)
    if parameters:
        made["parameters"] = parameters
    if route.takes_body:
        schema = models.get((op.input, "validation"), {"type": "object"})
        schema = _body(route, schema, definitions)
        if isinstance(route.body, ValueOf):
            whole = definitions.get(schema.get("$ref", "").rsplit("/", 1)[-1], schema)
            schema = whole["properties"][route.body.field]
        content = {"application/json": {"schema": schema, "example": example(made["operationId"], schema, definitions)}}
        made["requestBody"] = {"required": not route.optional_body, "content": content}
    if route.upload is not None:
        made["requestBody"] = {"required": True, "content": route.upload.documented()}
    made["responses"] = _responses(route, models)
    return made


def _requires(op: Operation[Any]) -> str:
    """The required role, for people; programs read `x-crewship-role`."""
    if op.auth is not Auth.USER:
        return CREDENTIAL[op.auth]
    if op.action in (Action.NONE, Action.SELF):
        return f"Requires: a signed-in user (`{op.action.value}`)."
    roles: list[Role] = sorted(GATES[op.action], key=lambda role: -RANK[role])
    more = "" if op.or_capability is None else f", or the capability `{op.or_capability.value}`"
    return f"Requires: `{op.action.value}` ({', '.join(roles)}){more}."


def _reached(paths: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The definitions that the paths lead to."""
    found, open_ = dict[str, Any](), list(_references(paths))
    while open_:
        name = open_.pop()
        if name not in found:
            found[name] = definitions[name]
            open_ += _references(definitions[name])
    return dict(sorted(found.items()))


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"].rsplit("/", 1)[1]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def _first(op: Operation[Any]) -> Route:
    return next(r for r in ROUTES if r.operation is op)


def _body(route: Route, reference: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The input without the parts in the address."""
    schema = definitions.get(reference.get("$ref", "").rsplit("/", 1)[-1], {})
    elsewhere = {*route.parameters, *route.in_query}
    if not elsewhere or not schema:
        return reference
    kept = {n: part for n, part in schema.get("properties", {}).items() if n not in elsewhere}
    required = [n for n in schema.get("required", ()) if n not in elsewhere]
    return {"type": "object", "properties": kept, **({"required": required} if required else {})}


def _parameters(route: Route, definitions: dict[str, Any]) -> list[dict[str, Any]]:
    op = route.operation
    made: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in PARAMETER.findall(route.path)
    ]
    if op.tenancy is Tenancy.WORKSPACE and "{workspaceId}" not in route.path:
        text = "Id or slug of the workspace"
        text += "." if route.place_in_query else "; the header X-Workspace-ID is an alternative."
        made.append(
            {
                "name": "workspace_id",
                "in": "query",
                "required": False,
                "description": text,
                "schema": {"type": "string"},
            }
        )
    by_query = (route.method in ("GET", "DELETE") and not route.with_body) or route.upload is not None
    properties = definitions.get(op.input.__name__, {}).get("properties", {})
    for name, info in op.input.model_fields.items():
        if route.upload is not None and name == route.upload.instead_of:
            continue
        if name in route.in_query or (
            by_query and route.reads is None and name not in route.parameters and name not in BY_CURSOR
        ):
            made.append(
                {
                    "name": name,
                    "in": "query",
                    "required": info.is_required(),
                    **({} if info.is_required() else {"allowEmptyValue": True}),
                    **_in_query(op.input, name, properties.get(name, {"type": "string"})),
                }
            )
    made += [] if route.form is None else _of_form(route.form)
    headers = [
        (op.versioned is not None, IF_MATCH),
        (_tagged(route) and route.method == "GET", IF_NONE_MATCH),
        (_repeatable(op), KEY),
    ]
    for applies, (name, text, schema) in headers:
        if applies:
            made.append({"name": name, "in": "header", "required": False, "description": text, "schema": schema})
    return made


def _of_form(form: Form) -> list[dict[str, Any]]:
    """The parameter that asks for another form of the answer, and further parameters of that form."""
    flag: dict[str, Any] = {"name": form.flag, "description": form.about}
    others = [{"name": name, "description": text} for name, text in form.takes.items()]
    return [
        each | {"in": "query", "required": False, "allowEmptyValue": True, "schema": {"type": "string"}}
        for each in (flag, *others)
    ]


def _in_query(model: type[Input], name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A window never makes a query fail (contract: pagination), and a flag that is not `true` is off. What is sent
    without a value counts as not sent (contract: requests.empty_query_value).
    """
    if issubclass(model, Paging) and name == "page":
        return {
            "description": "Number of the page, from 1; any other value means the first page.",
            "schema": {"type": ["integer", "string"], "default": 1},
        }
    if issubclass(model, Paging) and name in ("limit", "offset"):
        text = model.size_rule() if name == "limit" else SKIPPED
        return {
            "description": text,
            "schema": {"type": ["integer", "string"], "default": model.page_default if name == "limit" else 0},
        }
    if {"type": "boolean"} in schema.get("anyOf", ()):
        return {"description": FLAG, "schema": {"type": ["boolean", "string"], "default": False}}
    return {"schema": schema}


def _tagged(route: Route) -> bool:
    """Returns true if the answer is one row with a version."""
    model = route.operation.model
    return (
        route.shape is not None and route.shape.form == "object" and route.answers is None
        and hasattr(model, "__table__") and not issubclass(model, View) and "version" in table_of(model).c
    )  # fmt: skip


def _repeatable(op: Operation[Any]) -> bool:
    return op.kind == "command" and op.auth in (Auth.USER, Auth.INTERNAL)


def _responses(route: Route, models: dict[Any, Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": REASON_PHRASES[route.status]}
    if route.wire is not None:
        schema = _of_wire(route.wire, models)
        if route.form is not None and route.form.route.wire is not None:
            schema = {"anyOf": [schema, _of_wire(route.form.route.wire, models)]}
        schema = (
            {"type": "object", "properties": {route.envelope: schema}, "required": [route.envelope]}
            if route.envelope
            else schema
        )
        good["content"] = {"application/json": {"schema": schema}}
    if route.form is not None and route.form.route.gives is not None:
        good["content"] |= route.form.route.gives.documented({})["200"]["content"]
    if route.sends is not None:
        good["content"] = {route.sends: {"schema": {"type": "string"}}}
    made = {str(route.status): good}
    if route.gives is not None:
        made |= route.gives.documented(good)
    if _tagged(route):
        good["headers"] = {"ETag": ETAG}
        if route.method == "GET":
            made["304"] = {"description": REASON_PHRASES[304], "headers": {"ETag": ETAG}}
    for code in sorted(_codes(route), key=lambda c: STATUS[c]):
        status = STATUS[code]
        made[str(status)] = {
            "description": REASON_PHRASES[status],
            "content": {"application/json": {"schema": {"$ref": REFERENCE.format(model="Problem")}}}
            | ({"text/plain": {"schema": {"type": "string"}}} if route.in_text else {}),
        }
    if route.or_status is not None:
        made[str(route.or_status)] = good | {"description": REASON_PHRASES[route.or_status]}
    if route.redirects is not None:
        made["302"] = {"description": route.redirects}
    if route.probe:
        made[str(STATUS[Code.UNAVAILABLE])] |= {"content": good["content"]}
    return made


def _of_wire(wire: Any, models: dict[Any, Any]) -> Any:
    schema = models[(_model(wire), "serialization")]
    return {"type": "array", "items": schema} if get_origin(wire) is list else schema


def _codes(route: Route) -> set[Code]:
    """The codes that the operation declares, and those that its auth, role, input and headers imply."""
    op = route.operation
    codes = {Code.RATE_LIMITED, Code.UNAVAILABLE, *op.errors}
    if op.auth is not Auth.NONE:
        codes.add(Code.UNAUTHENTICATED)
    if op.tenancy is not Tenancy.NONE or op.action not in (Action.NONE, Action.SELF):
        codes |= {Code.FORBIDDEN, Code.BAD_REQUEST}
    if op.auth is Auth.INTERNAL and op.tenancy is Tenancy.WORKSPACE:
        codes.add(Code.NOT_FOUND)  # the workspace that a program names
    if op.input.model_fields:
        codes.add(Code.BAD_REQUEST)
    # an origin elsewhere, and a body, of which one is read even where none is wanted
    if route.method not in ("GET", "HEAD"):
        codes |= {Code.FORBIDDEN, Code.TOO_LARGE}
    if op.versioned is not None:
        codes.add(Code.PRECONDITION_FAILED)
    if _repeatable(op):
        codes |= {Code.BAD_REQUEST, Code.UNPROCESSABLE, *([Code.CONFLICT] if op.secret else [])}
    return codes
