"""Attachments that somebody means badly, or that meet trouble: names, races, broken uploads, and full disks."""

import asyncio
import contextlib
import os
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from resolvers.instance.running import instance
from resolvers.instance.store import LocalStore
from tests.people.workspaces.test_files import tick
from tests.staff.chats.test_attachment_quota import total
from tests.staff.chats.test_attachment_rows import on_disk, rows
from tests.staff.chats.test_attachments import Room, one
from tests.staff.chats.test_attachments import room as room

pytestmark = pytest.mark.anyio
COMPOSED, DECOMPOSED = unicodedata.normalize("NFC", "é.txt"), unicodedata.normalize("NFD", "é.txt")
ALIKE = ("a.txt", "A.txt", "a.TXT", COMPOSED, DECOMPOSED, "\u0430.txt", "a.txt ", "ﬁ.txt", "fi.txt")
TAKEN = ("CON", "aux.txt", "NUL", ".hidden", "-rf", "$(id)", "a;b", "'", "*", "~", "...", "desktop.ini", "a" * 255,
    "é" * 127, "字" * 85, "🙂" * 63)  # fmt: skip
REFUSED = ("a" * 256, "é" * 128, "字" * 86, "🙂" * 64, "%2e%2e%2fa", "..%2fa", "a%5cb", "\u202egnp.exe", "a\u2028b",
    "a\x7f")  # fmt: skip


async def test_names_that_look_alike_are_files_of_their_own(room: Room) -> None:
    """Byte by byte, as on the disk: no upload replaces what its sender did not name."""
    for size, name in enumerate(ALIKE, 1):
        made = await room.attach(one(name, "x" * size))
        assert (made.status_code, made.json()["filename"]) == (201, name)
    assert on_disk(room) == sorted(ALIKE)
    assert {name: size for name, (size, _) in (await rows(room)).items()} == {n: s for s, n in enumerate(ALIKE, 1)}
    await tick()
    assert len(await rows(room)) == len(ALIKE)


@pytest.mark.parametrize("name", TAKEN)
async def test_names_that_mean_something_elsewhere_are_names_here(room: Room, name: str) -> None:
    made = await room.attach(one(name))
    assert (made.status_code, made.json()["filename"]) == (201, name), made.text
    asked = {"workspace_id": room.world.workspace.id, "path": f"attachments/{room.chat.id}/{name}"}
    path = f"/api/v1/agents/{room.agent.id}/files/download"
    given = await room.world.client(room.world.viewer).get(path, params=asked)
    assert (given.status_code, given.text) == (200, "hello")
    assert list(await rows(room)) == on_disk(room) == [name]


@pytest.mark.parametrize("name", REFUSED)
async def test_names_that_no_file_has_are_refused(room: Room, name: str) -> None:
    made = await room.attach(one(name))
    assert made.status_code == 400, made.text
    assert (await rows(room), room.folder.exists()) == ({}, False)


async def test_of_many_of_one_name_at_once_one_is_whole(room: Room) -> None:
    """Row and file are of the same upload, and the total is of that one."""
    before, world = await total(room.world), room.world
    people = [world.manager, world.admin, world.owner]
    sent = [room.attach(one("a", f"{n}" * (n + 1)), who=people[n % 3]) for n in range(12)]
    assert {answer.status_code for answer in await asyncio.gather(*sent)} == {201}
    content = (room.folder / "a").read_text()
    kept = next(n for n in range(12) if content == f"{n}" * (n + 1))
    assert await rows(room) == {"a": (len(content), people[kept % 3].user_id)}
    assert await total(world) == before + len(content)
    assert on_disk(room) == ["a"]


async def test_an_upload_that_is_cut_leaves_what_was_there(room: Room) -> None:
    assert (await room.attach(one("a", "whole"))).status_code == 201
    before = await rows(room)
    incoming = room.world.settings.storage_path / "incoming"
    host, port = room.world.url.removeprefix("http://").split(":")
    path = f"/api/v1/agents/{room.agent.id}/chats/{room.chat.id}/attachments?workspace_id={room.world.workspace.id}"
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {room.world.manager.token}\r\n"
        f"content-type: multipart/form-data; boundary=XX\r\ncontent-length: {8 << 20}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + one("a", "x" * (3 << 20))[:-20])
    await writer.drain()
    async with asyncio.timeout(20):
        while not any(each.stat().st_size for each in incoming.iterdir()):
            await asyncio.sleep(0.01)
        writer.transport.abort()
        while list(incoming.iterdir()):
            await asyncio.sleep(0.01)
    assert ((room.folder / "a").read_text(), await rows(room)) == ("whole", before)
    assert not await reader.read()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of one MiB, where files are kept now."""
    here = tmp_path / "small"
    here.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(here)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("takes the right to mount")
    monkeypatch.setattr(instance, "_store", LocalStore(here / "files"))
    yield here
    subprocess.run(["umount", "-l", str(here)], check=True)


async def test_a_full_disk_is_told_of_and_leaves_nothing(room: Room, small: Path) -> None:
    before = await total(room.world)
    for size in (2 << 20, 30 << 10):
        made = await room.attach(one("a", "x" * size))
        assert made.status_code == (503 if size > 1 << 20 else 201), made.text
        if made.status_code == 503:
            assert made.json()["error"] == "The server has no space left for files"
            assert (await rows(room), await total(room.world)) == ({}, before)
            assert os.listdir(small / "files" / "incoming") == []
    full = small / "files" / "full"
    with full.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    made = await room.attach(one("a", "y" * (60 << 10)))
    assert made.status_code == 503
    assert await rows(room) == {"a": (30 << 10, room.world.manager.user_id)}
    full.unlink()
    assert (await room.attach(one("b"))).status_code == 201


async def test_a_file_that_is_gone_is_not_found(room: Room) -> None:
    assert (await room.attach(one("a"))).status_code == 201
    (room.folder / "a").unlink()
    asked = {"workspace_id": room.world.workspace.id, "path": f"attachments/{room.chat.id}/a"}
    path = f"/api/v1/agents/{room.agent.id}/files/download"
    given = await room.world.client(room.world.viewer).get(path, params=asked)
    assert given.status_code == 404
    assert (await room.attach(one("a", "again"))).status_code == 201
    assert await rows(room) == {"a": (5, room.world.manager.user_id)}
