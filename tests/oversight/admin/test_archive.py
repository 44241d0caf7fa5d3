"""An archive of a person's data: put together by the job, compared with the database, downloaded, and gone in time."""

import io
import zipfile
from typing import Any

import orjson
import pytest

from models.migrations.tables import metadata
from models.personal_data import held_in
from resolvers.errors import Refusal
from resolvers.instance.running import instance
from resolvers.kernel.background import steps
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.oversight.admin.archive import ARCHIVE
from runtime.oversight import admin
from tests.oversight.admin.test_erasure import CANARY, plant, somebody
from tests.world import World

pytestmark = pytest.mark.anyio
RECEIPTS = "/api/v1/admin/gdpr-actions"
OF_ACCOUNTS = {
    table.name
    for table in metadata().sorted_tables
    if table.name != "users" and not {"workspace_id", "from_workspace_id"} & set(table.columns.keys())
}
"""What is kept of a person in no workspace: it is theirs alone."""


class Doing:
    """The job's work, without a queue."""

    def __init__(self, workspace_id: str) -> None:
        self.workspace_id, self.attempt = workspace_id, 1

    async def read(self, look):  # type: ignore[no-untyped-def]
        return await steps.read(ARCHIVE, self.workspace_id, look)

    async def write(self, step: str, change):  # type: ignore[no-untyped-def]
        mark = steps.Mark("SELECT true AS live, true AS fresh", ())
        return await steps.write(ARCHIVE, self.workspace_id, mark, change)


async def test_every_row_of_the_person_is_in_it(world: World) -> None:
    person = await somebody(world)
    await plant(world, person)
    folder = world.settings.storage_path / "workspaces" / world.workspace.id / "issue_files" / CANARY
    folder.mkdir(parents=True)
    (folder / "content").write_bytes(b"of an issue")
    started = await world.rest(world.admin, "POST", f"/api/v1/admin/users/{person.user_id}/archive")
    assert started.status_code == 202, started.text
    id = started.json()["id"]
    assert started.json()["status"] == "in_progress"
    assert (await world.rest(world.admin, "GET", f"{RECEIPTS}/{id}/archive")).status_code == 410
    await admin.archive(Doing(world.workspace.id), ARCHIVE.input(action_id=id))  # type: ignore[arg-type]
    receipt = (await world.rest(world.admin, "GET", f"{RECEIPTS}/{id}")).json()
    assert receipt["status"] == "completed"
    answer = await world.rest(world.admin, "GET", f"{RECEIPTS}/{id}/archive")
    assert (answer.status_code, len(answer.content)) == (200, receipt["archive_bytes"])
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.read(f"files/issue_files/{CANARY}") == b"of an issue"
    for table in metadata().sorted_tables:
        kept = held_in(table)
        keys = (*kept.whose, *kept.by)
        if not keys or table.name in ("idempotency_keys", "gdpr_actions"):
            continue
        if table.name in OF_ACCOUNTS:
            assert f"{table.name}.ndjson" not in archive.namelist()
            continue
        lines = [orjson.loads(line) for line in archive.read(f"{table.name}.ndjson").splitlines()]
        named = " OR ".join(f"{key} = $1" for key in keys)
        stored = await world.database.fetchval(f"SELECT count(*) FROM {table.name} WHERE {named}", person.user_id)
        assert len(lines) == stored == receipt["scope"].get(table.name, 0), table.name
        assert not any(column in line for line in lines for column in kept.hidden)
    assert len(receipt["scope"]) > 10
    assert (await world.rest(world.manager, "GET", f"{RECEIPTS}/{id}/archive")).status_code == 403
    await world.database.execute("UPDATE gdpr_actions SET expires_at = now() WHERE id = $1", id)
    assert (await world.rest(world.admin, "GET", f"{RECEIPTS}/{id}/archive")).status_code == 410


