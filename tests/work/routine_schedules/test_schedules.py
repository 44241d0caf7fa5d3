"""Schedules over REST and GraphQL: what is stored and shown, what is refused in which order, and who may do it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from models.staff.crews import AutonomyLevel
from resolvers.identity.machine_tokens import caller_signature, issue_workspace_token
from resolvers.instance.running import instance
from tests.every import each_of
from tests.work.issues.board import UNKNOWN, Board, word
from tests.work.issues.test_internal import master
from tests.work.routines.yard import document, saved
from tests.world import World

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 3, 2, 10, 30, 15, tzinfo=UTC)  # a Monday
PROBE = {"id": "p", "type": "code", "code": {"runtime": "cel", "code": "inputs.go == true"}}
NUMBER = [{"name": "n", "type": "integer"}]


@pytest.fixture(autouse=True)
def monday(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(instance.clock), "now", lambda self: NOW)


def schedules(board: Board, path: str = "") -> str:
    return f"/api/v1/workspaces/{board.crew.workspace_id}/pipeline-schedules{path}"


async def work(board: Board) -> dict[str, Any]:
    return await saved(board, word(), document(inputs=NUMBER))


async def probe(board: Board) -> dict[str, Any]:
    said = document(PROBE, agentless=True, inputs=[{"name": "go", "type": "boolean"}])
    return await saved(board, word(), said, skip_governance_gate=True)


async def create(board: Board, person: Any = None, **body: Any) -> Any:
    return await board.ask("POST", schedules(board), {"cron_expr": "0 9 * * 1-5", **body}, person)


async def made(board: Board, **body: Any) -> dict[str, Any]:
    routine = await work(board) if "target_pipeline_slug" not in body else None
    target = {} if routine is None else {"target_pipeline_slug": routine["slug"]}
    answer = await create(board, **target | body)
    assert answer.status_code == 201, answer.text[:500]
    return answer.json()  # type: ignore[no-any-return]


async def change(board: Board, schedule: dict[str, Any], person: Any = None, **body: Any) -> Any:
    return await board.ask("PATCH", schedules(board, f"/{schedule['id']}"), body, person or board.world.admin)


async def changed(board: Board, schedule: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = await change(board, schedule, **body)
    assert answer.status_code == 200, answer.text[:500]
    return answer.json()  # type: ignore[no-any-return]


async def test_a_schedule_lives(board: Board) -> None:
    routine, since = await work(board), await board.since()
    made = (await create(board, target_pipeline_slug=routine["slug"], name="  ")).json()
    assert made == {
        "id": made["id"], "workspace_id": board.crew.workspace_id, "name": routine["slug"],
        "target_pipeline_id": routine["id"], "target_pipeline_slug": routine["slug"], "cron_expr": "0 9 * * 1-5",
        "timezone": "UTC", "inputs": {}, "enabled": True, "next_run_at": "2026-03-03T09:00:00Z",
        "catchup_policy": "once", "consecutive_failures": 0, "max_consecutive_failures": 5,
        "run_as_id": board.person.user_id, "created_at": made["created_at"], "updated_at": made["updated_at"],
    }  # fmt: skip
    assert made["id"].startswith("psched_c")
    assert [row for row in await board.read(schedules(board)) if row["id"] == made["id"]] == [made]
    after = await changed(board, made, name="Morning", inputs={"n": 1}, max_consecutive_failures=0)
    assert (after["name"], after["inputs"], after["max_consecutive_failures"]) == ("Morning", {"n": 1}, 5)
    assert after["run_as_id"] == board.world.admin.user_id
    assert await changed(board, made) == after
    gone = await board.ask("DELETE", schedules(board, f"/{made['id']}"), None, board.world.admin)
    assert gone.status_code == 204
    assert [row for row in await board.read(schedules(board)) if row["id"] == made["id"]] == []
    for method, path in (("DELETE", ""), ("PATCH", ""), ("POST", "/run")):
        again = await board.ask(method, schedules(board, f"/{made['id']}{path}"), {}, board.world.admin)
        assert again.status_code == 404
    told = [type_ for type_, _ in await board.events(since) if type_.startswith("routine_schedule")]
    assert told == [f"routine_schedule.{verb}" for verb in ("created", "updated", "deleted")]
    sql = "SELECT enabled FROM routine_schedules WHERE id = $1 AND deleted_at IS NOT NULL"
    assert await board.world.database.fetchval(sql, made["id"]) is False


async def test_all_of_a_schedule_is_stored(board: Board) -> None:
    routine, gate = await work(board), await probe(board)
    sent: dict[str, Any] = {
        "name": "Nightly", "target_pipeline_id": routine["id"], "target_pipeline_slug": "ignored",
        "target_pipeline_version": 77, "cron_expr": "*/15 * * * *", "timezone": "Europe/Prague", "inputs": {"n": 3},
        "enabled": False, "catchup_policy": "all", "max_consecutive_failures": 2, "jitter_seconds": 60,
        "wake_pipeline_slug": gate["slug"], "wake_inputs": {"go": True}, "wake_fail_closed": True,
    }  # fmt: skip
    made = (await create(board, **sent)).json()
    shown = {name: value for name, value in sent.items() if name != "target_pipeline_slug"}
    assert made.items() >= (shown | {"wake_pipeline_id": gate["id"]}).items()
    assert "target_pipeline_version" not in await changed(board, made, target_pipeline_version=None)
    without = await changed(board, made, wake_pipeline_slug="")
    assert [name for name in without if name.startswith("wake")] == []
    back = await changed(board, made, wake_pipeline_id=gate["id"])
    assert (back["wake_pipeline_slug"], "wake_fail_closed" in back, "wake_inputs" in back) == (
        gate["slug"], False, False,
    )  # fmt: skip
    assert (await change(board, made, target_pipeline_slug=gate["slug"])).status_code == 400
    moved = await changed(board, made, target_pipeline_slug=gate["slug"], wake_pipeline_id="", inputs={})
    assert moved["target_pipeline_id"] == gate["id"]


@each_of(
    "cron, zone, expected",
    [
        ("30 2 * * *", "Europe/Berlin", "2026-03-03T01:30:00Z"),
        ("@hourly", "UTC", "2026-03-02T11:00:00Z"),
        ("@daily", "America/New_York", "2026-03-03T05:00:00Z"),
        ("@weekly", "UTC", "2026-03-08T00:00:00Z"),
        ("@monthly", "UTC", "2026-04-01T00:00:00Z"),
        ("@yearly", "UTC", "2027-01-01T00:00:00Z"),
        ("@every 1h30m", "Asia/Kolkata", "2026-03-02T12:00:15Z"),
        ("0 0 29 2 *", "UTC", "2028-02-29T00:00:00Z"),
    ],
)
async def test_the_next_time(board: Board, cron: str, zone: str, expected: str) -> None:
    assert (await made(board, cron_expr=cron, timezone=zone))["next_run_at"] == expected


async def test_a_time_that_clocks_skip_or_repeat(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Berlin, 02:30 is skipped on 29 March 2026, and comes twice on 25 October."""
    for now, expected in (
        (datetime(2026, 3, 28, 12, tzinfo=UTC), "2026-03-29T01:30:00Z"),
        (datetime(2026, 3, 29, 1, 30, tzinfo=UTC), "2026-03-30T00:30:00Z"),
        (datetime(2026, 10, 24, 12, tzinfo=UTC), "2026-10-25T00:30:00Z"),
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "2026-10-26T01:30:00Z"),
    ):
        monkeypatch.setattr(type(instance.clock), "now", lambda self, now=now: now)
        assert (await made(board, cron_expr="30 2 * * *", timezone="Europe/Berlin"))["next_run_at"] == expected


