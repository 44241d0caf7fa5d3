"""The system calls of a sandboxed process: a seccomp filter in classic BPF, built for this machine.

Ordinary programs never make the refused calls; most of these need rights that no process in the sandbox has anyway. The
filter also protects faults in the kernel's code behind them: it is a second lock, not the first. Numbers:
asm/unistd_64.h (x86_64) and asm-generic/unistd.h (aarch64). Layout: linux/seccomp.h, linux/bpf_common.h.
"""

import errno
import platform
import struct
from dataclasses import dataclass

# Of a classic BPF instruction: load a 32-bit word, jump on equal / not lower / any bit, return.
LOAD, JUMP_EQUAL, JUMP_NOT_LOWER, JUMP_ANY, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL_PROCESS, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

# Offsets in struct seccomp_data; of an argument's 64 bits the kernel looks at the lower half, for each judged here.
NUMBER, ARCHITECTURE, ARGUMENT_0, ARGUMENT_1 = 0, 4, 16, 24

X32 = 0x40000000  # the bit that marks a call of the x32 ABI, which would pass under other numbers
NEW_NAMESPACE = 0x7E020080  # CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
TIOCSTI, TIOCLINUX = 0x5412, 0x541C  # both type into a terminal
# all others have no network namespace (AF_VSOCK reaches the hypervisor) or no use
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16


@dataclass(frozen=True, slots=True)
class Machine:
    """`audit` is the AUDIT_ARCH value (linux/audit.h); `column` selects its numbers below."""

    audit: int
    column: int


MACHINES = {"x86_64": Machine(0xC000003E, 0), "aarch64": Machine(0xC00000B7, 1)}

# name: number on x86_64, number on aarch64
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    # mounts and namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "setns": (308, 268),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    # keys, programs in the kernel, its memory
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    # the machine itself
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
}
# name: the same, of what holds memory that has no name in a file system and is in no process
NAMELESS_MEMORY: dict[str, tuple[int | None, int | None]] = {
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
}
CLONE, CLONE3, UNSHARE, IOCTL, SOCKET = (56, 220), (435, 435), (272, 97), (16, 29), (41, 198)
# name: the same, of what starts a process or turns this one into another program
STARTING: dict[str, tuple[int | None, int | None]] = {
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
}
CLONE_THREAD = 0x00010000


def _instruction(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, k)


def _refuse(error: int) -> bytes:
    return _instruction(RETURN, ERRNO | error)


def _for_call(number: int, *body: bytes) -> list[bytes]:
    """`body` for this call alone; others jump over it with the number still loaded. The body ends in a return."""
    return [_instruction(JUMP_EQUAL, number, no=len(body)), *body]


def _without_bits(number: int, bits: int) -> list[bytes]:
    """The call passes unless its first argument has one of `bits`."""
    judged = (
        _instruction(LOAD, ARGUMENT_0),
        _instruction(JUMP_ANY, bits, no=1),
        _refuse(errno.EPERM),
        _instruction(RETURN, ALLOW),
    )
    return _for_call(number, *judged)


def _head(known: Machine) -> list[bytes]:
    """Leaves the number of the call loaded. Other ABIs of the same machine have other numbers and are not for us."""
    return [
        _instruction(LOAD, ARCHITECTURE),
        _instruction(JUMP_EQUAL, known.audit, yes=1),
        _instruction(RETURN, KILL_PROCESS),
        _instruction(LOAD, NUMBER),
        _instruction(JUMP_NOT_LOWER, X32, no=1),
        _refuse(errno.ENOSYS),
    ]


def _refused(calls: dict[str, tuple[int | None, int | None]], known: Machine) -> list[bytes]:
    numbers = [pair[known.column] for pair in calls.values()]
    return [part for number in numbers if number is not None for part in _for_call(number, _refuse(errno.EPERM))]


def sandboxed(machine: str | None = None, *, nameless_memory: bool = True) -> bytes | None:
    """The filter of a sandbox as an array of struct sock_filter; None if the machine (`platform.machine()`) is unknown.
    `nameless_memory` permits anonymous memory files, for commands whose memory the kernel counts.
    """
    known = MACHINES.get(machine or platform.machine())
    if known is None:
        return None
    at = known.column
    made = [*_head(known), *_refused(REFUSED if nameless_memory else {**REFUSED, **NAMELESS_MEMORY}, known)]
    # its flags are out of a filter's reach; libraries fall back to clone
    made += _for_call(CLONE3[at], _refuse(errno.ENOSYS))
    made += _without_bits(CLONE[at], NEW_NAMESPACE)
    made += _without_bits(UNSHARE[at], NEW_NAMESPACE)
    typing = [part for request in (TIOCSTI, TIOCLINUX) for part in _for_call(request, _refuse(errno.EPERM))]
    made += _for_call(IOCTL[at], _instruction(LOAD, ARGUMENT_1), *typing, _instruction(RETURN, ALLOW))
    families = [
        part
        for family in (AF_UNIX, AF_INET, AF_INET6, AF_NETLINK)
        for part in _for_call(family, _instruction(RETURN, ALLOW))
    ]
    made += _for_call(SOCKET[at], _instruction(LOAD, ARGUMENT_0), *families, _refuse(errno.EAFNOSUPPORT))
    return b"".join([*made, _instruction(RETURN, ALLOW)])


def no_processes(machine: str | None = None) -> bytes | None:
    """A filter for a process that starts threads and nothing else; None as above."""
    known = MACHINES.get(machine or platform.machine())
    if known is None:
        return None
    at = known.column
    made = [*_head(known), *_refused(STARTING, known), *_for_call(CLONE3[at], _refuse(errno.ENOSYS))]
    thread = (
        _instruction(LOAD, ARGUMENT_0),
        _instruction(JUMP_ANY, CLONE_THREAD, yes=1),
        _refuse(errno.EPERM),
        _instruction(RETURN, ALLOW),
    )
    made += _for_call(CLONE[at], *thread)
    return b"".join([*made, _instruction(RETURN, ALLOW)])
