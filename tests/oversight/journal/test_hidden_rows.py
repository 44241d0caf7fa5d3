"""What the journal copies of the audit log: to whom no list shows a row, no entry tells what the log says of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.base import new_id
from models.kernel import AuditLog
from models.people.workspaces import Role
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.kernel.declarations.query import Query
from resolvers.kernel.ground.policy import GATES
from resolvers.kernel.reader.graph import ACCESS, EVERYONE
from resolvers.kernel.reader.rows import View
from resolvers.kernel.store.differences import ENTITY_TYPES, kinds_of_row
from resolvers.oversight.audit.seals import seal
from tests.generation.registry import operations
from tests.live.graphql import talking
from tests.oversight.journal.test_journal import Log
from tests.oversight.journal.test_stream import STREAM, Reader
from tests.world import World

pytestmark = pytest.mark.anyio
BELOW = ("viewer", "member", "manager")
DOCUMENT = """
    query($ws: ID!, $q: String, $id: ID!) {
        journal(workspaceId: $ws, q: $q, first: 500) { edges { node { id payload refs summary } } }
        journalEntry(workspaceId: $ws, id: $id) { payload refs summary }
        journalCount(workspaceId: $ws, q: $q) { total }
    }
"""

FOLLOWED = """
    subscription($ws: ID) {
        journalEvents(workspaceId: $ws, entryType: ["audit.entity_created"]) {
            __typename ... on JournalEntryEvent { entry { payload } }
        }
    }
