"""Runs of programs elsewhere: who may report, what a report changes, and that the first end counts."""

import asyncio
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import AgentStatus
from models.staff.runs import RunStatus
from tests.every import each_of
from tests.staff.runs.logbook import agent_of, bound, chat_of, events, get, internal, position, row, run_of
from tests.world import World, now

pytestmark = pytest.mark.anyio
ENDS = [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.TIMEOUT]


async def start(world: World, agent_id: str, token: str | None = "", **body: Any) -> Any:
    return await internal(
        world,
        "POST",
        "",
        {"id": f"run-{new_id()}", "agent_id": agent_id, "workspace_id": world.workspace.id} | body,
        token,
    )


async def test_a_run_has_started(world: World) -> None:
    agent = await agent_of(world)
    chat, before, id = await chat_of(world, agent), await position(world), f"trace {new_id()}"
    answer = await start(
        world, agent.id, id=id, chat_id=chat.id, trigger_type="CRON", metadata={"tags": ["night"], "model": "m-1"}
    )
    assert (answer.status_code, answer.json()) == (201, {"id": id, "status": "RUNNING"})
    run = await row(world, "runs", id)
    expected = {
        "agent_id": agent.id,
        "chat_id": chat.id,
        "workspace_id": world.workspace.id,
        "trigger_type": "CRON",
        "model": "m-1",
        "triggered_by": None,
    }
    assert {name: run[name] for name in expected} == expected
    assert run["data"] == {"tags": ["night"], "model": "m-1"}
    assert run["started_at"] is not None
    assert (await row(world, "agents", agent.id))["status"] == "RUNNING"
    told = {"agent_id": agent.id, "agent_name": "Hand", "status": "RUNNING"}
    channel = f"workspace:{world.workspace.id}"
    assert await events(world, before) == [
        (channel, "run.started", {"run_id": id} | told),
        (channel, "agent.status", told),
    ]
    assert (await get(world, f"/runs/{id}"))["trigger_type"] == "CRON"


async def test_no_worker_of_this_server_takes_it(world: World) -> None:
    agent = await agent_of(world)
    id = (await start(world, agent.id)).json()["id"]
    due = (
        "SELECT 1 FROM runs WHERE id = $1 AND status = 'RUNNING'"
        " AND (leased_until IS NULL OR leased_until < now() + interval '100 years')"
    )
    assert await world.database.fetchval(due, id) is None


@pytest.mark.parametrize("status", ENDS)
async def test_a_run_has_ended(world: World, status: RunStatus) -> None:
    agent = await agent_of(world)
    id = (await start(world, agent.id, metadata={"tags": ["night"], "model": "m-1", "kept": 1})).json()["id"]
    before = await position(world)
    body = {
        "status": status,
        "exit_code": 3,
        "error_message": "No coal",
        "metadata": {"model": "m-2", "usage": {"input_tokens": 5}},
    }
    answer = await internal(world, "PATCH", f"/{id}", body)
    assert (answer.status_code, answer.json()) == (200, {"id": id, "status": status})
    run = await row(world, "runs", id)
    assert (run["status"], run["exit_code"], run["error_message"], run["model"]) == (status, 3, "No coal", "m-2")
    assert run["data"] == {"tags": ["night"], "model": "m-2", "kept": 1, "usage": {"input_tokens": 5}}
    assert abs((run["finished_at"] - now()).total_seconds()) < 60
    left = "ERROR" if status in (RunStatus.FAILED, RunStatus.TIMEOUT) else "IDLE"
    assert (await row(world, "agents", agent.id))["status"] == left
    told = {"agent_id": agent.id, "agent_name": "Hand"}
    type_, channel = (
        "run.completed" if status is RunStatus.COMPLETED else "run.failed",
        f"workspace:{world.workspace.id}",
    )
    ended = told | {"run_id": id, "agent_slug": agent.slug, "status": status}
    assert await events(world, before) == [(channel, type_, ended), (channel, "agent.status", told | {"status": left})]


async def test_of_a_webhooks_run_is_kept_what_was_reported(world: World) -> None:
    """One that this server carries out has an exit code in any case, and tells what was sent alone."""
    agent = await agent_of(world)
    id = (await start(world, agent.id, trigger_type="WEBHOOK", metadata={"event": "ping"})).json()["id"]
    await internal(world, "PATCH", f"/{id}", {"status": "CANCELLED", "metadata": {"usage": 1}})
    run = await row(world, "runs", id)
    assert (run["exit_code"], run["data"]) == (None, {"event": "ping", "usage": 1})


