"""The limits of a document: depth, aliases, and fields after every fragment is spread.

Each fragment is measured once. Rules that walk a fragment for each spread of it take exponential time on fragments that
spread each other twice.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    Node,
    OperationDefinitionNode,
)

from resolvers.kernel.reader.shape import ALIAS_BYTES

MAX_DEPTH, MAX_ALIASES, MAX_FIELDS, MAX_ROOTS = 12, 60, 1000, 20
MAX_SPREADS, MAX_REPEATS = 100, 20  # validation compares each fragment with every other, and each field of one name
MAX_PAIRS = 10_000  # such comparisons; a union of a hundred types, each with all of its fields, takes some 6,000
MAX_SAME = 5  # names under which one object shows the same value
MAX_LETTERS = 64 * 1024  # of a document: long texts are sent as variables
MAX_TYPES = 10  # `__type` of a document
MAX_NAMES, MAX_DIRECTIVES = 200, 10  # of one object or list of arguments; and of one place
# of types, which have lists of types again
TYPE_LISTS = frozenset({"fields", "inputFields", "interfaces", "possibleTypes"})
# Parts that name each of theirs once, and how graphql-core says that one does not.
NAMED = {
    "arguments": "argument named '",
    "fields": "input field named '",
    "variable_definitions": "variable named '$",
}
TOO_WIDE = (
    f"Introspection may ask for one `__schema` and {MAX_TYPES} `__type`, without aliases in them, "
    f"and for none of {', '.join(sorted(TYPE_LISTS))} below another of these"
)


@dataclass(slots=True)
class Measure:
    """The size of a selection, or of everything that a fragment spreads to. `roots`: its own fields, including fields
    of fragments.
    """

    depth: int = 0
    spreads: int = 0
    cyclic: bool = False
    aliases: int = 0
    fields: int = 0
    roots: int = 0
    too_long: str = ""  # an alias that the database would cut
    schemas: int = 0
    types: int = 0
    lists: bool = False  # a list of a type's parts is in it
    wide: bool = False  # and one of these below another
    multiplied: bool = False  # introspection whose answer is more than a few times what the schema holds


class _Repeated(Exception):
    """A value is asked for under too many names; the text is the field's."""


def exceeded(tree: DocumentNode) -> GraphQLError | None:
    crowded = _crowded(tree)
    if crowded is not None:
        return crowded
    fragments = {d.name.value: d for d in tree.definitions if isinstance(d, FragmentDefinitionNode)}
    known: dict[str, Measure] = {}
    for definition in tree.definitions:
        if not isinstance(definition, OperationDefinitionNode):
            continue
        found = _measure(definition.selection_set, fragments, known)
        limits = (
            ("levels", found.depth, MAX_DEPTH),
            ("aliases", found.aliases, MAX_ALIASES),
            ("fields", found.fields, MAX_FIELDS),
            ("root fields", found.roots, MAX_ROOTS),
            ("spread fragments", found.spreads, MAX_SPREADS),
        )
        for name, value, most in limits:
            if value > most:
                return GraphQLError(f"The operation is too large: at most {most} {name} are allowed", definition)
        if found.multiplied or found.schemas > 1 or found.types > MAX_TYPES:
            return GraphQLError(TOO_WIDE, definition)
        try:
            if not found.cyclic and _pairs([(definition.selection_set, "")], fragments, root=True) > MAX_PAIRS:
                return GraphQLError(
                    f"The operation is too large: at most {MAX_REPEATS} fields of one name may be merged", definition
                )
        except _Repeated as repeated:
            return GraphQLError(
                (
                    f"The field '{str(repeated)[:80]}' is requested too often: an object returns a value "
                    f"under at most {MAX_SAME} names"
                ),
                definition,
            )
        if found.too_long:
            return GraphQLError(
                f"The alias '{found.too_long[:80]}' is too long: at most {ALIAS_BYTES} characters are allowed",
                definition,
            )
    return None


