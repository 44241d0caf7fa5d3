"""How much a document may ask: depth, aliases, and fields once every fragment is spread.

Each fragment is measured once. Rules that walk a fragment again for each spread of it take exponential time on fragments that
spread each other twice.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from graphql import DocumentNode, FieldNode, FragmentDefinitionNode, FragmentSpreadNode, GraphQLError, OperationDefinitionNode

from resolvers.kernel.reader.shape import ALIAS_BYTES

MAX_DEPTH, MAX_ALIASES, MAX_FIELDS, MAX_ROOTS = 12, 60, 1000, 20
MAX_SPREADS, MAX_REPEATS = 100, 20  # validation compares each fragment with every other, and each field of one name
MAX_PAIRS = 10_000  # such comparisons; a union of a hundred types, each with all of its fields, takes some 6,000


@dataclass(slots=True)
class Measure:
    """Of a selection, or of everything a fragment spreads to. `roots`: its own fields, those of fragments included."""

    depth: int = 0
    spreads: int = 0
    cyclic: bool = False
    aliases: int = 0
    fields: int = 0
    roots: int = 0
    too_long: str = ""  # an alias that the database would cut


def exceeded(tree: DocumentNode) -> GraphQLError | None:
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
        if not found.cyclic and _pairs([(definition.selection_set, "")], fragments) > MAX_PAIRS:
            return GraphQLError(f"The operation is too large: at most {MAX_REPEATS} fields of one name may be merged", definition)
        if found.too_long:
            return GraphQLError(f"The alias '{found.too_long[:80]}' is too long: at most {ALIAS_BYTES} characters are allowed", definition)
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
            # introspection has a depth rule of its own
            made.depth = max(made.depth, 1 if item.name.value.startswith("__") else inner.depth + 1)
        else:
            is_spread = isinstance(item, FragmentSpreadNode)
            made.spreads += is_spread
            inner = _fragment(item.name.value, fragments, known) if is_spread else _measure(item.selection_set, fragments, known)
            made.depth = max(made.depth, inner.depth)
            made.roots += inner.roots
        made.aliases += inner.aliases
        made.fields += inner.fields
        made.spreads += inner.spreads
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


def _pairs(parts: list[tuple[Any, str]], fragments: dict[str, FragmentDefinitionNode]) -> int:
    """How many pairs of fields meet under one name, where selections are merged. Asked of operations within the other limits only.

    A part is a selection and the type it is on, where it says so: of one type, MAX_REPEATS fields of a name are allowed.
    """
    groups: dict[str, list[tuple[Any, str]]] = {}
    spread: set[str] = set()
    while parts:
        selection, on = parts.pop()
        for item in selection.selections:
            if isinstance(item, FieldNode):
                groups.setdefault((item.alias or item.name).value, []).append((item.selection_set, on))
            elif not isinstance(item, FragmentSpreadNode):
                parts.append((item.selection_set, item.type_condition.name.value if item.type_condition else on))
            elif item.name.value in fragments and item.name.value not in spread:
                spread.add(item.name.value)
                fragment = fragments[item.name.value]
                parts.append((fragment.selection_set, fragment.type_condition.name.value))
    found = 0
    for group in groups.values():
        found += len(group) * (len(group) - 1) // 2
        if found > MAX_PAIRS or max(Counter(on for _, on in group).values()) > MAX_REPEATS:
            return MAX_PAIRS + 1
        found += _pairs([(selection, "") for selection, _ in group if selection], fragments)
    return found
