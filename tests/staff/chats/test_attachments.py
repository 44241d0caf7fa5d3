"""REST: files that are attached to chats, and what the agent gets of them."""

import hashlib
import os
from pathlib import Path
from typing import Any

import httpx2
import pytest

from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.crews import Crew
from runtime.runs.attachments import attached, listing
from runtime.sandbox import Workdir, detect
from runtime.tools.files import CrewPath, FileError, read_file, write_file
from tests.world import Person, World

pytestmark = pytest.mark.anyio
PART = 'Content-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n{content}'


def form(*parts: str, end: str = "\r\n--XX--\r\n") -> bytes:
    return ("".join(f"\r\n--XX\r\n{part}" for part in parts) + end).encode()[2:]


def one(name: str, content: str = "hello") -> bytes:
    return form(PART.format(name=name, content=content))


class Room:
    def __init__(self, world: World, agent: Agent, other: Agent, alone: Agent, chat: Chat) -> None:
        self.world, self.agent, self.other, self.alone, self.chat = world, agent, other, alone, chat
        crew = world.settings.storage_path / "workspaces" / world.workspace.id / "crews" / str(agent.crew_id)
        self.folder: Path = crew / "output" / agent.slug / "attachments" / chat.id

    async def attach(
        self, content: Any, *, agent: str = "", chat: str = "", who: Person | None = None, kind: str = ""
    ) -> httpx2.Response:
        return await self.world.client(who or self.world.manager).post(
            f"/api/v1/agents/{agent or self.agent.id}/chats/{chat or self.chat.id}/attachments",
            params={"workspace_id": self.world.workspace.id},
            content=content,
            headers={"content-type": kind or "multipart/form-data; boundary=XX"},
        )


@pytest.fixture
async def room(world: World) -> Room:
    number = await world.database.fetchval("SELECT count(*) FROM agents")
    here = {"workspace_id": world.workspace.id}
    crew = Crew(name="Engine", slug=f"attached-{number}", **here)
    await world.add(crew)
    agent, other = (Agent(name=name, slug=f"{name}-{number}", crew_id=crew.id, **here) for name in ("ada", "bob"))
    alone = Agent(name="Alone", slug=f"alone-{number}", **here)
    await world.add(agent, other, alone)
    chat = Chat(agent_id=agent.id, created_by=world.manager.user_id, **here)
    await world.add(chat)
    return Room(world, agent, other, alone, chat)


async def test_a_file_is_attached_and_replaced(room: Room) -> None:
    path = f"attachments/{room.chat.id}/my file (1).txt"
    expected = {"filename": "my file (1).txt", "path": path, "agent_path": f"/output/{room.agent.slug}/{path}"}
    for content in ("hello", "hello again", ""):
        made = await room.attach(one("my file (1).txt", content))
        assert (made.status_code, made.json()) == (201, expected | {"size": len(content)})
        assert (room.folder / "my file (1).txt").read_text() == content
    parts = ('Content-Disposition: form-data; name="note"\r\n\r\nx', PART.format(name="Über.txt", content="\r\n--X"))
    made = await room.attach(form(*parts, 'Content-Disposition: form-data; name="more"\r\n\r\ny'))
    assert (made.json()["filename"], (room.folder / "Über.txt").read_bytes()) == ("Über.txt", b"\r\n--X")
    asked = {"workspace_id": room.world.workspace.id, "recursive": "true"}
    listed = await room.world.client(room.world.viewer).get(f"/api/v1/agents/{room.agent.id}/files", params=asked)
    assert [each["name"] for each in listed.json()] == ["attachments", room.chat.id, "my file (1).txt", "Über.txt"]


