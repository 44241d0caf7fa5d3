"""Shapes: the requested fields of an answer. Equal shapes in use are one object, so that a plan's key is an
identity.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Protocol, TypeAlias
from weakref import WeakValueDictionary

from sqlalchemy.types import TypeEngine
from sqlmodel import SQLModel

from models.people.workspaces import Role
from resolvers.errors import Refusal, forbidden
from resolvers.kernel.ground.policy import MEMBERS, lowest
from resolvers.kernel.ground.scopes import OPEN, Scopes, together
from resolvers.kernel.reader.graph import (
    GRAPHS,
    Derived,
    Edge,
    Either,
    access_of,
    is_refusable,
    roles_of_edge,
    roles_of_entry,
)
from resolvers.kernel.reader.rows import Read

ALIAS_BYTES = 63  # a longer identifier is cut by PostgreSQL


@dataclass(frozen=True, slots=True)
class Column:
    """A column or a derived value. `absent`: the key is left out when the value is null; `zero`: and when it is 0."""

    key: str
    name: str
    absent: bool = False
    zero: bool = False


@dataclass(frozen=True, slots=True)
class Constant:
    """A fixed value: a `__typename`, or a value that a declaration fixes. The latter is `plain`: JSON, not text."""

    key: str
    value: str | None
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Nested:
    """An edge of the row (`name`), or an object of the row's own fields (`name` is None), which is `absent` if the
    first of them is null. In a union, a member: `key` is its name, and its shape may be empty. `zero`: null if the
    number is 0 or the list is empty. `asked`: null unless this flag of the input is set.
    """

    key: str
    name: str | None
    shape: "Shape"
    slot: int | None = None
    absent: bool = False
    zero: bool = False
    asked: str | None = None


Item: TypeAlias = Column | Constant | Nested


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Shape:
    """`form`: an object, a list, a connection or one of its parts (edges, page_info), a count, a union, whose fields
    are its members, or the value of a single column.
    """

    fields: tuple[Item, ...]
    form: str = "object"


class Describes(Protocol):
    """A query, as far as an envelope has to know it."""

    @property
    def model(self) -> Any: ...

    @property
    def roles(self) -> frozenset[Role]: ...

    def within(self, scope: Any, data: Any) -> Read[Any]: ...


@dataclass(frozen=True, slots=True)
class InputValue:
    """A value of the input. `absent`: the key is left out if the call's subject was not found, or for null. `empty`: an
    empty text for null.
    """

    key: str
    name: str
    type: TypeEngine[Any]
    absent: bool = False
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Beside:
    """The answer of another query, to the same caller, from the same statement."""

    key: str
    query: Describes
    shape: Shape


Part: TypeAlias = Column | Nested | InputValue | Beside


@dataclass(frozen=True, slots=True)
class EnvelopeShape(Shape):
    """A list and the values beside it, in the order of `parts`: the rows; the numbers `total` (of matching rows),
    `shown` (in the list) and `pages`; values of the input; answers of other queries; objects of these.
    """

    parts: tuple[Part, ...] = ()

    @classmethod
    def of(cls, *parts: Part) -> "EnvelopeShape":
        return cls(tuple(part for part in parts if isinstance(part, Nested)), "envelope", parts)

    @property
    def flat(self) -> Iterator[Part]:
        """All parts, including parts of nested objects."""
        for part in self.parts:
            inner = part.shape if isinstance(part, Nested) else None
            if isinstance(inner, EnvelopeShape):
                yield from inner.flat
            else:
                yield part

    def shows(self, *numbers: str) -> bool:
        return any(isinstance(part, Column) and part.name in numbers for part in self.flat)


def weight(shape: Shape) -> int:
    """The number of fields in the shape and below it, including itself."""
    return 1 + sum([1 + weight(item.shape) if isinstance(item, Nested) else 1 for item in shape.fields])


_KNOWN: WeakValueDictionary[tuple[tuple[Item, ...], str], Shape] = WeakValueDictionary()
_LOCK = Lock()  # documents are also read beside the event loop


def intern(shape: Shape) -> Shape:
    """The equal shape that is in use, or this one."""
    with _LOCK:
        return _KNOWN.setdefault((shape.fields, shape.form), shape)


def _walked(model: type[SQLModel], shape: Shape, *, guarded: bool = True) -> Iterator[tuple[Edge, Shape]]:
    """Every edge a shape walks, nested ones too, and what is asked of it. `guarded`: also members of guarded unions."""
    for item in shape.fields:
        if isinstance(item, Nested):
            entry: Any = GRAPHS.get(model, {}).get(item.name) if item.name else None
            passed = not guarded and isinstance(entry, Either) and entry.guarded
            for target, edge, inner in _below(model, item):
                if edge is not None and not passed:
                    yield edge, inner
                yield from _walked(target, inner, guarded=guarded)


def _below(model: type[SQLModel], item: Nested) -> Iterator[tuple[type[SQLModel], Edge | None, Shape]]:
    """The targets of an item, with their edges: several for a union, none for an object of the row."""
    entry: Any = GRAPHS.get(model, {}).get(item.name) if item.name else None
    if isinstance(entry, Either):
        for part in item.shape.fields:
            if isinstance(part, Nested):
                edge = entry.members[part.key]
                yield edge.target, edge, part.shape
    elif isinstance(entry, Edge):
        yield entry.target, entry, item.shape
    else:
        yield model, None, item.shape


def edges_of(model: type[SQLModel], shape: Shape) -> Iterator[Edge]:
    """Every edge a shape walks: for gates, and for what a statement may read."""
    return (edge for edge, _ in _walked(model, shape))


def roles_of(model: type[SQLModel], shape: Shape) -> frozenset[Role]:
    """The roles that may follow every edge of a shape and read the values beside it. A guarded union needs none: its
    gates are judged row by row.
    """
    roles = MEMBERS
    for edge, _ in _walked(model, shape, guarded=False):
        roles &= roles_of_edge(edge)
    if isinstance(shape, EnvelopeShape):
        for part in shape.flat:
            if isinstance(part, Beside):
                roles &= part.query.roles & roles_of(part.query.model, part.shape)
    return roles


ELSEWHERE = "A part of this requires a role: query it within one workspace"


@dataclass(frozen=True, slots=True)
class Withheld:
    """A part of an answer that is null because the caller's role may not read it: its keys, from the root on."""

    keys: tuple[str, ...]
    refusal: Refusal


