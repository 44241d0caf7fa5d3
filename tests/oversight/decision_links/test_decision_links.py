"""Links that decide: told to whom they are for, good once, and never for more than that person may."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest

from crewship.process.mail import SmtpMailer
from models.attention.approvals import Approval, ApprovalKind
from models.attention.inbox import InboxItem, InboxKind, inbox_item_id
from models.attention.notification_channels import ChannelType, NotificationChannel
from models.base import new_id
from models.oversight.decision_links import DecisionLink
from models.people.workspaces import Role
from models.staff.agents import Agent
from models.staff.assignments import Escalation, EscalationType
from models.staff.crews import Crew
from models.work.missions import Mission, MissionStatus, MissionTask, TaskStatus
from resolvers.instance.running import instance
from resolvers.kernel import across_workspaces
from resolvers.oversight.decision_links.asking import _carries_links, enqueue_questions
from tests.attention.notification_channels.test_channels import Receiver
from tests.people.recovery.mailbox import Mailbox, delivering, idle, listening, text_of
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio
PLACE = "https://crewship.example"
SHOW, DECIDE = "/api/v1/decision-links/show", "/api/v1/decision-links/decide"
TABLES = ("decision_links", "approvals", "inbox_items", "notification_channels", "journal_entries", "audit_logs")


@pytest.fixture(autouse=True)
async def _empty(world: World) -> AsyncIterator[None]:
    for table in TABLES:
        await world.database.execute(f"DELETE FROM {table}")
    await follow()
    settings = instance.settings.model_copy(update={"hooks_allow_private": True, "public_url": PLACE})
    with mock.patch.object(instance, "_settings", settings):
        yield


@pytest.fixture
async def receiver(world: World) -> AsyncIterator[Receiver]:
    async with Receiver().listening() as made, delivering(world):
        yield made


async def follow() -> None:
    while await across_workspaces(enqueue_questions):
        pass


async def until(done: Any, seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not done():
            await follow()  # what is not older than every running transaction waits
            await asyncio.sleep(0.02)


async def channel(world: World, person: Person | None = None, **body: Any) -> dict[str, Any]:
    given = {"type": "webhook", "events": ["decision.requested"]} | body
    answer = await world.rest(person or world.admin, "POST", "/api/v1/notification-channels", given)
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def put(world: World, kind: InboxKind, source: str, **values: Any) -> None:
    """In the inbox, as the outbox tells it."""
    item = InboxItem(
        id=inbox_item_id(kind, source), kind=kind, source_id=source, target_role=Role.ADMIN, blocking=True,
        workspace_id=world.workspace.id, **({"title": "The agent wants to call drop_table"} | values),
    )  # fmt: skip
    await world.add(item)
    await world.database.execute(
        "INSERT INTO events (workspace_id, channel, type, payload)"
        " VALUES ($1::text, 'workspace:' || $1::text, 'inbox.updated', $2)",
        world.workspace.id, {"id": item.id, "state": "unread"},
    )  # fmt: skip


async def agent(world: World) -> Agent:
    here = {"workspace_id": world.workspace.id}
    crew = Crew(name="Engine", slug=new_id(), **here)
    made = Agent(name="Ada", slug=new_id(), crew_id=crew.id, **here)
    await world.add(crew, made)
    return made


async def approval(world: World, **values: Any) -> Approval:
    given = {"timeout_at": now() + timedelta(hours=1), "created_at": now(), "workspace_id": world.workspace.id}
    made = Approval(
        kind=ApprovalKind.destructive_op, reason="The agent wants to call drop_table", tool="drop_table",
        agent_id=(await agent(world)).id, payload={"tool": "drop_table", "args": {"table": "<b>rates</b>"}},
        **(given | values),
    )  # fmt: skip
    await world.add(made)
    await put(world, InboxKind.waitpoint, made.id, payload={"approval_id": made.id})
    return made


async def told(receiver: Receiver, number: int = 1) -> dict[str, Any]:
    await until(lambda: len(receiver.got) >= number)
    return json.loads(receiver.got[number - 1][1])  # type: ignore[no-any-return]


def token_in(link: str) -> str:
    place, _, token = link.partition("#token=")
    assert place == f"{PLACE}/decision"
    return token


async def show(world: World, token: str) -> Any:
    return await world.rest(None, "POST", SHOW, {"token": token}, workspace=None)


async def decide(world: World, token: str, decision: str = "approve", **more: Any) -> Any:
    return await world.rest(None, "POST", DECIDE, {"token": token, "decision": decision, **more}, workspace=None)


async def linked(world: World, **values: Any) -> tuple[Approval, str]:
    """An approval, and the token of a link to it in the name of the admin."""
    made = await approval(world, **values)
    link = DecisionLink(
        channel_id="nch_1", kind="approval", subject_id=made.id, source_id=made.id, user_id=world.admin.user_id,
        token_hash="", expires_at=now() + timedelta(hours=1), workspace_id=made.workspace_id,
    )  # fmt: skip
    token = instance.signer.decision_token(link.id)
    link.token_hash = hashlib.sha256(token.encode()).hexdigest()
    await world.add(link)
    return made, token


async def status(world: World, made: Approval) -> tuple[str, str]:
    return tuple(await world.database.fetchrow("SELECT status, decided_by FROM approvals WHERE id = $1", made.id))


@pytest.mark.slow
async def test_a_webhook_is_told_a_link_that_decides_in_the_name_of_who_made_it(
    world: World, receiver: Receiver
) -> None:
    made = await channel(world, url=receiver.url)
    other = await channel(world, url=receiver.url, events=["all"])
    asked = await approval(world)
    letter = await told(receiver)
    headers, body = receiver.got[0]
    expected = hmac.new(made["secret"].encode(), body, hashlib.sha256).hexdigest()
    assert headers["x-crewship-signature"] == f"sha256={expected}"
    assert headers["x-crewship-event"] == letter["event"] == "decision.requested"
    assert (letter["kind"], letter["asked_by"], letter["workspace"]) == ("waitpoint", "Ada", world.workspace.name)
    token = token_in(letter["link"])
    before = await world.snapshot()
    for _ in range(3):
        question = (await show(world, token)).json()
    assert await world.snapshot() == before, "to look changes nothing"
    assert (question["tool"], question["arguments"]) == ("drop_table", {"table": "<b>rates</b>"})
    assert (question["agent_name"], question["workspace_name"]) == ("Ada", world.workspace.name)
    answer = await decide(world, token, "reject", comment=" Not on a Friday ")
    assert answer.json() == {"kind": "approval", "decision": "reject", "decided_by": world.admin.user_id}
    row = await world.database.fetchrow("SELECT * FROM approvals WHERE id = $1", asked.id)
    assert (row["status"], row["decided_by"], row["comment"]) == ("denied", world.admin.user_id, "Not on a Friday")
    item = await world.database.fetchrow("SELECT * FROM inbox_items WHERE source_id = $1", asked.id)
    assert (item["state"], item["resolved_action"]) == ("resolved", "rejected")
    assert item["resolved_by_user_id"] == world.admin.user_id
    audits = await world.database.fetch(
        "SELECT action, actor_type, actor_id, data FROM audit_logs WHERE action LIKE 'approval.%' OR action LIKE"
        " 'decision_link.%' ORDER BY action"
    )
    assert [tuple(each)[:3] for each in audits] == [
        (action, "user", world.admin.user_id) for action in ("approval.decided", "decision_link.used")
    ]
    assert audits[1]["data"]["channel_id"] == made["id"]
    used = await decide(world, token)
    assert (used.status_code, used.json()["detail"]) == (410, "This link was already used")
    assert (await show(world, token)).status_code == 410
    await idle(world)
    assert len(receiver.got) == 1, "who asked for ends of runs is told of no decisions"
    assert other["events"] == ["run.completed", "run.failed"]


@pytest.mark.slow
async def test_mail_decides_in_the_name_of_whose_address_it_is(world: World) -> None:
    mailbox = Mailbox()
    async with listening(mailbox) as port, delivering(world):
        mailer = SmtpMailer(f"smtp://127.0.0.1:{port}", "crewship@example.com")
        with mock.patch.object(instance, "mailer", mailer):
            await channel(world, world.manager, type="email", to=world.owner.email)
            await channel(world, world.manager, type="email", to="crew@example.com")
            asked = await approval(world)
            await until(lambda: len(mailbox.mails) == 2)
    own, others = mailbox.to(world.owner.email)[0], mailbox.to("crew@example.com")[0]
    assert own["subject"] == "Decision needed: The agent wants to call drop_table"
    assert "/decision#" not in text_of(others), "a manager may not decide on calls of tools"
    assert f"Sign in to decide: {PLACE}" in text_of(others)
    link = next(word for word in text_of(own).split() if "#token=" in word)
    assert (await decide(world, token_in(link))).status_code == 200
    assert await status(world, asked) == ("approved", world.owner.user_id)


@pytest.mark.slow
async def test_a_letter_that_is_sent_again_has_the_same_link_and_the_token_is_nowhere(
    world: World, receiver: Receiver
) -> None:
    receiver.answers = [503]
    await channel(world, url=receiver.url)
    await approval(world)
    token = token_in((await told(receiver))["link"])
    assert token_in((await told(receiver, 2))["link"]) == token
    stored = await world.database.fetch("SELECT token_hash FROM decision_links")
    assert [row["token_hash"] for row in stored] == [hashlib.sha256(token.encode()).hexdigest()]
    assert (await decide(world, token)).status_code == 200
    for table in ("audit_logs", "events", "journal_entries", "decision_links", "dbos.workflow_status"):
        assert not await world.database.fetchval(
            f"SELECT count(*) FROM {table} AS t WHERE strpos(t::text, $1) > 0", token
        )


async def test_of_many_at_once_one_decides(world: World) -> None:
    asked, token = await linked(world)
    answers = await asyncio.gather(*(decide(world, token, choice) for choice in ("approve", "reject") * 4))
    assert sorted(answer.status_code for answer in answers) == [200] + [410] * 7
    (won,) = [answer.json()["decision"] for answer in answers if answer.status_code == 200]
    assert await status(world, asked) == ("approved" if won == "approve" else "denied", world.admin.user_id)
    assert await world.database.fetchval("SELECT count(*) FROM approval_outcomes WHERE approved IS NOT NULL") >= 1
    told_of = "SELECT count(*) FROM journal_entries WHERE entry_type IN ('approval.granted', 'approval.denied')"
    assert await world.database.fetchval(told_of) == 1


async def refused(world: World, token: str, code: int, words: str = "") -> None:
    """The same to look and to decide, and nothing is written."""
    before = await world.snapshot()
    for answer in (await show(world, token), await decide(world, token)):
        assert answer.status_code == code, answer.text
        assert words in answer.json()["detail"]
    assert await world.snapshot() == before


async def test_refusals_write_nothing(world: World) -> None:
    await refused(world, "0" * 64, 404, "Link not found")
    asked, token = await linked(world)
    await refused(world, token.upper(), 404)
    await refused(world, hashlib.sha256(token.encode()).hexdigest(), 404)  # who reads the table has no link
    await world.database.execute("UPDATE decision_links SET expires_at = now()")
    await refused(world, token, 410, "expired")
    await world.database.execute("UPDATE decision_links SET expires_at = now() + interval '1 hour'")
    change = "UPDATE memberships SET role = $2 WHERE user_id = $1"
    await world.database.execute(change, world.admin.user_id, "MANAGER")
    try:
        await refused(world, token, 403, "no longer has permission")
    finally:
        await world.database.execute(change, world.admin.user_id, "ADMIN")
    body = {"status": "denied"}
    assert (await world.rest(world.owner, "POST", f"/api/v1/approvals/{asked.id}/decide", body)).status_code == 200
    await refused(world, token, 409, "already decided: denied")
    gone, of_gone = await linked(world)
    await world.database.execute("DELETE FROM approvals WHERE id = $1", gone.id)
    await refused(world, of_gone, 410, "has been deleted")
    late, of_late = await linked(world, status="timeout")
    await refused(world, of_late, 409, "already decided: timeout")
    assert late.id


async def test_who_has_left_decides_nothing(world: World) -> None:
    left = await world.person("left", Role.ADMIN)
    asked, token = await linked(world)
    await world.database.execute("UPDATE decision_links SET user_id = $1", left.user_id)
    assert (await show(world, token)).status_code == 200
    await world.database.execute("DELETE FROM memberships WHERE user_id = $1", left.user_id)
    await refused(world, token, 403, "no longer has permission")
    assert (await status(world, asked))[0] == "pending"


@pytest.mark.parametrize("body", [{}, {"token": ""}, {"token": 1}, {"token": "x" * 300}, {"token": "\0"}])
async def test_what_is_no_token_is_refused(world: World, body: dict[str, Any]) -> None:
    before = await world.snapshot()
    for path in (SHOW, DECIDE):
        answer = await world.rest(None, "POST", path, body | {"decision": "approve"}, workspace=None)
        assert answer.status_code in (400, 404)
    assert (await decide(world, "0" * 64, "maybe")).status_code == 400
    assert (await decide(world, "0" * 64, comment="x" * 10_001)).status_code == 400
    assert await world.snapshot() == before


def test_no_link_goes_where_others_read_along() -> None:
    def carries(url: str, **changes: Any) -> bool:
        settings = instance.settings.model_copy(update={"hooks_allow_private": False} | changes)
        with mock.patch.object(instance, "_settings", settings):
            return _carries_links(NotificationChannel(type=ChannelType.webhook, url=url))

    assert carries("https://hooks.example.com/")
    assert not carries("http://hooks.example.com/")
    assert carries("http://127.0.0.1/", hooks_allow_private=True)
    assert not carries("https://hooks.example.com/", public_url=None)


async def test_a_task_that_is_held_is_decided_once_each_time_it_is_held(world: World, receiver: Receiver) -> None:
    worker, here = await agent(world), {"workspace_id": world.workspace.id}
    mission = Mission(
        crew_id=worker.crew_id, lead_agent_id=worker.id, title="Voyage", status=MissionStatus.IN_PROGRESS,
        trace_id=new_id(), **here,
    )  # fmt: skip
    task = MissionTask(
        mission_id=mission.id, title="Paint the hull", task_order=1, status=TaskStatus.AWAITING_APPROVAL,
        assigned_agent_id=worker.id, **here,
    )  # fmt: skip
    await world.add(mission, task)
    await channel(world, world.manager, url=receiver.url)
    source = f"mission_task_{task.id}_None"
    payload = {"mission_id": mission.id, "task_id": task.id}
    await put(world, InboxKind.waitpoint, source, title="Paint the hull waits for approval", payload=payload)
    token = token_in((await told(receiver))["link"])
    assert (await show(world, token)).json()["title"] == "Paint the hull waits for approval"
    await world.database.execute("UPDATE decision_links SET source_id = source_id || '-earlier'")
    await refused(world, token, 409, "already decided")  # the task is held anew, and this was not asked then
    await world.database.execute("UPDATE decision_links SET source_id = $1", source)
    assert (await decide(world, token, comment="Well done")).status_code == 200
    row = await world.database.fetchrow("SELECT * FROM mission_tasks WHERE id = $1", task.id)
    assert (row["status"], row["approved_by"]) == ("COMPLETED", world.manager.user_id)
    assert row["evaluation_notes"] == "Well done"
    assert (await decide(world, token)).status_code == 410


@pytest.mark.parametrize("type", EscalationType)
async def test_what_an_agent_asks_is_answered(world: World, receiver: Receiver, type: EscalationType) -> None:
    asking, here = await agent(world), {"workspace_id": world.workspace.id}
    asked = Escalation(crew_id=asking.crew_id, from_agent_id=asking.id, reason="Which?", type=type, **here)
    await world.add(asked)
    await channel(world, world.manager, url=receiver.url)
    await put(world, InboxKind.escalation, asked.id, title="Agent escalation: Which?")
    letter = await told(receiver)
    assert (letter["kind"], letter["asked_by"]) == ("escalation", "Ada" if letter["link"] else "")
    if type is EscalationType.CREDENTIAL:
        assert letter["link"] == "", "a secret is typed where one signs in"
        return
    assert (await decide(world, token_in(letter["link"]), comment="The left one")).status_code == 200
    row = await world.database.fetchrow("SELECT * FROM escalations WHERE id = $1", asked.id)
    assert (row["status"], row["action"], row["resolution"]) == ("RESOLVED", "approve", "The left one")


async def test_graphql_shows_and_decides(world: World) -> None:
    _, token = await linked(world)
    document = "mutation($t: String!) { openDecisionLink(input: {token: $t}) { kind title userName expiresAt } }"
    shown = (await world.graphql(None, document, {"t": token}))["data"]["openDecisionLink"]
    assert (shown["kind"], shown["title"]) == ("approval", "The agent wants to call drop_table")
    change = "mutation($i: DecideByLinkInput!) { decideByLink(input: $i) { decision decidedBy } }"
    made = await world.graphql(None, change, {"i": {"token": token, "decision": "approve"}})
    assert made["data"]["decideByLink"] == {"decision": "approve", "decidedBy": world.admin.user_id}
    again = await world.graphql(None, change, {"i": {"token": token, "decision": "approve"}})
    assert again["errors"][0]["extensions"]["code"] == "GONE"
