"""The only place that starts other programs: in a control group, if there is one, and killed before the service if
memory runs out.
"""

import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

from runtime.sandbox.groups import Group

OOM_SCORE: Final = 1000  # where memory runs out, a command ends first

# Before anything of the sandbox is there: what a process has done here it takes along, and as root the score is also
# the lowest that it, and what it starts, may ever set (proc_pid_oom_score_adj(5)). Nothing starts outside its group.
_ENTERING: Final = f"""
count=$1; shift
while [ "$count" -gt 0 ]; do
  echo 0 >"$1" || exit 125
  shift; count=$((count - 1))
done
echo {OOM_SCORE} >/proc/self/oom_score_adj || exit 125
unset PWD
exec "$@"
"""


def spawn(
    command: Sequence[str],
    group: Group | None,
    *,
    stdin: int,
    outputs: Sequence[int],
    environment: Mapping[str, str],
    folder: str,
    descriptors: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Raises OSError and ValueError, as for too long a command or a NUL in it."""
    entries = group.entries if group is not None else ()
    out, err = outputs
    return subprocess.Popen(  # noqa: S603 - what is started is confined by who calls this
        ["/bin/sh", "-c", _ENTERING, "sh", str(len(entries)), *entries, *command],
        stdin=stdin,
        stdout=out,
        stderr=err,
        env=dict(environment),
        cwd=folder,
        pass_fds=descriptors,
        start_new_session=True,
    )
