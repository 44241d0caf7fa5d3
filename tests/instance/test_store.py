"""The store on a local file system, by itself: what holds when disks are full, tasks end and processes die."""

import asyncio
import errno
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from resolvers.errors import Code, Refusal
from resolvers.instance import store
from resolvers.instance.confined import SANDBOX_UID
from resolvers.instance.store import Arriving, LocalStore, names_of

pytestmark = pytest.mark.anyio


async def parts(*contents: bytes, then: Exception | None = None) -> AsyncIterator[bytes]:
    for content in contents:
        yield content
    if then is not None:
        raise then


def arriving(*contents: bytes, most: int = 10 << 20, **options: Any) -> Arriving:
    return Arriving(parts(*contents, **options), most)


@pytest.fixture
def kept(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "files")


async def put(kept: LocalStore, path: str, *contents: bytes, **options: Any) -> bool:
    async with kept.receive(arriving(*contents)) as received:
        return await kept.folder("w", **options).keep(received, path)


def incoming(tmp_path: Path) -> list[str]:
    return os.listdir(tmp_path / "files/incoming")


async def refused(call: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await call
    return caught.value


async def test_what_was_kept_is_listed_by_name(kept: LocalStore) -> None:
    folder = kept.folder("w")
    assert list(await folder.list()) == []
    assert await put(kept, "b/two", b"12", b"345") is True
    assert await put(kept, "b/two", b"123") is False
    await put(kept, "a", b"")
    await put(kept, "b/ünï", b"1")
    assert next((e.path, e.name, e.kind, e.size) for e in await folder.list()) == ("a", "a", "file", 0)
    assert [(e.path, e.kind, e.size) for e in await folder.list("b")] == [("b/two", "file", 3), ("b/ünï", "file", 1)]
    found = await folder.stat("b/two")
    assert abs(found.modified.timestamp() - time.time()) < 60
    assert (await refused(folder.stat("b/three"))).code is Code.NOT_FOUND
    assert list(await folder.list("nothing/here")) == []
    assert (await refused(folder.remove("b"))).code is Code.CONFLICT
    for path in ("b/two", "b/ünï", "b"):
        await folder.remove(path)
    assert [e.name for e in await folder.list()] == ["a"]
    assert (await refused(folder.remove("b"))).code is Code.NOT_FOUND


async def test_a_name_that_is_no_text_is_not_listed(kept: LocalStore, tmp_path: Path) -> None:
    await put(kept, "a", b"")
    (tmp_path / "files/w" / os.fsdecode(b"\xff\xfe")).write_bytes(b"")
    assert [e.name for e in await kept.folder("w").list()] == ["a"]


async def test_what_is_not_kept_is_gone(kept: LocalStore, tmp_path: Path) -> None:
    async with kept.receive(arriving(b"x")) as received:
        assert received.size == 1
        assert len(incoming(tmp_path)) == 1
    assert incoming(tmp_path) == []
    assert (await refused(put(kept, "a", b"x" * (11 << 20)))).code is Code.TOO_LARGE
    with pytest.raises(ValueError, match="the source"):
        async with kept.receive(arriving(b"x", then=ValueError("the source"))):
            pass
    assert incoming(tmp_path) == []
    with pytest.raises(ValueError, match="was removed"):
        await kept.folder("w").keep(received, "late")


FULL, BROKEN = "The server has no space left for files", "The files are not accessible"


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.ENOSPC, FULL), (errno.EDQUOT, FULL), (errno.EFBIG, FULL), (errno.EROFS, BROKEN), (errno.EIO, BROKEN)],
)
async def test_a_disk_that_does_not_write_is_unavailable(
    kept: LocalStore, tmp_path: Path, number: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(kept, "a", b"before")

    def full(*_: Any) -> int:
        raise OSError(number, "no")

    for name in ("write", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(f"resolvers.instance.store.os.{name}", full)
            refusal = await refused(put(kept, "a", b"after"))
        assert (refusal.code, refusal.detail) == (Code.UNAVAILABLE, told)
    assert incoming(tmp_path) == []
    assert (tmp_path / "files/w/a").read_bytes() == b"before"


async def test_a_write_comes_to_its_end_when_its_task_does_not(
    kept: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread of a cancelled task still has the descriptor, whose number would be another file's by then."""
    begun, go_on, write, numbers = threading.Event(), threading.Event(), os.write, list[int]()

    def slow(descriptor: int, content: Any) -> int:
        begun.set()
        go_on.wait(5)
        numbers.append(os.fstat(descriptor).st_ino)
        return write(descriptor, content)

    monkeypatch.setattr("resolvers.instance.store.os.write", slow)
    task = asyncio.create_task(put(kept, "a", b"x"))
    await asyncio.to_thread(begun.wait, 5)
    inode = (tmp_path / "files/incoming" / incoming(tmp_path)[0]).stat().st_ino
    task.cancel()
    asyncio.get_running_loop().call_later(0.1, go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        while incoming(tmp_path):
            await asyncio.sleep(0.01)
    assert numbers == [inode]
    assert not (tmp_path / "files/w").exists()


async def test_a_task_that_ends_before_there_is_a_file_leaves_none(
    kept: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    making = LocalStore._incoming
    monkeypatch.setattr(LocalStore, "_incoming", lambda self: (time.sleep(0.2), making(self))[1])
    task = asyncio.create_task(put(kept, "a", b"x"))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.4)
    assert incoming(tmp_path) == []


async def test_who_reads_sees_the_old_content_or_the_new(kept: LocalStore) -> None:
    one, two = b"1" * 300_000, b"2" * 300_000
    await put(kept, "a", one)
    writing = asyncio.create_task(_rewrite(kept, one, two))
    seen = set()
    while not writing.done():
        opened = await kept.folder("w").open("a")
        content = await opened.read(0, opened.size) + await opened.read(opened.size, 10)
        opened.close()
        assert content in (one, two)
        seen.add(content)
    await writing
    assert seen == {one, two}


async def _rewrite(kept: LocalStore, one: bytes, two: bytes) -> None:
    for _ in range(20):
        await put(kept, "a", two)
        await put(kept, "a", one)


async def test_what_a_dead_process_left_is_swept(tmp_path: Path) -> None:
    left, fresh = tmp_path / "files/incoming/left", tmp_path / "files/incoming/fresh"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x")
    fresh.write_bytes(b"x")
    os.utime(left, (time.time() - 2 * store.FORGOTTEN,) * 2)
    await put(LocalStore(tmp_path / "files"), "a", b"x")
    assert incoming(tmp_path) == ["fresh"]


async def test_commands_of_agents_own_what_is_theirs(kept: LocalStore, tmp_path: Path) -> None:
    await put(kept, "a/b", b"x", agents=True)
    file = tmp_path / "files/w/a/b"
    owner = SANDBOX_UID if os.geteuid() == 0 else os.geteuid()
    assert {file.stat().st_uid, file.parent.stat().st_uid, file.parent.parent.stat().st_uid} == {owner}
    assert file.stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "files").stat().st_uid == os.geteuid()
    file.chmod(0o755)
    await put(kept, "a/b", b"y", agents=True)
    assert file.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("ids", [(), ("",), ("..",), ("a/b",), ("incoming",), ("w", "."), ("w\n",), ("ü",)])
def test_a_folder_is_named_by_ids(kept: LocalStore, ids: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="ids"):
        kept.folder(*ids)


def test_names_of_a_path() -> None:
    assert names_of("a//b/./c/") == ("a", "b", "c")
    assert names_of("") == names_of("./") == ()
    assert names_of("100%/..a/b..") == ("100%", "..a", "b..")
    with pytest.raises(Refusal):
        names_of("\ud800")
