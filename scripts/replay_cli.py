"""Runs the public command line against a fresh server: `CREWSHIP_CLI=/path/to/binary python scripts/replay_cli.py`.

The commands stand in `cli_commands.yaml`. Without CREWSHIP_CLI nothing is run. Exits with 1 when a command does
something else than the list says.
"""

import os
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import yaml

COMMANDS = Path(__file__).with_name("cli_commands.yaml")
PATIENCE = 60.0  # seconds for one command


class Place(NamedTuple):
    """Where the commands work."""

    address: str
    token: str
    id: str
    slug: str
    crew: str


class Ran(NamedTuple):
    command: list[str]
    fault: str | None  # None: as the list says


def listed(path: Path = COMMANDS) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text())
    return found


def filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def play(binary: str, place: Place, commands: list[dict[str, Any]], directory: Path) -> Iterator[Ran]:
    """Each command, and what is wrong with it."""
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(directory),
        "CREWSHIP_CONFIG": str(directory / "config"),
        "CREWSHIP_SERVER": place.address,
        "CREWSHIP_TOKEN": place.token,
        "CREWSHIP_WORKSPACE": place.id,
        "NO_COLOR": "1",
    }
    values = {"id": place.id, "slug": place.slug, "crew": place.crew, "file": str(directory / "written")}
    for command in commands:
        words = [filled(str(word), values) for word in command["run"]]
        wanted = command.get("exit", 0)
        try:
            ran = subprocess.run(
                [binary, *words], cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                text=True, timeout=PATIENCE, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            yield Ran(words, f"has not ended after {PATIENCE:.0f} s")
            continue
        pattern = filled(command.get("shows", ""), {name: re.escape(value) for name, value in values.items()})
        if ran.returncode not in (wanted if isinstance(wanted, list) else [wanted]):
            yield Ran(words, f"exit {ran.returncode}, not {wanted}: {(ran.stderr or ran.stdout).strip()[:300]}")
        elif not re.search(pattern, ran.stdout):
            yield Ran(words, f"does not show {pattern!r}")
        else:
            yield Ran(words, None)


def told(results: Iterator[Ran]) -> int:
    """Prints a line for each command; how many are not as they should be."""
    failed = number = 0
    for command, fault in results:
        number += 1
        failed += fault is not None
        print(f"{'ok  ' if fault is None else 'FAIL'} {' '.join(command)}{f': {fault}' if fault else ''}", flush=True)
    print(f"\n{number} commands run, {failed} differ")
    return failed


def settled(address: str) -> Place:
    """The first user of a fresh server, with a crew."""
    owner = {"full_name": "Ada Lovelace", "email": "ada@example.com", "password": secrets.token_urlsafe(12)}
    with httpx2.Client(base_url=address, timeout=PATIENCE) as client:
        made = client.post("/api/v1/bootstrap", json=owner).raise_for_status().json()
        id, token = made["workspace_id"], made["cli_token"]
        client.headers["authorization"] = f"Bearer {token}"
        sent = {"name": "Research", "slug": "research"}
        crew = client.post("/api/v1/crews", params={"workspace_id": id}, json=sent).raise_for_status().json()
        workspace = client.get(f"/api/v1/workspaces/{id}").raise_for_status().json()
    return Place(address, token, id, workspace["slug"], crew["slug"])


def main() -> None:
    binary = os.environ.get("CREWSHIP_CLI")
    if not binary:
        print("CREWSHIP_CLI names no binary of the command line: its commands are not run")
        return
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from replay import server

    with tempfile.TemporaryDirectory(prefix="crewship-replay-") as name:
        directory = Path(name)
        for folder in ("data", "home"):
            (directory / folder).mkdir(mode=0o700)
        with server(directory / "data", secrets.token_hex(32)) as address:
            failed = told(play(binary, settled(address), listed(), directory / "home"))
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