@each_of(
    "body, field",
    [
        ({"cron_expr": None}, "cron_expr"),
        ({"cron_expr": ""}, "cron_expr"),
        ({"cron_expr": 5}, "cron_expr"),
        ({"cron_expr": "nope"}, "cron_expr"),
        ({"cron_expr": "0 0 0 * * *"}, "cron_expr"),
        ({"cron_expr": "0 0 30 2 *"}, "cron_expr"),
        ({"cron_expr": "@reboot"}, "cron_expr"),
        ({"cron_expr": "@every 10s"}, "cron_expr"),
        ({"cron_expr": "@every -1h"}, "cron_expr"),
        ({"cron_expr": "@every " + "9" * 900 + "h"}, "cron_expr"),
        ({"cron_expr": "*" * 5000}, "cron_expr"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"target_pipeline_slug": None, "target_pipeline_id": None}, "target_pipeline_slug"),
        ({"target_pipeline_slug": "nope"}, "target_pipeline_slug"),
        ({"target_pipeline_id": UNKNOWN}, "target_pipeline_id"),
        ({"catchup_policy": "twice"}, "catchup_policy"),
        ({"target_pipeline_version": 0}, "target_pipeline_version"),
        ({"max_consecutive_failures": 2**40}, "max_consecutive_failures"),
        ({"jitter_seconds": 3601}, "jitter_seconds"),
        ({"jitter_seconds": -1}, "jitter_seconds"),
        ({"enabled": "yes"}, "enabled"),
        ({"name": "x" * 601}, "name"),
        ({"inputs": []}, "inputs"),
        ({"inputs": {"n": "three"}}, "inputs"),
        ({"inputs": {"n": 1, "x": "y" * (1 << 20)}}, None),
        ({"wake_pipeline_slug": "nope"}, "wake_pipeline_slug"),
    ],
)
async def test_bad_input_is_refused_and_writes_nothing(board: Board, body: dict[str, Any], field: str | None) -> None:
    schedule = await made(board)
    before = await board.world.snapshot()
    sent = {"target_pipeline_slug": schedule["target_pipeline_slug"], "cron_expr": "@daily"} | body
    sent = {name: value for name, value in sent.items() if value is not None}
    refused = [await board.ask("POST", schedules(board), sent)]
    if None not in body.values():
        refused.append(await change(board, schedule, **body))
    for answer in refused:
        assert answer.status_code == (400 if field else 413), answer.text[:300]
        assert field is None or [*answer.json()["fields"]] == [field], answer.text[:300]
    assert await board.world.snapshot() == before


