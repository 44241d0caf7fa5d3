"""How much a document may ask: depth, aliases, and fields once every fragment is spread.

Each fragment is measured once. Rules that walk a fragment again for each spread of it take exponential time on fragments that
spread each other twice.
"""

from dataclasses import dataclass
from typing import Any

from graphql import DocumentNode, FieldNode, FragmentDefinitionNode, FragmentSpreadNode, GraphQLError, OperationDefinitionNode

MAX_DEPTH, MAX_ALIASES, MAX_FIELDS, MAX_ROOTS = 12, 60, 5000, 20


@dataclass(slots=True)
class Measure:
    depth: int = 0
    aliases: int = 0
    fields: int = 0


def exceeded(tree: DocumentNode) -> GraphQLError | None:
    fragments = {d.name.value: d for d in tree.definitions if isinstance(d, FragmentDefinitionNode)}
    known: dict[str, Measure] = {}
    for definition in tree.definitions:
        if not isinstance(definition, OperationDefinitionNode):
            continue
        found = _measure(definition.selection_set, fragments, known)
        for name, value, most in (("depth", found.depth, MAX_DEPTH), ("aliases", found.aliases, MAX_ALIASES), ("fields", found.fields, MAX_FIELDS)):
            if value > most:
                return GraphQLError(f"The operation is too large: at most {most} {name} are allowed", definition)
        if len(definition.selection_set.selections) > MAX_ROOTS:
            return GraphQLError(f"The operation is too large: at most {MAX_ROOTS} root fields are allowed", definition)
    return None


def _measure(selections: Any, fragments: dict[str, FragmentDefinitionNode], known: dict[str, Measure]) -> Measure:
    made = Measure()
    for item in selections.selections:
        if isinstance(item, FieldNode):
            made.fields += 1
            made.aliases += item.alias is not None
            inner = _measure(item.selection_set, fragments, known) if item.selection_set else Measure()
            # introspection has a depth rule of its own
            made.depth = max(made.depth, 1 if item.name.value.startswith("__") else inner.depth + 1)
        elif isinstance(item, FragmentSpreadNode):
            inner = _fragment(item.name.value, fragments, known)
            made.depth = max(made.depth, inner.depth)
        else:
            inner = _measure(item.selection_set, fragments, known)
            made.depth = max(made.depth, inner.depth)
        made.aliases += inner.aliases
        made.fields += inner.fields
    return made


def _fragment(name: str, fragments: dict[str, FragmentDefinitionNode], known: dict[str, Measure]) -> Measure:
    if name not in known:
        known[name] = Measure()  # what a cycle sees: validation refuses it
        definition = fragments.get(name)
        if definition is not None:
            known[name] = _measure(definition.selection_set, fragments, known)
    return known[name]
