"""The GraphQL types of subscriptions: one union per kind of channel, built from the registry of events, so every event
of an operation or a job is a member without a change here.

Payloads are shown under camelCase names. An event's fields depend on event and selection, not on the listener.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from functools import lru_cache
from inspect import cleandoc
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import strawberry
from annotated_types import Le
from pydantic import AwareDatetime
from pydantic.fields import FieldInfo
from strawberry.scalars import JSON
from strawberry.utils.str_converters import to_camel_case

from models.actors import ActorType
from models.staff.runs import ChatEventType
from resolvers.domains import load
from resolvers.kernel.declarations.events import EVENTS, Distinct, Event
from resolvers.kernel.ground.inputs import INT32, accepts_none, bare
from resolvers.live.rows import TARGETS, rows_named
from schema.bridge.fields import enum, node_of, nullable

UNION_NAMES = {
    "workspace": "WorkspaceEvent",
    "crew": "CrewEvent",
    "agent": "AgentEvent",
    "session": "ChatEvent",
    "mission": "MissionEvent",
    "keeper": "KeeperEvent",
    "files": "FileEvent",
    "user": "UserEvent",
    "providers": "ProviderEvent",
}
"""Kind of channel, the part before the colon -> the union of its events."""


class UnknownEvent(LookupError):
    """A payload that fits no declared event: another version of the program wrote it."""


# ---- what is written by hand -----------------------------------------------------------------------------------------


@strawberry.interface(name="Event", description="An event of a subscription.")
class EventInterface:
    cursor: str = strawberry.field(description="Position of this event: pass it as `after` to resume a subscription.")


@strawberry.interface(name="ChangeEvent", description="An event of a change, with its time and its cause.")
class ChangeInterface(EventInterface):
    at: datetime | None = strawberry.field(description="Time of the change, in milliseconds.")
    actor_type: enum(ActorType) | None = strawberry.field(  # type: ignore[valid-type]
        description="Kind of the actor: a user, an agent, or the system. Null for events of an earlier version."
    )
    actor_id: strawberry.ID | None = strawberry.field(description="Id of the user or agent, or a name of the system's.")
    mutation_id: str | None = strawberry.field(
        description="Value of `X-Client-Mutation-Id` in the request that made the change."
    )


CHANGE = {"at": "at", "actorType": "actor_type", "actorId": "actor_id", "mutationId": "mutation_id"}
"""GraphQL fields of a ChangeEvent beside its payload."""
_ROW = "As it is when the event is sent; null if it is deleted, or if the caller may not read it."
_WHOSE = "Chat of this frame; an agent can work in several chats."


@strawberry.type(description="First frame of a run: the work of an agent in response to one message.")
class RunBegin(EventInterface):
    from_seq: int = strawberry.field(description="Number of the last frame of the chat before the run.")
    agent_id: strawberry.ID | None = strawberry.field(description="In a group chat: the answering agent.")
    agent_slug: str | None
    # never null; of ChatFrame's type, to be asked for beside it
    seq: int | None = strawberry.field(description="Number of this frame in its chat.")
    chat_id: strawberry.ID = strawberry.field(description=_WHOSE)
    run_id: strawberry.ID | None = strawberry.field(description="Null if no agent answers.")
    created_at: datetime | None = strawberry.field(description="With milliseconds.")


@strawberry.type(description="A frame of a chat; the last frame of a run has the type done.")
class ChatFrame(EventInterface):
    type: enum(ChatEventType)  # type: ignore[valid-type]
    content: str
    metadata: JSON | None
    seq: int | None = strawberry.field(description="Number of this frame in its chat; null outside a run.")
    chat_id: strawberry.ID = strawberry.field(description=_WHOSE)
    run_id: strawberry.ID | None = strawberry.field(description="Null for messages that start no run.")
    created_at: datetime | None = strawberry.field(description="With milliseconds; null outside a run.")


@strawberry.type(description="Events were lost. Reload the current state, then resume after `cursor`.")
class StreamReset(EventInterface):
    reason: str


# ---- types of declared events ----------------------------------------------------------------------------------------


def _values(kind: Any) -> list[Any]:
    """The values of a closed set that is written as a Literal, an enum, or both."""
    if get_origin(kind) in (Union, UnionType):
        return [value for part in get_args(kind) for value in _values(part)]
    return list(get_args(kind)) if get_origin(kind) is Literal else list(kind)


def _face(name: str, kind: Any, bound: float) -> Any:
    """The GraphQL type of a payload field. `bound`: what its number is at most."""
    if get_origin(kind) is list:
        return list[_face(name, get_args(kind)[0], bound)]  # type: ignore[misc]
    if get_origin(kind) in (Literal, Union, UnionType):
        kinds = {type(value) for value in _values(kind)}
        return _face(name, kinds.pop(), bound) if len(kinds) == 1 else str
    if kind is Any or get_origin(kind) is dict:
        return JSON
    if kind is AwareDatetime:
        return datetime
    if kind is str and (name == "id" or name.endswith("_id")):
        return strawberry.ID
    if kind is int:
        return int if bound <= INT32 else float
    if isinstance(kind, type) and issubclass(kind, Enum):
        return enum(kind)
    if kind in (str, float, bool):
        return kind
    raise TypeError(f"{name}: GraphQL has no type for {kind}")


def _present(info: FieldInfo) -> FieldInfo:
    """The field without null: the constraints of the value are inside the union with None."""
    if not accepts_none(info.annotation):
        return info
    kind: Any = Union[tuple(part for part in get_args(info.annotation) if part is not type(None))]  # noqa: UP007 (a value here)
    present = FieldInfo.from_annotation(kind)
    present.description = info.description or present.description
    return present


def _field_type(name: str, info: FieldInfo) -> Any:
    present = _present(info)
    bound = min([float(str(m.le)) for m in present.metadata if isinstance(m, Le)], default=INT32)
    face = _face(name, present.annotation, bound)
    return nullable(face) if accepts_none(info.annotation) else face


def _description(info: FieldInfo, face: Any) -> str | None:
    present = _present(info)
    if (
        present.description is None
        and bare(face) is str
        and get_origin(present.annotation) in (Literal, Union, UnionType)
    ):
        return "One of: " + ", ".join(str(value) for value in dict.fromkeys(_values(present.annotation))) + "."
    return present.description


def type_name(event: type[Event]) -> str:
    return event.__name__ if event.__name__.endswith("Event") else event.__name__ + "Event"


@dataclass(frozen=True, slots=True)
class Meaning:
    """A payload key whose value is shown as another one, where it is in `means`."""

    key: str
    means: Mapping[str, str] = field(hash=False)

    def of(self, payload: Mapping[str, Any]) -> Any:
        value = payload.get(self.key)
        return self.means.get(value, value) if isinstance(value, str) else value


def _distinct(event: type[Event], name: str) -> Distinct | None:
    return next((each for each in event.model_fields[name].metadata if isinstance(each, Distinct)), None)


def _distinct_type(name: str, info: FieldInfo, means: Mapping[str, str]) -> Any:
    """May be null in each event, so that it has one type in all."""
    present = _present(info).annotation
    if not means:
        return nullable(_field_type(name, _present(info)))
    (kind,) = {type(value) for value in _values(present) if value not in means}
    return nullable(enum(kind))


def sources_of(event: type[Event]) -> dict[str, str | Meaning]:
    """GraphQL field -> where the payload has it."""
    found: dict[str, str | Meaning] = {}
    for key, name in event.payload_keys().items():
        found[to_camel_case(key)] = key
        distinct = _distinct(event, name)
        if distinct is not None:
            found[to_camel_case(distinct.name)] = Meaning(key, distinct.means) if distinct.means else key
    return found


def _type_of(event: type[Event]) -> Any:
    fields: dict[str, Any] = {"__module__": __name__, "__annotations__": {}}
    for key, name in event.payload_keys().items():
        info = event.model_fields[name]
        if key == "cursor":
            raise TypeError(f"{event.__name__}: cursor is the position of an event, and no payload")
        if key in CHANGE.values():
            raise TypeError(f"{event.__name__}: {key} is the cause of an event, and no payload")
        fields["__annotations__"][name] = face = _field_type(key, info)
        distinct, old = _distinct(event, name), None
        if distinct is not None:
            fields["__annotations__"][distinct.name] = _distinct_type(distinct.name, info, distinct.means)
            fields[distinct.name] = strawberry.field(name=to_camel_case(distinct.name))
            old = f"Use {to_camel_case(distinct.name)}: {to_camel_case(key)} has another type in other events."
        said = _description(info, face)
        fields[name] = strawberry.field(name=to_camel_case(key), description=said, deprecation_reason=old)
    return type(event.__name__, (ChangeInterface,), fields)


def _bound(shown: Any, event: type[Event]) -> None:
    """Makes a type of the class, with the rows that the event names. For when the nodes of all domains are declared."""
    for name in rows_named(event):
        shown.__annotations__[name] = nullable(node_of(name, TARGETS[name]))
        setattr(shown, name, strawberry.field(description=_ROW))
    strawberry.type(shown, name=type_name(event), description=cleandoc(event.__doc__ or ""))


# ---- which type a payload is -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Form:
    """The distinguishing form of an event type's payload: keys, and fields with a closed set of values."""

    name: str
    required: frozenset[str]
    allowed: frozenset[str]
    fixed: Mapping[str, frozenset[Any]]

    @classmethod
    def of(cls, event: type[Event]) -> "Form":
        keys = {key: event.model_fields[field] for key, field in event.payload_keys().items()}
        fixed = {
            key: frozenset(get_args(info.annotation))
            for key, info in keys.items()
            if get_origin(info.annotation) is Literal
        }
        return cls(
            type_name(event), frozenset(key for key, info in keys.items() if info.is_required()), frozenset(keys), fixed
        )

    def fits(self, keys: frozenset[str], said: Mapping[str, Any]) -> bool:
        return self.required <= keys <= self.allowed and all(
            said[key] in values for key, values in self.fixed.items() if key in said
        )

    def overlaps(self, other: "Form") -> bool:
        """Returns true if one payload could have both forms."""
        shared = self.required & other.required & self.fixed.keys() & other.fixed.keys()
        apart = any(self.fixed[key].isdisjoint(other.fixed[key]) for key in shared)
        return not apart and self.required | other.required <= self.allowed & other.allowed


