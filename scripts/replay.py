"""Plays recorded exchanges on fresh servers and compares the answers: `python scripts/replay.py DIRECTORY [GROUP ...]`.

DIRECTORY holds `scenarios/GROUP/FILE.yaml`, `recordings/GROUP/FILE.jsonl`, the differences that are meant
(`expect/*.yaml`) and the players (`replay.py`, `ws_replay.py`). A step counts where its route is served;
`tests/contract/replay.yaml` adds differences, each with its reason. Without GROUP, every group of which a route is
served. Exits with 1 when an answer differs.
"""

import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OURS = ROOT / "tests" / "contract" / "replay.yaml"
START = 180.0  # seconds a server may take to its first answer
NEEDS_A_WORLD = "-world-"  # in the name of files that talk with vendors the player pretends to be


@contextmanager
def server(directory: Path, token: str) -> Iterator[str]:
    """A service on loopback, as the recordings presuppose it: no rate limits, open sign-up, a known internal token."""
    environment = {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("CREWSHIP_", "DATABASE_URL", "NEXTAUTH_"))
        },
        "CREWSHIP_DATA_DIR": str(directory),
        "CREWSHIP_RATELIMIT_DISABLED": "true",
        "CREWSHIP_ALLOW_SIGNUP": "true",
        "CREWSHIP_INTERNAL_TOKEN": token,
        "CREWSHIP_LOG_LEVEL": "info",
    }
    with (directory.parent / "server.log").open("w+") as log:
        command = [sys.executable, "-m", "crewship", "serve", "--port", "0"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield _address(process, Path(log.name))
        finally:
            process.terminate()
            process.wait(START)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"serves at (http://127\.0\.0\.1:\d+)", log.read_text())
        if found is not None:
            return found.group(1)
        time.sleep(0.1)
    raise SystemExit(f"the server did not start:\n{log.read_text()}")


def _pattern(path: str) -> re.Pattern[str]:
    parts = [r"[^/]+" if segment.startswith("{") else re.escape(segment) for segment in path.split("/")]
    return re.compile("/".join(parts) + r"(\?.*)?\Z")


def served_groups() -> set[str]:
    """The groups of the contract of which a route is served."""
    from rest_compat.http.routes import operations
    from tests.contract.notation import routes

    paths = {_nameless(rest["path"]) for op in operations({}) for rest in op["rest"]}
    found = {
        group for group, route in routes() for path in str(route.get("op", "")).split()[1:2] if _nameless(path) in paths
    }
    return found | ({"ws-frames"} if "websocket" in found else set())


def unserved(steps: list[dict[str, Any]]) -> set[str]:
    """The ids of steps that call a route of the contract which is not served."""
    from rest_compat.http.routes import operations
    from tests.contract.notation import routes

    served = {(rest["method"], _nameless(rest["path"])) for op in operations({}) for rest in op["rest"]}
    paths = {path for _, path in served}
    known = [str(route.get("op", "")).split() for _, route in routes()]
    offered = sorted(
        {(parts[1], parts[0]) for parts in known if len(parts) > 1 and parts[0].isupper()},
        key=lambda route: route[0].count("{"),
    )
    missing = set()
    for step in steps:
        method, _, path = step["do"].partition(" ")
        # the first is the most literal, which wins
        found = [(_nameless(p), m) for p, m in offered if _pattern(p).match(path)]
        same = [(p, m) for p, m in found if m == method]
        if (same and (method, same[0][0]) not in served) or (found and found[0][0] not in paths):
            missing.add(step["id"])
    return missing


def _nameless(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def play(source: Path, group: str, file: Path) -> bool:
    """Records one scenario and compares it, as far as it is served. True when nothing differs that is not meant."""
    token = secrets.token_hex(32)
    player = source / ("ws_replay.py" if group == "ws-frames" else "replay.py")
    environment = os.environ | {"JUDGE_INTERNAL": token, "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryDirectory(prefix="crewship-replay-") as name:
        directory = Path(name)
        (directory / "data").mkdir(mode=0o700)
        ours, reference = directory / "ours.jsonl", source / "recordings" / group / f"{file.stem}.jsonl"
        with server(directory / "data", token) as address:
            scenarios = [str(source / "scenarios" / "00-setup.yaml"), str(file)]
            verb = [] if group == "ws-frames" else ["record"]
            subprocess.run(
                [sys.executable, str(player), *verb, address, str(ours), *scenarios], env=environment, check=True
            )
        answers, known = ({step["id"]: step for step in lines_of(path)} for path in (ours, reference))
        recorded, played = list(known.values()), [answers[id] for id in known]
        missing = unserved(recorded)
        for path, steps in ((directory / "reference.jsonl", recorded), (directory / "kept.jsonl", played)):
            path.write_text("".join(json.dumps(step) + "\n" for step in steps if step["id"] not in missing))
        print(
            f"\n== {group}/{file.stem}: {len(recorded) - len(missing)} of {len(recorded)} steps are served", flush=True
        )
        compare = [
            sys.executable,
            str(source / "replay.py"),
            "compare",
            str(directory / "reference.jsonl"),
            str(directory / "kept.jsonl"),
            "--values",
        ]
        expect = [str(path) for path in (*sorted((source / "expect").glob("*.yaml")), OURS)]
        return subprocess.run([*compare, "--expect", *expect], check=False, env=environment).returncode == 0


def main() -> None:
    if len(sys.argv) < 2:
        raise SystemExit("usage: python scripts/replay.py DIRECTORY [GROUP ...]")
    sys.path.insert(0, str(ROOT))
    source = Path(sys.argv[1]).resolve()
    groups = sys.argv[2:] or served_groups()
    if not (source / "recordings").is_dir():
        print(f"{source} holds no recordings: nothing is played")
        return
    failed, played = list[str](), 0
    for file in sorted((source / "scenarios").glob("*/*.yaml")):
        group = file.parent.name
        recording = source / "recordings" / group / f"{file.stem}.jsonl"
        if not recording.exists() or NEEDS_A_WORLD in file.name or group not in groups:
            continue
        played += 1
        if not play(source, group, file):
            failed.append(f"{group}/{file.stem}")
    print(f"\n{played} files played, {len(failed)} differ{': ' if failed else ''}{', '.join(failed)}")
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
