"""A workspace with a row of every table is restored: beside itself, in place of itself, over itself, elsewhere."""

import os
import re
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from models import migrations
from models.base import place_in, secrets_of, table_of
from models.people.workspaces import Membership, Role, Workspace
from models.resources.credentials import Credential
from models.sealed import Sealed
from models.work.missions import Mission
from resolvers.instance.bundles import writing
from resolvers.instance.bundles.reading import Bundle
from resolvers.instance.running import instance
from resolvers.oversight.backups import places
from resolvers.oversight.backups.arriving import ArrivingPayload
from resolvers.oversight.backups.rows import ID, Passage
from resolvers.oversight.backups.tables import ENDED, NOT_COPIED, carried, columns_of, order
from tests.generation.estate import Estate, estate  # noqa: F401
from tests.oversight.backups.small import small_bundle
from tests.world import Person, World, now

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
BACKUPS = "/api/v1/admin/backups"
SECRET = "hunter2 of the harbour"
FORM = re.compile(ID.decode())
BARE = {"approval_outcomes", "budget_spends", "retention_rules"}
"""Tables without a row in the workspace of the test."""


@pytest.fixture(scope="module")
async def home(estate: Estate) -> World:  # noqa: F811
    """Its workspace has a row of each table, files, and a credential that was sealed by its data key."""
    world = estate.world
    await world.database.execute("DELETE FROM backup_locks")
    await world.database.execute("UPDATE runs SET status = 'COMPLETED', finished_at = now() WHERE status = 'RUNNING'")
    await world.database.execute(  # of a message that exists
        "UPDATE message_feedback f SET message_id = m.id FROM messages m WHERE m.workspace_id = f.workspace_id"
    )
    made = await world.rest(
        world.owner,
        "POST",
        "/api/v1/credentials",
        {"name": "KEY", "type": "SECRET", "provider": "NONE", "value": SECRET},
    )
    assert made.status_code == 201, made.text
    crew = estate.home["crew"].id
    output = instance.settings.storage_path / "workspaces" / world.workspace.id / "crews" / crew / "output"
    output.mkdir(parents=True, exist_ok=True)
    (output / "report.txt").write_bytes(b"done")
    (output / "again.txt").write_bytes(b"done")
    script = output / "run.sh"
    script.write_bytes(b"#!/bin/sh\n")
    script.chmod(0o755)
    return world


async def backup(world: World, **body: Any) -> str:
    answer = await world.rest(world.owner, "POST", BACKUPS, {"scope": "workspace", "no_encrypt": True} | body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["path"])


async def restore(world: World, path: str, person: Person | None = None, **body: Any) -> Any:
    return await world.rest(person or world.owner, "POST", f"{BACKUPS}/restore", {"path": path} | body)


async def rows_of(world: World, model: Any, workspace_id: str) -> list[dict[str, Any]]:
    table = table_of(model)
    rows = await world.database.fetch(
        f'SELECT to_jsonb(t) AS row FROM "{table.name}" t WHERE {place_in(table)} = $1', workspace_id
    )
    named = set(columns_of(model))
    found = [{name: value for name, value in row["row"].items() if name in named} for row in rows]
    return sorted(found, key=lambda row: orjson.dumps(row, option=orjson.OPT_SORT_KEYS))


async def everything(world: World, workspace_id: str) -> dict[str, list[dict[str, Any]]]:
    return {str(table_of(model).name): await rows_of(world, model, workspace_id) for model in carried()}


async def opened(world: World, workspace_id: str, name: str) -> str:
    row = await world.database.fetchrow(
        "SELECT id, value FROM credentials WHERE workspace_id = $1 AND name = $2", workspace_id, name
    )
    place = {"table": Credential, "column": "value", "row_id": row["id"]}
    return (await instance.vault.open(Sealed(row["value"]), **place)).reveal()


