"""The subscriptions of a socket, and their reasons: the client subscribed, its message is being answered, or it is
receiving missed frames.
"""

import asyncio
from dataclasses import dataclass, field

from resolvers.attention.channels import ChannelKind
from resolvers.errors import Code, Refusal
from resolvers.live import FROM_NOW, Delivered, LiveConnection, Subscription
from rest_compat.ws.frames import (
    SocketWire,
    agent_frame,
    chat_frame,
    error,
    event_frame,
    is_about,
    is_done,
    spoken,
    subscribed,
)

MOST = 200  # channels a socket
TOO_MANY = f"At most {MOST} channels can be listened to on one connection"
SESSION, AGENT, PROVIDERS = (f"{kind}:" for kind in (ChannelKind.session, ChannelKind.agent, ChannelKind.providers))


@dataclass(slots=True)
class Passage:
    """Frames of a chat for a client without a subscription. Other users' words in a run are among them: numbers have no
    gaps.
    """

    first: int
    last: int | None = None  # None: unknown, the run that begins with `first` is live
    run_id: str | None = None

    def holds(self, event: Delivered) -> bool:
        if event.frame:
            return self.first <= event.frame and (self.last is None or event.frame <= self.last)
        return self.run_id is not None and is_about(event, self.run_id)

    def end(self, event: Delivered) -> None:
        """A run ends with its `done`, and at the latest before the next one."""
        if self.last is None and event.frame > self.first:
            if event.type == "run_begin":
                self.last = event.frame - 1
            elif is_done(event):
                self.last = event.frame


@dataclass(eq=False)
class Attention:
    """One channel of one socket. A channel without a subscription is followed as far as necessary, and then left."""

    name: str
    owner: "Subscriptions"
    subscription: Subscription | None = None
    asked: bool = False  # the client has subscribed
    passages: list[Passage] = field(default_factory=list)  # that are not over

    @property
    def needed(self) -> bool:
        return self.asked or bool(self.passages)

    @property
    def awaits(self) -> bool:
        """True while a message of the client is being answered."""
        return any(passage.last is None for passage in self.passages)

    def add(self, passage: Passage) -> None:
        """Earlier frames are sent again only if a passage contains them, too."""
        self.passages.append(passage)
        if self.subscription is not None:
            self.subscription.rewind(passage.first - 1)

    def show(self, event: Delivered, subscription: Subscription) -> bytes | None:
        """The frame for an event of a chat's channel."""
        if self.asked:
            return chat_frame(event, subscription)
        for passage in self.passages:
            passage.end(event)
        shown = any(passage.holds(event) for passage in self.passages)
        self.passages = [
            passage for passage in self.passages if passage.last is None or passage.last > subscription.position.frame
        ]
        if not self.needed:
            asyncio.get_running_loop().call_soon(self.owner.leave, self)
        return chat_frame(event, subscription) if shown else None


class Subscriptions:
    """The channels of a socket, by name."""

    def __init__(self, live: LiveConnection, wire: SocketWire) -> None:
        self._live, self._wire = live, wire
        self._by_name: dict[str, Attention] = {}
        self._changing = asyncio.Lock()  # two messages may be about the same channel

    async def subscribe(self, name: str, after: str | None) -> None:
        """Subscribes for the client. A cursor starts again from its position, even if the client has subscribed before.
        Raises Refusal.
        """
        async with self._changing:
            known = self._by_name.get(_canonical(name))
            if known is not None and after is None:
                known.asked = True
                return
            if known is not None:
                self._drop(known)
            made = await self._open(name, after, asked=True)
            if after == FROM_NOW and made.subscription is not None:
                self._say(subscribed(name, made.subscription.cursor))

    async def unsubscribe(self, name: str) -> None:
        async with self._changing:
            known = self._by_name.get(_canonical(name))
            if known is not None:
                self._drop(known)

    def check_room(self, name: str) -> None:
        """Raises Refusal when no further channel than those can be listened to."""
        if name not in self._by_name and len(self._by_name) >= MOST:
            raise Refusal(Code.RATE_LIMITED, TOO_MANY)

    async def follow(self, name: str, after: int, last: int, run_id: str | None) -> None:
        """Shows what became of the client's own message, unless it has subscribed anyway. Raises Refusal.

        Its frames come behind `after`: with a run all up to `done`, without one up to `last`, which are there.
        """
        async with self._changing:
            passage = Passage(after + 1, last if run_id is None else None, run_id)
            attention = self._by_name.get(name) or await self._open(name, passage=passage)
            if not attention.asked:
                attention.add(passage)

    async def show_again(self, name: str, after: int, last: int) -> None:
        """The frames of a chat behind `after`, up to `last`, before any that is newer. Raises Refusal."""
        async with self._changing:
            passage = Passage(after + 1, last)
            attention = self._by_name.get(name) or await self._open(name, passage=passage)
            attention.add(passage)

    async def _open(
        self, name: str, after: str | None = None, *, asked: bool = False, passage: Passage | None = None
    ) -> Attention:
        """`passage`: what it is opened for, and is to be added to it."""
        self.check_room(name)
        attention = Attention(_canonical(name), self, asked=asked)
        encode = attention.show if name.startswith(SESSION) else agent_frame if name.startswith(AGENT) else event_frame
        frame = None if passage is None else passage.first - 1
        attention.subscription = await self._live.subscribe(
            name, encode, after, frame=frame, same=event_frame if encode is event_frame else None
        )
        self._by_name[attention.name] = attention
        return attention

    def _drop(self, attention: Attention) -> None:
        self._by_name.pop(attention.name, None)
        if attention.subscription is not None:
            self._live.unsubscribe(attention.subscription)

    def leave(self, attention: Attention) -> None:
        """Ends subscriptions that the client has not requested, once they have served their purpose."""
        if not attention.needed and self._by_name.get(attention.name) is attention:
            self._drop(attention)

    # ---- what the live connection has to say ---------------------------------------------------------------------

    def lost(self, subscription: Subscription, reason: str) -> None:
        """The client gets a cursor from which nothing is missing; in a chat it is also to read the history again."""
        name = subscription.channel.name
        attention = self._by_name.get(name)
        if attention is None or attention.asked:
            self._say(spoken("resync", {"reason": reason, "cursor": subscription.cursor}, name))
        if name.startswith(SESSION):
            self._say(spoken("resume_reset", {}, name))
        if attention is not None:
            # their positions are uncertain, and no client may see another's run instead
            attention.passages.clear()
            asyncio.get_running_loop().call_soon(self.leave, attention)

    def refused(self, subscription: Subscription, refusal: Refusal) -> None:
        name = subscription.channel.name
        attention = self._by_name.get(name)
        if attention is not None and attention.subscription is subscription:
            del self._by_name[name]
        if attention is None or attention.asked or attention.awaits:
            self._say(error(refusal.detail, name))

    def _say(self, body: bytes) -> None:
        self._wire.write(self._wire.frame(body))


def _canonical(name: str) -> str:
    """Events of `providers:<anything>` come on `providers` (contract: websocket.channels)."""
    return str(ChannelKind.providers) if name.startswith(PROVIDERS) else name
