"""GraphQL over WebSocket: graphql-transport-ws on /graphql, for subscriptions, queries and mutations."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Protocol

import orjson
from prometheus_client import Gauge

from resolvers.attention.channels import identify
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.instance.telemetry import log
from resolvers.live import Listening, LiveConnection, Outlet
from resolvers.live.unauthenticated import RETRY_AFTER, unauthenticated
from schema.bridge.endpoint import LEGACY, Endpoint, Malformed, Receive, Send, mutation_id
from schema.bridge.errors import refused
from schema.live import messages
from schema.live.callers import Scope, by_introduction
from schema.live.framing import errors
from schema.live.messages import Closing, Said
from schema.live.subscription import Invalid, Request, Shown, subscription_of

INTRODUCTION = 10.0  # seconds from the handshake to connection_init
MOST = 100  # operations of one socket at a time
AT_WORK = 8  # queries and mutations of them; the next message waits

TOO_MANY_REQUESTS = Refusal(Code.RATE_LIMITED, "Too many requests")
TOO_MANY_OPERATIONS = Refusal(Code.BAD_REQUEST, f"At most {MOST} operations can be active at once")
BROKEN = [{"message": "Internal error", "extensions": {"code": Code.INTERNAL.value}}]

OPEN = Gauge("crewship_graphql_sockets", "WebSockets of graphql-transport-ws open at /graphql in this process")

MUTATION_ID = "clientMutationId"
"""In `extensions` of an operation: what a request over HTTP has in its header."""

Admit = Callable[[str], bool]
"""Takes a client's address, and says whether it may make one more request."""


class Wire(Outlet, Protocol):
    """The way out of a socket."""

    def frame(self, body: bytes) -> bytes:
        """A ready frame with this text."""


class Sockets:
    """/graphql as an ASGI application for WebSockets. `admit` counts upgrades and operations as requests."""

    def __init__(self, endpoint: Endpoint, admit: Admit = lambda client: True) -> None:
        self.endpoint, self.admit = endpoint, admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        client = scope["crewship"].client
        if not self.admit(client):
            return await _decline(send, TOO_MANY_REQUESTS, b"60")
        if messages.SUBPROTOCOL not in scope["subprotocols"]:
            await send({"type": "websocket.accept"})
            return await send(
                {"type": "websocket.close", "code": messages.UNACCEPTABLE, "reason": "Subprotocol not acceptable"}
            )
        try:
            leave = unauthenticated.enter(client)
        except Refusal as refusal:
            return await _decline(send, refusal, RETRY_AFTER)
        try:
            await send({"type": "websocket.accept", "subprotocol": messages.SUBPROTOCOL})
            with OPEN.track_inprogress():
                await Socket(self, scope, receive, send, leave).serve()
        finally:
            leave()


