"""Imports from other servers: of a file by its address, and of a repository by git's protocol."""

import hashlib
import os
import struct
import subprocess
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from models.base import new_id
from resolvers.errors import Code, Refusal
from resolvers.instance.outbound import Answered
from resolvers.instance.running import instance
from resolvers.resources.skills import packs
from resolvers.resources.skills.fetching import address_of
from resolvers.resources.skills.packs import Pack, PackFault
from tests.every import each_of
from tests.resources.skills.test_catalog import LIST, skill_md
from tests.world import World

pytestmark = pytest.mark.anyio
HOST = "https://git.example.com"


class Outside:
    """Other servers: answers by URL, or a git server; what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, Answered | Refusal] = {}
        self.repository: Path | None = None

    async def __aenter__(self) -> "Outside":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Answered:
        self.asked.append(url)
        if url in self.answers:
            known = self.answers[url]
            if isinstance(known, Refusal):
                raise known
            return known
        if self.repository is not None and url.endswith("/info/refs?service=git-upload-pack"):
            told = self._git("--advertise-refs")
            return Answered(200, {}, b"001e# service=git-upload-pack\n0000" + told)
        return Answered(404, {}, b"")

    async def post(self, url: str, content: bytes, *, headers: Mapping[str, str] | None = None) -> Answered:
        self.asked.append(url)
        return Answered(200, {}, self._git(content=content))

    def _git(self, *options: str, content: bytes = b"") -> bytes:
        command = ["git", "upload-pack", "--stateless-rpc", *options, str(self.repository)]
        return subprocess.run(command, input=content, capture_output=True, check=True).stdout


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    made = Outside()
    monkeypatch.setattr(instance, "http", lambda policy, **_: made)
    return made


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=w", "-c", "user.email=w@example.com"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, outside: Outside) -> Path:
    """With a folder to write into; `commit` makes it what the server has."""
    git(tmp_path, "init", "-q", "-b", "main", ".")
    git(tmp_path, "config", "uploadpack.allowFilter", "true")
    outside.repository = tmp_path
    return tmp_path


def write(folder: Path, path: str, content: str | bytes) -> None:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())


def commit(folder: Path) -> None:
    git(folder, "add", "-A", "-f")
    git(folder, "commit", "-q", "-m", "skills", "--allow-empty")


async def bulk(world: World, **body: Any) -> Any:
    path = f"/api/v1/workspaces/{world.workspace.id}/skills/bulk-import"
    return await world.rest(world.manager, "POST", path, {"git_url": f"{HOST}/skills.git"} | body)


async def by_url(world: World, url: str, **body: Any) -> Any:
    path = f"/api/v1/workspaces/{world.workspace.id}/skills/import"
    return await world.rest(world.manager, "POST", path, {"url": url} | body)


async def test_a_repository_is_imported(world: World, repository: Path) -> None:
    one, two, old, big = new_id(), new_id(), new_id(), new_id()
    write(repository, "skills/one/SKILL.md", skill_md(one, license="MIT", vendor="acme"))
    write(repository, "other/SKILL.md", skill_md(two, license="Apache-2.0"))
    write(repository, "skills/nolicense/SKILL.md", skill_md(old))
    write(repository, "skills/gpl/SKILL.md", skill_md(new_id(), license="GPL-3.0"))
    write(repository, "skills/broken/SKILL.md", "no front matter\n")
    write(repository, "skills/latin/SKILL.md", b"---\nname: x\n---\n\xe9")
    write(repository, "skills/big/SKILL.md", skill_md(big, "x" * (600 << 10), license="MIT"))
    write(repository, "node_modules/x/SKILL.md", skill_md(new_id(), license="MIT"))
    write(repository, "vendor/x/SKILL.md", skill_md(new_id(), license="MIT"))
    write(repository, "skills/README.md", "Read me")
    os.symlink("../one/SKILL.md", repository / "skills/big/link")
    (repository / "linked").mkdir()
    os.symlink("/etc/passwd", repository / "linked/SKILL.md")
    os.symlink("../skills/one", repository / "linked/folder")
    commit(repository)
    before = await world.snapshot()
    dry = (await bulk(world, dry_run=True)).json()
    assert await world.snapshot() == before
    assert (dry["total_found"], dry["total_imported"], dry["imported"]) == (7, 0, [])
    assert [row["slug"] for row in dry["skipped"] if row["reason"] == "dry-run"] == [two, one]
    answer = await bulk(world, vendor="harbour")
    made = answer.json()
    assert (answer.status_code, made["source"], made["total_found"]) == (200, f"{HOST}/skills.git", 7)
    assert [(row["slug"], row["created"]) for row in made["imported"]] == [(two, True), (one, True)]
    assert made["total_imported"] == 2
    assert "truncated" not in made
    reasons = {row["path"]: row["reason"] for row in made["skipped"]}
    assert reasons.keys() == {f"skills/{name}/SKILL.md" for name in ("nolicense", "gpl", "broken", "latin", "big")}
    assert "KiB" in reasons["skills/big/SKILL.md"]
    shown = [(await world.rest(world.viewer, "GET", f"{LIST}/{row['skill_id']}")).json() for row in made["imported"]]
    assert [(row["vendor"], row["homepage"]) for row in shown] == [
        ("harbour", f"{HOST}/skills.git"),
        ("acme", f"{HOST}/skills.git"),
    ]
    again = (await bulk(world, paths=["skills/*"], allow_unsafe_license=True)).json()
    assert {row["slug"]: row["created"] for row in again["imported"]}[one] is False
    assert {row["slug"]: row["created"] for row in again["imported"]}[old] is True
    assert two not in {row["slug"] for row in again["imported"]}


async def test_what_is_skipped_is_listed_by_path(world: World, repository: Path) -> None:
    """Whatever it was skipped for: files that are refused stand among those of a dry run."""
    license = {"b": "MIT", "c": "GPL-3.0", "d": "MIT"}
    for name in ("d", "c", "b"):
        write(repository, f"{name}/SKILL.md", skill_md(new_id(), license=license[name]))
    for name in ("e", "a"):
        write(repository, f"{name}/SKILL.md", "no front matter\n")
    commit(repository)
    dry = (await bulk(world, dry_run=True)).json()["skipped"]
    assert [row["path"] for row in dry] == [f"{name}/SKILL.md" for name in "abcde"]
    assert [row["reason"] == "dry-run" for row in dry] == [False, True, False, True, False]
    skipped = (await bulk(world)).json()["skipped"]
    assert [row["path"] for row in skipped] == [f"{name}/SKILL.md" for name in "ace"]


async def test_a_branch_a_tag_or_a_commit_is_chosen(world: World, repository: Path) -> None:
    slugs = [new_id() for _ in range(2)]
    write(repository, "SKILL.md", skill_md(slugs[0], license="MIT"))
    commit(repository)
    git(repository, "tag", "-a", "v1", "-m", "first")
    git(repository, "checkout", "-q", "-b", "next")
    write(repository, "SKILL.md", skill_md(slugs[1], license="MIT"))
    commit(repository)
    for ref, slug in {"v1": slugs[0], "main": slugs[0], "next": slugs[1], "refs/heads/next": slugs[1]}.items():
        made = (await bulk(world, git_ref=ref, dry_run=True)).json()
        assert [row["slug"] for row in made["skipped"]] == [slug], ref
    for ref in ("nope", "-x", "a..b", "a b", "a;b", "x" * 256):
        assert (await bulk(world, git_ref=ref)).status_code == 502, ref


@pytest.mark.parametrize(
    "url",
    [
        "http://git.example.com/x.git", "git://git.example.com/x", "ssh://git@git.example.com/x", "file:///etc",
        "https://user:pass@git.example.com/x", "https://localhost/x", "https://LOCALHOST./x", "https://a.localhost/x",
        "https://metadata.google.internal/x", "https:///x", "ext::sh -c id", "/etc", "https://[::1/x",
    ],
)  # fmt: skip
async def test_what_is_no_public_https_address_is_not_contacted(world: World, outside: Outside, url: str) -> None:
    before = await world.snapshot()
    assert (await bulk(world, git_url=url)).status_code == 502
    assert (await by_url(world, url)).status_code == 400
    assert outside.asked == []
    assert await world.snapshot() == before


@each_of(
    "url",
    [
        "https://127.0.0.1/x", "https://2130706433/x", "https://0177.0.0.1/x", "https://0x7f.1/x", "https://[::1]/x",
        "https://[::ffff:10.0.0.1]/x", "https://10.0.0.5/x", "https://169.254.169.254/x", "https://0/x",
    ],
)  # fmt: skip
async def test_a_private_address_is_refused_in_every_spelling(world: World, url: str) -> None:
    """By the way out itself: nothing stands in for it here."""
    before = await world.snapshot()
    assert (await bulk(world, git_url=url)).status_code == 502
    assert (await by_url(world, url)).status_code == 400
    assert await world.snapshot() == before


def test_addresses_of_files() -> None:
    raw = "https://raw.githubusercontent.com"
    assert address_of("https://github.com/o/r/blob/main/a/SKILL.md") == f"{raw}/o/r/main/a/SKILL.md"
    assert address_of("o/r/skills/a/SKILL.md") == f"{raw}/o/r/main/skills/a/SKILL.md"
    assert address_of(" https://x.example/y ") == "https://x.example/y"


async def test_a_file_is_imported_by_its_address(world: World, outside: Outside) -> None:
    slug = new_id()
    outside.answers = {
        f"{HOST}/a": Answered(302, {"location": "/b"}, b""),
        f"{HOST}/b": Answered(200, {}, skill_md(slug).encode()),
    }
    made = await by_url(world, f"{HOST}/a")
    assert (made.status_code, made.json()["slug"]) == (201, slug)
    assert outside.asked == [f"{HOST}/a", f"{HOST}/b"]
    shown = (await world.rest(world.viewer, "GET", f"{LIST}/{made.json()['skill_id']}")).json()
    assert shown["homepage"] == f"{HOST}/a"


async def test_what_a_server_answers_may_be_no_skill(world: World, outside: Outside) -> None:
    outside.answers = {
        f"{HOST}/private": Answered(302, {"location": "https://localhost/x"}, b""),
        f"{HOST}/plain": Answered(301, {"location": "http://git.example.com/x"}, b""),
        f"{HOST}/round": Answered(302, {"location": f"{HOST}/round"}, b""),
        f"{HOST}/gone": Answered(404, {}, b""),
        f"{HOST}/binary": Answered(200, {}, b"\xff\xfe"),
        f"{HOST}/page": Answered(200, {}, b"<html>"),
        f"{HOST}/down": Refusal(Code.BAD_GATEWAY, "The server cannot be reached"),
    }
    before = await world.snapshot()
    for url in outside.answers:
        assert (await by_url(world, url)).status_code == 400, url
        assert (await bulk(world, git_url=url)).status_code == 502, url
    for body in ({}, {"url": "", "content": ""}, {"url": f"{HOST}/a", "content": "x"}):
        assert (await world.rest(world.manager, "POST", PATH(world), body)).status_code == 400
    assert await world.snapshot() == before
    assert sum(url == f"{HOST}/round" for url in outside.asked) == 11


def PATH(world: World) -> str:
    return f"/api/v1/workspaces/{world.workspace.id}/skills/import"


# ---- packs that are meant to do harm ---------------------------------------------------------------------------------


def pack_of(*objects: tuple[int, bytes, int | None]) -> bytes:
    """Of kinds and contents; a number instead of the content's own length lies about it."""
    made = b"PACK" + struct.pack(">II", 2, len(objects))
    for kind, content, lie in objects:
        size = len(content) if lie is None else lie
        byte, size = kind << 4 | size & 15, size >> 4
        while size:
            made += bytes([byte | 128])
            byte, size = size & 127, size >> 7
        made += bytes([byte]) + zlib.compress(content)
    return made + hashlib.sha1(made).digest()


