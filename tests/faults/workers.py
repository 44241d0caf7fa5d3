"""Worker processes that can be killed at any moment: forked, ready to go, from one that has loaded everything.

Run as a program: `workers.py <settings as JSON>`. It answers each line on stdin with the pid of a new worker on stdout.
What a worker does is `work_on` of the module that the settings name.
"""

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]


class Workers:
    """The parent's side."""

    def __init__(self, environment: dict[str, str] | None = None, **settings: Any) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | (environment or {})
        command = [sys.executable, __file__, json.dumps(settings)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )
        self.pids: set[int] = set()

    def start(self) -> int:
        """The pid of a new worker."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write("\n")
        stdin.flush()
        pid = int(stdout.readline())
        self.pids.add(pid)
        return pid

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.pids.remove(pid)

    def alive(self, pid: int) -> bool:
        return Path(f"/proc/{pid}").exists()

    def close(self) -> None:
        for pid in list(self.pids):
            if self.alive(pid):
                self.kill(pid)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait()


def main(settings: dict[str, Any], stdin: IO[str]) -> None:
    import dbos  # noqa: F401 - loaded once, for all workers

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    working = importlib.import_module(settings.get("module", "tests.faults.working"))

    while stdin.readline():
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(2, 1)  # what it logs
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            asyncio.run(working.work_on(settings))
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.stdin)
