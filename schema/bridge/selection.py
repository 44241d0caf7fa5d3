"""From a GraphQL selection to a Shape: used by the compiled path and by the executor's resolvers alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    Source,
    VariableNode,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
)
from sqlmodel import SQLModel

from models.people.workspaces import Role
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller, SessionChange
from resolvers.kernel.admission.request import Request
from resolvers.kernel.declarations.operation import Answer, Operation
from resolvers.kernel.declarations.outputs import Output
from resolvers.kernel.declarations.query import PartRefused, Query
from resolvers.kernel.declarations.together import AskedTogether
from resolvers.kernel.ground.inputs import Input, Paging, bare, validate
from resolvers.kernel.ground.stricter import strictly
from resolvers.kernel.reader import (
    GRAPHS,
    Column,
    Constant,
    Edge,
    Either,
    Item,
    Nested,
    Shape,
    Withheld,
    columns_of,
    intern,
    readable_by,
)
from resolvers.kernel.writing import idempotency
from schema.bridge.arguments import Arguments, plain
from schema.bridge.field_names import in_graph
from schema.bridge.fields import node_of

BACKREF = "strawberry-definition"
Throttle = Callable[[str, str], None]
"""(operation, client): raises RATE_LIMITED if the operation's own bucket is empty."""
NO_COOKIES = "This field sets or clears cookies, which a WebSocket cannot: send it by POST"
UNPAGED = 100  # what a list without pages counts
KIND = "@type"
"""The key of an object that could be of several types, and says which: no document can have it as an alias."""


class Unbound(Exception):
    """Operations cannot answer the selection: the executor takes over."""


@dataclass(slots=True)
class Slot:
    """The place of an edge's arguments in the document."""

    input: type[Input]
    arguments: Arguments

    def read(self, variables: Any) -> Input:
        try:
            return validate(self.input, plain(self.arguments.read(variables), self.input))
        except Refusal as refusal:
            raise in_graph(refusal, self.input) from refusal


@dataclass(frozen=True, slots=True)
class Asking:
    """The common facts of a document's roots. `key`: the idempotency key of its mutations; `alone`: there is
    one root.
    """

    caller: Caller
    throttle: Throttle | None = None
    key: str | None = None
    alone: bool = True
    cookies: bool = True
    sessions: list[SessionChange] = field(default_factory=list)
    """The effects on the browser's session, in the order of the roots."""

    def admit(self, root: "Root") -> None:
        """Raises Refusal if the answer has to set cookies and cannot, or the operation's own bucket is empty."""
        if root.operation.cookies and not self.cookies:
            raise Refusal(Code.BAD_REQUEST, NO_COOKIES)
        self.pay(root)

    def pay(self, root: "Root") -> None:
        """Raises Refusal if the operation's own bucket is empty."""
        if self.throttle is not None:
            self.throttle(root.operation.name, self.caller.client)

    def key_of(self, root: "Root") -> str | None:
        return self.key if self.key is None or self.alone else idempotency.at(self.key, root.key)


@dataclass(slots=True)
class Call:
    """A root with the values of one request. `cost`: how many objects the answer may hold at most. `fault`: what is
    wrong with them below the root.
    """

    root: "Root"
    raw: dict[str, Any]
    place: str | None
    version: int | None
    slots: tuple[Input, ...]
    cost: int
    fault: Refusal | None = None

    def asked(self, caller: Caller) -> AskedTogether:
        """As one of several that are asked for together."""
        query, raw = self._asked()
        return AskedTogether(query, Request(raw, self.root.shape, self.slots, self.place or caller.workspace))

    def _asked(self) -> tuple[Any, Mapping[str, Any]]:
        operation = self.root.operation
        return operation.named(self.raw) if isinstance(operation, Query) else (operation, self.raw)

    async def run(self, asking: "Asking") -> Answer:
        """Raises Refusal. If the caller's role may not follow an edge of a query, the edge is null."""
        root = self.root
        asking.admit(root)
        try:
            try:
                return await self._answer(asking, root.shape)
            except PartRefused as part:
                shape, withheld = root.readable_by(part.role)
                if not withheld:
                    raise
                return (await self._answer(asking, shape))._replace(withheld=withheld)
        except Refusal as refusal:
            if refusal.ends_session:
                asking.sessions.append("ended")
            raise root.told(refusal) from refusal

    async def _answer(self, asking: "Asking", shape: Shape) -> Answer:
        root, (operation, raw) = self.root, self._asked()
        answer: Answer = await operation(
            asking.caller, raw, shape, self.slots, self.place, if_version=self.version, fault=self.fault,
            key=asking.key_of(root),
        )  # fmt: skip
        if answer.session is not None:
            asking.sessions.append(answer.session)
        return answer


