"""Random valid GraphQL documents over whatever the schema offers: to compare two implementations of reads."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
)

from schema.bridge.selection import BACKREF

Offer = Callable[[str, str], list[Any] | None]
"""(field, argument) -> values worth sending; None where the type alone says what may be sent."""

NAMES = [
    "q1",
    "q2",
    "q3",
    "t1",
    "t2",
    "o1",
    "p1",
    "p2",
    "r1",
    "n0",
    "n1",
    "one_",
    "version_",
    "absent_",
    "payload",
    "select",
    "Id",
    "ID",
    "__x",
    "a" * 63,
]
"""Aliases that a statement might use for something of its own, words of SQL, and the longest one allowed."""
MOST_ALIASES = 30


class Literal(str):
    """A value as it is written in a document: the name of an enum."""


@dataclass
class Fragment:
    name: str
    type: str
    height: int
    aliases: int


@dataclass
class Written:
    text: str
    variables: dict[str, Any]
    operation: str | None = None


@dataclass
class Writer:
    """Writes one document. `offered` says which fields may be asked, by the name of their type and their own."""

    schema: GraphQLSchema
    random: random.Random
    offer: Offer
    offered: Callable[[str, str], bool] = lambda _type, _field: True
    depth: int = 0
    declared: list[str] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
    fragments: list[Fragment] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    count: int = 0
    aliased: int = 0

    def chance(self, of: float) -> bool:
        return self.random.random() < of

    def name(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    # ---- the document ------------------------------------------------------------------------------------------------

    def document(self) -> Written:
        query: Any = self.schema.query_type
        names = [
            n
            for n, f in query.fields.items()
            if "operation" in f.extensions[BACKREF].metadata and self.offered("Query", n)
        ]
        self.depth = self.depth or self.random.choice([2, 3, 4, 5, 6])
        roots = self.random.choices(names, k=self.random.choice([1, 1, 1, 2, 3]))
        parts = [self.part(query, n, self.depth) for n in roots]
        if self.chance(0.15):
            parts.insert(self.random.randrange(len(parts) + 1), self.typename())
        head = f"({', '.join(self.declared)})" if self.declared else ""
        operation = f"query Q{head} {{ {' '.join(parts)} }}"
        body = [operation, *self.texts]
        self.random.shuffle(body)
        return Written(" ".join(body), self.variables)

    def selection(self, type_: GraphQLObjectType, depth: int) -> str:
        names = [n for n, f in type_.fields.items() if self.fits(type_, n, f, depth)]
        picked = self.random.sample(names, min(len(names), self.random.choice([1, 2, 3, 4, 6])))
        parts = [self.part(type_, n, depth) for n in picked]
        if self.chance(0.25) or not parts:
            parts.insert(self.random.randrange(len(parts) + 1), self.typename())
        if self.chance(0.15) and picked:  # the same field again, to be merged
            parts.append(self.part(type_, self.random.choice(picked), depth))
        again = [
            f
            for f in self.fragments
            if f.type == type_.name and f.height <= depth and f.aliases + self.aliased <= MOST_ALIASES
        ]
        if again and self.chance(0.3):
            spread = self.random.choice(again)
            self.aliased += spread.aliases
            parts.append(f"...{spread.name}{self.directives()}")
        return "{ " + " ".join(parts) + " }"

    def union(self, type_: GraphQLUnionType, depth: int) -> str:
        """Fragments on some of its members; now and then none of them, or one on the union itself."""
        parts = [
            f"... on {member.name}{self.directives()} {self.selection(member, depth)}"
            for member in self.random.sample(type_.types, self.random.randrange(len(type_.types) + 1))
        ]
        if self.chance(0.4) or not parts:
            parts.insert(self.random.randrange(len(parts) + 1), self.typename())
        text = " ".join(parts)
        return f"{{ ... on {type_.name}{self.directives()} {{ {text} }} }}" if self.chance(0.1) else f"{{ {text} }}"

    def fits(self, type_: GraphQLObjectType, name: str, definition: GraphQLField, depth: int) -> bool:
        if not self.offered(type_.name, name):
            return False
        inner: Any = get_named_type(definition.type)
        return is_leaf_type(inner) or depth > (3 if inner.name.endswith("Connection") else 1)

    def part(self, type_: GraphQLObjectType, name: str, depth: int) -> str:
        """A field, as it is, or inside a fragment."""
        before = self.aliased
        text = self.field(type_, name, depth)
        kind = self.random.random()
        if kind < 0.12:
            made = Fragment(self.name("F"), type_.name, depth, self.aliased - before)
            self.texts.append(f"fragment {made.name} on {type_.name} {{ {text} }}")
            self.fragments.append(made)
            return f"...{made.name}{self.directives()}"
        if kind < 0.24:
            condition = f" on {type_.name}" if self.chance(0.7) else ""
            return f"...{condition}{self.directives()} {{ {text} }}"
        return text

    def field(self, type_: GraphQLObjectType, name: str, depth: int) -> str:
        definition = type_.fields[name]
        chosen = {n: a for n, a in definition.args.items() if n not in self.other_way()}
        arguments = [text for n, a in chosen.items() if (text := self.argument(name, n, a)) is not None]
        call = f"{name}({', '.join(arguments)})" if arguments else name
        inner: Any = get_named_type(definition.type)
        needed = bool(arguments) or name in clashing(self.schema, type_)
        text = self.alias(f"{type_.name}.{call}", needed) + call + self.directives()
        if is_leaf_type(inner):
            return text
        write = self.union if isinstance(inner, GraphQLUnionType) else self.selection
        return f"{text} {write(inner, depth - 1)}"

    def alias(self, meaning: str, needed: bool) -> str:
        """One name has one meaning in a whole document, so that whatever meets can be merged."""
        field = meaning.partition(".")[2]
        if field in NAMES:  # without an alias it has this one
            needed |= self.aliases.setdefault(field, meaning) != meaning
        if not needed and (self.aliased >= MOST_ALIASES or not self.chance(0.25)):
            return ""
        self.aliased += 1
        free = [n for n in NAMES if self.aliases.get(n, meaning) == meaning]
        name = self.random.choice(free) if free and self.chance(0.6) else self.name("a")
        self.aliases[name] = meaning
        return f"{name}: "

    def typename(self) -> str:
        return (f"{self.name('k')}: " if self.chance(0.3) else "") + "__typename" + self.directives()

    def directives(self) -> str:
        made = ""
        for name in ("include", "skip"):
            if self.chance(0.06):
                on = self.chance(0.6) is (name == "include")
                made += f" @{name}(if: {self.switch(on) if self.chance(0.6) else str(on).lower()})"
        return made

    def switch(self, on: bool) -> str:
        """A Boolean variable: sent, or left to its default."""
        name = self.name("b")
        if self.chance(0.3):
            self.declared.append(f"${name}: Boolean = {str(on).lower()}")
        else:
            self.declared.append(f"${name}: Boolean!")
            self.variables[name] = on
        return f"${name}"

    # ---- arguments ---------------------------------------------------------------------------------------------------

    def other_way(self) -> tuple[str, ...]:
        """Pages go one way; to ask for both is refused, which is tried seldom."""
        if self.chance(0.03):
            return ()
        return ("first", "after") if self.chance(0.3) else ("last", "before")

    def argument(self, owner: str, name: str, argument: GraphQLArgument) -> str | None:
        required = isinstance(argument.type, GraphQLNonNull)
        if not required and name != "workspaceId" and not self.chance(0.35):
            return None
        value = self.value(owner, name, argument.type)
        if value is None and required:
            value = "none"
        if not self.chance(0.5):
            return f"{name}: {literal(value)}"
        variable = self.name("v")
        default = f" = {literal(value)}" if value is not None and self.chance(0.15) else ""
        self.declared.append(f"${variable}: {argument.type}{default}")
        sent = required or (not default and self.chance(0.85))
        if sent and not default:
            self.variables[variable] = value
        return f"{name}: ${variable}"

    def value(self, owner: str, name: str, type_: Any) -> Any:
        offered = self.offer(owner, name)
        if offered is not None:
            return self.random.choice(offered)
        return self.typed(type_)

    def typed(self, type_: Any) -> Any:
        if isinstance(type_, GraphQLNonNull):
            if isinstance(type_.of_type, GraphQLEnumType):
                return Literal(self.random.choice([*type_.of_type.values]))
            value = self.typed(type_.of_type)
            return "none" if value is None else value
        if isinstance(type_, GraphQLList):
            return [self.typed(GraphQLNonNull(type_.of_type)) for _ in range(self.random.randrange(3))]
        named: Any = get_named_type(type_)
        if isinstance(named, GraphQLEnumType):
            return self.random.choice([*map(Literal, named.values), None])
        if isinstance(named, GraphQLInputObjectType):
            return {
                n: self.typed(f.type)
                for n, f in named.fields.items()
                if isinstance(f.type, GraphQLNonNull) or self.chance(0.3)
            }
        choices: dict[str, list[Any]] = {
            "Int": [0, 1, -1, 7, 2**31 - 1],
            "Float": [0.5, -1, 1e9],
            "Boolean": [True, False],
            "DateTime": ["2026-01-01T00:00:00Z"],
        }
        return self.random.choice([*choices.get(named.name, ["none", "", 'it\'s \\ "so" ☃']), None])


@cache
def clashing(schema: GraphQLSchema, type_: GraphQLObjectType) -> frozenset[str]:
    """The fields of a member of unions whose type is another one in another member: one name cannot stand for both."""
    unions = [each for each in schema.type_map.values() if isinstance(each, GraphQLUnionType) and type_ in each.types]
    others = [member for union in unions for member in union.types if member is not type_]
    return frozenset(
        name
        for name, definition in type_.fields.items()
        for other in others
        if name in other.fields and _shape(other.fields[name].type) != _shape(definition.type)
    )


def _shape(type_: Any) -> str:
    """What has to be equal of two types: lists, nulls, and the name of a leaf."""
    inner: Any = get_named_type(type_)
    return str(type_) if is_leaf_type(inner) else str(type_).replace(inner.name, "{}")


def literal(value: Any) -> str:
    """The value as a document writes it."""
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return json.dumps(value)
