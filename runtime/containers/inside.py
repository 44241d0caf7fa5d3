"""Files of a container that are in no folder of the host, as its own processes see them.

They are reached through the kernel, and not through a program of the image: what is opened is the root of the
container's first process, and everything below it is walked as the store's folders are, through no link.
"""

import asyncio
import os
from typing import Final

from runtime.containers.engine import ContainerEngine

_ROOT: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


async def opened_root(engine: ContainerEngine, container: str) -> int | None:
    """A descriptor of the root, or None if the container does not run, or its process is not ours to examine.

    The number of an ended process may be reused, so the engine is asked again after the root was opened: if the
    container still has the process, it had it then.
    """
    pid = await _pid(engine, container)
    root = None if pid is None else await asyncio.to_thread(_opened, pid)
    if root is None or await _pid(engine, container) == pid:
        return root
    os.close(root)
    return None


async def _pid(engine: ContainerEngine, container: str) -> int | None:
    found = await engine.inspect(container)
    return (int(found["State"]["Pid"]) or None) if found is not None and found["State"]["Running"] else None


def _opened(pid: int) -> int | None:
    try:
        return os.open(f"/proc/{pid}/root", _ROOT)
    except OSError:
        return None
