"""From the selection of a subscription to what makes an answer of an event.

Compiled once a document, shared by all who select the same: an event is encoded once a selection, however many listen.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any
from weakref import WeakValueDictionary

import orjson
from graphql import FieldNode, GraphQLObjectType, GraphQLUnionType

from models.people.workspaces import Role
from resolvers.attention.channels import MOST_ROWS, ChannelKind
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.instance.telemetry import log
from resolvers.kernel.reader import Shape, intern
from resolvers.live import Delivered, Subscription
from resolvers.live.rows import RowQuestion, model_of, read_rows, sees_as
from schema.bridge.endpoint import MAX_COST
from schema.bridge.event_types import EVENT_TYPES, Meaning, UnknownEvent, kind_of
from schema.bridge.selection import Selection, Slot, cost_of

BEGIN, RESET = b"RunBegin", b"StreamReset"
MOST_OF_EVENT = MAX_COST // MOST_ROWS
UNREADABLE = "unreadable"
_TYPE = object()  # what an event keeps its GraphQL type under
_FRAMES = frozenset({"RunBegin", "ChatFrame"})


class Given(Enum):
    """The values of an event outside its payload."""

    typename = "__typename"
    cursor = "cursor"
    seq = "seq"
    chat_id = "chatId"
    run_id = "runId"
    created_at = "createdAt"
    at = "at"
    actor_type = "actorType"
    actor_id = "actorId"
    mutation_id = "mutationId"


@dataclass(frozen=True, slots=True)
class RowOf:
    """The row that an event names: the question's number in the document, and the payload key of the id."""

    number: int
    key: str


OF_FRAMES = (Given.seq, Given.chat_id, Given.run_id, Given.created_at)
CAUSES = (Given.actor_type, Given.actor_id, Given.mutation_id)
TIMES = (Given.at, Given.created_at)
Source = str | Meaning | RowOf | Given  # a payload key, one with other values, or
Items = tuple[tuple[str, Source], ...]  # response key and source, in the order of the answer


class Projection:
    """`key`: of the root field in the answer. `placed`: it shows cursors, which depend on what else a listener has
    seen. `items`: how large it is.
    """

    __slots__ = (
        "__weakref__", "_caused", "_members", "_numbers", "_rows", "_timed", "items", "key", "placed", "questions",
    )  # fmt: skip

    def __init__(
        self,
        key: str,
        numbers: Mapping[bytes, int],
        members: tuple[Items, ...],
        questions: tuple[RowQuestion, ...] = (),
    ) -> None:
        """`numbers`: GraphQL type -> where its items stand among `members`; one for all projections of a union.
        `questions`: what it shows of rows.
        """
        self.questions = questions
        rows = [[source for _, source in items if isinstance(source, RowOf)] for items in members]
        self._rows = {name: rows[number] for name, number in numbers.items() if rows[number]}
        self.key, self._numbers, self._members = key, numbers, members
        different = set(members)
        self.items = len(members) + sum(map(len, different))
        sources = {source for items in different for _, source in items if isinstance(source, Given)}
        self.placed, self._caused = Given.cursor in sources, not sources.isdisjoint(CAUSES)
        self._timed = not sources.isdisjoint(TIMES)

    def asking(self, questions: tuple[RowQuestion, ...]) -> "Projection":
        return Projection(self.key, self._numbers, self._members, questions)

    def wanted(self, event: Delivered) -> list[tuple[RowQuestion, str]]:
        """The rows that it shows of an event."""
        rows = self._rows.get(event.encoded(_TYPE, _type_name), ()) if self._rows else ()
        ids = [(self.questions[row.number], event.values.get(row.key)) for row in rows]
        return [(question, id) for question, id in ids if isinstance(id, str)]

    def answer(self, event: Delivered, subscription: Subscription) -> bytes:
        """The GraphQL response to an event; a StreamReset if it cannot be shown."""
        key: Any = (self, subscription.position) if self.placed else self
        return event.encoded(key, self._answer, subscription)

    def reset(self, reason: str, cursor: str) -> bytes:
        """The response for lost events."""
        return self._written(RESET, {"reason": reason}, cursor)

    def _answer(self, event: Delivered, subscription: Subscription) -> bytes:
        cursor = subscription.cursor if self.placed else ""
        name = event.encoded(_TYPE, _type_name)
        return self.reset(UNREADABLE, cursor) if name == RESET else self._written(name, event.values, cursor, event)

    def _written(self, name: bytes, payload: Mapping[str, Any], cursor: str, event: Delivered | None = None) -> bytes:
        given: dict[Any, Any] = {Given.typename: name.decode(), Given.cursor: cursor}
        if event is not None:
            # on the channel of an agent a frame does not say its number, but a run does
            number = event.frame or (payload["from_seq"] + 1 if name == BEGIN else None)
            given |= {Given.seq: number, Given.chat_id: event.chat_id, Given.run_id: event.run_id}
            if self._timed:
                given |= dict.fromkeys(TIMES, None if event.at is None else milliseconds(event.at))
            if self._caused:
                given |= zip(CAUSES, event.causes, strict=True)
        shown = {
            key: payload.get(source)
            if isinstance(source, str)
            else source.of(payload)
            if isinstance(source, Meaning)
            else self._row(source, event)
            if isinstance(source, RowOf)
            else given[source]
            for key, source in self._members[self._numbers[name]]
        }
        return orjson.dumps({"data": {self.key: shown}})

    def _row(self, source: RowOf, event: Delivered | None) -> Any:
        return None if event is None else event.rows.get((self.questions[source.number], event.values.get(source.key)))


