"""A data directory of the Go server is imported into a running service, which serves it from then on."""

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from crewship.importing.report import Report
from crewship.importing.run import Import
from crewship.importing.source import LONGEST, Source, SourceError
from crewship.importing.tables import TAKES
from crewship.process.database import Access
from models.base import table_of
from models.resources.credentials import Credential
from models.sealed import Sealed
from models.staff.agents import Agent
from resolvers.instance.running import instance
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.oversight.audit import seals
from resolvers.oversight.audit.verification import Verified, verify
from tests.importing.old_server import AT, KEY, PASSWORD, SECRET, OldServer, crowded, furnished, sealed
from tests.people.auth.browsers import Browser
from tests.world import World

pytestmark = pytest.mark.anyio
WS, AGENT, CREW = "charbour00000000000000ws", "charbour00000000000agent", "charbour0000000000000crew"


async def brought(world: World, root: Path, **options: Any) -> Report:
    source = Source(root)
    try:
        assert world.settings.database_url is not None
        access = Access(world.settings.database_url.get_secret_value(), "", None)
        return await Import(world.settings, access, source, **options).run()
    finally:
        source.close()


async def counts(world: World) -> dict[str, int]:
    names = await world.database.fetch(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
        " AND relnamespace = current_schema()::regnamespace AND relname NOT IN ('audit_logs', 'audit_seals', 'journal')"
    )
    return {row[0]: await world.database.fetchval(f'SELECT count(*) FROM "{row[0]}"') for row in names}


async def opened(world: World, model: Any, column: str, id: str) -> str:
    value = await world.database.fetchval(f'SELECT {column} FROM "{model.__tablename__}" WHERE id = $1', id)
    return (await instance.vault.open(Sealed(value), table=model, column=column, row_id=id)).reveal()


async def test_what_is_imported_is_served(world: World, tmp_path: Path) -> None:
    root = furnished(tmp_path / "old").close()
    before = await counts(world)
    dry = await brought(world, root, dry_run=True)
    assert await counts(world) == before, "a dry run writes nothing"
    report = await brought(world, root)
    told = report.as_dict()["tables"]
    assert {name: (t["read"], t["imported"]) for name, t in told.items()} == {
        name: (t["read"], t["imported"]) for name, t in dry.as_dict()["tables"].items()
    }
    assert {name for name, table in told.items() if table["leftOut"]} == {"messages", "files"}
    assert report.without_place.keys() == {"pipelines", "starfish"}
    assert SECRET not in json.dumps(report.as_dict())
    browser = Browser(world.url)
    answer = await browser.log_in("ada@harbour.test", PASSWORD)
    assert answer.status_code == 200, answer.text
    for path, expected in (
        ("crews", "Divers"), ("agents", AGENT), ("chats", "Wrecks"), ("issues", "DIV-7"), ("runs", "run_harbour"),
        (f"agents/{AGENT}/chats", "charbour0000000000000chat"), ("credentials", "MODEL"), ("labels", "deep"),
        ("chats/charbour0000000000000chat/messages", "There."), ("audit", "crew.create"), ("projects", "Charts"),
    ):  # fmt: skip
        answer = await browser.send("GET", f"/api/v1/{path}?workspace_id={WS}")
        assert (answer.status_code, expected in answer.text) == (200, True), (path, answer.text)
        assert SECRET not in answer.text
    document = "query($ws: ID) { issues(workspaceId: $ws) { nodes { identifier labels { name } } } }"
    answer = await browser.send("POST", "/graphql", json={"query": document, "variables": {"ws": WS}})
    assert "DIV-6" in answer.text, answer.text
    upgraded = await world.database.fetchval("SELECT password_hash FROM users WHERE email = 'ada@harbour.test'")
    assert upgraded.startswith("$argon2id$"), "the old hash is replaced at the sign-in"
    assert await opened(world, Credential, "value", "charbour00000000000000key") == SECRET
    assert await opened(world, Agent, "webhook_secret", AGENT) == "hook of nemo"
    kept = world.settings.storage_path / "workspaces" / WS / "crews" / CREW / "output" / "nemo"
    assert sorted(os.listdir(kept)) == ["report.md"], "a link is left out"
    row = await world.database.fetchrow("SELECT issue_counter, allowed_domains FROM crews WHERE id = $1", CREW)
    assert tuple(row) == (7, ["example.com"])
    await seals.seal(across_workspaces)
    assert [fault async for fault in verify(world.database, instance.vault.signed, WS, Verified())] == []
    once = await counts(world)
    again = await brought(world, root)
    assert await counts(world) == once, "nothing is doubled"
    assert sum(table.imported for table in again.tables.values()) == 0