async def test_beside_itself_every_row_has_a_new_id_and_every_reference_follows(home: World, estate: Estate) -> None:  # noqa: F811
    before, path = await everything(home, home.workspace.id), await backup(home)
    others = await everything(home, home.other.id)
    answer = await restore(home, path, as_workspace="copy-one")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    new = told["restored_workspace_id"]
    assert (told["restored_ws"], told["crews_restored"], new != home.workspace.id) == ("copy-one", 1, True)
    assert await everything(home, home.workspace.id) == before
    assert await everything(home, home.other.id) == others
    after = await everything(home, new)
    kept = {person.user_id for person in home.people.values()}
    kept |= {row["id"] for row in await home.database.fetch("SELECT id FROM skills")}
    ids = {row["id"] for rows in before.values() for row in rows if "id" in row} - kept
    ids.add(home.workspace.id)
    assert len(ids) > 40
    assert {name for name, rows in before.items() if not rows} <= BARE
    for model in carried():
        name = str(table_of(model).name)
        if name in NOT_COPIED:
            assert after[name] == []
            continue
        assert len(after[name]) == len(before[name]), name
        formed = [sum(bool(FORM.fullmatch(str(row.get("id")))) for row in rows[name]) for rows in (before, after)]
        assert formed[0] <= formed[1], f"{name} has ids that nothing made"
        for row in after[name]:
            whole = orjson.dumps({k: v for k, v in row.items() if not isinstance(v, str) or " " not in v}).decode()
            assert [id for id in ids if f'"{id}"' in whole and len(id) > 20] == [], (name, whole)
    assert await opened(home, new, "KEY") == SECRET
    files = instance.settings.storage_path / "workspaces" / new / "crews"
    (crew,) = [row["id"] for row in after["crews"] if row["slug"] == estate.home["crew"].slug]
    assert (files / crew / "output" / "report.txt").read_bytes() == b"done"
    assert (files / crew / "output" / "again.txt").read_bytes() == b"done"
    assert (files / crew / "output" / "run.sh").stat().st_mode & 0o111
    slugs = await home.rest(home.owner, "GET", "/api/v1/workspaces", workspace=None)
    assert "copy-one" in slugs.text
    listed = await home.rest(home.owner, "GET", "/api/v1/credentials", workspace=new)
    assert (listed.status_code, SECRET in listed.text) == (200, False)
    again = await restore(home, path, as_workspace="copy-one")
    assert again.status_code == 409
    assert len(await home.database.fetch("SELECT id FROM workspaces WHERE slug = 'copy-one'")) == 1


def test_a_trace_that_ends_with_few_digits_is_new_as_a_whole() -> None:
    """Of `mission-paused` two letters are hexadecimal digits: a copy in 256 had the trace of another one."""
    passage = Passage("c0", "c1", copies=True, caller="", role=Role.OWNER, owners=frozenset(), now=b"")
    assert re.fullmatch(rb"[0-9a-f]{24}", passage.renewed(b"mission-paused"))
    assert re.fullmatch(rb"mission-[0-9a-f]{25}", passage.renewed(b"mission-c" + b"0" * 24))


async def test_a_copy_asks_people_again_and_gives_no_higher_role(home: World) -> None:
    path = await backup(home)
    made = await restore(home, path, home.admin, as_workspace="copy-by-admin")
    assert made.status_code == 200, made.text
    rows = await home.database.fetch(
        "SELECT user_id, role, accepted_at FROM memberships WHERE workspace_id = $1",
        made.json()["restored_workspace_id"],
    )
    found = {row["user_id"]: (row["role"], row["accepted_at"] is not None) for row in rows}
    assert found[home.admin.user_id] == ("ADMIN", True)
    assert found[home.owner.user_id] == ("OWNER", False)
    assert found[home.member.user_id] == ("MEMBER", False)
    await home.database.execute(
        "UPDATE memberships SET role = 'ADMIN' WHERE user_id = $1 AND workspace_id = $2",
        home.owner.user_id, home.workspace.id,
    )  # fmt: skip
    try:
        made = await restore(home, path, home.admin, as_workspace="copy-of-demoted")
        assert made.status_code == 200, made.text
        role = await home.database.fetchval(
            "SELECT role FROM memberships WHERE workspace_id = $1 AND user_id = $2",
            made.json()["restored_workspace_id"], home.owner.user_id,
        )  # fmt: skip
        assert role == "ADMIN"
    finally:
        await home.database.execute(
            "UPDATE memberships SET role = 'OWNER' WHERE user_id = $1 AND workspace_id = $2",
            home.owner.user_id, home.workspace.id,
        )  # fmt: skip


