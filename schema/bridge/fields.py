"""The one module that knows operations and Strawberry: types of rows and Outputs, bound fields, derived inputs.
See docs/kernel.md.
"""

import copy
import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from enum import Enum
from types import MappingProxyType, SimpleNamespace
from typing import Annotated, Any, Generic, Optional, TypeVar, Union, get_args, get_origin

import strawberry
from pydantic import BaseModel
from sqlmodel import SQLModel
from strawberry.scalars import JSON
from strawberry.types import object_type
from strawberry.types.enum import has_enum_definition
from strawberry.types.field import StrawberryField
from strawberry.utils.str_converters import to_camel_case

from resolvers.kernel.admission.gate import Tenancy
from resolvers.kernel.declarations.operation import Operation, Surface
from resolvers.kernel.declarations.outputs import Output
from resolvers.kernel.declarations.query import Query
from resolvers.kernel.ground.inputs import Input, Paging, accepts_none, bare
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.reader import GRAPHS, Derived, Either, Page, Row, Subtype, Target, columns_of, value_type
from resolvers.kernel.reader import Edge as GraphEdge
from resolvers.kernel.reader.graph import is_refusable

N = TypeVar("N")
C = TypeVar("C", bound=type)
EMPTY = inspect.Parameter.empty


def _fields_alone(**options: Any) -> Callable[[C], C]:
    """Strawberry makes a dataclass of every type, for values that resolvers return. Ours return JSON, and no value is
    ever made: the functions of 700 dataclasses, each compiled from text, would be a third of what a schema costs.
    """

    def bind(cls: C) -> C:
        cls.__doc__ = cls.__doc__ or cls.__name__  # else it would be the signature of a constructor
        made: C = dataclasses.dataclass(init=False, repr=False, eq=False, **options)(cls)  # type: ignore[assignment]
        return made

    return bind


_here: Any = object_type
_here.dataclasses = SimpleNamespace(**vars(dataclasses) | {"dataclass": _fields_alone})


@strawberry.type(description="Position of a page in its list.")
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type(name="Edge", description="A row of a page, with its cursor.")
class ConnectionEdge(Generic[N]):
    cursor: str
    node: N


@strawberry.type(description="A page of a list.")
class Connection(Generic[N]):
    nodes: list[N]
    edges: list[ConnectionEdge[N]]
    page_info: PageInfo
    total_count: int


def nullable(kind: Any) -> Any:
    return Optional[kind]  # noqa: UP045 (a value here, not an annotation)


def enum(kind: type[Enum], *, name: str | None = None) -> Any:
    """The GraphQL enum of a closed set, with its docstring, and its own name unless another one is given."""
    if has_enum_definition(kind):  # a second definition would lose the first one's name
        return kind
    return strawberry.enum(kind, name=name, description=inspect.cleandoc(kind.__dict__.get("__doc__") or "") or None)


def _with_enums(annotation: Any) -> None:
    for part in (annotation, *get_args(annotation)):
        if isinstance(part, type) and issubclass(part, Enum):
            enum(part)
        elif part is not annotation:
            _with_enums(part)


def graphql_type(name: str, kind: Any, nested: Callable[[Any], Any]) -> Any:
    """The GraphQL type of a value, by its Python type and its name. `nested` gives the type of a model's object."""
    if kind in _AS_THEY_ARE:
        return kind
    if kind is str:
        return strawberry.ID if name == "id" or name.endswith("_id") else str
    if accepts_none(kind):
        return graphql_type(name, bare(kind), nested) | None
    origin = get_origin(kind)
    if origin is list:
        return list[graphql_type(name.removesuffix("s"), get_args(kind)[0], nested)]  # type: ignore[misc]
    if origin is Annotated:
        return graphql_type(name, bare(kind), nested)
    if origin is tuple or kind is tuple:
        return str  # a cursor
    if isinstance(kind, type):
        if issubclass(kind, Enum):
            return enum(kind)
        if issubclass(kind, BaseModel):
            return nested(kind)
    return JSON


