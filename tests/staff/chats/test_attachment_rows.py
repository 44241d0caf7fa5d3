"""Who attached a file is recorded with it: rows and files that come and go together, whatever dies in between."""

import asyncio
import io
import os
import zipfile
from typing import Any

import orjson
import pytest

from models.base import new_id
from models.people.workspaces import Role
from resolvers.errors import Code, Refusal
from resolvers.oversight.admin.archive import ARCHIVE
from resolvers.staff.chats import attachments
from runtime.oversight import admin
from tests.oversight.admin.test_archive import Doing
from tests.people.workspaces.test_files import carried_out, tick
from tests.staff.chats.rooms import agent_of, chat_of, crew_of
from tests.staff.chats.test_attachments import Room, one
from tests.staff.chats.test_attachments import room as room
from tests.world import Person, World

pytestmark = pytest.mark.anyio
LIST = """query($id: ID!, $first: Int, $after: String) { chat(id: $id) { attachments(first: $first, after: $after) {
    totalCount pageInfo { endCursor hasNextPage }
    nodes { name size mediaType path agentPath uploadedBy uploader { id } chat { id } } } } }"""
ROWS = "SELECT name, size, uploaded_by, deleted_at IS NOT NULL AS deleted FROM chat_attachments WHERE chat_id = $1"


async def rows(room: Room) -> dict[str, tuple[int, str | None]]:
    found = await room.world.database.fetch(f"{ROWS} ORDER BY name", room.chat.id)
    return {row["name"]: (row["size"], row["uploaded_by"]) for row in found if not row["deleted"]}


def on_disk(room: Room) -> list[str]:
    return sorted(os.listdir(room.folder)) if room.folder.exists() else []


async def listed(room: Room, who: Person, **page: Any) -> Any:
    answer = await room.world.graphql(who, LIST, {"id": room.chat.id, **page})
    return answer["data"]["chat"]["attachments"]


async def somebody_waits(world: World) -> None:
    async with asyncio.timeout(10):
        while not await world.database.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)


async def erase(world: World, person: Person) -> None:
    path = f"/api/v1/admin/users/{person.user_id}/erase"
    answer = await world.rest(world.admin, "POST", path, {"reason": "asked"})
    assert answer.status_code == 200, answer.text


async def test_who_attached_what_is_told(room: Room) -> None:
    world = room.world
    typed = (
        b'--XX\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
        b"Content-Type: IMAGE/png; x=1\r\n\r\npixels\r\n--XX--\r\n"
    )
    assert (await room.attach(typed)).status_code == 201
    for name, who in (("b", world.manager), ("c", world.admin), ("b", world.owner)):
        assert (await room.attach(one(name, "hello"), who=who)).status_code == 201
    found = await listed(room, world.viewer, first=2)
    path = f"attachments/{room.chat.id}/a.png"
    assert found["nodes"][0] == {
        "name": "a.png", "size": 6, "mediaType": "image/png", "path": path,
        "agentPath": f"/output/{room.agent.slug}/{path}", "uploadedBy": world.manager.user_id,
        "uploader": {"id": world.manager.user_id}, "chat": {"id": room.chat.id},
    }  # fmt: skip
    assert (found["totalCount"], found["pageInfo"]["hasNextPage"]) == (3, True)
    assert (found["nodes"][1]["uploadedBy"], found["nodes"][1]["mediaType"]) == (world.owner.user_id, None)
    rest = await listed(room, world.viewer, first=2, after=found["pageInfo"]["endCursor"])
    assert [node["name"] for node in rest["nodes"]] == ["c"]
    assert await rows(room) == {
        "a.png": (6, world.manager.user_id), "b": (5, world.owner.user_id), "c": (5, world.admin.user_id),
    }  # fmt: skip


async def test_a_refused_upload_has_no_row(room: Room) -> None:
    assert (await room.attach(one("a", "x" * (25 << 20)))).status_code == 400
    assert (await room.attach(one("a"), who=room.world.viewer)).status_code == 403
    (room.folder / "taken").mkdir(parents=True)
    assert (await room.attach(one("taken"))).status_code == 409
    (room.folder / "link").symlink_to("/etc/passwd")
    assert (await room.attach(one("link"))).status_code == 400
    assert await rows(room) == {}


