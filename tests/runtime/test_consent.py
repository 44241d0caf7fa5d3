"""A call of a tool that somebody has to consent to: the run waits with nobody holding it, and goes on once."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from models.attention.approvals import ApprovalGate, ApprovalMode, ApprovalOutcome
from models.base import new_id
from models.staff.crews import Crew
from models.staff.runs import NEVER, Run, RunStatus
from resolvers.attention.approvals import cancel_approval, decide_approval
from resolvers.attention.approvals.asking import approval_of
from resolvers.attention.approvals.deciding import enqueue_overdue
from resolvers.errors import Code, Refusal
from resolvers.kernel import across_workspaces
from resolvers.rules.redaction import Redactor
from runtime.adapters.conversation import Answer, Delta, ModelReply, Request, TokenUsage
from runtime.adapters.loop import AgentLoop
from runtime.engine.background import carried
from runtime.engine.liveness import Rhythm
from runtime.engine.service import Runtime
from runtime.runs.consent import Approvals
from runtime.runs.job import Job, Outcome, Sink
from runtime.runs.prompt import Prompt
from tests.runtime.doubles import Wardrobe
from tests.runtime.estate import Estate
from tests.runtime.shop import QUICK, Shop, until

pytestmark = pytest.mark.anyio
RHYTHM = Rhythm(sweep=0.2, patience=0.5, measure=0.2, retry=0.1)
SECRET = "the-value-of-a-credential"


@dataclass
class Result:
    content: str
    is_error: bool = False


@dataclass
class Deploy:
    """A tool that remembers how it was used."""

    name: str = "deploy"
    description: str = "Deploys"
    parameters: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    used: list[dict[str, Any]] = field(default_factory=list)

    async def run(self, arguments: dict[str, Any]) -> Result:
        self.used.append(arguments)
        return Result("deployed")


class Model:
    """Calls the tool once, and then says what came of it."""

    name, model = "Test", "m-1"

    def __init__(self, tool: str, arguments: dict[str, Any], heard: list[Answer]) -> None:
        self.tool, self.arguments, self.heard = tool, arguments, heard

    async def call(self, request: Request, delta: Delta) -> ModelReply:
        usage = TokenUsage(input_tokens=1, output_tokens=1, cache_read_input_tokens=0, cache_creation_input_tokens=0)
        if not request.rounds:
            use = {"id": "t1", "name": self.tool, "input": self.arguments, "unreadable": False}
            return {"text": "", "tool_uses": [use], "usage": usage, "stop": "end", "wire": None}  # type: ignore[typeddict-item]
        self.heard.extend(request.rounds[0][1])
        await delta("text", "Done.")
        return {"text": "Done.", "tool_uses": [], "usage": usage, "stop": "end", "wire": None}

    async def cost(self, usage: TokenUsage) -> float | None:
        return None

    async def close(self) -> None: ...


class Agent:
    """What the workers' adapters do, whichever process they are in."""

    def __init__(self, tool: str = "deploy", **arguments: Any) -> None:
        self.tool, self.arguments, self.heard = Deploy(tool), arguments, list[Answer]()

    async def __call__(self, job: Job, sink: Sink) -> Outcome:
        loop = AgentLoop(
            "test",
            Model(self.tool.name, self.arguments, self.heard),
            lambda job: Prompt("", (), job.prompt),
            tools={self.tool.name: self.tool},
            scan=lambda text: None,
            redactor=Redactor([SECRET]),
            consent=Approvals(),
        )
        return await loop.run(job, sink)


@pytest.fixture
async def shop(estate: Estate) -> AsyncIterator[Shop]:
    for table in ("approval_gates", "approval_outcomes", "approvals", "inbox_items"):
        await estate.owner.execute(f"DELETE FROM {table}")
    made = Shop()
    yield made
    for worker in made.open:
        await worker.stop()


@contextlib.asynccontextmanager
async def at_work(estate: Estate, agent: Agent) -> AsyncIterator[None]:
    """A process that carries out runs and jobs."""
    made = Runtime(estate.settings, Wardrobe(agent), timing=QUICK, jobs=carried(), rhythm=RHYTHM)
    await made.start()
    try:
        yield
    finally:
        await made.stop()