async def _decline(send: Send, refusal: Refusal, retry_after: bytes) -> None:
    """Instead of the upgrade."""
    headers = [(b"content-type", f"{LEGACY}; charset=utf-8".encode()), (b"retry-after", retry_after)]
    await send({"type": "websocket.http.response.start", "status": 429, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": errors(refused(refusal))})


class Operation:
    """One `subscribe` of a socket, until it is complete."""

    __slots__ = ("_head", "_projection", "_wire", "id", "subscription")

    def __init__(self, id: str, wire: Wire) -> None:
        self.id, self._wire, self._head = id, wire, messages.head(id)
        self.subscription: Listening | None = None
        self._projection: Shown | None = None

    def shows(self, projection: Shown) -> None:
        self._projection = projection

    def encode(self, event: Any, subscription: Listening) -> bytes | None:
        answer = self._projection.answer(event, subscription)  # type: ignore[union-attr]
        return None if answer is None else self.next(answer)

    def reset(self, reason: str, cursor: str) -> bytes:
        return self.next(self._projection.reset(reason, cursor))  # type: ignore[union-attr]

    def next(self, answer: bytes) -> bytes:
        return self._wire.frame(b"%b%b}" % (self._head, answer))

    def ended(self, answer: bytes) -> bytes:
        """The last answer, and that it was."""
        return self.next(answer) + self._wire.frame(messages.complete(self.id))

    def failed(self, found: list[dict[str, Any]]) -> bytes:
        return self._wire.frame(messages.error(self.id, found))


class Socket:
    """One connection. Only queries and mutations have tasks of their own, while they run; who just listens has none.

    `known` is called when its caller is.
    """

    __slots__ = (
        "_caller",
        "_closed",
        "_known",
        "_live",
        "_lost",
        "_operations",
        "_receive",
        "_scope",
        "_send",
        "_service",
        "_tasks",
        "_timer",
        "_wire",
    )

    def __init__(self, service: Sockets, scope: Scope, receive: Receive, send: Send, known: Callable[[], None]) -> None:
        self._service, self._scope, self._receive, self._send, self._known = service, scope, receive, send, known
        self._wire: Wire = scope["extensions"]["crewship.wire"]
        self._caller = Caller.nobody()
        self._live: LiveConnection | None = None
        self._operations: dict[str, Operation] = {}
        self._lost: dict[Listening, str] = {}  # of subscriptions that are being opened
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def serve(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(
            INTRODUCTION, self._end, Closing(messages.TOO_LATE, "Connection initialisation timeout")
        )
        try:
            while (message := await self._receive())["type"] != "websocket.disconnect":
                if not self._closed:
                    await self._hear(messages.read(message.get("text")))
        except Closing as closing:
            await self._close(closing)
        except ConnectionError:
            pass  # it took nothing for too long
        finally:
            self._forget()
            if self._tasks:
                await asyncio.wait(self._tasks)  # what was begun is finished, and its answer is dropped

    async def _hear(self, said: Said) -> None:
        if self._wire.congested:
            await self._wire.drained()
        match said.type:
            case "connection_init":
                await self._introduce(said.payload or {})
            case "ping":
                self._wire.write(self._wire.frame(messages.pong(said.payload)))
            case "subscribe":
                await self._subscribe(said)
            case "complete":
                operation = self._operations.pop(said.id, None)
                if operation is not None and operation.subscription is not None and self._live is not None:
                    self._live.unsubscribe(operation.subscription)

    async def _introduce(self, payload: dict[str, Any]) -> None:
        if self._timer is None:
            raise Closing(messages.TOO_MANY, "Too many initialisation requests")
        self._timer.cancel()
        self._timer = None
        try:
            self._caller = by_introduction(self._scope, payload)
            self._live = LiveConnection(self._caller, self._wire, self)
            self._caller.user_id = await identify(self._caller)
            self._live.admit()
        except Refusal as refusal:
            code = messages.TRY_AGAIN if refusal.code in (Code.UNAVAILABLE, Code.RATE_LIMITED) else messages.FORBIDDEN
            raise Closing(code, refusal.detail) from None
        self._known()
        self._wire.write(self._wire.frame(messages.ACK))

    # ---- operations ----------------------------------------------------------------------------------------------

    async def _subscribe(self, said: Said) -> None:
        if self._live is None:
            raise Closing(messages.UNAUTHORIZED, "Unauthorized")
        if said.id in self._operations:
            raise Closing(messages.TAKEN, f"Subscriber for {said.id} already exists")
        operation = Operation(said.id, self._wire)
        refusal = None
        if not self._service.admit(self._caller.client):
            refusal = TOO_MANY_REQUESTS
        elif len(self._operations) >= MOST:
            refusal = TOO_MANY_OPERATIONS
        if refusal is not None:
            self._wire.write(operation.failed(refused(refusal)))
            return
        self._operations[said.id] = operation
        await self._attempt(operation, self._begun(operation, said.body or {}))
        while len(self._tasks) >= AT_WORK:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def _begun(self, operation: Operation, body: dict[str, Any]) -> bytes | None:
        """The next message is read once a subscription is open: a client that gets a pong has missed nothing. Queries
        and mutations run concurrently.
        """
        request = await subscription_of(self._service.endpoint, self._caller, body)
        if request is None:
            self._spawn(self._attempt(operation, self._answered(operation, body)))
        else:
            await self._opened(operation, request)
        return None

    async def _answered(self, operation: Operation, body: dict[str, Any]) -> bytes:
        caller = _named(self._caller, body)
        done = await self._service.endpoint.execute(caller, body, strict=True, cookies=False)
        return operation.ended(done.body) if done.status == 200 else operation.failed(orjson.loads(done.body)["errors"])

    async def _opened(self, operation: Operation, request: Request) -> None:
        live = self._live
        assert live is not None
        shown = request.shown
        operation.shows(shown)
        # what clients count, many of them do
        same = (shown, operation.id) if operation.id.isdigit() else None
        made = await request.listen(live, operation.encode, request.after, same, shown)
        reason = self._lost.pop(made, None)
        if self._operations.get(operation.id) is not operation:  # the socket has ended
            return live.unsubscribe(made)
        operation.subscription = made
        if reason is not None:
            self._wire.write(operation.reset(reason, made.cursor))
        begun = request.opened(made, request.after)
        if begun is not None:
            self._wire.write(operation.reset(begun, made.cursor))

    async def _attempt(self, operation: Operation, work: Awaitable[bytes | None]) -> None:
        """Writes the frame that ends the operation, if it has come to an end."""
        try:
            frame = await work
        except Invalid as invalid:
            frame = operation.failed(invalid.errors)
        except Malformed as fault:
            frame = operation.failed([fault.formatted])
        except Refusal as refusal:
            frame = operation.failed(refused(refusal))
        except Exception as error:
            log.error("graphql operation failed", exc_info=error)
            frame = operation.failed(BROKEN)
        if frame is not None and self._operations.get(operation.id) is operation:
            del self._operations[operation.id]
            with contextlib.suppress(ConnectionError):
                if self._wire.congested:
                    await self._wire.drained()
                self._wire.write(frame)

    def _of(self, subscription: Listening) -> Operation | None:
        return next((o for o in self._operations.values() if o.subscription is subscription), None)

    # ---- the line ------------------------------------------------------------------------------------------------

    def lost(self, subscription: Listening, reason: str) -> None:
        operation = self._of(subscription)
        if operation is not None:
            self._wire.write(operation.reset(reason, subscription.cursor))
        elif not subscription.closed:
            self._lost[subscription] = reason

    def refused(self, subscription: Listening, refusal: Refusal) -> None:
        operation = self._of(subscription)
        if operation is not None:
            del self._operations[operation.id]
            self._wire.write(operation.ended(errors(refused(refusal))))

    def revoked(self) -> None:
        self._end(Closing(messages.UNAUTHORIZED, "session_revoked"))

    # ---- the end -------------------------------------------------------------------------------------------------

    def _end(self, closing: Closing) -> None:
        """From outside of `serve`, which then hears of it. Nothing more is shown from here on."""
        self._forget()
        self._spawn(self._close(closing))

    async def _close(self, closing: Closing) -> None:
        self._forget()
        if not self._closed:
            self._closed = True
            with contextlib.suppress(OSError):  # gone already
                await self._send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._operations.clear()
        if self._live is not None:
            self._live.close()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _named(caller: Caller, body: dict[str, Any]) -> Caller:
    """Raises Malformed for a name that events cannot repeat."""
    named = (body.get("extensions") or {}).get(MUTATION_ID)
    if named is None:
        return caller
    return replace(caller, mutation_id=mutation_id(named.encode() if isinstance(named, str) else b"", MUTATION_ID))
