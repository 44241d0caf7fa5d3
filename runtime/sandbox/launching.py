"""The work of a sandbox's first process before it becomes the program: shells that wait, and the limits that
they set.
"""

import resource
from pathlib import Path
from typing import Final

from runtime.sandbox.boundary import Limits

NICE = 5  # the service goes first
STDIN: Final = "/run/stdin"

# Reports that it has started, and continues when the service has acknowledged it. So no program runs without the
# service's knowledge, even if the service is killed now: before that the kernel would not end the sandbox with it.
LAUNCHER = f"""
echo
read -r go || exit 125
exec nice -n {NICE} "$@" <{STDIN}
"""
# What comes behind the word to go on is for the program.
TALKING = f"""
echo
read -r go || exit 125
exec nice -n {NICE} "$@"
"""
# The terminal is where errors go, until the program has it whole, in a session that it controls.
TERMINAL = f"""
echo
read -r go || exit 125
exec nice -n {NICE} setsid -c -w "$@" <&2 >&2
"""


def limited(prlimit: Path, limits: Limits, launcher: str = LAUNCHER) -> list[str]:
    """The command line that sets the limits of a command: all are hard, so no process in the sandbox can raise one.

    They are set inside, because RLIMIT_NPROC counts a user's processes per user namespace: outside, all sandboxes would
    share it.
    """
    wanted = {
        "nproc": (resource.RLIMIT_NPROC, limits.processes),
        "data": (resource.RLIMIT_DATA, limits.memory),
        "as": (resource.RLIMIT_AS, limits.address_space),
        "fsize": (resource.RLIMIT_FSIZE, limits.file_size),
        "cpu": (resource.RLIMIT_CPU, limits.cpu_seconds),
        "nofile": (resource.RLIMIT_NOFILE, limits.open_files),
        # no dump is that small; and unlike 0 it also keeps one from a program of the host (core(5))
        "core": (resource.RLIMIT_CORE, 1),
    }
    made = ["/bin/sh", "-c", launcher, "sh", str(prlimit)]
    for name, (number, limit) in wanted.items():
        _, most = resource.getrlimit(number)
        made.append(f"--{name}={limit if most == resource.RLIM_INFINITY else min(limit, most)}")
    return [*made, "--"]
