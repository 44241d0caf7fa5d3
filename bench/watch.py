"""A process of its own that watches a service under attack: `python -m bench.watch PORT PID`, until its stdin ends;
then a line of JSON.

It asks GET /healthz every ten milliseconds, as a newcomer each time, from another loopback address than the attacks
come from. A stall is the time from the first question that is not answered to the next answer. Memory is in bytes: the
peak since the start, less what was held then.
"""

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from bench.environment import CHECKOUT

EVERY, SAMPLED, PATIENCE = 0.01, 0.05, 120.0
NEWCOMER = "127.0.0.2"
QUESTION = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


@dataclass
class Seen:
    """`stall` in seconds; `service`: the process that serves, `backends` all of PostgreSQL's, without shared memory."""

    stall: float = 0.0
    service: int = 0
    backends: int = 0
    answers: int = 0


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.socket() as client:
        client.settimeout(PATIENCE)
        client.bind((NEWCOMER, 0))
        client.connect(("127.0.0.1", port))
        client.sendall(QUESTION)
        return client.recv(64).startswith(b"HTTP/1.1 200")
    return False


def _held(pid: int, name: str) -> int:
    """A line of /proc/PID/status; 0 for a process that is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0


class _Memory(threading.Thread):
    def __init__(self, pid: int, stop: threading.Event) -> None:
        super().__init__()
        self._process, self._stop_event = psutil.Process(pid), stop
        self._begin, self._most = self._now(), (0, 0)

    def _now(self) -> tuple[int, int]:
        with contextlib.suppress(psutil.Error):
            self._backends = [child.pid for child in self._process.children(recursive=True)]
        return _held(self._process.pid, "VmRSS"), sum(_held(pid, "RssAnon") for pid in self._backends)

    def run(self) -> None:
        while not self._stop_event.wait(SAMPLED):
            service, backends = self._now()
            self._most = max(self._most[0], service), max(self._most[1], backends)

    @property
    def growth(self) -> tuple[int, int]:
        return max(0, self._most[0] - self._begin[0]), max(0, self._most[1] - self._begin[1])


def _wait_for_the_end(stop: threading.Event) -> None:
    sys.stdin.read()
    stop.set()


def main(port: int, pid: int) -> None:
    stop, seen = threading.Event(), Seen()
    memory = _Memory(pid, stop)
    memory.start()
    threading.Thread(target=_wait_for_the_end, args=(stop,), daemon=True).start()
    unanswered: float | None = None
    print("watching", flush=True)
    while not stop.is_set():
        asked = time.monotonic()
        answered = _answers(port)
        unanswered = asked if unanswered is None else unanswered
        seen.stall = max(seen.stall, time.monotonic() - unanswered)
        if answered:
            unanswered, seen.answers = None, seen.answers + 1
        stop.wait(max(0.0, EVERY - (time.monotonic() - asked)))
    memory.join()
    seen.service, seen.backends = memory.growth
    print(json.dumps(asdict(seen)), flush=True)


class Watch:
    """The caller's side."""

    def __init__(self, port: int, pid: int) -> None:
        command = [sys.executable, "-m", "bench.watch", str(port), str(pid)]
        self._process = subprocess.Popen(
            command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def end(self) -> Seen:
        """Waits for the answer to the question that is under way."""
        said, _ = self._process.communicate()
        return Seen(**json.loads(said))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
