"""Hooks as people see and change them."""

from typing import Any

import pytest

from models.base import new_id
from models.staff.crews import Crew
from tests.every import each_of
from tests.world import Person, World

pytestmark = pytest.mark.anyio
PATH = "/api/v1/hooks"
URL = {"url": "https://hooks.example.com/x"}
HTTP = {"event": "pre_agent_start", "handler_kind": "http", "handler_config": URL}
SHELL = {"event": "post_agent_stop", "handler_kind": "shell", "handler_config": {"command": "true"}}


@pytest.fixture(autouse=True)
async def empty(world: World) -> None:
    await world.database.execute("DELETE FROM hooks")


async def create(world: World, person: Person | None = None, status: int = 201, **body: Any) -> Any:
    answer = await world.rest(person or world.owner, "POST", PATH, HTTP | body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def change(world: World, id: str, person: Person | None = None, status: int = 200, **body: Any) -> Any:
    answer = await world.rest(person or world.owner, "PATCH", f"{PATH}/{id}", body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def listed(world: World, **query: Any) -> Any:
    async with world.client(world.viewer) as client:
        answer = await client.get(PATH, params={"workspace_id": world.workspace.id} | query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_hook_lives(world: World) -> None:
    made = await create(world, world.admin)
    assert made["id"].startswith("hk_")
    assert made.keys() == {
        "id", "workspace_id", "event", "handler_kind", "handler_config", "matcher", "enabled", "blocking",
        "created_by", "created_at", "updated_at",
    }  # fmt: skip
    assert (made["handler_config"], made["matcher"], made["enabled"], made["blocking"]) == (URL, {}, True, False)
    changed = await change(world, made["id"], blocking=True, enabled=False, matcher={"tools": ["dep.*"], "when": "x"})
    assert (changed["blocking"], changed["enabled"], changed["event"]) == (True, False, "pre_agent_start")
    assert changed["matcher"] == {"tools": ["dep.*"], "when": "x"}
    assert await listed(world) == {"rows": [changed], "count": 1}
    for way, on in (("enable", True), ("disable", False), ("disable", False)):
        answer = await world.rest(world.admin, "POST", f"{PATH}/{made['id']}/{way}")
        assert (answer.status_code, answer.json()) == (200, {"id": made["id"], "enabled": on})
    gone = await world.rest(world.admin, "DELETE", f"{PATH}/{made['id']}")
    assert (gone.status_code, gone.json()) == (200, {"id": made["id"], "deleted": True})
    assert (await world.rest(world.admin, "DELETE", f"{PATH}/{made['id']}")).status_code == 404
    assert await listed(world) == {"rows": [], "count": 0}
    actions = [row["action"] for row in await world.database.fetch(
        "SELECT action FROM audit_logs WHERE entity_id = $1 ORDER BY seq", made["id"]
    )]  # fmt: skip
    assert actions == ["hook.create", "hook.update", "hook.enabled", "hook.disabled", "hook.disabled", "hook.delete"]
    toggles = await world.database.fetch(
        "SELECT payload FROM journal_entries WHERE entry_type = 'system.hook_toggled' ORDER BY created_at"
    )
    assert [row["payload"]["enabled"] for row in toggles if row["payload"]["hook_id"] == made["id"]] == [
        True, False, False,
    ]  # fmt: skip


async def test_hooks_of_a_crew_and_of_all(world: World) -> None:
    crews = [Crew(name="C", slug=new_id(), workspace_id=world.workspace.id) for _ in range(2)]
    theirs = Crew(name="T", slug=new_id(), workspace_id=world.other.id)
    await world.add(*crews, theirs)
    one, _, every = [(await create(world, crew_id=id))["id"] for id in (crews[0].id, crews[1].id, " ")]
    assert [row["id"] for row in (await listed(world, crew_id=crews[0].id))["rows"]] == [every, one]
    assert (await listed(world))["count"] == 3
    assert (await change(world, one, crew_id=crews[1].id))["crew_id"] == crews[1].id
    assert "crew_id" not in await change(world, one, crew_id="")
    for id in ("nope", theirs.id):
        assert (await create(world, status=404, crew_id=id))["error"] == "Crew not found"
        await change(world, one, status=404, crew_id=id)
        async with world.client(world.viewer) as client:
            answer = await client.get(PATH, params={"workspace_id": world.workspace.id, "crew_id": id})
        assert answer.status_code == 404


async def test_a_secret_is_sealed_and_masked(world: World) -> None:
    config = URL | {"secret": "canary-hook", "extra": {"a": 1}}
    made = await create(world, handler_config=config)
    masked = URL | {"secret": "********", "extra": {"a": 1}}
    assert made["handler_config"] == masked
    assert "canary-hook" not in str(await listed(world))
    row = await world.database.fetchrow("SELECT * FROM hooks")
    assert "canary-hook" not in str(row["handler_config"])
    assert b"canary-hook" not in row["secret"]
    assert (await change(world, made["id"], handler_config=masked))["handler_config"] == masked
    assert (await world.database.fetchrow("SELECT * FROM hooks"))["secret"] == row["secret"]
    assert (await change(world, made["id"], handler_config=URL))["handler_config"] == URL
    assert (await world.database.fetchrow("SELECT * FROM hooks"))["secret"] is None


async def test_commands_are_for_owners(world: World) -> None:
    assert "OWNER" in str(await create(world, world.admin, 403, **SHELL))
    made = await create(world, world.owner, **SHELL)
    await change(world, made["id"], world.admin, 403, blocking=True)
    http = await create(world)
    await change(world, http["id"], world.admin, 403, handler_kind="shell", handler_config={"command": "true"})
    answer = await world.rest(world.admin, "POST", f"{PATH}/{made['id']}/disable")
    assert answer.status_code == 200
    away = await change(world, made["id"], world.admin, handler_kind="http", handler_config=URL)
    assert away["handler_kind"] == "http"
    assert (await world.rest(world.manager, "POST", PATH, HTTP)).status_code == 403


@each_of(
    "body",
    [
        {"event": ...}, {"event": ""}, {"event": "pre_agent_strt"}, {"event": "PRE_AGENT_START"},
        {"handler_kind": ...}, {"handler_kind": "email"}, {"handler_config": {}}, {"handler_config": {"url": ""}},
        {"handler_config": {"url": 5}}, {"handler_config": {"url": "ftp://x"}}, {"handler_config": []},
        {"handler_config": URL | {"timeout_secs": 0}}, {"handler_config": URL | {"timeout_secs": 301}},
        {"handler_config": URL | {"timeout_secs": "3"}}, {"handler_config": URL | {"secret": 5}},
        {"handler_config": URL | {"fail_closed": "yes"}}, {"handler_config": URL | {"x": "y" * 17_000}},
        {"handler_kind": "shell"}, {"handler_kind": "shell", "handler_config": {"command": " "}},
        {"matcher": "x"}, {"matcher": {"tools": "x"}}, {"matcher": {"tools": ["x" * 201]}}, {"blocking": "yes"},
        {"enabled": 1},
    ],
)  # fmt: skip
async def test_bad_hooks_are_refused(world: World, body: dict[str, Any]) -> None:
    sent = {name: value for name, value in (HTTP | body).items() if value is not ...}
    answer = await world.rest(world.owner, "POST", PATH, sent)
    assert answer.status_code == 400, answer.text
    assert await world.database.fetchval("SELECT count(*) FROM hooks") == 0


async def test_nulls_are_defaults_and_change_nothing(world: World) -> None:
    made = await create(world, matcher=None, crew_id=None, blocking=None, enabled=None)
    assert (made["enabled"], made["blocking"], made["matcher"]) == (True, False, {})
    nulls = dict.fromkeys(("event", "handler_kind", "handler_config", "matcher", "crew_id", "blocking", "enabled"))
    changed = await change(world, made["id"], **nulls)
    assert changed == made | {"updated_at": changed["updated_at"]}
    assert await change(world, made["id"], status=400, handler_kind="shell")


async def test_a_workspace_has_a_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolvers.staff.hooks.hooks.MOST_HOOKS", 1)
    await create(world)
    await create(world, status=409)


async def test_graphql_has_the_same(world: World) -> None:
    made = await create(world, handler_config=URL | {"secret": "s"})
    document = "query($ws: ID!) { hooks(workspaceId: $ws) { count rows { id event handlerKind handlerConfig } } }"
    shown = (await world.graphql(world.viewer, document))["data"]["hooks"]
    assert (shown["count"], shown["rows"][0]["id"], shown["rows"][0]["event"]) == (1, made["id"], "pre_agent_start")
    assert shown["rows"][0]["handlerConfig"]["secret"] == "********"
