"""Counters of backups: what each call adds, who reads them, and the test of a crew's backup."""

import contextlib
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from models.oversight.backups import BackupLock
from resolvers.instance.bundles.faults import BundleError, BundleFault
from resolvers.instance.running import instance
from resolvers.kernel import Code, Refusal
from resolvers.oversight.backups import counting, keeping, self_testing
from resolvers.oversight.backups.counting import BackupCounters, reason_of
from resolvers.oversight.backups.locking import HELD
from tests.world import World, now

pytestmark = pytest.mark.anyio
BACKUPS = "/api/v1/admin/backups"
CLEAR = {"scope": "workspace", "no_encrypt": True}


@pytest.fixture
def counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counters from zero, which the owner of the workspace reads."""
    fresh = BackupCounters()
    for module in ("making", "restoring", "keeping"):
        monkeypatch.setattr(f"resolvers.oversight.backups.{module}.counters", fresh)
    owned = instance.settings.model_copy(update={"owner_email": world.owner.email.upper()})
    monkeypatch.setattr(instance, "_settings", owned)


async def read(world: World) -> dict[str, Any]:
    answer = await world.rest(world.owner, "GET", f"{BACKUPS}/metrics")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_what_is_made_restored_and_refused_is_counted(world: World, counted: None) -> None:
    before = await read(world)
    assert before.pop("lock_held_seconds_by_workspace") == before.pop("created_by_scope") == {}
    assert before.pop("failed_by_reason") == {}
    assert set(before.values()) == {0}
    made = (await world.rest(world.owner, "POST", BACKUPS, CLEAR)).json()
    for body, status in (
        ({"path": made["path"], "dry_run": True}, 200),
        ({"path": made["path"], "as_workspace": "counted", "dry_run": True}, 200),
        ({"path": made["path"]}, 409),
        ({"path": made["path"], "as_workspace": "counted"}, 200),
    ):
        answer = await world.rest(world.owner, "POST", f"{BACKUPS}/restore", body)
        assert answer.status_code == status, answer.text
    assert (await world.rest(world.owner, "POST", BACKUPS, {"scope": "galaxy"})).status_code == 400
    after = await read(world)
    assert (after["created_total"], after["created_by_scope"]) == (1, {"workspace": 1})
    assert after["size_bytes_total"] == made["size_bytes"]
    assert (after["restored_total"], after["failed_total"]) == (1, 2)
    assert after["failed_by_reason"] == {"restore:noop_restore": 1, "create:invalid_scope": 1}
    assert 0 < after["duration_seconds_p50"] == after["duration_seconds_p95"] == after["duration_seconds_mean"]


async def test_a_lock_that_is_held_is_reported_for_the_workspace_of_the_call(world: World, counted: None) -> None:
    since = now() - timedelta(minutes=5)
    held = BackupLock(
        acquired_by="x", acquired_at=since, expires_at=now() + timedelta(hours=1), workspace_id=world.workspace.id
    )
    elsewhere = BackupLock(
        acquired_by="x", acquired_at=since, expires_at=now() + timedelta(hours=1), workspace_id=world.other.id
    )
    await world.add(held)
    await world.add(elsewhere)
    try:
        assert (await world.rest(world.owner, "POST", BACKUPS, CLEAR)).status_code == 409
        found = await read(world)
    finally:
        await world.database.execute("DELETE FROM backup_locks")
    assert found["lock_held_seconds_by_workspace"].keys() == {world.workspace.id}
    assert 300 <= found["lock_held_seconds_by_workspace"][world.workspace.id] < 360
    assert found["failed_by_reason"] == {"create:lock_held": 1}


async def test_only_the_owner_of_the_instance_reads_the_counters(world: World, counted: None) -> None:
    statuses = [
        (await world.rest(person, "GET", f"{BACKUPS}/metrics")).status_code
        for person in (world.owner, world.admin, world.member)
    ]
    assert statuses == [200, 403, 403]


async def test_without_an_owner_nobody_does(world: World) -> None:
    assert instance.settings.owner_email is None
    answer = await world.rest(world.owner, "GET", f"{BACKUPS}/metrics")
    assert (answer.status_code, answer.json()["error"]) == (403, keeping.NOT_THE_OWNER)


def test_reasons_have_the_names_of_the_contract() -> None:
    assert reason_of(BundleError(BundleFault.decryption, "x")) == "decryption"
    assert reason_of(Refusal(Code.CONFLICT, HELD)) == "lock_held"
    assert reason_of(Refusal(Code.CONFLICT, counting.NOTHING_NEW)) == "noop_restore"
    assert reason_of(Refusal(Code.CONFLICT, "another")) == reason_of(OSError()) == "other"


def test_percentiles_are_values_that_were_measured() -> None:
    times = [float(number) for number in range(1, 101)]
    assert [counting._percentile(times, percent) for percent in (50, 95)] == [50.0, 95.0]
    assert [counting._percentile([7.0], percent) for percent in (50, 95)] == [7.0, 7.0]
    assert counting._percentile([], 50) == 0.0


class _Engine:
    """One that says of each container whether it runs."""

    def __init__(self, runs: bool) -> None:
        self._runs = runs

    @contextlib.asynccontextmanager
    async def inside(self, workspace_id: str, crew_id: str, agent_id: str) -> AsyncIterator[object | None]:
        yield object() if self._runs else None


async def crew_of(world: World) -> dict[str, Any]:
    body = {"name": "Deck", "slug": f"deck-{hashlib.sha256(str(now()).encode()).hexdigest()[:8]}"}
    crew = (await world.rest(world.owner, "POST", "/api/v1/crews", body)).json()
    agent = {"name": "Ada", "slug": f"ada-{crew['slug']}", "crew_id": crew["id"]}
    assert (await world.rest(world.owner, "POST", "/api/v1/agents", agent)).status_code == 201
    return dict(crew)


async def trial(world: World, crew: str) -> Any:
    return await world.rest(world.owner, "POST", f"{BACKUPS}/self-test", {"crew_id": crew})


async def test_the_backup_of_a_crew_is_tested_and_nothing_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance, "containers", _Engine(True))
    crew, before = await crew_of(world), (await world.rest(world.owner, "GET", BACKUPS)).json()
    answer = await trial(world, crew["id"])
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["ok"], told.get("error"), told["crew_slug"]) == (True, None, crew["slug"])
    assert told["canary_bytes"] > 0
    assert told["bundle_bytes"] > told["canary_bytes"]
    assert left(world, crew["id"]) == []
    assert (await world.rest(world.owner, "GET", BACKUPS)).json() == before


async def test_a_restore_that_brings_something_else_fails_the_test(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance, "containers", _Engine(True))
    monkeypatch.setattr(self_testing, "_restored", lambda *_: None)
    crew = await crew_of(world)
    told = (await trial(world, crew["id"])).json()
    assert (told["ok"], told["error"]) == (False, self_testing.DIFFERS)
    assert left(world, crew["id"]) == []


async def test_without_a_container_the_test_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    crew = await crew_of(world)
    refused = await trial(world, "")
    assert refused.status_code == 503, "the engine is looked for first"
    monkeypatch.setattr(instance, "containers", _Engine(False))
    assert (await trial(world, "")).status_code == 400
    assert (await trial(world, "c" + "0" * 24)).status_code == 404
    told = (await trial(world, crew["id"])).json()
    assert (told["ok"], told["error"], told["bundle_bytes"]) == (False, self_testing.NO_CONTAINER, 0)


def left(world: World, crew: str) -> list[Path]:
    """Files of the crew, and what is not a bundle in the folder of backups."""
    folders = (
        instance.settings.storage_path / "workspaces" / world.workspace.id / "crews" / crew,
        instance.settings.data_dir / "backups" / world.workspace.id,
    )
    return [each for folder in folders if folder.exists() for each in folder.iterdir() if ".tar.zst" not in each.name]
