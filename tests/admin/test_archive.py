"""An archive of a person's data: put together by the job, compared with the database, downloaded, and gone in time."""

import io
import zipfile

import orjson
import pytest

from models.migrations.tables import metadata
from models.personal_data import held_in
from resolvers.admin.archive import ARCHIVE
from resolvers.kernel import steps
from runtime import admin
from tests.admin.test_erasure import plant, somebody
from tests.world import World

pytestmark = pytest.mark.anyio
RECEIPTS = "/api/v1/admin/gdpr-actions"


class Doing:
    """The job's work, without a queue."""

    def __init__(self, workspace_id: str) -> None:
        self.workspace_id = workspace_id

    async def read(self, look):  # type: ignore[no-untyped-def]
        return await steps.read(ARCHIVE, self.workspace_id, look)

    async def write(self, step: str, change):  # type: ignore[no-untyped-def]
        mark = steps.Mark("SELECT true AS live, true AS fresh", ())
        return await steps.write(ARCHIVE, self.workspace_id, mark, change)


async def test_every_row_of_the_person_is_in_it(world: World) -> None:
    person = await somebody(world)
    await plant(world, person)
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
    for table in metadata().sorted_tables:
        kept = held_in(table)
        keys = (*kept.whose, *kept.by)
        if not keys or table.name in ("idempotency_keys", "gdpr_actions"):
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
