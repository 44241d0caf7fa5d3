"""What a socket listens to, and why: the client has subscribed, its own message is being answered, or it is shown again what it missed."""

import asyncio
from dataclasses import dataclass

from resolvers.channels import ChannelKind
from resolvers.kernel.errors import Code, Refusal
from resolvers.live import Delivered, LiveConnection, Subscription
from rest_compat.ws.frames import Wire, agent_frame, chat_frame, error, event_frame, is_done, spoken

MOST = 200  # channels a socket
TOO_MANY = f"At most {MOST} channels can be listened to on one connection"
SESSION, AGENT, PROVIDERS = (f"{kind}:" for kind in (ChannelKind.session, ChannelKind.agent, ChannelKind.providers))


@dataclass(eq=False)
class Attention:
    """One channel of one socket. What the client has not subscribed to is shown as far as it must be, and then left."""

    name: str
    owner: "Subscriptions"
    subscription: Subscription | None = None
    asked: bool = False  # the client has subscribed
    run: int = 0  # frame of the client's own message: what follows is shown, up to `done`
    until: int = 0  # frames up to this one are shown

    @property
    def needed(self) -> bool:
        return self.asked or self.run > 0 or (self.subscription is not None and self.subscription.position.frame < self.until)

    def show(self, event: Delivered, subscription: Subscription) -> bytes | None:
        """The frame for an event of a chat's channel."""
        if self.asked:
            return chat_frame(event, subscription)
        shown = self.run > 0 or 0 < event.frame <= self.until
        if self.run and event.frame > self.run and is_done(event):
            self.run = 0
        if not self.needed:
            asyncio.get_running_loop().call_soon(self.owner.leave, self)
        return chat_frame(event, subscription) if shown else None


class Subscriptions:
    """The channels of a socket, by name."""

    def __init__(self, live: LiveConnection, wire: Wire) -> None:
        self._live, self._wire = live, wire
        self._by_name: dict[str, Attention] = {}
        self._changing = asyncio.Lock()  # two messages may be about the same channel

    async def subscribe(self, name: str, after: str | None) -> None:
        """For the client. A cursor begins anew from there, also where it has subscribed before. Raises Refusal."""
        async with self._changing:
            known = self._by_name.get(_canonical(name))
            if known is not None and after is None:
                known.asked = True
                return
            if known is not None:
                self._drop(known)
            await self._open(name, after, asked=True)

    async def unsubscribe(self, name: str) -> None:
        async with self._changing:
            known = self._by_name.get(_canonical(name))
            if known is not None:
                self._drop(known)

    def check_room(self, name: str) -> None:
        """Raises Refusal when no further channel than those can be listened to."""
        if name not in self._by_name and len(self._by_name) >= MOST:
            raise Refusal(Code.RATE_LIMITED, TOO_MANY)

    async def follow(self, name: str, seq: int, *, run: bool) -> None:
        """Shows what became of the client's own message, frame `seq` of a chat, unless it has subscribed anyway. Raises Refusal.

        With a run: run_begin, the message, and all up to `done`. Without one: run_begin, the message and `done` are there already.
        """
        async with self._changing:
            attention = self._by_name.get(name) or await self._open(name)
            if attention.asked or attention.subscription is None:
                return
            attention.run, attention.until = (seq, attention.until) if run else (attention.run, max(seq, attention.until))
            attention.subscription.rewind(seq - 2 if run else seq - 3)

    async def show_again(self, name: str, after: int, last: int) -> None:
        """The frames of a chat behind `after`, up to `last`, before any that is newer. Raises Refusal."""
        async with self._changing:
            attention = self._by_name.get(name) or await self._open(name)
            attention.until = max(last, attention.until)
            if attention.subscription is not None:
                attention.subscription.rewind(after)

    async def _open(self, name: str, after: str | None = None, *, asked: bool = False) -> Attention:
        self.check_room(name)
        attention = Attention(_canonical(name), self, asked=asked)
        encode = attention.show if name.startswith(SESSION) else agent_frame if name.startswith(AGENT) else event_frame
        attention.subscription = await self._live.subscribe(name, encode, after, same=event_frame if encode is event_frame else None)
        self._by_name[attention.name] = attention
        return attention

    def _drop(self, attention: Attention) -> None:
        self._by_name.pop(attention.name, None)
        if attention.subscription is not None:
            self._live.unsubscribe(attention.subscription)

    def leave(self, attention: Attention) -> None:
        """Ends what nobody has subscribed to, once it has shown what it was for."""
        if not attention.needed and self._by_name.get(attention.name) is attention:
            self._drop(attention)

    # ---- what the live connection has to say ---------------------------------------------------------------------

    def lost(self, subscription: Subscription, reason: str) -> None:
        """The client gets a cursor from which nothing is missing; of a chat it is also told to read the history again."""
        name = subscription.channel.name
        attention = self._by_name.get(name)
        if attention is None or attention.asked:
            self._say(spoken("resync", {"reason": reason, "cursor": subscription.cursor}, name))
        if name.startswith(SESSION):
            self._say(spoken("resume_reset", {}, name))
        if attention is not None:
            asyncio.get_running_loop().call_soon(self.leave, attention)

    def refused(self, subscription: Subscription, refusal: Refusal) -> None:
        name = subscription.channel.name
        attention = self._by_name.get(name)
        self._live.unsubscribe(subscription)
        if attention is not None and attention.subscription is subscription:
            del self._by_name[name]
        if attention is None or attention.asked or attention.run:
            self._say(error(refusal.detail, name))

    def _say(self, body: bytes) -> None:
        self._wire.write(self._wire.frame(body))


def _canonical(name: str) -> str:
    """Events of `providers:<anything>` come on `providers` (contract: websocket.channels)."""
    return str(ChannelKind.providers) if name.startswith(PROVIDERS) else name
