"""A process that promises to start no other: the one that answers requests."""

import ctypes
import os
import platform
import struct
import sys
from typing import Any, Final

from runtime.sandbox import seccomp

STARTS: Final = frozenset(
    {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn"}
)


class ProcessRefused(RuntimeError):
    """Something tried to start a process where none may be."""


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in STARTS:
        raise ProcessRefused(f"{event}: this process may not start others")


def refuse_processes() -> None:
    """From now on this process cannot start another. This is irreversible.

    The audit hook reports where code tried. Some code bypasses it (event loops in C, multiprocessing): the kernel
    refuses that with EPERM, if the machine's system calls are known.
    """
    sys.addaudithook(_refuse)
    program = seccomp.no_processes()
    if program is not None and sys.platform == "linux":
        _install(program)


def _install(program: bytes) -> None:
    """Loads the filter in all threads: seccomp(2) needs `no_new_privs` first, as a process without rights."""
    libc = ctypes.CDLL(None, use_errno=True)
    set_no_new_privs, set_mode_filter, all_threads = 38, 1, 1
    text = ctypes.create_string_buffer(program, len(program))
    described = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(text)))
    number = {"x86_64": 317, "aarch64": 277}[platform.machine()]
    if libc.prctl(set_no_new_privs, 1, 0, 0, 0) or libc.syscall(number, set_mode_filter, all_threads, described):
        failed = ctypes.get_errno()
        raise OSError(failed, f"processes cannot be refused: {os.strerror(failed)}")
