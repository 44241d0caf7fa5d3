"""Other logs in the form of the audit log."""

from datetime import timedelta
from typing import Any

import pytest

from models.oversight.keeper import KeeperDecision, KeeperRequest, KeeperRequestType
from models.resources.credentials import Credential, CredentialEvent, CredentialEventType, CredentialType
from tests.every import each_of
from tests.scale.plans import explain, listening, nodes
from tests.world import World, now, stored

pytestmark = pytest.mark.anyio


async def found(world: World, person: Any = None, **query: Any) -> Any:
    async with world.client(person or world.admin) as client:
        return await client.get("/api/v1/audit", params={"workspace_id": world.workspace.id, **query})


async def test_timelines_and_decisions_are_read_as_entries(world: World) -> None:
    here: dict[str, Any] = {"workspace_id": world.workspace.id}
    credential = Credential(name="Lock", type=CredentialType.SECRET, **here)
    theirs = Credential(name="Lock", type=CredentialType.SECRET, workspace_id=world.other.id)
    await world.add(credential, theirs)
    used: dict[str, Any] = {"event_type": CredentialEventType.USE}
    old = CredentialEvent(credential_id=credential.id, occurred_at=now() - timedelta(days=3), **used, **here)
    new = CredentialEvent(
        credential_id=credential.id, user_id=world.owner.user_id, details={"by": "x"}, occurred_at=now(), **used, **here
    )
    foreign = CredentialEvent(credential_id=theirs.id, workspace_id=world.other.id, **used)
    request = KeeperRequest(
        request_type=KeeperRequestType.access, intent="secret intent", decision=KeeperDecision.DENY, risk_score=7,
        decided_at=now(), **here,
    )  # fmt: skip
    await world.add(old, new, foreign, request)
    page = (await found(world, source="credentials")).json()
    assert [row["id"] for row in page["data"]] == [new.id, old.id]
    assert page["pagination"]["total"] == 2
    assert [page["data"][0][key] for key in ("action", "entity_type", "entity_id", "user_id", "metadata")] == [
        "USE", "CREDENTIAL", credential.id, None, '{"by":"x"}'
    ]  # fmt: skip
    since = (now() - timedelta(days=1)).isoformat()
    assert [row["id"] for row in (await found(world, source="credentials", date_from=since)).json()["data"]] == [new.id]
    assert [row["id"] for row in (await found(world, source="credentials", limit=1, page=2)).json()["data"]] == [old.id]
    (row,) = (await found(world, world.owner, source="keeper")).json()["data"]
    assert (row["id"], row["action"], row["entity_type"]) == (request.id, "DENY", "KEEPER_REQUEST")
    assert "secret intent" not in str(row)
    others = (await found(world, source="keeper")).json()
    assert (others["data"], others["pagination"]["total"]) == ([], 0), "keeper.log is for owners"
    document = "query($ws: ID) { auditLog(workspaceId: $ws, source: credentials) { nodes { id action } } }"
    told = await world.graphql(world.admin, document, {"ws": world.workspace.id})
    assert [node["id"] for node in told["data"]["auditLog"]["nodes"]] == [new.id, old.id]


COPIED = """
    INSERT INTO {table} ({columns}) SELECT {columns} FROM (
        SELECT (jsonb_populate_record(t, jsonb_build_object('id', 'ccopy' || lpad(i::text, 20, '0'),
            '{time}', timestamptz '2024-01-01' + i * interval '1 minute'))).*
        FROM {table} t, generate_series(1, 2000) i WHERE t.id = $1
    ) made
"""


@each_of(
    ("source", "order"), [(source, order) for source in ("credentials", "keeper") for order in ("newest", "oldest")]
)
async def test_a_page_reads_its_own_rows_of_many(world: World, source: str, order: str) -> None:
    here: dict[str, Any] = {"workspace_id": world.workspace.id}
    credential = Credential(name=f"{source} {order}", type=CredentialType.SECRET, **here)
    line = CredentialEvent(credential_id=credential.id, event_type=CredentialEventType.USE, **here)
    request = KeeperRequest(request_type=KeeperRequestType.access, intent="x", **here)
    await world.add(credential, line, request)
    for row, table, time in ((line, "credential_events", "occurred_at"), (request, "keeper_requests", "decided_at")):
        await world.database.execute(f"DELETE FROM {table} WHERE id <> $1", row.id)
        columns = stored(type(row))
        await world.database.execute(COPIED.format(table=table, columns=columns, time=time), row.id)
        await world.database.execute(f"ANALYZE {table}")
    document = (
        f"query($ws: ID, $after: String) {{ auditLog(workspaceId: $ws, source: {source}, sort: {order}_first,"
        " first: 20, after: $after) { nodes { id } pageInfo { endCursor } } }"
    )
    ids, after = list[str](), None
    for _ in range(2):
        with listening() as heard:
            answer = await world.graphql(world.owner, document, {"after": after})
        page = answer["data"]["auditLog"]
        ids, after = [*ids, *[node["id"] for node in page["nodes"]]], page["pageInfo"]["endCursor"]
        (asked,) = [call for call in heard if TABLES[source] in call[0]]
        plan = await explain(*asked)
        assert plan is not None
        read = [n["Actual Rows"] * n["Actual Loops"] for n in nodes(plan) if n.get("Relation Name") == TABLES[source]]
        assert read
        assert max(read) <= 21, plan
    copies = [f"ccopy{i:020}" for i in range(1, 2001)]
    newest = (line if source == "credentials" else request).id  # the first of all, made now
    expected = [newest, *reversed(copies)] if order == "newest" else copies
    assert ids == expected[:40]


TABLES = {"credentials": "credential_events", "keeper": "keeper_requests"}


async def test_links_between_crews_alone(world: World) -> None:
    rows = await world.database.fetchval("SELECT count(*) FROM audit_logs WHERE entity_kind = 'crew_connection'")
    assert (await found(world, source="crews")).json()["pagination"]["total"] == rows
    for source in ("", "workspace"):
        assert (await found(world, source=source)).json() == (await found(world)).json()


async def test_another_source_and_other_roles_are_refused(world: World) -> None:
    assert (await found(world, source="elsewhere")).status_code == 400
    for source in ("crews", "credentials", "keeper"):
        assert (await found(world, world.manager, source=source)).status_code == 403
