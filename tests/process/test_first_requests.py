"""What a start leaves undone is not done while somebody waits for the first answer, and what it leaves is little."""

import json
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
import pytest

from scripts.budget import ROOT, compiled
from tests.process.commands import PATIENCE, environment, migrated, serving

FIRST = 0.2  # seconds of the processor, for a first request of its kind
IDLE = 158.0  # MB, when both surfaces have answered


@pytest.mark.slow
def test_the_first_requests_pay_for_no_start(tmp_path: Path) -> None:
    """The first list, and the first document."""
    owner = {"full_name": "Ada", "email": "ada@example.com", "password": "correct horse battery"}
    document = {"query": "{ crews { nodes { id name agents { nodes { id name } } } } }"}
    compiled(ROOT)
    with serving(env=environment(migrated(tmp_path / "data"))) as served:
        asked = _Asked(served.process.pid, f"http://127.0.0.1:{served.port}")
        token = asked("/api/v1/bootstrap", owner)["cli_token"]
        asked("/graphql", {"query": "{ __typename }"})  # made by now
        asked.token, asked.took = token, []
        place = {"x-workspace-id": asked("/api/v1/workspaces")[0]["id"]}
        asked("/api/v1/crews", **place)
        assert asked("/graphql", document, **place)["data"] == {"crews": {"nodes": []}}
        idle = asked.process.memory_info().rss / 2**20
    assert max(asked.took) < FIRST, asked.took
    assert idle < IDLE


class _Asked:
    """Requests, and the seconds of the processor that the server took for each."""

    def __init__(self, pid: int, url: str) -> None:
        self.process, self.url = psutil.Process(pid), url
        self.token: str | None = None
        self.took: list[float] = []

    def __call__(self, path: str, body: Any = None, **headers: str) -> Any:
        given = {"content-type": "application/json"} | headers
        if self.token is not None:
            given["authorization"] = f"Bearer {self.token}"
        data, before = None if body is None else json.dumps(body).encode(), self._seconds()
        with urlopen(Request(self.url + path, data, given), timeout=PATIENCE) as answer:
            made = json.loads(answer.read())
        self.took.append(self._seconds() - before)
        return made

    def _seconds(self) -> float:
        used = self.process.cpu_times()
        return used.user + used.system
