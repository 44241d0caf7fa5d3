"""Programs of Python's package index that tests use, installed once per version into pytest's cache."""

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

INSTALLATION = 600.0  # seconds
UV = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")


def installed(config: pytest.Config, name: str, *requirements: str, python: str = sys.executable) -> Path:
    """A folder with these versions and what they need, for that interpreter. Workers of one run wait for the one that
    installs.
    """
    if UV is None:
        pytest.skip("needs uv")
    folder = config.cache.mkdir(name)  # type: ignore[union-attr]
    wanted = "\n".join((python, sys.version, *requirements))
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "installed"
        if not done.exists() or done.read_text() != wanted:
            done.unlink(missing_ok=True)
            shutil.rmtree(folder / "packages", ignore_errors=True)
            where = ["--python", python, "--target", str(folder / "packages")]
            made = subprocess.run(
                [UV, "pip", "install", "--quiet", "--only-binary", ":all:", *where, *requirements],
                capture_output=True,
                text=True,
                timeout=INSTALLATION,
                check=False,
            )
            if made.returncode:
                pytest.fail(f"the packages could not be installed:\n{made.stdout}{made.stderr}", pytrace=False)
            done.write_text(wanted)
    return folder / "packages"
