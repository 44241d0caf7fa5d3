"""The way out of one run's processes: what they call inside their sandbox is listened to out here. See ADR 93."""

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from models.staff.crews import NetworkMode
from resolvers.errors import Refusal
from resolvers.instance.names import Lane
from resolvers.instance.outbound import ADDRESSES, addresses_of
from resolvers.instance.reminders import Reminder
from resolvers.instance.telemetry import log
from runtime.egress.policy import HTTP, HTTPS, OF_THE_SERVICE, ConnectionRefused, Endpoint, Grant, Policy
from runtime.egress.proxy import Conversation, Unreachable
from runtime.egress.stand_ins import StandIns
from runtime.egress.wire import Wire
from runtime.sandbox.process import to_the_end

INSIDE: Final = Endpoint("127.0.0.1", 3128)
"""The address at which a sandbox listens."""
UNPRINTABLE: Final = "a host with invalid characters"
MOST_TOLD: Final = 200  # of one run
TELLING: Final = 5.0  # seconds
BUSY: Final = 0.1  # seconds until the next try where no connection can be taken


# Apart from the names that the service looks up for itself: programs choose these, and servers that never answer.
_names = Lane("egress-names", 32)


async def look_up(host: str, port: int) -> list[str]:
    return await addresses_of(host, port, _names)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of a run's connections. `names`: concurrent lookups; `fresh`: seconds after which the policy is read
    again.
    """

    connections: int = 128
    names: int = 4
    idle: float = 600.0
    connect: float = 10.0
    fresh: float = 2.0


@dataclass(frozen=True, slots=True)
class Seen:
    """A host that was asked for, as the client spelled it; `refused` says why it was not reached, or nothing."""

    host: str
    port: int
    method: str
    refused: str = ""

    def __str__(self) -> str:
        where = f"{self.host}:{self.port}" if self.port else self.host
        return f"{where} was refused: {self.refused}" if self.refused else f"{where} was reached"


@dataclass(eq=False, slots=True)
class _Connection:
    last: float
    task: asyncio.Task[None] | None = None
    target: Endpoint | None = None
    tunnel: bool = False


Tell = Callable[[Sequence[Seen]], Awaitable[None]]
Refresh = Callable[[], Awaitable[Policy]]
Look = Callable[[str, int], Awaitable[list[str]]]
Dial = Callable[[Sequence[str], int, float], Awaitable[socket.socket]]


async def dial(addresses: Sequence[str], port: int, seconds: float) -> socket.socket:
    """The first address that answers; a silent one leaves time for the others. Raises OSError."""
    failed: OSError = OSError()
    for address in addresses:
        opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            opened.setblocking(False)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(seconds / len(addresses)):
                await asyncio.get_running_loop().sock_connect(opened, (address, port))
            return opened
        except OSError as error:  # TimeoutError is one
            opened.close()
            failed = error
        except BaseException:
            opened.close()
            raise
    raise failed


class EgressGateway:
    """`refresh` returns the current policy: it applies to new connections, and ends open ones that it no longer allows.

    `stand_ins` are inserted into requests to their hosts if the policy allows these; all other traffic is forwarded
    unread. `tell` is called with reached or refused hosts, each once per reason; `refusals` are those so far.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        refresh: Refresh | None = None,
        tell: Tell | None = None,
        bounds: Bounds | None = None,
        look_up: Look = look_up,
        dial: Dial = dial,
        stand_ins: StandIns | None = None,
    ) -> None:
        self.stand_ins = stand_ins
        self._policy, self._refresh, self._tell = policy, refresh, tell
        self._bounds, self._look_up, self._dial = bounds or Bounds(), look_up, dial
        self._room, self._asking = asyncio.Semaphore(self._bounds.connections), asyncio.Semaphore(self._bounds.names)
        self._open = set[_Connection]()
        self._unread, self._unaccepted = Reminder(), Reminder()
        self._known, self._untold = set[Seen](), list[Seen]()
        self.refusals = list[Seen]()
        self.listens: tuple[Endpoint, ...] = (INSIDE,)

    @property
    def description(self) -> str:
        """A description for the agent that uses it."""
        hosts = "public hosts" if self._policy.mode is NetworkMode.free else "the hosts that its crew allows"
        return f"where HTTP and HTTPS reach {hosts} through the proxy of HTTPS_PROXY, and nothing else is reached"

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables for programs. The sandbox's own services are reached without the proxy."""
        proxy, own = f"http://{INSIDE}", "localhost,127.0.0.1,::1"
        return {
            **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy),
            "NO_PROXY": own,
            "no_proxy": own,
            "NODE_USE_ENV_PROXY": "1",
        }

    @contextlib.asynccontextmanager
    async def serve(self, listening: Sequence[socket.socket]) -> AsyncIterator[None]:
        """Takes connections of sockets that listen, one for each of `listens`, until the block ends, and so do they.

        A socket may be of any family, and of another network namespace. It is closed with the block.
        """
        opened = set[_Connection]()
        works = [self._accept(each, opened) for each in listening]
        tasks = [asyncio.ensure_future(work) for work in (*works, self._look_after())]
        try:
            yield
        finally:
            tasks += [each.task for each in opened if each.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await to_the_end(self._tell_rest())
            for each in listening:
                each.close()

    # ---- connections ---------------------------------------------------------------------------------------------

    async def _accept(self, listening: socket.socket, opened: set[_Connection]) -> None:
        """Connections without room wait in the kernel."""
        loop = asyncio.get_running_loop()
        listening.setblocking(False)
        while True:
            await self._room.acquire()
            try:
                taken, _ = await loop.sock_accept(listening)
            except OSError as error:
                self._room.release()
                if self._unaccepted.is_due():
                    log.warning("egress connection not accepted", error=error.strerror)
                await asyncio.sleep(BUSY)
                continue
            except BaseException:
                self._room.release()
                raise
            connection = _Connection(loop.time())
            for known in (opened, self._open):
                known.add(connection)
            connection.task = loop.create_task(self._converse(connection, taken))
            connection.task.add_done_callback(functools.partial(self._ended, connection, opened))

    def _ended(self, connection: _Connection, opened: set[_Connection], task: asyncio.Task[None]) -> None:
        self._room.release()
        for known in (opened, self._open):
            known.discard(connection)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("egress connection failed", exc_info=error)

    async def _converse(self, connection: _Connection, taken: socket.socket) -> None:
        way = _Way(self, connection)
        client = way.wire(taken)
        try:
            await Conversation(client, way).run()
        except (OSError, TimeoutError):
            return
        finally:
            client.close()

    async def _look_after(self) -> None:
        """Reports the requested hosts; ends idle connections and those that are no longer allowed."""
        while True:
            await asyncio.sleep(self._bounds.fresh)
            await self._tell_rest()
            await self.renew()
            oldest = asyncio.get_running_loop().time() - self._bounds.idle
            for connection in tuple(self._open):
                if connection.last < oldest or not self._still_allowed(connection):
                    assert connection.task is not None
                    connection.task.cancel()

    async def renew(self) -> None:
        """Reads the policy. If that fails, the last one remains in effect."""
        if self._refresh is not None:
            try:
                self._policy = await self._refresh()
            except Exception as error:
                if self._unread.is_due(error):
                    log.warning("egress policy not read", error=type(error).__name__)

    def _still_allowed(self, connection: _Connection) -> bool:
        if connection.target is None:
            return True
        try:
            self._policy.judge(connection.target, tunnel=connection.tunnel)
        except ConnectionRefused:
            return False
        return True

    # ---- what a connection asks ----------------------------------------------------------------------------------

    def judge(self, target: Endpoint, *, tunnel: bool) -> Grant:
        return self._policy.judge(target, tunnel=tunnel)

    def told(self, seen: Seen) -> None:
        if seen in self._known or len(self._known) >= MOST_TOLD:
            return
        self._known.add(seen)
        self._untold.append(seen)
        if seen.refused:
            self.refusals.append(seen)

    async def _tell_rest(self) -> None:
        rest, self._untold = self._untold, []
        if rest and self._tell is not None:
            try:
                async with asyncio.timeout(TELLING):
                    await self._tell(rest)
            except Exception as error:
                log.warning("egress not reported", error=type(error).__name__)

    async def connected(self, target: Endpoint, grant: Grant) -> socket.socket:
        """To an address that was judged: the name is looked up once. Raises Refused and Unreachable."""
        try:
            async with asyncio.timeout(self._bounds.connect):
                async with self._asking:
                    found = await self._look_up(target.host, target.port)
                    if await self._is_of_the_service(target.port, found):
                        raise ConnectionRefused(OF_THE_SERVICE)
                if not all(map(grant.reachable.allows, found)):
                    raise ConnectionRefused("the host has a private address, which may not be called")
                return await self._dial(found[:ADDRESSES], target.port, self._bounds.connect)
        except Refusal:
            raise Unreachable("unknown host") from None
        except (OSError, TimeoutError):
            raise Unreachable("the host cannot be reached") from None

    async def _is_of_the_service(self, port: int, found: Sequence[str]) -> bool:
        """Returns true if a closed server has one of these addresses under another name. Servers on the web's own ports
        share addresses with unrelated hosts, so they are known only by name.
        """
        for closed in self._policy.closed:
            if closed.port == port and port not in (HTTP, HTTPS):
                with contextlib.suppress(Refusal):
                    if not set(await self._look_up(closed.host, port)).isdisjoint(found):
                        return True
        return False


class _Way:
    """The gateway as one connection knows it."""

    def __init__(self, gateway: EgressGateway, connection: _Connection) -> None:
        self._gateway, self._connection = gateway, connection
        self._loop = asyncio.get_running_loop()

    @property
    def stand_ins(self) -> StandIns | None:
        return self._gateway.stand_ins

    def _alive(self) -> None:
        self._connection.last = self._loop.time()

    def wire(self, opened: socket.socket) -> Wire:
        return Wire(opened, self._alive)

    def admit(self, target: Endpoint, method: str, *, tunnel: bool) -> Grant:
        try:
            grant = self._gateway.judge(target, tunnel=tunnel)
        except ConnectionRefused as refused:
            raise self.refuse(target.host, method, str(refused), target.port) from None
        self._connection.target, self._connection.tunnel = target, tunnel
        return grant

    def refuse(self, host: str, method: str, why: str, port: int = 0) -> ConnectionRefused:
        self._gateway.told(Seen(host if host.isprintable() else UNPRINTABLE, port, method, why))
        return ConnectionRefused(why)

    async def connect(self, target: Endpoint, grant: Grant) -> Wire:
        try:
            opened = await self._gateway.connected(target, grant)
        except ConnectionRefused as refused:
            raise self.refuse(target.host, "", str(refused), target.port) from None
        self._alive()
        self._gateway.told(Seen(target.host, target.port, ""))
        return self.wire(opened)
