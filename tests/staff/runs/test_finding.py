"""Runs found by state, place and time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.base import new_id
from models.staff.chats import Chat
from models.staff.runs import NEVER, Run, RunStatus
from models.work.missions import Assignment, Mission
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.declarations.query import Query
from resolvers.staff.runs import finding
from tests.attacks.test_scopes import with_scopes
from tests.every import each_of
from tests.staff.runs.logbook import agent_of, crew_of, run_of
from tests.world import World

pytestmark = pytest.mark.anyio
START = datetime(2024, 5, 1, 10, tzinfo=UTC)
FIND = """query($ws: ID!, $first: Int, $after: String, $crew: ID, $state: [RunState!], $trigger: [String!],
$model: String, $agent: ID, $mission: ID, $issue: ID, $since: DateTime, $until: DateTime,
$endedSince: DateTime, $sort: RunSort, $search: String) { findRuns(workspaceId: $ws, search: $search,
first: $first, after: $after, crewId: $crew, state: $state, trigger: $trigger, model: $model, agentId: $agent,
missionId: $mission, issueId: $issue, since: $since, until: $until, endedSince: $endedSince, sort: $sort) {
    totalCount nodes { id state } pageInfo { hasNextPage endCursor }
} }"""


class Log:
    """Runs of two crews, the first one first."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.runs: list[Run] = []

    async def begin(self) -> "Log":
        self.crew, other = await crew_of(self.world), await crew_of(self.world)
        self.agent = await agent_of(self.world, crew_id=self.crew.id)
        second = await agent_of(self.world, crew_id=self.crew.id)
        stranger = await agent_of(self.world, crew_id=other.id)
        self.mission = Mission(
            workspace_id=self.world.workspace.id, crew_id=self.crew.id, lead_agent_id=self.agent.id, trace_id=new_id(),
            title="Sail",
        )  # fmt: skip
        chat = Chat(id=self.mission.id, workspace_id=self.world.workspace.id, agent_id=self.agent.id)
        given = Assignment(
            workspace_id=self.world.workspace.id, assigned_by_id=self.agent.id, assigned_to_id=second.id, task="Hoist",
            chat_id=chat.id,
        )  # fmt: skip
        await self.world.add(self.mission, chat, given)
        parked = {"waits_for": "approval", "waits_since": START, "leased_until": NEVER}
        for agent, status, fields in (
            (
                self.agent,
                RunStatus.COMPLETED,
                {"model": "m-1", "prompt": "Hoist 100% of the sail", "finished_at": START + timedelta(hours=2)},
            ),
            (
                self.agent,
                RunStatus.FAILED,
                {
                    "model": "m-2",
                    "trigger_type": "WEBHOOK",
                    "error_message": "No WIND",
                    "finished_at": START + timedelta(hours=1),
                },
            ),
            (second, RunStatus.RUNNING, {"started_at": START + timedelta(minutes=2)} | parked),
            (second, RunStatus.RUNNING, {"trigger_type": "ASSIGNMENT", "assignment_id": given.id}),
            (stranger, RunStatus.TIMEOUT, {"model": "m-1"}),
        ):
            at = START + timedelta(minutes=len(self.runs))
            self.runs.append(await run_of(self.world, agent, status, created_at=at, **fields))
        return self

    async def find(self, **given: Any) -> list[int]:
        """The numbers of the runs that are found."""
        answer = await self.world.graphql(self.world.viewer, FIND, {"first": 100, "crew": self.crew.id} | given)
        numbers = {run.id: number for number, run in enumerate(self.runs)}
        found = answer["data"]["findRuns"]
        assert found["totalCount"] == len(found["nodes"])
        return [numbers[node["id"]] for node in found["nodes"]]


@pytest.fixture(scope="module")
async def log(world: World) -> Log:
    return await Log(world).begin()


def at(minutes: int) -> str:
    return (START + timedelta(minutes=minutes)).isoformat()


