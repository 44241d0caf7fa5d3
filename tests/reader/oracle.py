"""A second opinion on reads: a document evaluated naively over plain rows, in Python.

It knows the schema, and the declarations of the graphs; it shares no code with what it judges. A list is filtered,
sorted and cut here by hand, and a cursor is no text but the row it points behind.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from functools import cmp_to_key
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLList,
    GraphQLSchema,
    GraphQLUnionType,
    OperationDefinitionNode,
    VariableNode,
    get_named_type,
    is_leaf_type,
    parse,
)
from graphql.execution.values import get_argument_values, get_variable_values

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Key:
    """A key a list is sorted by. Null is greatest, as in PostgreSQL. `kind`: time, text, flag, whole or float."""

    read: Callable[[Row], Any]
    down: bool
    kind: str


Order = tuple[Key, ...]

IN_BRIEF = {"__typename"}
WITHHELD = object()
"""What the asker's role may not read: null, with an error of its own."""


class Refused(Exception):
    """The root answers null and one of these codes: which of several faults is told is not promised."""

    def __init__(self, *codes: str, by_the_gate: bool = False) -> None:
        super().__init__(*codes)
        self.codes, self.by_the_gate = frozenset(codes), by_the_gate or codes != ("NOT_FOUND",)


@dataclass(frozen=True)
class Cursor:
    """What stands where an answer has a cursor: the values of a list's keys. `id` of their row."""

    kinds: tuple[str, ...]
    values: tuple[Any, ...]
    id: str

    def keys(self, kinds: tuple[str, ...]) -> tuple[Any, ...] | None:
        """Its values as keys of a list that is sorted by such; None where it is no place in one."""
        if len(kinds) != len(self.kinds):
            return None
        try:
            return tuple(map(converted, kinds, self.kinds, self.values))
        except ValueError:
            return None


def converted(wanted: str, kind: str, value: Any) -> Any:
    """A cursor is JSON: its times are texts, any number of it is a float, and one that is not too large is whole
    without its fraction. A flag counts as 0 or 1.
    """
    if (wanted, kind) == ("text", "time"):
        return value.astimezone(UTC).isoformat()
    if (wanted, kind) == ("whole", "float") and abs(value) < 2**63:
        return int(value)
    if wanted == kind or (wanted, kind) in (("float", "whole"), ("float", "flag"), ("whole", "flag")):
        return value
    raise ValueError


@dataclass(frozen=True)
class Listing:
    """Rows in an order that has no ties. `page`: default and greatest size of a window; None for a plain list. Not
    `clamped`: beyond is the default.
    """

    model: str
    rows: list[Row]
    order: Order = ()
    page: tuple[int, int] | None = None
    clamped: bool = True


@dataclass(frozen=True)
class Single:
    model: str
    row: Row | None


@dataclass
class Asker:
    user_id: str
    role: str | None = None
    workspace_id: str = ""


@dataclass
class Store:
    """The rows of each table, deleted ones too."""

    tables: dict[str, list[Row]]

    def live(self, table: str) -> list[Row]:
        return [row for row in self.tables[table] if row.get("deleted_at") is None]

    def by_id(self, table: str, id: Any) -> Row | None:
        return next((row for row in self.live(table) if row["id"] == id), None)


class Rules:
    """What the oracle is told of a schema: its roots, edges and derived values. See tests/reader/twins.py."""

    def here(self, name: str, store: Store, asker: Asker, arguments: Mapping[str, Any]) -> Asker:
        """The asker in the workspace that a root is asked of, which may be another than that of the request."""
        raise NotImplementedError

    def may_follow(self, type_: str, name: str, asker: Asker) -> bool:
        """Whether the asker may see what a field leads to: to who may not, it is null."""
        raise NotImplementedError

    def root(self, name: str, store: Store, asker: Asker, arguments: Mapping[str, Any]) -> Listing | Single:
        raise NotImplementedError

    def order(self, type_: str, name: str, arguments: Mapping[str, Any]) -> Order:
        """Of the pages that a field of the schema gives."""
        raise NotImplementedError

    def follow(self, model: str, name: str, store: Store, asker: Asker, row: Row, arguments: Mapping[str, Any]) -> Any:
        """A Listing or Single of an edge, or the value of a count or of an expression; KeyError for a plain column."""
        raise NotImplementedError


