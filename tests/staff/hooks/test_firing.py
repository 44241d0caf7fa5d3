"""What hooks do at an event: they are called or executed, block or fail, and the journal has it."""

import asyncio
import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.hooks import Hook, HookEvent, HookHandler, HookOutcome
from models.staff.runs import Run, RunStatus
from resolvers.instance.ports import CommandOfAgent, NotRun, Ran
from resolvers.kernel import across_workspaces, instance
from resolvers.staff.hooks.happenings import Happening, OfHappening, enqueue_happenings, hooks_at
from runtime.staff.hooks import RunHooks, fire
from tests.attention.notification_channels.test_channels import Receiver, private_addresses
from tests.every import each_of
from tests.runtime.adapters.sinks import job
from tests.staff.hooks.test_hooks import create
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
    await world.add(
        Hook(event=HookEvent.pre_tool_call, handler_kind=HookHandler.subagent, workspace_id=world.other.id)
    )
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
        refused = await RunHooks().before_start(work)
        assert refused == f"pre_agent_start hook blocked: hooks: blocked by {blocking['id']}: not now"
        told = [(kind, severity, payload["hook_id"]) for kind, severity, payload in await entries(world)]
        assert told == [
            ("hook.fired", "warn", failing["id"]),
            ("hook.fired", "warn", blocking["id"]),
            ("hook.blocked", "warn", blocking["id"]),
        ]
        commands.answer = Ran(0, "")
        assert await RunHooks().before_start(work) is None
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
    assert hook["id"] in str(await RunHooks().before_tool(work, "deploy", {}))


async def test_ends_of_runs_are_followed(world: World) -> None:
    """Except of those that a hook kept from their start."""
    here = {"workspace_id": world.workspace.id}
    agent = Agent(name="Ada", slug=f"ada-{new_id()}", **here)
    ended = {"agent_id": agent.id, "finished_at": now(), **here}
    good = Run(status=RunStatus.COMPLETED, **ended)
    kept = Run(status=RunStatus.FAILED, data={"reason": "hook_blocked"}, **ended)
    await world.add(agent, good, kept)
    await create(world, event="post_agent_stop", handler_kind="subagent", handler_config={})
    while await across_workspaces(enqueue_happenings):
        pass
    for run in (good, kept):
        await world.database.execute(
            "INSERT INTO events (workspace_id, channel, type, payload) VALUES ($1::text, 'workspace:' || $1, $2, $3)",
            world.workspace.id, "run.completed", {"run_id": run.id, "agent_id": agent.id},
        )  # fmt: skip
    async with asyncio.timeout(30):
        while not await entries(world):
            await across_workspaces(enqueue_happenings)
            await asyncio.sleep(0.05)
    ((kind, severity, payload),) = await entries(world)
    assert (kind, severity, payload["outcome"], payload["event"]) == ("hook.fired", "warn", "error", "post_agent_stop")
    assert OfHappening(kind="run.completed", subject_id=good.id)
