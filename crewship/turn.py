"""One turn of a conversation over /ws: a message, and what the agent does about it.

A turn has a socket of its own. When it breaks, another one goes on behind the last frame that was seen; what is not
replayed any more is read from the chat's history. So nothing is shown twice, and a message is sent once (contract:
websocket.chat_stream, messages).
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.typing import Origin

from crewship.client import Client, Unreachable
from crewship.profiles import ClientError
from crewship.terminal import Screen

PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)  # seconds before each further try to connect
LONGEST_FRAME = 16 * 1024 * 1024  # bytes; what a tool gives back may be large
OPTIONS: Mapping[str, Any] = {"max_size": LONGEST_FRAME, "compression": None, "close_timeout": 2}
LOST = (Unreachable, ConnectionClosed, OSError, TimeoutError, InvalidHandshake, InvalidMessage)
REVOKED = 4401

SINCE = """query ($chat: ID!, $offset: Int) {
  messages(chatId: $chat, offset: $offset, limit: 500) { nodes { role content authorUserId } }
  chat(id: $chat) { runs(limit: 5) { nodes { status triggeredBy errorMessage metadata } } }
}"""


@dataclass(frozen=True)
class Chat:
    """A chat with an agent, as one of its users."""

    id: str
    workspace_id: str
    agent_slug: str
    user_id: str


class Turn:
    """`known`: how many messages the chat had before this one."""

    def __init__(self, client: Client, chat: Chat, known: int, text: str, screen: Screen) -> None:
        self.client, self.chat, self.known, self.text, self.screen = client, chat, known, text, screen
        self.channel = f"session:{chat.id}"
        self.began = time.monotonic()
        self.said = ""  # of the reply, as it was shown
        self.failed = self.cancelled = self.ended = False
        self._result: Mapping[str, Any] = {}
        self._trouble: str | None = None
        self._sent = False
        self._taken = asyncio.Event()  # the server has the message
        self._foreign = True  # the frames that come are of somebody else's turn
        self._last_seq = 0  # of the frames that were applied; 0 until a run begins
        self._early: dict[int, Mapping[str, Any]] = {}  # frames that came before one with a smaller number
        self._incomplete = False  # frames are lost; the history has what they said
        self._stop = asyncio.Event()
        self._ponged = False

    async def run(self) -> bool:
        """Until the agent is done; False when it failed, was cancelled, or refused the message. Raises ClientError."""
        self.screen.wait(f"{self.chat.agent_slug} …")
        try:
            await self._until_ended()
        finally:
            self.screen.settle()
            self.screen.close_line()
        if self.cancelled:
            self.screen.note("  cancelled")
        elif not self.failed:
            self.screen.result(self._result, time.monotonic() - self.began)
        return not (self.failed or self.cancelled)

    def outcome(self) -> dict[str, Any]:
        """What came of it, for programs."""
        used = self._result.get("usage") or {}
        return {
            "chatId": self.chat.id,
            "agent": self.chat.agent_slug,
            "status": "CANCELLED" if self.cancelled else "FAILED" if self.failed else "COMPLETED",
            "reply": self.said,
            "error": self._trouble,
            "inputTokens": used.get("input_tokens"),
            "outputTokens": used.get("output_tokens"),
            "costUsd": self._result.get("total_cost_usd"),
            "seconds": round(time.monotonic() - self.began, 3),
        }

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def stop(self) -> None:
        """Asks the agent to stop. The turn goes on until it has."""
        self._stop.set()
        self.screen.close_line()
        self.screen.wait("cancelling")

    # -- the socket ---------------------------------------------------------------------------------------------------

    async def _until_ended(self) -> None:
        pauses = iter(PAUSES)
        while not self.ended:
            try:
                async with await self._connect() as socket:
                    pauses = iter(PAUSES)
                    await self._talk(socket)
            except LOST:
                pause = next(pauses, None)
                if pause is None:
                    raise ClientError(
                        f"the connection to {self.client.server} is lost; what the agent says is kept in the chat"
                    ) from None
                self.screen.wait("connection lost, connecting again")
                await asyncio.sleep(pause)

    async def _connect(self) -> ClientConnection:
        """The ticket goes in the first frame: addresses are in the logs of proxies."""
        ticket = await self.client.ticket()
        url = f"ws{self.client.server.removeprefix('http')}/ws"
        origin = Origin(self.client.server)
        socket = await connect(url, origin=origin, **OPTIONS, **self.client.of_sockets)
        await socket.send(orjson.dumps({"type": "auth", "token": ticket}).decode())
        return socket

    async def _talk(self, socket: ClientConnection) -> None:
        await _send(socket, "subscribe", channel=self.channel)
        if self._sent:
            await self._rejoin(socket)
        if self._stop.is_set() and not self._sent:
            self.ended = self.cancelled = True
        if self.ended:
            return
        if not self._sent:
            self._sent = True
            await _send(socket, "send_message", {"session_id": self.chat.id, "content": self.text})
        stopping = asyncio.create_task(self._cancel_when_asked(socket))
        try:
            await self._read(socket, lambda: False)
        finally:
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)

    async def _cancel_when_asked(self, socket: ClientConnection) -> None:
        await self._stop.wait()
        await self._taken.wait()  # before that there is nothing to cancel
        await _send(socket, "cancel_message", {"session_id": self.chat.id})

    async def _read(self, socket: ClientConnection, enough: Callable[[], bool]) -> None:
        """Takes frames until the turn has ended, or it is enough."""
        while not self.ended and not enough():
            try:
                frame = orjson.loads(await socket.recv())
            except ConnectionClosed as closed:
                if closed.rcvd is not None and closed.rcvd.code == REVOKED:
                    raise ClientError("the login has ended; `crewship login` begins another one") from None
                raise
            self._take(frame)
            if self.ended and self._incomplete:
                await self._complete(*await self._kept())

    async def _rejoin(self, socket: ClientConnection) -> None:
        """On another socket: what has become of the message, and what was missed.

        Once the pong is here, the subscription is: whatever ends after that is heard of.
        """
        self._ponged = False
        await _send(socket, "ping")
        await self._read(socket, lambda: self._ponged)
        messages, run = await self._kept()
        if not messages:
            self._sent = False
            return
        self._taken.set()
        if run is None or run["status"] != "RUNNING":
            self.ended = True
            await self._complete(messages, run)
        else:
            await _send(socket, "resume", {"session_id": self.chat.id, "last_seq": self._last_seq})

    # -- frames -------------------------------------------------------------------------------------------------------

    def _take(self, frame: Mapping[str, Any]) -> None:
        """One frame, in whatever order it comes."""
        kind, seq = frame.get("type"), frame.get("seq")
        if kind == "pong":
            self._ponged = True
        elif kind == "session_revoked":
            raise ClientError("the login has ended; `crewship login` begins another one")
        elif kind == "error":
            told = frame.get("payload") or {}
            self._refused(told.get("error") or told.get("message") or "the server refuses")
        elif frame.get("channel") != self.channel:
            return
        elif kind == "resume_reset":
            self._incomplete = True
            self._early.clear()
        elif not isinstance(seq, int):
            self._apply(frame)
        elif seq <= self._last_seq:
            return
        elif self._incomplete or kind == "run_begin":
            self._last_seq = seq
            self._apply(frame)
            self._catch_up()
        else:
            self._early[seq] = frame
            self._catch_up()

    def _catch_up(self) -> None:
        while self._last_seq and (following := self._early.pop(self._last_seq + 1, None)) is not None:
            self._last_seq += 1
            self._apply(following)

    def _refused(self, reason: str) -> None:
        self._fail(reason)
        self.failed = self.ended = True

    def _fail(self, why: str) -> None:
        self._trouble = why
        self.screen.trouble(why)

    def _apply(self, frame: Mapping[str, Any]) -> None:
        """The next frame of the chat."""
        payload = frame.get("payload") or {}
        if frame["type"] == "run_begin":
            if not self._foreign and self._taken.is_set():
                self._missed_the_end()
            self._foreign = False
        if frame["type"] != "chat_event":
            return
        kind, content, metadata = payload.get("type"), payload.get("content") or "", payload.get("metadata") or {}
        if kind == "agent_busy":
            self._refused(content or "the agent answers somebody else in this chat; try again when it is done")
        elif kind == "user_message":
            self._foreign = metadata.get("author_user_id") != self.chat.user_id or content != self.text
            if self._foreign and self._taken.is_set():
                self._missed_the_end()
            elif not self._foreign:
                self._taken.set()
        elif self._sent and not (self._foreign if "seq" in frame else metadata.get("reason") == "server_restart"):
            self._show(str(kind), content, metadata)  # what has no number is said to this socket alone

    def _missed_the_end(self) -> None:
        """Another run is live: this turn's has ended while nobody listened."""
        self.ended = self._incomplete = True

    def _show(self, kind: str, content: str, metadata: Mapping[str, Any]) -> None:
        if kind == "done":
            self.ended = True
            self.cancelled = self._stop.is_set() and not self.failed
            self.failed = self.failed or not self._taken.is_set()
            if metadata.get("no_reply"):
                self.screen.note(f"in a group the agent answers whoever mentions it as @{self.chat.agent_slug}")
        elif self._incomplete:
            return
        elif kind == "text":
            self._words(content)
        elif kind == "tool_call":
            self.screen.tool(metadata.get("tool_name") or content, metadata.get("input"))
            self.screen.wait("working")
        elif kind == "tool_result" and metadata.get("is_error"):
            self.screen.tool_failed(content)
        elif kind in ("error", "crew_provisioning"):
            if not self.failed:  # the second one says less
                self._fail(content or "the run failed")
            self.failed = True
        elif kind == "result":
            self._result = metadata
        elif kind == "image":
            self.screen.note(f"· image ({metadata.get('media_type') or 'unknown'})")
        elif kind in ("thinking", "status"):
            self.screen.wait("thinking" if kind == "thinking" else content)

    def _words(self, text: str) -> None:
        if self.stopping:  # what still comes is kept in the chat
            return
        if not self.said:
            self.screen.speaker(self.chat.agent_slug)
        self.said += text
        self.screen.words(text)

    # -- the history --------------------------------------------------------------------------------------------------

    async def _kept(self) -> tuple[list[Mapping[str, Any]], Mapping[str, Any] | None]:
        """What the chat holds of this turn, its own message first; and the run, if there is one."""
        found = await self.client.graphql(SINCE, chat=self.chat.id, offset=self.known)
        messages = found["messages"]["nodes"]
        mine = [
            n
            for n, m in enumerate(messages)
            if m["role"] == "user" and m["authorUserId"] == self.chat.user_id and m["content"] == self.text
        ]
        runs = [run for run in found["chat"]["runs"]["nodes"] if run["triggeredBy"] == self.chat.user_id]
        return (messages[mine[-1] :], runs[0] if runs else None) if mine else ([], None)

    async def _complete(self, messages: list[Mapping[str, Any]], run: Mapping[str, Any] | None) -> None:
        """The end of a turn whose last frames were not seen."""
        for message in messages[1:]:
            if message["role"] == "assistant":
                reply = message["content"]
                self._words(reply.removeprefix(self.said) if reply.startswith(self.said) else f"\n{reply}")
                break
            if message["role"] == "system":
                self._fail(message["content"])
                break
        status = "COMPLETED" if run is None else run["status"]
        self.cancelled = status == "CANCELLED"
        self.failed = status in ("FAILED", "TIMEOUT")
        if run is not None:
            self._result = run["metadata"] or {}
            if self.failed and len(messages) == 1:
                self._fail(run["errorMessage"] or "the run failed")


async def _send(
    socket: ClientConnection, type: str, payload: Mapping[str, Any] | None = None, channel: str | None = None
) -> None:
    frame = (
        {"type": type}
        | ({} if payload is None else {"payload": payload})
        | ({} if channel is None else {"channel": channel})
    )
    await socket.send(orjson.dumps(frame).decode())
