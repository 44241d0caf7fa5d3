"""`crewship terminal`: a shell in an agent's sandbox, in this terminal (contract: websocket.yaml, ws.terminal).

Bytes pass unchanged in both directions, so no character is split. Messages of this program have lines of their own.
"""

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from typing import Any, Final

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

from crewship.cli.chat import Place, find_place
from crewship.cli.client import Client
from crewship.cli.profiles import ClientError, Profile
from crewship.cli.terminal import printable

ALIVE: Final = 15.0  # seconds; a server that is there answers twice as fast
MOST_TYPED: Final = 1 << 20  # bytes that wait to be sent
PIECE: Final = 32 * 1024
LARGEST: Final = 1000  # rows or columns
# What a program that cannot end any more has left: the other screen, mouse, paste, keys, no cursor, colours.
AS_IT_WAS: Final = b"\x1b[?1047l\x1b[?1000;1002;1003;1006;2004;1l\x1b[?25h\x1b>\x1b[0m"

REVOKED, WITHDRAWN, UNUSED, TOO_MANY, NO_SANDBOX, STOPPING = 4401, 1008, 4408, 4429, 4503, (1001, 1012)


class Escapes:
    """Filters the typed keys: `~.` leaves and `~~` is one `~`, each after Enter."""

    def __init__(self) -> None:
        self._at_start, self._held = True, False
        self.left = False

    def typed(self, keys: bytes) -> bytes:
        """The keys for the server; none after the user has left."""
        passed = bytearray()
        for key in keys:
            if self._held:
                self._held = False
                if key == ord("."):
                    self.left = True
                    return bytes(passed)
                passed += b"~" if key == ord("~") else bytes((ord("~"), key))
            elif self._at_start and key == ord("~"):
                self._held = True
                continue
            else:
                passed.append(key)
            self._at_start = key in b"\r\n"
        return bytes(passed)


