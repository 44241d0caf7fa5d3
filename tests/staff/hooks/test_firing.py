"""What hooks do at an event: they are called or executed, block or fail, and the journal has it."""

import asyncio
import hashlib
import hmac
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from models.attention.approvals import Approval, ApprovalKind
from models.base import new_id
from models.resources.budgets import Budget, BudgetPeriod, BudgetScope
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.hooks import Hook, HookEvent, HookHandler, HookOutcome
from models.staff.runs import ChatEventType, Run, RunStatus
from resolvers.instance.ports import CommandOfAgent, NotRun, Ran
from resolvers.kernel import AcrossWorkspaces, across_workspaces, instance
from resolvers.kernel.background import steps
from resolvers.staff.hooks.happenings import (
    FIRE,
    Happening,
    OfFiring,
    enqueue_happenings,
    happening_of,
    hooks_at,
)
from runtime.staff.hooks import RunHooks, fire
from tests.attention.notification_channels.test_channels import Receiver, private_addresses
from tests.every import each_of
from tests.runtime.adapters.sinks import job
from tests.staff.hooks.test_hooks import change, create
from tests.world import World, now

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def empty(world: World) -> None:
    for table in ("hooks", "journal_entries"):
        await world.database.execute(f"DELETE FROM {table}")


class Commands:
    """Remembers commands, and answers as it is given."""

    def __init__(self, answer: Ran | Exception) -> None:
        self.answer, self.got = answer, list[CommandOfAgent]()

    async def run(self, command: CommandOfAgent) -> Ran:
        self.got.append(command)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def happening(world: World, event: HookEvent = HookEvent.pre_tool_call, **values: Any) -> Happening:
    return Happening(event, world.workspace.id, **values)


async def entries(world: World) -> list[tuple[str, str, dict[str, Any]]]:
    rows = await world.database.fetch("SELECT * FROM journal_entries ORDER BY created_at, id")
    return [(row["entry_type"], row["severity"], row["payload"]) for row in rows]


async def one(world: World, **body: Any) -> Any:
    await create(world, **({"event": "pre_tool_call"} | body))
    (hook,) = await hooks_at(happening(world))
    return hook


async def test_a_call_is_signed_and_says_what_happened(world: World) -> None:
    receiver = Receiver()
    async with receiver.listening():
        hook = await one(world, handler_config={"url": receiver.url, "secret": "storm"})
        with private_addresses():
            fired = await fire(hook, happening(world, tool_name="deploy", payload={"a": 1}))
    assert (fired.outcome, fired.payload["status"]) == (HookOutcome.passed, 200)
    ((headers, body),) = receiver.got
    assert headers["user-agent"] == "crewship-hooks/1"
    assert headers["x-crewship-signature"] == "sha256=" + hmac.new(b"storm", body, hashlib.sha256).hexdigest()
    told = json.loads(body)
    assert told.keys() == {
        "event", "workspace_id", "crew_id", "agent_id", "mission_id", "tool_name", "severity", "payload", "ts",
    }  # fmt: skip
    assert (told["event"], told["tool_name"], told["payload"]) == ("pre_tool_call", "deploy", {"a": 1})


async def test_another_answer_blocks_and_none_is_an_error(world: World) -> None:
    receiver = Receiver()
    async with receiver.listening():
        receiver.answers = [302, 500]
        hook = await one(world, handler_config={"url": receiver.url})
        with private_addresses():
            for status in (302, 500):
                fired = await fire(hook, happening(world))
                assert (fired.outcome, fired.payload["status"]) == (HookOutcome.block, status)
        refused = await fire(hook, happening(world))
    assert refused.outcome is HookOutcome.block, "a private address is not called"
    assert len(receiver.got) == 2
    with private_addresses():
        nobody = await fire(hook, happening(world))
    assert nobody.outcome is HookOutcome.error
    assert "signature" not in receiver.got[0][0]


