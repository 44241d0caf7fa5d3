"""Events: declared types, written to the outbox in the transaction of the change they tell of."""

from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

EVENTS: dict[str, list[type["Event"]]] = {}


@dataclass(frozen=True, slots=True)
class Routing:
    """Marks a field that names the channel and is no part of the payload: `chat_id: Annotated[str, Routing()]`."""


class Event(BaseModel):
    """`class CrewCreated(Event, type="crew.created", channel="workspace:{workspace_id}")`.

    The fields are the payload. A field that was not given is left out of it: the keys the contract marks `~`. The
    channel may name `workspace_id` and any field.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    type_: ClassVar[str] = ""
    channel_: ClassVar[str] = ""
    routing_: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, type: str = "", channel: str = "", **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.type_, cls.channel_ = type, channel
        EVENTS.setdefault(type, []).append(cls)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls.routing_ = frozenset(name for name, field in cls.model_fields.items() if any(isinstance(m, Routing) for m in field.metadata))

    def payload(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_unset=True, exclude=set(self.routing_))

    def channel(self, workspace_id: str | None, payload: dict[str, Any]) -> str:
        return self.channel_.format_map({"workspace_id": workspace_id, **{name: getattr(self, name) for name in self.routing_}, **payload})
