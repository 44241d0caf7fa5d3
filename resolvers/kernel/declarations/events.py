"""Events: declared types, written to the outbox in the transaction of the change they tell of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from resolvers.kernel.ground.bounds import declared, without_secrets
from resolvers.kernel.store.changes import DRAWING, Taken

EVENTS: dict[str, list[type["Event"]]] = {}

Time = Annotated[AwareDatetime, AfterValidator(lambda time: time.astimezone(UTC).replace(microsecond=0))]
"""RFC 3339 in UTC with `Z` and second precision (contract: formats.time)."""
Long = Annotated[int, Field(ge=-(2**53) + 1, le=2**53 - 1)]
"""A number that may outgrow 32 bits, and is exact as a double: GraphQL shows it as a Float."""


WITHIN = ("session:",)
"""Channels of rows whose ids clients choose: two workspaces may have the same."""


def address_of(channel: str, workspace_id: str | None) -> str:
    """A channel's name that is unique on the instance: `session:<id>` is kept as `session:<workspace>/<id>`."""
    if not channel.startswith(WITHIN):
        return channel
    kind, _, id = channel.partition(":")
    return f"{kind}:{workspace_id}/{id}"


@dataclass(frozen=True, slots=True)
class Routing:
    """Marks a field that names the channel and is no part of the payload: `chat_id: Annotated[str, Routing()]`."""


@dataclass(frozen=True, slots=True)
class Distinct:
    """Marks a field whose name has another type in other events of the channel. GraphQL shows it as `name` too, which
    may be null, and deprecates the shared name: one selection can then name the fields of several events.

    `means`: values that the type of the new field does not have, and those that it shows for them.
    """

    name: str
    means: Mapping[str, str] = field(default_factory=dict, hash=False)


class Event(BaseModel):
    """`class CrewCreated(Event, type="crew.created", channel="workspace:{workspace_id}")`.

    The fields are the payload, under their `serialization_alias` if they have one. A field that was not given is left
    out of it: the keys the contract marks `~`. The channel may name `workspace_id` and any field. The docstring says
    when the event is sent.
    """

    model_config = ConfigDict(extra="forbid", defer_build=True, frozen=True)
    type_: ClassVar[str] = ""
    channel_: ClassVar[str] = ""
    routing_: ClassVar[frozenset[str]] = frozenset()
    drawn_: ClassVar[dict[str, str]] = {}  # `Drawn` fields and their payload keys

    def __init_subclass__(cls, type: str = "", channel: str = "", **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.type_, cls.channel_ = type, channel
        if type:  # a base of several events is none itself
            EVENTS.setdefault(type, []).append(cls)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        without_secrets(cls, declared(cls, Event))
        cls.routing_ = frozenset(
            name for name, field in cls.model_fields.items() if any(isinstance(m, Routing) for m in field.metadata)
        )
        cls.drawn_ = {
            name: key for key, name in cls.payload_keys().items() if DRAWING in cls.model_fields[name].metadata
        }

    @classmethod
    def payload_keys(cls) -> dict[str, str]:
        """Payload key -> field."""
        return {
            field.serialization_alias or name: name
            for name, field in cls.model_fields.items()
            if name not in cls.routing_
        }

    def payload(self) -> dict[str, Any]:
        """JSON values; a placeholder for a `Drawn` field whose value is not known yet."""
        columns = (
            {name: value for name in self.drawn_ if isinstance(value := getattr(self, name), Taken)}
            if self.drawn_
            else {}
        )
        made = self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={*self.routing_, *columns})
        for name, column in columns.items():
            made[self.drawn_[name]] = column
        return made

    def settled(self, values: Mapping[str, Any]) -> Self:
        """The event with the drawn values, by the columns' names."""
        return self.model_copy(
            update={name: values[taken.name] for name in self.drawn_ if isinstance(taken := getattr(self, name), Taken)}
        )

    def address(self, workspace_id: str | None, payload: dict[str, Any]) -> str:
        """The channel under which the outbox stores the event."""
        return address_of(self.channel(workspace_id, payload), workspace_id)

    def channel(self, workspace_id: str | None, payload: dict[str, Any]) -> str:
        return self.channel_.format_map(
            {"workspace_id": workspace_id, **{name: getattr(self, name) for name in self.routing_}, **payload}
        )
