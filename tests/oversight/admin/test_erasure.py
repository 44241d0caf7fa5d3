"""A person is erased: no canary of theirs is left in any table, nobody else's rows are harmed, and owners stay."""

from typing import Any

import pytest

from models.actors import ActorType
from models.attention.inbox import InboxItem, InboxKind, inbox_item_id
from models.base import new_id
from models.kernel import AuditLog, IdempotencyKey, OutboxEvent
from models.people.auth import Session, SignInDevice
from models.people.privacy import PeerCard, PeerConsent, UserModel
from models.people.workspaces import Membership, Role
from models.staff.agents import Agent
from models.staff.chats import Chat, ChatReadCursor, Message, MessageRole
from models.staff.crews import Crew, CrewMember
from models.staff.memory import MemoryTier, MemoryVersion
from models.staff.run_spans import RunSpan, SpanKind
from models.staff.runs import Run, RunFrame, RunStatus
from models.work.issues import IssueAttachment, IssueComment
from models.work.labels import Label
from models.work.missions import Mission, MissionType
from resolvers.instance.running import instance
from resolvers.kernel import across_workspaces
from resolvers.kernel.writing.persons import PERSONAL_DIGEST
from resolvers.oversight.audit.seals import seal
from resolvers.oversight.audit.verification import Verified, verify
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio
CANARY = "quetzal"


async def tables(world: World) -> list[str]:
    return [
        row[0]
        for row in await world.database.fetch(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
        )
    ]


async def found(world: World, text: str) -> dict[str, int]:
    """How many rows of each table hold a text anywhere."""
    made = {}
    for table in await tables(world):
        sql = f"SELECT count(*) FROM \"{table}\" t WHERE to_jsonb(t)::text ILIKE '%' || $1 || '%'"
        if number := await world.database.fetchval(sql, text):
            made[table] = number
    return made


async def erase(world: World, person: Person, by: Person | None = None, reason: str = "asked by mail") -> Any:
    path = f"/api/v1/admin/users/{person.user_id}/erase"
    return await world.rest(by or world.admin, "POST", path, {"reason": reason})


async def somebody(world: World, role: Role = Role.MEMBER) -> Person:
    name = f"{CANARY}-{new_id()[-6:]}"
    person = await world.person(name, role)
    await world.database.execute(
        "UPDATE users SET full_name = $2, avatar_url = $3, founded_in = $4, email_verified = now() WHERE id = $1",
        person.user_id, f"Q{CANARY} Smith", f"https://example.com/{CANARY}.png", world.workspace.id,
    )  # fmt: skip
    return person


SPAN: dict[str, Any] = {"seq": 1, "kind": SpanKind.MESSAGE, "name": "message", "changed": "0", "output": CANARY}


def noted_and_attached(person: Person, issue: Mission, here: dict[str, Any]) -> list[Any]:
    file = {"filename": CANARY, "content_type": "text/plain", "size_bytes": 1, "sha256": CANARY}
    return [
        UserModel(user_id=person.user_id, user_slug=CANARY, bytes=7, content=CANARY, **here),
        IssueAttachment(mission_id=issue.id, uploaded_by_user_id=person.user_id, **file, **here),
    ]