async def test_the_network_of_the_crew_holds_for_its_hooks(world: World) -> None:
    crew = Crew(name="C", slug=new_id(), workspace_id=world.workspace.id, network_mode="restricted")
    await world.add(crew)
    receiver = Receiver()
    async with receiver.listening():
        hook = await one(world, handler_config={"url": receiver.url})
        with private_addresses():
            fired = await fire(hook, happening(world, crew_id=crew.id))
    assert (fired.outcome, receiver.got) == (HookOutcome.block, [])
    assert "network" in fired.message


@each_of(
    ("answer", "outcome"),
    [
        (Ran(0, "fine"), HookOutcome.passed),
        (Ran(3, "no\0"), HookOutcome.block),
        (Ran(137, ""), HookOutcome.block),
        (NotRun("Commands are disabled on this server", unavailable=True), HookOutcome.error),
        (RuntimeError("secret text"), HookOutcome.error),
    ],
)
async def test_a_command_is_executed_where_agents_commands_are(
    world: World, answer: Ran | Exception, outcome: HookOutcome
) -> None:
    await world.database.execute("DELETE FROM hooks")
    commands = Commands(answer)
    instance.commands = commands
    try:
        config = {"command": "exit 3", "timeout_secs": 7}
        hook = await one(world, handler_kind="shell", handler_config=config)
        fired = await fire(hook, happening(world, agent_id="a1", agent_slug="ada", tool_name="deploy"))
        big = await fire(hook, happening(world, payload={"text": "x" * 70_000}))
    finally:
        instance.commands = None
    assert (fired.outcome, big.outcome) == (outcome, outcome)
    assert "secret text" not in fired.message
    first, second = commands.got
    assert (first.command, first.timeout, first.agent_id, first.reaches_out) == ("exit 3", 7.0, "a1", False)
    assert (first.environment["CREWSHIP_EVENT"], first.environment["CREWSHIP_TOOL_NAME"]) == ("pre_tool_call", "deploy")
    assert len(second.environment["CREWSHIP_PAYLOAD"]) < 200


@each_of(
    ("matcher", "fits"),
    [
        ({}, True),
        ({"tools": ["dep"]}, True),
        ({"tools": ["x", "^deploy$"]}, True),
        ({"tools": ["^loy"]}, False),
        ({"tools": ["("]}, False),
        ({"agent_ids": ["a1"], "severities": ["info"]}, True),
        ({"agent_ids": ["a2"]}, False),
        ({"crew_ids": ["c1"], "tools": ["dep"]}, False),
        ({"severities": ["warn"]}, False),
    ],
)
async def test_matchers(world: World, matcher: dict[str, Any], fits: bool) -> None:
    await world.database.execute("DELETE FROM hooks")
    await create(world, event="pre_tool_call", matcher=matcher)
    found = await hooks_at(happening(world, agent_id="a1", tool_name="deploy"))
    assert bool(found) is fits
    assert await hooks_at(happening(world, HookEvent.post_tool_call, agent_id="a1", tool_name="deploy")) == []


async def test_hooks_of_other_crews_workspaces_and_those_that_are_off(world: World) -> None:
    crew = Crew(name="C", slug=new_id(), workspace_id=world.workspace.id)
    await world.add(crew)
    first = await create(world, event="pre_tool_call", crew_id=crew.id)
    second = await create(world, event="pre_tool_call")
    await create(world, event="pre_tool_call", enabled=False)
    await world.add(Hook(event=HookEvent.pre_tool_call, handler_kind=HookHandler.subagent, workspace_id=world.other.id))
    assert [hook.id for hook in await hooks_at(happening(world))] == [second["id"]]
    assert [hook.id for hook in await hooks_at(happening(world, crew_id=crew.id))] == [first["id"], second["id"]]