def readable_by(role: Role | None, model: type[SQLModel], shape: Shape) -> tuple[Shape, tuple[Withheld, ...]]:
    """The shape with null for edges that the role may not follow, and these. None: over several workspaces there is no
    one role to judge. An edge that all readers of its row may follow stays.
    """
    found = dict[tuple[str, ...], Withheld]()

    def pruned(model: type[SQLModel], shape: Shape, keys: tuple[str, ...]) -> Shape:
        return replace(shape, fields=tuple([below(model, item, keys) for item in shape.fields]))

    def below(model: type[SQLModel], item: Item, keys: tuple[str, ...]) -> Item:
        if not isinstance(item, Nested):
            return item
        keys = (*keys, item.key)
        entry: Any = GRAPHS.get(model, {}).get(item.name) if item.name else None
        roles = roles_of_entry(entry)
        if is_refusable(model, entry) and (roles != MEMBERS if role is None else role not in roles):
            text = ELSEWHERE if role is None else "Forbidden"
            found[keys] = Withheld(keys, forbidden(text, role=lowest(roles)))
            return Constant(item.key, None)
        if isinstance(entry, Either):
            members = [
                replace(part, shape=pruned(entry.members[part.key].target, part.shape, keys))
                for part in item.shape.fields
                if isinstance(part, Nested)
            ]
            return replace(item, shape=replace(item.shape, fields=tuple(members)))
        return replace(item, shape=pruned(entry.target if isinstance(entry, Edge) else model, item.shape, keys))

    return intern(pruned(model, shape, ())), tuple(found.values())


def scopes_of(model: type[SQLModel], shape: Shape) -> Scopes:
    """The scopes that a token with scopes needs to follow every edge of a shape. A count needs none, and neither does a
    union member that no fragment selects.
    """
    scopes = OPEN
    for edge, inner in _walked(model, shape):
        if any(not (isinstance(item, Constant) and item.plain) for item in inner.fields):
            scopes = together(scopes, access_of(edge.target).scopes)
    return scopes


def derives(model: type[SQLModel], shape: Shape, new: type[SQLModel]) -> bool:
    """Returns true if an expression of the graph that may read rows of `new` computes a value of the shape."""
    known = GRAPHS.get(model, {})
    for item in shape.fields:
        if isinstance(item, Column):
            entry = known.get(item.name)
            if isinstance(entry, Derived) and (entry.parent is None or entry.parent is new):
                return True
        if isinstance(item, Nested) and any(derives(target, inner, new) for target, _, inner in _below(model, item)):
            return True
    return False
