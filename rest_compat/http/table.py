"""Routes: method, documented path, operation, wire model. Roles, auth and validation come from the operation."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from inspect import get_annotations
from typing import Annotated, Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict
from sqlmodel import SQLModel

from resolvers.errors import Refusal
from resolvers.identity.caller import Caller
from resolvers.identity.webhook_senders import SenderClaim, read_claim
from resolvers.instance.store import Opened
from resolvers.kernel.declarations.operation import Answer, Auth, Operation, Surface
from resolvers.kernel.declarations.outputs import Absent, Output
from resolvers.kernel.declarations.query import Query
from resolvers.kernel.ground.inputs import NoInput, bare
from resolvers.kernel.ground.streamed import Streamed
from resolvers.kernel.reader import (
    GRAPHS,
    Beside,
    Column,
    Constant,
    Derived,
    Edge,
    EnvelopeShape,
    InputValue,
    Item,
    Nested,
    Shape,
    columns_of,
    intern,
    value_type,
)
from rest_compat.http.errors import Headers
from rest_compat.http.streams import Download, Part, Streaming, Upload

CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")
PARAMETER = re.compile(r"\{([A-Za-z]+)\}")


@dataclass(frozen=True, slots=True)
class From:
    """The wire name is not the column's or edge's: `agents: Annotated[int, From("agent_count")]`."""

    name: str


@dataclass(frozen=True, slots=True)
class ValueOf:
    """The body of the route is the JSON value of one field of the input, of any type."""

    field: str


@dataclass(frozen=True, slots=True)
class Null:
    """A key this route documents as always null."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A key this route documents as always the same: as JSON."""

    json: str


@dataclass(frozen=True, slots=True)
class IfAsked:
    """A key of rows that an edge leads to, which is left out unless this flag of the input is set."""

    flag: str