@pytest.mark.slow
@each_of(
    "made",
    [
        lambda: b"",
        lambda: b"PACK" + b"\0" * 40,
        lambda: pack_of((packs.BLOB, b"x", 5)),
        lambda: pack_of((packs.BLOB, b"x" * 100, 1)),
        lambda: pack_of((packs.BLOB, b"x", 1 << 40)),
        lambda: pack_of((packs.BLOB, b"\0" * (200 << 20), None)),
        lambda: pack_of(*[(packs.TREE, b"\0" * (50 << 20), None)] * 3),
        lambda: pack_of((5, b"x", None)),
        lambda: b"PACK" + struct.pack(">II", 2, 1 << 30) + b"\0" * 40,
        lambda: pack_of((packs.BLOB, b"x", None))[:-28],
    ],
    ids=range(10),
)
def test_a_pack_that_lies_or_is_too_much_is_refused(made: Callable[[], bytes]) -> None:
    with pytest.raises(PackFault):
        Pack.read(made(), 512 << 10)


def test_trees_that_hold_each_other_are_walked_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten levels of ten times the same folder are ten thousand million paths."""

    def named(kind: bytes, content: bytes) -> bytes:
        return hashlib.sha1(kind + b" %d\0" % len(content) + content).digest()

    blob = b"---\nname: x\n---\n"
    tree = b"100644 SKILL.md\0" + named(b"blob", blob)
    objects: list[tuple[int, bytes, int | None]] = [(packs.BLOB, blob, None), (packs.TREE, tree, None)]
    for _ in range(10):
        inner = named(b"tree", tree)
        tree = b"".join(b"40000 d%d\0" % n + inner for n in range(10))
        objects.append((packs.TREE, tree, None))
    pack = Pack.read(pack_of(*objects), 512 << 10)
    monkeypatch.setattr(packs, "MOST_ENTRIES", 5000)
    found = pack.files(named(b"tree", tree).hex(), "SKILL.md", frozenset())
    with pytest.raises(PackFault):
        list(found)
