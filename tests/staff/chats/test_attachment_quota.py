"""What attachments of a workspace may take together."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from resolvers.instance import forms
from resolvers.instance.running import instance
from resolvers.instance.store import Arriving
from resolvers.staff.chats import attachments, quota
from tests.people.workspaces.test_files import carried_out, tick
from tests.staff.chats.rooms import agent_of, chat_of, crew_of
from tests.staff.chats.test_attachment_rows import on_disk, rows
from tests.staff.chats.test_attachments import Room, one
from tests.staff.chats.test_attachments import room as room
from tests.world import World

pytestmark = pytest.mark.anyio
MIB = 1 << 20
TOTAL = "SELECT coalesce((SELECT bytes FROM attachment_totals WHERE workspace_id = $1), 0)"
SUM = "SELECT coalesce(sum(size), 0)::bigint FROM chat_attachments WHERE workspace_id = $1 AND deleted_at IS NULL"


async def total(world: World) -> int:
    """As it is kept, which is what there is."""
    kept: int = await world.database.fetchval(TOTAL, world.workspace.id)
    assert kept == await world.database.fetchval(SUM, world.workspace.id)
    return kept


@pytest.fixture
async def two(room: Room, monkeypatch: pytest.MonkeyPatch) -> Room:
    """There is room for two MiB in the workspace, whatever other tests have left."""
    before = await total(room.world)
    monkeypatch.setattr(quota, "most", lambda: before + 2 * MIB)
    return room


@pytest.mark.slow
async def test_of_many_at_once_no_more_are_kept_than_may_be(two: Room) -> None:
    before = await total(two.world)
    sent = [two.attach(one(f"{number}", "x" * (MIB // 4))) for number in range(50)]
    answers = [answer.status_code for answer in await asyncio.gather(*sent)]
    assert (answers.count(201), answers.count(413)) == (8, 42)
    assert await total(two.world) == before + 2 * MIB
    assert len(on_disk(two)) == len(await rows(two)) == 8
    assert not list((two.world.settings.storage_path / "incoming").iterdir())


async def test_what_is_announced_is_refused_before_it_is_read(two: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, read = 0, 0

    async def file_in(arriving: Arriving, field: str, most: int) -> tuple[str, Arriving]:
        nonlocal begun
        begun += 1

        async def counted() -> AsyncIterator[bytes]:
            nonlocal read
            async for piece in arriving.content:
                for at in range(0, len(piece), MIB):
                    read += len(piece[at : at + MIB])
                    yield piece[at : at + MIB]

        return await forms.file_in(replace(arriving, content=counted()), field, most)

    monkeypatch.setattr(attachments, "file_in", file_in)
    whole = one("a", "x" * (20 * MIB))

    async def pieces() -> AsyncIterator[bytes]:
        yield whole

    announced = await two.attach(whole)
    assert (announced.status_code, begun) == (413, 0)
    assert "attached to chats" in announced.json()["error"]
    streamed = await two.attach(pieces())
    assert (streamed.status_code, begun) == (413, 1)
    assert MIB < read < 5 * MIB, "no more than what there is room for"
    assert (on_disk(two), await rows(two)) == ([], {})


async def test_one_of_the_same_name_takes_the_place_of_the_old_one(two: Room) -> None:
    before = await total(two.world)
    for size, status in ((2 * MIB, 201), (2 * MIB, 201), (2 * MIB + 1, 413), (MIB, 201)):
        assert (await two.attach(one("a", "x" * size))).status_code == status
    assert await total(two.world) == before + MIB
    assert (await two.attach(one("b", "x" * (MIB + 1)))).status_code == 413
    assert (await two.attach(one("b", "x" * MIB))).status_code == 201


async def test_what_is_deleted_makes_room(two: Room) -> None:
    world, before = two.world, await total(two.world)
    crew = await crew_of(world)
    agent = await agent_of(world, crew_id=crew.id)
    other = await chat_of(world, agent)
    full = one("a", "x" * (2 * MIB))
    ends = (
        f"/api/v1/agents/{agent.id}/chats/{other.id}", f"/api/v1/crews/{crew.id}",
    )  # fmt: skip
    for path in ends:
        chat = other if path is ends[0] else await chat_of(world, agent)
        assert (await two.attach(full, agent=agent.id, chat=chat.id)).status_code == 201
        assert (await two.attach(one("a"))).status_code == 413
        assert (await world.rest(world.admin, "DELETE", path)).status_code in (200, 204)
        assert await total(world) == before
    await carried_out(world)
    assert (await two.attach(full)).status_code == 201
    (two.folder / "a").write_bytes(b"x")  # behind the row, as after a crash
    await tick()
    assert await total(world) == before + 1
    (two.folder / "a").unlink()
    await tick()
    assert await total(world) == before


async def test_files_of_a_chat_are_numbered(two: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "MOST_FILES", 3)
    answers = [(await two.attach(one(name))).status_code for name in "aabcd"]
    assert answers == [201, 201, 201, 201, 409]
    assert on_disk(two) == ["a", "b", "c"]


async def test_the_setting_is_in_mebibytes() -> None:
    assert quota.most() == instance.settings.attachment_storage * MIB
    assert "10240 MiB" in str(quota.refusal())