_FRAMES: dict[str, tuple[Any, tuple[str, ...], Form]] = {
    "run_begin": (
        RunBegin,
        ("from_seq", "agent_id", "agent_slug"),
        Form("RunBegin", frozenset({"from_seq"}), frozenset({"from_seq", "agent_id", "agent_slug"}), {}),
    ),
    "chat_event": (
        ChatFrame,
        ("type", "content", "metadata"),
        Form("ChatFrame", frozenset({"type", "content"}), frozenset({"type", "content", "metadata"}), {}),
    ),
}


def declared() -> Iterator[type[Event]]:
    """The events of all domains but frames of chats, whose types are handwritten. This process may send none."""
    load()
    for type_, events in EVENTS.items():
        if type_ not in _FRAMES:
            yield from (event for event in events if event.__module__.startswith("resolvers."))


def kind_of(channel: str) -> str:
    return channel.partition(":")[0]


class EventTypes:
    """Types and unions of subscriptions that send these events. `unions`: kind of channel -> what its field returns."""

    def __init__(self, events: Iterable[type[Event]]) -> None:
        self._types: dict[str, Any] = {"StreamReset": StreamReset}
        self._unbound: list[tuple[Any, type[Event]]] = []
        self._rows: dict[str, dict[str, tuple[str, str]]] = {}  # type -> GraphQL field -> name of the row, payload key
        self._forms: dict[tuple[str, str], list[Form]] = {}  # (event type, kind of channel) -> forms of its payload
        self._members: dict[str, dict[str, Any]] = {kind: {"StreamReset": StreamReset} for kind in UNION_NAMES}
        self._payloads: dict[str, Mapping[str, str | Meaning]] = {"StreamReset": {"reason": "reason"}}
        for event in sorted(events, key=type_name):  # the schema is the same for every order of imports
            shown = _type_of(event)
            self._unbound.append((shown, event))
            self._rows[type_name(event)] = {to_camel_case(name): (name, key) for name, key in rows_named(event).items()}
            self._add(event.type_, kind_of(event.channel_), shown, Form.of(event), sources_of(event))
        for type_, (shown, keys, form) in _FRAMES.items():
            for kind in ("session", "agent"):  # an agent's channel mirrors the frames of its runs
                self._add(type_, kind, shown, form, {to_camel_case(key): key for key in keys})
        self.unions: dict[str, Any] = {kind: self._union(kind) for kind in UNION_NAMES}
        self.names: dict[str, Any] = {kind: self._names(kind) for kind in UNION_NAMES}
        """Kind of channel -> the enum of its events."""
        self._telling = {
            place: tuple({key for form in forms for key in form.fixed}) if len(forms) > 1 else ()
            for place, forms in self._forms.items()
        }
        self._resolved = lru_cache(maxsize=4096)(self._resolve)

    def _add(self, event_type: str, kind: str, shown: Any, form: Form, payload: Mapping[str, str | Meaning]) -> None:
        if kind not in UNION_NAMES:
            raise TypeError(f"{event_type}: no subscription listens to {kind}")
        known = self._forms.setdefault((event_type, kind), [])
        for other in known:
            if form.overlaps(other):
                raise TypeError(f"{event_type}: a payload may be {form.name} or {other.name}")
        known.append(form)
        if self._types.setdefault(form.name, shown) is not shown or form.name in UNION_NAMES.values():
            raise TypeError(f"two things of the graph are called {form.name}")
        self._members[kind][form.name] = shown
        self._payloads[form.name] = payload

    def _union(self, kind: str) -> Any:
        said = f"Events of the channel `{kind}{'' if kind == 'providers' else ':{id}'}`."
        members = tuple(self._members[kind].values())
        return Annotated[Union[members], strawberry.union(UNION_NAMES[kind], description=said)]  # noqa: UP007 (a value here)

    def _names(self, kind: str) -> Any:
        said = f"The types of a {UNION_NAMES[kind]}, but StreamReset, which is always sent."
        names = [name for name in self._members[kind] if name != "StreamReset"]
        make: Any = StrEnum
        made = make(f"{UNION_NAMES[kind]}Type", {name: name for name in names})
        return strawberry.enum(made, description=said)

    def bind(self) -> None:
        """For when all domains are loaded: before, the types of rows are unknown."""
        while self._unbound:
            _bound(*self._unbound.pop())

    def rows_of(self, name: str) -> Mapping[str, tuple[str, str]]:
        """GraphQL field -> the name of the row that it shows, and the payload key of its id."""
        return self._rows.get(name, {})

    def types_of(self, kind: str) -> dict[str, Any]:
        """The members of a kind's union: name -> Strawberry type."""
        return dict(self._members[kind])

    def payload_fields(self, name: str) -> Mapping[str, str | Meaning]:
        """GraphQL field -> payload key. `cursor`, and `seq` and `chatId` of a frame, are not in the payload: the sender
        knows them.
        """
        return self._payloads[name]

    def name_of(self, event_type: str, payload: Mapping[str, Any], channel_kind: str) -> str:
        """The name of the type that a stored payload has. Raises UnknownEvent when it has none."""
        telling = self._telling.get((event_type, channel_kind), ())
        said = tuple([value if isinstance(value := payload.get(key), (str, bool)) else None for key in telling])
        return self._resolved(event_type, channel_kind, tuple(payload), said)

    def _resolve(self, event_type: str, kind: str, keys: tuple[str, ...], said: tuple[Any, ...]) -> str:
        place, present = (event_type, kind), frozenset(keys)
        values = {key: value for key, value in zip(self._telling.get(place, ()), said, strict=True) if key in present}
        for form in self._forms.get(place, ()):
            if form.fits(present, values):
                return form.name
        raise UnknownEvent(f"{event_type} on {kind} with {', '.join(sorted(keys)) or 'no keys'}")


EVENT_TYPES = EventTypes(declared())