async def plant(world: World, person: Person) -> None:
    """The person's traces, each with a canary."""
    here: dict[str, Any] = {"workspace_id": world.workspace.id}
    crew = Crew(name="Deck", slug=f"d{new_id()[-8:]}", **here)
    agent = Agent(name="Hand", slug=f"h{new_id()[-8:]}", **here)
    chat, team = (Chat(agent_id=agent.id, created_by=by, title=title, **here) for by, title in (
        (person.user_id, f"{CANARY} alone"), (world.owner.user_id, "Team"),
    ))  # fmt: skip
    led = {"crew_id": crew.id, "lead_agent_id": agent.id, "trace_id": new_id(), **here}
    issue = Mission(
        title="Leak", description=f"Told by q{CANARY} smith ({person.email})", mission_type=MissionType.issue, number=1,
        identifier=new_id(), created_by_id=person.user_id, **led,
    )  # fmt: skip
    run = Run(
        agent_id=agent.id,
        chat_id=chat.id,
        prompt=CANARY,
        triggered_by=person.user_id,
        status=RunStatus.COMPLETED,
        **here,
    )
    source = new_id()
    said: dict[str, Any] = {"agent_id": agent.id, "role": MessageRole.user, **here}
    own: dict[str, Any] = {"content": CANARY, "author_user_id": person.user_id}
    comment: dict[str, Any] = {"mission_id": issue.id, "author_type": ActorType.user, **here}
    card: dict[str, Any] = {"user_slug": CANARY, "path": CANARY, "bytes": 7, "content": CANARY}
    version: dict[str, Any] = {"path": f"user:{CANARY}", "tier": MemoryTier.learned, "sha256": "0", "bytes": 1}
    await world.add(
        crew, agent, chat, team, issue, run, RunSpan(run_id=run.id, started_at=now(), **SPAN, **here),
        CrewMember(crew_id=crew.id, user_id=person.user_id, **here),
        Message(chat_id=chat.id, **own, **said),
        Message(chat_id=chat.id, agent_id=agent.id, role=MessageRole.assistant, content=f"Dear {CANARY}", **here),
        Message(chat_id=team.id, **own, **said),
        Message(chat_id=team.id, content="Hoist", author_user_id=world.owner.user_id, **said),
        ChatReadCursor(chat_id=team.id, user_id=person.user_id, last_read_seq=1, **here),
        RunFrame(chat_id=chat.id, seq=1, run_id=run.id, type="user_message", payload={"content": CANARY}, **here),
        IssueComment(author_id=person.user_id, body=CANARY, **comment),
        IssueComment(author_id=world.owner.user_id, body="Wet", **comment),
        InboxItem(
            id=inbox_item_id(InboxKind.message, source), kind=InboxKind.message, source_id=source, title=CANARY,
            target_user_id=person.user_id, **here,
        ),
        PeerCard(agent_id=agent.id, user_id=person.user_id, **card, **here),
        *noted_and_attached(person, issue, here),
        PeerConsent(user_id=person.user_id, opted_out=False, **here),
        MemoryVersion(written_by=person.user_id, **version, **here),
        AuditLog(
            user_id=person.user_id, action="x.updated", entity_type="X", user_agent=CANARY, ip_address="203.0.113.7",
            data={"email": person.email}, **here,
        ),
        OutboxEvent(
            channel=f"workspace:{world.workspace.id}", type="x", payload={"by": person.user_id, "email": person.email},
            **here,
        ),
        Label(name=f"of Q{CANARY} Smith", color="red", **here),
        Session(id=f"s_{new_id()}", user_id=person.user_id, expires_at=now(), user_agent=CANARY),
        SignInDevice(user_id=person.user_id, cookie_hash=CANARY + new_id(), password_mark=CANARY),
        IdempotencyKey(principal=person.user_id, operation="x", key=CANARY, request_hash=b"x", body=CANARY.encode()),
    )  # fmt: skip


async def test_no_canary_is_left_anywhere(world: World) -> None:
    person = await somebody(world)
    others = await world.database.fetchval("SELECT count(*) FROM users")
    await plant(world, person)
    assert len(await found(world, CANARY)) > 15
    answer = await erase(world, person)
    assert answer.status_code == 200, answer.text
    receipt = answer.json()
    assert await found(world, CANARY) == {"labels": 1}, "what others wrote is theirs"
    assert await found(world, "203.0.113.7") == {}
    assert receipt["account_deleted"] is True
    assert receipt["rows_erased"] == sum(receipt["scope"].values())
    assert receipt["scope"]["messages"] >= 3
    assert await world.database.fetchval("SELECT count(*) FROM users") == others - 1
    row = await world.database.fetchrow("SELECT * FROM gdpr_actions WHERE id = $1", receipt["action_id"])
    assert (row["action"], row["status"], row["subject_id"]) == ("erase", "completed", person.user_id)
    said = await world.database.fetch("SELECT content, author_user_id FROM messages ORDER BY seq")
    assert ("Hoist", world.owner.user_id) in [tuple(message) for message in said]
    assert [c["body"] for c in await world.database.fetch("SELECT body FROM issue_comments ORDER BY body")] == [
        "Wet", "erased",
    ]  # fmt: skip
    assert await world.database.fetchval("SELECT description FROM missions") == "Told by erased (erased)"
    assert await world.database.fetchval("DELETE FROM labels RETURNING name") == f"of Q{CANARY} Smith"
    assert (await world.rest(person, "GET", "/api/v1/labels")).status_code == 401


