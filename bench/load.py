"""A server under load: it is started, asked, measured and stopped here."""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.cases import Case, Request, Target
from bench.environment import DIRECTORY, HERE, LOGS
from bench.implementations import Implementation
from bench.postgres import Cluster

START_SECONDS = 60
STOP_SECONDS = 15
# Compiled once and kept, as an installation has it, whatever this shell says (empty is unset); in the bench's folder.
BYTECODE = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(DIRECTORY / "pycache")}


@dataclass(frozen=True)
class Measurement:
    """One load. CPU is user and system time of all processes, in µs a request; latencies are in ms."""

    rps: float
    p50: float
    p99: float
    server_us: float
    postgres_us: float
    rss_mb: float


def free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def cpu_seconds(root: psutil.Process) -> float:
    """Of the process, of its living descendants, and of those that have ended."""
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
            total += times.children_user + times.children_system + _own_cpu_seconds(process)
        except psutil.NoSuchProcess:
            continue
    return total


def _own_cpu_seconds(process: psutil.Process) -> float:
    """By the scheduler's clock of the process. Counted in ticks, as /proc has it, what a timer wakes looks several
    times as expensive as it is.
    """
    try:
        return time.clock_gettime((~process.pid << 3) | 2)  # what clock_getcpuclockid() of Linux makes of a process id
    except OSError:  # not Linux, or gone
        times = process.cpu_times()
        return float(times.user + times.system)


def rss_mb(root: psutil.Process) -> float:
    return sum(process.memory_info().rss for process in (root, *root.children(recursive=True))) / 2**20


class Server:
    """A running implementation. Stopping it is the caller's, best by `with`."""

    def __init__(self, implementation: Implementation, cluster: Cluster) -> None:
        self.implementation, self.cluster, self.port = implementation, cluster, free_port()
        self.log = LOGS / f"{implementation.name}.log"
        environment = {**os.environ, **BYTECODE, **implementation.variables(cluster, self.port)}
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                implementation.command(self.port),
                cwd=implementation.working_directory,
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            self._wait_until_listening()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait_until_listening(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with closing(socket.socket()) as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{self.implementation.name} did not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.005)

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def ask(self, request: Request, token: str | None = None) -> tuple[int, bytes]:
        """Status and body of one request."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        if request.body:
            headers["content-type"] = "application/json"
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(request.method, request.path, request.body or None, headers)
            response = connection.getresponse()
            return response.status, response.read()

    def measure(self, case: Case, targets: list[Target], seconds: int) -> Measurement:
        """Raises when any answer is an error: an error is no measurement."""
        requests = self._request_file(case, targets[:1] if case.alone else targets)
        command = [
            "wrk",
            "-t1",
            f"-c{case.connections}",
            f"-d{seconds}s",
            "--timeout",
            "10s",
            "-s",
            str(HERE / "load.lua"),
        ]
        ours, database = psutil.Process(self.process.pid), psutil.Process(self.cluster.pid)
        server_before, postgres_before = cpu_seconds(ours), cpu_seconds(database)
        command += [f"http://127.0.0.1:{self.port}/", "--", str(requests)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
        server_after, postgres_after = cpu_seconds(ours), cpu_seconds(database)
        line = next((line for line in result.stdout.splitlines() if line.startswith("RESULT")), None)
        if line is None:
            raise RuntimeError(result.stdout + result.stderr)
        answers, duration_us, p50_us, p99_us, errors = map(int, line.split()[1:])
        if errors or not answers:
            raise RuntimeError(f"{self.implementation.name}, case {case.name}: {errors} errors in {answers} answers")
        return Measurement(
            rps=answers / duration_us * 1e6,
            p50=p50_us / 1000,
            p99=p99_us / 1000,
            server_us=(server_after - server_before) / answers * 1e6,
            postgres_us=(postgres_after - postgres_before) / answers * 1e6,
            rss_mb=rss_mb(ours),
        )

    def _request_file(self, case: Case, targets: list[Target]) -> Path:
        make = self.implementation.requests[case.kind]
        file = DIRECTORY / "requests" / f"{self.implementation.name}-{case.kind}.tsv"
        file.parent.mkdir(exist_ok=True)
        file.write_text("".join(make(target).line(target) + "\n" for target in targets))
        return file


@contextmanager
def started(implementations: list[Implementation], cluster: Cluster) -> Iterator[dict[str, Server]]:
    """All of them, each on its own copy of its seeded database."""
    with ExitStack() as running:
        for implementation in implementations:
            cluster.create(implementation.database, implementation.template)
        yield {
            implementation.name: running.enter_context(Server(implementation, cluster))
            for implementation in implementations
        }
