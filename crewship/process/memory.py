"""Settings of the C library's memory, where it is glibc. Other libraries are left as they are."""

import ctypes
from typing import Any

ARENAS = -8  # M_ARENA_MAX of mallopt(3)
MOST = 2


def limit_arenas() -> None:
    """For the start of a process. A thread that finds an arena in use gets its own, of 132 kB or more, up to eight for
    each core. Threads of Python allocate in turns, so two arenas are enough.
    """
    _call("mallopt", ARENAS, MOST)


def give_back() -> None:
    """Returns free memory to the system, which the library would keep: the loading of modules frees much."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    function: Any = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