async def test_in_place_of_itself_it_is_as_it_was(home: World, estate: Estate) -> None:  # noqa: F811
    path, before = await backup(home), await everything(home, home.workspace.id)
    others = await everything(home, home.other.id)
    audit = await home.database.fetchval("SELECT count(*) FROM audit_logs WHERE workspace_id = $1", home.workspace.id)
    await home.database.execute("UPDATE crews SET name = 'Changed' WHERE workspace_id = $1", home.workspace.id)
    await home.database.execute("DELETE FROM labels WHERE workspace_id = $1", home.workspace.id)
    made = await home.rest(home.owner, "POST", "/api/v1/labels", {"name": "later", "color": "#112233"})
    assert made.status_code == 201
    answer = await restore(home, path, replace=True)
    assert answer.status_code == 200, answer.text
    after = await everything(home, home.workspace.id)
    for name, rows in before.items():
        ended = ENDED.get(name, {})
        assert [{k: v for k, v in row.items() if k not in ended} for row in after[name]] == [
            {k: v for k, v in row.items() if k not in ended} for row in rows
        ], name
    assert await everything(home, home.other.id) == others
    assert await opened(home, home.workspace.id, "KEY") == SECRET
    now_there = await home.database.fetchval(
        "SELECT count(*) FROM audit_logs WHERE workspace_id = $1", home.workspace.id
    )
    assert now_there > audit


async def test_over_itself_only_what_is_missing_is_inserted(home: World) -> None:
    path = await backup(home)
    refused = await restore(home, path)
    assert (refused.status_code, "already" in refused.text) == (409, True)
    gone = await home.database.fetch("DELETE FROM issue_labels WHERE workspace_id = $1 RETURNING 1", home.workspace.id)
    gone += await home.database.fetch("DELETE FROM labels WHERE workspace_id = $1 RETURNING 1", home.workspace.id)
    tried = await restore(home, path, dry_run=True)
    assert (tried.status_code, tried.json()["rows_inserted"]) == (200, len(gone))
    assert await home.database.fetchval("SELECT count(*) FROM labels WHERE workspace_id = $1", home.workspace.id) == 0
    done = await restore(home, path)
    assert (done.status_code, done.json()["rows_inserted"]) == (200, len(gone))
    there = await home.database.fetchval("SELECT count(*) FROM labels WHERE workspace_id = $1", home.workspace.id)
    assert there >= 1
    actions = {row["action"] for row in await home.audit() if row["entity_id"] == path}
    assert actions == {"backup.create", "backup.restore", "backup.restore.dry_run"}


async def test_a_dry_run_of_a_copy_leaves_nothing(home: World) -> None:
    path = await backup(home)
    folders = sorted((instance.settings.storage_path / "workspaces").iterdir())
    before = await home.database.fetchval("SELECT count(*) FROM workspaces")
    tried = await restore(home, path, as_workspace="never", dry_run=True)
    assert tried.status_code == 200, tried.text
    assert tried.json()["rows_inserted"] > 50
    assert await home.database.fetchval("SELECT count(*) FROM workspaces") == before
    assert sorted((instance.settings.storage_path / "workspaces").iterdir()) == folders


