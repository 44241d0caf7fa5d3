"""A process that has promised to start no other, by every way there is to start one."""

import ctypes
import os
import struct
import subprocess
import sys

import pytest

from tests.every import each_of

TRYING = """
import asyncio, multiprocessing, os, pty, subprocess, sys, threading
import uvloop
from runtime.sandbox import refuse_processes

async def exec_on_loop():
    await (await asyncio.create_subprocess_exec("/bin/true")).wait()

def on(factory):
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(exec_on_loop())

def multiprocess():
    process = multiprocessing.get_context("spawn").Process(target=print)
    process.start()
    process.join()

def fork():
    if os.fork() == 0:
        os._exit(0)
    os.wait()

ways = {
    "run": lambda: subprocess.run(["/bin/true"]),
    "shell": lambda: subprocess.run("true", shell=True),
    "system": lambda: os.system("true"),
    "posix_spawn": lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0),
    "spawn": lambda: os.spawnv(os.P_WAIT, "/bin/true", ["true"]),
    "fork": fork,
    "popen": lambda: os.popen("true").close(),
    "pty": lambda: pty.spawn(["/bin/true"], lambda fd: os.read(fd, 1)),
    "uvloop": lambda: on(uvloop.new_event_loop),
    "asyncio": lambda: on(asyncio.new_event_loop),
    "multiprocessing": multiprocess,
    "exec": lambda: os.execv("/bin/echo", ["echo", "exec started"]),
}
if sys.argv[1] == "refuse":
    early = threading.Event()
    # the promise is kept by those that run already
    thread = threading.Thread(target=lambda: (early.wait(), on(uvloop.new_event_loop)))
    threading.excepthook = lambda failed: print("thread refused", failed.exc_type.__name__, flush=True)
    thread.start()
    refuse_processes()
    early.set()
    thread.join()
for name, way in ways.items():
    try:
        way()
        print(name, "started", flush=True)
    except (RuntimeError, OSError) as error:
        print(name, "refused", type(error).__name__, flush=True)
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
"""
WAYS = [
    "run",
    "shell",
    "system",
    "posix_spawn",
    "spawn",
    "fork",
    "popen",
    "pty",
    "uvloop",
    "asyncio",
    "multiprocessing",
    "exec",
]
PAST_THE_HOOK = ("uvloop", "multiprocessing")


def trying(refuse: str) -> dict[str, str]:
    """What became of each way, by name."""
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", TRYING, refuse]
    tried = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert tried.returncode == 0, tried.stderr
    return dict(line.split(" ", 1) for line in tried.stdout.splitlines() if " " in line)


@pytest.fixture(scope="module")
def refused() -> dict[str, str]:
    return trying("refuse")


@pytest.fixture(scope="module")
def allowed() -> dict[str, str]:
    return trying("allow")


@each_of("way", WAYS)
def test_a_process_that_starts_no_others(refused: dict[str, str], allowed: dict[str, str], way: str) -> None:
    assert allowed[way] == "started"
    assert refused[way] == ("refused PermissionError" if way in PAST_THE_HOOK else "refused ProcessRefused")


def test_threads_that_ran_before_keep_the_promise_too(refused: dict[str, str]) -> None:
    assert refused["thread"] == "refused PermissionError"


@pytest.mark.slow
def test_where_the_kernel_does_not_know_the_filter() -> None:
    """A filter that is not loaded is an error, not a promise that is not kept."""
    script = """
import errno
from runtime.sandbox import no_processes
try:
    no_processes._install(b"")
except OSError as error:
    print(error.errno == errno.EINVAL, error)
"""
    tried = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert tried.stdout.startswith("True")
    assert "processes cannot be refused" in tried.stdout


def test_ctypes_and_the_filter_agree_on_sizes() -> None:
    assert struct.calcsize("=HBBI") == 8
    assert struct.calcsize("@HP") == 2 * ctypes.sizeof(ctypes.c_void_p)