async def parked(estate: Estate, run: Run, seconds: float = 8.0) -> Run:
    async with asyncio.timeout(seconds):
        while (found := await estate.run(run.id)).waits_for is None:
            await asyncio.sleep(0.01)
    return found


async def decide(estate: Estate, id: str, status: str = "approved", **more: Any) -> None:
    await decide_approval(estate.caller, {"id": id, "status": status, **more}, place=estate.workspace.id)


async def approval(estate: Estate, id: str) -> dict[str, Any]:
    return dict(await estate.owner.fetchrow("SELECT * FROM approvals WHERE id = $1", id))


async def test_a_run_waits_without_a_slot_and_goes_on_once(estate: Estate, shop: Shop) -> None:
    agent = Agent(key=SECRET, ref="main")
    worker = await shop.worker(agent)
    run = await estate.ask()
    waiting = await parked(estate, run)
    await until(lambda: not worker.held)
    assert (waiting.status, waiting.leased_until, waiting.worker) == (RunStatus.RUNNING, NEVER, None)
    assert waiting.waits_for == approval_of(run.id, "1 tool 1 deploy")
    assert agent.tool.used == []
    asked = await approval(estate, waiting.waits_for)
    assert (asked["kind"], asked["tool"], asked["agent_id"]) == ("destructive_op", "deploy", run.agent_id)
    assert asked["payload"] == {"tool": "deploy", "args": {"key": "[REDACTED:credential]", "ref": "main"}}
    item = dict(await estate.owner.fetchrow("SELECT * FROM inbox_items WHERE source_id = $1", asked["id"]))
    assert (item["state"], item["blocking"], item["target_role"]) == ("unread", True, "ADMIN")
    await estate.owner.execute("UPDATE runs SET waits_since = now() - interval '2 h' WHERE id = $1", run.id)
    await decide(estate, asked["id"])
    ended = await estate.ended(run.id)
    assert (ended.status, ended.waits_for, ended.error_message) == (RunStatus.COMPLETED, None, None)
    assert ended.waited >= 7200, "what was waited counts for no limit"
    assert agent.tool.used == [{"key": SECRET, "ref": "main"}]
    assert [answer["content"] for answer in agent.heard] == ["deployed"]
    told = [
        frame["metadata"]["subtype"] for frame in await estate.answer(str(run.chat_id)) if frame["type"] == "system"
    ]
    assert told == ["init", "approval_requested"]


@pytest.mark.parametrize("status", ["denied", "cancelled"])
async def test_without_consent_nothing_is_done(estate: Estate, shop: Shop, status: str) -> None:
    agent = Agent()
    await shop.worker(agent)
    run = await estate.ask()
    waiting = await parked(estate, run)
    assert waiting.waits_for is not None
    if status == "denied":
        await decide(estate, waiting.waits_for, "denied", comment="Not on a Friday")
    else:
        await cancel_approval(estate.caller, {"id": waiting.waits_for}, place=estate.workspace.id)
    assert (await estate.ended(run.id)).status == RunStatus.COMPLETED
    assert agent.tool.used == []
    (answer,) = agent.heard
    assert answer["is_error"]
    assert ("Not on a Friday" in answer["content"]) == (status == "denied")


async def test_a_worker_that_is_killed_while_the_run_waits_changes_nothing(estate: Estate, shop: Shop) -> None:
    agent = Agent()
    first = await shop.worker(agent)
    run = await estate.ask()
    waiting = await parked(estate, run)
    await shop.kill(first)
    assert waiting.waits_for is not None
    await decide(estate, waiting.waits_for)
    assert (await estate.run(run.id)).status == RunStatus.RUNNING
    await shop.worker(agent)
    assert (await estate.ended(run.id)).status == RunStatus.COMPLETED
    assert len(agent.tool.used) == 1


