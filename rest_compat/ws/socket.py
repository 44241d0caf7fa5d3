"""One socket of an authenticated client: executes its messages in order, and writes the events of its subscriptions."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from models.staff.runs import ChatEventType
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.instance.telemetry import log
from resolvers.live import LiveConnection, Subscription
from resolvers.staff.chats import cancel_message, send_message
from resolvers.staff.chats.resuming import resume_chat
from resolvers.staff.runs.finishing import GENERAL
from resolvers.staff.runs.frames import chat_event
from rest_compat.ws import frames
from rest_compat.ws.frames import SocketWire, channel_of
from rest_compat.ws.heartbeat import open_sockets
from rest_compat.ws.messages import ClientMessage, UnknownType, Unreadable, is_too_large, read
from rest_compat.ws.subscriptions import SESSION, Subscriptions

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Admit = Callable[[str], bool]
"""Takes a client's address, and says whether it may make one more request."""

NORMAL, TOO_LARGE, REVOKED = 1000, 1009, 4401
AT_ONCE = 8  # messages about chats that one socket may have under way; more of them wait
FREE = frozenset({"ping", "pong", "auth"})
TOO_MANY_REQUESTS = "Too many requests"
UNSEEN = frozenset({Code.NOT_FOUND, Code.FORBIDDEN})
NEVER_BEGUN = frozenset({"pending_review", "agent_deleted"})
"""Reasons for which a message is answered as a run that failed (contract: chats.behaviour 2 and 3)."""


