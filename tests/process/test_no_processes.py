"""The process that only answers requests starts no others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import subprocess, sys
from crewship.process.serve import promise_no_processes
from resolvers.instance.settings import load_settings
promise_no_processes(load_settings(role=sys.argv[1]))
try:
    subprocess.run(["true"], check=True)
    print("started")
except RuntimeError as error:
    print("refused")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("role", "outcome"), [("api", "refused"), ("worker", "started"), ("all", "started")])
def test_only_a_process_that_does_agents_work_may_start_others(role: str, outcome: str, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "CREWSHIP_DATA_DIR": str(tmp_path), "PYTHONPATH": os.getcwd()}
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, role], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.strip() == outcome