_PLAIN = (int, float, bool, datetime, date)
_AS_THEY_ARE = frozenset({*_PLAIN, *(kind | None for kind in _PLAIN)})


# ---- types -----------------------------------------------------------------------------------------------------------


class Edge:
    """A field of a node: the row that an edge of the model's graph leads to, which is always there. The graph knows
    which; a field that is only listed may have none.
    """


class Edges:
    """A field of a node: the rows of an edge. Pages if the edge takes a window, otherwise a list."""


def acts() -> Any:
    """The field `viewer_can` of a node."""
    return strawberry.field(
        description="Fields of Mutation that the caller may call on this row, by the role and the rules about rows. "
        "What depends on the row's state or on the input is not considered, nor the scopes of a token."
    )


UNIONS: dict[frozenset[type[SQLModel]], Any] = {}


def union(name: str, *models: type[SQLModel], description: str) -> None:
    """A GraphQL union of the types of several models, for fields whose row is one of these."""
    UNIONS[frozenset(models)] = strawberry.union(name, description=description)


_UNBOUND: list[tuple[type[SQLModel], type, str]] = []
NODES: dict[Target, list[type]] = {}


def node(shown: Target, *, name: str | None = None) -> Callable[[C], C]:
    """A GraphQL type of a table, a View or a Subtype, which has its name. `fields` lists its fields in order: columns,
    and entries of the model's graph. The class declares only what the model does not: an edge, a description, another
    type. Edges take arguments.

    The class becomes a type in `bind_nodes`: before all domains are loaded, a model's edges are unknown.
    """

    model, called = (shown.model, shown.name) if isinstance(shown, Subtype) else (shown, shown.__name__)

    def record(cls: C) -> C:
        _take_fields(cls)
        _UNBOUND.append((model, cls, name or called))
        NODES.setdefault(shown, []).append(cls)
        return cls

    return record


def _take_fields(cls: type[Any]) -> None:
    """Copies the fields of plain base classes, which several types share, into the class."""
    taken, listed = dict[str, Any](), dict[str, None]()
    for base in reversed(cls.__mro__[:-1]):
        own = inspect.get_annotations(base)
        names = base.__dict__["fields"].split() if "fields" in base.__dict__ else list(own)
        listed |= dict.fromkeys(names)
        taken |= own
        for field in names:
            if field in base.__dict__ and field not in cls.__dict__:
                setattr(cls, field, copy.copy(base.__dict__[field]))
    unlisted = taken.keys() - listed.keys()
    if unlisted:
        raise TypeError(f"{cls.__name__}: `fields` does not list {', '.join(sorted(unlisted))}")
    cls.__annotations__ = {field: taken.get(field) for field in listed}


def bind_nodes() -> None:
    """Makes types of all nodes that were declared. For when all domains are loaded."""
    while _UNBOUND:
        model, cls, name = _UNBOUND.pop(0)
        graph = GRAPHS.get(model, {})
        for field, annotation in list(cls.__annotations__.items()):
            entry = graph.get(field)
            if entry is None and field not in columns_of(model):
                raise TypeError(f"{cls.__name__}.{field}: {model.__name__} has no column and no edge of this name")
            shown = cls.__annotations__[field] = _typed(f"{cls.__name__}.{field}", annotation, model, field)
            if isinstance(entry, GraphEdge) and entry.input is not None:
                setattr(
                    cls,
                    field,
                    root_field(
                        shown, arguments(entry.input), inspect.getdoc(entry.input) or "", cls.__module__, edge=entry
                    ),
                )
                del cls.__annotations__[field]
        strawberry.type(cls, name=name, description=inspect.getdoc(cls))


def _typed(field: str, annotation: Any, model: type[SQLModel], name: str) -> Any:
    """The type of a node's field, which is nullable if some readers of the row may not follow the edge."""
    kind = _declared(field, annotation, model, name)
    return nullable(kind) if is_refusable(model, GRAPHS.get(model, {}).get(name)) else kind


