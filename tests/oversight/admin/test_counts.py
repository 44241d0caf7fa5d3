"""What an owner sees of the workspace."""

from datetime import timedelta

import pytest

from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.runs import Run, RunStatus
from tests.world import World, now

pytestmark = pytest.mark.anyio
ADMIN = "/api/v1/admin"


async def test_how_much_there_is(world: World) -> None:
    here = {"workspace_id": world.workspace.id}
    assert (await world.rest(world.owner, "GET", f"{ADMIN}/stats")).json() == {
        "workspaces": 1, "users": 5, "agents": 0, "crews": 0, "running": 0,
    }  # fmt: skip
    crew, agent = Crew(name="Deck", slug="deck", **here), Agent(name="Cook", slug="cook", **here)
    gone = Agent(name="Gone", slug="gone", deleted_at=now(), **here)
    foreign = Agent(name="Far", slug="far", workspace_id=world.other.id)
    await world.add(crew, agent, gone, foreign)
    await world.add(
        Run(agent_id=agent.id, status=RunStatus.RUNNING, **here),
        Run(agent_id=agent.id, status=RunStatus.FAILED, finished_at=now(), **here),
        Run(agent_id=foreign.id, status=RunStatus.RUNNING, workspace_id=world.other.id),
    )
    assert (await world.rest(world.owner, "GET", f"{ADMIN}/stats")).json() == {
        "workspaces": 1, "users": 5, "agents": 1, "crews": 1, "running": 1,
    }  # fmt: skip
    (shown,) = (await world.rest(world.owner, "GET", f"{ADMIN}/workspaces")).json()
    assert shown == {
        "id": world.workspace.id, "name": "Workspace", "slug": "workspace", "created_at": shown["created_at"],
        "updated_at": shown["updated_at"], "_count_members": 5, "_count_agents": 1, "_count_crews": 1,
    }  # fmt: skip
    (other,) = (await world.rest(world.outsider, "GET", f"{ADMIN}/workspaces", workspace="other")).json()
    assert (other["_count_members"], other["_count_agents"], other["_count_crews"]) == (1, 1, 0)


async def test_users_with_the_newest_accounts_first(world: World) -> None:
    await world.database.execute(
        "UPDATE users SET created_at = now() - $2 * interval '1 day' WHERE id = $1", world.member.user_id, 9
    )
    shown = (await world.rest(world.owner, "GET", f"{ADMIN}/users")).json()
    assert {user["email"] for user in shown} == {
        f"{role}@example.com" for role in ("owner", "admin", "manager", "member", "viewer")
    }
    times = [user["created_at"] for user in shown]
    assert times == sorted(times, reverse=True)
    assert shown[-1] == {
        "id": world.member.user_id, "email": "member@example.com", "full_name": "Member Example", "avatar_url": None,
        "created_at": times[-1], "workspace": {"id": world.workspace.id, "name": "Workspace", "slug": "workspace"},
        "role": "MEMBER",
    }  # fmt: skip
    assert times[-1][:10] == (now() - timedelta(days=9)).strftime("%Y-%m-%d")


@pytest.mark.parametrize("path", ["stats", "users", "workspaces"])
async def test_nobody_but_an_owner_sees_them(world: World, path: str) -> None:
    for person in (world.admin, world.manager, world.member, world.viewer, world.outsider):
        assert (await world.rest(person, "GET", f"{ADMIN}/{path}")).status_code == 403, person.name


async def test_health_says_how_the_process_is(world: World) -> None:
    health = (await world.rest(world.admin, "GET", f"{ADMIN}/health")).json()
    disk = health["disk"]
    assert health["uptime_seconds"] >= 0
    assert health["log_level"] == {"level": "error", "baseline": "error"}
    assert disk["path"] == str(world.settings.data_dir)
    assert 0 < disk["used_bytes"] <= disk["total_bytes"]
    assert disk["used_pct"] == pytest.approx(100 * disk["used_bytes"] / (disk["used_bytes"] + disk["free_bytes"]))


async def test_a_disk_that_cannot_be_read_is_said_to_be(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(_: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("resolvers.oversight.admin.health.shutil.disk_usage", unreadable)
    health = (await world.rest(world.admin, "GET", f"{ADMIN}/health")).json()
    assert health["disk"] == {"path": str(world.settings.data_dir), "error": "Permission denied"}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "legacy-resources"), ("POST", "prune-legacy-resources"), ("POST", "prune-crew-runtimes")],
)
async def test_without_containers_there_is_nothing_to_remove(world: World, method: str, path: str) -> None:
    before = await world.snapshot()
    answer = await world.rest(world.admin, method, f"{ADMIN}/{path}")
    assert (answer.status_code, answer.json()["error"]) == (503, "No container runtime is configured")
    assert (await world.rest(world.manager, method, f"{ADMIN}/{path}")).status_code == 403
    assert await world.snapshot() == before
