"""The messages of a graphql-transport-ws socket (the protocol's PROTOCOL.md), and the faults of received ones."""

from dataclasses import dataclass
from typing import Any

import orjson

from schema.bridge.endpoint import Malformed, checked

SUBPROTOCOL = "graphql-transport-ws"
LONGEST_ID = 128  # letters; it is said again with every event
LONGEST_PAYLOAD = 16 * 1024  # bytes of connection_init, ping and pong
LONGEST_REASON = 120  # bytes; RFC 6455 leaves room for 123

INVALID, UNAUTHORIZED, FORBIDDEN, UNACCEPTABLE, TOO_LATE, TAKEN, TOO_MANY = 4400, 4401, 4403, 4406, 4408, 4409, 4429
TRY_AGAIN = 1013  # RFC 6455's registry of close codes

ACK = b'{"type":"connection_ack"}'
PONG = b'{"type":"pong"}'


class Closing(Exception):
    """Closes the socket, with a code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:LONGEST_REASON].decode(errors="ignore")


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a client. `payload` is an object or absent, `body` a request that can be looked at."""

    type: str
    id: str = ""
    payload: dict[str, Any] | None = None
    body: dict[str, Any] | None = None


def read(text: str | None) -> Said:
    """Raises Closing for a text that is not a message of the protocol."""
    if text is None:
        raise Closing(INVALID, "Messages are text")
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Closing(INVALID, "Messages are JSON") from None
    type = message.get("type") if isinstance(message, dict) else None
    if not isinstance(type, str):
        raise Closing(INVALID, "Messages are objects with a type")
    payload = message.get("payload")
    if type in ("connection_init", "ping", "pong"):
        if payload is not None and not isinstance(payload, dict):
            raise Closing(INVALID, f"The payload of {type} is an object")
        if len(text) > LONGEST_PAYLOAD:
            raise Closing(INVALID, f"The payload of {type} is too long")
        return Said(type, payload=payload)
    if type not in ("subscribe", "complete"):
        raise Closing(INVALID, "Unknown message type")
    id = message.get("id")
    if not isinstance(id, str) or not 0 < len(id) <= LONGEST_ID:
        raise Closing(INVALID, f"{type} takes an id of 1 to {LONGEST_ID} letters")
    if type == "complete":
        return Said(type, id)
    try:
        return Said(type, id, body=checked(payload))
    except Malformed as fault:
        raise Closing(INVALID, fault.text) from None


def pong(payload: dict[str, Any] | None) -> bytes:
    return PONG if payload is None else orjson.dumps({"type": "pong", "payload": payload})


def head(id: str) -> bytes:
    """The part of a `next` message before the answer; a brace follows it."""
    return b'{"id":%b,"type":"next","payload":' % orjson.dumps(id)


def error(id: str, found: list[dict[str, Any]]) -> bytes:
    return orjson.dumps({"id": id, "type": "error", "payload": found})


def complete(id: str) -> bytes:
    return orjson.dumps({"id": id, "type": "complete"})
