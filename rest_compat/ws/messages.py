"""The messages of clients on a socket (contract: websocket.ClientMessage)."""

from dataclasses import dataclass
from typing import Any

import orjson

LONGEST_CHANNEL = 300  # letters: a kind and an id
LARGEST = 64 * 1024  # bytes (contract: websocket.connection.inbound_cap)


class Unreadable(Exception):
    """The received data is not a client's message; the text gives the reason."""


class UnknownType(Unreadable):
    """Not one of the types that clients send."""


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """`channel` is empty where none was named."""

    type: str
    channel: str = ""
    token: str = ""
    after: str | None = None
    _payload: Any = None

    def payload(self) -> dict[str, Any]:
        """An object, or a JSON string that holds one. Raises Unreadable."""
        found = self._payload
        if isinstance(found, str):
            found = _parsed(found, "payload")
        if not isinstance(found, dict):
            raise Unreadable("payload takes an object")
        return found

    def chat(self) -> tuple[str, dict[str, Any]]:
        """The payload of a message about a chat, and the chat's id. Raises Unreadable."""
        payload = self.payload()
        chat_id = payload.get("session_id")
        if not isinstance(chat_id, str) or not chat_id:
            raise Unreadable("session_id takes the id of a chat")
        return chat_id, payload


def is_too_large(text: str) -> bool:
    return len(text) > LARGEST or (len(text) > LARGEST // 4 and len(text.encode()) > LARGEST)


def read(text: str | None) -> ClientMessage:
    """A message of a text frame; None stands for a binary one. Raises Unreadable."""
    if text is None:
        raise Unreadable("binary frames are not understood")
    sent = _parsed(text, "frame")
    if not isinstance(sent, dict):
        raise Unreadable("a frame takes one JSON object")
    type, after = sent.get("type"), sent.get("after")
    if not isinstance(type, str) or not type:
        raise Unreadable("type is required")
    if after is not None and not isinstance(after, str):
        raise Unreadable("after takes a cursor")
    if len(_text(sent, "channel")) > LONGEST_CHANNEL:
        raise Unreadable(f"channel takes at most {LONGEST_CHANNEL} letters")
    return ClientMessage(type, _text(sent, "channel"), _text(sent, "token"), after, sent.get("payload"))


def _text(sent: dict[str, Any], name: str) -> str:
    value = sent.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Unreadable(f"{name} takes a text")
    return value


def _parsed(text: str, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Unreadable(f"the {what} is not JSON") from None
