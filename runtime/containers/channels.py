"""Programs in pods, over the WebSocket protocol of the Kubernetes API (v5.channel.k8s.io): each message begins with the
number of its channel.
"""

import asyncio
import contextlib
import logging
import re
import secrets
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import orjson

from runtime.containers.cluster import Cluster
from runtime.containers.engine import ASK, EngineGone, EngineRefused, Running
from runtime.runs.job import Failed

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

PROTOCOL: Final = "v5.channel.k8s.io"
STDIN, STDOUT, STDERR, ENDED, RESIZE, CLOSED = 0, 1, 2, 3, 4, 255
LONGEST: Final = 4 << 20  # bytes of a message
_log = logging.getLogger("crewship.containers.channels")
_log.setLevel(logging.WARNING)  # at a lower one the library writes the token and the content of messages
# Reads as many lines as the first one says. Nothing but what is built into a shell: images need no more.
_READS: Final = """IFS= read -r _lines || exit 125
_text=
while [ "$_lines" -gt 0 ]; do IFS= read -r _line || exit 125; _text="$_text$_line
"; _lines=$((_lines-1)); done
"""
# The address of a request is written to logs, and its input is not: so it holds this, and the input the program.
BEGINS: Final = f'{_READS}eval "$_text"\n'
# A terminal would show its input, so its program is in a file, which is emptied once it is read.
BEGINS_FROM_FILE: Final = f'exec 3<&0 <"$0" || exit 125\n{_READS}exec <&3 3<&-\n: >"$0"\neval "$_text"\n'
_KEEPS: Final = "umask 077; printf %s {} >{} || exit 125"
FILE: Final = "/tmp/.begins-{}"  # noqa: S108 - the pod's own, in memory
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
NO_VARIABLE: Final = "The variable {} cannot be set on Kubernetes: its name is no name of a shell's variable"
# Where the limit cannot be set, a lower one that is there already does as well.
_LIMITS: Final = (
    'ulimit -{0} {1} 2>/dev/null || [ "$(ulimit -{0})" -le {1} ] 2>/dev/null'
    " || {{ echo 'The limit -{0} of this command could not be set' >&2; exit 126; }}"
)


def script(
    argv: Sequence[str], workdir: str, environment: Mapping[str, str], limits: Sequence[tuple[str, int]] = ()
) -> str:
    """A program for a shell; `limits`: letters of its ulimit, with the most. Without one of them nothing runs."""
    lines = ["unset _lines _text _line", *(_LIMITS.format(*limit) for limit in limits)]
    for name, value in environment.items():
        if not _VARIABLE.fullmatch(name):
            raise Failed(NO_VARIABLE.format(name[:64]))
        lines.append(f"export {name}={shlex.quote(value)}")
    return "\n".join([*lines, f"cd {shlex.quote(workdir)} || exit 126", f"exec {shlex.join(argv)}"])


def _as_input(program: str) -> str:
    return f"{program.count(chr(10)) + 1}\n{program}\n"


@dataclass(frozen=True, slots=True)
class PodContainer:
    """Where programs run. `confirm` raises Failed if the pod of this name is not the one that is meant: it is called
    when a connection is there, and before the program is sent.
    """

    cluster: Cluster
    namespace: str
    pod: str
    container: str
    confirm: Callable[[], Awaitable[None]]

    def address(self, argv: Sequence[str], *, terminal: bool) -> str:
        asked = [("command", each) for each in argv]
        asked += [("container", self.container), ("stdin", "true"), ("stdout", "true")]
        asked.append(("tty", "true") if terminal else ("stderr", "true"))
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.pod}/exec?{urlencode(asked)}"


@contextlib.asynccontextmanager
async def executed(where: PodContainer, program: str, *, lifeline: bool = False) -> AsyncIterator["PodRunning"]:
    """The script in a pod. Without a `lifeline` its input ends at once."""
    async with _begun(where, ["/bin/sh", "-c", BEGINS]) as running:
        await running.write(_as_input(program).encode())
        if not lifeline:
            await running.send(CLOSED, bytes([STDIN]))
        yield running


@contextlib.asynccontextmanager
async def at_terminal(where: PodContainer, program: str) -> AsyncIterator["PodRunning"]:
    file = FILE.format(secrets.token_hex(8))
    async with executed(where, _KEEPS.format(shlex.quote(_as_input(program)), file)) as kept:
        if code := await kept.exit_code():
            raise Failed(f"The program of the terminal could not be given to its pod ({code})")
    async with _begun(where, ["/bin/sh", "-c", BEGINS_FROM_FILE, file], terminal=True) as running:
        yield running


@contextlib.asynccontextmanager
async def _begun(where: PodContainer, argv: Sequence[str], *, terminal: bool = False) -> AsyncIterator["PodRunning"]:
    running = PodRunning(await _connected(where.cluster, where.address(argv, terminal=terminal)))
    try:
        await where.confirm()
        yield running
    finally:
        await running.close()


async def _connected(cluster: Cluster, path: str) -> "ClientConnection":
    await cluster.opened()
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidHandshake, InvalidStatus
    from websockets.typing import Subprotocol

    try:
        connection = await connect(
            f"ws{cluster.address.removeprefix('http')}{path}",
            ssl=cluster.tls,
            subprotocols=[Subprotocol(PROTOCOL)],
            additional_headers=cluster.headers(),
            compression=None,
            max_size=LONGEST,
            open_timeout=ASK,
            close_timeout=1,
            proxy=None,
            logger=_log,
        )
    except InvalidStatus as refused:
        raise EngineRefused(refused.response.status_code, _message(refused.response.body or b"")) from None
    except (InvalidHandshake, OSError, TimeoutError) as error:
        raise EngineGone from error
    if connection.subprotocol != PROTOCOL:
        await connection.close()
        raise EngineRefused(400, f"the cluster does not offer {PROTOCOL}")
    return connection


def _message(body: bytes | bytearray) -> str:
    try:
        return str(orjson.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")


class PodRunning(Running):
    """The output of a program in a pod, and its end."""

    def __init__(self, connection: "ClientConnection") -> None:
        self._connection = connection
        self._ended: Mapping[str, Any] | None = None

    async def pieces(self) -> AsyncIterator[tuple[int, bytes]]:
        """Raises EngineGone if the connection ends before the program."""
        from websockets.exceptions import ConnectionClosed

        while True:
            try:
                message = await self._connection.recv(decode=False)
            except (ConnectionClosed, OSError) as error:
                if self._ended is None:
                    raise EngineGone from error
                return
            channel, piece = message[0] if message else STDIN, message[1:]
            if channel in (STDOUT, STDERR) and piece:
                yield channel, piece
            elif channel == ENDED:
                self._ended = orjson.loads(piece)

    async def send(self, channel: int, piece: bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._connection.send(bytes([channel]) + piece)
        except (ConnectionClosed, OSError) as error:
            raise EngineGone from error

    async def write(self, typed: bytes) -> None:
        await self.send(STDIN, typed)

    async def resize(self, rows: int, columns: int) -> None:
        await self.send(RESIZE, orjson.dumps({"Width": columns, "Height": rows}))

    async def close(self) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._connection.close()

    async def exit_code(self) -> int:
        """Raises EngineRefused if the program could not be started."""
        if self._ended is None:
            async for _ in self.pieces():
                pass
        told = self._ended or {}
        if told.get("status") == "Success":
            return 0
        for cause in (told.get("details") or {}).get("causes") or ():
            if cause.get("reason") == "ExitCode":
                return int(cause["message"])
        raise EngineRefused(int(told.get("code") or 500), str(told.get("message") or "the program did not start"))
