"""The open sockets of this process, and their heartbeat: one timer (contract: websocket.connection.heartbeat)."""

import asyncio
from typing import Protocol

from prometheus_client import Gauge

EVERY = 30.0  # seconds
AT_ONCE = 500  # sockets; then others have their turn


class Beating(Protocol):
    def beat(self) -> None:
        """Sends a sign of life; must neither wait nor fail."""


class OpenSockets:
    """The open sockets. The timer runs while there are any."""

    def __init__(self) -> None:
        self._open: dict[Beating, None] = {}
        self._timer: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._open)

    def add(self, socket: Beating) -> None:
        self._open[socket] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().create_task(self._beat())

    def remove(self, socket: Beating) -> None:
        self._open.pop(socket, None)
        if not self._open and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            for number, socket in enumerate(list(self._open), 1):
                socket.beat()
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)


open_sockets = OpenSockets()
Gauge("crewshipd_ws_connections", "WebSockets open at /ws in this process").set_function(lambda: len(open_sockets))
