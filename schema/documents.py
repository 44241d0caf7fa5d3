"""Documents: parsed and validated once, their roots compiled once per truth of their conditions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
from graphql import (
    ExecutableDefinitionNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    Node,
    OperationDefinitionNode,
    OperationType,
    VariableNode,
    Visitor,
    parse,
    validate,
    visit,
)  # fmt: skip

from resolvers.kernel.reader.shape import weight
from schema.arguments import Variables
from schema.errors import MOST_FOUND
from schema.introspection import ROOTS, Introspection, introspection
from schema.kept import Kept
from schema.limits import MAX_LETTERS, exceeded
from schema.selection import Root, Selection, Unbound
from schema.worker import worker

MAX_TOKENS = 4000
QUICK = 1000  # letters of a document that is read at once; longer ones are read beside the event loop
KEPT, KEPT_BYTES = 1000, 48 * 1024 * 1024  # documents, and bytes of them together
KEPT_PLANS, KEPT_PLAN_BYTES = 4000, 16 * 1024 * 1024  # by document, and the values of the variables of its @include and @skip
LETTER, NODE = 300, 400  # bytes: what a parsed document takes a letter, and a plan a field

RootPlan = Root | Introspection | tuple[str, bytes]
Truth = dict[str, bool]


@dataclass(slots=True)
class Plan:
    """Roots in the order of the document. Not `complete`: some of it only the executor can answer."""

    roots: list[RootPlan] = field(default_factory=list)
    complete: bool = True
    introspects: bool = False

    @property
    def size(self) -> int:
        """Bytes, about."""
        return NODE * (4 + sum(4 + weight(root.shape) for root in self.roots if isinstance(root, Root)))


class _Conditions(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: Any, *_: Any) -> None:
        if node.name.value in ("include", "skip") and node.arguments and isinstance(node.arguments[0].value, VariableNode):
            self.names.add(node.arguments[0].value.name.value)


class Document:
    """One text with one chosen operation. `suggest`: errors may name what is meant, which tells of the schema."""

    def __init__(self, core: GraphQLSchema, text: str, name: str | None, *, suggest: bool = True) -> None:
        self.core, self.letters = core, len(text)
        self.operation: OperationDefinitionNode | None = None
        self.errors: list[GraphQLError] = []
        try:
            if len(text) > MAX_LETTERS:
                raise GraphQLError(f"The document is too large: at most {MAX_LETTERS} letters are allowed; send long texts as variables")
            tree = parse(text, max_tokens=MAX_TOKENS, allow_empty_selection_sets=False)
            too_large = exceeded(tree)
            self.errors = [too_large] if too_large else validate(core, tree, max_errors=MOST_FOUND, hide_suggestions=not suggest)
        except GraphQLError as error:
            self.errors = [error]
        except RecursionError:
            self.errors = [GraphQLError("The document is nested too deeply")]
        if self.errors:
            return
        _forget_tokens(tree)
        self.tree = tree
        self.fragments = {d.name.value: d for d in tree.definitions if isinstance(d, FragmentDefinitionNode)}
        self.operation = _chosen([d for d in tree.definitions if isinstance(d, OperationDefinitionNode)], name, self.errors)
        if not all(isinstance(d, ExecutableDefinitionNode) for d in tree.definitions):
            self.errors.append(GraphQLError("Only operations and fragments may be sent"))
        if self.operation is not None:  # other operations of the text have variables of their own
            self.variables = Variables(core, self.operation)
            finder = _Conditions()
            visit(tree, finder)
            self.conditions = sorted(finder.names & {d.variable.name.value for d in self.operation.variable_definitions or ()})

    def values(self, inputs: dict[str, Any]) -> Any:
        """The values of its variables, or the list of what is wrong with them.

        A null for a variable that decides @include or @skip passes validation where the variable has a default.
        """
        made = self.variables.read(inputs)
        if not isinstance(made, list):
            for name in self.conditions:
                if made.coerced[name] is None:
                    return [GraphQLError(f"Variable '${name}' decides about @include or @skip and must not be null", self.operation)]
        return made

    def truth(self, variables: Any) -> tuple[bool, ...]:
        """The values of its conditions."""
        return tuple([variables.coerced[n] for n in self.conditions])

    def compile(self, truth: Truth) -> Plan:
        """What a query or mutation calls where its conditions have these values."""
        operation: Any = self.operation
        selection = Selection(self.core, self.fragments, truth)
        parent: Any = self.core.query_type if operation.operation is OperationType.QUERY else self.core.mutation_type
        plan = Plan()
        for key, nodes in selection.fields(parent, [operation]).items():
            if nodes[0].name.value == "__typename":
                plan.roots.append((key, orjson.dumps(parent.name)))
                continue
            if nodes[0].name.value in ROOTS:
                plan.roots.append(introspection(key, nodes, operation, self.fragments))
                plan.introspects = True
                continue
            try:
                plan.roots.append(selection.root(parent, key, nodes))
            except Unbound:
                plan.complete = False
        return plan


def _forget_tokens(tree: Node) -> None:
    """Places keep their numbers, which is all that errors tell of them. The tokens are half of what a document takes, and know each other in
    both directions: with them it would be freed by nothing but a full round of the collector."""
    nodes: list[Any] = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, (tuple, list)):
            nodes += node
        elif isinstance(node, Node):
            if node.loc is not None:
                node.loc.start_token = node.loc.end_token = None  # type: ignore[assignment]
            nodes += [getattr(node, key) for key in node.keys if key != "loc"]


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
    """The documents in use, and their plans."""

    def __init__(self, core: GraphQLSchema, *, suggest: bool = True) -> None:
        self.core, self.suggest = core, suggest
        self.kept: Kept[tuple[str, str | None], Document] = Kept(KEPT, KEPT_BYTES)
        self.plans: Kept[tuple[Document, tuple[bool, ...]], Any] = Kept(KEPT_PLANS, KEPT_PLAN_BYTES)

    def known(self, text: str, name: str | None) -> Document | None:
        return self.kept.get((text, name))

    async def read(self, text: str, name: str | None) -> Document:
        """A document that is not known. Raises Refusal UNAVAILABLE where too many others are being read."""
        make = partial(Document, self.core, text, name, suggest=self.suggest)
        made = make() if len(text) <= QUICK else await worker.run(make)
        if not made.errors:
            self.kept.put((text, name), made, LETTER * (len(text) + 20))
        return made

    def known_plan(self, document: Document, variables: Any) -> Any:
        return self.plans.get((document, document.truth(variables)))

    async def plan(self, document: Document, variables: Any, compile: Callable[[Document, Truth], Any] = Document.compile) -> Any:
        """A plan that is not known: `compile` makes it of the values of the document's conditions, and it has a `size`."""
        truth = document.truth(variables)
        make = partial(compile, document, dict(zip(document.conditions, truth, strict=True)))
        made = make() if document.letters <= QUICK else await worker.run(make)
        self.plans.put((document, truth), made, made.size)
        return made
