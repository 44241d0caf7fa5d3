"""What needs attention, followed: an entry comes when its row needs something, and goes when it does not."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest

from models.attention.approvals import Approval, ApprovalKind
from models.attention.inbox import InboxItem, InboxKind, InboxSubject, inbox_item_id
from models.base import new_id
from models.migrations.sql import text_of
from models.people.workspaces import Role
from models.resources.budgets import Budget, BudgetPeriod, BudgetScope
from models.resources.credentials import Credential, CredentialScope, CredentialStatus, CredentialType
from models.staff.agents import Agent, AgentRole
from models.staff.assignments import Escalation
from models.staff.crews import Crew
from models.staff.runs import Run, RunStatus
from models.work.missions import Mission, MissionStatus, MissionType
from models.work.work_pauses import WorkPause
from resolvers.kernel import across_workspaces
from resolvers.kernel.declarations.events import EVENTS
from resolvers.staff.runs import work
from resolvers.staff.runs.stuck import enqueue_stuck
from tests.live.graphql import Talk, talking
from tests.people.recovery.mailbox import delivering, idle
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio
FOLLOW = """
    subscription($ws: ID, $after: String) {
        attentionEvents(workspaceId: $ws, after: $after) {
            __typename ... on Event { cursor }
            ... on AttentionEntryEvent { entry { id attention { id kind urgency title agent { slug }
                subject { __typename ... on Approval { reason } ... on Issue { identifier } } } } }
            ... on StreamReset { reason }
        }
    }
