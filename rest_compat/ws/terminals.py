"""/ws/terminal: a shell in the sandbox of a crew (contract: websocket.yaml, ws.terminal).

Two frames name the user and the place; then binary frames carry input and output. The live connection watches the right
to the crew: it is checked when something about its user has changed, and every half minute.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import orjson
from prometheus_client import Gauge

from resolvers.attention.channels import identify
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller, CredentialKind
from resolvers.instance.addresses import normal_origin, socket_origin_allowed
from resolvers.instance.ports import NotRun, OpenedTerminal, TerminalPlace
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.kernel.ground.inputs import validate
from resolvers.live import Delivered, LiveConnection, Subscription
from resolvers.live.unauthenticated import unauthenticated
from resolvers.staff.crews.terminals import OpenTerminal, TerminalSize, check_terminal, close_terminal, open_terminal
from rest_compat.ws.endpoint import INTRODUCTION, caller_of, decline
from rest_compat.ws.frames import SocketWire
from rest_compat.ws.socket import NORMAL, REVOKED, Admit, Receive, Send

PATH: Final = "/ws/terminal"
IDLE: Final = 30 * 60.0  # seconds without anything typed
MOST, MOST_OF_USER = 50, 5  # in this process
NO_LONGER, WITHDRAWN = "You no longer have access to this terminal", 1008
UNUSED, TOO_MANY, NO_SANDBOX = 4408, 4429, 4503  # as statuses of HTTP, like the 4401 of a login that has ended
BEAT: Final = 30.0  # seconds; proxies close what is silent
PING: Final = b"\x89\x00"  # a frame that clients answer without a word of it to their programs
_open: Counter[str] = Counter()
Gauge("crewshipd_terminals", "Terminals open at /ws/terminal in this process").set_function(_open.total)


class Left(Exception):
    """The client of the terminal has disconnected."""


async def terminal(
    scope: MutableMapping[str, Any], receive: Receive, send: Send, admit: Admit = lambda client: True
) -> None:
    """The ASGI application of /ws/terminal."""
    transport = scope["crewship"]
    await receive()  # websocket.connect
    try:
        if instance.terminals is None or not await instance.terminals.available():
            raise Refusal(Code.UNAVAILABLE, "terminal not available")
        if not _origin_allowed(transport):
            raise Refusal(Code.FORBIDDEN, "Origin not allowed")
        if not admit(transport.client):
            raise Refusal(Code.RATE_LIMITED, "Too many requests")
        leave = unauthenticated.enter(transport.client)
    except Refusal as refusal:
        return await decline(send, refusal)
    try:
        await send({"type": "websocket.accept"})
        await Session(transport, scope["path"], scope["extensions"]["crewship.wire"], receive, send).serve(leave)
    finally:
        leave()


def _origin_allowed(transport: Any) -> bool:
    """True for a page of this server, or a program that declares itself as none: browsers do not let other
    pages do so.
    """
    origin = transport.headers.get(b"origin")
    if not origin:
        return b"x-crewship-client" in transport.headers
    allowed = frozenset(map(normal_origin, instance.settings.allowed_origins))
    return socket_origin_allowed(origin, transport.host, production=True, allowed=allowed)


class Watched:
    """The permission that the live connection checks again: whether the terminal may continue unchanged."""

    cursor = ""

    def __init__(self, session: "Session", crew_id: str, *, read_only: bool) -> None:
        self._session, self._crew_id, self._read_only = session, crew_id, read_only
        self._asking: asyncio.Task[None] | None = None
        self._again = self.closed = False

    def close(self) -> None:
        self.closed = True
        if self._asking is not None:
            self._asking.cancel()

    def hear(self, event: Delivered, subscription: Subscription) -> None:
        """Hears of the deletion of the crew, which changes no user's access."""
        if event.type == "crew.deleted":
            self.doubt()

    def doubt(self) -> None:
        self._again = True
        if not self.closed and (self._asking is None or self._asking.done()):
            self._asking = asyncio.get_running_loop().create_task(self._ask())

    async def _ask(self) -> None:
        """A database that cannot be asked changes nothing."""
        while self._again and not self.closed:
            self._again = False
            try:
                answer = await check_terminal(self._session.caller, {"crew_id": self._crew_id})
            except Refusal as refusal:
                if refusal.code is Code.UNAUTHENTICATED:
                    self._session.revoked()
                elif refusal.code in (Code.FORBIDDEN, Code.NOT_FOUND):
                    self._session.end("the permission was withdrawn", NO_LONGER, WITHDRAWN)
            else:
                if orjson.loads(answer.body or b"{}")["read_only"] != self._read_only:
                    self._session.end("the permission has changed", NO_LONGER, WITHDRAWN)