async def test_values_that_do_not_fit_are_reported(world: World, tmp_path: Path) -> None:
    old = furnished(tmp_path / "odd", "oddity")
    ws, crew, lead = "coddity00000000000000ws", "coddity0000000000000crew", "coddity000000000000lead"
    sent: dict[str, Any] = {"workspace_id": ws, "crew_id": crew, "lead_agent_id": lead, "mission_type": "orchestration"}
    sent |= {"status": "PLANNING", "priority": "none", "sort_order": 0, "created_at": AT, "updated_at": AT}
    old.add("missions", id="m-nul", trace_id="t1", title="a\0b", **sent)
    old.add("missions", id="m-long", trace_id="t2", title="x" * 5000, description="y" * (LONGEST + 5), **sent)
    old.db.execute("UPDATE missions SET title = CAST(x'ff41' AS TEXT) WHERE id = 'coddityissue6'")
    old.add("missions", id="m-status", trace_id="t3", title="S", **sent | {"status": "SINKING"})
    old.add("missions", id="m-lost", trace_id="t4", title="S", **sent | {"lead_agent_id": "nobody"})
    old.add("missions", id="m bad", trace_id="t5", title="S", **sent)
    old.add("missions", id="m-same", trace_id="t1", title="S", **sent)
    old.add("missions", id="m-child", trace_id="t6", title="S", parent_issue_id="m-lost", **sent)
    deep = "[" * 100_000 + "]" * 100_000
    for number, payload in enumerate(("not JSON", deep, json.dumps({"a": "x" * 300_000}), '{"a": "\\u0000\\ud800"}')):
        old.add("journal_entries", id=f"j{number}", workspace_id=ws, ts="1.5e99", entry_type="note", severity="info",
                actor_type="system", summary="s", payload=payload, refs="{}")  # fmt: skip
    old.add("credentials", id="cred-x", workspace_id=ws, name="X", encrypted_value=sealed("x", "11" * 32),
            scope="WORKSPACE", type="SECRET", provider="NONE", status="ACTIVE", created_by="u", tags="[]",
            security_level=10**12, created_at=AT, updated_at=AT)  # fmt: skip
    old.add("workspaces", id="*", name="all", slug="all", created_at=AT)
    old.add("users", id="u\0nul", email="nul\0@oddity.test", created_at=AT)
    old.add("users", id=b"\xff\x1b[2J", email=b"\xff@oddity.test", created_at=AT)
    old.add("workspaces", id=f"{ws},{world.workspace.id}", name="two", slug="two", created_at=AT)
    old.add("workspaces", id="taken", name="taken", slug=world.workspace.slug, created_at=AT)
    (old.root / "chats" / "conversations" / "coddity0000000000000chat.jsonl").unlink()
    (old.root / "chats" / "conversations" / "coddity0000000000000chat.jsonl").symlink_to("/etc/passwd")
    report = await brought(world, old.close())
    assert "\x1b" not in "".join(report.lines())
    missions, credentials = report.tables["missions"], report.tables["credentials"]
    assert set(missions.left_out) == {
        "lead_agent_id names a row that is not imported", "the rule missions_id_check refuses it",
        "another row here has its key",
    }  # fmt: skip
    assert set(missions.changed) == {
        "title had NUL characters", "title was cut to 600 characters", "description was cut to 128000 characters",
        "title was not UTF-8", "status 'SINKING' is unknown here",
    }  # fmt: skip
    stored = {
        row["id"]: dict(row) for row in await world.database.fetch("SELECT * FROM missions WHERE workspace_id = $1", ws)
    }
    assert stored["m-nul"]["title"] == "ab"
    assert stored["m-long"]["title"].endswith("(cut)")
    assert stored["m-child"]["parent_issue_id"] is None
    assert stored["coddityissue7"]["parent_issue_id"] == "coddityissue6"
    assert len(report.tables["workspaces"].left_out) == 2
    assert "value cannot be opened with the keys that were given" in credentials.changed
    assert report.tables["messages"].imported == 0
    assert await world.database.fetchval("SELECT count(*) FROM workspaces WHERE slug IN ('all', 'two')") == 0