async def test_a_wake_check_is_another_routine_without_a_model(board: Board) -> None:
    gate, other, plain = await probe(board), await probe(board), await work(board)
    for slug, wake in ((gate, gate), (gate, plain)):
        answer = await create(board, target_pipeline_slug=slug["slug"], wake_pipeline_slug=wake["slug"])
        assert (answer.status_code, [*answer.json()["fields"]]) == (400, ["wake_pipeline_slug"])
    wrong = await create(
        board, target_pipeline_slug=gate["slug"], wake_pipeline_id=other["id"], wake_inputs={"go": "yes"}
    )
    assert (wrong.status_code, [*wrong.json()["fields"]]) == (400, ["wake_inputs"])


async def test_roles(board: Board) -> None:
    world, schedule = board.world, await made(board)
    body = {"target_pipeline_slug": schedule["target_pipeline_slug"]}
    assert (await create(board, world.member, **body)).status_code == 403
    assert (await change(board, schedule, world.manager, name="x")).status_code == 403
    run = schedules(board, f"/{schedule['id']}/run")
    assert (await board.ask("POST", run, None, world.member)).status_code == 403
    path = schedules(board, f"/{schedule['id']}")
    assert (await board.ask("DELETE", path, None, world.manager)).status_code == 403
    grant = "UPDATE memberships SET capabilities = $2 WHERE user_id = $1 AND workspace_id = $3"
    place = board.crew.workspace_id
    await world.database.execute(grant, world.member.user_id, ["routine.create"], place)
    assert (await create(board, world.member, **body)).status_code == 201
    await world.database.execute(grant, world.member.user_id, None, place)


async def test_another_workspace_has_its_own(world: World, board: Board) -> None:
    schedule = await made(board)
    theirs = await Board.of(world, world.other)
    assert await theirs.read(schedules(theirs)) == []
    for method, path in (("PATCH", ""), ("DELETE", ""), ("POST", "/run")):
        answer = await theirs.ask(method, schedules(theirs, f"/{schedule['id']}{path}"), {"name": "x"})
        assert answer.status_code == 404
    answer = await create(theirs, target_pipeline_id=schedule["target_pipeline_id"])
    assert (answer.status_code, [*answer.json()["fields"]]) == (400, ["target_pipeline_id"])


async def test_an_overdue_time_stays_with_its_expression(board: Board) -> None:
    schedule = await made(board)
    past = datetime(2026, 1, 1, tzinfo=UTC)
    sql = "UPDATE routine_schedules SET next_run_at = $2, enabled = false, consecutive_failures = 9 WHERE id = $1"
    await board.world.database.execute(sql, schedule["id"], past)
    kept = await changed(board, schedule, enabled=True, name="x", cron_expr="0 9 * * 1-5")
    assert (kept["next_run_at"], kept["consecutive_failures"]) == ("2026-01-01T00:00:00Z", 0)
    assert (await changed(board, schedule, timezone="Asia/Tokyo"))["next_run_at"] == "2026-03-03T00:00:00Z"
    assert (await changed(board, schedule, cron_expr="0 8 * * *"))["next_run_at"] == "2026-03-02T23:00:00Z"


async def test_the_list_is_in_order_and_keeps_orphans(board: Board) -> None:
    last, first = await made(board, cron_expr="@yearly"), await made(board, cron_expr="@hourly")
    await board.world.database.execute(
        "UPDATE routines SET deleted_at = now() WHERE id = $1", last["target_pipeline_id"]
    )
    rows = [row for row in await board.read(schedules(board)) if row["id"] in (first["id"], last["id"])]
    assert [row["id"] for row in rows] == [first["id"], last["id"]]
    assert "target_pipeline_slug" not in rows[1]
    run = await board.ask("POST", schedules(board, f"/{last['id']}/run"))
    assert run.status_code == 404