def _crowded(tree: DocumentNode) -> GraphQLError | None:
    """Faults of one object that validation would find one by one, printing the object for each."""
    waiting = list[Any](tree.definitions)
    while waiting:
        node = waiting.pop()
        for part in node.keys:
            value = getattr(node, part)
            if isinstance(value, Node):
                waiting.append(value)
            elif isinstance(value, tuple):
                if part in NAMED and len(value) > 1:
                    names = Counter((getattr(item, "variable", None) or item).name.value for item in value)
                    name, times = names.most_common(1)[0]
                    if times > 1:
                        return GraphQLError(f"There can be only one {NAMED[part]}{name[:80]}'.", node)
                    if len(names) > MAX_NAMES:
                        return GraphQLError(f"At most {MAX_NAMES} names are allowed in one place", node)
                elif part == "directives" and len(value) > MAX_DIRECTIVES:
                    return GraphQLError(f"At most {MAX_DIRECTIVES} directives are allowed in one place", node)
                waiting += [item for item in value if isinstance(item, Node)]
    return None


def _measure(selections: Any, fragments: dict[str, FragmentDefinitionNode], known: dict[str, Measure]) -> Measure:
    made = Measure()
    for item in selections.selections:
        if isinstance(item, FieldNode):
            alias = item.alias.value if item.alias is not None else ""
            made.fields += 1
            made.roots += 1
            made.aliases += alias != ""
            made.too_long = alias if len(alias) > ALIAS_BYTES else made.too_long
            inner = _measure(item.selection_set, fragments, known) if item.selection_set else Measure()
            name = item.name.value
            # introspection has a depth rule of its own
            made.depth = max(made.depth, 1 if name.startswith("__") else inner.depth + 1)
            made.schemas += name == "__schema"
            made.types += name == "__type"
            made.multiplied = made.multiplied or (name in ("__schema", "__type") and (inner.wide or inner.aliases > 0))
            made.wide = made.wide or (name in TYPE_LISTS and inner.lists)
            made.lists = made.lists or name in TYPE_LISTS
        else:
            is_spread = isinstance(item, FragmentSpreadNode)
            made.spreads += is_spread
            inner = (
                _fragment(item.name.value, fragments, known)
                if is_spread
                else _measure(item.selection_set, fragments, known)
            )
            made.depth = max(made.depth, inner.depth)
            made.roots += inner.roots
        made.aliases += inner.aliases
        made.fields += inner.fields
        made.spreads += inner.spreads
        made.schemas += inner.schemas
        made.types += inner.types
        made.lists, made.wide = made.lists or inner.lists, made.wide or inner.wide
        made.multiplied = made.multiplied or inner.multiplied
        made.cyclic = made.cyclic or inner.cyclic
        made.too_long = made.too_long or inner.too_long
    return made


def _fragment(name: str, fragments: dict[str, FragmentDefinitionNode], known: dict[str, Measure]) -> Measure:
    """Measured once, however often it is spread."""
    if name not in known:
        known[name] = Measure(cyclic=True)  # what a cycle sees: validation refuses it
        definition = fragments.get(name)
        if definition is not None:
            known[name] = _measure(definition.selection_set, fragments, known)
    return known[name]


def _pairs(parts: list[tuple[Any, str]], fragments: dict[str, FragmentDefinitionNode], *, root: bool = False) -> int:
    """Pairs of fields with one name in merged selections. Called only within the other limits.

    A part is a selection and its type, if known: of one type, MAX_REPEATS fields of a name are allowed. Raises
    _Repeated for a value that an object would show under more than MAX_SAME names; `root`: these are operations, not
    values.
    """
    groups: dict[str, list[tuple[Any, str]]] = {}
    values: set[tuple[str, str, str]] = set()
    spread: set[str] = set()
    while parts:
        selection, on = parts.pop()
        for item in selection.selections:
            if isinstance(item, FieldNode):
                key = (item.alias or item.name).value
                groups.setdefault(key, []).append((item.selection_set, on))
                if item.selection_set is None and not item.name.value.startswith("__"):
                    values.add((on, item.name.value, key))
            elif not isinstance(item, FragmentSpreadNode):
                parts.append((item.selection_set, item.type_condition.name.value if item.type_condition else on))
            elif item.name.value in fragments and item.name.value not in spread:
                spread.add(item.name.value)
                fragment = fragments[item.name.value]
                parts.append((fragment.selection_set, fragment.type_condition.name.value))
    if len(values) > MAX_SAME and not root:
        (_, name), most = Counter((on, name) for on, name, _ in values).most_common(1)[0]
        if most > MAX_SAME:
            raise _Repeated(name)
    found = 0
    for group in groups.values():
        found += len(group) * (len(group) - 1) // 2
        if found > MAX_PAIRS or max(Counter(on for _, on in group).values()) > MAX_REPEATS:
            return MAX_PAIRS + 1
        found += _pairs([(selection, "") for selection, _ in group if selection], fragments)
    return found
