"""From the selection of a subscription to what makes an answer of an event.

Compiled once a document, shared by all who select the same: an event is encoded once a selection, however many listen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any
from weakref import WeakValueDictionary

import orjson
from graphql import FieldNode, GraphQLUnionType

from resolvers.attention.channels import ChannelKind
from resolvers.instance.telemetry import log
from resolvers.live import Delivered, Subscription
from schema.bridge.event_types import EVENT_TYPES, Meaning, UnknownEvent, kind_of
from schema.bridge.selection import Selection

BEGIN, RESET = b"RunBegin", b"StreamReset"
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


OF_FRAMES = (Given.seq, Given.chat_id, Given.run_id, Given.created_at)
CAUSES = (Given.actor_type, Given.actor_id, Given.mutation_id)
TIMES = (Given.at, Given.created_at)
Source = str | Meaning | Given  # a payload key, one with other values, or
Items = tuple[tuple[str, Source], ...]  # response key and source, in the order of the answer


class Projection:
    """`key`: of the root field in the answer. `placed`: it shows cursors, which depend on what else a listener has
    seen. `items`: how large it is.
    """

    __slots__ = ("__weakref__", "_caused", "_members", "_numbers", "_timed", "items", "key", "placed")

    def __init__(self, key: str, numbers: Mapping[bytes, int], members: tuple[Items, ...]) -> None:
        """`numbers`: GraphQL type -> where its items stand among `members`; one for all projections of a union."""
        self.key, self._numbers, self._members = key, numbers, members
        different = set(members)
        self.items = len(members) + sum(map(len, different))
        sources = {source for items in different for _, source in items if isinstance(source, Given)}
        self.placed, self._caused = Given.cursor in sources, not sources.isdisjoint(CAUSES)
        self._timed = not sources.isdisjoint(TIMES)

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
            else given[source]
            for key, source in self._members[self._numbers[name]]
        }
        return orjson.dumps({"data": {self.key: shown}})


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


_KNOWN: WeakValueDictionary[tuple[str, str, tuple[Items, ...]], Projection] = WeakValueDictionary()


def project(
    selection: Selection, kind: ChannelKind, key: str, union: GraphQLUnionType, nodes: list[FieldNode]
) -> Projection:
    """The projection of a root field; the same object for all equal selections in use."""
    equal: dict[Items, Items] = {}  # most members of a large union show the same
    members = tuple(
        [
            equal.setdefault(items, items)
            for items in [_items(type_.name, selection.fields(type_, nodes)) for type_ in union.types]
        ]
    )
    known = _KNOWN.get((kind, key, members))
    if known is None:
        known = _KNOWN[kind, key, members] = Projection(key, _numbers(union), members)
    return known


@cache
def _numbers(union: GraphQLUnionType) -> Mapping[bytes, int]:
    return {type_.name.encode(): number for number, type_ in enumerate(union.types)}


def _items(name: str, fields: Mapping[str, list[FieldNode]]) -> Items:
    payload = EVENT_TYPES.payload_fields(name)
    return tuple((key, _source(name, group[0].name.value, payload)) for key, group in fields.items())


def _source(name: str, field: str, payload: Mapping[str, str | Meaning]) -> Source:
    if field in payload:
        return payload[field]
    given = Given(field)
    if given in OF_FRAMES and name not in _FRAMES:
        raise LookupError(f"{name}.{field} is in no payload")
    return given
