"""What each function of the database says of values and of a few rows, by itself."""

import json
from datetime import datetime
from typing import Any

import asyncpg
import pytest

from crewship.process.postgres import OWNER
from models.base import new_id
from models.people.workspaces import Membership, Role
from models.staff.chats import ChatAttachment
from models.staff.runs import Run
from models.work.issues import IssueAttachment
from tests.models.conftest import Seeded
from tests.models.rows import Connection, of

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]

VALUES: list[tuple[str, list[Any], Any]] = [
    ("json_text($1::jsonb)", ['{"b": [1, 2.50, null, {}], "B": "é\\n", "a": {"z": 1, "y": []}}'],
     '{"B":"é\\n","a":{"y":[],"z":1},"b":[1,2.50,null,{}]}'),
    ("json_text($1::jsonb)", ["[]"], "[]"),
    ("json_text($1::jsonb)", ['"a b"'], '"a b"'),
    ("json_text($1::jsonb)", [None], None),
    ("change_list($1::jsonb)::text", ['{"name": {"old": 1, "new": 2}, "Color": {"old": "r", "new": null}}'],
     '[{"new": null, "old": "r", "field": "Color"}, {"new": 2, "old": 1, "field": "name"}]'),
    ("change_list($1::jsonb)::text", ["{}"], None),
    ("array(SELECT run_tags_of($1::jsonb) ORDER BY 1)", ['{"tags": ["b", "a", "b", 1, null, ["c"], ""]}'],
     ["", "a", "b"]),
    ("array(SELECT run_tags_of($1::jsonb))", ['{"tags": "one"}'], ["one"]),
    ("array(SELECT run_tags_of($1::jsonb))", ['{"tags": {"a": "b"}}'], []),
    ("array(SELECT run_tags_of($1::jsonb))", ['{"other": ["a"]}'], []),
    ("cardinality(array(SELECT run_tags_of($1::jsonb)))", [json.dumps({"tags": ["é" * 200, "é" * 201]})], 1),
    ("without_words($1::jsonb, $2, '*')::text", ['{"ada": ["Ada saw ADA", 1, {"x": "adage"}], "n": null}', r"\mada\M"],
     '{"n": null, "ada": ["* saw *", 1, {"x": "adage"}]}'),
    ("without_words($1::jsonb, $2, '*')::text", ["{}", "a"], "{}"),
    ("without_words($1::jsonb, $2, '*')::text", ["[]", "a"], "[]"),
    ("without_fields($1::jsonb, $2::jsonb, '*')::text",
     ['{"email": "A@x.org", "name": "Ada", "note": "a@x.org", "list": [{"email": "a@x.org"}]}', '{"email": "a@x.org"}'],
     '{"list": [{"email": "*"}], "name": "Ada", "note": "a@x.org", "email": "*"}'),
    ("without_fields($1::jsonb, $2::jsonb, '*')::text",
     ['{"email": {"before": "a@x.org", "after": "b@x.org", "by": "a@x.org"}}', '{"email": "a@x.org"}'],
     '{"email": {"by": "a@x.org", "after": "b@x.org", "before": "*"}}'),
    ("search_folded($1)", ["aZ 100% _"], "az 100% _"),
    ("search_folded($1) = search_folded('STRASSE Σ')", ["strasse Σ"], True),
    ("issue_grams('w', $1, '{1,3}') = issue_grams('w', 'abc', '{1,3}')", ["ABC"], True),
    ("issue_grams('w', $1, '{3}') = issue_grams('w', 'abd', '{3}')", ["abc"], False),
    ("journal_words($1::text)", ["a/b.c_d:e@f#g?h&i=j%k+l~m|n-o p"], "a b c d e f g h i j k l m n o p"),
    ("journal_words($1::jsonb)", ['{"a": "x\\ny\\tz\\rw"}'], '{"a": "x y z w"}'),
    ("length(journal_words(repeat('x', $1)))", [60001], 60000),
    ("journal_web($1)::text", ["a -b or c-d"], "'a' & !'b' | 'c' & 'd'"),
    ("journal_web($1)::text", ["..."], ""),
    ("journal_place($1::bigint, $2)", [42, "jx"], "0000000000000000042jx"),
    ("journal_terms_asked(0, 'a', $1::jsonb, NULL) IS NULL", [json.dumps([str(n) for n in range(1001)])], True),
    ("journal_terms_asked(0, 'a', $1::jsonb, NULL) IS NULL", [json.dumps([str(n) for n in range(1000)])], False),
    ("array(SELECT * FROM columns_stored($1))", ["run_tags"], ["workspace_id, tag, run_id, began_at"]),
    ("columns_stored($1)", ["no such table"], None),
    ("strpos(columns_stored($1), 'entity_kind')", ["audit_logs"], 0),  # generated
]  # fmt: skip


