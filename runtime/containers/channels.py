"""Programs in pods, over the WebSocket protocol of the Kubernetes API (v5.channel.k8s.io): each message begins with the
number of its channel.
"""

import asyncio
import contextlib
import re
import shlex
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import orjson

from runtime.containers.cluster import Cluster
from runtime.containers.engine import ASK, EngineGone, EngineRefused, Running

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

PROTOCOL: Final = "v5.channel.k8s.io"
STDIN, STDOUT, STDERR, ENDED, RESIZE, CLOSED = 0, 1, 2, 3, 4, 255
LONGEST: Final = 4 << 20  # bytes of a message
# Reads as many lines as the first one says, and becomes what they say: the address of a request is written to logs, and
# its input is not.
BEGINS: Final = """IFS= read -r n || exit 125
t=
while [ "$n" -gt 0 ]; do IFS= read -r l; t="$t$l
"; n=$((n-1)); done
eval "$t"
"""
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_OF_TERMINALS: Final = frozenset({"HOME", "USER", "LOGNAME", "LANG", "TERM", "TMPDIR"})
"""Variables without a secret: a terminal would show its input, so its program is a part of the address."""


def script(
    argv: Sequence[str],
    workdir: str,
    environment: Mapping[str, str],
    limits: Sequence[str] = (),
    *,
    terminal: bool = False,
) -> str:
    """A program for a shell; `limits`: options of its ulimit."""
    lines = [f"ulimit {limit} 2>/dev/null" for limit in limits]
    given = {name: value for name, value in environment.items() if not terminal or name in _OF_TERMINALS}
    lines += [f"export {name}={shlex.quote(value)}" for name, value in given.items() if _VARIABLE.fullmatch(name)]
    return "\n".join([*lines, f"cd {shlex.quote(workdir)} || exit 126", f"exec {shlex.join(argv)}"])


@contextlib.asynccontextmanager
async def executed(
    cluster: Cluster, pod: str, container: str, program: str, *, lifeline: bool, terminal: bool
) -> AsyncIterator["PodRunning"]:
    """The script in a pod of the cluster's namespace. Without a `lifeline` its input ends at once."""
    argv = ["/bin/sh", "-c", program if terminal else BEGINS]
    asked = [("command", each) for each in argv] + [("container", container), ("stdin", "true"), ("stdout", "true")]
    asked.append(("tty", "true") if terminal else ("stderr", "true"))
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/{pod}/exec?{urlencode(asked)}"
    connection = await _connected(cluster, path)
    running = PodRunning(connection)
    try:
        if not terminal:
            lines = program.count("\n") + 1
            await running.write(f"{lines}\n{program}\n".encode())
            if not lifeline:
                await running.send(CLOSED, bytes([STDIN]))
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
