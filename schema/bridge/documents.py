"""Documents: validated once, their roots compiled once per truth of their conditions."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from graphql import (
    DocumentNode,
    ExecutableDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationType,
    Source,
    VariableNode,
    Visitor,
    validate,
    visit,
)

from resolvers.kernel.ground.kept import Kept
from resolvers.kernel.reader.shape import weight
from schema.bridge.arguments import Variables
from schema.bridge.by_id import RootsByType, root_of
from schema.bridge.errors import MOST_FOUND
from schema.bridge.introspection import ROOTS, Introspection, alone
from schema.bridge.limits import MAX_LETTERS, exceeded
from schema.bridge.selection import Root, Selection, Unbound
from schema.bridge.trees import Tree
from schema.bridge.worker import Who, Worker

QUICK = 1000  # letters of a user's document that is read at once; others are read beside the event loop
KEPT, KEPT_BYTES = 1000, 8 * 1024 * 1024  # documents, and bytes of them together
# by document, and the values of the variables of its @include and @skip
KEPT_PLANS, KEPT_PLAN_BYTES = 4000, 8 * 1024 * 1024
DOCUMENT, FIELD = 1700, 150  # bytes: what a document takes beside its text and variables, and a plan a field

RootPlan = Root | RootsByType | Introspection | tuple[str, bytes]
Truth = dict[str, bool]
Made = TypeVar("Made")


@dataclass(slots=True)
class DocumentPlan:
    """Roots in the order of the document. Not `complete`: some of it only the executor can answer."""

    roots: list[RootPlan] = field(default_factory=list)
    complete: bool = True
    introspects: bool = False
    runs: int = 0

    @property
    def size(self) -> int:
        """Bytes, about."""
        return FIELD * 4 + sum(FIELD * (4 + weight(root.shape)) + root.written for root in self._asked)

    @property
    def _asked(self) -> Iterator[Root]:
        for root in self.roots:
            if isinstance(root, Root):
                yield root
            elif isinstance(root, RootsByType):
                yield from root.roots.values()


class _Conditions(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_directive(self, node: Any, *_: Any) -> None:
        if (
            node.name.value in ("include", "skip")
            and node.arguments
            and isinstance(node.arguments[0].value, VariableNode)
        ):
            self.names.add(node.arguments[0].value.name.value)


class Document:
    """A text with one selected operation, without its syntax tree. `suggest`: errors may suggest names, which reveals
    the schema.
    """

    __slots__ = ("_fresh", "conditions", "core", "errors", "kind", "name", "source", "start", "variables")

    def __init__(self, core: GraphQLSchema, text: str, name: str | None, *, suggest: bool = True) -> None:
        self.core, self.source, self.name = core, Source(text), name
        self.kind: OperationType | None = None
        self.errors: list[GraphQLError] = []
        self._fresh: Tree | None = None
        try:
            if len(text) > MAX_LETTERS:
                raise GraphQLError(
                    f"The document is too large: at most {MAX_LETTERS} letters are allowed;"
                    " send long texts as variables"
                )
            tree = Tree(self.source, name)
            too_large = exceeded(tree.document)
            self.errors = (
                [too_large]
                if too_large
                else validate(core, tree.document, max_errors=MOST_FOUND, hide_suggestions=not suggest)
            )
        except GraphQLError as error:
            self.errors = [error]
        except RecursionError:
            self.errors = [GraphQLError("The document is nested too deeply")]
        if self.errors:
            return
        if tree.operation is None:
            unknown = (
                "Must provide operation name if query contains multiple operations."
                if name is None
                else f"Unknown operation named '{name[:100]}'."
            )
            self.errors.append(GraphQLError(unknown))
        if not all(isinstance(d, ExecutableDefinitionNode) for d in tree.document.definitions):
            self.errors.append(GraphQLError("Only operations and fragments may be sent"))
        if tree.operation is not None:  # other operations of the text have variables of their own
            self.kind, self.start = tree.operation.operation, tree.operation.loc.start
            self.variables = Variables(core, tree.operation)
            finder = _Conditions()
            visit(tree.document, finder)
            self.conditions = sorted(finder.names & set(self.variables.names))
        self._fresh = tree

    @property
    def letters(self) -> int:
        return len(self.source.body)

    @property
    def size(self) -> int:
        """Bytes, about."""
        return DOCUMENT + sys.getsizeof(self.source.body) + self.variables.size

    def tree(self) -> Tree:
        """The one it was read from, once; else parsed again."""
        fresh, self._fresh = self._fresh, None
        return fresh or Tree(self.source, self.name)

    def values(self, inputs: dict[str, Any]) -> Any:
        """The values of its variables, or the list of what is wrong with them.

        A null for a variable that decides @include or @skip passes validation where the variable has a default.
        """
        made = self.variables.read(inputs)
        if not isinstance(made, list):
            for name in self.conditions:
                if made.coerced[name] is None:
                    text = f"Variable '${name}' decides about @include or @skip and must not be null"
                    return [GraphQLError(text, source=self.source, positions=[self.start])]
        return made

    def truth(self, variables: Any) -> tuple[bool, ...]:
        """The values of its conditions."""
        return tuple([variables.coerced[n] for n in self.conditions])

    def compile(self, tree: Tree, truth: Truth) -> DocumentPlan:
        """The calls of a query or mutation if its conditions have these values."""
        selection = Selection(self.core, tree.fragments, truth)
        parent: Any = self.core.query_type if self.kind is OperationType.QUERY else self.core.mutation_type
        plan = DocumentPlan()
        for key, nodes in selection.fields(parent, [tree.operation]).items():
            if nodes[0].name.value == "__typename":
                plan.roots.append((key, b'"%b"' % parent.name.encode()))
                continue
            if nodes[0].name.value in ROOTS:
                plan.roots.append(Introspection(key, self.variables.names, partial(self._alone, key, truth)))
                plan.introspects = True
                continue
            try:
                plan.roots.append(root_of(selection, parent, key, nodes))
            except Unbound:
                plan.complete = False
        return plan

    def _alone(self, key: str, truth: Truth) -> DocumentNode:
        """A document that asks for nothing but this root field of the query."""
        tree, parent = self.tree(), self.core.query_type
        assert parent is not None
        return alone(Selection(self.core, tree.fragments, truth).fields(parent, [tree.operation])[key], tree)


class Documents:
    """The documents in use, and their plans."""

    def __init__(self, core: GraphQLSchema, worker: Worker, *, suggest: bool = True) -> None:
        self.core, self.worker, self.suggest = core, worker, suggest
        self.kept: Kept[tuple[str, str | None], Document] = Kept(KEPT, KEPT_BYTES)
        self.plans: Kept[tuple[Document, tuple[bool, ...]], Any] = Kept(KEPT_PLANS, KEPT_PLAN_BYTES)
        self._turn = asyncio.Lock()
        self._last: tuple[Document, Tree] | None = None  # who reads a document has it compiled at once

    def known(self, text: str, name: str | None) -> Document | None:
        return self.kept.get((text, name))

    async def read(self, text: str, name: str | None, who: Who) -> Document:
        """A document that is not known. Raises Refusal UNAVAILABLE where too many others are being read, and
        RATE_LIMITED where a stranger's documents have taken too long.
        """
        make = partial(Document, self.core, text, name, suggest=self.suggest)
        made = await self._made(make, len(text), who)
        if not made.errors:
            self._last = made, made.tree()
            self.kept.put((text, name), made, made.size)
        return made

    async def tree(self, document: Document, who: Who) -> Tree:
        """The syntax tree of the document, cached until another document needs its own."""
        if self._last is None or self._last[0] is not document:
            self._last = document, await self._made(document.tree, document.letters, who)
        return self._last[1]

    async def _made(self, make: Callable[[], Made], letters: int, who: Who) -> Made:
        """Runs in the loop, once per round, so that simultaneous documents do not delay other requests by their sum."""
        if letters > QUICK or not (await who.party()).is_user:
            return await self.worker.run(make, who)
        await self._turn.acquire()
        asyncio.get_running_loop().call_soon(self._turn.release)
        return make()

    def known_plan(self, document: Document, variables: Any) -> Any:
        return self.plans.get((document, document.truth(variables)))

    async def plan(
        self,
        document: Document,
        variables: Any,
        who: Who,
        compile: Callable[[Document, Tree, Truth], Any] = Document.compile,
    ) -> Any:
        """A plan not known yet: `compile` makes it of the values of the document's conditions; it has a `size`."""
        tree, truth = await self.tree(document, who), document.truth(variables)
        make = partial(compile, document, tree, dict(zip(document.conditions, truth, strict=True)))
        is_quick = document.letters <= QUICK and (await who.party()).is_user
        made = make() if is_quick else await self.worker.run(make, who)
        self.plans.put((document, truth), made, made.size + document.size)  # which is not let go before its plans are
        return made
