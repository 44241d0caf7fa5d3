"""The events of coding agents, with one vocabulary for all.

Each is checked when it is created, because the program is not trusted: a field of another type is a TypeError.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


def _is(kind: type, *values: object) -> None:
    for value in values:
        if not isinstance(value, kind):
            raise TypeError(f"{type(value).__name__} is no {kind.__name__}")


@dataclass(frozen=True, slots=True)
class Began:
    """`session` is the name by which it is resumed. `version`, `key_source` and `permission_mode`: of the program, if
    it names them.
    """

    session: str
    model: str = ""
    tools: tuple[str, ...] = ()
    servers: tuple[Mapping[str, Any], ...] = ()
    version: str = ""
    key_source: str = ""
    permission_mode: str = ""

    def __post_init__(self) -> None:
        _is(str, self.session, self.model, self.version, self.key_source, self.permission_mode)


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of text or of thinking."""

    kind: Literal["text", "thinking"]
    text: str
    within: str = ""
    """The call of the tool whose own model says this, if any."""

    def __post_init__(self) -> None:
        _is(str, self.text, self.within)


@dataclass(frozen=True, slots=True)
class Called:
    id: str
    tool: str
    input: Mapping[str, Any] = field(default_factory=dict)
    within: str = ""

    def __post_init__(self) -> None:
        _is(str, self.id, self.tool, self.within)
        _is(Mapping, self.input)


@dataclass(frozen=True, slots=True)
class Answered:
    """The result of a call."""

    id: str
    content: str
    is_error: bool = False
    within: str = ""

    def __post_init__(self) -> None:
        _is(str, self.id, self.content, self.within)


@dataclass(frozen=True, slots=True)
class Pictured:
    """An image in the result of a call, in base64."""

    id: str
    media_type: str
    data: str
    within: str = ""

    def __post_init__(self) -> None:
        _is(str, self.id, self.media_type, self.data, self.within)


@dataclass(frozen=True, slots=True)
class TriesAgain:
    """A call of its model failed, and it makes another one."""

    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """The coding agent reports its end: with an error, or without. `denials`: the tools, and the calls, that it was not
    permitted.
    """

    error: str | None = None
    text: str = ""
    denials: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        _is(str, self.text, self.error or "", *[part for denial in self.denials for part in denial])


Event = Began | Said | Called | Answered | Pictured | TriesAgain | Ended


class EventReading(Protocol):
    """One stream. It ignores unknown events; a known event of another shape raises an error of any kind."""

    def take(self, told: dict[str, Any]) -> Iterable[Event]: ...
