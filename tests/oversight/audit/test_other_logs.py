"""Other logs in the form of the audit log."""

from datetime import timedelta
from typing import Any

import pytest

from models.oversight.keeper import KeeperDecision, KeeperRequest, KeeperRequestType
from models.resources.credentials import Credential, CredentialEvent, CredentialEventType, CredentialType
from tests.world import World, now

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


async def test_links_between_crews_alone(world: World) -> None:
    rows = await world.database.fetchval("SELECT count(*) FROM audit_logs WHERE entity_kind = 'crew_connection'")
    assert (await found(world, source="crews")).json()["pagination"]["total"] == rows
    for source in ("", "workspace"):
        assert (await found(world, source=source)).json() == (await found(world)).json()


async def test_another_source_and_other_roles_are_refused(world: World) -> None:
    assert (await found(world, source="elsewhere")).status_code == 400
    for source in ("crews", "credentials", "keeper"):
        assert (await found(world, world.manager, source=source)).status_code == 403