@pytest.mark.parametrize(("call", "given", "expected"), VALUES, ids=[f"{n} {v[0]}" for n, v in enumerate(VALUES)])
async def test_a_function_of_values(admin: Connection, call: str, given: list[Any], expected: Any) -> None:
    assert await admin.fetchval(f"SELECT {call}", *given) == expected


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("answer_too_large()", "CS413"),
        ("journal_web_terms('x', 0, journal_web('-a'))", "CS400"),
        ("journal_web_terms('x', 0, journal_web('a or -b'))", "CS400"),
    ],
)
async def test_a_function_that_refuses(admin: Connection, call: str, code: str) -> None:
    with pytest.raises(asyncpg.PostgresError) as caught:
        await admin.fetchval(f"SELECT {call}")
    assert caught.value.sqlstate == code


LINE = "journal_terms('w', '2026-05-01', 'ada', 'c1', NULL, 'r1', 'run.started', 'info', 'user', $1::text::tsvector)"
COLUMNS = "journal_terms(place, at, agent_id, crew_id, mission_id, trace_id, entry_type, severity, actor_type, words)"
WORDS = "'quick':1 'brown':2 'fox':4"


@pytest.mark.parametrize(
    ("kind", "one", "other", "has"),
    [
        ("a", ["ada"], None, True),
        ("a", ["bob"], None, False),
        ("a", ["bob", "ada"], None, True),
        ("m", ["ada"], None, False),
        ("t", ["run.started"], None, True),
        ("ac", ["ada"], ["c1"], True),
        ("ac", ["ada"], ["c2"], False),
        ("ac", ["c1"], ["ada"], False),
        ("sk", ["error", "info"], ["agent", "user"], True),
    ],
)
async def test_a_line_has_the_terms_that_are_asked_for(
    admin: Connection, kind: str, one: list[str], other: list[str] | None, has: bool
) -> None:
    for place, meets in (("w", has), ("v", False)):  # the numbers are a workspace's own
        asked = await admin.fetchval(
            "SELECT journal_terms_asked(hashtextextended($1, 0), $2, $3::jsonb, $4::jsonb)",
            place, kind, json.dumps(one), None if other is None else json.dumps(other),
        )  # fmt: skip
        assert asked.startswith(f" AND {COLUMNS}")
        assert await admin.fetchval(f"SELECT {LINE} {asked.removeprefix(f' AND {COLUMNS}')}", WORDS) is meets


@pytest.mark.parametrize(
    ("said", "has"),
    [("quick", True), ("quick brown", True), ("brown quick", False), ("brown fox", False), ("x", False)],
)
async def test_a_line_has_the_words_that_stand_beside_each_other(admin: Connection, said: str, has: bool) -> None:
    sql = f"""
        SELECT {LINE} @> coalesce(asked.beside, asked.each)
        FROM journal_terms_said(to_tsvector('simple', $2), hashtextextended('w', 0)) asked
    """
    assert await admin.fetchval(sql, WORDS, said) is has


NOWHERE = ("false", None, None)
PARTS: list[tuple[dict[str, Any], tuple[str, str | None, bool | None], int]] = [
    ({}, ("place = 'w'", "", True), 0),
    ({"agents": ["a"]}, ("place = 'w'", " AND agent_id = 'a'", True), 1),
    ({"agents": ["a'b"]}, ("place = 'w'", " AND agent_id = 'a''b'", True), 1),
    ({"agents": ["a", "b"]}, ("place = 'w'", " AND agent_id = ANY ('{a,b}'::text[])", False), 1),
    ({"agents": ["a"], "types": ["t"]}, ("place = 'w'", " AND agent_id = 'a' AND entry_type = 't'", False), 1),
    ({"agents": ["a"], "missions": ["m"]}, ("place = 'w'", " AND agent_id = 'a' AND mission_id = 'm'", False), 2),
    ({"agents": []}, NOWHERE, 0),
    ({"without": ["t"]}, ("place = 'w'", " AND entry_type <> ALL ('{t}'::text[])", False), 0),
    ({"priorities": ["pin"]},
     ("place = 'w' AND priority <> 'normal'", " AND priority = ANY ('{pin}'::text[])", True), 0),
    ({"priorities": ["normal"]}, ("place = 'w'", " AND priority = ANY ('{normal}'::text[])", False), 0),
    ({"since": "2026-05-01T00:00:00Z"}, ("place = 'w' AND at >= '2026-05-01 00:00:00+00'::timestamptz", "", True), 0),
    ({"until": "2026-05-01T00:00:00Z"},
     ("place = 'w' AND at < '2026-05-01 00:00:00.001+00'::timestamptz", "", True), 0),
    ({"q": "fox"}, ("place = 'w'", " AND words @@ '''fox'''::tsquery", False), 1),
    ({"q": "/-."}, NOWHERE, 0),
    ({"web": "fox -hen"}, ("place = 'w'", " AND words @@ '''fox'' & !''hen'''::tsquery", False), 1),
    ({"web": "."}, NOWHERE, 0),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "parts", "terms"), PARTS, ids=[json.dumps(part[0]) for part in PARTS])
