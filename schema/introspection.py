"""Introspection: what the schema says of itself depends on the document alone, so it is made once and kept as bytes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    execute_sync,
)

from resolvers.kernel.kept import Kept
from schema.trees import Tree
from schema.worker import worker

ROOTS = frozenset({"__schema", "__type"})
LONGEST_KEY = 1000  # bytes of variables that an answer is kept for
Answered = tuple[bytes, list[GraphQLError]]


@dataclass(frozen=True, eq=False, slots=True)
class Introspection:
    """One root field of a document. `names`: of the variables it may use. `document` parses one of it alone."""

    key: str
    names: tuple[str, ...]
    document: Callable[[], DocumentNode]


def alone(nodes: list[FieldNode], tree: Tree) -> DocumentNode:
    """A document that asks for nothing but these fields of the operation."""
    operation = OperationDefinitionNode(
        operation=tree.operation.operation,
        name=None,
        variable_definitions=tree.operation.variable_definitions,
        directives=(),
        selection_set=SelectionSetNode(selections=tuple(nodes)),
    )
    return DocumentNode(definitions=(operation, *tree.fragments.values()))


class Answers:
    """Answers to introspection, put together beside the event loop: the whole schema takes a tenth of a second."""

    def __init__(self, core: GraphQLSchema) -> None:
        self._core = core
        self._kept: Kept[tuple[Introspection, bytes], Answered] = Kept(32, 8 * 1024 * 1024)

    async def get(self, root: Introspection, inputs: Mapping[str, Any]) -> Answered:
        """The value of the root field as JSON, and what is wrong with it."""
        used = {name: inputs[name] for name in root.names if name in inputs}
        said = orjson.dumps(used) if used else b""
        if len(said) > LONGEST_KEY:
            return await worker.run(partial(self._answer, root, used))
        known = self._kept.get((root, said))
        if known is None:
            known = await worker.run(partial(self._answer, root, used))
            self._kept.put((root, said), known, len(known[0]))
        return known

    def _answer(self, root: Introspection, inputs: dict[str, Any]) -> Answered:
        result = execute_sync(self._core, root.document(), variable_values=inputs)
        return orjson.dumps((result.data or {}).get(root.key)), result.errors or []
