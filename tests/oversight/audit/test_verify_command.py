"""`crewship audit verify`, as an operator calls it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit")


def crewship(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    plain = {n: v for n, v in os.environ.items() if not n.startswith(("CREWSHIP_", "DATABASE_URL", "NEXTAUTH_"))}
    key = {"ENCRYPTION_KEY": "ab" * 32}
    return subprocess.run(
        [sys.executable, "-m", "crewship", *arguments],
        env=plain | key | {"CREWSHIP_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_an_empty_log_is_whole(data_dir: Path) -> None:
    assert crewship(data_dir, "migrate").returncode == 0
    told = crewship(data_dir, "audit", "verify")
    assert told.stdout == "0 rows in 0 seals of 0 workspaces: 0 faults.\n", told.stderr
    assert told.returncode == 0
    listed = crewship(data_dir, "audit", "verify", "--json")
    assert json.loads(listed.stdout) == {"rows": 0, "seals": 0, "workspaces": 0, "dropped": 0, "faults": []}
    keys = json.loads(crewship(data_dir, "keys", "status", "--json").stdout)
    assert (keys["wraps"], keys["retired"]) == ("ENCRYPTION_KEY", 0)
    unknown = crewship(data_dir, "audit", "verify", "--workspace", "nowhere")
    assert (unknown.returncode, unknown.stderr) == (1, "crewship: there is no workspace nowhere\n")
