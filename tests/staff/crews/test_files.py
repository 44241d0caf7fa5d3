"""REST: files of crews and of agents, among hostile paths, links and what is no file."""

import asyncio
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import orjson
import psutil
import pytest

from models.staff.agents import Agent
from models.staff.crews import Crew
from tests.world import Person, World

pytestmark = pytest.mark.anyio


class Place:
    """A crew with two agents, and its folder on the disk."""

    def __init__(self, world: World, crew: Crew, agent: Agent, alone: Agent) -> None:
        self.world, self.crew, self.agent, self.alone = world, crew, agent, alone
        base = world.settings.storage_path / "workspaces" / world.workspace.id / "crews" / crew.id
        self.folder: Path = base / "output"

    def made(self, path: str, content: bytes = b"x") -> Path:
        at = self.folder / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(content)
        return at

    async def ask(
        self, method: str, what: str, *, of: Any = None, who: Person | None = None, content: Any = None, **query: str
    ) -> httpx2.Response:
        row = of or self.crew
        kind = "crews" if isinstance(row, Crew) else "agents"
        asked = {"workspace_id": self.world.workspace.id, **query}
        return await self.world.client(who or self.world.manager).request(
            method, f"/api/v1/{kind}/{row.id}/files{what}", params=asked, content=content
        )

    async def save(self, path: str, content: bytes, **options: Any) -> httpx2.Response:
        return await self.ask("PUT", "/save", content=content, path=path, **options)

    async def paths(self, **query: Any) -> list[str]:
        answer = await self.ask("GET", "", **query)
        assert answer.status_code == 200, answer.text
        return [entry["path"].removeprefix(f"{self.crew.id}/") for entry in answer.json()]


@pytest.fixture
async def place(world: World) -> Place:
    number = await world.database.fetchval("SELECT count(*) FROM agents")
    crew = Crew(workspace_id=world.workspace.id, name="Engine", slug=f"files-{number}")
    await world.add(crew)
    slug = f"ada-{number}"
    agent = Agent(workspace_id=world.workspace.id, name="Ada", slug=slug, crew_id=crew.id)
    alone = Agent(workspace_id=world.workspace.id, name="Alone", slug=f"alone-{number}")
    await world.add(agent, alone)
    return Place(world, crew, agent, alone)


async def test_a_file_that_was_saved_is_listed_and_downloaded(place: Place) -> None:
    crew, slug = place.crew.id, place.agent.slug
    path = f"{crew}/{slug}/notes/a.txt"
    saved = await place.save(path, b"first")
    assert (saved.status_code, saved.json()) == (200, {"status": "saved", "path": path})
    assert (await place.save("notes/a.txt", b"second words", of=place.agent)).json()["path"] == "notes/a.txt"
    assert (await place.save("shared/b.txt", b"")).json() == {"status": "saved", "path": "shared/b.txt"}
    assert (await place.save(f"{crew}/top.txt", b"t")).status_code == 200
    [entry] = (await place.ask("GET", "", of=place.agent, subdir="notes")).json()
    assert entry == {
        "path": path, "name": "a.txt", "size": 12, "is_dir": False, "mod_time": entry["mod_time"],
    }  # fmt: skip
    for of, asked in ((place.crew, path), (place.agent, path), (place.agent, "notes/a.txt")):
        given = await place.ask("GET", "/download", of=of, path=asked, who=place.world.viewer)
        assert (given.status_code, given.content) == (200, b"second words")
        assert given.headers["content-type"] == "application/octet-stream"
        assert given.headers["content-disposition"].startswith('attachment; filename="a.txt"')
    part = await place.world.client(place.world.viewer).get(
        f"/api/v1/crews/{crew}/files/download",
        params={"workspace_id": place.world.workspace.id, "path": path},
        headers={"range": "bytes=7-"},
    )
    assert (part.status_code, part.content) == (206, b"words")


