"""A cache of request heads by their bytes.

Clients repeat themselves: their requests differ only in the first line and the body. The strict parser's result for a
head is cached, so a request that arrives whole, in one read, with the same bytes is not parsed again. A head is cached
in two halves, because its first line changes more often than its fields.

No permission is cached: the same code as for any other request checks rate, size, origin and gate each time.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from crewship.perimeter.line import Peer
from resolvers.kernel.ground.kept import Kept

Header = tuple[bytes, bytes]
LONGEST = 8 * 1024  # bytes of a half that is kept
ROOM = 4 * 1024 * 1024  # bytes that each kind of half may take together
MOST = 10_000
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})  # an answer to HEAD has no body
NEVER = frozenset(
    {b"connection", b"expect", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)  # they are about the connection, or the reading of the body


@dataclass(slots=True, eq=False)
class Target:
    """A first line. `surface`: the surface that answers it, as the application determined once."""

    method: str
    path: str
    raw_path: bytes
    query: bytes
    surface: Any = None


@dataclass(slots=True, eq=False)
class Fields:
    """The fields of a head, and the announced size of the body. `transport`: the perimeter's facts derived from
    them.
    """

    headers: list[Header]
    length: int
    transport: Any = None


class Known(NamedTuple):
    """A request whose halves came before."""

    target: Target
    fields: Fields
    body: bytes


class Heads:
    """The cached heads of all connections of the process; the least recently used are evicted. Fields are stored with
    the peer, because their meaning depends on it.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._targets: Kept[bytes, Target] = Kept(MOST, room)
        self._fields: Kept[tuple[Peer, bytes], Fields] = Kept(MOST, room)

    def find(self, peer: Peer, data: bytes) -> Known | None:
        """`data` is the result of one read at the start of a request."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return None
        line = data.find(b"\r\n")
        fields = self._fields.get((peer, data[line:end]))
        if fields is None or fields.length != len(data) - end - 4:
            return None
        target = self._targets.get(data[:line])
        return None if target is None else Known(target, fields, data[end + 4 :])

    def keep(self, peer: Peer, data: bytes, target: Target, url: bytes, fields: Fields) -> None:
        """Caches the parsed `data`: exactly one request, and only if its bytes have the same meaning in every context.

        A line that the parser ends elsewhere, or a field over several lines, would move bytes from one half into the
        other.
        """
        end, line = data.find(b"\r\n\r\n"), data.find(b"\r\n")
        first, rest = data[:line], data[line:end]
        if end < 0 or max(len(first), len(rest)) > LONGEST or target.method not in METHODS:
            return
        if first != b"%b %b HTTP/1.1" % (target.method.encode(), url) or fields.length != len(data) - end - 4:
            return
        lines = len(fields.headers)
        if rest.count(b"\n") != lines or rest.count(b"\r") != lines or rest.count(b"\r\n") != lines:
            return
        names = [name for name, _ in fields.headers]
        if not NEVER.isdisjoint(names) or fields.length != _announced(fields.headers):
            return
        self._targets.put(first, target, 2 * len(first) + 1000)
        self._fields.put((peer, rest), fields, 3 * len(rest) + 100 * lines + 1000)

    def __len__(self) -> int:
        return len(self._fields)


def _announced(headers: list[Header]) -> int:
    """The size of the body; -1 for what names it in any way but once and in figures."""
    lengths = [value for name, value in headers if name == b"content-length"]
    if not lengths:
        return 0
    return int(lengths[0]) if len(lengths) == 1 and lengths[0].isdigit() and len(lengths[0]) < 10 else -1


heads = Heads()