async def test_a_question_as_parts_of_a_statement(
    admin: Connection, asked: dict[str, Any], parts: tuple[Any, ...], terms: int
) -> None:
    await admin.execute("SET LOCAL timezone = 'UTC'")
    found = await admin.fetchrow("SELECT * FROM journal_where('w', $1::jsonb)", json.dumps(asked))
    assert found is not None
    if parts == NOWHERE:
        assert found["held"] == "false"
    else:
        assert (found["held"], found["filtered"], found["walks"]) == parts
        assert found["terms"].count("journal_terms(") == terms
    for scope, held in (("v", "false"), ("w", found["held"]), ("*", found["held"])):
        await admin.execute("SELECT set_config('crewship.workspaces', $1, true)", scope)
        assert await admin.fetchval("SELECT held FROM journal_where('w', $1::jsonb)", json.dumps(asked)) == held


async def test_lines_of_a_run(admin: Connection, seeded: Seeded) -> None:
    """By its state: it starts once, and ends with what it cost where no call of it is booked."""
    workspace, run = seeded.our_id, of(seeded.ours, Run)
    kinds = "SELECT array_agg(l.kind ORDER BY l.kind) FROM runs r, journal_lines(r) l WHERE r.id = $1"
    change = "UPDATE runs SET started_at = $2, finished_at = $3, status = $4, data = $5::jsonb WHERE id = $1"
    began, ended = datetime.fromisoformat("2026-05-01T12:00:00Z"), datetime.fromisoformat("2026-05-01T12:01:00Z")
    await admin.execute("DELETE FROM model_calls WHERE workspace_id = $1", workspace)
    await admin.execute("DELETE FROM journal")
    for state, expected in (
        ((None, None, "RUNNING", "{}"), None),
        ((began, None, "RUNNING", "{}"), ["rs"]),
        ((began, ended, "COMPLETED", "{}"), ["re", "rs"]),
        ((began, ended, "FAILED", '{"usage": {}, "total_cost_usd": 0.5}'), ["ci", "lc", "re", "rs"]),
        ((began, ended, "FAILED", '{"usage": {}, "total_cost_usd": 0}'), ["lc", "re", "rs"]),
    ):
        await admin.execute(change, run.id, *state)
        assert await admin.fetchval(kinds, run.id) == expected, state
    written = "SELECT array_agg(DISTINCT kind ORDER BY kind) FROM journal WHERE row_id = $1"
    assert await admin.fetchval(written, run.id) == ["ci", "lc", "re", "rs"]
    await admin.execute("UPDATE runs SET error_message = 'heron' WHERE id = $1", run.id)
    assert await admin.fetchval("SELECT array_agg(kind) FROM journal WHERE words @@ 'heron'::tsquery") == ["re"]
    assert await admin.fetchval("SELECT array_agg(DISTINCT place) FROM journal") == [workspace]