@pytest.mark.slow
async def test_a_worker_that_is_killed_before_it_has_parked_the_run_asks_once(estate: Estate, shop: Shop) -> None:
    agent = Agent()
    first = await shop.worker(agent)
    run = await estate.ask()
    async with asyncio.timeout(30):
        while not await estate.owner.fetchval("SELECT count(*) FROM approvals"):
            await asyncio.sleep(0.001)
    await shop.kill(first)
    second = await shop.worker(agent)
    waiting = await parked(estate, run)
    assert waiting.waits_for is not None
    assert await estate.owner.fetchval("SELECT count(*) FROM approvals") == 1
    assert [payload for type_, payload in await estate.events() if type_ == "approval.created"] == [
        {"id": waiting.waits_for}
    ]
    await until(lambda: not second.held)
    await decide(estate, waiting.waits_for)
    ended = await estate.ended(run.id)
    assert len(agent.tool.used) == 1 if ended.status == RunStatus.COMPLETED else ended.error_message == "server_restart"


@pytest.mark.slow
async def test_a_decision_meets_a_run_that_is_about_to_wait(estate: Estate, shop: Shop) -> None:
    """Whichever comes first, the run goes on."""
    agent = Agent()
    await shop.worker(agent, slots=4)
    runs = [await estate.ask() for _ in range(12)]
    left = {approval_of(run.id, "1 tool 1 deploy") for run in runs}
    async with asyncio.timeout(60):
        while left:
            there = [row["id"] for row in await estate.owner.fetch("SELECT id FROM approvals WHERE status = 'pending'")]
            for id in there:
                await decide(estate, id)
                left.discard(id)
            await asyncio.sleep(0.002)
    ended = [await estate.ended(run.id) for run in runs]
    assert {run.status for run in ended} == {RunStatus.COMPLETED}
    assert len(agent.tool.used) == len(runs)


async def test_a_run_that_waits_is_called_off_at_once(estate: Estate, shop: Shop) -> None:
    agent = Agent()
    await shop.worker(agent)
    run = await estate.ask()
    await parked(estate, run)
    await estate.cancel(str(run.chat_id))
    ended = await estate.ended(run.id, 10)
    assert (ended.status, agent.tool.used) == (RunStatus.CANCELLED, [])
    jobs = await estate.owner.fetch("SELECT name FROM dbos.workflow_status WHERE name LIKE '%approvals.call_off%'")
    assert len(jobs) == 1


@pytest.mark.parametrize("scope", ["agent", "crew", "workspace", "another", "another crew"])
async def test_a_gate_is_for_whom_it_names(estate: Estate, shop: Shop, scope: str) -> None:
    here = {"workspace_id": estate.workspace.id}
    crews = [Crew(name="Engine", slug=new_id(), **here) for _ in range(2)]
    await estate.add(*crews)
    worker, other = [await estate.agent(crew_id=crew.id) for crew in crews]
    chosen = {
        "agent": {"agent_id": worker.id},
        "another": {"agent_id": other.id},
        "crew": {"crew_id": worker.crew_id},
        "another crew": {"crew_id": other.crew_id},
    }
    await estate.add(ApprovalGate(pattern="read_*", **chosen.get(scope, {}), **here))
    agent = Agent("Read_File")
    await shop.worker(agent)
    run = await estate.ask(chat=await estate.chat(worker))
    if scope.startswith("another"):
        assert (await estate.ended(run.id)).status == RunStatus.COMPLETED
        assert len(agent.tool.used) == 1
        return
    waiting = await parked(estate, run)
    assert waiting.waits_for is not None
    assert (await approval(estate, waiting.waits_for))["kind"] == "tool_call"
    await decide(estate, waiting.waits_for)
    assert (await estate.ended(run.id)).status == RunStatus.COMPLETED
    assert len(agent.tool.used) == 1


@pytest.mark.parametrize("first", ["agent", "crew"])
async def test_the_narrower_gate_comes_first(estate: Estate, shop: Shop, first: str) -> None:
    """An agent's own before its crew's, its crew's before that of all: whichever is the newest."""
    here = {"pattern": "read_*", "workspace_id": estate.workspace.id}
    crew = Crew(name="Engine", slug=new_id(), workspace_id=estate.workspace.id)
    await estate.add(crew)
    worker = await estate.agent(crew_id=crew.id)
    wider = {"agent": {"crew_id": crew.id}, "crew": {}}[first]
    own = {"agent": {"agent_id": worker.id}, "crew": {"crew_id": crew.id}}[first]
    await estate.add(ApprovalGate(mode=ApprovalMode["async"], **own, **here), ApprovalGate(**wider, **here))
    agent = Agent("Read_File")
    await shop.worker(agent)
    run = await estate.ask(chat=await estate.chat(worker))
    assert (await estate.ended(run.id)).status == RunStatus.COMPLETED
    assert len(agent.tool.used) == 1
    assert (await approval(estate, approval_of(run.id, "1 tool 1 Read_File")))["mode"] == "async"