def _declared(field: str, annotation: Any, model: type[SQLModel], name: str) -> Any:
    """The type of a node's field: its own annotation, or the one of the model or its graph."""
    entry = GRAPHS.get(model, {}).get(name)
    if annotation is None:
        if not isinstance(entry, GraphEdge | Either) or getattr(entry, "kind", "one") == "count":
            return graphql_type(name, value_type(model, name), output_type)
        annotation = Edges if isinstance(entry, GraphEdge) and entry.kind == "many" else Edge | None
    if annotation in (Edge, Edge | None, Edges):
        return _led_to(field, annotation, entry)
    _with_enums(annotation)
    return annotation


def _led_to(field: str, annotation: Any, entry: GraphEdge | Either | Derived | None) -> Any:
    """The type of the rows that an edge leads to."""
    if isinstance(entry, Either):
        if annotation != Edge | None:
            raise TypeError(f"{field}: there may be no row of any of the kinds, so it is `Edge | None`")
        return nullable(_one_of(field, entry))
    kind_of_edge = "many" if annotation is Edges else "one"
    if not isinstance(entry, GraphEdge) or entry.kind != kind_of_edge:
        raise TypeError(f"{field}: the graph has no edge of this name that leads to {kind_of_edge}")
    kind: Any = node_of(field, entry.shown)
    if annotation is Edges:
        return Connection[kind] if entry.input is not None and issubclass(entry.input, Paging) else list[kind]
    return kind if annotation is Edge else nullable(kind)


def _one_of(field: str, entry: Either) -> Any:
    """The union of the types of an edge's members."""
    models = list(dict.fromkeys(edge.target for edge in entry.members.values()))
    known = UNIONS.get(frozenset(models))
    if known is None:
        raise TypeError(f"{field}: the schema has no union of {' and '.join(model.__name__ for model in models)}")
    kinds = dict.fromkeys(node_of(field, edge.shown) for edge in entry.members.values())
    return Annotated[Union[tuple(kinds)], known]  # noqa: UP007 (a value here)


def node_of(field: str, shown: Target) -> Any:
    """The type of the rows of a model or Subtype that a field leads to."""
    nodes = NODES.get(shown, [])
    if len(nodes) != 1:
        named = shown.name if isinstance(shown, Subtype) else shown.__name__
        raise TypeError(f"{field}: {named} has {len(nodes)} types in the schema, so the field has to name its own")
    return nodes[0]


# ---- Outputs ---------------------------------------------------------------------------------------------------------