class Tty:
    """The terminal of this program, raw within the block. A signal that ends the program gives it back first."""

    def __init__(self, keyboard: int, screen: int) -> None:
        self.keyboard, self.screen = keyboard, screen
        self._before: list[Any] = []
        self.disturbed = False
        """True if a program may have left the terminal in a bad state."""

    @property
    def size(self) -> dict[str, int]:
        try:
            columns, rows = os.get_terminal_size(self.screen)
        except OSError:
            columns, rows = 0, 0
        return {"rows": min(rows, LARGEST) or 24, "cols": min(columns, LARGEST) or 80}

    def say(self, line: str) -> None:
        """Prints a line of this program in between."""
        os.write(self.screen, f"\r{printable(line)}\r\n".encode())

    @contextlib.contextmanager
    def raw(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        self._before, self.disturbed = termios.tcgetattr(self.keyboard), True
        ending = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
        for each in ending:
            loop.add_signal_handler(each, self._end_by, each)
        loop.add_signal_handler(signal.SIGTSTP, self._stop)
        try:
            self._take()
            yield
        finally:
            for each in (*ending, signal.SIGTSTP):
                loop.remove_signal_handler(each)
            self._give_back()

    def _take(self) -> None:
        tty.setraw(self.keyboard, termios.TCSANOW)

    def _give_back(self) -> None:
        """Does not wait, because the remaining output may never come."""
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(self.keyboard, termios.TCSANOW, self._before)
        if self.disturbed:
            with contextlib.suppress(OSError):
                os.write(self.screen, AS_IT_WAS)

    def _end_by(self, number: signal.Signals) -> None:
        self._give_back()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _stop(self) -> None:
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()  # when it continues


class Shell:
    """One terminal on the server, from the first frame on."""

    def __init__(self, socket: ClientConnection, tty: Tty) -> None:
        self._socket, self._tty = socket, tty
        self._escapes = Escapes()
        self._typed, self._there = bytearray(), asyncio.Event()
        self._showing = False
        self._left = asyncio.Event()
        self.said = ""  # the last word of the server's about an error

    async def run(self) -> int | None:
        """The code with which the server closed; None if the user left or the connection is lost."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._tty.keyboard, self._read)
        loop.add_signal_handler(signal.SIGWINCH, self._resize)
        loop.add_signal_handler(signal.SIGCONT, self._resize)  # it may have another size since it was stopped
        works = (self._show(), self._send(), self._watch(), self._left.wait())
        tasks: list[asyncio.Task[Any]] = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[1].done() and not tasks[0].done():  # what came before the end is still to be shown
                await asyncio.wait(tasks[:1], timeout=1)
        finally:
            loop.remove_reader(self._tty.keyboard)
            for each in (signal.SIGWINCH, signal.SIGCONT):
                loop.remove_signal_handler(each)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return None if self._escapes.left else self._socket.close_code

    @property
    def left(self) -> bool:
        return self._escapes.left

    def _read(self) -> None:
        try:
            keys = os.read(self._tty.keyboard, PIECE)
        except OSError:
            keys = b""
        self._typed += self._escapes.typed(keys)
        self._there.set()
        if not keys or self._escapes.left:
            asyncio.get_running_loop().remove_reader(self._tty.keyboard)
            self._left.set()
        elif len(self._typed) > MOST_TYPED:
            asyncio.get_running_loop().remove_reader(self._tty.keyboard)

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._there.wait()
                self._there.clear()
                while self._typed:
                    full = len(self._typed) > MOST_TYPED
                    piece = bytes(self._typed[:PIECE])
                    del self._typed[:PIECE]
                    await self._socket.send(piece)
                    if full and len(self._typed) <= MOST_TYPED and not self._left.is_set():
                        loop.add_reader(self._tty.keyboard, self._read)

    def _resize(self) -> None:
        asyncio.get_running_loop().create_task(self._tell_size())

    async def _tell_size(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(orjson.dumps({"type": "resize"} | self._tty.size).decode())

    async def _show(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in self._socket:
                if isinstance(message, bytes):
                    self._showing = True
                    await asyncio.to_thread(_write, self._tty.screen, message)
                    self._showing = False
                else:
                    self._hear(message)

    def _hear(self, text: str) -> None:
        with contextlib.suppress(orjson.JSONDecodeError):
            found = orjson.loads(text)
            kind, message = found.get("type"), found.get("message")
            if kind == "error":
                self.said = printable(str(message))
            elif kind == "info":
                self._tty.say(str(message))

    async def _watch(self) -> None:
        """Until the server answers no more. While the screen takes nothing, its answers are not read either."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(ALIVE)
                answer = asyncio.ensure_future(await self._socket.ping())
                await asyncio.wait({answer}, timeout=ALIVE)
                if not answer.done() and not self._showing:
                    return


def _write(screen: int, message: bytes) -> None:
    left = memoryview(message)
    while left:
        left = left[os.write(screen, left) :]


async def open_terminal(profile: Profile, agent: str) -> int:
    """A shell in the agent's folder; returns the exit code. Raises ClientError with why it was closed or not opened."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ClientError("stdin and stdout must be a terminal, not redirected")
    client, tty = Client(profile), Tty(sys.stdin.fileno(), sys.stdout.fileno())
    try:
        place = await find_place(client, agent)
        if place.crew is None:
            raise ClientError(f"{place.agent_slug} has no crew, and so no terminal")
        async with _connection(client, await client.ticket(), place, tty.size) as socket:
            shell = Shell(socket, tty)
            with tty.raw():
                tty.say(f"{place.agent_name} in {place.workspace_name}. Leave with exit, or Enter ~ .")
                code = await shell.run()
                tty.disturbed = code != 1000 or bool(shell.said)
    finally:
        await client.close()
    if shell.left or (code == 1000 and not shell.said):
        return 0
    raise ClientError(_why(client.server, code, shell.said))


@contextlib.asynccontextmanager
async def _connection(client: Client, ticket: str, place: Place, size: dict[str, int]) -> Any:
    assert place.crew is not None
    where = {"mode": "shell", "crew_id": place.crew["id"], "crew_slug": place.crew["slug"]}
    where |= {"agent_slug": place.agent_slug}
    own = {"X-Crewship-Client": "cli"}
    url = f"ws{client.server.removeprefix('http')}/ws/terminal"
    try:
        socket = await connect(
            url,
            additional_headers=own,
            **client.of_sockets,
            compression=None,
            close_timeout=2,
            ping_interval=None,
            max_size=None,
        )
    except InvalidStatus as refused:
        raise ClientError(_refused(client.server, refused)) from None
    except (OSError, TimeoutError, InvalidHandshake, InvalidMessage) as lost:
        raise ClientError(f"{client.server} refused the terminal ({lost})") from None
    async with socket:
        with contextlib.suppress(ConnectionClosed):
            await socket.send(orjson.dumps({"type": "auth", "token": ticket}).decode())
            await socket.send(orjson.dumps(where | size).decode())
        yield socket


def _refused(server: str, refused: InvalidStatus) -> str:
    status = refused.response.status_code
    if status == 503:
        return f"{server} has no sandbox for terminals; run `crewship doctor` there"
    if status == 404:
        return f"{server} has no terminals: its release differs"
    if status == 429:
        return f"{server} received too many requests from here; wait a minute"
    return f"{server} refused the terminal ({status})"


def _why(server: str, code: int | None, said: str) -> str:
    if code == REVOKED:
        return "your login has expired, which ended the terminal; run `crewship login`"
    if code == WITHDRAWN:
        return "the terminal was closed: your membership or role has changed, or its crew was deleted"
    if code == UNUSED:
        return "the terminal was closed: no input"
    if code == TOO_MANY:
        return f"{said}: close one, or try again later"
    if code == NO_SANDBOX:
        return f"there is no sandbox for this agent: {said}"
    if code in STOPPING:
        return f"{server} is stopping, which ended the terminal; open another one in a moment"
    return said or f"the connection to {server} was lost, which ended the terminal"