@dataclass(slots=True)
class Root:
    """One root field of a document. `positions`: where its source names it, for errors."""

    key: str
    operation: Operation[Any]
    places: tuple[str, ...]
    shape: Shape
    arguments: Arguments
    source: Source
    positions: tuple[int, ...]
    slots: list[Slot]
    fixed_cost: int | None = None
    repeats: dict[int, int] = field(default_factory=dict)
    lesser: dict[Role | None, tuple[Shape, tuple[Withheld, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.repeats = _repeats(self.shape, {})
        if not self.slots and not self._pages:
            self.fixed_cost = _objects(self.shape, UNPAGED, (), self.repeats)

    def readable_by(self, role: Role | None) -> tuple[Shape, tuple[Withheld, ...]]:
        """The shape without the edges that the role may not follow, and these."""
        known = self.lesser.get(role)
        if known is None:
            known = self.lesser[role] = readable_by(role, self.operation.model, self.shape)
        return known

    @property
    def written(self) -> int:
        """Bytes, about, of all arguments."""
        return self.arguments.size + sum(slot.arguments.size for slot in self.slots)

    def told(self, refusal: Refusal) -> Refusal:
        """The refusal of the operation as clients of the graph read it."""
        op = self.operation
        return in_graph(refusal, op.input, op.subject, op.model)

    @property
    def _pages(self) -> bool:
        return issubclass(self.operation.input, Paging) and self.shape.form != "object"

    def call(self, variables: Any) -> Call:
        """Raises GraphQLError or Refusal when an argument cannot be."""
        return self.called(self.arguments.read(variables), variables)

    def called(self, args: dict[str, Any], variables: Any) -> Call:
        """The same, with the values of its arguments."""
        named = [args.pop(p) for p in self.places if args.get(p) is not None]
        if len(named) > 1:
            raise Refusal(Code.BAD_REQUEST, f"Give one of {' and '.join(self.places)}")
        version = args.pop("ifVersion", None)
        page = self.operation.input
        raw = plain(args.get("input", args), page)
        try:
            slots = tuple([s.read(variables) for s in self.slots]) if self.slots else ()
            if (fault := strictly(page, raw)) is not None:
                raise fault
        except Refusal as fault:
            return Call(self, raw, named[0] if named else None, version, (), 1, fault)
        cost = self.fixed_cost
        if cost is None:
            limit = page.size(raw) if issubclass(page, Paging) and self._pages else UNPAGED
            cost = _objects(
                self.shape, limit, [s.limit if isinstance(s, Paging) else UNPAGED for s in slots], self.repeats
            )
        return Call(self, raw, named[0] if named else None, version, slots, cost)


def cost_of(shape: Shape, slots: Sequence[Input]) -> int:
    """The most objects that a row of this shape may hold."""
    limits = [slot.limit if isinstance(slot, Paging) else UNPAGED for slot in slots]
    return _objects(shape, UNPAGED, limits, _repeats(shape, {}))


def _repeats(shape: Shape, found: dict[int, int]) -> dict[int, int]:
    """The number of values that an object shows under a further name, by the identity of its shape; only for shapes
    that do.
    """
    columns = [item.name for item in shape.fields if isinstance(item, Column)]
    if len(columns) > len(set(columns)):
        found[id(shape)] = len(columns) - len(set(columns))
    for item in shape.fields:
        if isinstance(item, Nested):
            _repeats(item.shape, found)
    return found


def _objects(shape: Shape, limit: int, slots: Sequence[int], repeats: Mapping[int, int]) -> int:
    """An object counts one, one for each value that it shows once more, and what hangs on it; a list or page as often
    as it may hold rows. Of a union, it is one of the members.
    """
    if shape.form == "union":
        return max([_objects(item.shape, UNPAGED, slots, repeats) for item in shape.fields if isinstance(item, Nested)])
    inside = 1 + repeats.get(id(shape), 0) if repeats else 1
    for item in shape.fields:
        if isinstance(item, Nested) and item.shape.form != "count":
            size = slots[item.slot] if item.slot is not None else (limit if shape.form == "connection" else UNPAGED)
            inside += _objects(item.shape, size, slots, repeats)
    if shape.form == "connection":
        return inside
    return inside * limit if shape.form in ("list", "edges") else inside


@dataclass
class Selection:
    """Walks one document: merges fragments, decides directives by `truth`, and collects arguments of edges.

    `kinds`: objects with several possible types name theirs, for code that walks the answer.
    """

    schema: GraphQLSchema
    fragments: Mapping[str, Any]
    truth: Mapping[str, Any]
    kinds: bool = False
    slots: list[Slot] = field(default_factory=list)

    def fields(self, parent: GraphQLObjectType, nodes: list[Any]) -> dict[str, list[FieldNode]]:
        found: dict[str, list[FieldNode]] = {}
        spread: set[str] = set()
        for node in nodes:
            self._collect(parent, node, found, spread)
        return found

    def _collect(
        self, parent: GraphQLObjectType, node: Any, found: dict[str, list[FieldNode]], spread: set[str]
    ) -> None:
        for item in node.selection_set.selections:
            if not self._included(item):
                continue
            if isinstance(item, FieldNode):
                found.setdefault(item.alias.value if item.alias else item.name.value, []).append(item)
                continue
            part = item
            if isinstance(item, FragmentSpreadNode):
                if item.name.value in spread:
                    continue
                spread.add(item.name.value)
                part = self.fragments[item.name.value]
            part = getattr(part, "node", getattr(part, "definition", part))
            if part.type_condition is None or self._is(parent, part.type_condition.name.value):
                self._collect(parent, part, found, spread)

    def _is(self, type_: GraphQLObjectType, name: str) -> bool:
        """Returns true if it is the type of that name, or a member of it."""
        return type_.name == name or (
            is_abstract_type(known := self.schema.type_map[name]) and self.schema.is_sub_type(known, type_)
        )

    def _included(self, node: Any) -> bool:
        for directive in node.directives or ():
            name = directive.name.value  # validation knows no other than include and skip
            value = directive.arguments[0].value
            on = self.truth[value.name.value] if isinstance(value, VariableNode) else value.value
            if on is not (name == "include"):
                return False
        return True

    def root(self, parent: GraphQLObjectType, key: str, nodes: list[FieldNode]) -> Root:
        definition = parent.fields.get(nodes[0].name.value)  # None: introspection
        bound = definition.extensions.get(BACKREF) if definition is not None else None
        if definition is None or bound is None or "operation" not in bound.metadata:
            raise Unbound
        operation, places = bound.metadata["operation"], bound.metadata["places"]
        return self.bound(key, definition.type, operation, places, Arguments(definition, nodes[0]), nodes)

    def bound(
        self,
        key: str,
        type_: Any,
        op: Operation[Any],
        places: tuple[str, ...],
        arguments: Arguments,
        nodes: list[FieldNode],
        *,
        abstract: bool = False,
    ) -> Root:
        """The root that asks an operation for rows of a type. `abstract`: the field shows an interface."""
        self.slots = []
        shape = self.shape(type_, op.model, nodes)
        if abstract and self.kinds:
            shape = Shape((Constant(KIND, f'"{type_.name}"', plain=True), *shape.fields))
        found: list[Any] = [node.loc for node in nodes]
        positions = tuple([place.start for place in found])
        return Root(key, op, places, intern(shape), arguments, found[0].source, positions, self.slots)

    def shape(self, type_: Any, model: type[Any], nodes: list[FieldNode]) -> Shape:
        type_ = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
        listed = isinstance(type_, GraphQLList)
        named: Any = get_named_type(type_)
        if is_leaf_type(named):
            return Shape(())
        if issubclass(model, Output):
            return Shape(self._output(named, model, nodes), "list" if listed else "object")
        if named.name.endswith("Connection"):
            return Shape(self._connection(named, model, nodes), "connection")
        return Shape(self._object(named, model, nodes), "list" if listed else "object")

    def _items(
        self, type_: Any, nodes: list[FieldNode], item: Callable[[str, str, GraphQLField, list[FieldNode]], Item]
    ) -> tuple[Item, ...]:
        """`item` makes what is read for each selected field, from its key, Python name, definition and nodes;
        `__typename` every object has.
        """
        made: list[Item] = []
        for key, group in self.fields(type_, nodes).items():
            if group[0].name.value == "__typename":
                made.append(Constant(key, type_.name))
            else:
                definition = type_.fields[group[0].name.value]
                made.append(item(key, definition.extensions[BACKREF].python_name, definition, group))
        return tuple(made)

    def _output(self, type_: Any, model: type[Output], nodes: list[FieldNode]) -> tuple[Item, ...]:
        def item(key: str, name: str, definition: GraphQLField, group: list[FieldNode]) -> Item:
            if is_leaf_type(get_named_type(definition.type)):
                return Column(key, name)
            entry = GRAPHS.get(model, {}).get(name)
            if isinstance(entry, Edge):
                return self._edge(key, name, entry, definition, group)
            kind = bare(model.model_fields[name].annotation)
            return Nested(key, name, self.shape(definition.type, getattr(kind, "__args__", (kind,))[0], group))

        return self._items(type_, nodes, item)

    def _object(self, type_: Any, model: type[SQLModel], nodes: list[FieldNode]) -> tuple[Item, ...]:
        columns, graph = columns_of(model), GRAPHS.get(model, {})

        def item(key: str, name: str, definition: GraphQLField, group: list[FieldNode]) -> Item:
            entry = graph.get(name)
            if isinstance(entry, Edge):
                return self._edge(key, name, entry, definition, group)
            if isinstance(entry, Either):
                return Nested(key, name, self._union(definition.type, entry, group))
            if entry is not None or name in columns:
                return Column(key, name)
            raise Unbound

        return self._items(type_, nodes, item)

    def _edge(self, key: str, name: str, edge: Edge, definition: GraphQLField, group: list[FieldNode]) -> Nested:
        slot = None
        if edge.input is not None:
            slot = len(self.slots)
            self.slots.append(Slot(edge.input, Arguments(definition, group[0])))
        leaf = is_leaf_type(get_named_type(definition.type))
        return Nested(key, name, Shape((), "count") if leaf else self.shape(definition.type, edge.target, group), slot)

    def _union(self, type_: Any, either: Either, nodes: list[FieldNode]) -> Shape:
        """Each member with the fields that fragments on its type request; a member without fragments only by its
        existence.
        """
        types = {kind.extensions[BACKREF].origin: kind for kind in get_named_type(type_).types}
        members = list[Item]()
        for name, edge in either.members.items():
            kind = types[node_of(name, edge.shown)]
            fields = self._object(kind, edge.target, nodes)
            if self.kinds:
                fields = (Constant(KIND, f'"{kind.name}"', plain=True), *fields)
            members.append(Nested(name, name, Shape(fields)))
        return Shape(tuple(members), "union")

    def _connection(self, type_: Any, model: type[SQLModel], nodes: list[FieldNode]) -> tuple[Item, ...]:
        def item(key: str, name: str, definition: GraphQLField, group: list[FieldNode]) -> Item:
            part = get_named_type(definition.type)
            match name:
                case "total_count":
                    return Column(key, name)
                case "nodes":
                    return Nested(key, None, Shape(self._object(part, model, group), "list"))
                case "edges":
                    return Nested(key, None, Shape(self.edges(part, model, group), "edges"))
                case _:
                    return Nested(key, None, Shape(self._page_info(part, group), "page_info"))

        return self._items(type_, nodes, item)

    def edges(self, type_: Any, model: type[SQLModel], nodes: list[FieldNode]) -> tuple[Item, ...]:
        """The edges of a type with rows and cursors."""

        def item(key: str, name: str, definition: GraphQLField, group: list[FieldNode]) -> Item:
            return (
                Column(key, name)
                if name == "cursor"
                else Nested(key, None, Shape(self._object(get_named_type(definition.type), model, group)))
            )

        return self._items(type_, nodes, item)

    def _page_info(self, type_: Any, nodes: list[FieldNode]) -> tuple[Item, ...]:
        return self._items(type_, nodes, lambda key, name, *_: Column(key, name))