class Session:
    """One terminal of one user, from the handshake on."""

    def __init__(self, transport: Any, path: str, wire: SocketWire, receive: Receive, send: Send) -> None:
        self._transport, self._path, self._wire, self._receive, self._send = transport, path, wire, receive, send
        self.caller = Caller.nobody()
        self._ended = asyncio.Event()
        self._reason, self._code = "its user left", NORMAL
        self._typed = time.monotonic()

    async def serve(self, leave: Callable[[], None]) -> None:
        try:
            async with asyncio.timeout(INTRODUCTION):
                await self._identify()
                given = validate(OpenTerminal, await self._frame())
            leave()
            await self._opened(given)
        except TimeoutError:
            self._say("error", "no frame came in time")
        except Refusal as refusal:
            self._say("error", refusal.detail)
            if refusal.code is Code.RATE_LIMITED:
                self._code = TOO_MANY
            elif refusal.code is Code.UNAUTHENTICATED and self.caller.kind is CredentialKind.SESSION_TICKET:
                self._code = REVOKED
        except NotRun as reason:
            self._code = NO_SANDBOX
            self._say("error", str(reason))
        except (Left, ConnectionError):
            return
        with contextlib.suppress(OSError):
            await self._wire.drained()
            await self._send({"type": "websocket.close", "code": self._code})

    async def _identify(self) -> None:
        first = await self._frame()
        token = first.get("token")
        if first.get("type") != "auth" or not isinstance(token, str):
            raise Refusal(Code.BAD_REQUEST, "the first frame must be an auth frame")
        self.caller = caller_of(token, self._transport, self._path)
        await identify(self.caller)

    async def _frame(self) -> dict[str, Any]:
        """A text frame, as an object."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            raise Left
        with contextlib.suppress(orjson.JSONDecodeError):
            found = orjson.loads(message.get("text") or b"")
            if isinstance(found, dict):
                return found
        raise Refusal(Code.BAD_REQUEST, "the frame is not a JSON object")

    async def _opened(self, given: OpenTerminal) -> None:
        assert instance.terminals is not None
        user = self.caller.user_id
        if _open.total() >= MOST or _open[user] >= MOST_OF_USER:
            raise Refusal(Code.RATE_LIMITED, "Too many terminals are open")
        live = LiveConnection(self.caller, self._wire, self)
        _open[user] += 1
        try:
            live.admit()
            raw = given.model_dump(mode="json", exclude_unset=True)
            right = orjson.loads((await open_terminal(self.caller, raw)).body or b"{}")
            began = time.monotonic()
            try:
                watched = Watched(self, given.crew_id, read_only=right["read_only"])
                live.subscriptions[watched] = None
                # changes of access come with the events: they are read only if there is a listener
                await live.subscribe(f"workspace:{right['workspace_id']}", watched.hear)
                watched.doubt()  # what has changed since it was asked
                await self._run(given, right)
            finally:
                await self._record(given, right["workspace_id"], time.monotonic() - began)
        finally:
            live.close()
            _open[user] -= 1

    async def _run(self, given: OpenTerminal, right: dict[str, Any]) -> None:
        assert instance.terminals is not None
        agent = given.agent_slug or ""
        place = TerminalPlace(
            right["workspace_id"], given.crew_id, agent, given.rows, given.cols, read_only=right["read_only"]
        )
        async with instance.terminals.open(place) as opened:
            if given.mode.value == "attach":
                self._say("info", "Agents have no session to attach to: this is a shell in the agent's folder")
            if right["read_only"]:
                self._say("info", "The files of the crew are read-only")
            works = (self._show(opened), self._type(opened), self._idle(), self._beat())
            tasks = [asyncio.create_task(work) for work in works]
            ended: asyncio.Task[Any] = asyncio.create_task(self._ended.wait())
            try:
                await asyncio.wait((*tasks, ended), return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done():
                        task.result()
            finally:
                for task in (*tasks, ended):
                    task.cancel()
                await asyncio.gather(*tasks, ended, return_exceptions=True)

    async def _show(self, opened: OpenedTerminal) -> None:
        """The program waits while the client does not read."""
        while shown := await opened.read():
            if self._wire.congested:
                await self._wire.drained()
            await self._send({"type": "websocket.send", "bytes": shown})
        self._reason = "its program ended"

    async def _type(self, opened: OpenedTerminal) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                raise Left
            self._typed = time.monotonic()
            if (typed := message.get("bytes")) is not None:
                await opened.write(typed)
            else:
                self._obey(message.get("text"), opened)

    def _obey(self, text: str | None, opened: OpenedTerminal) -> None:
        """Unknown messages are ignored."""
        with contextlib.suppress(orjson.JSONDecodeError, Refusal):
            said = orjson.loads(text or b"")
            if isinstance(said, dict) and said.get("type") == "resize":
                size = validate(TerminalSize, {key: said[key] for key in ("rows", "cols") if key in said})
                opened.resize(size.rows, size.cols)

    async def _idle(self) -> None:
        while (left := self._typed + IDLE - time.monotonic()) > 0:  # noqa: ASYNC110 - each key puts it off
            await asyncio.sleep(left)
        self._reason, self._code = "no input", UNUSED
        self._say("info", f"Closed: no input for {IDLE / 60:.0f} minutes")

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            if not self._wire.congested:
                self._wire.write(PING)

    async def _record(self, given: OpenTerminal, workspace_id: str, seconds: float) -> None:
        """Records the end as the server, because the user may no longer be a member."""
        told = {
            "crew_id": given.crew_id,
            "user_id": self.caller.user_id,
            "agent_slug": given.agent_slug,
            "seconds": int(seconds),
            "reason": self._reason,
        }
        try:
            await close_terminal(Caller.service("terminals", workspace_id), told)
        except Refusal as refusal:
            # a workspace that is deleted has no log any more
            say = log.info if refusal.code is Code.FORBIDDEN else log.error
            say("the end of a terminal was not recorded", code=refusal.code.value)

    def _say(self, type: str, message: str) -> None:
        self._wire.write(self._wire.frame(orjson.dumps({"type": type, "message": message})))

    # ---- what the live connection has to say ---------------------------------------------------------------------

    def end(self, reason: str, told: str, code: int) -> None:
        if not self._ended.is_set():
            self._reason, self._code = reason, code
            self._say("error", told)
            self._ended.set()

    def lost(self, subscription: Any, reason: str) -> None:
        pass

    def refused(self, subscription: Any, refusal: Refusal) -> None:
        self.end("the permission was withdrawn", NO_LONGER, WITHDRAWN)

    def revoked(self) -> None:
        self.end("the session ended", "session_revoked", REVOKED)