async def test_the_first_block_stops_the_step(world: World) -> None:
    work = replace(job("hello"), workspace_id=world.workspace.id)
    shell = {"event": "pre_agent_start", "handler_kind": "shell", "handler_config": {"command": "x"}}
    subagent = {"event": "pre_agent_start", "handler_kind": "subagent", "handler_config": {}}
    failing = await create(world, blocking=True, **subagent)
    blocking = await create(world, blocking=True, **shell)
    beside = await create(world, **subagent)
    commands = Commands(Ran(1, "not now"))
    instance.commands = commands
    try:
        refused = await RunHooks(work).before_start()
        assert refused == f"pre_agent_start hook blocked: hooks: blocked by {blocking['id']}: not now"
        found = [(kind, severity, payload["hook_id"]) for kind, severity, payload in await entries(world)]
        assert found == [
            ("hook.fired", "warn", failing["id"]),
            ("hook.fired", "warn", blocking["id"]),
            ("hook.blocked", "warn", blocking["id"]),
        ]
        commands.answer = Ran(0, "")
        assert await RunHooks(work).before_start() is None
        async with asyncio.timeout(20):
            while beside["id"] not in {payload["hook_id"] for _, _, payload in await entries(world)}:
                await asyncio.sleep(0.02)
    finally:
        instance.commands = None


async def test_an_error_blocks_if_the_hook_fails_closed(world: World) -> None:
    work = replace(job("hello"), workspace_id=world.workspace.id)
    hook = await create(
        world, event="pre_tool_call", handler_kind="subagent", handler_config={"fail_closed": True}, blocking=True
    )
    assert hook["id"] in str(await RunHooks(work).before_tool("deploy", {}))
    await change(world, hook["id"], handler_config={})
    assert await RunHooks(work).before_tool("deploy", {}) is None


