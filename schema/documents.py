"""Documents: parsed and validated once, their roots compiled once per truth of their conditions."""

from collections import OrderedDict
from typing import Any

import orjson
from graphql import (
    ExecutableDefinitionNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    Visitor,
    parse,
    validate,
    visit,
)  # fmt: skip

from schema.limits import exceeded
from schema.selection import Root, Selection, Unbound

MAX_TOKENS = 4000
KEPT, KEPT_BYTES = 1000, 64 * 1024  # documents; a longer one is compiled each time
TRUTHS = 32  # plans of one document, by the values of the variables of @include and @skip

RootPlan = Root | tuple[str, bytes]


class _Conditions(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: Any, *_: Any) -> None:
        if node.name.value in ("include", "skip") and node.arguments and isinstance(node.arguments[0].value, VariableNode):
            self.names.add(node.arguments[0].value.name.value)


class Document:
    """One text with one chosen operation."""

    def __init__(self, core: GraphQLSchema, text: str, name: str | None) -> None:
        self.core = core
        self.operation: OperationDefinitionNode | None = None
        self.plans: dict[tuple[bool, ...], list[RootPlan] | None] = {}
        self.errors: list[GraphQLError] = []
        try:
            tree = parse(text, max_tokens=MAX_TOKENS)
            too_large = exceeded(tree)
            self.errors = [too_large] if too_large else validate(core, tree)
        except GraphQLError as error:
            self.errors = [error]
        except RecursionError:
            self.errors = [GraphQLError("The document is nested too deeply")]
        if self.errors:
            return
        self.tree = tree
        self.fragments = {d.name.value: d for d in tree.definitions if isinstance(d, FragmentDefinitionNode)}
        self.operation = _chosen([d for d in tree.definitions if isinstance(d, OperationDefinitionNode)], name, self.errors)
        if not all(isinstance(d, ExecutableDefinitionNode) for d in tree.definitions):
            self.errors.append(GraphQLError("Only operations and fragments may be sent"))
        finder = _Conditions()
        visit(tree, finder)
        self.conditions = sorted(finder.names)

    def plan(self, variables: Any) -> list[RootPlan] | None:
        """Roots in the order of the document; None when the executor has to take over."""
        truth = tuple([variables.coerced[n] for n in self.conditions])
        if truth not in self.plans:
            if len(self.plans) >= TRUTHS:
                self.plans.clear()
            self.plans[truth] = self._compile(dict(zip(self.conditions, truth, strict=True)))
        return self.plans[truth]

    def _compile(self, truth: dict[str, bool]) -> list[RootPlan] | None:
        operation = self.operation
        if operation is None or operation.operation is OperationType.SUBSCRIPTION:
            return None
        selection = Selection(self.core, self.fragments, truth)
        parent: Any = self.core.query_type if operation.operation is OperationType.QUERY else self.core.mutation_type
        made: list[RootPlan] = []
        try:
            for key, nodes in selection.fields(parent, [operation]).items():
                name = nodes[0].name.value
                if name == "__typename":
                    made.append((key, orjson.dumps(parent.name)))
                elif name.startswith("__"):
                    raise Unbound
                else:
                    made.append(selection.root(parent, key, nodes))
        except Unbound:
            return None
        return made


def _chosen(operations: list[OperationDefinitionNode], name: str | None, errors: list[GraphQLError]) -> OperationDefinitionNode | None:
    if name is None and len(operations) == 1:
        return operations[0]
    for operation in operations:
        if name is not None and operation.name and operation.name.value == name:
            return operation
    errors.append(
        GraphQLError("Must provide operation name if query contains multiple operations." if name is None else f"Unknown operation named '{name[:100]}'.")
    )
    return None


class Documents:
    """The documents in use, least recently used first to go."""

    def __init__(self, core: GraphQLSchema) -> None:
        self.core = core
        self.known: OrderedDict[tuple[str, str | None], Document] = OrderedDict()

    def get(self, text: str, name: str | None) -> Document:
        key = (text, name)
        known = self.known.get(key)
        if known is not None:
            self.known.move_to_end(key)
            return known
        made = Document(self.core, text, name)
        if len(text) <= KEPT_BYTES and not made.errors:
            self.known[key] = made
            if len(self.known) > KEPT:
                self.known.popitem(last=False)
        return made
