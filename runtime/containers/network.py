"""The way out of a container: it has no network but a loopback, and sockets that listen there are answered by the
service. A helper enters the container's network namespace, makes them, and hands them over.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import orjson

from runtime.job import Failed
from runtime.sandbox.boundary import Network

SECONDS: Final = 20.0
# Commands of an agent that run side by side have a way each, at the same addresses: it is one crew's. CLONE_NEWNET.
_HELPER: Final = """
import ctypes, json, os, socket, sys
door, pid, addresses = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
libc = ctypes.CDLL(None, use_errno=True)
if libc.setns(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC), 0x40000000):
    sys.exit(os.strerror(ctypes.get_errno()))
made = [socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) for host, _ in addresses]
for one, address in zip(made, addresses):
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(tuple(address))
    one.listen(128)
with socket.socket(fileno=door) as given:
    socket.send_fds(given, [b"."], [one.fileno() for one in made])
"""


@asynccontextmanager
async def served(network: Network | None, pid: int) -> AsyncIterator[None]:
    """While the block lasts. Only root may enter another's namespace: without it a container reaches nothing."""
    if network is None or os.geteuid() != 0:
        yield
        return
    async with network.serve(await asyncio.to_thread(_sockets, network, pid)):
        yield


def _sockets(network: Network, pid: int) -> list[socket.socket]:
    addresses = [list(address) for address in network.listens]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        told = (str(theirs.fileno()), str(pid), orjson.dumps(addresses).decode())
        try:
            subprocess.run(  # noqa: S603 - our own program, by our own Python
                [sys.executable, "-I", "-S", "-c", _HELPER, *told],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                check=True,
                env={},
            )
            ours.setblocking(False)
            _, descriptors, _, _ = socket.recv_fds(ours, 1, len(addresses))
        except (OSError, subprocess.SubprocessError) as error:
            raise Failed("The network of the container could not be reached") from error
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]