async def started(world: World, person: str) -> str:
    answer = await world.rest(world.admin, "POST", f"/api/v1/admin/users/{person}/archive")
    return str(answer.json()["id"])


async def put_together(world: World, id: str, attempt: int = 1) -> None:
    work = Doing(world.workspace.id)
    work.attempt = attempt
    await admin.archive(work, ARCHIVE.input(action_id=id))  # type: ignore[arg-type]


async def stored(world: World) -> set[str]:
    folder = instance.store.folder("workspaces", world.workspace.id, "gdpr")
    try:
        return {entry.name for entry in await folder.list("")}
    except Refusal:
        return set()


async def test_archives_go_with_the_person(world: World) -> None:
    person, other = await somebody(world), await somebody(world)
    done, waiting, others = [await started(world, each.user_id) for each in (person, person, other)]
    await put_together(world, done)
    await put_together(world, others)
    erased = await world.rest(world.admin, "POST", f"/api/v1/admin/users/{person.user_id}/erase", {"reason": "asked"})
    assert erased.status_code == 200, erased.text
    assert f"{done}.zip" not in await stored(world)
    assert f"{others}.zip" in await stored(world)
    assert (await world.rest(world.admin, "GET", f"{RECEIPTS}/{done}/archive")).status_code == 410
    await put_together(world, waiting)
    receipt = (await world.rest(world.admin, "GET", f"{RECEIPTS}/{waiting}")).json()
    assert (receipt["status"], receipt["error"]) == ("failed", "The person was erased")
    assert f"{waiting}.zip" not in await stored(world)
    assert "error" not in (await world.rest(world.admin, "GET", f"{RECEIPTS}/{others}")).json()


async def test_one_that_is_put_together_while_the_person_is_erased_does_not_stay(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await somebody(world)
    id = await started(world, person.user_id)
    before = admin._written_down

    async def erased_meanwhile(*arguments: Any) -> Any:
        counted = await before(*arguments)
        await world.rest(world.admin, "POST", f"/api/v1/admin/users/{person.user_id}/erase", {"reason": "asked"})
        return counted

    monkeypatch.setattr(admin, "_written_down", erased_meanwhile)
    await put_together(world, id)
    assert (await world.rest(world.admin, "GET", f"{RECEIPTS}/{id}")).json()["status"] == "failed"
    assert f"{id}.zip" not in await stored(world)


async def test_the_last_attempt_that_fails_is_told_and_an_earlier_one_is_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await somebody(world)
    id = await started(world, person.user_id)

    async def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(admin, "_written_down", full)
    for attempt, status in ((1, "in_progress"), (ARCHIVE.attempts, "failed")):
        with pytest.raises(OSError, match="No space"):
            await put_together(world, id, attempt)
        receipt = (await world.rest(world.admin, "GET", f"{RECEIPTS}/{id}")).json()
        assert receipt["status"] == status
    assert "could not be created" in receipt["error"]
    assert receipt["completed_at"]
    assert "No space" not in receipt["error"]
    document = "query($ws: ID, $id: ID!) { gdprReceipt(workspaceId: $ws, id: $id) { status error } }"
    read = await world.graphql(world.admin, document, {"id": id})
    assert read["data"]["gdprReceipt"] == {"status": "failed", "error": receipt["error"]}


async def test_what_nobody_is_at_any_more_has_failed(world: World) -> None:
    person = await somebody(world)
    lost, young = [await started(world, person.user_id) for _ in range(2)]
    old = "UPDATE gdpr_actions SET created_at = now() - interval '25 hours' WHERE id = $1"
    await world.database.execute(old, lost)

    class Ticking:
        async def write(self, change: Any) -> Any:
            return await across_workspaces(change)

    await admin.expire(Ticking())  # type: ignore[arg-type]
    found = [(await world.rest(world.admin, "GET", f"{RECEIPTS}/{id}")).json()["status"] for id in (lost, young)]
    assert found == ["failed", "in_progress"]