async def test_the_audit_log_is_verified_all_the_same(world: World) -> None:
    """Its seals were made before: what was erased is no tampering, but to say so of a row is."""

    async def faults() -> list[str]:
        return [fault.text async for fault in verify(world.database, instance.vault.signed, None, Verified())]

    person = await somebody(world)
    await plant(world, person)
    await seal(across_workspaces)
    assert await faults() == []
    answer = await erase(world, person)
    assert answer.status_code == 200, answer.text
    await seal(across_workspaces)
    rows = await world.database.fetch("SELECT id, salt FROM audit_logs WHERE erased IS NOT NULL")
    assert [row["salt"] for row in rows] == [None] * len(rows)
    assert rows
    assert await faults() == []
    other = await world.database.fetchval("SELECT id FROM audit_logs WHERE erased IS NULL ORDER BY seq LIMIT 1")
    forged = f"UPDATE audit_logs SET erased = {PERSONAL_DIGEST}, erased_signature = 'x', data = '{{}}' WHERE id = $1"
    await world.database.execute(forged, other)
    assert await faults() == [f"row {other} records an erasure that this instance did not perform"]
    await world.database.execute("UPDATE audit_logs SET action = 'other' WHERE id = $1", rows[0]["id"])
    assert f"row {rows[0]['id']} was changed since seal 1" in await faults()


async def test_rows_of_others_are_as_before(world: World) -> None:
    person, other = await somebody(world), await world.person(f"kept-{new_id()[-5:]}", Role.MEMBER)
    for table in ("messages", "issue_comments", "labels"):
        await world.database.execute(f"DELETE FROM {table}")
    await plant(world, other)
    watched = [table for table in await tables(world) if table not in ("audit_logs", "gdpr_actions", "events")]

    async def kept() -> dict[str, int]:
        held = await found(world, other.user_id)
        return {table: held[table] for table in watched if table in held}

    before = await kept()
    assert sum(map(bool, before.values())) > 10
    assert (await erase(world, person)).status_code == 200
    assert await kept() == before


async def test_who_belongs_elsewhere_keeps_the_account(world: World) -> None:
    person = await somebody(world)
    await world.add(Membership(user_id=person.user_id, workspace_id=world.other.id, role=Role.MEMBER))
    elsewhere = Label(name=f"of Q{CANARY} Smith", color="red", workspace_id=world.other.id)
    await world.add(elsewhere)
    receipt = (await erase(world, person)).json()
    assert receipt["account_deleted"] is False
    assert (await world.rest(person, "GET", "/api/v1/labels")).status_code == 403
    there = await world.rest(person, "GET", "/api/v1/labels", workspace=world.other.id)
    assert [label["name"] for label in there.json()] == [elsewhere.name]
    await world.database.execute("DELETE FROM labels")


async def test_the_last_owner_stays(world: World) -> None:
    before = await world.snapshot()
    for by in (world.owner, world.admin):
        assert (await erase(world, world.owner, by=by)).status_code == (409 if by is world.owner else 403)
    alone = await erase(world, world.outsider, by=world.owner)
    assert alone.status_code == 404  # of another workspace
    for body in ({}, {"reason": " "}):
        path = f"/api/v1/admin/users/{world.viewer.user_id}/erase"
        assert (await world.rest(world.admin, "POST", path, body)).status_code == 400
        assert (await world.rest(world.manager, "POST", path, {"reason": "x"})).status_code == 403
    assert await world.snapshot() == before


async def test_an_owner_among_several_may_go(world: World) -> None:
    second = await somebody(world, Role.OWNER)
    assert (await erase(world, second)).status_code == 403
    assert (await erase(world, second, by=world.owner)).status_code == 200