async def test_files_of_a_chat_are_listed_and_deleted(room: Room) -> None:
    for name in ("one.txt", "two.html"):
        assert (await room.attach(one(name))).status_code == 201
    here = f"/api/v1/agents/{room.agent.id}/chats/{room.chat.id}/attachments"
    world = room.world
    newest, oldest = (await world.rest(world.viewer, "GET", here)).json()
    assert (newest["filename"], oldest["filename"]) == ("two.html", "one.txt")
    assert oldest["path"] == f"attachments/{room.chat.id}/one.txt"
    assert (oldest["sha256"], oldest["size_bytes"]) == (hashlib.sha256(b"hello").hexdigest(), 5)
    assert (oldest["owner_type"], oldest["owner_id"]) == ("chat", room.chat.id)
    assert oldest["uploaded_by_user_id"] == world.manager.user_id
    assert (await world.rest(world.member, "DELETE", f"{here}/{oldest['id']}")).status_code == 403
    elsewhere = here.replace(room.agent.id, room.other.id)
    for method, path in (("GET", elsewhere), ("DELETE", f"{elsewhere}/{oldest['id']}")):
        assert (await world.rest(world.manager, method, path)).status_code == 404
    another = Chat(agent_id=room.agent.id, created_by=world.manager.user_id, workspace_id=world.workspace.id)
    await world.add(another)
    of_another = f"{here.replace(room.chat.id, another.id)}/{oldest['id']}"
    for path in (of_another, f"{here}/nothing", f"{here}/{newest['id']}", f"{here}/{newest['id']}"):
        assert (await world.rest(world.manager, "DELETE", path)).status_code == 204
    assert [row["id"] for row in (await world.rest(world.viewer, "GET", here)).json()] == [oldest["id"]]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("../../etc/passwd", "passwd"), ("C:\\\\x\\\\y.txt", "y.txt"), ("/etc/passwd", "passwd"), ("..", ""), (".", ""),
     ("n" * 256, ""), ("a/..", ""), ("a\0b", ""), ("a\tb", "")],
)  # fmt: skip
async def test_only_the_last_part_of_a_name_counts(room: Room, given: str, kept: str) -> None:
    made = await room.attach(one(given))
    if kept:
        assert (made.status_code, made.json()["filename"]) == (201, kept)
    else:
        assert made.status_code == 400
    assert (os.listdir(room.folder) if room.folder.exists() else []) == ([kept] if kept else [])


BROKEN = {
    "no part": form('Content-Disposition: form-data; name="upload"; filename="a"\r\n\r\nx'),
    "no name": form('Content-Disposition: form-data; name="file"\r\n\r\nx'),
    "no end": form(PART.format(name="a", content="x"), end=""),
    "nothing": b"",
    "no form": b"--XX\r\nnothing",
    "many parts": form(*['Content-Disposition: form-data; name="a"\r\n\r\n'] * 101, PART.format(name="a", content="")),
    "long header": form(f"X: {'x' * 100_000}\r\n{PART.format(name='a', content='x')}"),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
async def test_what_is_no_whole_form_leaves_nothing(room: Room, content: bytes) -> None:
    assert (await room.attach(content)).status_code == 400
    assert not room.folder.exists()
    assert os.listdir(room.world.settings.storage_path / "incoming") == []


async def test_what_is_no_form_or_too_much_leaves_nothing(room: Room) -> None:
    for kind in ("application/json", "multipart/form-data", "multipart/mixed; boundary=XX"):
        assert (await room.attach(one("a"), kind=kind)).status_code == 400
    assert (await room.attach(one("a", "x" * (25 << 20)))).status_code == 400
    assert (await room.attach(one("a", "x" * (33 << 20)))).status_code == 413
    assert not room.folder.exists()


async def test_who_may_attach_to_what(room: Room) -> None:
    world, unknown = room.world, "cunknown0000000000000"
    for status, options in (
        (403, {"agent": room.other.id}), (404, {"agent": room.alone.id}), (404, {"agent": unknown}),
        (404, {"chat": unknown}), (403, {"who": world.member}), (403, {"who": world.viewer}),
        (403, {"who": world.outsider}),
    ):  # fmt: skip
        assert (await room.attach(one("a"), **options)).status_code == status, options  # type: ignore[arg-type]
    assert not room.folder.exists()


async def test_the_agent_is_told_of_it_and_cannot_change_it(room: Room) -> None:
    await room.attach(one("b.txt"))
    await room.attach(one("a.txt"))
    crew = str(room.agent.crew_id)
    workdir = Workdir.of(
        room.world.settings.storage_path,
        workspace_id=room.world.workspace.id,
        agent_id=room.agent.id,
        agent_slug=room.agent.slug,
        crew_id=crew,
    )
    paths = attached(workdir, room.chat.id)
    assert paths == tuple(f"/output/{room.agent.slug}/attachments/{room.chat.id}/{name}.txt" for name in "ab")
    assert attached(workdir, None) == attached(workdir, "other") == ()
    assert all(path in listing(paths) for path in paths)
    assert listing(()) == ""
    place = CrewPath.of(paths[0], workdir)
    assert read_file(workdir, place) == b"hello"
    with pytest.raises(FileError, match="read but not changed"):
        write_file(workdir, place, b"other")
    sandbox = await detect(room.world.settings)
    if not sandbox.runs_commands:
        pytest.skip("no sandbox on this machine")
    script = f"cat {paths[0]}; echo x >{paths[0]} || rm {paths[0]} || mv attachments b || rm -rf attachments; ls"
    ended = await sandbox.run(["sh", "-c", script], workdir=workdir, timeout=20)
    assert (ended.stdout, (room.folder / "a.txt").read_text()) == ("helloattachments\n", "hello")
