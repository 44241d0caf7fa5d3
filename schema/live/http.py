"""Subscriptions over HTTP: multipart on /graphql for clients that accept it, server-sent events at their own path."""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from resolvers.attention.channels import identify
from resolvers.errors import Code, Reason, Refusal, unauthenticated
from resolvers.identity import credentials
from resolvers.identity.caller import Caller, CredentialKind
from resolvers.live import Listening, LiveConnection
from schema.bridge.endpoint import LEGACY, Endpoint, Malformed, Receive, Send, caller_of, idempotency_key, read_request
from schema.bridge.errors import refused
from schema.live.callers import Scope, by_address
from schema.live.framing import EVENT_STREAM, MULTIPART, Framing, errors
from schema.live.outlet import StreamOutlet, heart
from schema.live.subscription import Invalid, Request, Shown, subscription_of

ABORT = "crewship.abort"  # an ASGI message that crewship.perimeter.protocol knows: the connection ends at once
ENDING = Refusal(Code.UNAVAILABLE, "The server is stopping; subscribe again")
STATUS = {Code.UNAUTHENTICATED: 401, Code.FORBIDDEN: 403, Code.RATE_LIMITED: 429}

Header = tuple[bytes, bytes]


class Stream:
    """One streamed answer: the reading end of the outlet, and the connection of its subscription."""

    def __init__(self, framing: Framing, caller: Caller, send: Send) -> None:
        self._framing, self._caller, self._send = framing, caller, send
        self._outlet = StreamOutlet()
        self._live: LiveConnection | None = None
        self._projection: Shown | None = None
        self._opening = framing.opening(None)
        self.cookies: list[str] = []
        self._aborting: asyncio.Task[None] | None = None

    # ---- what it shows -------------------------------------------------------------------------------------------

    async def identify(self) -> None:
        """From here on the stream hears when the caller's session ends. Raises Refusal UNAUTHENTICATED."""
        self._live = LiveConnection(self._caller, self._outlet, self)
        try:
            self._caller.user_id = await identify(self._caller)
            self._live.admit()
        except BaseException:
            self._live.close()
            raise

    async def subscribe(self, request: Request, after: str | None) -> None:
        """Raises Refusal when the caller may not listen."""
        assert self._live is not None
        try:
            self._projection = projection = request.shown
            made = await request.listen(self._live, self._encode, after, (self._framing, projection), projection)
        except BaseException:
            self._live.close()
            raise
        self._opening = self._framing.opening(made.cursor)
        reason = request.opened(made, after)
        if reason is not None:
            self.lost(made, reason)

    def show(self, answer: bytes) -> None:
        """The one answer of a query or mutation. PostgreSQL may have broken lines, but only between JSON's tokens."""
        self._outlet.write(self._framing.frame(answer.replace(b"\n", b" "), "") + self._framing.completed())
        self._outlet.close()

    def fail(self, found: list[dict[str, Any]]) -> None:
        """Sends the reason, and ends."""
        self.show(errors(found))

    def _encode(self, event: Any, subscription: Listening) -> bytes | None:
        answer = self._projection.answer(event, subscription)  # type: ignore[union-attr]
        return (
            None if answer is None else self._framing.frame(answer, subscription.cursor if self._framing.placed else "")
        )

    # ---- the line ------------------------------------------------------------------------------------------------

    def lost(self, subscription: Listening, reason: str) -> None:
        assert self._projection is not None
        cursor = subscription.cursor
        self._outlet.write(self._framing.frame(self._projection.reset(reason, cursor), cursor))

    def refused(self, subscription: Listening, refusal: Refusal) -> None:
        self.fail(refused(refusal))

    def revoked(self) -> None:
        if self._live is not None:
            self._live.close()
        self.fail(refused(unauthenticated(Reason.session_revoked)))

    # ---- the response --------------------------------------------------------------------------------------------

    async def respond(self, receive: Receive) -> None:
        """Sends until the stream ends or the client disconnects."""
        send, outlet = self._send, self._outlet
        headers = [
            (b"content-type", self._framing.media),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        headers += [(b"set-cookie", text.encode()) for text in self.cookies]
        watch = asyncio.create_task(self._watch(receive))
        heart.add(outlet, self._framing.sign, self._cut_off)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": self._opening, "more_body": True})
            while chunk := await outlet.take():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                outlet.sent(len(chunk))
            await send({"type": "http.response.body", "body": b""})
        finally:
            heart.remove(outlet)
            outlet.close()
            if self._live is not None:
                self._live.close()
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _watch(self, receive: Receive) -> None:
        """The request was read to its end: what comes now is the client leaving, or nothing, when the server ends."""
        message = await receive()
        if self._live is not None:
            self._live.close()
        if message["type"] != "http.disconnect" and not self._outlet.closed:
            self._outlet.write(self._framing.interrupted(refused(ENDING)))
        self._outlet.close()

    def _cut_off(self) -> None:
        if self._aborting is None:
            self._aborting = asyncio.create_task(self._abort())

    async def _abort(self) -> None:
        await self._send({"type": ABORT})


async def multipart(endpoint: Endpoint, scope: Scope, receive: Receive, send: Send, body: dict[str, Any]) -> None:
    """Answers a POST to /graphql that subscribes. A refusal is the stream's only part."""
    caller = caller_of(scope["crewship"], scope["path"])
    stream = Stream(MULTIPART, caller, send)
    try:
        request = await subscription_of(endpoint, caller, body)
        assert request is not None
        await stream.identify()
        await stream.subscribe(request, request.after)
    except Invalid as invalid:
        stream.fail(invalid.errors)
    except Refusal as refusal:
        stream.fail(refused(refusal))
    await stream.respond(receive)


class EventStreams:
    """/graphql/stream as an ASGI application: one operation, in the address or a POST's body, by server-sent events."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await _request(scope, receive)
            caller = by_address(scope)
            stream = Stream(EVENT_STREAM, caller, send)
            await self._start(stream, caller, scope, body)
        except Malformed as fault:
            return await _refuse(send, fault.status, [fault.formatted], fault.headers)
        except Refusal as refusal:  # an EventSource comes again and again after a 200, and not after these
            challenge = (
                ()
                if refusal.code is not Code.UNAUTHENTICATED
                else ((b"www-authenticate", f'Bearer error="{refusal.reason}"'.encode()),)
            )
            return await _refuse(send, STATUS.get(refusal.code, 503), refused(refusal), challenge)
        await stream.respond(receive)

    async def _start(self, stream: Stream, caller: Caller, scope: Scope, body: dict[str, Any]) -> None:
        """Raises Malformed and Refusal for a request that cannot begin. Faults of the document are sent in the stream,
        where clients expect them.
        """
        try:
            request = await subscription_of(self._endpoint, caller, body)
        except Invalid as invalid:
            return stream.fail(invalid.errors)
        if request is None:
            key = idempotency_key(scope["crewship"].headers)
            done = await self._endpoint.execute(caller, body, key=key, read_only=scope["method"] != "POST")
            stream.cookies = credentials.session_cookies(done.session, https=caller.https)
            return stream.show(done.body)
        await stream.identify()
        seen = scope["crewship"].headers.get(b"last-event-id", b"").decode("latin-1")
        try:
            await stream.subscribe(request, seen or request.after)
        except Refusal as refusal:
            stream.fail(refused(refusal))
        except Invalid as invalid:
            stream.fail(invalid.errors)


async def _request(scope: Scope, receive: Receive) -> dict[str, Any]:
    headers, method = scope["crewship"].headers, scope["method"]
    if method not in ("GET", "POST"):
        raise Malformed(405, f"{method} is not offered here", ((b"allow", b"GET, POST"),))
    accept = headers.get(b"accept", b"*/*").decode("latin-1").lower()
    if not any(media in accept for media in ("text/event-stream", "text/*", "*/*")):
        raise Malformed(406, "This endpoint answers text/event-stream")
    introduced = b"token=" in scope["query_string"] and by_address(scope).kind is not CredentialKind.INVALID
    body = await read_request(scope, receive, method, headers, introduced=introduced)
    if method == "GET":
        await receive()  # that there is no body
    return body


async def _refuse(send: Send, status: int, found: list[dict[str, Any]], headers: Iterable[Header]) -> None:
    answer = errors(found)
    kind = (b"content-type", f"{LEGACY}; charset=utf-8".encode())
    with contextlib.suppress(OSError):
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [kind, (b"content-length", b"%d" % len(answer)), *headers],
            }
        )
        await send({"type": "http.response.body", "body": answer})
