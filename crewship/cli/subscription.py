"""A GraphQL subscription over WebSocket (graphql-transport-ws), gone on with where its connection was lost."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Origin, Subprotocol

from crewship.cli.client import Client
from crewship.cli.profiles import ClientError

PROTOCOL: Final = Subprotocol("graphql-transport-ws")
PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 5.0, 5.0, 5.0)  # seconds before it is tried again, one time after the other
LONGEST: Final = 8 << 20  # bytes of a message
FROM_NOW: Final = "-"
"""As `after`: begin now, with an event that contains the position."""
OVER: Final = (4401, 4403)
"""Codes with which the server ends what a login has opened that is over (contract: websocket)."""
LOST: Final = (OSError, ConnectionClosed, InvalidHandshake, TimeoutError)


async def subscribed(client: Client, document: str, field: str, **variables: Any) -> AsyncIterator[Mapping[str, Any]]:
    """Values of `field`, each with its `cursor`: the document takes it as `$after`. Raises ClientError when the server
    refuses, ends it, or does not come back.
    """
    after, pauses = variables.pop("after", None), iter(PAUSES)
    while True:
        try:
            async for value in _once(client, document, field, variables | {"after": after}):
                after, pauses = value.get("cursor", after), iter(PAUSES)
                yield value
        except LOST as lost:
            if isinstance(lost, InvalidStatus) and lost.response.status_code in (401, 403):
                raise ClientError(f"{client.server} refuses the connection ({lost.response.status_code})") from None
            if isinstance(lost, ConnectionClosed) and lost.rcvd is not None and lost.rcvd.code in OVER:
                raise ClientError("the login has expired; run `crewship login`") from None
        pause = next(pauses, None)
        if pause is None:
            raise ClientError(f"the connection to {client.server} was lost")
        await asyncio.sleep(pause)


async def _once(
    client: Client, document: str, field: str, variables: Mapping[str, Any]
) -> AsyncIterator[Mapping[str, Any]]:
    url, origin = f"ws{client.server.removeprefix('http')}/graphql", Origin(client.server)
    async with connect(
        url, origin=origin, subprotocols=[PROTOCOL], max_size=LONGEST, close_timeout=2, **client.of_sockets
    ) as socket:
        introduced = {"authorization": f"Bearer {client.profile.token}"} if client.profile.token else {}
        await socket.send(orjson.dumps({"type": "connection_init", "payload": introduced}).decode())
        async for text in socket:
            message = orjson.loads(text)
            kind, payload = message["type"], message.get("payload")
            if kind == "connection_ack":
                asked = {"query": document, "variables": variables}
                await socket.send(orjson.dumps({"id": "1", "type": "subscribe", "payload": asked}).decode())
            elif kind == "ping":
                await socket.send('{"type":"pong"}')
            elif kind == "error":
                raise ClientError(str(payload[0]["message"]))
            elif kind == "complete":
                raise ClientError("the server ended the subscription")
            elif kind == "next":
                if payload.get("errors"):
                    raise ClientError(str(payload["errors"][0]["message"]))
                yield payload["data"][field]