"""
LIST = "query($ws: ID) { attention(workspaceId: $ws, first: 100) { nodes { id kind urgency title } } }"


class House:
    def __init__(self, world: World) -> None:
        self.world, self.here = world, {"workspace_id": world.workspace.id}
        self.crew = Crew(name="Deck", slug=new_id(), **self.here)
        self.agent = Agent(name="Ada", slug=new_id(), crew_id=self.crew.id, agent_role=AgentRole.LEAD, **self.here)

    def led(self) -> dict[str, Any]:
        return {"crew_id": self.crew.id, "lead_agent_id": self.agent.id, "trace_id": new_id(), **self.here}

    async def post(self, path: str, person: Person | None = None, method: str = "POST", **body: Any) -> Any:
        answer = await self.world.rest(person or self.world.owner, method, path, body)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    async def approval(self) -> tuple[str, Callable[[], Awaitable[Any]]]:
        row = Approval(kind=ApprovalKind.tool_call, reason="May I?", agent_id=self.agent.id, **self.here)
        await self.world.add(row)
        return f"approval:{row.id}", lambda: self.post(f"/api/v1/approvals/{row.id}/decide", status="approved")

    async def question(self) -> tuple[str, Callable[[], Awaitable[Any]]]:
        row = Escalation(crew_id=self.crew.id, from_agent_id=self.agent.id, reason="Where?", **self.here)
        await self.world.add(row)
        path = f"/api/v1/escalations/{row.id}/resolve"
        return f"question:{row.id}", lambda: self.post(path, method="PATCH", resolution="There")

    async def review(self) -> tuple[str, Callable[[], Awaitable[Any]]]:
        issue = Mission(
            title="Leak", number=1, identifier=new_id(), mission_type=MissionType.issue, status=MissionStatus.REVIEW,
            **self.led(),
        )  # fmt: skip
        await self.world.add(issue)
        path = f"/api/v1/crews/{self.crew.id}/issues/{issue.identifier}/review"
        return f"review:{issue.id}", lambda: self.post(path, action="approve")

    async def pause(self) -> tuple[str, Callable[[], Awaitable[Any]]]:
        mission = Mission(title="Mast", **self.led())
        row = WorkPause(agent_id=self.agent.id, mission_id=mission.id, runs=5, **self.here)
        await self.world.add(mission, row)
        return f"work_pause:{row.id}", lambda: self.post(f"/api/v1/work-pauses/{row.id}/resume")

    async def failed_run(self) -> tuple[str, Callable[[], Awaitable[Any]]]:
        run = Run(agent_id=self.agent.id, status=RunStatus.FAILED, prompt="Sail", trigger_type="CRON", **self.here)
        item = self.item(InboxKind.failed_run, run.id, InboxSubject.run)
        await self.world.add(run, item)
        path = f"/api/v1/inbox/{item.id}"
        return f"failed_run:{run.id}", lambda: self.post(path, method="PATCH", state="resolved")

    async def budget(self) -> tuple[str, Callable[[], Awaitable[Any]]]:
        row = Budget(
            scope=BudgetScope.crew, crew_id=self.crew.id, period=BudgetPeriod.total, amount_micros=5,
            reservation_micros=1, warned_in="total", exceeded_in="total", reached_at=now(), **self.here,
        )  # fmt: skip
        await self.world.add(row)
        path = f"/api/v1/budgets/{row.id}"
        return f"budget:{row.id}", lambda: self.post(path, method="PATCH", amount_usd=5)

    async def credential(self) -> tuple[str, Callable[[], Awaitable[Any]]]:
        kinds = {"type": CredentialType.SECRET, "status": CredentialStatus.EXPIRED, "scope": CredentialScope.CREW}
        row = Credential(name=new_id(), **kinds, **self.here)
        await self.world.add(row)
        return f"credential:{row.id}", lambda: self.post(f"/api/v1/credentials/{row.id}", method="DELETE")

    async def inbox_item(self) -> tuple[str, Callable[[], Awaitable[Any]]]:
        item = self.item(InboxKind.message, new_id(), None)
        await self.world.add(item)
        path = f"/api/v1/inbox/{item.id}"
        return f"inbox_item:{item.id}", lambda: self.post(path, method="PATCH", state="read")

    def item(self, kind: InboxKind, source: str, subject: InboxSubject | None) -> InboxItem:
        about: dict[str, Any] = {} if subject is None else {"subject_type": subject, "subject_id": source}
        named: dict[str, Any] = {"kind": kind, "source_id": source, "title": "Look"}
        return InboxItem(id=inbox_item_id(kind, source), **named, **about, **self.here)


@pytest.fixture
async def house(world: World) -> House:
    made = House(world)
    await world.add(made.crew, made.agent)
    return made


async def entry(talk: Talk, id: str = "s") -> dict[str, Any]:
    """Soon: each connection also looks by itself every 30 seconds."""
    async with asyncio.timeout(15):
        event = (await talk.next(id))["attentionEvents"]
    assert event["__typename"] == "AttentionEntryEvent", event
    return event["entry"]  # type: ignore[no-any-return]


async def listed(world: World, person: Person) -> dict[str, Any]:
    answer = await world.graphql(person, LIST)
    assert "errors" not in answer, answer
    return {row["id"]: row for row in answer["data"]["attention"]["nodes"]}


@pytest.mark.parametrize(
    "kind", ["approval", "question", "review", "pause", "failed_run", "budget", "credential", "inbox_item"]
)
async def test_an_entry_goes_when_its_row_is_dealt_with(kind: str, house: House) -> None:
    id, decide = await getattr(house, kind)()
    assert id in await listed(house.world, house.world.owner)
    async with talking(house.world, house.world.owner) as talk:
        await talk.listen("s", FOLLOW, ws=house.world.workspace.id)
        await decide()
        told = await entry(talk)
        while told["id"] != id:
            told = await entry(talk)
        assert told["attention"] is None
    assert id not in await listed(house.world, house.world.owner)


async def test_a_run_that_no_worker_takes_comes_and_goes_when_one_takes_it(house: House) -> None:
    """Once for each time: it becomes stuck by time alone, and a clock says so."""
    world = house.world
    run = Run(agent_id=house.agent.id, prompt="Sail", created_at=now() - timedelta(minutes=11), **house.here)
    young = Run(agent_id=house.agent.id, prompt="Row", created_at=now() - timedelta(minutes=9), **house.here)
    await world.add(run, young)
    count = "SELECT count(*) FROM events WHERE type IN ('run.stuck', 'run.taken') AND workspace_id = $1"
    no_slot = mock.patch.object(work, "claim", mock.AsyncMock(return_value=[]))
    with no_slot:
        async with talking(world, world.owner) as talk, delivering(world):
            await talk.listen("s", FOLLOW, ws=world.workspace.id)
            await across_workspaces(enqueue_stuck)
            came = await entry(talk)
            assert came["attention"]["kind"] == "stuck_run"
            assert came["id"] == f"stuck_run:{run.id}"
            await across_workspaces(enqueue_stuck)
            await idle(world)
            assert await world.database.fetchval(count, world.workspace.id) == 1
            held = "UPDATE runs SET lease = 1, leased_until = now() + interval '30 s' WHERE id = $1"
            await world.database.execute(held, run.id)
            await across_workspaces(enqueue_stuck)
            assert await entry(talk) == {"id": came["id"], "attention": None}
            await across_workspaces(enqueue_stuck)
            await idle(world)
    assert await world.database.fetchval(count, world.workspace.id) == 2
    await world.database.execute("DELETE FROM runs WHERE id = ANY ($1)", [run.id, young.id])


async def test_an_entry_comes_with_its_row(house: House) -> None:
    """An issue that is moved into review by hand is for its creator, and for nobody else."""
    world = house.world
    made = await house.post(f"/api/v1/crews/{house.crew.id}/issues", world.manager, title="Leak")
    path = f"/api/v1/crews/{house.crew.id}/issues/{made['identifier']}"
    await house.post(path, method="PATCH", status="IN_PROGRESS")
    async with talking(world, world.manager) as own, talking(world, world.owner) as other:
        for talk in (own, other):
            await talk.listen("s", FOLLOW, ws=world.workspace.id)
        await house.post(path, method="PATCH", status="REVIEW")
        told, hidden = await entry(own), await entry(other)
    assert told["attention"] == {
        "id": f"review:{made['id']}", "kind": "review", "urgency": 3, "title": "Leak",
        "agent": {"slug": house.agent.slug},
        "subject": {"__typename": "Issue", "identifier": made["identifier"]},
    }  # fmt: skip
    assert hidden == {"id": f"review:{made['id']}", "attention": None}


async def test_a_caller_gets_what_they_can_read(house: House) -> None:
    """A budget is for managers, an inbox item for whom it names: to others the entry is gone."""
    world = house.world
    id, _ = await house.budget()
    async with talking(world, world.member) as member:
        await member.listen("s", FOLLOW, ws=world.workspace.id)
        await house.post(f"/api/v1/budgets/{id.partition(':')[2]}", method="PATCH", hard_stop=False)
        assert await entry(member) == {"id": id, "attention": None}
        own = house.item(InboxKind.message, new_id(), None)
        own.target_role = Role.MANAGER
        await world.add(own)
        await house.post(f"/api/v1/inbox/{own.id}", method="PATCH", state="unread")
        assert await entry(member) == {"id": f"inbox_item:{own.id}", "attention": None}


async def test_events_without_rows_ask_for_the_whole_list(house: House) -> None:
    id, _ = await house.inbox_item()
    async with talking(house.world, house.world.owner) as talk:
        await talk.listen("s", FOLLOW, ws=house.world.workspace.id)
        await house.post("/api/v1/inbox/bulk", ids=[id.partition(":")[2]], state="resolved")
        assert await entry(talk) == {"id": None, "attention": None}


async def test_a_cut_connection_misses_nothing(house: House) -> None:
    world = house.world
    async with talking(world, world.owner) as talk:
        await talk.subscribe("s", FOLLOW, ws=world.workspace.id, after="-")
        cursor = (await talk.next("s"))["attentionEvents"]["cursor"]
    made = [await house.approval(), await house.question()]
    for _, decide in made:
        await decide()
    async with talking(world, world.owner) as talk:
        await talk.subscribe("s", FOLLOW, ws=world.workspace.id, after=cursor)
        seen = set[str]()
        while not {id for id, _ in made} <= seen:
            told = await entry(talk)
            assert told["attention"] is None
            seen.add(told["id"])


def test_each_event_that_is_followed_is_declared() -> None:
    """With the key that names its row."""
    declared = {(type_, key) for type_, events in EVENTS.items() for event in events for key in event.model_fields}
    followed = set(re.findall(r"\('([a-z_.]+)', '([a-z_]+)', '[a-z_]+'\)", text_of("attention")))
    assert len(followed) > 20
    assert followed - declared == set()
