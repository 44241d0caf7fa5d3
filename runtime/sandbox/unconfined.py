"""No isolation: commands are refused or, if the operator allows it, run as plain processes of the service's user."""

import asyncio
import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from runtime.runs.job import Failed
from runtime.sandbox.boundary import CUT_OFF, NO_ENVIRONMENT, Finished, Isolation, Limits, Network
from runtime.sandbox.groups import Group, Groups
from runtime.sandbox.process import Outputs, end, keep, memory_file, to_the_end
from runtime.sandbox.spawning import spawn
from runtime.sandbox.sums import CommandWatch, admit
from runtime.sandbox.workdir import Workdir

REFUSED = (
    "Commands are disabled on this server: it cannot isolate them from itself. `crewship doctor` lists "
    "what is missing; CREWSHIP_UNSAFE_PROCESS=true runs them without isolation"
)

# Between the service and the program, so that nothing of ours runs in a fork of the service. Python ignores two signals
# that a program may rely on.
_LAUNCHER = """
import json, os, resource, signal, sys
for number, value in json.loads(sys.argv[1]):
    resource.setrlimit(number, (value, value))
for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(ignored, signal.SIG_DFL)
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    os.write(2, f"{sys.argv[2]}: {error.strerror}\\n".encode(errors="replace"))
    os._exit(127)
"""


class Unconfined:
    """`unsafe` lets commands run. They have the rights and the network of the service, regardless of `network`;
    environment, limits and folder are their own. Files that are given to them are not mounted.

    Without `groups`, a process that leaves its session outlives the command: no other means can hold it.
    """

    isolation = Isolation.none

    def __init__(self, *, unsafe: bool = False, limits: Limits | None = None, groups: Groups | None = None) -> None:
        self.limits, self.groups = limits or Limits(), groups
        self._unsafe = unsafe

    @property
    def runs_commands(self) -> bool:
        return self._unsafe

    async def run(
        self,
        argv: Sequence[str],
        *,
        workdir: Workdir,
        timeout: float,  # noqa: ASYNC109
        stdin: bytes | None = None,
        environment: Mapping[str, str] = NO_ENVIRONMENT,
        network: Network | None = None,
    ) -> Finished:
        if not self._unsafe:
            raise Failed(REFUSED)
        limits = await admit(workdir, self.limits)
        outputs = Outputs(limits.output)
        try:
            group = self.groups.make(limits) if self.groups is not None else None
        except OSError as error:
            await to_the_end(outputs.close())
            raise Failed(f"The command could not be started ({error})") from error
        scratch = Path(await asyncio.to_thread(tempfile.mkdtemp)) if workdir.apart else None
        try:
            process = self._launch(argv, workdir, stdin, outputs, limits, environment, group, scratch)
            pidfd = os.pidfd_open(process.pid)
            outputs.started()
            outputs.collect()
            timed_out, excess = False, ""
            try:
                async with asyncio.timeout(timeout):
                    excess = await CommandWatch(process.pid, workdir, limits, group).until(pidfd)
            except TimeoutError:
                timed_out = True
            finally:
                await to_the_end(_end_session(process, pidfd))
            await outputs.rest()
            code = CUT_OFF if timed_out or excess else process.returncode
            return outputs.finished(code if code >= 0 else 128 - code, timed_out=timed_out, excess=excess)
        finally:
            if group is not None:
                await to_the_end(asyncio.to_thread(group.remove))
            await to_the_end(outputs.close())
            if scratch is not None:
                await to_the_end(asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True))

    def _launch(
        self,
        argv: Sequence[str],
        workdir: Workdir,
        stdin: bytes | None,
        outputs: Outputs,
        limits: Limits,
        environment: Mapping[str, str],
        group: Group | None,
        scratch: Path | None,
    ) -> subprocess.Popen[bytes]:
        out, err = outputs.theirs
        with contextlib.ExitStack() as opened:
            if scratch is None:
                keep(opened, workdir.open_output())
                keep(opened, workdir.open_home())
            given = subprocess.DEVNULL if stdin is None else keep(opened, memory_file(stdin))
            try:
                return spawn(
                    [sys.executable, "-I", "-S", "-c", _LAUNCHER, json.dumps(_rlimits(limits)), *argv],
                    group,
                    stdin=given,
                    outputs=(out, err),
                    environment={
                        **environment,
                        **self._environment(scratch or workdir.storage.joinpath(*workdir.home)),
                    },
                    folder=str(scratch or workdir.path),
                )
            except (OSError, ValueError) as error:
                raise Failed(f"The command could not be started ({error})") from error

    def _environment(self, home: Path) -> dict[str, str]:
        return {"PATH": os.defpath, "HOME": str(home), "SHELL": "/bin/sh", "LANG": "C.UTF-8", "TERM": "dumb"}


def _rlimits(limits: Limits) -> list[tuple[int, int]]:
    """Not the number of processes: the service's own would count."""
    wanted = {
        resource.RLIMIT_DATA: limits.memory,
        resource.RLIMIT_AS: limits.address_space,
        resource.RLIMIT_FSIZE: limits.file_size,
        resource.RLIMIT_CPU: limits.cpu_seconds,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_CORE: 1,
    }
    hard = {number: resource.getrlimit(number)[1] for number in wanted}
    return [
        (number, value if hard[number] == resource.RLIM_INFINITY else min(value, hard[number]))
        for number, value in wanted.items()
    ]


async def _end_session(process: subprocess.Popen[bytes], pidfd: int) -> None:
    """Before the process is waited for: until then its number, and so its group's, is taken."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await end(pidfd)
    process.poll()
    os.close(pidfd)