CASES: dict[str, tuple[dict[str, Any], list[int]]] = {
    "a crew": ({}, [3, 2, 1, 0]),
    "oldest first": ({"sort": "oldest"}, [0, 1, 2, 3]),
    "the last ended first, whenever they began": ({"sort": "ended"}, [0, 1]),
    "ended since": ({"endedSince": at(90)}, [0]),
    "ended since, of a state": ({"endedSince": at(0), "state": ["FAILED", "WAITING"]}, [1]),
    "ended since, the last first": ({"endedSince": at(60), "sort": "ended"}, [0, 1]),
    "waiting": ({"state": ["WAITING"]}, [2]),
    "queued": ({"state": ["QUEUED"]}, [3]),
    "several states": ({"state": ["COMPLETED", "WAITING", "TIMEOUT"]}, [2, 0]),
    "several states, oldest first": ({"state": ["COMPLETED", "WAITING"], "sort": "oldest"}, [0, 2]),
    "no state": ({"state": []}, []),
    "a trigger": ({"trigger": ["WEBHOOK"]}, [1]),
    "several triggers": ({"trigger": ["WEBHOOK", "ASSIGNMENT", "NONE"]}, [3, 1]),
    "a model": ({"model": "m-1"}, [0]),
    "since": ({"since": at(2)}, [3, 2]),
    "until": ({"until": at(1)}, [1, 0]),
    "between": ({"since": at(1), "until": at(2), "state": ["FAILED", "COMPLETED"]}, [1]),
    "words of the input": ({"search": "hoist 100%"}, [0]),
    "words of the error": ({"search": "no wind"}, [1]),
    "no pattern": ({"search": "%_"}, []),
    "words and a state": ({"search": "wind", "state": ["COMPLETED"]}, []),
    "all at once": ({"model": "m-2", "trigger": ["WEBHOOK"], "state": ["FAILED"], "until": at(9)}, [1]),
}


@each_of("name", list(CASES))
async def test_each_filter_narrows(log: Log, name: str) -> None:
    given, expected = CASES[name]
    assert await log.find(**given) == expected


async def test_ids_narrow(log: Log) -> None:
    assert await log.find(agent=log.agent.id) == [1, 0]
    assert await log.find(mission=log.mission.id) == [3]
    assert await log.find(issue=log.mission.id, crew=None) == [3]
    assert await log.find(mission="unknown") == []


async def test_names_and_ids_are_searched(log: Log) -> None:
    assert await log.find(search=log.runs[2].id[4:].upper()) == [2]
    assert await log.find(search=log.crew.name) == [3, 2, 1, 0]
    assert await log.find(search=log.agent.name, agent=log.agent.id) == [1, 0]


async def test_a_search_looks_at_the_newest_runs(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "LOOKED_AT", 4)
    operation = OPERATIONS["runs.find"]
    assert isinstance(operation, Query)
    operation.plans.clear()
    try:
        newest = "SELECT id FROM runs WHERE workspace_id = $1 ORDER BY began_at DESC, id DESC LIMIT 5"
        looked_at = [row["id"] for row in await log.world.database.fetch(newest, log.world.workspace.id)]
        answer = await log.world.graphql(log.world.viewer, FIND, {"first": 100, "search": ""})
        assert [node["id"] for node in answer["data"]["findRuns"]["nodes"]] == looked_at
        [plan] = operation.plans.values()
        for_page_and_total = 2
        assert plan.sql.count("OFFSET 4") == plan.sql.count("newest_runs(") == for_page_and_total
    finally:
        operation.plans.clear()


async def test_a_search_needs_the_scope_of_chats(log: Log) -> None:
    """The input may be a message: a token that reads runs alone must not guess it word by word."""
    given = {"first": 9, "crew": log.crew.id}
    runs = await with_scopes(log.world, "runs:read")
    assert (await log.world.graphql(runs, FIND, given))["data"]["findRuns"]["totalCount"] == 4
    for _ in range(2):  # the second time its plan is known
        refused = await log.world.graphql(runs, FIND, given | {"search": "hoist"})
        assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    both = await with_scopes(log.world, "runs:read", "chats:read")
    assert (await log.world.graphql(both, FIND, given | {"search": "hoist"}))["data"]["findRuns"]["totalCount"] == 1


async def test_pages_follow_each_other(log: Log) -> None:
    found, after = list[str](), None
    for _ in range(4):
        given = {"crew": log.crew.id, "first": 1, "after": after, "state": ["WAITING", "QUEUED", "FAILED", "COMPLETED"]}
        page = (await log.world.graphql(log.world.viewer, FIND, given))["data"]["findRuns"]
        found += [node["id"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
    assert not page["pageInfo"]["hasNextPage"]
    assert found == [log.runs[number].id for number in (3, 2, 1, 0)]


async def test_pages_of_ended_runs_follow_each_other(log: Log) -> None:
    found, after = list[str](), None
    for _ in range(2):
        given = {"crew": log.crew.id, "first": 1, "after": after, "sort": "ended"}
        page = (await log.world.graphql(log.world.viewer, FIND, given))["data"]["findRuns"]
        found += [node["id"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
    assert found == [log.runs[number].id for number in (0, 1)]
    assert not page["pageInfo"]["hasNextPage"]


async def test_a_stranger_finds_none(log: Log) -> None:
    answer = await log.world.graphql(log.world.outsider, FIND, {"crew": log.crew.id})
    assert answer["data"]["findRuns"] is None
    document = FIND.replace("$ws: ID!", "$ws: ID")
    own = {"crew": log.crew.id, "ws": log.world.other.id}
    answer = await log.world.graphql(log.world.outsider, document, own)
    assert answer["data"]["findRuns"]["nodes"] == []