async def test_lists_by_name_and_depth_first(place: Place) -> None:
    crew, slug = place.crew.id, place.agent.slug
    for path in (f"{slug}/b/z", f"{slug}/b/a/c", f"{slug}/a", f"{slug}/c", "top", "shared/x"):
        place.made(path)
    whole = [f"{slug}/a", f"{slug}/b", f"{slug}/b/a", f"{slug}/b/a/c", f"{slug}/b/z", f"{slug}/c"]
    flat = [f"{slug}/a", f"{slug}/b", f"{slug}/c"]
    assert await place.paths() == [slug, "shared", "top"]
    assert await place.paths(recursive="true") == [slug, *whole, "shared", "shared/x", "top"]
    assert await place.paths(agent_slug=slug) == [*flat, "top"]
    assert await place.paths(of=place.agent) == [*flat, "top"]
    assert await place.paths(of=place.agent, recursive="true") == [*whole, "top"]
    below = [f"{slug}/b/a", f"{slug}/b/z"]
    for subdir in (f"{slug}/b", f"{crew}/{slug}/b", f"{crew}/{slug}/b/"):
        assert await place.paths(subdir=subdir) == below
    for subdir in ("b", f"{crew}/{slug}/b"):
        assert await place.paths(agent_slug=slug, subdir=subdir) == below
        assert await place.paths(of=place.agent, subdir=subdir) == below
    assert await place.paths(subdir="nowhere") == await place.paths(of=place.alone) == []
    asked = (
        "query($id: ID!, $agent: ID!, $ws: ID) { crewFiles(crewId: $id, workspaceId: $ws) { isDir }"
        " agentFiles(agentId: $agent, workspaceId: $ws) { name } }"
    )
    shown = await place.world.graphql(place.world.viewer, asked, {"id": crew, "agent": place.agent.id})
    assert [entry["isDir"] for entry in shown["data"]["crewFiles"]] == [True, True, False]
    assert [entry["name"] for entry in shown["data"]["agentFiles"]] == ["a", "b", "c", "top"]


async def test_text_is_saved_over_graphql(place: Place) -> None:
    write = (
        "mutation($input: SaveCrewFileInput!, $ws: ID) {"
        " saveCrewFile(input: $input, workspaceId: $ws) { status path } }"
    )
    given = {"crewId": place.crew.id, "path": f"{place.crew.id}/a.md", "content": "# Über"}
    made = await place.world.graphql(place.world.manager, write, {"input": given})
    assert made["data"]["saveCrewFile"] == {"status": "saved", "path": given["path"]}
    assert (place.folder / "a.md").read_text() == "# Über"
    write = "mutation($input: SaveAgentFileInput!, $ws: ID) { saveAgentFile(input: $input, workspaceId: $ws) { path } }"
    given = {"agentId": place.agent.id, "path": "a.md", "content": "x"}
    await place.world.graphql(place.world.manager, write, {"input": given})
    assert (place.folder / place.agent.slug / "a.md").read_text() == "x"


HOSTILE = (
    "", "/etc/passwd", "../x", "../../etc/passwd", "{crew}/../../x", "a\0b", "%2e%2e/x", "a%2fb", "a%5Cb", "..%2fx",
    "n" * 256, "d/" * 10_000 + "x", "d/" * 40 + "x",
)  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_path_that_means_something_else_is_refused(place: Place, path: str) -> None:
    asked = quote(path.replace("{crew}", place.crew.id), safe="")
    for row, kind in ((place.crew, "crews"), (place.agent, "agents")):
        base = f"/api/v1/{kind}/{row.id}/files"
        for method, what, name in (("PUT", "/save", "path"), ("GET", "/download", "path"), ("GET", "", "subdir")):
            if what == "" and not path:
                continue
            answer = await place.world.client(place.world.manager).request(
                method, f"{base}{what}?workspace_id={place.world.workspace.id}&{name}={asked}", content=b"x"
            )
            assert answer.status_code in (400, 404, 414), (kind, what, answer.text)
            assert answer.status_code == 400 or len(path) > 1000 or what == "/download"
    assert not place.folder.exists()


async def test_what_is_of_others_is_refused(place: Place) -> None:
    other = Crew(workspace_id=place.world.workspace.id, name="Deck", slug=f"deck-{place.agent.slug}")
    await place.world.add(other)
    await place.save("secret", b"1", of=other)
    for path in ("secret", f"{other.id}/secret"):
        assert (await place.ask("GET", "/download", path=path)).status_code == 404
    assert (await place.save(f"{other.id}/secret", b"2")).status_code == 400
    place.made("other/x")
    for path in (f"{place.crew.id}/other/x", f"{place.crew.id}/top"):
        assert (await place.ask("GET", "/download", of=place.agent, path=path)).status_code == 403
        assert (await place.save(path, b"2", of=place.agent)).status_code == 403
    assert (await place.ask("GET", "/download", of=place.alone, path="x")).status_code == 404
    assert (await place.save("x", b"2", of=place.alone)).status_code == 404
    for person, status in ((place.world.viewer, 403), (place.world.member, 403), (place.world.outsider, 403)):
        assert (await place.save("x", b"2", who=person)).status_code == status
    assert (await place.ask("GET", "", who=place.world.outsider)).status_code == 403
    assert sorted(os.listdir(place.folder)) == ["other"]