async def test_each_table_that_has_a_place_arrives(world: World, tmp_path: Path) -> None:
    old = furnished(tmp_path / "full", "crowd")
    crowded(old, "crowd")
    report = await brought(world, old.close())
    told = report.as_dict()["tables"]
    left = {name: table["leftOut"] for name, table in told.items() if table["leftOut"]}
    assert left.keys() == {"messages", "files"}, left
    assert {name: table["changed"] for name, table in told.items() if table["changed"]} == {}
    assert [take.table for take in TAKES if told[str(table_of(take.model).name)]["imported"] == 0] == []
    states = await world.database.fetch("SELECT id, status FROM escalations WHERE id LIKE 'crowdes%' ORDER BY id")
    assert [row["status"] for row in states] == ["PENDING", "RESOLVED", "CANCELLED"]
    assert await world.database.fetchval("SELECT status FROM assignments WHERE id = 'crowdas'") == "CANCELLED"
    channel = await world.database.fetchrow("SELECT url, events FROM notification_channels WHERE id = 'crowdnc'")
    assert tuple(channel) == ("https://example.com/n", ["run.failed"])


async def test_an_account_here_keeps_its_password_and_accepts_anew(world: World, tmp_path: Path) -> None:
    old = furnished(tmp_path / "same", "samename")
    old.db.execute("UPDATE users SET email = ? WHERE id = 'csamename0000ada'", (world.member.email.upper(),))
    hashed = "SELECT password_hash FROM users WHERE id = $1"
    before = await world.database.fetchval(hashed, world.member.user_id)
    report = await brought(world, old.close())
    row = await world.database.fetchrow(
        "SELECT accepted_at FROM memberships WHERE user_id = $1 AND workspace_id = 'csamename00000000000000ws'",
        world.member.user_id,
    )
    assert row is not None
    assert row["accepted_at"] is None
    assert await world.database.fetchval(hashed, world.member.user_id) == before
    assert report.tables["cli_tokens"].imported == 0, "its token would open the account that is here"


def test_what_is_no_database_of_the_server_is_refused(tmp_path: Path) -> None:
    def refused(root: Path) -> str:
        with pytest.raises(SourceError) as error:
            Source(root).close()
        return str(error.value)

    assert "cannot be read" in refused(tmp_path)
    (tmp_path / "crewship.db").write_bytes(b"no database" * 100)
    assert "not an SQLite database" in refused(tmp_path)
    (tmp_path / "crewship.db").unlink()
    sqlite3.connect(tmp_path / "crewship.db").execute("CREATE TABLE a (b)").connection.close()
    assert "no table _migrations" in refused(tmp_path)
    old = OldServer(tmp_path / "early")
    old.db.execute("UPDATE _migrations SET version = 40")
    assert "has schema 40" in refused(old.close())
    old = OldServer(tmp_path / "later")
    old.db.execute("ALTER TABLE agents RENAME COLUMN slug TO handle")
    assert "agents lacks slug" in refused(old.close())
    root = furnished(tmp_path / "cut").close()
    os.truncate(root / "crewship.db", 8192)
    assert "is cut" in refused(root)


async def test_a_damaged_page_leaves_nothing_of_its_workspace(world: World, tmp_path: Path) -> None:
    old = furnished(tmp_path / "torn", "torn")
    page = old.db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'missions'").fetchone()[0]
    root = old.close()
    with (root / "crewship.db").open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xee" * 4096)
    with pytest.raises(SourceError, match="is damaged"):
        await brought(world, root)
    assert await world.database.fetchval("SELECT count(*) FROM workspaces WHERE slug = 'torn'") == 0


async def test_a_server_that_writes_meanwhile_is_not_disturbed(world: World, tmp_path: Path) -> None:
    old = furnished(tmp_path / "live", "live")
    source = Source(old.root)
    old.db.execute("DELETE FROM mission_tasks")
    old.db.execute("INSERT INTO labels (id, workspace_id, name) VALUES ('late', 'clive00000000000000ws', 'late')")
    assert world.settings.database_url is not None
    access = Access(world.settings.database_url.get_secret_value(), "", None)
    report = await Import(world.settings, access, source).run()
    source.close()
    old.close()
    assert (report.tables["labels"].imported, report.tables["mission_tasks"].imported) == (1, 1), "one moment is read"


async def test_the_keys_of_the_old_server_may_be_in_a_file_that_is_named(world: World, tmp_path: Path) -> None:
    root = furnished(tmp_path / "keys", "keysfile").close()
    (root / "secrets.env").rename(tmp_path / "old.env")
    report = await brought(world, root, dry_run=True)
    assert "value cannot be opened with the keys that were given" in report.tables["credentials"].changed
    report = await brought(world, root, key_file=tmp_path / "old.env", dry_run=True)
    assert report.tables["credentials"].changed == {}
    assert KEY not in json.dumps(report.as_dict())