async def test_what_is_saved_is_not_among_attachments(room: Room) -> None:
    world, name = room.world, f"attachments/{room.chat.id}/a"
    body = {"path": f"{room.agent.slug}/{name}", "content": "x"}
    document = "mutation($i: SaveCrewFileInput!) { saveCrewFile(input: $i) { path } }"
    sent = {"i": {"crewId": room.agent.crew_id, **body}}
    assert (await world.graphql(world.manager, document, sent))["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    here = {"workspace_id": world.workspace.id, "path": name}
    client = world.client(world.manager)
    saved = await client.put(f"/api/v1/agents/{room.agent.id}/files/save", params=here, content=b"x")
    assert saved.status_code == 400, saved.text
    assert not room.folder.exists()


async def test_a_file_is_deleted_and_its_name_is_free(room: Room) -> None:
    world = room.world
    document = "mutation($ws: ID!, $i: ByIdInput!) { deleteChatAttachment(workspaceId: $ws, input: $i) {id} }"
    for name in ("gone", "again", "stays"):
        assert (await room.attach(one(name))).status_code == 201
    ids = {row["name"]: row["id"] for row in await world.database.fetch("SELECT id, name FROM chat_attachments")}
    for who, code in ((world.member, "FORBIDDEN"), (world.outsider, "FORBIDDEN")):
        answer = await world.graphql(who, document, {"i": {"id": ids["gone"]}})
        assert answer["errors"][0]["extensions"]["code"] == code
    for name in ("gone", "again"):
        answer = await world.graphql(world.manager, document, {"i": {"id": ids[name]}})
        assert answer["data"] == {"deleteChatAttachment": {"id": ids[name]}}
    answer = await world.graphql(world.manager, document, {"i": {"id": ids["gone"]}})
    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert [node["name"] for node in (await listed(room, world.viewer))["nodes"]] == ["stays"]
    assert (await room.attach(one("again", "other"), who=world.owner)).status_code == 201
    await carried_out(world)
    assert (on_disk(room), (room.folder / "again").read_text()) == (["again", "stays"], "other")
    assert await rows(room) == {"again": (5, world.owner.user_id), "stays": (5, world.manager.user_id)}
    path = f"{room.agent.slug}/attachments/{room.chat.id}/gone"
    told = [event["payload"] for event in await world.events() if event["type"] == "file.event"]
    assert [(each["path"], each["event"]) for each in told if each["path"] == path] == [
        (path, "file_created"), (path, "file_deleted"),
    ]  # fmt: skip
    assert [row["action"] for row in await world.audit()].count("file.detached") == 2


async def test_files_of_an_erased_person_go_and_no_others(room: Room) -> None:
    world = room.world
    person = await world.person(f"gone{new_id()}", Role.MANAGER)
    for name, who in (("theirs", person), ("ours", world.manager), ("replaced", person), ("replaced", world.owner)):
        assert (await room.attach(one(name), who=who)).status_code == 201
    await erase(world, person)
    assert [node["name"] for node in (await listed(room, world.viewer))["nodes"]] == ["ours", "replaced"]
    await tick()
    assert await rows(room) == {"ours": (5, world.manager.user_id), "replaced": (5, world.owner.user_id)}
    await carried_out(world)
    assert on_disk(room) == ["ours", "replaced"]
    assert await world.database.fetchval("SELECT count(*) FROM chat_attachments WHERE chat_id = $1", room.chat.id) == 2
    await tick()
    assert on_disk(room) == ["ours", "replaced"]


async def test_the_archive_of_a_person_has_their_files(room: Room) -> None:
    world, content = room.world, "é" * (1 << 20)
    person = await world.person(f"kept{new_id()}", Role.MANAGER)
    for name, who in (("theirs ü", person), ("gone", person), ("ours", world.manager)):
        assert (await room.attach(one(name, content), who=who)).status_code == 201
    (room.folder / "gone").unlink()
    started = await world.rest(world.admin, "POST", f"/api/v1/admin/users/{person.user_id}/archive")
    id = started.json()["id"]
    await admin.archive(Doing(world.workspace.id), ARCHIVE.input(action_id=id))  # type: ignore[arg-type]
    answer = await world.rest(world.admin, "GET", f"/api/v1/admin/gdpr-actions/{id}/archive")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    path = f"files/{room.agent.slug}/attachments/{room.chat.id}/theirs ü"
    assert [name for name in archive.namelist() if name.startswith("files/")] == [path]
    assert archive.read(path).decode() == content
    told = [orjson.loads(line) for line in archive.read("chat_attachments.ndjson").splitlines()]
    assert sorted((row["name"], row["size"]) for row in told) == [("gone", 2 << 20), ("theirs ü", 2 << 20)]


async def test_a_name_that_is_taken_again_before_its_file_is_removed_stays(room: Room) -> None:
    world = room.world
    person = await world.person(f"gone{new_id()}", Role.MANAGER)
    assert (await room.attach(one("a", "theirs"), who=person)).status_code == 201
    await erase(world, person)
    assert (await room.attach(one("a", "ours"))).status_code == 201
    await carried_out(world)
    assert (room.folder / "a").read_text() == "ours"
    assert await rows(room) == {"a": (4, world.manager.user_id)}


@pytest.mark.parametrize("upload_first", [True, False])
async def test_an_upload_during_the_erasure_does_not_survive(
    room: Room, monkeypatch: pytest.MonkeyPatch, upload_first: bool
) -> None:
    """The one that comes second waits for the first."""
    world = room.world
    person = await world.person(f"gone{new_id()}", Role.MANAGER)
    there, go = asyncio.Event(), asyncio.Event()
    step, context = "upsert" if upload_first else "begin", attachments.Context
    original = getattr(context, step)

    async def held(ctx: Any, *given: Any) -> Any:
        result = await original(ctx, *given)
        if ctx.operation.name == "chats.attach":
            there.set()
            await go.wait()
        return result

    monkeypatch.setattr(context, step, held)
    uploading = asyncio.create_task(room.attach(one("a"), who=person))
    await asyncio.wait_for(there.wait(), 20)
    erasing = asyncio.create_task(erase(world, person))
    try:
        await (somebody_waits(world) if upload_first else erasing)
    finally:
        go.set()
    answer, _ = await asyncio.gather(uploading, erasing)
    assert answer.status_code == (201 if upload_first else 403), answer.text
    await carried_out(world)
    await tick()
    assert (on_disk(room), await rows(room)) == ([], {})


@pytest.mark.slow
async def test_rows_go_with_their_chat_agent_and_crew(room: Room) -> None:
    world = room.world
    assert (await room.attach(one("a"))).status_code == 201
    chat = f"/api/v1/agents/{room.agent.id}/chats/{room.chat.id}"
    assert (await world.rest(world.manager, "DELETE", chat)).status_code == 204
    for what in ("agents", "crews"):
        crew = await crew_of(world)
        agent = await agent_of(world, crew_id=crew.id)
        other = await chat_of(world, agent)
        assert (await room.attach(one("a"), agent=agent.id, chat=other.id)).status_code == 201
        id = agent.id if what == "agents" else crew.id
        assert (await world.rest(world.admin, "DELETE", f"/api/v1/{what}/{id}")).status_code == 200
        assert await world.database.fetch(ROWS, other.id) == []
        await carried_out(world)
        await tick()
        assert await world.database.fetch(ROWS, other.id) == []
    assert await rows(room) == {}


async def test_the_clock_mends_what_a_dead_process_has_left(room: Room) -> None:
    world = room.world
    for name in ("kept", "lost", "replaced"):
        assert (await room.attach(one(name))).status_code == 201
    (room.folder / "lost").unlink()
    (room.folder / "unknown ü").write_text("of before there were rows")
    (room.folder / "replaced").write_text("by an upload that was not committed")
    (room.folder / "folder").mkdir()
    (room.folder / "link").symlink_to("kept")
    os.mkfifo(room.folder / "pipe")
    await tick()
    by = world.manager.user_id
    mended = {"kept": (5, by), "replaced": (35, None), "unknown ü": (25, None)}
    assert await rows(room) == mended
    await tick()
    assert await rows(room) == mended
    assert [node["uploader"] for node in (await listed(room, world.viewer))["nodes"]].count(None) == 2
    for entry in room.folder.iterdir():
        entry.rmdir() if entry.is_dir() else entry.unlink()
    room.folder.rmdir()
    await tick()
    assert await rows(room) == {}


async def test_what_was_not_committed_is_found_by_the_clock(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has its name, and then the transaction ends without a trace, as where the process is killed."""
    before, keep = (5, room.world.manager.user_id), attachments.keep
    assert (await room.attach(one("replaced"))).status_code == 201

    async def dies(ctx: Any, *given: Any) -> Any:
        await keep(ctx, *given)
        raise Refusal(Code.UNAVAILABLE, "killed")

    monkeypatch.setattr(attachments, "keep", dies)
    for name in ("new", "replaced"):
        assert (await room.attach(one(name, "longer than that"), who=room.world.admin)).status_code == 503
    monkeypatch.undo()
    assert (on_disk(room), await rows(room)) == (["new", "replaced"], {"replaced": before})
    await tick()
    assert await rows(room) == {"new": (16, None), "replaced": (16, None)}


async def test_the_clock_waits_for_an_upload_that_is_about_to_end(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file has its name already, and its row is not committed."""
    go, there = asyncio.Event(), asyncio.Event()
    keep = attachments.keep

    async def held(ctx: Any, *given: Any) -> Any:
        size = await keep(ctx, *given)
        there.set()
        await go.wait()
        return size

    monkeypatch.setattr(attachments, "keep", held)
    uploading = asyncio.create_task(room.attach(one("a")))
    await asyncio.wait_for(there.wait(), 20)
    ticking = asyncio.create_task(tick())
    try:
        await somebody_waits(room.world)
        assert on_disk(room) == ["a"]
    finally:
        go.set()
    await asyncio.gather(uploading, ticking)
    assert await rows(room) == {"a": (5, room.world.manager.user_id)}


async def test_an_agent_that_moves_leaves_its_attachments_where_they_are(room: Room) -> None:
    world = room.world
    assert (await room.attach(one("a"))).status_code == 201
    slug = f"renamed{new_id()}"
    answer = await world.rest(world.admin, "PATCH", f"/api/v1/agents/{room.agent.id}", {"slug": slug})
    assert answer.status_code == 200, answer.text
    await tick()
    assert (on_disk(room), await rows(room)) == (["a"], {"a": (5, world.manager.user_id)})
    deleted = "UPDATE chat_attachments SET deleted_at = now(), uploaded_by = NULL WHERE chat_id = $1"
    await world.database.execute(deleted, room.chat.id)
    await tick()
    await carried_out(world)
    assert on_disk(room) == []
