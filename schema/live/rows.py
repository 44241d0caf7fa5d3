"""From the selection of a followed list to the answers that show its rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from graphql import FieldNode, GraphQLObjectType, GraphQLUnionType

from resolvers.errors import Code, Refusal
from resolvers.kernel.background.following import Followed, ListenerQuestion, rows_of
from resolvers.live import RowsFollowing
from schema.bridge.arguments import Arguments
from schema.bridge.documents import FIELD
from schema.bridge.endpoint import MAX_COST
from schema.bridge.selection import Root, Selection

RESET = "StreamReset"
OWN = "cursor"


@dataclass(frozen=True, slots=True, eq=False)
class RowProjection:
    """`key`: of the root field in the answer. `cursors`: the names under which a row shows its position. `lost`: the
    fields of a StreamReset, by their names.
    """

    key: str
    cursors: tuple[str, ...]
    lost: Mapping[str, str]

    def answer(self, row: dict[str, Any], following: RowsFollowing) -> bytes:
        """The GraphQL response that shows a row."""
        for name in self.cursors:
            row[name] = following.cursor
        return self._written(row)

    def reset(self, reason: str, cursor: str) -> bytes:
        """The response for rows that may have been missed."""
        given = {"__typename": RESET, "reason": reason, OWN: cursor}
        return self._written({name: given[source] for name, source in self.lost.items()})

    def _written(self, shown: Mapping[str, Any]) -> bytes:
        return orjson.dumps({"data": {self.key: shown}})


@dataclass(frozen=True, slots=True, eq=False)
class RowPlan:
    """A document's root field that follows a list, with the conditions of its selection decided."""

    followed: Followed
    root: Root
    projection: RowProjection = field(repr=False)

    @property
    def arguments(self) -> Arguments:
        return self.root.arguments

    @property
    def size(self) -> int:
        """Bytes, about."""
        return FIELD * (4 + len(self.root.shape.fields)) + self.root.written

    def question(self, variables: Any, place: str) -> ListenerQuestion:
        """Raises GraphQLError, or Refusal when an argument cannot be, or the answers could be too large."""
        call = self.root.call(variables)
        if call.fault is not None:
            raise call.fault
        if call.cost > MAX_COST:
            text = f"The answers could hold {call.cost} objects; at most {MAX_COST} are allowed"
            raise Refusal(Code.BAD_REQUEST, text)
        call.raw.pop("after", None)
        return ListenerQuestion(self.followed, call.raw, place, self.root.shape, call.slots)


def row_plan(
    selection: Selection, followed: Followed, key: str, definition: Any, union: GraphQLUnionType, nodes: list[FieldNode]
) -> RowPlan:
    event, reset = _members(union)
    fields = selection.edges(event, followed.rows.model, nodes)
    named = selection.fields(event, nodes)
    lost = {name: group[0].name.value for name, group in selection.fields(reset, nodes).items()}
    cursors = tuple([name for name, group in named.items() if group[0].name.value == OWN])
    places: list[Any] = [node.loc for node in nodes]
    root = Root(
        key, followed.rows, ("workspaceId",), rows_of(fields), Arguments(definition, nodes[0]), places[0].source,
        tuple([place.start for place in places]), selection.slots,
    )  # fmt: skip
    return RowPlan(followed, root, RowProjection(key, cursors, lost))


def _members(union: GraphQLUnionType) -> tuple[GraphQLObjectType, GraphQLObjectType]:
    """The event of a row, and the one of a loss."""
    by_name = {type_.name: type_ for type_ in union.types}
    reset = by_name.pop(RESET)
    (event,) = by_name.values()
    return event, reset