async def test_the_first_end_counts(world: World) -> None:
    agent = await agent_of(world)
    id = (await start(world, agent.id)).json()["id"]
    assert (await internal(world, "PATCH", f"/{id}", {"status": "RUNNING", "error_message": "x"})).json() == {
        "id": id,
        "status": "RUNNING",
    }
    assert (await row(world, "runs", id))["error_message"] is None
    await internal(world, "PATCH", f"/{id}", {"status": "COMPLETED"})
    before = await world.snapshot()
    for status in RunStatus:
        answer = await internal(
            world, "PATCH", f"/{id}", {"status": status, "error_message": "late", "metadata": {"late": True}}
        )
        assert (answer.status_code, answer.json()) == (200, {"id": id, "status": "COMPLETED"})
    assert await world.snapshot() == before


async def test_of_many_ends_at_once_one_counts(world: World) -> None:
    agent = await agent_of(world)
    id = (await start(world, agent.id)).json()["id"]
    before = await position(world)
    answers = await asyncio.gather(
        *(internal(world, "PATCH", f"/{id}", {"status": status, "error_message": status}) for status in ENDS * 4)
    )
    assert len({answer.json()["status"] for answer in answers}) == 1
    run = await row(world, "runs", id)
    assert run["error_message"] == run["status"] == answers[0].json()["status"]
    assert len(await events(world, before)) == 2


async def test_an_agent_with_other_runs_goes_on(world: World) -> None:
    agent = await agent_of(world)
    first, second = [(await start(world, agent.id)).json()["id"] for _ in range(2)]
    before = await position(world)
    await internal(world, "PATCH", f"/{first}", {"status": "FAILED"})
    assert (await row(world, "agents", agent.id))["status"] == "RUNNING"
    assert [payload["status"] for _, _, payload in await events(world, before)] == ["FAILED", "RUNNING"]
    await internal(world, "PATCH", f"/{second}", {"status": "COMPLETED"})
    assert (await row(world, "agents", agent.id))["status"] == "IDLE"


async def test_of_many_runs_that_end_at_once_the_last_one_settles_the_agent(world: World) -> None:
    agent = await agent_of(world)
    ids = [(await start(world, agent.id)).json()["id"] for _ in range(12)]
    await asyncio.gather(*(internal(world, "PATCH", f"/{id}", {"status": "COMPLETED"}) for id in ids))
    assert (await row(world, "agents", agent.id))["status"] == "IDLE"


async def test_starts_and_ends_at_once_leave_the_agent_as_its_runs_are(world: World) -> None:
    agent = await agent_of(world)
    ended = [(await start(world, agent.id)).json()["id"] for _ in range(8)]
    calls = [
        call
        for id in ended
        for call in (internal(world, "PATCH", f"/{id}", {"status": "CANCELLED"}), start(world, agent.id))
    ]
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {200, 201}
    assert (await row(world, "agents", agent.id))["status"] == "RUNNING"


@pytest.mark.parametrize(
    "status", [AgentStatus.STOPPED, AgentStatus.PENDING_REVIEW, AgentStatus.IDLE, AgentStatus.ERROR]
)
async def test_an_agent_that_is_not_running_stays_as_it_is(world: World, status: AgentStatus) -> None:
    agent = await agent_of(world, status=status)
    run, before = await run_of(world, agent, RunStatus.RUNNING), await position(world)
    await internal(world, "PATCH", f"/{run.id}", {"status": "FAILED"})
    assert (await row(world, "agents", agent.id))["status"] == status
    assert [(type_, payload["status"]) for _, type_, payload in await events(world, before)] == [
        ("run.failed", "FAILED"),
        ("agent.status", status),
    ]


async def test_a_deleted_agent_is_left_alone_and_named(world: World) -> None:
    agent = await agent_of(world, name="Retired", status=AgentStatus.RUNNING, deleted_at=now())
    run, before = await run_of(world, agent, RunStatus.RUNNING), await position(world)
    assert (await internal(world, "PATCH", f"/{run.id}", {"status": "FAILED"})).status_code == 200
    assert (await row(world, "agents", agent.id))["status"] == "RUNNING"
    assert {payload["agent_name"] for _, _, payload in await events(world, before)} == {"Retired"}