def kinds_of(order: Order) -> tuple[str, ...]:
    return tuple(key.kind for key in order)


def values_of(order: Order, row: Row) -> tuple[Any, ...]:
    return tuple(key.read(row) for key in order)


def compared(order: Order, one: tuple[Any, ...], other: tuple[Any, ...]) -> int:
    for key, a, b in zip(order, one, other, strict=True):
        if a != b:
            smaller = b is None or (a is not None and a < b)
            return -1 if smaller is not key.down else 1
    return 0


def ordered(rows: Iterable[Row], order: Order) -> list[Row]:
    return sorted(rows, key=cmp_to_key(lambda a, b: compared(order, values_of(order, a), values_of(order, b))))


@dataclass
class Oracle:
    schema: GraphQLSchema
    rules: Rules
    store: Store
    texts: dict[Cursor, str] = field(default_factory=dict)
    cursors: dict[str, Cursor] = field(default_factory=dict)

    def answer(
        self, asker: Asker, text: str, values: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, frozenset[str]]]:
        """The data, and of each root that is refused the codes it may be refused with."""
        tree = parse(text)
        [operation] = [d for d in tree.definitions if isinstance(d, OperationDefinitionNode)]
        fragments = {d.name.value: d for d in tree.definitions if isinstance(d, FragmentDefinitionNode)}
        variables = get_variable_values(self.schema, operation.variable_definitions or (), dict(values))
        walk = Evaluation(self, asker, fragments, variables)
        data, refused = dict[str, Any](), dict[str, frozenset[str]]()
        for key, nodes in walk.collect([operation]).items():
            if nodes[0].name.value in IN_BRIEF:
                data[key] = "Query"
                continue
            try:
                data[key] = walk.root(nodes)
            except Refused as refusal:
                data[key], refused[key] = None, refusal.codes
        return data, refused

    def agrees(self, expected: Any, given: Any) -> bool:
        """Equal, keys in the same order. A cursor has one text, and no other row has it; texts are learned here."""
        if isinstance(expected, Cursor):
            return (
                isinstance(given, str)
                and self.texts.setdefault(expected, given) == given
                and self.cursors.setdefault(given, expected) == expected
            )
        if expected is WITHHELD:
            return given is None
        if isinstance(expected, dict):
            same = isinstance(given, dict) and list(expected) == list(given)
            return same and all(self.agrees(value, given[key]) for key, value in expected.items())
        if isinstance(expected, list):
            return isinstance(given, list) and len(expected) == len(given) and all(map(self.agrees, expected, given))
        return isinstance(expected, bool) is isinstance(given, bool) and bool(expected == given)


