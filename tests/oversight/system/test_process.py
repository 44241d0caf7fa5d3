"""The real process: what it logs of requests, and what it tells operators on its port and on its private socket."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.process.commands import Served, environment, migrated, serving

FAR = {"x-forwarded-for": "203.0.113.9"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated(tmp_path_factory.mktemp("process") / "data")


@pytest.fixture(scope="module")
def served(data_dir: Path) -> Iterator[Served]:
    with serving(env=environment(data_dir, CREWSHIP_METRICS_TOKEN="a token of scrapers")) as made:
        yield made


def over_port(served: Served) -> httpx2.Client:
    # processes start slowly on a busy machine
    return httpx2.Client(base_url=f"http://127.0.0.1:{served.port}", timeout=60)


def over_socket(data_dir: Path) -> httpx2.Client:
    return httpx2.Client(
        base_url="http://localhost",
        transport=httpx2.HTTPTransport(uds=str(data_dir / "run" / "crewship.sock")),
        timeout=60,
    )


@pytest.mark.slow
def test_operators_are_answered_on_both_sockets(served: Served, data_dir: Path) -> None:
    for client in (over_port(served), over_socket(data_dir)):
        with client:
            assert client.get("/healthz").json()["status"] == "ok"
            assert client.get("/readyz").json() == {"status": True, "checks": {"db": "ok", "state": "ok"}}
            assert client.get("/metrics").text.count("crewshipd_db_migration_version ") == 3  # help, type, sample
            assert client.get("/metrics", headers=FAR).status_code == 404
            assert (
                client.get("/metrics", headers=FAR | {"authorization": "Bearer a token of scrapers"}).status_code == 200
            )
            assert client.get("/api/v1/system/setup-status").json() == {"needs_bootstrap": True, "allow_signup": False}


@pytest.mark.slow
def test_denied_writes_are_logged_and_reads_are_not(data_dir: Path) -> None:
    with serving(env=environment(migrated(data_dir.with_name("logged")))) as served, over_port(served) as client:
        body = {"name": "a name of somebody", "color": "red"}
        assert client.get("/healthz", headers={"x-request-id": "alive"}).status_code == 200
        assert client.get("/api/v1/labels", headers={"x-request-id": "read"}).status_code == 401
        assert client.post("/api/v1/labels", json=body, headers={"x-request-id": "write"}).status_code == 401
        secret = {"x-request-id": "bearer", "authorization": "Bearer hunter2"}
        assert client.post("/api/v1/labels", json=body, headers=secret).status_code == 401
        assert (
            client.post(
                "/api/v1/labels", json=body, headers={"x-request-id": "foreign", "origin": "https://evil.example"}
            ).status_code
            == 403
        )
        assert served.end() == 0
        said = served.logged()
    lines = [json.loads(line) for line in said.splitlines()]
    shown = {line.pop("request_id"): line for line in lines if "request_id" in line}
    times = [line.pop("timestamp") for line in shown.values()]
    denied = {
        "event": "write denied",
        "operation": "labels.create",
        "code": "UNAUTHENTICATED",
        "client": "127.0.0.1",
        "level": "info",
        "logger": "crewship",
    }
    assert shown == {
        "write": denied | {"reason": "no_credentials", "credential": "none"},
        "bearer": denied | {"reason": "session_invalid", "credential": "invalid"},
        "foreign": {
            "event": "origin refused",
            "method": "POST",
            "path": "/api/v1/labels",
            "client": "127.0.0.1",
            "level": "info",
            "logger": "crewship",
        },
    }
    assert all(time.endswith("Z") for time in times)
    assert "hunter2" not in said
    assert "somebody" not in said


@pytest.mark.slow
def test_one_of_several_processes_says_so(data_dir: Path) -> None:
    with (
        serving("--workers", "2", env=environment(migrated(data_dir.with_name("several")))) as served,
        over_port(served) as client,
    ):
        assert "\ncrewshipd_workers 2.0\n" in client.get("/metrics").text
        assert served.end() == 0