def milliseconds(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A projection that shows events of some types only."""

    projection: Projection
    names: frozenset[bytes]

    def answer(self, event: Delivered, subscription: Subscription) -> bytes | None:
        name = event.encoded(_TYPE, _type_name)
        return self.projection.answer(event, subscription) if name == RESET or name in self.names else None

    def reset(self, reason: str, cursor: str) -> bytes:
        return self.projection.reset(reason, cursor)


def _type_name(event: Delivered) -> bytes:
    """Looked up once per event. Another version of the program may send a type that is unknown here, and PostgreSQL may
    hold numbers that JSON readers refuse.

    The sender cannot be informed of this; the listener can.
    """
    try:
        return EVENT_TYPES.name_of(event.type, event.values, kind_of(event.channel)).encode()
    except (UnknownEvent, ValueError) as unreadable:
        log.warning("an event cannot be shown", channel=event.channel, type=event.type, reason=str(unreadable))
        return RESET


@dataclass(frozen=True, slots=True)
class AskedRow:
    """A row in a document; `slots`: the arguments of its edges."""

    name: str
    shape: Shape
    slots: list[Slot]

    def question(self, variables: Any) -> RowQuestion:
        """Raises Refusal when an argument cannot be, or the rows could be too large."""
        slots = tuple([slot.read(variables) for slot in self.slots])
        cost = cost_of(self.shape, slots)
        if cost > MOST_OF_EVENT:
            text = f"The rows of an event could hold {cost} objects; at most {MOST_OF_EVENT} are allowed"
            raise Refusal(Code.BAD_REQUEST, text)
        return RowQuestion(self.name, self.shape, slots)


@dataclass(frozen=True, slots=True)
class EventRows:
    """The rows that a projection shows, read for `resolvers.live`."""

    projection: Projection
    personal: bool

    def key(self, caller: Caller, role: Role | None) -> Hashable:
        return self.projection, role, sees_as(caller), caller.user_id if self.personal else None

    async def fill(self, caller: Caller, place: str, role: Role | None, events: Sequence[Delivered]) -> bool:
        wanted: dict[RowQuestion, set[str]] = {}
        for event in events:
            for question, id in self.projection.wanted(event):
                wanted.setdefault(question, set()).add(id)
        rows = await read_rows(caller, place, role, wanted) if wanted else {}
        if rows is None:
            return False
        for event in events:
            event.rows = rows
        return True


_KNOWN: WeakValueDictionary[Any, Projection] = WeakValueDictionary()


def project(
    selection: Selection, kind: ChannelKind, key: str, union: GraphQLUnionType, nodes: list[FieldNode]
) -> tuple[Projection, tuple[AskedRow, ...]]:
    """The projection of a root field, without what it asks of rows; the same object for all equal selections in use."""
    equal: dict[Items, Items] = {}  # most members of a large union show the same
    asked: list[AskedRow] = []
    members = tuple(
        [equal.setdefault(items, items) for items in [_items(type_, selection, nodes, asked) for type_ in union.types]]
    )
    shapes = tuple([(row.name, row.shape) for row in asked])
    known = _KNOWN.get((kind, key, members, shapes))
    if known is None:
        known = _KNOWN[kind, key, members, shapes] = Projection(key, _numbers(union), members)
    return known, tuple(asked)


def with_rows(projection: Projection, asked: tuple[AskedRow, ...], variables: Any) -> Projection:
    """The projection that shows rows; the same object for equal values in use. Raises Refusal, as `AskedRow`."""
    if not asked:
        return projection
    questions = tuple([row.question(variables) for row in asked])
    place = projection, tuple([slot.model_dump_json() for each in questions for slot in each.slots])
    known = _KNOWN.get(place)
    if known is None:
        known = _KNOWN[place] = projection.asking(questions)
    return known


@cache
def _numbers(union: GraphQLUnionType) -> Mapping[bytes, int]:
    return {type_.name.encode(): number for number, type_ in enumerate(union.types)}


def _items(type_: GraphQLObjectType, selection: Selection, nodes: list[FieldNode], asked: list[AskedRow]) -> Items:
    payload, rows = EVENT_TYPES.payload_fields(type_.name), EVENT_TYPES.rows_of(type_.name)
    made: list[tuple[str, Source]] = []
    for key, group in selection.fields(type_, nodes).items():
        field = group[0].name.value
        if field in rows:
            name, id_key = rows[field]
            selection.slots = []
            shape = intern(selection.shape(type_.fields[field].type, model_of(name), group))
            made.append((key, RowOf(_number(asked, AskedRow(name, shape, selection.slots)), id_key)))
        else:
            made.append((key, _source(type_.name, field, payload)))
    return tuple(made)


def _number(asked: list[AskedRow], row: AskedRow) -> int:
    """The number of an equal question, or of a new one: most members of a large union show the same."""
    for number, known in enumerate(asked):
        if (known.name, known.shape, known.slots, row.slots) == (row.name, row.shape, [], []):
            return number
    asked.append(row)
    return len(asked) - 1


def _source(name: str, field: str, payload: Mapping[str, str | Meaning]) -> Source:
    if field in payload:
        return payload[field]
    given = Given(field)
    if given in OF_FRAMES and name not in _FRAMES:
        raise LookupError(f"{name}.{field} is in no payload")
    return given