_OUTPUTS: dict[type[Output], type] = {}
_UNBOUND_OUTPUTS: list[type[Output]] = []
_DIFFERENCES: dict[type[Output], tuple[str | None, Mapping[str, Any], Mapping[str, Any]]] = {}
_NAME_OF_FIELD = re.compile(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`")


def output(
    model: type[Output],
    *,
    name: str | None = None,
    fields: Mapping[str, Any] = MappingProxyType({}),
    properties: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Declares how the GraphQL type of an Output differs from the Output. The value for a field is another type, a
    description or strawberry.field, or `Annotated` for both. `properties` of the Output, with their types, are fields
    in GraphQL alone.

    All other fields, and Outputs without a declaration, are shown as they are declared.
    """
    if model in _DIFFERENCES:
        raise TypeError(f"{model.__name__} is described twice")
    unknown = fields.keys() - model.model_fields.keys()
    if unknown:
        raise TypeError(f"{model.__name__} has no field {', '.join(sorted(unknown))}")
    if unknown := {each for each in properties if not isinstance(getattr(model, each, None), property)}:
        raise TypeError(f"{model.__name__} has no property {', '.join(sorted(unknown))}")
    _DIFFERENCES[model] = name, fields, properties


def output_type(model: type[Output]) -> type:
    """The GraphQL type of an Output: its fields, types and descriptions, with the differences that `output` declares.
    The class becomes a type in `bind_outputs`.
    """
    if model not in _OUTPUTS:
        _OUTPUTS[model] = type(model.__name__, (), {"__module__": __name__})
        _UNBOUND_OUTPUTS.append(model)
    return _OUTPUTS[model]


_IDS: set[type[Output]] = set()
CHANGED_ID = "The row that was changed or deleted; null if there was none."
AFTERWARDS = "As changed; left out if the caller cannot see it or nothing was changed."


def show_changed_id(model: type[Output]) -> None:
    """Shows the id of the row that the audit row names as a field `id`, which the Output does not have."""
    _IDS.add(model)


def bind_outputs() -> None:
    """Makes types of all Outputs that fields show. For when all domains are loaded."""
    while _UNBOUND_OUTPUTS:
        model = _UNBOUND_OUTPUTS.pop()
        cls, (name, fields, properties) = _OUTPUTS[model], _DIFFERENCES.pop(model, (None, {}, {}))
        annotations = cls.__annotations__ = {}
        for field, info in model.model_fields.items():
            kind, said = _difference(fields.get(field))
            annotations[field] = graphql_type(field, info.annotation, output_type) if kind is None else kind
            if said is None and info.description is not None:
                said = strawberry.field(description=info.description)
            if said is not None:
                setattr(cls, field, said)
        annotations.update(properties)
        if model in _IDS:
            annotations["id"] = nullable(strawberry.ID)
            setattr(cls, "id", strawberry.field(description=CHANGED_ID))  # noqa: B010
        for field, edge in GRAPHS.get(model, {}).items():
            several = isinstance(edge, GraphEdge) and edge.kind == "many"
            annotations[field] = _led_to(f"{model.__name__}.{field}", Edges if several else Edge | None, edge)
            setattr(cls, field, strawberry.field(description=AFTERWARDS))
        description = _in_camel_case(inspect.cleandoc(model.__doc__), model) if model.__doc__ else None
        strawberry.type(cls, name=name or model.__name__, description=description)
    if _DIFFERENCES:
        raise TypeError("No field shows " + ", ".join(sorted(model.__name__ for model in _DIFFERENCES)))


def _difference(said: Any) -> tuple[Any, StrawberryField | None]:
    """The type and the field that a difference declares."""
    if isinstance(said, str):
        return None, strawberry.field(description=said)
    if isinstance(said, StrawberryField):
        return None, said
    if get_origin(said) is Annotated:
        kind, more = get_args(said)
        return kind, more if isinstance(more, StrawberryField) else strawberry.field(description=more)
    return said, None


def _in_camel_case(text: str, model: type[Output]) -> str:
    """A description with the names that the fields have in GraphQL."""
    return _NAME_OF_FIELD.sub(
        lambda found: f"`{to_camel_case(found[1])}`" if found[1] in model.model_fields else found[0], text
    )


# ---- inputs ----------------------------------------------------------------------------------------------------------

_INPUTS: dict[type[BaseModel], Any] = {}


def _face(model: type[BaseModel]) -> dict[str, tuple[Any, bool]]:
    one_way = issubclass(model, Paging) and not model.backwards
    return {
        n: (graphql_type(n, bare(f.annotation), input_type), f.is_required())
        for n, f in model.model_fields.items()
        if not (one_way and n in ("last", "before"))
    }


def input_type(model: type[BaseModel]) -> Any:
    """A Strawberry input with the fields of the Pydantic one; what is absent stays absent."""
    if model not in _INPUTS:
        name, face = f"{model.__name__}Input", _face(model)
        said: dict[str, Any] = {n: strawberry.UNSET for n, (_, required) in face.items() if not required}
        said["__annotations__"] = {n: kind if required else nullable(kind) for n, (kind, required) in face.items()}
        described = inspect.getdoc(model) if model.__doc__ else None
        _INPUTS[model] = strawberry.input(type(name, (), said), name=name, description=described)
    return _INPUTS[model]


def arguments(model: type[Input]) -> list[inspect.Parameter]:
    """The fields of an input as arguments of a field."""
    made = []
    for name, (kind, required) in _face(model).items():
        annotation, default = (kind, EMPTY) if required else (nullable(kind), strawberry.UNSET)
        made.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default))
    return made


def _optional(name: str, kind: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=nullable(kind), default=strawberry.UNSET)


# ---- fields ----------------------------------------------------------------------------------------------------------


def root_field(
    returns: Any,
    arguments: list[inspect.Parameter],
    description: str,
    module: str,
    deprecation: str | None = None,
    **metadata: Any,
) -> Any:
    async def bound(**_: Any) -> Any:
        raise NotImplementedError  # schema.bridge.executor gives every bound field its resolver

    bound.__signature__ = inspect.Signature(arguments, return_annotation=returns)  # type: ignore[attr-defined]
    bound.__module__ = module
    return strawberry.field(resolver=bound, description=description, deprecation_reason=deprecation, metadata=metadata)


def _describe(op: Operation[Any]) -> str:
    """The description with the required role, and the error codes that are specific to the operation."""
    needs = {Action.NONE: "", Action.SELF: ""}.get(op.action, f"\n\nRequires: {op.action.value}.")
    codes = ", ".join(sorted(code.value for code in op.errors))
    return f"{op.doc}{needs}" + (f"\n\nErrors: {codes}." if codes else "")


def _bound(
    op: Operation[Any], shown: Any, arguments: list[inspect.Parameter], places: tuple[str, ...], **more: Any
) -> Any:
    if Surface.GRAPHQL not in op.surfaces:
        raise TypeError(f"{op.name} is not offered in GraphQL")
    deprecation = f"Use {op.deprecated.use}." if op.deprecated else None
    return root_field(
        nullable(shown),
        arguments,
        _describe(op),
        __name__,
        deprecation,
        operation=op,
        places=places,
        **more,
    )


def _places(op: Operation[Any]) -> list[inspect.Parameter]:
    return [_optional("workspace_id", strawberry.ID)] if op.tenancy is Tenancy.WORKSPACE else []


def _shown(op: Operation[Any], kind: Any) -> Any:
    """The type of an operation's rows or objects: an Output is shown as declared."""
    if kind is not None:
        return kind
    returns = get_args(op.returns)[0] if get_origin(op.returns) is list else op.returns
    if not (isinstance(returns, type) and issubclass(returns, Output)):
        raise TypeError(f"{op.name}: a field names the type of what is no Output")
    return output_type(returns)


def query(op: Operation[Any], kind: Any = None, *, places: tuple[str, ...] = ("workspaceId",)) -> Any:
    """A root field of a read. `kind`: the type of its rows, if it answers rows. `places`: the arguments that may name
    the workspace, by id or slug.
    """
    kind = _shown(op, kind)
    if isinstance(op, Query):
        shown = kind if op.form is Row else (Connection[kind] if op.form is Page else list[kind])
    else:
        shown = list[kind] if get_origin(op.returns) is list else kind
    named = (
        _places(op)
        if places == ("workspaceId",)
        else [_optional(p, strawberry.ID if p == "id" else str) for p in places]
    )
    return _bound(op, shown, [*arguments(op.input), *named], places, kind=kind)


def mutation(op: Operation[Any], kind: Any = None) -> Any:
    """A root field of a write: `name(input:, workspaceId:, ifVersion:)`."""
    kind = _shown(op, kind)
    arguments = _places(op)
    if op.versioned is not None:
        arguments.append(_optional("if_version", int))
    if op.input.model_fields:
        arguments.insert(0, inspect.Parameter("input", inspect.Parameter.KEYWORD_ONLY, annotation=input_type(op.input)))
    return _bound(op, list[kind] if get_origin(op.returns) is list else kind, arguments, ("workspaceId",))


def python_names(model: type[BaseModel]) -> dict[str, str]:
    """camelCase argument -> field of the input model."""
    return {to_camel_case(n): n for n in model.model_fields}