"""


@pytest.fixture
async def log(world: World) -> Log:
    return await Log(world).begin()


def kinds() -> Iterator[str]:
    """Whatever an operation calls a row in the log, and whatever a graph is of."""
    for op in operations():
        for action in (op.audit,) if isinstance(op.audit, str) else op.audit or ():
            noun = action.partition(".")[0]
            yield ENTITY_TYPES.get(noun, noun.upper())
    for source in Path("resolvers").rglob("*.py"):
        for line in source.read_text().splitlines():
            _, found, rest = line.partition('.audit("')
            if found:
                yield rest.partition('"')[0]
    for model in ACCESS:
        if not issubclass(model, View):
            yield from [kind.upper() for kind in kinds_of_row(model)]


KINDS = sorted({*kinds(), "SOMETHING_NEW"})


def readers(kind: str) -> frozenset[Role]:
    """The roles that some list, or some other read, shows every row of the kind; nobody where no model is known."""
    found: frozenset[Role] = frozenset()
    for model, access in ACCESS.items():
        if kind.lower() not in {ENTITY_TYPES.get(noun, noun).lower() for noun in kinds_of_row(model)}:
            continue
        asked = [op for op in operations() if isinstance(op, Query) and op.model is model]
        found |= frozenset[Role]().union(*[GATES[op.action] for op in asked]) if asked else GATES[access.gate]
        if access.visible is not EVERYONE:
            return frozenset()
    return found


async def noted(log: Log, kind: str, word: str) -> None:
    """A row of the log whose data have a word."""
    row = AuditLog(
        action="thing.created",
        effect="created",
        entity_type=kind,
        entity_id=new_id(),
        data={"name": f"hush {word}"},
        **log.here,
    )
    await log.world.add(row)


async def seen(log: Log, person: Any, **query: Any) -> dict[str, dict[str, Any]]:
    answer = await log.get(person=person, limit=500, **query)
    assert answer.status_code == 200, answer.text[:300]
    return {entry["payload"]["entity_type"]: entry for entry in answer.json()["entries"]}


@pytest.mark.parametrize("sealed", [False, True])
async def test_an_entry_says_of_a_row_what_its_reader_may_see(log: Log, sealed: bool) -> None:
    world, word = log.world, f"canary{log.tag}"
    for kind in KINDS:
        await noted(log, kind, word)
    if sealed:
        await seal(across_workspaces)
    rows = {"entry_type": "audit.entity_created", "since": (await log.page(limit=500))["entries"][len(KINDS) - 1]["ts"]}
    for name in BELOW:
        person = getattr(world, name)
        entries = await seen(log, person, **rows)
        assert set(KINDS) <= set(entries)  # that something happened is told to every member
        told = {kind for kind in KINDS if word in json.dumps(entries[kind])}
        assert {"LABEL", "CREW", "AGENT", "MISSION", "ISSUE"} <= told
        for kind in told:
            assert Role[name.upper()] in readers(kind), kind
        assert not told & {"WEBHOOK_ENDPOINT", "SERVICE_ACCOUNT", "CREDENTIAL", "SAVED_VIEW", "SOMETHING_NEW"}
        for kind in set(KINDS) - told:
            assert "metadata" not in entries[kind]["payload"]
        assert set(await seen(log, person, q=f"hush {word}")) == told
        count = await log.get("/count", person, q=word)
        assert count.json() == {"total": len(told)}
        assert set(await seen(log, person, q="thing created", **rows)) >= set(KINDS)  # what is shown is found
    everything = await seen(log, world.admin, **rows)
    assert all(word in json.dumps(everything[kind]) for kind in KINDS)
    assert (await log.get("/count", world.owner, q=word)).json() == {"total": len(KINDS)}


@pytest.mark.slow
async def test_every_door_to_an_entry_says_the_same(log: Log) -> None:
    world, word = log.world, f"canary{log.tag}"

    async def created() -> None:
        body = {"name": f"hush {word} {new_id()}", "url": "https://example.com/hook", "event_types": ["run.completed"]}
        assert (await world.rest(world.owner, "POST", "/api/v1/webhook-endpoints", body)).status_code == 201

    await created()
    entry = (await seen(log, world.owner, q=word))["WEBHOOK_ENDPOINT"]
    for name in ("owner", *BELOW):
        person = getattr(world, name)
        one = (await log.get(f"/{entry['id']}", person)).json()
        values = {"ws": world.workspace.id, "id": entry["id"]}
        listed = (await world.graphql(person, DOCUMENT, values))["data"]
        async with talking(world, person) as talk:
            await talk.listen("s", FOLLOWED, ws=world.workspace.id)
            await created()
            followed = await talk.next("s")
        params = {"workspace_id": world.workspace.id, "entry_type": "audit.entity_created", "since": entry["ts"]}
        async with world.client(person) as client, client.stream("GET", STREAM, params=params) as answer:
            streamed = await Reader(answer).entry()
        for said in (one, listed["journal"], listed["journalEntry"], followed, streamed):
            assert "WEBHOOK_ENDPOINT" in json.dumps(said)
            assert (word in json.dumps(said)) == (name == "owner"), said
        found = (await world.graphql(person, DOCUMENT, {**values, "q": word}))["data"]
        assert bool(found["journalCount"]["total"]) == (name == "owner")
        assert bool(found["journal"]["edges"]) == (name == "owner")


async def test_names_of_rows_that_a_list_refuses_are_in_no_entry(log: Log) -> None:
    world, tag = log.world, log.tag
    names = {kind: f"{kind}-{tag}" for kind in ("hook", "robot", "keys", "label")}
    answers = [
        await world.rest(
            world.owner, "POST", "/api/v1/webhook-endpoints",
            {"name": names["hook"], "url": "https://example.com/hook", "event_types": ["run.completed"]},
        ),
        await world.rest(world.owner, "POST", "/api/v1/service-accounts", {"name": names["robot"], "role": "MEMBER"}),
        await world.rest(
            world.owner, "POST", "/api/v1/credentials",
            {"name": names["keys"], "value": "v", "scope": "CREW", "crew_ids": [log.crew.id]},
        ),
        await world.rest(world.owner, "POST", "/api/v1/labels", {"name": names["label"], "color": "#ff0000"}),
    ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [201] * 4, [answer.text for answer in answers]
    for person in (world.viewer, world.member):
        for path in ("/api/v1/webhook-endpoints", "/api/v1/service-accounts"):
            assert (await world.rest(person, "GET", path)).status_code == 403
        assert names["keys"] not in (await world.rest(person, "GET", "/api/v1/credentials")).text
        text = (await log.get(person=person, limit=500)).text
        assert [kind for kind, name in names.items() if name in text] == ["label"]
    text = (await log.get(person=world.owner, limit=500)).text
    assert [kind for kind, name in names.items() if name in text] == [*names]


@pytest.mark.parametrize("sealed", [False, True])
async def test_a_line_of_the_log_is_a_sentence_that_is_found(log: Log, sealed: bool) -> None:
    world, tag = log.world, log.tag
    made = [
        ("/api/v1/labels", {"name": f"Keel {tag}", "color": "#ff0000"}),
        ("/api/v1/agents", {"name": f"Cook {tag}", "slug": f"cook-{tag}", "crew_id": log.crew.id}),
        ("/api/v1/service-accounts", {"name": f"Robot {tag}", "role": "MEMBER"}),
    ]
    answers = [await world.rest(world.owner, "POST", path, body) for path, body in made]
    assert [answer.status_code for answer in answers] == [201] * 3, [answer.text for answer in answers]
    label, cook, robot = [answer.json()["id"] for answer in answers]
    if sealed:
        await seal(across_workspaces)
    lines = {label: f"Label created: Keel {tag}", cook: f"Agent created: Cook {tag}"}
    shown, hidden = f"Service account created: Robot {tag}", f"Service account created: {robot[:12]}"

    async def summaries(person: Any, **query: Any) -> dict[str, str]:
        found = (await log.get(person=person, limit=500, **query)).json()["entries"]
        return {entry["payload"]["entity_id"]: entry["summary"] for entry in found}

    for person, of_robot in ((world.owner, shown), (world.viewer, hidden)):
        told = lines | {robot: of_robot}
        assert told.items() <= (await summaries(person, entry_type="audit.entity_created")).items()
        for line in lines.values():
            for words in (line, line.partition(":")[0]):
                assert line in (await summaries(person, q=words)).values(), words
        assert (await summaries(person, q="service account created"))[robot] == of_robot
    for words, count in ((shown, 0), (f"Robot {tag}", 0), (robot, 1)):
        assert len(await summaries(world.viewer, q=words)) == count, words
        assert len(await summaries(world.owner, q=words)) == 1, words


ROWS = """
    INSERT INTO audit_logs (id, workspace_id, action, entity_type, entity_id, actor_type, data)
    SELECT $2::text || n, $1, 'sail.hoisted', (ARRAY['LABEL', 'SERVICE_ACCOUNT', 'SOMETHING_NEW'])[1 + n % 3], 'e' || n,
        'system', jsonb_build_object('name', 'hush ' || $2::text)
    FROM generate_series(1, 300) n
