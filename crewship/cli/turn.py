"""One turn of a conversation: a message, and the agent's answer.

The client subscribes to the events of the chat before it sends the message, so that none is missed. After a lost
connection it continues behind the last seen event, and the message has an idempotency key, so it counts once however
often it is sent. Nothing is shown twice, and text that no event contains any more is read from the chat's history.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from crewship.cli.client import Client, RequestRefused, Unreachable
from crewship.cli.profiles import ClientError
from crewship.cli.subscription import FROM_NOW, subscribed
from crewship.cli.terminal import Screen

PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)  # seconds before each further try to get an answer
LAST_WORD: Final = 2.0  # seconds for the cancellation of a turn that no caller waits for any more

EVENTS: Final = """subscription ($chat: ID!, $after: String) {
  chatEvents(chatId: $chat, after: $after) {
    __typename
    ... on Event { cursor }
    ... on RunBegin { seq }
    ... on ChatFrame { type content metadata seq }
  }
}"""
SEND: Final = """mutation ($chat: ID!, $content: String!) {
  sendMessage(input: {chatId: $chat, content: $content}) { runId messageId seq }
}"""
CANCEL: Final = "mutation ($chat: ID!) { cancelMessage(input: {chatId: $chat}) { cancelled } }"
KEPT: Final = """query ($ws: ID!, $chat: ID!, $offset: Int, $run: ID!) {
  messages(chatId: $chat, offset: $offset, limit: 500) { nodes { id role content } }
  run(workspaceId: $ws, id: $run) { status errorMessage metadata }
}"""


@dataclass(frozen=True)
class Chat:
    """A chat with an agent, as one of its users."""

    id: str
    workspace_id: str
    agent_slug: str
    user_id: str


class ChatTurn:
    """`known`: how many messages the chat had before this one."""

    def __init__(self, client: Client, chat: Chat, known: int, text: str, screen: Screen) -> None:
        self.client, self.chat, self.known, self.text, self.screen = client, chat, known, text, screen
        self.began = time.monotonic()
        self.said = ""  # of the reply, as it was shown
        self.failed = self.cancelled = False
        self._result: Mapping[str, Any] = {}
        self._trouble: str | None = None
        self._listens, self._ended, self._stop = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._sent: Mapping[str, Any] = {}  # the message, once the server has it
        self._last_seq = 0  # of the frames that were applied
        self._early: dict[int, Mapping[str, Any]] = {}  # frames that came before one with a smaller number
        self._incomplete = False  # frames are lost; the history has what they said

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
        """The result for programs."""
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
        """Asks the agent to stop. The turn continues until it has."""
        self._stop.set()
        self.screen.close_line()
        self.screen.wait("cancelling")

    # -- what is said to the server -----------------------------------------------------------------------------------

    async def _until_ended(self) -> None:
        listening = asyncio.create_task(self._listen())
        try:
            await _first(self._listens.wait(), listening)
            if self.stopping:
                self.cancelled = True
            elif await self._send():
                await self._answered(listening)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _send(self) -> bool:
        """Sends the message; returns true if the agent answers."""
        key = uuid.uuid4().hex
        try:
            found = await self._told(SEND, key, chat=self.chat.id, content=self.text)
        except RequestRefused as refused:
            self._fail(str(refused))
            self.failed = True
            return False
        self._sent = found["sendMessage"]
        if self._sent["runId"] is None:
            self.screen.note(f"in a group the agent answers only messages that mention it as @{self.chat.agent_slug}")
            return False
        self._last_seq = self._sent["seq"]
        self._early = {seq: event for seq, event in self._early.items() if seq > self._last_seq}
        self._catch_up()
        return True

    async def _answered(self, listening: "asyncio.Task[None]") -> None:
        stopping = asyncio.create_task(self._cancel_when_asked())
        try:
            await _first(self._ended.wait(), listening)
        finally:
            if self.stopping and not self._ended.is_set():
                with contextlib.suppress(TimeoutError, ClientError):
                    await asyncio.wait_for(asyncio.shield(stopping), LAST_WORD)
            stopping.cancel()
            await asyncio.gather(stopping, return_exceptions=True)
        if self._incomplete:
            await self._complete(*await self._kept())

    async def _cancel_when_asked(self) -> None:
        await self._stop.wait()
        await self._told(CANCEL, uuid.uuid4().hex, chat=self.chat.id)

    async def _told(self, document: str, key: str, **variables: Any) -> dict[str, Any]:
        """A write that counts once. Raises ClientError when the server stays away."""
        for pause in PAUSES:
            try:
                return await self.client.graphql(document, key, **variables)
            except Unreachable:
                self.screen.wait("connection lost, reconnecting")
                await asyncio.sleep(pause)
        return await self.client.graphql(document, key, **variables)

    # -- events -------------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Takes events for as long as the turn lasts."""
        async for event in subscribed(self.client, EVENTS, "chatEvents", after=FROM_NOW, chat=self.chat.id):
            if event["__typename"] == "StreamReset":
                await self._began_again()
            elif event["__typename"] in ("ChatFrame", "RunBegin"):
                self._take(event)

    async def _began_again(self) -> None:
        """Events come from here on. Behind the first time some are lost: perhaps that of the end, too."""
        if not self._listens.is_set():
            self._listens.set()
            return
        self._incomplete = True
        self._early.clear()
        if self._sent and (await self._kept())[1]["status"] != "RUNNING":
            self._ended.set()

    def _take(self, event: Mapping[str, Any]) -> None:
        """Processes a frame, in any order. A frame without a number belongs to no run, but may report one."""
        seq = event["seq"]
        if seq is None:
            if self._sent and event.get("type") == "status":
                self.screen.wait(event["content"])
        elif seq <= self._last_seq:
            return
        elif self._incomplete and self._sent:
            self._last_seq = seq
            self._apply(event)
        else:
            self._early[seq] = event
            self._catch_up()

    def _catch_up(self) -> None:
        while self._sent and (following := self._early.pop(self._last_seq + 1, None)) is not None:
            self._last_seq += 1
            self._apply(following)

    def _fail(self, why: str) -> None:
        self._trouble = why
        self.screen.trouble(why)

    def _apply(self, event: Mapping[str, Any]) -> None:
        """The next frame of the chat."""
        if self._ended.is_set():
            return
        if event["__typename"] == "RunBegin":  # another run is live: the end of this one was among what is lost
            self._incomplete = True
            self._ended.set()
            return
        kind, content, metadata = event["type"], event["content"], event["metadata"] or {}
        if kind == "done":
            self.cancelled = self.stopping and not self.failed
            self._ended.set()
        elif not self._incomplete:
            self._show(kind, content, metadata)

    def _show(self, kind: str, content: str, metadata: Mapping[str, Any]) -> None:
        if kind == "text":
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

    async def _kept(self) -> tuple[list[Mapping[str, Any]], Mapping[str, Any]]:
        """The stored messages after this turn's message, and the run."""
        asked = {"ws": self.chat.workspace_id, "chat": self.chat.id, "offset": self.known, "run": self._sent["runId"]}
        found = await self.client.graphql(KEPT, **asked)
        messages = found["messages"]["nodes"]
        own = next((n for n, said in enumerate(messages) if said["id"] == self._sent["messageId"]), -1)
        return messages[own + 1 :], found["run"]

    async def _complete(self, messages: list[Mapping[str, Any]], run: Mapping[str, Any]) -> None:
        """The end of a turn whose last frames were not seen."""
        answer = next((message for message in messages if message["role"] in ("assistant", "system")), None)
        self.cancelled = run["status"] == "CANCELLED"
        self.failed = run["status"] in ("FAILED", "TIMEOUT")
        self._result = run["metadata"] or {}
        if answer is None:
            if self.failed:
                self._fail(run["errorMessage"] or "the run failed")
        elif answer["role"] == "system":
            self._fail(answer["content"])
        else:
            reply = answer["content"]
            self._words(reply.removeprefix(self.said) if reply.startswith(self.said) else f"\n{reply}")


async def _first(happens: Any, listening: "asyncio.Task[None]") -> None:
    """Waits for the event. Raises an error that ends the listening before."""
    waiting = asyncio.ensure_future(happens)
    try:
        await asyncio.wait((waiting, listening), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            listening.result()
    finally:
        waiting.cancel()