class Wire(BaseModel):
    """The answer of a REST route: documentation for OpenAPI, and a Shape for the reader. Never instantiated.

    `fields` lists its keys, in order. Those without an annotation have the type of the column or derived value; those
    of `absent` are left out while they are null.
    """

    model_config = ConfigDict(defer_build=True)
    __of__: type[SQLModel] | None = None
    fields: ClassVar[str] = ""
    absent: ClassVar[str] = ""

    def __init_subclass__(cls, of: type[SQLModel] | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if of is not None:
            cls.__of__ = of
        if "fields" in cls.__dict__:
            cls.__annotations__ = _listed(cls, get_annotations(cls))

    @classmethod
    def shaped(cls) -> Shape:
        if cls.__of__ is None:
            raise TypeError(f"{cls.__name__} needs of=")
        model = cls.__of__
        return intern(Shape(tuple(_item(cls, model, name, info) for name, info in cls.model_fields.items())))


def _listed(wire: type[Wire], own: dict[str, Any]) -> dict[str, Any]:
    """The annotations of a wire model: its own, and those that follow from its model."""
    names, absent = wire.fields.split(), wire.__dict__.get("absent", "").split()
    unlisted = {*own, *absent} - {*names}
    if unlisted or wire.__of__ is None:
        raise TypeError(f"{wire.__name__} needs of=, and `fields` lists all of its keys: {', '.join(sorted(unlisted))}")
    made = {name: own[name] if name in own else value_type(wire.__of__, name) for name in names}
    return made | {name: Annotated[made[name], Absent()] for name in absent}


class ByKey(Wire):
    """A list as one object: the fields `key` and `value` of a subclass say which columns hold its keys and values."""

    @classmethod
    def shaped(cls) -> Shape:
        made = super().shaped()
        if [item.key for item in made.fields] != ["key", "value"]:
            raise TypeError(f"{cls.__name__} has a key and a value, and nothing else")
        return intern(Shape(made.fields, "map"))

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        object_ = handler.resolve_ref_schema(handler(core))
        value = object_.pop("properties")["value"]
        del object_["required"]
        value.pop("title", None)
        return object_ | {"additionalProperties": value or True}  # type: ignore[no-any-return]


def shape_of(wire: Any) -> Shape | None:
    """The shape behind a wire model; None for an Output, which is written whole."""
    if get_origin(wire) is list:
        inner = shape_of(get_args(wire)[0])
        return None if inner is None else intern(Shape(inner.fields, "list"))
    return wire.shaped() if issubclass(wire, Wire) else None


def _item(wire: type[Wire], model: type[SQLModel], name: str, info: Any) -> Item:
    key = info.alias or name
    source = next((m.name for m in info.metadata if isinstance(m, From)), name)
    if any(isinstance(m, Null) for m in info.metadata):
        return Constant(key, None)
    fixed = next((m.json for m in info.metadata if isinstance(m, Fixed)), None)
    if fixed is not None:
        return Constant(key, fixed, plain=True)
    absent = next((m for m in info.metadata if isinstance(m, Absent)), None)
    kind = bare(info.annotation)
    nested = get_args(kind)[0] if get_origin(kind) is list else kind
    is_wire = isinstance(nested, type) and issubclass(nested, Wire)
    entry = GRAPHS.get(model, {}).get(source)
    if isinstance(entry, Edge):
        inner = shape_of(kind) if is_wire else Shape((), "count")
        asked = next((m.flag for m in info.metadata if isinstance(m, IfAsked)), None)
        zero = absent is not None and absent.zero
        return Nested(key, source, inner or Shape(()), absent=absent is not None, zero=zero, asked=asked)
    if isinstance(entry, Derived) or source in columns_of(model):
        return Column(key, source, absent=absent is not None, zero=absent is not None and absent.zero)
    if is_wire and nested.__of__ is model:
        return Nested(key, None, shape_of(kind) or Shape(()), absent=absent is not None)
    raise TypeError(f"{wire.__name__}.{name}: {model.__name__} has no column and no edge '{source}'")


@dataclass(slots=True)
class Request:
    """The HTTP request for routes with their own reader or answer.

    A reader may name the workspace, and the reason why the body cannot be read, which only callers with permission see.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[bytes, bytes]
    body: bytes
    caller: Caller
    place: str | None = None
    also: tuple[str, ...] = ()  # other names of the workspace
    fault: Refusal | None = None


@dataclass(slots=True)
class Reply:
    status: int
    body: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    part: Part | None = None  # sent instead of a body

    def all_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers with the length of the body, if the status has one."""
        return (
            self.headers
            if self.status in (204, 304) or self.part is not None
            else [*self.headers, (b"content-length", b"%d" % len(self.body))]
        )


Reading = Callable[[Request], dict[str, Any]]
Writing = Callable[[Request, Answer], Reply | Awaitable[Reply]]
Refusing = Callable[[Mapping[bytes, bytes], Refusal], Reply | None]
Claims = Callable[[Mapping[bytes, bytes]], SenderClaim]


@dataclass(eq=False)
class Route:
    """`reads` and `answers` replace the JSON body and answer if a route is documented otherwise.

    `in_query`: fields that a route with a body takes from the query. `kept_empty`: parameters of the query of which an
    empty value is a value. `completes` adds defaults of the route to a query.
    `place_in_query`: the header does not name the workspace. `envelope` wraps the answer in an object with that key.
    `with_body`: a DELETE whose input is a JSON body. `optional_body`: an empty or unreadable body counts as none.
    `body`: ValueOf, or Upload, and `gives`: Download or Streaming, are bodies of any size; the other fields of an
    Upload's command come from the query, and the rows of a Streaming have the shape of `wire`. The documentation of
    `answers` is in `redirects`, which says who is redirected, `or_status`, another status with the same body, and
    `probe`: the unavailable answer has the same body, and `sends`, the media
    type of a body that is no JSON. `refuses`: another answer to a refusal, by the headers of the
    request, for a route that browsers open; `in_text`: it is plain text. `heads`: headers of every answer, including
    refusals, by the known facts about the caller. `form`: another answer, if the query asks for it. `claims`: reads the
    unverified claim of a webhook.
    """

    method: str
    path: str
    operation: Operation[Any]
    wire: Any = None
    status: int = 200
    envelope: str | None = None
    optional_body: bool = False
    in_query: tuple[str, ...] = ()
    kept_empty: tuple[str, ...] = ()
    place_in_query: bool = False
    completes: Callable[[dict[str, str]], dict[str, str]] | None = None
    reads: Reading | None = None
    answers: Writing | None = None
    refuses: Refusing | None = None
    in_text: bool = False
    heads: Callable[[Caller], Headers] | None = None
    body_limit: int | None = None
    redirects: str | None = None
    or_status: int | None = None
    probe: bool = False
    sends: str | None = None
    with_body: bool = False
    body: Upload | ValueOf | None = None
    gives: Download | Streaming | None = None
    form: "Form | None" = None
    claims: Claims = read_claim
    parameters: tuple[str, ...] = field(init=False)
    takes_body: bool = field(init=False)
    streams: bool = field(init=False)
    upload: Upload | None = field(init=False)

    def __post_init__(self) -> None:
        self.operation.published.append(lambda: self.shape)
        fields = self.operation.input.model_fields
        self.parameters = tuple(_field_of(name, fields) for name in PARAMETER.findall(self.path))
        self.upload = self.body if isinstance(self.body, Upload) else None
        self.takes_body = (
            self.upload is None
            and (self.method in ("POST", "PUT", "PATCH") or self.with_body)
            and bool(fields.keys() - {*self.parameters, *self.in_query})
        )
        op, self.streams = self.operation, self.upload is not None or self.gives is not None
        if isinstance(self.body, ValueOf) and fields.keys() - set(self.parameters) != {self.body.field}:
            raise TypeError(f"{op.name}: the path says all but the value of {self.body.field}")
        told = self.upload is not None and self.upload.instead_of is not None
        if self.streams and ((Surface.GRAPHQL in op.surfaces and not told) or op.auth is Auth.WEBHOOK):
            raise TypeError(f"{op.name}: only REST takes a body of any size, without a signature")
        given = {Opened: Download, Streamed: Streaming}.get(op.returns, type(None))
        if type(self.gives) is not given:
            raise TypeError(
                f"{op.name}: a route gives a Download where its operation returns an opened file, and only there; and"
                " a Streaming where it returns what is Streamed"
            )
        if given is Streaming and not getattr(op, "late", False):
            raise TypeError(f"{op.name} would hold a connection while it streams its answer: declare it `late`")
        if self.upload is not None and not op.late:
            raise TypeError(f"{op.name} receives its body before its transaction begins: declare it `late`")

    def asked_for(self, query: Mapping[str, str]) -> "Route":
        """The route of the form that a query asks for."""
        form = self.form
        return self if form is None or query.get(form.flag) != form.value else form.route

    @cached_property
    def shape(self) -> Shape | None:
        """Made with the first request: a start is asked for few of all routes."""
        made = None if self.wire is None else shape_of(self.wire)
        if isinstance(made, EnvelopeShape):
            _check_envelope(self.operation, made)
        return made


@dataclass(frozen=True, slots=True)
class Form:
    """Another route at the same address, for requests whose query has `flag` with this value. `about` describes the
    flag, and `takes` the further parameters of the query, for the documentation.
    """

    flag: str
    value: str
    route: Route
    about: str
    takes: Mapping[str, str] = field(default_factory=dict)


def _check_envelope(op: Operation[Any], shape: EnvelopeShape) -> None:
    """The values beside a list are part of its statement: they must be open to the same callers, in the same place."""
    lists = [part for part in shape.flat if isinstance(part, Nested)]
    if not isinstance(op, Query) or not op.form.many or len(lists) != 1:
        raise TypeError(f"{op.name}: an envelope is around the rows of one list")
    for part in shape.flat:
        if isinstance(part, InputValue) and part.name not in op.input.model_fields:
            raise TypeError(f"{op.name} has no input {part.name}")
        if isinstance(part, Beside):
            beside: Any = part.query
            same = (beside.auth, beside.tenancy, beside.needs) == (op.auth, op.tenancy, op.needs)
            if not same or beside.or_capability is not None or beside.input is not NoInput:
                raise TypeError(f"{op.name}: {beside.name} has an input, or other callers")


def _field_of(written: str, fields: Mapping[str, Any]) -> str:
    """{crewId} is the operation's crew_id, or its id when it has no crew_id."""
    snake = CAMEL.sub(lambda m: "_" + m.group(1).lower(), written)
    return snake if snake in fields or snake == "workspace_id" else "id"


def GET(path: str, operation: Operation[Any], wire: Any = None, **options: Any) -> Route:
    return Route("GET", path, operation, wire, **options)


def POST(path: str, operation: Operation[Any], wire: Any = None, **options: Any) -> Route:
    return Route("POST", path, operation, wire, **options)


def PUT(path: str, operation: Operation[Any], wire: Any = None, **options: Any) -> Route:
    return Route("PUT", path, operation, wire, **options)


def PATCH(path: str, operation: Operation[Any], wire: Any = None, **options: Any) -> Route:
    return Route("PATCH", path, operation, wire, **options)


def DELETE(path: str, operation: Operation[Any], wire: Any = None, **options: Any) -> Route:
    return Route("DELETE", path, operation, wire, **options)


__all__ = [
    "DELETE",
    "GET",
    "PATCH",
    "POST",
    "PUT",
    "Absent",
    "ByKey",
    "Download",
    "Fixed",
    "Form",
    "From",
    "IfAsked",
    "Null",
    "Output",
    "Reply",
    "Request",
    "Route",
    "Streaming",
    "Upload",
    "ValueOf",
    "Wire",
    "shape_of",
]  # fmt: skip
