"""A process that only works answers its probes as a serving one does."""

from pathlib import Path

import httpx2
import pytest

from crewship.process.probes import create_worker
from tests.conftest import Database
from tests.world import serving, settings_for

pytestmark = pytest.mark.anyio


async def test_the_probes_of_a_worker(database: Database, tmp_path: Path) -> None:
    worker = create_worker(settings_for(database.url, tmp_path))
    async with serving(worker) as url, httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        assert (await client.get("/healthz")).json()["uptime"]
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": True, "checks": {"db": "ok", "state": "ok"}})
        measured = await client.get("/metrics")
        assert measured.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "crewshipd_uptime_seconds" in measured.text
        assert (await client.get("/metrics", headers={"host": "another.example.com"})).status_code == 404
        assert (await client.post("/healthz")).status_code == 405
        assert (await client.get("/api/health")).status_code == 404


async def test_a_worker_that_lacks_migrations_is_not_ready(empty_database: Database, tmp_path: Path) -> None:
    worker = create_worker(settings_for(empty_database.url, tmp_path))
    async with serving(worker) as url, httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        assert (await client.get("/healthz")).status_code == 200
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, False)