async def test_graphql_shows_the_same(board: Board) -> None:
    schedule = await made(board, jitter_seconds=5)
    query = """query($ws: ID) { routineSchedules(workspaceId: $ws) { nodes {
        id cronExpr routine { slug } jitterSeconds runAs { fullName } runs { id } } } }"""
    [row] = [row for row in (await board.data(query))["nodes"] if row["id"] == schedule["id"]]
    assert row == {
        "id": schedule["id"], "cronExpr": "0 9 * * 1-5", "routine": {"slug": schedule["target_pipeline_slug"]},
        "jitterSeconds": 5, "runAs": {"fullName": "Manager Example"}, "runs": [],
    }  # fmt: skip


async def test_a_workspace_has_at_most_so_many(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolvers.work.routine_schedules.schedules.MOST_SCHEDULES", 0)
    routine = await work(board)
    assert (await create(board, target_pipeline_slug=routine["slug"])).status_code == 422


# ---- agents ----------------------------------------------------------------------------------------------------------


async def by_agent(board: Board, body: dict[str, Any], *, signed: Any = None, **query: Any) -> Any:
    token = issue_workspace_token(master(board.world), board.crew.workspace_id)
    headers = {"x-internal-token": token}
    if signed is not None:
        user_id, key = signed
        headers |= {"x-caller-user-id": user_id}
        headers |= {"x-caller-signature": caller_signature(key or token, board.crew.workspace_id, user_id)}
    async with board.world.client(None, **headers) as client:
        return await client.post("/api/v1/internal/routines/schedules", params=query, json=body)


async def level(board: Board, to: AutonomyLevel) -> None:
    sql = "UPDATE crews SET autonomy_level = $2 WHERE id = $1"
    await board.world.database.execute(sql, board.crew.id, to)


@each_of("to", ["guided", "trusted", "full", "unknown"])
async def test_an_agent_creates_a_schedule(board: Board, to: str) -> None:
    body = {"target_pipeline_slug": (await work(board))["slug"], "cron_expr": "@daily"}
    query = {"crew_id": board.crew.id}
    if to == "unknown":
        query = {"crew_id": UNKNOWN}
    else:
        await level(board, AutonomyLevel(to))
    answer = await by_agent(board, body, workspace_id=board.crew.workspace_id, **query)
    assert answer.status_code == 201, answer.text[:500]
    told = {"decision": "auto_log_inbox", "autonomy_level": "guided", "pending_review": False}
    keys = {name: value for name, value in answer.json().items() if name in told}
    assert keys == (told if to in ("guided", "unknown") else {})
    assert (answer.json()["enabled"], "run_as_id" in answer.json()) == (True, False)
    sql = "SELECT * FROM inbox_items WHERE source_id = $1"
    item = await board.world.database.fetchrow(sql, f"schedule:{answer.json()['id']}")
    assert (item is None) == (to in ("trusted", "full"))
    assert item is None or (item["kind"], item["blocking"]) == ("message", False)


async def test_refusals_of_an_agents_schedule_in_their_order(board: Board) -> None:
    place, crew = board.crew.workspace_id, board.crew.id
    body: dict[str, Any] = {}
    async with board.world.client(None, **{"x-internal-token": "wrong"}) as client:
        assert (await client.post("/api/v1/internal/routines/schedules", json=body)).status_code == 403
    async with board.world.client(None, **{"x-internal-token": master(board.world)}) as client:
        assert (await client.post("/api/v1/internal/routines/schedules", json=body)).status_code == 400
    await level(board, AutonomyLevel.strict)
    member = board.world.member.user_id
    lacking = await by_agent(board, body, signed=(member, None), workspace_id=place, crew_id=crew)
    assert (lacking.status_code, "policy_action" in lacking.json()) == (403, False)
    forged = await by_agent(board, body, signed=(member, "another"), workspace_id=place, crew_id=crew)
    strict = await by_agent(board, body, workspace_id=place, crew_id=crew)
    for answer in (forged, strict):
        assert (answer.status_code, answer.json()["policy_action"]) == (403, "routine_schedule_create")
        assert answer.json().items() >= {"autonomy_level": "strict", "crew_id": crew}.items()
    await level(board, AutonomyLevel.trusted)
    assert (await by_agent(board, body, workspace_id=place, crew_id=crew)).status_code == 400


async def test_a_named_user_is_the_one_in_whose_name_it_runs(board: Board) -> None:
    body = {"target_pipeline_slug": (await work(board))["slug"], "cron_expr": "@daily"}
    manager = board.world.manager.user_id
    answer = await by_agent(board, body, signed=(manager, None), workspace_id=board.crew.workspace_id)
    assert (answer.status_code, answer.json()["run_as_id"]) == (201, manager)
