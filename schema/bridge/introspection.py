"""Introspection: its answer depends on the document alone, so it is computed once and kept as bytes."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    Node,
    OperationDefinitionNode,
    SelectionSetNode,
    execute_sync,
    print_ast,
)

from resolvers.kernel.ground.kept import Kept
from schema.bridge.trees import Tree
from schema.bridge.worker import Who, Worker

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
    """A document that asks for nothing but these fields of the operation, with the fragments that they spread."""
    operation = OperationDefinitionNode(
        operation=tree.operation.operation,
        name=None,
        variable_definitions=tree.operation.variable_definitions,
        directives=(),
        selection_set=SelectionSetNode(selections=tuple(nodes)),
    )
    return DocumentNode(definitions=(operation, *_spread(nodes, tree.fragments)))


def _spread(nodes: Iterable[Node], fragments: Mapping[str, FragmentDefinitionNode]) -> list[FragmentDefinitionNode]:
    """In the order in which they are met, each once."""
    found, waiting = dict[str, FragmentDefinitionNode](), list[Any](nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, FragmentSpreadNode) and node.name.value not in found:
            found[node.name.value] = fragments[node.name.value]
            waiting.append(found[node.name.value])
        elif getattr(node, "selection_set", None) is not None:
            waiting += reversed(node.selection_set.selections)
    return list(found.values())


class Answers:
    """Answers to introspection, computed outside the event loop: the whole schema takes half a second.

    They are cached by the requested fields, without names and comments, so that many documents share one answer. One is
    computed at a time.
    """

    def __init__(self, core: GraphQLSchema, worker: Worker) -> None:
        self._core, self._worker = core, worker
        self._documents: Kept[tuple[Introspection, bytes], Answered] = Kept(32, 8 * 1024 * 1024)
        self._kept: Kept[tuple[str, bytes], Answered] = Kept(32, 8 * 1024 * 1024)
        self._making = threading.Lock()

    async def get(self, root: Introspection, inputs: Mapping[str, Any], who: Who) -> Answered:
        """The value of the root field as JSON, and what is wrong with it."""
        used = {name: inputs[name] for name in root.names if name in inputs}
        said = orjson.dumps(used) if used else b""
        if len(said) > LONGEST_KEY:
            return await self._worker.run(partial(self._answer, root.document(), root.key, used), who)
        known = self._documents.get((root, said))
        if known is None:
            known = await self._worker.run(partial(self._made, root, said, used), who)
            self._documents.put((root, said), known, len(known[0]))
        return known

    def _made(self, root: Introspection, said: bytes, inputs: dict[str, Any]) -> Answered:
        document = root.document()
        key = print_ast(document), said
        with self._making:
            known = self._kept.get(key)
            if known is None:
                known = self._answer(document, root.key, inputs)
                self._kept.put(key, known, len(known[0]))
        return known

    def _answer(self, document: DocumentNode, key: str, inputs: dict[str, Any]) -> Answered:
        result = execute_sync(self._core, document, variable_values=inputs)
        return orjson.dumps((result.data or {}).get(key)), result.errors or []
