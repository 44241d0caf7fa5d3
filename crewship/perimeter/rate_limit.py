"""Token buckets by client and kind of route (contract: rate_limits).

Libraries count requests in windows, where the contract asks for a bucket of N tokens that N a minute flow back into.
"""

import time
from collections.abc import Callable
from typing import TypedDict

from resolvers.identity.cookies import GRAPHQL_PATH
from resolvers.instance.addresses import site, subscriber

# in nanoseconds: whole numbers, so that the N-th token of N is neither lost nor gained to rounding
MINUTE = 60_000_000_000
MAX_CLIENTS = 20_000
NEIGHBOURS = 10  # times what one subscriber may, the whole /48 around it may, which one customer can have


class TokenBuckets:
    """One bucket of `size` tokens for each client.

    A bucket is one number, the time at which it will be full again: a token costs a `size`-th of a minute, and there is
    one as long as that leaves less than a minute to go. A bucket that is full again is like one never used.
    """

    def __init__(self, size: int, clock: Callable[[], int], max_clients: int = MAX_CLIENTS) -> None:
        if size < 1:
            raise ValueError("a bucket holds at least one token")
        self.resize(size)
        self._clock = clock
        self._full_at: dict[str, int] = {}
        self._max_clients = max_clients

    def resize(self, size: int) -> None:
        """A bucket stays as full as it is, in parts of its size."""
        self.size = size
        self._token = MINUTE // size

    def take(self, client: str) -> bool:
        """Takes a token of the client's, if there is one."""
        now = self._clock()
        full_at = max(self._full_at.get(client, now), now) + self._token
        if full_at - now > MINUTE:
            return False
        self._full_at[client] = full_at
        if len(self._full_at) > self._max_clients:
            self._forget(now)
        return True

    def __len__(self) -> int:
        return len(self._full_at)

    def _forget(self, now: int) -> None:
        """Drops the full buckets, and beyond half of the room also the fullest: who is refused stays refused."""
        used = sorted(((full_at, client) for client, full_at in self._full_at.items() if full_at > now), reverse=True)
        self._full_at = {client: full_at for full_at, client in used[: self._max_clients // 2]}


class RateLimit:
    """Buckets by subscriber, and for IPv6 by site too: a /48 has 65,536 addresses that look like subscribers."""

    __slots__ = ("_sites", "_subscribers", "size")

    def __init__(self, size: int, clock: Callable[[], int]) -> None:
        self.size = size
        self._subscribers, self._sites = TokenBuckets(size, clock), TokenBuckets(size * NEIGHBOURS, clock)

    def resize(self, size: int) -> None:
        self.size = size
        self._subscribers.resize(size)
        self._sites.resize(size * NEIGHBOURS)

    def take(self, client: str) -> bool:
        """Returns true if the client, an address, may make one more request."""
        return self._subscribers.take(subscriber(client)) and (":" not in client or self._sites.take(site(client)))


class Sizes(TypedDict):
    """Requests a minute, by bucket."""

    auth: int
    credential_test: int
    credential_reveal: int
    api: int
    pages: int


class RateLimits:
    """The contract's four buckets, wider ones for probes and pages, and which route counts into which."""

    def __init__(
        self,
        *,
        auth: int = 10,
        credential_test: int = 60,
        credential_reveal: int = 3,
        api: int = 120,
        pages: int = 600,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._auth, self._credential_test, self._api = (RateLimit(size, clock) for size in (auth, credential_test, api))
        self._credential_reveal = RateLimit(credential_reveal, clock)
        self._probes, self._pages = RateLimit(pages, clock), RateLimit(pages, clock)

    def resize(self, sizes: Sizes) -> None:
        self._auth.resize(sizes["auth"])
        self._credential_test.resize(sizes["credential_test"])
        self._credential_reveal.resize(sizes["credential_reveal"])
        self._api.resize(sizes["api"])
        self._probes.resize(sizes["pages"])
        self._pages.resize(sizes["pages"])

    def exceeded(self, path: str, client: str) -> int | None:
        """The size of the bucket in which the client, an address, has no token left; None if the request may go on."""
        buckets = self._buckets(path)
        return None if buckets is None or buckets.take(client) else buckets.size

    def narrower(self, path: str) -> bool:
        """Returns true if the path counts in a narrower bucket of its own."""
        return self._buckets(path) in (self._auth, self._credential_test, self._credential_reveal)

    def _buckets(self, path: str) -> RateLimit | None:
        if path.startswith("/api/v1/"):
            if path.startswith("auth/", 8) or path in ("/api/v1/bootstrap", "/api/v1/users/me/password"):
                return self._auth
            if path.startswith("credentials/", 8) and path.endswith("/test") and path.count("/") in (4, 5):
                return self._credential_test
            if path.startswith("credentials/", 8) and path.endswith("/reveal") and path.count("/") == 5:
                return self._credential_reveal
            return None if path.startswith("internal/", 8) else self._api
        if path == GRAPHQL_PATH:
            return self._api  # of its operations, those with a narrower bucket count there, too
        if path.startswith("/api/"):
            return self._auth if path.startswith("/api/auth/") else self._api
        # The other surfaces of the same operations: without this they would be the way around the limit.
        if path in ("/graphql", "/ws") or path.startswith("/graphql/"):
            return self._api
        if path in ("/healthz", "/metrics") or path.startswith("/exposed/"):
            return None  # they cost nothing, and have to answer when all else does not
        return self._probes if path == "/readyz" else self._pages