# ---- what is refused -------------------------------------------------------------------------------------------------


async def test_an_agent_and_a_chat_there_must_be(world: World) -> None:
    agent, theirs = await agent_of(world), await agent_of(world, workspace_id=world.other.id)
    gone, their_chat = await agent_of(world, deleted_at=now()), await chat_of(world, theirs)
    before = await world.snapshot()
    for agent_id in (theirs.id, gone.id, "nothing"):
        assert (await start(world, agent_id)).status_code == 404
    for chat_id in (their_chat.id, "nothing"):
        answer = await start(world, agent.id, chat_id=chat_id)
        assert (answer.status_code, answer.json()["detail"]) == (
            400,
            "chat_id: there is no such chat in this workspace",
        )
    assert await world.snapshot() == before


async def test_an_id_and_a_chat_are_taken_once(world: World) -> None:
    agent = await agent_of(world)
    chat = await chat_of(world, agent)
    id = (await start(world, agent.id, chat_id=chat.id)).json()["id"]
    before = await world.snapshot()
    again, beside = await start(world, agent.id, id=id), await start(world, agent.id, chat_id=chat.id)
    assert (again.status_code, again.json()["error"]) == (409, "A run with this id already exists")
    assert (beside.status_code, beside.json()["error"]) == (409, "This chat already has an active run")
    assert await world.snapshot() == before


@pytest.mark.parametrize("missing", ["id", "agent_id", "workspace_id"])
async def test_what_a_start_has_to_say(world: World, missing: str) -> None:
    agent = await agent_of(world)
    body: dict[str, Any] = {"id": f"run-{new_id()}", "agent_id": agent.id, "workspace_id": world.workspace.id}
    for value in (None, 7, ""):
        assert (await internal(world, "POST", "", body | {missing: value})).status_code == (
            404 if (missing, value) == ("agent_id", "") else 400
        )
    assert (
        await internal(world, "POST", "", {name: value for name, value in body.items() if name != missing})
    ).status_code == 400
    assert (await start(world, agent.id, metadata=["x"])).status_code == 400
    assert await world.database.fetchval("SELECT count(*) FROM runs WHERE agent_id = $1", agent.id) == 0


@each_of(
    "body",
    [
        {},
        {"status": "ENDED"},
        {"status": "completed"},
        {"status": None},
        {"status": "FAILED", "exit_code": "1"},
        [],
        "x",
    ],
)
async def test_what_an_end_has_to_say(world: World, body: Any) -> None:
    run = await run_of(world, await agent_of(world), RunStatus.RUNNING)
    assert (await internal(world, "PATCH", f"/{run.id}", body)).status_code == 400
    assert (await row(world, "runs", run.id))["status"] == "RUNNING"


async def test_whose_token_counts(world: World) -> None:
    agent, theirs = await agent_of(world), await agent_of(world, workspace_id=world.other.id)
    run, their_run = await run_of(world, agent, RunStatus.RUNNING), await run_of(world, theirs, RunStatus.RUNNING)
    before = await world.snapshot()
    own = bound(world, world.workspace.id)
    for token in (None, "wrong", own[:-1] + "0" * (own[-1] != "0") + "1" * (own[-1] == "0")):
        assert (await start(world, agent.id, token)).status_code == 403
        assert (await internal(world, "PATCH", f"/{run.id}", {"status": "FAILED"}, token)).status_code == 403
    for person in (world.owner, world.admin):  # a user's token is none here
        answer = await world.rest(person, "PATCH", f"/api/v1/internal/runs/{run.id}", {"status": "FAILED"})
        assert answer.status_code == 403
    assert (await start(world, theirs.id, own, workspace_id=world.other.id)).status_code == 403
    assert (await internal(world, "PATCH", f"/{their_run.id}", {"status": "FAILED"}, own)).status_code == 404
    assert (await internal(world, "PATCH", "/nothing", {"status": "FAILED"}, own)).status_code == 404
    assert await world.snapshot() == before
    assert (await start(world, agent.id, own)).status_code == 201
    assert (await internal(world, "PATCH", f"/{run.id}", {"status": "FAILED"}, own)).status_code == 200
    # the master token's
    assert (await internal(world, "PATCH", f"/{their_run.id}", {"status": "FAILED"})).status_code == 200
