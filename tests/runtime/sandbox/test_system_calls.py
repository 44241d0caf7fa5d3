"""The filter on system calls: its logic on both machines, and what the kernel makes of it on this one."""

import errno
import json
import platform
import re
import struct
import subprocess
from pathlib import Path

import pytest

from runtime.sandbox import Workdir, seccomp
from runtime.sandbox.namespace import Bubblewrap

MACHINES = sorted(seccomp.MACHINES)
ALLOWED, KILLED = "allowed", "killed"


def judge(program: bytes, audit: int, number: int, *arguments: int) -> str | int:
    """Runs the filter as the kernel does: what becomes of a call, or the error it gets."""
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, audit, 0, *(*arguments, *[0] * (6 - len(arguments))))
    instructions = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        code, yes, no, k = instructions[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif code == 0x15:
            at += yes if accumulator == k else no
        elif code == 0x35:
            at += yes if accumulator >= k else no
        elif code == 0x45:
            at += yes if accumulator & k else no
        elif code == 0x06:
            return {0x7FFF0000: ALLOWED, 0x80000000: KILLED}.get(k & 0xFFFF0000) or k & 0xFFFF
        else:
            raise AssertionError(f"unknown instruction {code:#x}")


def sandboxed(machine: str) -> bytes:
    made = seccomp.sandboxed(machine)
    assert made is not None
    return made


@pytest.mark.parametrize("machine", MACHINES)
def test_each_call_of_the_list_is_refused(machine: str) -> None:
    known = seccomp.MACHINES[machine]
    for name, numbers in seccomp.REFUSED.items():
        number = numbers[known.column]
        if number is not None:
            assert judge(sandboxed(machine), known.audit, number) == errno.EPERM, name


@pytest.mark.parametrize("machine", MACHINES)
def test_all_other_calls_pass(machine: str) -> None:
    known = seccomp.MACHINES[machine]
    judged = {numbers[known.column] for numbers in (*seccomp.REFUSED.values(), seccomp.CLONE3, seccomp.SOCKET)}
    for number in set(range(600)) - judged:
        assert judge(sandboxed(machine), known.audit, number) == ALLOWED, number


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_that_depend_on_an_argument(machine: str) -> None:
    known = seccomp.MACHINES[machine]
    at, program = known.column, sandboxed(machine)
    thread = 0x3D0F00  # what pthread_create asks for
    assert judge(program, known.audit, seccomp.CLONE[at], thread) == ALLOWED
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert judge(program, known.audit, seccomp.CLONE[at], thread | flag) == errno.EPERM
        assert judge(program, known.audit, seccomp.UNSHARE[at], flag) == errno.EPERM
    assert judge(program, known.audit, seccomp.UNSHARE[at], 0x400) == ALLOWED  # CLONE_FILES
    assert judge(program, known.audit, seccomp.CLONE3[at]) == errno.ENOSYS
    for request, fate in (
        (0x5412, errno.EPERM),
        (0x541C, errno.EPERM),
        (0x5413, ALLOWED),
        (0x1_0000_5412, errno.EPERM),
    ):
        assert judge(program, known.audit, seccomp.IOCTL[at], 0, request) == fate
    for family in range(64):
        expected = ALLOWED if family in (1, 2, 10, 16) else errno.EAFNOSUPPORT
        assert judge(program, known.audit, seccomp.SOCKET[at], family) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_of_another_abi(machine: str) -> None:
    known = seccomp.MACHINES[machine]
    for made in (sandboxed(machine), seccomp.no_processes(machine)):
        assert made is not None
        assert judge(made, 0x40000003, 11) == KILLED  # i386
        assert judge(made, known.audit, 0x40000000 | 1) == errno.ENOSYS  # x32
        assert judge(made, known.audit, 0xFFFFFFFF) == errno.ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_threads_and_nothing_else(machine: str) -> None:
    known = seccomp.MACHINES[machine]
    program = seccomp.no_processes(machine)
    assert program is not None
    for numbers in seccomp.STARTING.values():
        number = numbers[known.column]
        assert number is None or judge(program, known.audit, number) == errno.EPERM
    clone = seccomp.CLONE[known.column]
    assert judge(program, known.audit, clone, 0x3D0F00) == ALLOWED
    assert judge(program, known.audit, clone, 17) == errno.EPERM  # fork
    assert judge(program, known.audit, clone, 0x4111) == errno.EPERM  # vfork
    judged = {numbers[known.column] for numbers in (*seccomp.STARTING.values(), seccomp.CLONE, seccomp.CLONE3)}
    assert all(judge(program, known.audit, number) == ALLOWED for number in set(range(600)) - judged)


def test_an_unknown_machine_has_no_filter() -> None:
    assert seccomp.sandboxed("riscv64") is None
    assert seccomp.no_processes("riscv64") is None


@pytest.mark.parametrize(
    ("header", "machine"),
    [("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "x86_64"), ("/usr/include/asm-generic/unistd.h", "aarch64")],
)
def test_the_numbers_are_those_of_the_kernel(header: str, machine: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"NO KERNEL HEADERS ({header}): the numbers are not compared")
    listed = {
        name: int(number)
        for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", Path(header).read_text())
    }
    ours = {
        **seccomp.REFUSED,
        **seccomp.STARTING,
        "clone": seccomp.CLONE,
        "clone3": seccomp.CLONE3,
        "unshare": seccomp.UNSHARE,
    }
    ours |= {"ioctl": seccomp.IOCTL, "socket": seccomp.SOCKET}
    column = seccomp.MACHINES[machine].column
    compared = {name: numbers[column] for name, numbers in ours.items() if name in listed}
    assert len(compared) > 40
    assert compared == {name: listed[name] for name in compared}


CALLS = """
import ctypes, json, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
tried = json.loads(sys.argv[1])
def call(number, *arguments):
    ctypes.set_errno(0)
    return 0 if libc.syscall(number, *(ctypes.c_long(argument) for argument in arguments)) >= 0 else ctypes.get_errno()
print(json.dumps({name: call(*arguments) for name, arguments in tried.items()}))
"""


@pytest.mark.anyio
async def test_the_kernel_refuses_them(sandbox: Bubblewrap, workdir: Workdir, python: str) -> None:
    """With harmless arguments, wrong enough to get another error from whoever the filter does not stop."""
    at = seccomp.MACHINES[platform.machine()].column
    tried: dict[str, list[int]] = {}
    for name in (
        "keyctl",
        "bpf",
        "userfaultfd",
        "perf_event_open",
        "io_uring_setup",
        "kcmp",
        "pidfd_getfd",
        "setns",
        "mount",
        "process_vm_readv",
        "ptrace",
    ):
        number = seccomp.REFUSED[name][at]
        assert number is not None
        tried[name] = [
            number,
            *([0, -3, 0] if name == "keyctl" else [0x7FFF] if name == "ptrace" else [-1, -1, -1, -1, -1]),
        ]
    tried["clone3"] = [seccomp.CLONE3[at], 0, 0]
    tried["unshare"] = [seccomp.UNSHARE[at], 0x10000000]
    tried["vsock"] = [seccomp.SOCKET[at], 40, 1, 0]
    tried["packet"] = [seccomp.SOCKET[at], 17, 3, 0]
    ended = await sandbox.run([python, "-c", CALLS, json.dumps(tried)], workdir=workdir, timeout=20)
    expected = {
        **dict.fromkeys(tried, errno.EPERM),
        "clone3": errno.ENOSYS,
        "vsock": errno.EAFNOSUPPORT,
        "packet": errno.EAFNOSUPPORT,
    }
    assert json.loads(ended.stdout) == expected, ended.stderr
    outside = subprocess.run(
        [python, "-c", CALLS, json.dumps({k: v for k, v in tried.items() if k != "unshare"})],
        capture_output=True,
        text=True,
        check=True,
    )
    different = {name for name, error in json.loads(outside.stdout).items() if error != expected[name]}
    assert {"keyctl", "ptrace", "clone3", "process_vm_readv", "mount"} <= different, outside.stdout
