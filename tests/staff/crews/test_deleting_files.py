"""A file of a crew is deleted, and nothing else is."""

import os
from pathlib import Path

import httpx2
import orjson
import pytest

from models.base import new_id
from models.staff.crews import Crew
from resolvers.instance.confined import ATTACHMENTS
from tests.every import each_of
from tests.world import Person, World

pytestmark = pytest.mark.anyio
DELETE = """mutation ($input: DeleteCrewFileInput!, $ws: ID) {
    deleteCrewFile(workspaceId: $ws, input: $input) { status path } }"""


class Shelf:
    """A crew and its folder."""

    def __init__(self, world: World, crew: Crew) -> None:
        self.world, self.crew = world, crew
        self.folder: Path = (
            world.settings.storage_path / "workspaces" / world.workspace.id / "crews" / crew.id / "output"
        )

    def made(self, path: str) -> Path:
        at = self.folder / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(b"hello")
        return at

    async def delete(self, path: str | None, who: Person | None = None, crew: str = "") -> httpx2.Response:
        asked = {"workspace_id": self.world.workspace.id} | ({} if path is None else {"path": path})
        async with self.world.client(who or self.world.manager) as client:
            return await client.delete(f"/api/v1/crews/{crew or self.crew.id}/files/delete", params=asked)


@pytest.fixture
async def shelf(world: World) -> Shelf:
    crew = Crew(workspace_id=world.workspace.id, name="Engine", slug=new_id())
    await world.add(crew)
    return Shelf(world, crew)


async def test_a_file_is_deleted_once_and_told_of_once(shelf: Shelf) -> None:
    world, kept = shelf.world, shelf.made("shared/b.txt")
    for path in ("shared/a.txt", f"{shelf.crew.id}/shared/a.txt"):
        file = shelf.made("shared/a.txt")
        for _ in range(2):
            done = await shelf.delete(path)
            assert (done.status_code, done.json()) == (200, {"status": "deleted", "path": path})
            assert not file.exists()
    assert kept.exists()
    rows = await world.database.fetch("SELECT payload FROM events WHERE channel = $1", f"crew:{shelf.crew.id}")
    events = [row["payload"] if isinstance(row["payload"], dict) else orjson.loads(row["payload"]) for row in rows]
    assert [(each["event"], each["path"], each["size"]) for each in events] == [("file_deleted", "shared/a.txt", 5)] * 2
    logged = [row for row in await world.audit() if row["action"] == "file.deleted"]
    assert [row["data"]["path"] for row in logged if row["entity_id"] == shelf.crew.id] == ["shared/a.txt"] * 2


async def test_over_graphql(shelf: Shelf) -> None:
    file, given = shelf.made("a.txt"), {"input": {"crewId": shelf.crew.id, "path": "a.txt"}}
    refused = await shelf.world.graphql(shelf.world.viewer, DELETE, given)
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert file.exists()
    done = await shelf.world.graphql(shelf.world.manager, DELETE, given)
    assert done["data"]["deleteCrewFile"] == {"status": "deleted", "path": "a.txt"}
    assert not file.exists()


HOSTILE = (
    None, "", "/etc/passwd", "../x", "shared/../../x", "..\\x", "shared/..\\x", "a\0b", "%2e%2e/x", "..%2fx", "n" * 256,
    ".", "/",
)  # fmt: skip


@each_of("path", HOSTILE)
async def test_a_path_that_means_something_else_is_refused(shelf: Shelf, path: str | None) -> None:
    outside = shelf.folder.parent / "x"
    shelf.made("shared/a.txt")
    outside.write_bytes(b"kept")
    before = await shelf.world.snapshot()
    refused = await shelf.delete(path)
    assert refused.status_code == 400, refused.text
    assert outside.read_bytes() == b"kept"
    assert (shelf.folder / "shared/a.txt").exists()
    assert await shelf.world.snapshot() == before


async def test_what_is_no_file_of_the_crew_stays(shelf: Shelf) -> None:
    world = shelf.world
    other = Crew(workspace_id=world.workspace.id, name="Deck", slug=new_id())
    await world.add(other)
    attached = shelf.made(f"ada/{ATTACHMENTS}/a.txt")
    (shelf.folder / "empty").mkdir()
    before = await world.snapshot()
    for path, status in (("empty", 409), ("ada", 409), (f"{other.id}/a.txt", 400), (f"ada/{ATTACHMENTS}/a.txt", 400)):
        assert (await shelf.delete(path)).status_code == status, path
    for who in (world.member, world.viewer, world.outsider):
        assert (await shelf.delete("ada/x", who)).status_code == 403
    for path, crew in (("a.txt", "cnone0000000000000000000"), ("../x", "cnone0000000000000000000")):
        assert (await shelf.delete(path, crew=crew)).status_code == 404
    assert (await shelf.delete("", crew="cnone0000000000000000000")).status_code == 400
    assert (attached.exists(), (shelf.folder / "empty").is_dir()) == (True, True)
    assert await world.snapshot() == before


async def test_a_link_is_deleted_and_never_followed(shelf: Shelf) -> None:
    real = shelf.made("real/a.txt")
    (shelf.folder / "link").symlink_to("real/a.txt")
    (shelf.folder / "way").symlink_to("real")
    os.mkfifo(shelf.folder / "pipe")
    for path in ("way/a.txt", "real/a.txt/x"):
        assert (await shelf.delete(path)).status_code == 200, "there is no such file"
        assert real.read_bytes() == b"hello"
    for path in ("link", "way", "pipe"):
        assert (await shelf.delete(path)).status_code == 200, path
    assert sorted(os.listdir(shelf.folder)) == ["real"]
    assert real.read_bytes() == b"hello"