async def test_links_and_what_is_no_file_lead_nowhere(place: Place) -> None:
    slug, crew = place.agent.slug, place.crew.id
    place.made(f"{slug}/real", b"1")
    folder = place.folder / slug
    (folder / "out").symlink_to("/etc")
    (folder / "passwd").symlink_to("/etc/passwd")
    (folder / "here").symlink_to("real")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as door:
        here = os.open(folder, os.O_RDONLY)
        door.bind(f"/proc/self/fd/{here}/sock")
        os.close(here)
    async with asyncio.timeout(20):
        for name in ("out", "passwd", "here", "pipe", "sock", "out/passwd", "real/x"):
            for of, path in ((place.crew, f"{crew}/{slug}/{name}"), (place.agent, name)):
                assert (await place.ask("GET", "/download", of=of, path=path)).status_code == 404, name
                assert (await place.save(path, b"2", of=of)).status_code in (400, 409), name
        assert await place.paths(subdir=f"{slug}/out") == []
        found = (await place.ask("GET", "", recursive="true")).json()
    assert {entry["name"] for entry in found if entry["is_dir"]} == {slug}
    assert (folder / "real").read_bytes() == b"1"
    assert (await place.save(f"{crew}/{slug}", b"2")).status_code == 409
    assert (await place.ask("GET", "/download", path=f"{crew}/{slug}")).status_code == 404


async def test_a_body_beyond_the_limit_leaves_nothing(place: Place) -> None:
    async def endless() -> Any:
        for _ in range(300):
            yield b"x" * 65536

    assert (await place.save("big", b"x" * (16 << 20))).status_code == 200
    assert (await place.save("bigger", b"x" * ((16 << 20) + 1))).status_code == 413
    assert (await place.save("endless", endless())).status_code == 413  # type: ignore[arg-type]
    assert os.listdir(place.folder) == ["big"]
    async with asyncio.timeout(10):  # a thread removes what has come, and the answer does not wait for it
        while os.listdir(place.world.settings.storage_path / "incoming"):
            await asyncio.sleep(0.01)


async def test_a_deep_tree_and_a_full_folder_are_bounded(place: Place) -> None:
    here = place.made("top").parent
    deep = os.open(here, os.O_RDONLY)
    for _ in range(2000):
        os.mkdir("d", dir_fd=deep)
        below = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    found = await place.paths(recursive="true")
    subprocess.run(["rm", "-rf", str(here)], check=True)  # what Python removes a tree with has no room for this one
    assert (len(found), max(path.count("/") for path in found)) == (33, 31)


async def test_who_looks_at_a_crew_is_told_of_its_files(place: Place) -> None:
    await place.save("a.txt", b"1", of=place.agent)
    await place.save("a.txt", b"22", of=place.agent)
    rows = await place.world.database.fetch(
        "SELECT payload FROM events WHERE channel = $1 AND type = 'file.event' ORDER BY seq", f"crew:{place.crew.id}"
    )
    told = [row["payload"] if isinstance(row["payload"], dict) else orjson.loads(row["payload"]) for row in rows]
    assert [(each["event"], each["path"], each["agent"], each["size"]) for each in told] == [
        ("file_created", f"{place.agent.slug}/a.txt", place.agent.slug, 1),
        ("file_modified", f"{place.agent.slug}/a.txt", place.agent.slug, 2),
    ]
    logged = await place.world.database.fetch(
        "SELECT entity_id FROM audit_logs WHERE action = 'file.saved' AND entity_id = $1", place.crew.id
    )
    assert len(logged) == 2


@pytest.mark.slow
async def test_five_gigabytes_are_sent_in_constant_memory(place: Place) -> None:
    """Server and client are this process: what both hold of the file is in its memory."""
    size, process = 5 << 30, psutil.Process()
    os.truncate(place.made("huge"), size)
    before, most, got, began = process.memory_info().rss, 0, 0, time.monotonic()
    asked = {"workspace_id": place.world.workspace.id, "path": f"{place.crew.id}/huge"}
    client = place.world.client(place.world.viewer)
    async with client.stream("GET", f"/api/v1/crews/{place.crew.id}/files/download", params=asked) as answer:
        async for piece in answer.aiter_raw():
            got += len(piece)
            most = max(most, process.memory_info().rss) if got % (64 << 20) < len(piece) else most
    print(f"{size / (time.monotonic() - began) / 1e6:.0f} MB/s, {(most - before) / 1e6:.1f} MB more memory")
    assert (answer.status_code, got) == (200, size)
    assert most - before < 64 << 20