@dataclass
class Evaluation:
    oracle: Oracle
    asker: Asker
    fragments: Mapping[str, FragmentDefinitionNode]
    variables: Any

    # ---- the document ------------------------------------------------------------------------------------------------

    def collect(self, nodes: Iterable[Any], type_: Any = None) -> dict[str, list[FieldNode]]:
        """The fields of an object, by their keys. `type_`: of an object that could be of another type."""
        found: dict[str, list[FieldNode]] = {}
        for node in nodes:
            for item in node.selection_set.selections:
                if not self.included(item):
                    continue
                if isinstance(item, FieldNode):
                    found.setdefault((item.alias or item.name).value, []).append(item)
                    continue
                part = self.fragments[item.name.value] if isinstance(item, FragmentSpreadNode) else item
                if type_ is None or self.meets(type_, part.type_condition):
                    for key, group in self.collect([part], type_).items():
                        found.setdefault(key, []).extend(group)
        return found

    def meets(self, type_: Any, condition: Any) -> bool:
        on = type_ if condition is None else self.oracle.schema.type_map[condition.name.value]
        return on is type_ or (isinstance(on, GraphQLUnionType) and type_ in on.types)

    def included(self, node: Any) -> bool:
        for directive in node.directives or ():
            value = directive.arguments[0].value
            on = self.variables.coerced[value.name.value] if isinstance(value, VariableNode) else value.value
            if on is (directive.name.value == "skip"):
                return False
        return True

    def arguments(self, definition: Any, node: FieldNode) -> dict[str, Any]:
        given = get_argument_values(definition, node, self.variables)
        return {name: value.value if isinstance(value, Enum) else value for name, value in given.items()}

    # ---- rows --------------------------------------------------------------------------------------------------------

    def root(self, nodes: list[FieldNode]) -> Any:
        query: Any = self.oracle.schema.query_type
        definition = query.fields[nodes[0].name.value]
        arguments = self.arguments(definition, nodes[0])
        try:
            here = self.oracle.rules.here(nodes[0].name.value, self.oracle.store, self.asker, arguments)
            walk = replace(self, asker=here)
            found = self.oracle.rules.root(nodes[0].name.value, self.oracle.store, here, arguments)
        except Refused as refusal:
            if not refusal.by_the_gate:  # what was sent is judged before what is there
                walk.check(query, {"": nodes})
            raise
        walk.check(query, {"": nodes})
        return walk.shown(found, definition.type, nodes, arguments)

    def check(self, type_: Any, fields: Mapping[str, list[FieldNode]]) -> None:
        """Gates and cursors of all lists below, whether there are rows to list or not."""
        faults = set(self.faults(type_, fields))
        if faults:
            raise Refused(*faults)

    def faults(self, type_: Any, fields: Mapping[str, list[FieldNode]]) -> Iterator[str]:
        for group in fields.values():
            name = group[0].name.value
            if name in IN_BRIEF:
                continue
            if not self.oracle.rules.may_follow(type_.name, name, self.asker):
                continue
            definition = type_.fields[name]
            if not self.is_at_home(type_, group, self.arguments(definition, group[0])):
                yield "BAD_REQUEST"
            inner: Any = get_named_type(definition.type)
            if isinstance(inner, GraphQLUnionType):
                for member in inner.types:
                    yield from self.faults(member, self.collect(group, member))
            elif not is_leaf_type(inner):
                yield from self.faults(inner, self.collect(group))

    def is_at_home(self, type_: Any, group: list[FieldNode], arguments: Mapping[str, Any]) -> bool:
        """Whether the cursor that is sent, if any, is one of this list."""
        if walks_back(arguments) and not {"first", "after"}.isdisjoint(sent(arguments)):
            return False
        cursor = arguments.get("before" if walks_back(arguments) else "after")
        if cursor is None:
            return True
        known = self.oracle.cursors.get(cursor)
        kinds = kinds_of(self.oracle.rules.order(type_.name, group[0].name.value, arguments))
        counted = all(g[0].name.value in ("totalCount", *IN_BRIEF) for g in self.collect(group).values())
        # a mere total asks nothing of the cursor
        return known is not None and (known.keys(kinds) is not None or counted)

    def shown(self, found: Listing | Single, type_: Any, nodes: list[FieldNode], arguments: Mapping[str, Any]) -> Any:
        named: Any = get_named_type(type_)
        if isinstance(named, GraphQLUnionType) and isinstance(found, Single) and found.row is not None:
            [named] = [member for member in named.types if member.name == found.model]
        if isinstance(found, Single):
            return None if found.row is None else self.record(found.model, found.row, named, nodes)
        if named.name.endswith("Connection"):
            return self.connection(found, named, nodes, arguments)
        assert isinstance(getattr(type_, "of_type", type_), GraphQLList) or isinstance(type_, GraphQLList)
        return [self.record(found.model, row, named, nodes) for row in found.rows]

    def record(self, model: str, row: Row, type_: Any, nodes: list[FieldNode]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, group in self.collect(nodes, type_).items():
            if group[0].name.value in IN_BRIEF:
                made[key] = type_.name
                continue
            definition = type_.fields[group[0].name.value]
            if not self.oracle.rules.may_follow(type_.name, group[0].name.value, self.asker):
                made[key] = WITHHELD
                continue
            name = definition.extensions["strawberry-definition"].python_name
            arguments = self.arguments(definition, group[0])
            try:
                found = self.oracle.rules.follow(model, name, self.oracle.store, self.asker, row, arguments)
            except KeyError:
                found = row[name]
            made[key] = (
                self.shown(found, definition.type, group, arguments)
                if isinstance(found, (Listing, Single))
                else scalar(found)
            )
        return made

    # ---- pages -------------------------------------------------------------------------------------------------------

    def connection(
        self, found: Listing, type_: Any, nodes: list[FieldNode], arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        default, greatest = found.page or (100, 100)
        asked = arguments.get("first") or arguments.get("last") or arguments.get("limit") or 0
        size = default if asked <= 0 or (asked > greatest and not found.clamped) else min(asked, greatest)
        page = max(arguments.get("page") or 1, 1)
        skipped = (page - 1) * size if page > 1 else max(arguments.get("offset") or 0, 0)
        back = walks_back(arguments)
        rest = self.beyond(found, arguments, "before" if back else "after")
        rest = rest[: max(len(rest) - skipped, 0)] if back else rest[skipped:]
        rows = rest[max(len(rest) - size, 0) :] if back else rest[:size]
        made: dict[str, Any] = {}
        for key, group in self.collect(nodes).items():
            name = group[0].name.value
            if name in IN_BRIEF:
                made[key] = type_.name
            elif name == "totalCount":
                made[key] = len(found.rows)
            elif name == "nodes":
                made[key] = [
                    self.record(found.model, row, get_named_type(type_.fields["nodes"].type), group) for row in rows
                ]
            elif name == "edges":
                made[key] = [self.edge(found, row, get_named_type(type_.fields["edges"].type), group) for row in rows]
            else:
                ends = {"startCursor": self.cursor(found, rows, 0), "endCursor": self.cursor(found, rows, -1)}
                more, entered = (
                    len(rest) > size,
                    arguments.get("before" if back else "after") is not None or skipped > 0,
                )
                values = {"hasNextPage": entered if back else more, "hasPreviousPage": more if back else entered} | ends
                values["__typename"] = "PageInfo"
                made[key] = {k: values[g[0].name.value] for k, g in self.collect(group).items()}
        return made

    def edge(self, found: Listing, row: Row, type_: Any, nodes: list[FieldNode]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, group in self.collect(nodes).items():
            name = group[0].name.value
            if name in IN_BRIEF:
                made[key] = type_.name
            elif name == "cursor":
                made[key] = self.cursor(found, [row], 0)
            else:
                made[key] = self.record(found.model, row, get_named_type(type_.fields["node"].type), group)
        return made

    def cursor(self, found: Listing, rows: list[Row], at: int) -> Cursor | None:
        return Cursor(kinds_of(found.order), values_of(found.order, rows[at]), rows[at].get("id", "")) if rows else None

    def beyond(self, found: Listing, arguments: Mapping[str, Any], side: str) -> list[Row]:
        """The rows on one side of a cursor."""
        text = arguments.get(side)
        if text is None:
            return found.rows
        at = self.oracle.cursors[text].keys(kinds_of(found.order))
        if at is None:
            return []  # only the total is asked
        sign = 1 if side == "after" else -1
        return [row for row in found.rows if compared(found.order, values_of(found.order, row), at) * sign > 0]


def sent(arguments: Mapping[str, Any]) -> set[str]:
    return {name for name, value in arguments.items() if value is not None}


def walks_back(arguments: Mapping[str, Any]) -> bool:
    return not {"last", "before"}.isdisjoint(sent(arguments))


def scalar(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, Enum):
        return value.value
    return value