async def test_rows_that_refer_to_later_rows_of_their_table_arrive_one_by_one(
    home: World,
    estate: Estate,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    titles, made = ("first\tand", "second\n\\N \\x41 ü"), []
    for title in titles:
        crew = estate.home["crew"].id
        answer = await home.rest(home.owner, "POST", f"/api/v1/crews/{crew}/issues", {"title": title})
        assert answer.status_code == 201, answer.text
        made.append(answer.json()["id"])
    for one, other in (made, made[::-1]):
        await home.database.execute("UPDATE missions SET parent_issue_id = $2 WHERE id = $1", one, other)
    before, path = await everything(home, home.workspace.id), await backup(home)
    portions = ArrivingPayload.rows_of

    async def line_by_line(payload: ArrivingPayload, table: str, change: Any) -> Any:
        async for content in portions(payload, table, change):
            for line in content.split(b"\n")[:-1]:
                yield line + b"\n"

    monkeypatch.setattr(ArrivingPayload, "rows_of", line_by_line)
    copied = await restore(home, path, as_workspace="copy-of-lines")
    assert copied.status_code == 200, copied.text
    rows = {row["title"]: row for row in await rows_of(home, Mission, copied.json()["restored_workspace_id"])}
    first, second = (rows[title] for title in titles)
    assert (first["parent_issue_id"], second["parent_issue_id"]) == (second["id"], first["id"])
    answer = await restore(home, path, replace=True)
    assert answer.status_code == 200, answer.text
    assert (await everything(home, home.workspace.id))["missions"] == before["missions"]


async def test_work_that_was_under_way_is_ended(home: World, estate: Estate) -> None:  # noqa: F811
    run = estate.home["run"].id
    await home.database.execute("UPDATE runs SET status = 'RUNNING', finished_at = NULL WHERE id = $1", run)
    path = await backup(home)
    refused = await restore(home, path, replace=True)
    assert (refused.status_code, "working" in refused.text) == (409, True)
    made = (await restore(home, path, as_workspace="copy-at-work")).json()
    rows = await home.database.fetch(
        "SELECT status, finished_at, leased_until FROM runs WHERE workspace_id = $1", made["restored_workspace_id"]
    )
    assert rows
    assert all(row["status"] != "RUNNING" and row["finished_at"] for row in rows)
    await home.database.execute("UPDATE runs SET status = 'COMPLETED', finished_at = now() WHERE id = $1", run)


async def test_a_sealed_bundle_needs_its_key(home: World) -> None:
    import pyrage

    identity, other = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    by_word = await backup(home, no_encrypt=None, passphrase="correct horse")
    by_key = await backup(home, no_encrypt=None, recipient=str(identity.to_public()))
    refusals: list[tuple[str, dict[str, Any], str]] = [
        (by_word, {}, "required"),
        (by_word, {"passphrase": "wrong"}, "does not open"),
        (by_word, {"identity": str(other)}, "does not open"),
        (by_key, {"identity": "AGE-SECRET-KEY-1NOPE"}, "identity"),
        (by_key, {"identity": str(other)}, "does not open"),
        (by_key, {"passphrase": "correct horse"}, "required"),
    ]
    for path, body, text in refusals:
        answer = await restore(home, path, dry_run=True, as_workspace="sealed", **body)
        assert (answer.status_code, text in answer.text) == (400, True), (body, answer.text)
    for path, body in ((by_word, {"passphrase": "correct horse"}), (by_key, {"identity": str(identity)})):
        answer = await restore(home, path, dry_run=True, as_workspace="sealed", **body)
        assert answer.status_code == 200, answer.text


async def test_what_cannot_be_restored_is_refused_in_the_order_of_the_contract(
    home: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await backup(home)
    missing = path.replace(".tar.zst", "x.tar.zst")
    refusals: list[tuple[dict[str, Any], int]] = [
        ({}, 400),
        ({"path": 5}, 400),
        ({"path": "/etc/passwd"}, 400),
        ({"path": f"{path}/../x"}, 400),
        ({"path": missing, "identity": "nope"}, 404),
        ({"path": path, "identity": "nope", "as_workspace": "a-b", "as_crew": "b-c"}, 400),
        ({"path": path, "as_workspace": "a-b", "as_crew": "b-c"}, 400),
        ({"path": path, "as_crew": "b-c"}, 400),
        ({"path": path, "as_workspace": "a-b", "replace": True}, 400),
        ({"path": path, "files_only": True}, 400),
        ({"path": path, "as_workspace": "workspace"}, 409),
        ({"path": path, "as_workspace": "Not a slug"}, 400),
    ]
    for body, status in refusals:
        answer = await home.rest(home.owner, "POST", f"{BACKUPS}/restore", body)
        assert answer.status_code == status, (body, answer.text)
    assert (await restore(home, path, home.manager, dry_run=True)).status_code == 403
    monkeypatch.setattr(type(instance.settings), "providers", (SimpleNamespace(workspace="of-a-provider"),))
    taken = await restore(home, path, as_workspace="of-a-provider", dry_run=True)
    assert (taken.status_code, "slug" in taken.text) == (409, True), taken.text
    foreign = await home.rest(
        home.outsider, "POST", f"{BACKUPS}/restore", {"path": path, "dry_run": True}, workspace=home.other.id
    )
    assert (foreign.status_code, "another workspace" in foreign.text) == (403, True)


async def test_a_bundle_that_is_not_whole_or_newer_writes_nothing(
    home: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(await backup(home))
    whole, before = path.read_bytes(), await home.database.fetchval("SELECT count(*) FROM workspaces")
    broken = path.with_name("broken.tar.zst")
    for content in (whole[:-1], whole[: len(whole) // 2], whole[:-60] + b"\0" + whole[-59:], b"no bundle"):
        broken.write_bytes(content)
        answer = await restore(home, str(broken), as_workspace="broken")
        assert answer.status_code == 400, answer.text
    folder = places.folder_of(home.workspace.id)
    with Bundle(path) as bundle:
        manifest = bundle.manifest
    of = {name: manifest[name] for name in ("contents", "schema_migration_versions")}
    head = {"workspace_id": home.workspace.id, "schema": migrations.applied(), "tables": tables()}
    entries = {"head.json": orjson.dumps(head), "keys.json": b"[]"}
    newer = of | {"schema_migration_versions": [*migrations.applied(), 2099010100]}
    twice = tables() | {"labels": [*tables()["labels"], "id"]}
    cases: list[tuple[dict[str, Any], dict[str, bytes], str]] = [
        (newer, entries, "newer"),
        (of | {"format_version": 4}, entries, "format 4"),
        (of, entries | {"head.json": orjson.dumps(head | {"workspace_id": home.other.id})}, "manifest"),
        (of, entries | {"head.json": orjson.dumps(head | {"tables": {"users": ["password_hash"]}})}, "does not know"),
        (of, {"head.json": entries["head.json"]}, "manifest"),
        (of, entries | {"head.json": orjson.dumps(head | {"tables": {"labels": ["id"]}})}, "manifest"),
        (of, entries | {"head.json": orjson.dumps(head | {"tables": tables() | {"labels": ["id"]}})}, "manifest"),
        (of, entries | {"head.json": orjson.dumps(head | {"tables": twice})}, "manifest"),
        (of, entries | {"keys.json": b"null"}, "manifest"),
        (of, entries | {"db/users/0": b"a\tb\n"}, "its tables"),
        (of, entries | {"db/users/0": b"\xff" + b"\t" * (len(tables()["users"]) - 1) + b"\n"}, "its tables"),
        (of, entries | {"db/skills/0": b"a\tb\n"}, "its tables"),
        (of, entries | {"db/labels/0": b"\\xff" + b"\t\\N" * (len(tables()["labels"]) - 1) + b"\n"}, "tables"),
        (of, entries | {"db/labels/0": b"a\tb\n"}, "its tables"),
        (of, entries | {"files/0.json": described("../../x"), f"blobs/{'0' * 64}": b"x"}, "folder"),
        (of, entries | {"files/0.json": described("crews/a/x"), f"blobs/{'0' * 64}": b"x"}, "checksum"),
        (of, entries | {"files/0.json": described("crews/a/x")}, "manifest"),
        (of, entries | {"else/0": b"x"}, "manifest"),
    ]
    for told, content, text in cases:
        made, _ = small_bundle(folder, entries=content, **told)
        answer = await restore(home, str(made), as_workspace="broken")
        assert (answer.status_code, text in answer.text) == (400, True), (text, answer.text)
    monkeypatch.setattr("resolvers.oversight.backups.restoring.has_room", lambda *_: False)
    answer = await restore(home, str(path), as_workspace="broken")
    assert (answer.status_code, "space" in answer.text) == (503, True)
    assert await home.database.fetchval("SELECT count(*) FROM workspaces") == before
    assert await home.database.fetchval("SELECT count(*) FROM users WHERE founded_in IS NOT NULL") == 0


def tables() -> dict[str, list[str]]:
    return {str(table_of(model).name): list(columns_of(model)) for model in order()}


def described(path: str) -> bytes:
    return orjson.dumps({"path": path, "size": 1, "mode": 0o644, "sha256": "0" * 64})


async def test_a_payload_of_links_or_of_more_than_it_announces_is_refused(
    home: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = places.folder_of(home.workspace.id)
    place = {"id": home.workspace.id, "slug": "workspace", "name": "Workspace"}
    of = {"contents": {"workspace": place}, "schema_migration_versions": migrations.applied()}
    head = {"workspace_id": home.workspace.id, "schema": migrations.applied(), "tables": tables()}
    entries = {"head.json": orjson.dumps(head), "keys.json": b"[]"}
    made, _ = small_bundle(folder, entries=entries | {"db/labels/0": b"\n" * (8 << 20)}, content_bytes=4096, **of)
    assert made.stat().st_size < 16_000
    answer = await restore(home, str(made), as_workspace="bomb")
    assert (answer.status_code, "more" in answer.text) == (400, True), answer.text

    def linked(name: str, size: int, mode: int = 0o600) -> tarfile.TarInfo:
        made = tarfile.TarInfo(name)
        made.size = size
        if name == "link":
            made.type, made.linkname = tarfile.SYMTYPE, "/etc/passwd"
        return made

    monkeypatch.setattr(writing, "_entry", linked)
    made, _ = small_bundle(folder, entries=entries | {"link": b""}, **of)
    answer = await restore(home, str(made), as_workspace="link")
    assert (answer.status_code, "other entries" in answer.text) == (400, True), answer.text


async def test_into_an_empty_instance_with_the_same_key_ids_stay_and_secrets_open(home: World) -> None:
    """The workspace and its people are gone; another one of the same slug belongs to a person with an account here."""
    path, before = await backup(home), await everything(home, home.workspace.id)
    moved = Path(path)
    copy = places.directory() / moved.name
    copy.write_bytes(moved.read_bytes())
    await home.database.execute("DELETE FROM workspaces WHERE id = $1", home.workspace.id)
    await home.database.execute("DELETE FROM users WHERE id = $1", home.member.user_id)
    fresh = Workspace(name="Fresh", slug="workspace")
    await home.add(fresh)
    await home.add(Membership(user_id=home.owner.user_id, role=Role.OWNER, workspace_id=fresh.id, accepted_at=now()))
    answer = await home.rest(home.owner, "POST", f"{BACKUPS}/restore", {"path": str(copy)}, workspace=fresh.id)
    assert answer.status_code == 200, answer.text
    after = await everything(home, fresh.id)
    for name in ("crews", "agents", "messages", "missions", "labels", "credentials", "runs"):
        assert {row["id"] for row in after[name]} == {row["id"] for row in before[name]}, name
    assert await opened(home, fresh.id, "KEY") == SECRET
    person = await home.database.fetchrow("SELECT * FROM users WHERE email = $1", home.member.email)
    assert (person["id"], person["password_hash"], person["founded_in"]) == (home.member.user_id, None, fresh.id)
    assert person["email_verified"] is None
    sealed = {table_of(model).name for model in carried() if secrets_of(model)}
    assert "credentials" in sealed


async def test_without_the_key_of_its_instance_a_bundle_is_refused(
    home: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = await home.database.fetchval("SELECT id FROM workspaces WHERE slug = 'workspace'")
    made = await home.rest(home.owner, "POST", BACKUPS, {"scope": "workspace", "no_encrypt": True}, workspace=workspace)
    assert made.status_code == 201, made.text
    from resolvers.instance.wrapping import OwnKeys

    stranger = OwnKeys({1: os.urandom(32)})
    monkeypatch.setattr(instance.vault.data_keys, "_wrappings", [stranger])
    body = {"path": made.json()["path"], "as_workspace": "strange"}
    answer = await home.rest(home.owner, "POST", f"{BACKUPS}/restore", body, workspace=workspace)
    assert (answer.status_code, "ENCRYPTION_KEY" in answer.text) == (400, True), answer.text