async def test_lines_of_the_audit_log_are_pending_until_the_row_is_sealed(admin: Connection, seeded: Seeded) -> None:
    place = seeded.our_id
    await admin.execute("DELETE FROM instance_facts WHERE name = 'audit_sealed'")
    await admin.execute("DELETE FROM audit_logs")
    await admin.execute("DELETE FROM journal")
    await admin.execute(
        "INSERT INTO audit_logs (id, workspace_id, action, effect, entity_type, actor_type, data)"
        " SELECT 'row' || n, $1, 'label.changed', effect, 'LABEL', 'system', '{}'"
        " FROM unnest(ARRAY['created', NULL, 'deleted']) WITH ORDINALITY AS row (effect, n)",
        place,
    )
    page = "SELECT row_id, entry_type FROM journal_page($1, '{}', NULL, NULL, 10) ORDER BY row_id"
    types = ["audit.entity_created", "audit.entity_updated", "audit.entity_deleted"]
    seal = (
        "INSERT INTO instance_facts (name, value, created_at)"
        " SELECT 'audit_sealed', seq::text, now() FROM audit_logs WHERE id = $1"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
    )
    for sealed, written in ((None, 0), ("row1", 1), ("row3", 3)):
        if sealed is not None:
            await admin.execute(seal, sealed)
        assert await admin.fetchval("SELECT count(*) FROM journal") == written
        assert [tuple(row) for row in await admin.fetch(page, place)] == [
            (f"row{n}", type) for n, type in enumerate(types, 1)
        ], sealed
        assert await admin.fetchval("SELECT journal_count($1, '{}')", place) == 3
        assert await admin.fetchval("SELECT count(*) FROM journal_as_seen($1, '{}', 'x', 10)", place) == 0
    named = await admin.fetchval("SELECT id FROM journal WHERE row_id = 'row2'")
    assert await admin.fetchval("SELECT row_id FROM journal_named($1, $2)", place, named) == "row2"
    assert await admin.fetchval("SELECT count(*) FROM journal_named($1, $2)", seeded.their_id, named) == 0
    await admin.execute("DELETE FROM audit_logs WHERE id = 'row2'")
    assert await admin.fetchval("SELECT journal_count($1, '{}')", place) == 2


async def test_a_key_that_was_dropped(admin: Connection) -> None:
    await admin.execute("INSERT INTO instance_facts VALUES ('key.ENCRYPTION_KEY_V7', 'dropped', now())")
    for call in ("needs_key('ENCRYPTION_KEY')", "needs_key_of_signature('\\x0101')", "needs_key_of_signature('\\x02')"):
        await admin.execute(f"SELECT {call}")
    for call in ("needs_key('ENCRYPTION_KEY_V7')", "needs_key_of_signature('\\x0701')"):
        savepoint = admin.transaction()
        await savepoint.start()
        with pytest.raises(asyncpg.PostgresError) as caught:
            await admin.execute(f"SELECT {call}")
        assert caught.value.sqlstate == "CS423"
        await savepoint.rollback()


async def test_who_belongs_elsewhere(application: Connection, seeded: Seeded) -> None:
    """Whatever the connection may see, which stays as it was."""
    await application.execute("SELECT set_config('crewship.workspaces', $1, true)", seeded.our_id)
    ours, theirs = of(seeded.ours, Membership).user_id, of(seeded.theirs, Membership).user_id
    look = "SELECT belongs_elsewhere($1, $2)"
    assert await application.fetchval(look, ours, seeded.our_id) is False
    assert await application.fetchval(look, ours, seeded.their_id) is True
    assert await application.fetchval(look, theirs, seeded.our_id) is True
    assert await application.fetchval("SELECT current_setting('crewship.workspaces')") == seeded.our_id
    assert await application.fetchval("SELECT count(*) FROM memberships WHERE workspace_id <> $1", seeded.our_id) == 0


async def test_the_consents_of_a_person(application: Connection, seeded: Seeded) -> None:
    """In all workspaces, of nobody else; what the connection may see stays as it was."""
    ours, theirs = of(seeded.ours, Membership).user_id, of(seeded.theirs, Membership).user_id
    scope = "SELECT set_config('crewship.workspaces', $1, true)"
    accepted = "SELECT count(*) FROM memberships WHERE user_id = $1 AND accepted_at IS NOT NULL"
    await application.execute(scope, "*")
    await application.execute("UPDATE memberships SET accepted_at = now()")
    assert await application.fetchval(accepted, ours) == 1
    belongs = "INSERT INTO memberships (id, workspace_id, user_id, role, accepted_at) VALUES ($1, $2, $3, $4, now())"
    await application.execute(belongs, new_id(), seeded.their_id, ours, Role.MEMBER)
    others = await application.fetchval(accepted, theirs)
    await application.execute(scope, seeded.our_id)
    await application.execute("SELECT end_consents($1)", ours)
    assert await application.fetchval("SELECT current_setting('crewship.workspaces')") == seeded.our_id
    await application.execute(scope, "*")
    assert await application.fetchval(accepted, ours) == 0
    assert await application.fetchval(accepted, theirs) == others > 0


