"""A network namespace with nothing but a loopback, and sockets that listen in it and are answered from outside.

A socket belongs to the namespace it was made in, wherever it is held: a helper makes the namespace and the sockets,
hands these to the service, and becomes bubblewrap, which makes the rest of the sandbox around it. So no program in the
sandbox carries bytes for others, and nothing of the host's network has a name there.
"""

import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from runtime.sandbox.boundary import Network
from runtime.sandbox.programs import NotStarted

# Modules in C alone, as it is started with every command. A plain user makes no namespace without one of users.
# CLONE_NEWNET, CLONE_NEWUSER; SIOCSIFFLAGS: IFF_UP.
_HELPER = """
import ctypes, fcntl, os, struct, sys, _socket
door, program, addresses = int(sys.argv[1]), sys.argv[2], sys.argv[3].split()
opened = os.open(program, os.O_PATH | os.O_CLOEXEC)
user, group = os.geteuid(), os.getegid()
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x40000000 | (0 if user == 0 else 0x10000000)):
    sys.exit(f"no network namespace: {os.strerror(ctypes.get_errno())}")
if user:
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
made = []
for address in addresses:
    host, port = address.rsplit(",", 1)
    one = _socket.socket(_socket.AF_INET6 if ":" in host else _socket.AF_INET, _socket.SOCK_STREAM)
    if not made:
        fcntl.ioctl(one.fileno(), 0x8914, struct.pack("16sh22x", b"lo", 1))
    one.bind((host, int(port)))
    one.listen(128)
    made.append(one)
numbers = struct.pack(f"{len(made)}i", *[one.fileno() for one in made])
given = _socket.socket(fileno=door)
given.sendmsg([b"."], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)])
given.close()
os.execve(opened, sys.argv[4:], os.environ)
"""


class Handover:
    """The sockets of one sandbox on their way to the service."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._addresses = [f"{host},{port}" for host, port in network.listens]
        self._ours, self.theirs = socket.socketpair()

    def command(self, program: str, arguments: Sequence[str]) -> list[str]:
        """The command that is started in place of `program`, and becomes it."""
        told = (str(self.theirs.fileno()), program, " ".join(self._addresses))
        return [sys.executable, "-I", "-S", "-c", _HELPER, *told, *arguments]

    @property
    def environment(self) -> Mapping[str, str]:
        return self._network.environment

    def serve(self) -> AbstractAsyncContextManager[None]:
        """Raises NotStarted."""
        return self._network.serve(self._sockets())

    def _sockets(self) -> list[socket.socket]:
        """The received sockets, once bubblewrap runs."""
        self.theirs.close()
        self._ours.setblocking(False)
        try:
            _, descriptors, _, _ = socket.recv_fds(self._ours, 1, len(self._addresses))
        except BlockingIOError:
            descriptors = []
        made = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        if len(made) != len(self._addresses):
            for one in made:
                one.close()
            raise NotStarted("the sandbox's network sockets did not arrive")
        return made

    def close(self) -> None:
        self._ours.close()
        self.theirs.close()


@asynccontextmanager
async def served(handover: Handover | None, *, begun: bool) -> AsyncIterator[None]:
    """The network of a program, if it has one, and has `begun`."""
    if handover is None or not begun:
        yield
        return
    async with handover.serve():
        yield
