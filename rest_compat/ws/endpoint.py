"""The way to a socket: the page it is opened from, and the ticket, in the address or in the first frame (contract:
websocket.connection).
"""

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

from resolvers.attention.channels import identify
from resolvers.errors import Code, Reason, Refusal
from resolvers.errors import unauthenticated as no_caller
from resolvers.identity import credentials
from resolvers.identity.caller import Caller, CredentialKind
from resolvers.instance.addresses import normal_origin, socket_origin_allowed
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.live.unauthenticated import RETRY_AFTER, unauthenticated
from resolvers.problem import problem
from rest_compat.http.dispatch import parse_query
from rest_compat.http.errors import STATUS, Headers
from rest_compat.ws import frames
from rest_compat.ws.frames import SocketWire
from rest_compat.ws.messages import Unreadable, is_too_large, read
from rest_compat.ws.socket import NORMAL, REVOKED, TOO_LARGE, Admit, Receive, Send, Socket

INTRODUCTION = 10.0  # seconds from the handshake to the frame that authenticates
ORIGIN = "Origin not allowed"
AGAIN = b"1"  # seconds
TOLD = frozenset({Code.BAD_REQUEST, Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.RATE_LIMITED, Code.UNAVAILABLE})


async def websocket(
    scope: MutableMapping[str, Any], receive: Receive, send: Send, admit: Admit = lambda client: True
) -> None:
    """The ASGI application of /ws. `admit` counts messages as requests."""
    transport, wire = scope["crewship"], scope["extensions"]["crewship.wire"]
    await receive()  # websocket.connect
    if not _origin_allowed(transport):
        log.info("origin refused", method="GET", path=scope["path"], client=transport.client)
        return await decline(send, Refusal(Code.FORBIDDEN, ORIGIN))
    try:
        token = parse_query(scope["query_string"]).get("token")
        if token is not None:
            return await _known(caller_of(token, transport, scope["path"]), wire, receive, send, admit)
        leave = unauthenticated.enter(transport.client)
    except Refusal as refusal:
        return await decline(send, refusal)
    try:
        await send({"type": "websocket.accept"})
        await _introduced(transport, scope["path"], wire, receive, send, leave, admit)
    finally:
        leave()


def _origin_allowed(transport: Any) -> bool:
    settings = instance.settings
    allowed = frozenset(map(normal_origin, settings.allowed_origins))
    return socket_origin_allowed(
        transport.headers.get(b"origin"), transport.host, production=settings.production, allowed=allowed
    )


def caller_of(token: str, transport: Any, path: str) -> Caller:
    agent = transport.headers.get(b"user-agent", b"").decode("latin-1")
    return credentials.ticket(
        token, client=transport.client, forwarded=transport.forwarded, user_agent=agent, path=path
    )


async def _known(caller: Caller, wire: SocketWire, receive: Receive, send: Send, admit: Admit) -> None:
    """The ticket came with the request: a bad one is refused before there is a socket."""
    socket = Socket(caller, wire, send, admit)  # from here on it hears of an end of the session
    try:
        await identify(caller)
        socket.admit()
        await send({"type": "websocket.accept"})
        await socket.serve(receive)
    except Refusal as refusal:
        await decline(send, refusal)
    finally:
        socket.close()


async def _introduced(
    transport: Any, path: str, wire: SocketWire, receive: Receive, send: Send, leave: Callable[[], None], admit: Admit
) -> None:
    """The ticket comes with the first frame. Nothing is said when it is good; `leave` is called then."""
    try:
        async with asyncio.timeout(INTRODUCTION):
            first = await receive()
    except TimeoutError:
        return await _send_away(wire, send, frames.error("no auth frame came in time"))
    if first["type"] == "websocket.disconnect":
        return
    text = first.get("text")
    if text is not None and is_too_large(text):
        return await send({"type": "websocket.close", "code": TOO_LARGE})
    try:
        message = read(text)
        if message.type != "auth":
            raise Unreadable("the first frame must be an auth frame")
    except Unreadable as fault:
        return await _send_away(wire, send, frames.error(str(fault)))
    caller = caller_of(message.token, transport, path)
    socket = Socket(caller, wire, send, admit)
    try:
        await identify(caller)
        socket.admit()
        leave()
        await socket.serve(receive)
    except Refusal as refusal:
        if refusal.code is Code.UNAUTHENTICATED and caller.kind is CredentialKind.SESSION_TICKET:
            await _send_away(wire, send, frames.revoked(), REVOKED)
        else:
            await _send_away(wire, send, frames.refused(refusal))
    finally:
        socket.close()


async def _send_away(wire: SocketWire, send: Send, body: bytes, code: int = NORMAL) -> None:
    wire.write(wire.frame(body))
    await send({"type": "websocket.close", "code": code})


async def without_upgrade(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """A plain request to the socket's path: 401 without a good ticket, else the way to come in (RFC 9110, 15.5.22)."""
    token = parse_query(scope["query_string"]).get("token")
    headers: Headers
    code, detail, headers = 426, "This path is a WebSocket", [(b"upgrade", b"websocket"), (b"connection", b"upgrade")]
    try:
        if token is None:
            raise no_caller(Reason.no_credentials)
        await identify(caller_of(token, scope["crewship"], scope["path"]))
    except Refusal as refusal:
        code, detail, headers = STATUS[refusal.code], refusal.detail, []
        if refusal.code is Code.UNAUTHENTICATED:
            headers = [(b"www-authenticate", f'Bearer error="{refusal.reason}"'.encode())]
    headers.append((b"content-type", b"application/json"))
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": problem(code, detail, scope["path"])})


async def decline(send: Send, refusal: Refusal) -> None:
    """Instead of the upgrade, in plain text. What is neither the client's fault nor its origin's is ours."""
    status = STATUS[refusal.code] if refusal.code in TOLD else STATUS[Code.INTERNAL]
    headers: Headers = [(b"content-type", b"text/plain; charset=utf-8")]
    if refusal.code is Code.UNAUTHENTICATED:
        headers.append((b"www-authenticate", f'Bearer error="{refusal.reason}"'.encode()))
    elif refusal.code is Code.RATE_LIMITED:
        headers.append((b"retry-after", RETRY_AFTER))
    elif refusal.code is Code.UNAVAILABLE:
        headers.append((b"retry-after", AGAIN))
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": refusal.detail.encode()})
