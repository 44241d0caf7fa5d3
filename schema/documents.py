"""Documents: parsed and validated once, their roots compiled once per truth of their conditions."""

from collections import OrderedDict
from dataclasses import dataclass, field
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

from schema.arguments import Variables
from schema.limits import exceeded
from schema.selection import Root, Selection, Unbound

MAX_TOKENS = 4000
KEPT, KEPT_LETTERS = 1000, 512 * 1024  # documents, and letters of them together: a parsed one takes up to 200 bytes a letter
LONGEST_KEPT = 64 * 1024  # a longer one is compiled each time
TRUTHS = 32  # plans of one document, by the values of the variables of @include and @skip

RootPlan = Root | tuple[str, bytes]


@dataclass(slots=True)
class Plan:
    """Roots in the order of the document. Not `complete`: some of it only the executor can answer, introspection for one."""

    roots: list[RootPlan] = field(default_factory=list)
    complete: bool = True


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
        self.plans: dict[tuple[bool, ...], Plan] = {}
        self.errors: list[GraphQLError] = []
        try:
            tree = parse(text, max_tokens=MAX_TOKENS, allow_empty_selection_sets=False)
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
        if self.operation is not None:  # other operations of the text have variables of their own
            self.variables = Variables(core, self.operation)
            finder = _Conditions()
            visit(tree, finder)
            self.conditions = sorted(finder.names & {d.variable.name.value for d in self.operation.variable_definitions or ()})

    def undecided(self, variables: Any) -> GraphQLError | None:
        """A null for a variable that decides @include or @skip: it passes validation where the variable has a default."""
        for name in self.conditions:
            if variables.coerced[name] is None:
                return GraphQLError(f"Variable '${name}' decides about @include or @skip and must not be null", self.operation)
        return None

    def plan(self, variables: Any) -> Plan:
        truth = tuple([variables.coerced[n] for n in self.conditions])
        known = self.plans.get(truth)
        if known is None:
            if len(self.plans) >= TRUTHS:
                self.plans.clear()
            known = self.plans[truth] = self._compile(dict(zip(self.conditions, truth, strict=True)))
        return known

    def _compile(self, truth: dict[str, bool]) -> Plan:
        operation: Any = self.operation
        selection = Selection(self.core, self.fragments, truth)
        parent: Any = self.core.query_type if operation.operation is OperationType.QUERY else self.core.mutation_type
        plan = Plan()
        for key, nodes in selection.fields(parent, [operation]).items():
            if nodes[0].name.value == "__typename":
                plan.roots.append((key, orjson.dumps(parent.name)))
                continue
            try:
                plan.roots.append(selection.root(parent, key, nodes))
            except Unbound:
                plan.complete = False
        return plan


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
        self.letters = 0

    def get(self, text: str, name: str | None) -> Document:
        key = (text, name)
        known = self.known.get(key)
        if known is not None:
            self.known.move_to_end(key)
            return known
        made = Document(self.core, text, name)
        if len(text) <= LONGEST_KEPT and not made.errors:
            self.known[key] = made
            self.letters += len(text)
            while len(self.known) > KEPT or self.letters > KEPT_LETTERS:
                (gone, _), _ = self.known.popitem(last=False)
                self.letters -= len(gone)
        return made
