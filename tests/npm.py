"""Packages of npm that tests use, installed once per version of a `package.json` into pytest's cache."""

import fcntl
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

NODE, NPM = shutil.which("node"), shutil.which("npm")
INSTALLATION = 600.0  # seconds


def node_modules(config: pytest.Config, manifest: Path, name: str) -> Path:
    """`node_modules` for these versions; workers of one run wait for the one that installs.

    `name` is that of the folder in the cache. The manifest has its `.npmrc` beside it.
    """
    assert NODE is not None
    assert NPM is not None
    settings = manifest.with_name(".npmrc")
    wanted = manifest.read_bytes() + settings.read_bytes()
    version = json.dumps([subprocess.check_output([NODE, "--version"], text=True), hashlib.sha256(wanted).hexdigest()])
    folder = config.cache.mkdir(name)  # type: ignore[union-attr]
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "installed"
        if not done.exists() or done.read_text() != version:
            done.unlink(missing_ok=True)
            shutil.rmtree(folder / "node_modules", ignore_errors=True)
            shutil.copy(manifest, folder / "package.json")
            shutil.copy(settings, folder / ".npmrc")
            made = subprocess.run(
                [NPM, "install", "--no-package-lock"],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=INSTALLATION,
                check=False,
            )
            if made.returncode:
                pytest.fail(f"npm could not install the packages:\n{made.stdout}{made.stderr}", pytrace=False)
            done.write_text(version)
    return folder / "node_modules"
