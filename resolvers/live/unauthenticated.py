"""Limits open sockets without a known caller, for every purpose."""

from collections import Counter
from collections.abc import Callable

from prometheus_client import Gauge

from resolvers.errors import Code, Refusal
from resolvers.instance.addresses import subscriber

MOST = 500
MOST_OF_CLIENT = 50
RETRY_AFTER = b"10"  # seconds: a silent client is disconnected by then
TOO_MANY = "Too many connections have not authenticated yet"


class Unauthenticated:
    """The unauthenticated sockets of this process, by client address: from the handshake until the caller is known or
    the socket closes.
    """

    def __init__(self) -> None:
        self._places: set[object] = set()
        self._clients: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._places)

    def enter(self, client: str) -> Callable[[], None]:
        """Counts a socket, and returns a function that ends the count; repeated calls have no effect. Raises Refusal
        RATE_LIMITED if there are too many.
        """
        client, place = subscriber(client), object()
        if len(self._places) >= MOST or self._clients[client] >= MOST_OF_CLIENT:
            raise Refusal(Code.RATE_LIMITED, TOO_MANY)
        self._places.add(place)
        self._clients[client] += 1

        def leave() -> None:
            if place in self._places:
                self._places.remove(place)
                self._clients[client] -= 1
                if not self._clients[client]:
                    del self._clients[client]

        return leave


unauthenticated = Unauthenticated()
Gauge("crewship_unauthenticated_sockets", "WebSockets whose caller is not known yet, in this process").set_function(
    lambda: len(unauthenticated)
)
