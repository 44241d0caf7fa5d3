"""The syntax tree of a document: parsed from its text on use, and not kept.

A tree consists of hundreds of objects; every full collection would walk the trees of all stored documents.
"""

import sys
from typing import Any

from graphql import DocumentNode, FragmentDefinitionNode, Node, OperationDefinitionNode, Source, parse

MAX_TOKENS = 4000
NODE = 240  # bytes, with its place


class Tree:
    """A text that is parsed, and its chosen operation: that of the name, or without a name the only one."""

    __slots__ = ("document", "fragments", "operation")

    def __init__(self, source: Source, name: str | None) -> None:
        """Raises GraphQLError and RecursionError."""
        self.document: DocumentNode = parse(source, max_tokens=MAX_TOKENS, allow_empty_selection_sets=False)
        self.fragments = {d.name.value: d for d in self.document.definitions if isinstance(d, FragmentDefinitionNode)}
        operations = [d for d in self.document.definitions if isinstance(d, OperationDefinitionNode)]
        named = [d for d in operations if d.name is not None and d.name.value == name]
        self.operation: Any = named[0] if named else operations[0] if name is None and len(operations) == 1 else None
        token = self.document.loc and self.document.loc.start_token
        # they know each other in both directions: without that, a tree is freed at once and not by the collector
        while token:
            token.prev, token = None, token.next


def detach(node: Node) -> int:
    """Cuts a kept node off the tokens of its text. Its places keep their numbers, all that errors tell.

    Returns how many bytes it takes, about.
    """
    size, nodes = 0, list[Any]([node])
    while nodes:
        item = nodes.pop()
        if isinstance(item, tuple):
            nodes += item
        elif isinstance(item, Node):
            size += NODE
            if item.loc is not None:
                item.loc.start_token = item.loc.end_token = None  # type: ignore[assignment]
            nodes += [getattr(item, key) for key in item.keys if key != "loc"]
        elif isinstance(item, str):
            size += sys.getsizeof(item)
    return size
