"""Programs that each take all they can get of one thing, until it ends them or they have tried for a while."""

from dataclasses import dataclass
from typing import Final

BEGIN: Final = """
import ctypes, mmap, os, select, socket, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
began = time.monotonic()
def trying(seconds=4):
    while time.monotonic() - began < seconds:
        yield
held = []
"""
END: Final = "\ntime.sleep(1)\n"


@dataclass(frozen=True)
class Kind:
    """`ends`: it is ended, where the kernel holds the limits; else it is refused more, and goes on."""

    name: str
    program: str
    ends: bool = True

    @property
    def source(self) -> str:
        return BEGIN + self.program + END


KINDS: Final = (
    Kind("memory: anonymous", "held = bytearray(b'x') * (1 << 30)"),
    Kind(
        "memory: files without a name (memfd)",
        "for _ in range(8):\n  held.append(os.memfd_create('m'))\n"
        "  for _ in range(96): os.write(held[-1], b'x' * (1 << 20))",
    ),
    Kind(
        "memory: System V segments",
        "libc.shmat.restype = ctypes.c_void_p\n"
        "for _ in range(8):\n"
        "  at = libc.shmat(libc.shmget(0, ctypes.c_size_t(96 << 20), 0o1600), None, 0)\n"
        "  ctypes.memset(ctypes.c_void_p(at), 1, 96 << 20); libc.shmdt(ctypes.c_void_p(at))",
    ),
    Kind(
        "memory: /tmp and /dev/shm",
        "for at in ('/tmp', '/dev/shm'):\n"
        "  with open(at + '/f', 'wb') as file:\n"
        "    for _ in range(200): file.write(b'x' * (1 << 20))",
    ),
    Kind(
        "memory: shared mappings that are let go",
        "for _ in range(16):\n"
        "  held.append(mmap.mmap(-1, 48 << 20))\n"
        "  for _ in range(48): held[-1].write(b'x' * (1 << 20))\n"
        "  held[-1].madvise(mmap.MADV_DONTNEED)",
    ),
    Kind(
        "page tables",
        "for _ in range(40):\n"
        "  if os.fork() == 0:\n"
        "    area = mmap.mmap(-1, 4 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_NORESERVE, prot=1)\n"
        "    for at in range(0, 4 << 30, 2 << 20): area[at]\n"
        "    time.sleep(3); os._exit(0)\n"
        "time.sleep(3)",
        ends=False,
    ),
    Kind(
        "processes: a fork bomb",
        "for _ in trying():\n  try: os.fork()\n  except OSError: time.sleep(0.05)",
        ends=False,
    ),
    Kind(
        "threads",
        "for _ in trying():\n  try: threading.Thread(target=time.sleep, args=(5,), daemon=True).start()\n"
        "  except RuntimeError: time.sleep(0.05)",
        ends=False,
    ),
    Kind("files", "for _ in trying(20):\n  held.append(0); os.close(os.open(f'HOME/f{len(held)}', 66))"),
    Kind(
        "big files",
        "for n in range(8):\n  with open(f'HOME/big{n}', 'wb') as file:\n"
        "    for _ in range(100): file.write(b'x' * (1 << 20))\ntime.sleep(5)",
    ),
    Kind(
        "files that are deleted and open",
        "for n in range(8):\n  held.append(open('HOME/d', 'wb')); os.unlink('HOME/d')\n"
        "  for _ in range(64): held[-1].write(b'x' * (1 << 20))\n  held[-1].flush()\ntime.sleep(5)",
    ),
    Kind(
        "files that are mapped",
        "for n in range(8):\n  file = open(f'HOME/m{n}', 'w+b'); file.truncate(64 << 20)\n"
        "  held.append(mmap.mmap(file.fileno(), 64 << 20))\n  for at in range(0, 64 << 20, 4096): held[-1][at] = 1\n"
        "time.sleep(5)",
    ),
    Kind("entries of /tmp", "for _ in trying(30):\n  held.append(0); os.mkdir(f'/tmp/{len(held)}')"),
    Kind(
        "open files",
        "for _ in trying():\n  try: held.append(os.open('/dev/null', 0))\n  except OSError: time.sleep(0.05)",
        ends=False,
    ),
    Kind(
        "pipes",
        "for _ in range(12):\n"
        "  if os.fork() == 0:\n"
        "    for _ in range(500):\n"
        "      try: _, end = os.pipe()\n"
        "      except OSError: break\n"
        "      os.set_blocking(end, False)\n"
        "      try: os.write(end, b'x' * 65536)\n"
        "      except OSError: pass\n"
        "    time.sleep(3); os._exit(0)\n"
        "time.sleep(3)",
        ends=False,
    ),
    Kind(
        "buffers of Unix sockets",
        "for _ in range(8):\n"
        "  if os.fork() == 0:\n"
        "    while len(held) < 480:\n"
        "      held.append(socket.socketpair())\n"
        "      for each in held[-1]:\n"
        "        each.setblocking(False)\n"
        "        try:\n"
        "          while True: each.send(b'x' * 4096)\n"
        "        except OSError: pass\n"
        "    time.sleep(8); os._exit(0)\n"
        "time.sleep(8)",
    ),
    Kind(
        "buffers of TCP sockets",
        "server = socket.create_server(('127.0.0.1', 7001), backlog=400)\n"
        "for _ in range(300):\n"
        "  one = socket.create_connection(('127.0.0.1', 7001)); held.append((one, server.accept()))\n"
        "  one.setblocking(False)\n"
        "  try:\n"
        "    while True: one.send(b'x' * 65536)\n"
        "  except OSError: pass\n"
        "time.sleep(5)",
        ends=False,
    ),
    Kind("output", "for _ in trying():\n  os.write(1, b'x' * 65536)", ends=False),
    Kind(
        "the processor",
        "for _ in range(16):\n  if os.fork() == 0:\n    for _ in trying(): sum(range(1000))\n    os._exit(0)\n"
        "time.sleep(4)",
        ends=False,
    ),
    Kind(
        "message queues",
        "for _ in trying():\n"
        "  queue = libc.msgget(0, 0o1600)\n"
        "  if queue < 0: time.sleep(0.05); continue\n"
        "  text = ctypes.create_string_buffer(b'\\1' * 8200, 8208)\n"
        "  while libc.msgsnd(queue, ctypes.byref(text), 8192, 0o4000) == 0: pass",
    ),
    Kind(
        "semaphores",
        "for _ in trying():\n  if libc.semget(0, 250, 0o1600) < 0: time.sleep(0.05)",
        ends=False,
    ),
    Kind(
        "timers",
        "for _ in trying():\n  if libc.timer_create(1, None, ctypes.byref(ctypes.c_void_p())): time.sleep(0.05)",
        ends=False,
    ),
    Kind(
        "epoll, inotify and eventfd",
        "for _ in trying():\n  try: held.append((select.epoll(), os.eventfd(0), libc.inotify_init()))\n"
        "  except OSError: time.sleep(0.05)",
        ends=False,
    ),
)
