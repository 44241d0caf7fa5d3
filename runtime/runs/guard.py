"""The guard between an adapter and the readers of its run: it redacts secrets and quarantines injections."""

from collections.abc import Callable
from typing import Any

from models.staff.runs import ChatEventType
from resolvers.rules.redaction import Redactor, StreamRedactor

Quarantine = Callable[[str, dict[str, Any]], tuple[str, dict[str, Any]]]


class ProtectingGuard:
    """A `Guard` of one run."""

    def __init__(self, redactor: Redactor, quarantine: Quarantine) -> None:
        self._redactor, self._quarantine = redactor, quarantine
        self._streams: dict[ChatEventType, StreamRedactor] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProtectingGuard) and self._redactor.is_like(other._redactor)

    def __hash__(self) -> int:
        return hash(ProtectingGuard)

    @property
    def hit(self) -> bool:
        return self._redactor.hits > 0

    def feed(self, stream: ChatEventType, content: str) -> str:
        if stream not in self._streams:
            self._streams[stream] = self._redactor.stream()
        return self._streams[stream].feed(content)

    def rest(self, stream: ChatEventType) -> str:
        ended = self._streams.pop(stream, None)
        return ended.flush() if ended is not None else ""

    def whole(self, value: Any) -> Any:
        return self._redactor.redact_json(value)

    def beside(self, text: str) -> str:
        return self._redactor.beside(text)

    def result(self, content: str, metadata: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return self._quarantine(content, metadata)
