"""How long a workspace keeps runs, timelines and the audit log, as fields of the workspace."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from models.people.workspaces import Membership, Role
from models.resources.credentials import Credential, CredentialEvent, CredentialEventType, CredentialType
from models.retention import RetentionKind
from models.staff.agents import Agent
from models.staff.runs import Run, RunStatus
from resolvers.kernel.background import retention
from resolvers.kernel.background.clocks import across_workspaces
from tests.people.workspaces.calls import at, call
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio
FIELDS = {
    "run_retention_days": RetentionKind.runs,
    "credential_audit_retention_days": RetentionKind.credential_events,
    "audit_log_retention_days": RetentionKind.audit,
}


@pytest.fixture(autouse=True)
async def empty(world: World) -> AsyncIterator[None]:
    yield
    await world.database.execute("DELETE FROM retention_rules")
    await world.database.execute("UPDATE workspaces SET allow_privileged_credentials = false")


async def change(world: World, person: Person | None = None, **values: Any) -> Any:
    return await at(world, person or world.admin, "PATCH", "", values)


async def rules(world: World) -> dict[str, int]:
    return {row["kind"]: row["days"] for row in await world.database.fetch("SELECT kind, days FROM retention_rules")}


async def test_they_are_set_read_and_taken_back(world: World) -> None:
    days = {"run_retention_days": 30, "credential_audit_retention_days": 0, "audit_log_retention_days": 365}
    answer = await change(world, allow_privileged_credentials=True, **days)
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert {name: shown[name] for name in days} == days
    assert (shown["allow_privileged_credentials"], "currentUserCapabilities" in shown) == (True, False)
    assert shown["_count"]["members"] == shown["_count_members"]
    for person in (world.viewer, world.owner):
        read = (await at(world, person, "GET")).json()
        assert {name: read[name] for name in days} == days
    assert await rules(world) == {FIELDS[name].value: value for name, value in days.items()}
    fields = "runRetentionDays credentialAuditRetentionDays auditLogRetentionDays allowPrivilegedCredentials"
    seen = await world.graphql(world.viewer, f"query($ws: ID) {{ workspace(id: $ws) {{ {fields} }} }}")
    assert list(seen["data"]["workspace"].values()) == [30, 0, 365, True]
    back = (await change(world, run_retention_days=None)).json()
    assert (back["run_retention_days"], back["audit_log_retention_days"]) == (None, 365)
    assert "runs" not in await rules(world)
    kept = [row for row in await world.audit() if row["action"] == "workspace.updated"]
    assert kept[-1]["data"]["run_retention_days"] is None


async def test_other_values_and_others_change_nothing(world: World) -> None:
    before = await world.snapshot()
    for name, wrong in {
        "run_retention_days": (0, -1, "30", 1.5, True, 40_000),
        "credential_audit_retention_days": (-1, "0", 40_000),
        "audit_log_retention_days": (-1, [], 40_000),
        "allow_privileged_credentials": ("yes", 1),
    }.items():
        for value in wrong:
            assert (await change(world, **{name: value})).status_code == 400, (name, value)
    for person in (world.manager, world.member, world.viewer):
        assert (await change(world, person, run_retention_days=3)).status_code == 403
    assert await world.snapshot() == before


async def test_the_audit_log_is_kept_for_ninety_days_at_least(world: World) -> None:
    assert (await change(world, audit_log_retention_days=7)).json()["audit_log_retention_days"] == 7
    assert retention.holds(RetentionKind.audit, 7) == 90
    (rule,) = await retention.due(across_workspaces, RetentionKind.audit)
    assert rule["cut"] < now() - timedelta(days=89)


async def test_older_runs_go_and_those_at_work_stay(world: World) -> None:
    here: dict[str, Any] = {"workspace_id": world.workspace.id}
    agent, theirs = (
        Agent(name="Old", slug="old-hand", **here),
        Agent(name="Old", slug="old-hand", workspace_id=world.other.id),
    )
    await world.add(agent, theirs)
    old, new = now() - timedelta(days=40), now() - timedelta(days=2)

    def run(ended: Any, status: RunStatus = RunStatus.COMPLETED, of: Agent = agent) -> Run:
        return Run(
            agent_id=of.id,
            status=status,
            created_at=old,
            started_at=old,
            finished_at=ended,
            workspace_id=of.workspace_id,
        )

    gone, kept, working, elsewhere = run(old), run(new), run(None, RunStatus.RUNNING), run(old, of=theirs)
    await world.add(gone, kept, working, elsewhere)
    await change(world, run_retention_days=30)
    await retention.retain(across_workspaces)
    ids = [row["id"] for row in await world.database.fetch("SELECT id FROM runs")]
    assert gone.id not in ids
    assert {kept.id, working.id, elsewhere.id} <= {*ids}


async def test_older_lines_of_timelines_go(world: World) -> None:
    here: dict[str, Any] = {"workspace_id": world.workspace.id}
    credential = Credential(name="Old key", type=CredentialType.SECRET, **here)
    await world.add(credential)
    said: dict[str, Any] = {"credential_id": credential.id, "event_type": CredentialEventType.USE, **here}
    lines = [CredentialEvent(occurred_at=now() - timedelta(days=days), **said) for days in (40, 2)]
    await world.add(*lines)
    await change(world, credential_audit_retention_days=30)
    await retention.retain(across_workspaces)
    left = await world.database.fetch("SELECT id FROM credential_events WHERE credential_id = $1", credential.id)
    assert [row["id"] for row in left] == [lines[1].id]


async def test_the_capabilities_are_the_callers_own(world: World) -> None:
    person = await world.person("limited", None)
    own = {"capabilities": ["issue.create", "nothing.known"], "accepted_at": now()}
    await world.add(Membership(workspace_id=world.workspace.id, user_id=person.user_id, role=Role.MEMBER, **own))
    shown = (await at(world, person, "GET")).json()
    assert shown["currentUserCapabilities"] == ["chat", "issue.create"]
    expected = {
        world.viewer: ["chat"],
        world.manager: ["chat", "issue.create", "memory.write", "routine.create"],
        world.owner: [
            "chat", "credential.create", "credential.rotate", "issue.create", "memory.write", "routine.create",
            "skill.create",
        ],
    }  # fmt: skip
    for one, capabilities in expected.items():
        assert (await at(world, one, "GET")).json()["currentUserCapabilities"] == capabilities
        (own,) = [w for w in (await call(world, one, "GET")).json() if w["id"] == world.workspace.id]
        assert own["currentUserCapabilities"] == capabilities
    document = "query($ws: ID) { workspace(id: $ws) { currentUserCapabilities } }"
    told = await world.graphql(world.viewer, document)
    assert told["data"]["workspace"] == {"currentUserCapabilities": ["chat"]}
    await world.database.execute("DELETE FROM memberships WHERE user_id = $1", person.user_id)
