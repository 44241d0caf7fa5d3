"""The trace of a run over GraphQL: its state, spans by its id, afterwards and live, for every trigger."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from models.attention.approvals import Approval, ApprovalKind
from models.people.workspaces import Role
from models.resources.costs import ModelCall
from models.staff.run_spans import RunSpan, SpanKind, SpanStatus
from models.staff.runs import NEVER, Run, RunStatus
from models.work.missions import Assignment
from runtime.engine.supervisor import Supervisor, Timing
from runtime.runs.job import Job, Outcome, Sink
from tests.live.graphql import Talk, talking
from tests.runtime.doubles import E, LocalEngine, Wardrobe
from tests.staff.runs.logbook import agent_of, chat_of, crew_of, run_of
from tests.staff.webhooks.test_triggering import hooked, send
from tests.world import World, now

pytestmark = pytest.mark.anyio
QUICK = Timing(lease=5.0, extend=0.3, poll=0.1, begin=2.0, patience=0.5)
SPANS = """query($ws: ID!, $id: ID!, $kind: [SpanKind!], $first: Int, $after: String) { run(workspaceId: $ws, id: $id) {
    state triggerType
    spans(kind: $kind, first: $first, after: $after) {
        totalCount pageInfo { hasNextPage endCursor }
        nodes { id parentId kind name status startedAt finishedAt durationMs summary input output run { id } }
} } }"""
EVENTS = """subscription($ws: ID, $id: ID!, $after: String) { runEvents(workspaceId: $ws, runId: $id, after: $after) {
    __typename ... on Event { cursor }
    ... on RunEntryEvent { entry { kind name status output input run { state } } }
    ... on StreamReset { reason }
} }"""


class Agents:
    """Each waits inside its tool until the test lets it go on."""

    def __init__(self) -> None:
        self.at_work, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, job: Job, sink: Sink) -> Outcome:
        async def calls() -> None:
            await sink.emit(E.tool_call, "look", {"tool_name": "look", "tool_id": "t", "input": {"at": job.prompt}})
            self.at_work.set()
            await self.go_on.wait()
            await sink.emit(E.tool_result, "the sea", {"tool_use_id": "t"})

        await sink.step("1 tool", calls, acts=True)
        return Outcome()


@pytest.fixture
async def agents(world: World) -> AsyncIterator[Agents]:
    made = Agents()
    worker = Supervisor(LocalEngine(), Wardrobe(made), slots=8, timing=QUICK)
    await worker.start()
    yield made
    await worker.stop()


async def by_message(world: World) -> str:
    chat = await chat_of(world, await agent_of(world))
    document = "mutation($i: SendMessageInput!) { sendMessage(input: $i) { runId } }"
    answer = await world.graphql(world.member, document, {"i": {"chatId": chat.id, "content": "Look"}})
    return str(answer["data"]["sendMessage"]["runId"])


async def by_webhook(world: World) -> str:
    agent = await hooked(world)
    assert (await send(world, agent)).status_code == 202
    return str(await world.database.fetchval("SELECT id FROM runs WHERE agent_id = $1", agent.id))


async def by_assignment(world: World) -> str:
    crew = await crew_of(world)
    lead, worker = [await agent_of(world, crew_id=crew.id) for _ in range(2)]
    given = Assignment(
        assigned_by_id=lead.id, assigned_to_id=worker.id, task="Look", status="RUNNING", workspace_id=world.workspace.id
    )
    await world.add(given)
    return (await queued(world, worker.id, trigger_type="ASSIGNMENT", assignment_id=given.id)).id


async def by_schedule(world: World) -> str:
    return (await queued(world, (await agent_of(world)).id, trigger_type="SCHEDULED")).id


async def queued(world: World, agent_id: str, **fields: Any) -> Run:
    run = Run(workspace_id=world.workspace.id, agent_id=agent_id, prompt="Look", **fields)
    await world.add(run)
    return run


async def spans(world: World, id: str, **more: Any) -> Any:
    answer = await world.graphql(world.viewer, SPANS, {"id": id} | more)
    return answer["data"]["run"]


async def entry(talk: Talk) -> dict[str, Any]:
    event: dict[str, Any] = (await talk.next("s"))["runEvents"]
    return event


TRIGGERS = {"USER": by_message, "WEBHOOK": by_webhook, "ASSIGNMENT": by_assignment, "SCHEDULED": by_schedule}


@pytest.mark.parametrize("trigger", TRIGGERS)
async def test_calls_of_tools_are_read_by_the_run_live_and_later(world: World, agents: Agents, trigger: str) -> None:
    begin: Callable[[World], Awaitable[str]] = TRIGGERS[trigger]
    id = await begin(world)
    await asyncio.wait_for(agents.at_work.wait(), 30)
    async with asyncio.timeout(30):
        while (await spans(world, id))["spans"]["totalCount"] < 2:
            await asyncio.sleep(0.02)
    async with talking(world, world.viewer) as talk:
        await talk.subscribe("s", EVENTS, ws=world.workspace.id, id=id, after="-")
        assert (await entry(talk))["reason"] == "subscribed"
        read = await spans(world, id)
        assert (read["state"], read["triggerType"]) == ("RUNNING", trigger)
        assert [(span["kind"], span["status"]) for span in read["spans"]["nodes"]] == [
            ("RUN", "RUNNING"),
            ("TOOL_CALL", "RUNNING"),
        ]
        agents.go_on.set()
        seen = [await entry(talk)]
        while seen[-1]["entry"]["kind"] != "RUN":
            seen.append(await entry(talk))
        assert [event["entry"]["kind"] for event in seen[-2:]] == ["TOOL_CALL", "RUN"]
        call = seen[-2]["entry"]
        assert (call["name"], call["status"], call["output"]) == ("look", "COMPLETED", "the sea")
        assert seen[-1]["entry"]["run"]["state"] == seen[-1]["entry"]["status"]
    async with talking(world, world.viewer) as talk:
        await talk.subscribe("s", EVENTS, ws=world.workspace.id, id=id, after=seen[-2]["cursor"])
        assert (await entry(talk))["entry"] == seen[-1]["entry"], "behind the cursor"
    read = await spans(world, id)
    assert [(span["kind"], span["output"]) for span in read["spans"]["nodes"]] == [
        ("RUN", None),
        ("TOOL_CALL", "the sea"),
    ]
    call = read["spans"]["nodes"][1]
    assert call["input"]["at"].endswith("Look") or trigger == "WEBHOOK"
    assert call["durationMs"] >= 0
    assert "." in call["startedAt"]


@pytest.mark.parametrize("who", ["outsider", "nobody"])
async def test_a_stranger_reads_no_span(world: World, who: str) -> None:
    run = await run_of(world, await agent_of(world, crew_id=(await crew_of(world)).id))
    await world.add(_span(run, 1, output="for members"))
    person = world.outsider if who == "outsider" else await world.person(f"nobody-{run.id[-6:]}", None)
    answer = await world.graphql(person, SPANS, {"id": run.id})
    assert answer["data"]["run"] is None
    assert answer["errors"][0]["extensions"]["code"] in ("NOT_FOUND", "FORBIDDEN")
    async with talking(world, person) as talk:
        await talk.subscribe("s", EVENTS, ws=world.workspace.id, id=run.id)
        message = await talk.hear()
        assert message["type"] == "error", message
    theirs = await world.person(f"other-{run.id[-6:]}", Role.OWNER, world.other)
    async with talking(world, theirs) as talk:
        await talk.subscribe("s", EVENTS, ws=world.other.id, id=run.id)
        message = await talk.hear()
        assert message["type"] == "error", message
        assert message["payload"][0]["extensions"]["code"] == "NOT_FOUND"


def _span(run: Run, seq: int, kind: SpanKind = SpanKind.TOOL_CALL, **fields: Any) -> RunSpan:
    given = {"started_at": now(), "finished_at": now(), "status": SpanStatus.COMPLETED, "name": "look", "changed": "0"}
    return RunSpan(workspace_id=run.workspace_id, run_id=run.id, seq=seq, kind=kind, created_at=now(), **given | fields)


async def test_spans_are_paged_and_narrowed(world: World) -> None:
    run = await run_of(world, await agent_of(world))
    await world.add(*[_span(run, n, SpanKind.RETRY if n % 3 == 0 else SpanKind.TOOL_CALL) for n in range(1, 8)])
    await world.add(_span(run, 8, parent_seq=7))
    first = (await spans(world, run.id, first=3))["spans"]
    assert (first["totalCount"], first["pageInfo"]["hasNextPage"]) == (8, True)
    rest = (await spans(world, run.id, after=first["pageInfo"]["endCursor"]))["spans"]
    found = [*first["nodes"], *rest["nodes"]]
    assert [span["id"] for span in found] == [f"{run.id}:{n}" for n in range(1, 9)]
    assert [span["parentId"] for span in found] == [None] * 7 + [f"{run.id}:7"]
    retries = (await spans(world, run.id, kind=["RETRY"]))["spans"]
    assert [span["id"] for span in retries["nodes"]] == [f"{run.id}:{n}" for n in (3, 6)]
    assert retries["totalCount"] == 2


STATE = """query($ws: ID!, $id: ID!) { run(workspaceId: $ws, id: $id) {
    status state waitsFor { id status } waitsSince waitedMs durationMs parentId parent { id } original { id }
    children(first: 5) { totalCount nodes { id } }
    usage { calls unpricedCalls inputTokens outputTokens cachedInputTokens costUsd }
} }"""


async def state(world: World, run: Run) -> dict[str, Any]:
    answer = await world.graphql(world.manager, STATE, {"id": run.id})
    found: dict[str, Any] = answer["data"]["run"]
    return found


async def test_the_state_of_a_run(world: World) -> None:
    agent = await agent_of(world)
    approval = Approval(
        workspace_id=world.workspace.id, agent_id=agent.id, tool="deploy", reason="Ask", kind=ApprovalKind.tool_call
    )
    await world.add(approval)
    asked = {"waits_for": approval.id, "waits_since": now() - timedelta(seconds=60), "leased_until": NEVER}
    begun = {"started_at": now() - timedelta(minutes=5)}
    live = RunStatus.RUNNING
    found = [
        await run_of(world, agent, live),
        await run_of(world, agent, live, **begun),
        await run_of(world, agent, live, waited=2.5, **begun, **asked),
        await run_of(world, agent, live, waited=1.0, **begun, **asked | {"waits_for": None}),
        await run_of(world, agent, RunStatus.TIMEOUT, finished_at=begun["started_at"] + timedelta(seconds=9), **begun),
        await run_of(world, agent, RunStatus.CANCELLED, **begun, **asked),
    ]
    states = [await state(world, run) for run in found]
    assert [each["state"] for each in states] == ["QUEUED", "RUNNING", "WAITING", "RUNNING", "TIMEOUT", "CANCELLED"]
    assert [each["waitsFor"] for each in states] == [None, None, {"id": approval.id, "status": "pending"}, *[None] * 3]
    assert [each["waitsSince"] is not None for each in states] == [False, False, True, False, False, False]
    assert [each["waitedMs"] for each in states[:2]] == [0, 0]
    assert 62_000 <= states[2]["waitedMs"] < 100_000
    assert states[4]["durationMs"] == 9_000
    assert states[2]["durationMs"] is None


async def test_costs_and_relations_of_a_run(world: World) -> None:
    agent = await agent_of(world)
    run = await run_of(world, agent)
    children = [await run_of(world, agent, parent_id=run.id, retry_of=run.id) for _ in range(2)]
    for step, cost in (("1 model", 1500), ("2 model", None)):
        usage = {"input_tokens": 10, "output_tokens": 4, "cached_input_tokens": 2, "cost_micros": cost}
        of = {"agent_id": agent.id, "run_id": run.id, "workspace_id": world.workspace.id}
        await world.add(ModelCall(step=step, provider="TEST", model="m", **of, **usage))
    read = await state(world, run)
    assert read["usage"] == {
        "calls": 2, "unpricedCalls": 1, "inputTokens": 20, "outputTokens": 8, "cachedInputTokens": 4, "costUsd": 0.0015,
    }  # fmt: skip
    assert read["children"]["totalCount"] == 2
    assert {node["id"] for node in read["children"]["nodes"]} == {child.id for child in children}
    read = await state(world, children[0])
    assert (read["parentId"], read["parent"], read["original"]) == (run.id, {"id": run.id}, {"id": run.id})
    assert read["usage"]["calls"] == 0
    document = "query($ws: ID!, $id: ID!) { run(workspaceId: $ws, id: $id) { id usage { calls } } }"
    answer = await world.graphql(world.member, document, {"id": run.id})
    assert answer == answer | {"data": {"run": {"id": run.id, "usage": None}}}, "costs are not for everybody"