async def test_after_an_hour_without_a_decision_the_run_goes_on_without_the_call(estate: Estate, shop: Shop) -> None:
    agent = Agent()
    async with at_work(estate, agent):
        run = await estate.ask()
        waiting = await parked(estate, run)
        assert waiting.waits_for is not None
        await _nobody_decides(estate, run, waiting.waits_for)
    assert agent.tool.used == []
    (answer,) = agent.heard
    assert answer["is_error"]


async def _nobody_decides(estate: Estate, run: Run, id: str) -> None:
    asked = await approval(estate, id)
    assert abs(asked["timeout_at"] - asked["created_at"] - timedelta(hours=1)) < timedelta(seconds=5)
    await estate.owner.execute("UPDATE approvals SET timeout_at = now() + interval '1 min' WHERE id = $1", id)
    await across_workspaces(enqueue_overdue)
    assert (await approval(estate, asked["id"]))["status"] == "pending", "a minute early is not late"
    assert (await estate.run(run.id)).waits_for == asked["id"]
    await estate.owner.execute("UPDATE approvals SET timeout_at = now() WHERE id = $1", asked["id"])
    await across_workspaces(enqueue_overdue)
    ended = await estate.ended(run.id)
    assert (ended.status, ended.waits_for) == (RunStatus.COMPLETED, None)
    assert (await approval(estate, asked["id"]))["status"] == "timeout"
    item = await estate.owner.fetchrow("SELECT * FROM inbox_items WHERE source_id = $1", asked["id"])
    assert (item["state"], item["resolved_action"]) == ("resolved", "dismissed")
    with pytest.raises(Refusal) as refused:
        await decide(estate, asked["id"])
    assert refused.value.code is Code.CONFLICT


async def test_a_call_that_does_not_wait_is_recorded(estate: Estate, shop: Shop) -> None:
    gate = ApprovalGate(pattern="deploy", mode=ApprovalMode["async"], workspace_id=estate.workspace.id)
    await estate.add(gate)
    agent = Agent()
    await shop.worker(agent)
    run = await estate.ask()
    assert (await estate.ended(run.id)).status == RunStatus.COMPLETED
    asked = await approval(estate, approval_of(run.id, "1 tool 1 deploy"))
    assert (asked["status"], asked["mode"], len(agent.tool.used)) == ("pending", "async", 1)
    assert not await estate.owner.fetchval("SELECT blocking FROM inbox_items WHERE source_id = $1", asked["id"])


async def test_what_was_decided_before_tunes_the_gate(estate: Estate, shop: Shop) -> None:
    agent = Agent(ref=secrets.token_hex(4))
    await shop.worker(agent)
    run = await estate.ask()
    waiting = await parked(estate, run)
    assert waiting.waits_for is not None
    await decide(estate, waiting.waits_for)
    await estate.ended(run.id)
    digest = (await approval(estate, waiting.waits_for))["arguments"]
    here = {"tool": "deploy", "arguments": digest, "workspace_id": estate.workspace.id}
    await estate.add(*(ApprovalOutcome(approved=True, **here) for _ in range(10)))
    again = await estate.ask()
    assert (await estate.ended(again.id)).status == RunStatus.COMPLETED
    assert (await approval(estate, approval_of(again.id, "1 tool 1 deploy")))["mode"] == "async"
    told = await estate.owner.fetchval(
        "SELECT payload FROM journal_entries WHERE entry_type = 'keeper.rule_auto_tuned'"
    )
    assert told == {"tool": "deploy", "from": "sync", "to": "async", "decisions": 11}