class Socket:
    """Made when the ticket is read; it counts once `serve` runs. Messages that ask for something count as requests."""

    def __init__(self, caller: Caller, wire: SocketWire, send: Send, admit: Admit) -> None:
        self._caller, self._wire, self._send, self._admit = caller, wire, send, admit
        self._live = LiveConnection(caller, wire, self)
        self._subscriptions = Subscriptions(self._live, wire)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._last: dict[str, asyncio.Task[None]] = {}  # chat -> what its next message waits for
        self._tasks: set[asyncio.Task[None]] = set()
        self._serving = self._is_revoked = self._ended = False

    def close(self) -> None:
        self._live.close()

    def admit(self) -> None:
        """Raises Refusal where its user has too many open."""
        self._live.admit()

    async def serve(self, receive: Receive) -> None:
        """Serves from the handshake to the end. Messages received before the end are executed."""
        self._serving = True
        open_sockets.add(self)
        try:
            if self._is_revoked:
                self.revoked()
            while not self._ended:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    break
                if self._wire.congested:
                    await self._wire.drained()
                await self._handle(message.get("text"))
        except ConnectionError:
            pass
        finally:
            open_sockets.remove(self)
            self.close()
            await asyncio.gather(*self._tasks)
            self.close()  # a task may have subscribed once more

    # ---- what the client says ------------------------------------------------------------------------------------

    async def _handle(self, text: str | None) -> None:
        if text is not None and is_too_large(text):
            self._end(TOO_LARGE)
            return
        channel = None
        try:
            message = read(text)
            channel = message.channel or None
            if message.type not in FREE and not self._admit(self._caller.client):
                return self._say(frames.error(TOO_MANY_REQUESTS, channel, code=Code.RATE_LIMITED.value))
            await self._obey(message)
        except UnknownType as fault:
            self._say(frames.error(str(fault)))
        except Unreadable as fault:
            self._say(frames.error(str(fault), channel))

    async def _obey(self, message: ClientMessage) -> None:
        match message.type:
            case "ping":
                self._say(frames.PONG)
            case "subscribe" | "unsubscribe":
                await self._change(message)
            case "send_message":
                chat_id, payload = message.chat()
                await self._in_turn(chat_id, lambda: self._message(chat_id, payload))
            case "cancel_message":
                chat_id, _ = message.chat()
                await self._in_turn(chat_id, lambda: self._cancel(chat_id))
            case "resume":
                chat_id, payload = message.chat()
                await self._in_turn(chat_id, lambda: self._resume(chat_id, payload))
            case "auth":
                pass  # a client of the other way to authenticate
            case _:
                raise UnknownType("unknown type")

    async def _change(self, message: ClientMessage) -> None:
        name = message.channel
        if not name:
            return
        sending = self._last.get(name.removeprefix(SESSION)) if name.startswith(SESSION) else None
        if sending is not None:
            await asyncio.wait([sending])  # else it would begin behind the frames of a message sent before it
        try:
            if message.type == "subscribe":
                await self._subscriptions.subscribe(name, message.after)
            else:
                await self._subscriptions.unsubscribe(name)
        except Refusal as refusal:
            self._refuse(refusal, name)

    async def _message(self, chat_id: str, payload: dict[str, Any]) -> None:
        channel = channel_of(chat_id)
        raw = payload | {"chat_id": chat_id}
        try:
            self._subscriptions.check_room(channel)
            answer = await send_message(self._caller, raw)
            sent = orjson.loads(answer.body or b"{}")
            await self._subscriptions.follow(channel, sent["from_seq"], sent["seq"], sent["run_id"])
        except Refusal as refusal:
            if refusal.reason == "agent_busy":
                self._chat_event(channel, ChatEventType.agent_busy, **refusal.extra)
            elif refusal.reason == "crew_provisioning":
                self._chat_event(channel, ChatEventType.crew_provisioning, refusal.detail, **refusal.extra)
                self._chat_event(channel, ChatEventType.error, GENERAL)
                self._chat_event(channel, ChatEventType.done)
            elif refusal.reason in NEVER_BEGUN:
                self._chat_event(channel, ChatEventType.error, refusal.detail, reason=refusal.reason, **refusal.extra)
                self._chat_event(channel, ChatEventType.error, GENERAL)
                self._chat_event(channel, ChatEventType.done)
            else:
                self._refuse(refusal, channel)

    async def _cancel(self, chat_id: str) -> None:
        try:
            await cancel_message(self._caller, {"chat_id": chat_id})
        except Refusal as refusal:
            if refusal.code not in UNSEEN:
                self._refuse(refusal, channel_of(chat_id))

    async def _resume(self, chat_id: str, payload: dict[str, Any]) -> None:
        channel = channel_of(chat_id)
        raw = payload | {"chat_id": chat_id}
        try:
            answer = await resume_chat(self._caller, raw)
            missed = orjson.loads(answer.body or b"{}")
            if missed["overrun"]:
                self._say(frames.spoken("resume_reset", {}, channel))
            elif missed["last"] > missed["after"]:
                await self._subscriptions.show_again(channel, missed["after"], missed["last"])
        except Refusal as refusal:
            if refusal.code not in UNSEEN:
                self._refuse(refusal, channel)

    # ---- one after the other in a chat, several chats at once ----------------------------------------------------

    async def _in_turn(self, chat_id: str, work: Callable[[], Awaitable[None]]) -> None:
        await self._room.acquire()
        task = self._spawn(self._turn(chat_id, self._last.get(chat_id), work))
        self._last[chat_id] = task

    async def _turn(
        self, chat_id: str, previous: asyncio.Task[None] | None, work: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            if previous is not None:
                await asyncio.wait([previous])
            await work()
        except Exception as fault:
            log.error("message of a socket failed", exc_info=fault)
            self._say(frames.error("Internal error", channel_of(chat_id)))
        finally:
            self._room.release()
            if self._last.get(chat_id) is asyncio.current_task():
                del self._last[chat_id]

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ---- what the server says ------------------------------------------------------------------------------------

    def _say(self, body: bytes) -> None:
        self._wire.write(self._wire.frame(body))

    def _chat_event(self, channel: str, type: ChatEventType, content: str = "", **metadata: Any) -> None:
        """For the sender alone: it is of no run, and has no number."""
        self._say(frames.spoken("chat_event", chat_event(type, content, **metadata).payload, channel))

    def _refuse(self, refusal: Refusal, channel: str) -> None:
        if refusal.code is Code.UNAUTHENTICATED:
            self.revoked()
        else:
            self._say(frames.refused(refusal, channel))

    def beat(self) -> None:
        if not self._wire.congested:
            self._say(frames.PING)

    def lost(self, subscription: Subscription, reason: str) -> None:
        self._subscriptions.lost(subscription, reason)

    def refused(self, subscription: Subscription, refusal: Refusal) -> None:
        self._subscriptions.refused(subscription, refusal)

    def revoked(self) -> None:
        """The login session is over (contract: websocket.connection.revocation)."""
        self._is_revoked = True
        if self._serving and not self._ended:
            self._say(frames.revoked())
            self._end(REVOKED)

    # ---- the end -------------------------------------------------------------------------------------------------

    def _end(self, code: int) -> None:
        if not self._ended:
            self._ended = True
            self.close()
            self._spawn(self._hang_up(code))

    async def _hang_up(self, code: int) -> None:
        """A client that reads nothing is cut off by `drained`."""
        try:
            await self._wire.drained()
            await self._send({"type": "websocket.close", "code": code})
        except OSError:
            pass
