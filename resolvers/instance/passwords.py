"""Hashing and checking passwords, off the event loop, never too many at once (contract: password, lockout.timing)."""

import asyncio
import os
import secrets
import sys
import threading
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.exceptions import PwdlibError
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

from resolvers.errors import Code, Refusal
from resolvers.instance.addresses import site

MIN_CHARACTERS = 8
MAX_BYTES = 72
NICE = 10  # of the threads that hash

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Cost:
    """Argon2id: passes, KiB of memory, lanes. The default is the strongest of OWASP's equivalent settings with one
    lane, so one hash is one core.
    """

    passes: int = 1
    memory: int = 47104
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class Verification:
    """`upgraded_hash` is to be stored in place of the old one, which was bcrypt or of another cost."""

    ok: bool
    upgraded_hash: str | None = None


NEW = ("new_password", "password")
"""The fields of inputs that hold a new password."""


def check_password(password: str) -> None:
    """Refuses a new password that is too short (characters), or too long for every hash ever used here (bytes)."""
    if len(password) < MIN_CHARACTERS:
        raise Refusal(Code.BAD_REQUEST, f"Password must be at least {MIN_CHARACTERS} characters", about=NEW)
    if _encoded(password) is None:
        raise Refusal(Code.BAD_REQUEST, f"Password must be at most {MAX_BYTES} bytes", about=NEW)


class Passwords:
    """Argon2id for new hashes; bcrypt hashes are accepted and replaced at the next login.

    At most `threads` hashes are computed at once and `queue` more wait; further calls are RATE_LIMITED, so a flood of
    logins costs neither memory nor other requests. Half of the slots are reserved for addresses without a running hash,
    so one address cannot take all. A `client` is an address; None, this server itself, may use every free slot.
    """

    def __init__(self, cost: Cost | None = None, *, threads: int | None = None, queue: int = 32) -> None:
        self._cost = cost or Cost()
        argon2 = Argon2Hasher(time_cost=self._cost.passes, memory_cost=self._cost.memory, parallelism=self._cost.lanes)
        self._hashes = PasswordHash((argon2, BcryptHasher()))
        threads = threads or os.cpu_count() or 1
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="password", initializer=_give_way)
        self._places = _Places(threads + queue)
        self._dummy = self._hash_of_nothing()

    async def hash(self, password: str, client: str | None = None) -> str:
        """The hash of a new password; refuses what `check_password` refuses."""
        check_password(password)
        return await self._run(lambda: self._hashes.hash(password), client)

    async def verify(self, password: str, stored: str | None, client: str | None = None) -> Verification:
        """Compares a password with the stored hash; without a hash it returns false at the same cost (contract:
        lockout.timing).
        """
        encoded = _encoded(password)
        if encoded is None:
            encoded, stored = b"", None
        return await self._run(lambda: self._verify(encoded, stored), client)

    def close(self) -> None:
        """Waits for the hashes under way and drops the waiting ones."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _verify(self, password: bytes, stored: str | None) -> Verification:
        try:
            ok, upgraded = self._hashes.verify_and_update(password, self._dummy if stored is None else stored)
        except (PwdlibError, ValueError):
            # An invalid stored hash admits no one, and looks from outside like a wrong password.
            self._hashes.verify(password, self._dummy)
            return Verification(ok=False)
        return Verification(ok=ok and stored is not None, upgraded_hash=upgraded if stored is not None else None)

    async def _run(self, work: Callable[[], T], client: str | None) -> T:
        who = None if client is None else site(client)
        if not self._places.take(who):
            raise Refusal(Code.RATE_LIMITED, "Too many requests")

        def leave(_: Future[T] | None = None) -> None:
            self._places.give_back(who)

        try:
            future = self._executor.submit(work)
        except RuntimeError:
            leave()
            raise
        future.add_done_callback(leave)
        return await asyncio.wrap_future(future)

    def _hash_of_nothing(self) -> str:
        """A well-formed hash that belongs to no password: checking against it costs what checking a real one costs."""
        salt, digest = (b64encode(secrets.token_bytes(size)).rstrip(b"=").decode() for size in (16, 32))
        return f"$argon2id$v=19$m={self._cost.memory},t={self._cost.passes},p={self._cost.lanes}${salt}${digest}"


def _give_way() -> None:
    """Lowers the priority of the thread: a hash uses a core for long, and the event loop should go first. Linux has
    priorities of threads.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


class _Places:
    """Places for hashes, by who has them. They are given back by the threads that compute."""

    def __init__(self, most: int) -> None:
        self._free, self._kept = most, most // 2
        self._under_way: Counter[str | None] = Counter()
        self._lock = threading.Lock()

    def take(self, who: str | None) -> bool:
        with self._lock:
            if self._free <= (self._kept if who is not None and self._under_way[who] else 0):
                return False
            self._free -= 1
            self._under_way[who] += 1
            return True

    def give_back(self, who: str | None) -> None:
        with self._lock:
            self._free += 1
            self._under_way[who] -= 1
            if not self._under_way[who]:
                del self._under_way[who]


def _encoded(password: str) -> bytes | None:
    """UTF-8, or None where the text is not encodable or too long to have ever been hashed."""
    try:
        encoded = password.encode()
    except UnicodeEncodeError:
        return None
    return encoded if len(encoded) <= MAX_BYTES else None