async def test_the_bytes_of_attachments(admin: Connection, seeded: Seeded) -> None:
    file, total = of(seeded.ours, ChatAttachment), "SELECT bytes FROM attachment_totals WHERE workspace_id = $1"
    of_issue = of(seeded.ours, IssueAttachment)
    before = await admin.fetchval(total, seeded.our_id)
    assert before == await admin.fetchval(
        "SELECT sum(size) FROM (SELECT size FROM chat_attachments WHERE workspace_id = $1 AND deleted_at IS NULL"
        " UNION ALL SELECT size_bytes FROM issue_attachments WHERE workspace_id = $1) files",
        seeded.our_id,
    )
    for change, by in (
        ("UPDATE chat_attachments SET size = size + 5 WHERE id = $1", 5),
        ("UPDATE chat_attachments SET deleted_at = now() WHERE id = $1", -file.size),
        ("UPDATE chat_attachments SET size = size + 1 WHERE id = $1", -file.size),
        ("UPDATE chat_attachments SET deleted_at = NULL WHERE id = $1", 6),
        ("DELETE FROM chat_attachments WHERE id = $1", -file.size),
    ):
        await admin.execute(change, file.id)
        assert await admin.fetchval(total, seeded.our_id) == before + by, change
    await admin.execute("DELETE FROM issue_attachments WHERE id = $1", of_issue.id)
    assert await admin.fetchval(total, seeded.our_id) == before - file.size - of_issue.size_bytes
    theirs = of(seeded.theirs, ChatAttachment).size + of(seeded.theirs, IssueAttachment).size_bytes
    assert await admin.fetchval(total, seeded.their_id) == theirs


async def test_a_change_of_access_is_an_event(admin: Connection, seeded: Seeded) -> None:
    user = of(seeded.ours, Membership).user_id
    told = "SELECT count(*) FROM events WHERE channel = 'access:' || $1 AND type = 'access.changed'"
    for change, number in (
        ("UPDATE memberships SET updated_at = now() WHERE user_id = $1", 0),
        ("UPDATE memberships SET role = role WHERE user_id = $1", 1),
        ("UPDATE workspaces SET name = 'x' WHERE id = (SELECT workspace_id FROM memberships WHERE user_id = $1)", 0),
        ("UPDATE workspaces SET deleted_at = now() WHERE id IN"
         " (SELECT workspace_id FROM memberships WHERE user_id = $1)", 1),
        ("DELETE FROM memberships WHERE user_id = $1", 1),
    ):  # fmt: skip
        await admin.execute("DELETE FROM events")
        await admin.execute(change, user)
        assert await admin.fetchval(told, user) == number, change


async def test_partitions_of_a_table(admin: Connection) -> None:
    """One for each span until the time to come; what is dropped leaves its place to what is earlier."""
    await admin.execute("SET LOCAL timezone = 'UTC'")
    await admin.execute(f"""
        SET LOCAL ROLE {OWNER};
        CREATE TABLE parted (created_at timestamptz NOT NULL DEFAULT now(), n integer) PARTITION BY RANGE (created_at);
        CREATE TABLE parted_later PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO (MAXVALUE);
        CREATE TABLE parted_earlier PARTITION OF parted FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
        INSERT INTO parted SELECT at, row_number() OVER (ORDER BY at)
        FROM generate_series(timestamptz '2025-12-15', now(), interval '10 days') at;
        RESET ROLE;
    """)
    rows = await admin.fetchval("SELECT count(*) FROM parted")
    names = "SELECT array_agg(name ORDER BY until) FROM partitions_of('parted')"
    assert await admin.fetchval(names) is None
    made = await admin.fetchval("SELECT keep_partitions('parted', 'month', 1)")
    found = await admin.fetchval(names)
    assert (len(found), found[:2]) == (made, ["parted_20260101", "parted_20260201"])
    assert await admin.fetchval("SELECT count(*) FROM parted_later") == 0
    assert await admin.fetchval("SELECT count(*) FROM parted_20260101") == 3
    assert await admin.fetchval("SELECT count(*) FROM parted") == rows
    assert await admin.fetchval("SELECT keep_partitions('parted', 'month', 1)") == 0
    ends = dict(await admin.fetch("SELECT name, until::date::text FROM partition_ends('parted')"))
    assert (ends["parted_earlier"], ends["parted_20260101"], ends["parted_later"]) == ("2026-01-01", "2026-02-01", None)
    assert await admin.fetchval("SELECT drop_partitions('parted', '2026-01-31')") == 0
    assert await admin.fetchval("SELECT drop_partitions('parted', '2026-03-01')") == 2
    assert (await admin.fetchval(names))[0] == "parted_20260301"
    await admin.execute("INSERT INTO parted VALUES ('2026-02-14', 0)")
    assert await admin.fetchval("SELECT count(*) FROM parted_earlier WHERE n = 0") == 1
    for span in ("year", "day'; DROP TABLE crews; --"):
        assert await admin.fetchval("SELECT keep_partitions('parted', $1, 1)", span) == 0