async def test_hooks_that_wait_have_a_limit(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.staff.hooks.MOST_WAITING", 2)
    await create(world, event="post_tool_call", handler_kind="subagent", handler_config={})
    hooks = RunHooks(replace(job("hello"), workspace_id=world.workspace.id))
    for number in range(5):
        hooks.hears(ChatEventType.tool_result, "", {"tool_use_id": f"t{number}"})
    async with asyncio.timeout(20):
        while hooks._waiting:
            await asyncio.sleep(0.02)
    assert 1 <= len(await entries(world)) <= 2


async def test_a_hook_that_never_answers_ends_in_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    hook = await one(world, handler_config={"url": url, "timeout_secs": 1})
    began = time.monotonic()
    with private_addresses():
        fired = await fire(hook, happening(world))
    server.close()
    assert (fired.outcome, time.monotonic() - began < 10) == (HookOutcome.error, True)
    assert "within 1 seconds" in fired.message
    monkeypatch.setattr("runtime.staff.hooks.GRACE", -0.8)

    class Hanging:
        async def run(self, command: CommandOfAgent) -> Ran:
            await asyncio.Event().wait()
            raise AssertionError

    await world.database.execute("DELETE FROM hooks")
    shell = await one(world, handler_kind="shell", handler_config={"command": "x", "timeout_secs": 1})
    monkeypatch.setattr(instance, "commands", Hanging())
    assert (await fire(shell, happening(world))).outcome is HookOutcome.error


async def test_secrets_in_answers_are_not_recorded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither that of the hook nor what looks like one."""
    key = "sk-ant-api03-" + "a" * 90
    said = f"storm-of-secrets {key}".encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 X\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (len(said), said))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    hook = await one(world, handler_config={"url": url, "secret": "storm-of-secrets"})
    with private_addresses():
        fired = await fire(hook, happening(world))
    server.close()
    assert fired.outcome is HookOutcome.block
    monkeypatch.setattr(instance, "commands", Commands(Ran(1, key)))
    await world.database.execute("DELETE FROM hooks")
    shell = await one(world, handler_kind="shell", handler_config={"command": "x"})
    ran = await fire(shell, happening(world))
    for text in (str(fired), str(ran)):
        assert "REDACTED" in text
        assert key not in text
        assert "storm-of-secrets" not in text


# ---- behind the facts ------------------------------------------------------------------------------------------------


async def announce(world: World, type: str, **payload: Any) -> None:
    await world.database.execute(
        "INSERT INTO events (workspace_id, channel, type, payload) VALUES ($1::text, 'workspace:' || $1::text, $2, $3)",
        world.workspace.id, type, payload,
    )  # fmt: skip


async def enqueued(rows: AcrossWorkspaces) -> list[tuple[str, str]]:
    """The hook and the type of each job; the jobs themselves are dropped."""
    while await enqueue_happenings(rows):
        pass
    made = [json.loads(queued.args)["data"] for queued in rows.queued if queued.name == "hooks.fire"]
    rows.queued.clear()
    return [(data["hook_id"], data["kind"]) for data in made]


async def test_events_reach_hooks_that_are_older_than_they_are(world: World) -> None:
    stopped = await create(world, event="post_agent_stop", handler_kind="subagent", handler_config={})
    await across_workspaces(enqueued)
    await announce(world, "run.completed", run_id="r1", agent_id="a1", status="COMPLETED")
    younger = await create(world, event="post_agent_stop", handler_kind="subagent", handler_config={})
    tasks = await create(world, event="post_task_delegation", handler_kind="subagent", handler_config={})
    await create(world, event="post_agent_stop", handler_kind="subagent", handler_config={}, enabled=False)
    await create(world, event="pre_agent_start", handler_kind="subagent", handler_config={})
    await announce(world, "assignment.updated", id="t1", status="RUNNING", target="ada")
    await announce(world, "assignment.updated", id="t1", status="FAILED", target="ada")
    await announce(world, "run.failed", run_id="r2", agent_id="a1", status="FAILED")
    found = await across_workspaces(enqueued)
    assert sorted(found) == sorted([
        (stopped["id"], "run.completed"), (stopped["id"], "run.failed"), (younger["id"], "run.failed"),
        (tasks["id"], "assignment.updated"),
    ])  # fmt: skip
    assert await across_workspaces(enqueued) == [], "each event is followed once"


async def test_hooks_are_given_what_an_event_is_about(world: World) -> None:
    here = {"workspace_id": world.workspace.id}
    crew = Crew(name="C", slug=new_id(), **here)
    agent = Agent(name="Ada", slug=f"ada-{new_id()}", crew_id=crew.id, **here)
    ended = {"agent_id": agent.id, "finished_at": now(), **here}
    good = Run(status=RunStatus.COMPLETED, exit_code=0, **ended)
    kept = Run(status=RunStatus.FAILED, data={"reason": "hook_blocked"}, **ended)
    approval = Approval(kind=ApprovalKind.custom, reason="Why", agent_id=agent.id, tool="deploy", **here)
    amounts = {"amount_micros": 10, "reservation_micros": 1}
    budget = Budget(scope=BudgetScope.crew, crew_id=crew.id, period=BudgetPeriod.day, **amounts, **here)
    await world.add(crew, agent, good, kept, approval, budget)

    async def of(kind: str, id: str) -> Happening | None:
        data = OfFiring(hook_id="h", kind=kind, subject_id=id, place="1-1")
        return await steps.read(FIRE, world.workspace.id, lambda ctx: happening_of(ctx, data))

    stopped = await of("run.completed", good.id)
    assert stopped is not None
    assert (stopped.event, stopped.agent_slug, stopped.crew_id) == ("post_agent_stop", agent.slug, crew.id)
    assert stopped.payload == {"run_id": good.id, "status": "COMPLETED", "error": None, "exit_code": 0}
    assert await of("run.failed", kept.id) is None
    assert await of("run.failed", "nope") is None
    asked, spent = await of("approval.created", approval.id), await of("budget.exceeded", budget.id)
    assert asked is not None
    assert (asked.event, asked.tool_name, asked.payload["reason"]) == ("on_approval_requested", "deploy", "Why")
    assert spent is not None
    assert (spent.event, spent.severity, spent.crew_id) == ("on_budget_exceeded", "warn", crew.id)