"""
PLAN = "EXPLAIN (ANALYZE, FORMAT JSON) SELECT count(*) FROM journal WHERE "


def looks(plan: dict[str, Any]) -> int:
    """How often rows of the log were looked up for lines."""
    own = plan["Actual Loops"] if plan.get("Parent Relationship") == "SubPlan" else 0
    return own + sum(looks(part) for part in plan.get("Plans", ()))


async def test_no_row_of_the_log_is_looked_up_for_a_line(log: Log) -> None:
    """But for lines that an earlier release wrote, which do not say what they are about."""
    world, place, word = log.world, log.world.workspace.id, f"canary{log.tag}"
    await world.database.execute(ROWS, place, word)
    await seal(across_workspaces)
    of_word = f"place = '{place}' AND kind = 'ad' AND words @@ '{word}'::tsquery"

    async def looked_up(q: str, *kinds: str) -> tuple[int, int]:
        asked = json.dumps({"q": q, "shown": kinds})
        where = "SELECT held || filtered FROM journal_where($1, $2::text::jsonb)"
        [plan] = await world.database.fetchval(PLAN + await world.database.fetchval(where, place, asked))
        count = await world.database.fetchval("SELECT journal_count($1, $2::text::jsonb)", place, asked)
        return looks(plan["Plan"]), count

    cases = ((f"hush {word}", ("label",), 100), (f"hush {word}", (), 0), ("sail hoisted", (), 300), ("e7", (), 1))
    for q, kinds, count in cases:
        assert await looked_up(q, *kinds) == (0, count), q
    kinds_of_rows = "ARRAY['e:label', 'e:service_account', 'e:something_new']"
    old = f"UPDATE journal SET words = ts_delete(words, {kinds_of_rows}) WHERE {of_word}"
    assert await world.database.execute(old) == "UPDATE 300"
    for kinds, count in ((("label",), 100), ((), 0)):
        looked, found = await looked_up(f"hush {word}", *kinds)
        assert looked > 0
        assert found == count
