"""Notification channels: what is stored, and what they are told of the ends of runs."""

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any
from unittest import mock

import pytest
from pydantic import SecretStr

from crewship.process.mail import SmtpMailer
from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import Chat, Message, MessageRole
from models.staff.runs import Run, RunStatus
from resolvers.attention.notification_channels.sending import enqueue_letters
from resolvers.instance.running import instance
from resolvers.kernel import across_workspaces
from tests.people.recovery.mailbox import Mailbox, delivering, idle, listening, text_of
from tests.world import World, now

pytestmark = pytest.mark.anyio
KEYS = {"id", "workspace_id", "type", "events", "enabled", "created_by", "scope", "min_priority"}
PATH = "/api/v1/notification-channels"


@pytest.fixture(autouse=True)
async def _empty(world: World) -> None:
    await world.database.execute("DELETE FROM notification_channels")
    await follow()


async def follow() -> None:
    while await across_workspaces(enqueue_letters):
        pass


async def create(world: World, status: int = 201, **body: Any) -> dict[str, Any]:
    answer = await world.rest(world.manager, "POST", PATH, body)
    assert answer.status_code == status, answer.text
    return answer.json()  # type: ignore[no-any-return]


@contextlib.contextmanager
def private_addresses() -> Any:
    allowed = instance.settings.model_copy(update={"hooks_allow_private": True})
    with mock.patch.object(instance, "_settings", allowed):
        yield


class Receiver:
    """`answers` are statuses, used up one by one; then 200."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Receiver"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            self.got.append((headers, await reader.readexactly(int(headers["content-length"]))))
            status = self.answers.pop(0) if self.answers else 200
            writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nlocation: http://127.0.0.1:9/\r\n\r\n".encode())
            await writer.drain()
        writer.close()


async def run(world: World, status: RunStatus = RunStatus.COMPLETED, **values: Any) -> Run:
    """One that has ended, as the outbox tells it."""
    here = {"workspace_id": world.workspace.id}
    agent = Agent(name="Ada", slug=f"ada-{new_id()}", **here)
    chat = Chat(id=new_id(), agent_id=agent.id, **here)
    ended = Run(
        agent_id=agent.id, chat_id=chat.id, status=status, finished_at=now(), created_at=now(), **values, **here
    )
    said = Message(chat_id=chat.id, agent_id=agent.id, role=MessageRole.assistant, content="Done. " * 400, **here)
    await world.add(agent, chat, ended, said)
    type = "run.completed" if status is RunStatus.COMPLETED else "run.failed"
    await world.database.execute(
        "INSERT INTO events (workspace_id, channel, type, payload) VALUES ($1::text, 'workspace:' || $1::text, $2, $3)",
        world.workspace.id, type, {"run_id": ended.id, "agent_id": agent.id, "status": status},
    )  # fmt: skip
    return ended


async def test_what_is_stored_and_shown(world: World) -> None:
    made = await create(world, type="webhook", url=" https://example.com/h?x=1 ", events=["SUCCESS", "completed"])
    assert made.keys() == KEYS | {"url", "secret"}
    assert (made["url"], made["events"], len(made["secret"])) == ("https://example.com/h?x=1", ["run.completed"], 64)
    assert (await create(world, type="webhook", url="http://h.example/", secret=" own "))["secret"] == "own"
    listed = (await world.rest(world.viewer, "GET", PATH)).json()["channels"]
    assert [channel["events"] for channel in listed] == [["run.failed"], ["run.completed"]]
    assert all("secret" not in channel and channel["created_at"] for channel in listed)
    stored = await world.database.fetch("SELECT secret FROM notification_channels")
    assert not any(b"own" in row["secret"] or made["secret"].encode() in row["secret"] for row in stored)
    answer = await world.rest(world.manager, "DELETE", f"{PATH}/{made['id']}")
    assert (answer.status_code, answer.json()) == (200, {"deleted": made["id"]})
    assert (await world.rest(world.manager, "DELETE", f"{PATH}/{made['id']}")).status_code == 404
    assert (await world.rest(world.manager, "POST", f"{PATH}/{made['id']}/test")).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"type": "slack", "url": "https://example.com"},
        {"type": "webhook"},
        {"type": "webhook", "url": "ftp://example.com"},
        {"type": "webhook", "url": "http://"},
        {"type": "webhook", "url": "http://a b/%zz"},
        {"type": "webhook", "url": "http://user:password@example.com/"},
        {"type": "webhook", "url": "https://example.com", "events": ["started"]},
        {"type": "webhook", "url": "https://example.com", "events": "failed"},
        {"type": "email", "to": "nobody"},
        {"type": "email", "to": "crew@example.com"},  # nothing sends mail here
    ],
)
async def test_what_is_refused_writes_nothing(world: World, body: dict[str, Any]) -> None:
    before = await world.snapshot()
    await create(world, 400, **body)
    assert await world.snapshot() == before


@pytest.mark.slow
async def test_subscribers_are_told_once_signed_and_tried_again(world: World) -> None:
    async with Receiver().listening() as receiver, delivering(world):
        with private_addresses():
            made = await create(world, type="webhook", url=receiver.url, events=["completed"])
            await create(world, type="webhook", url=receiver.url, events=["failed"])
            receiver.answers = [503, 429]
            ended = await run(world, triggered_by=world.owner.user_id)
            await follow()
            await follow()
            await idle_or(lambda: len(receiver.got) == 3, world)
    bodies = [json.loads(body) for _, body in receiver.got]
    assert bodies[0] == bodies[1] == bodies[2]
    assert {key: bodies[0][key] for key in ("event", "run_id", "status", "triggered_by")} == {
        "event": "run.completed", "run_id": ended.id, "status": "COMPLETED", "triggered_by": world.owner.user_id,
    }  # fmt: skip
    assert bodies[0]["output_preview"] == ("Done. " * 400)[:1024]
    headers, body = receiver.got[-1]
    expected = hmac.new(made["secret"].encode(), body, hashlib.sha256).hexdigest()
    assert headers["x-crewship-signature"] == f"sha256={expected}"
    assert (headers["x-crewship-event"], headers["user-agent"]) == ("run.completed", "crewship-notify/1")


async def idle_or(done: Any, world: World, seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not done():
            await follow()  # what is not older than every running transaction waits
            await asyncio.sleep(0.02)
    await idle(world)


async def test_a_redirect_is_not_followed_and_a_refusal_not_repeated(world: World) -> None:
    async with Receiver().listening() as receiver, delivering(world):
        with private_addresses():
            await create(world, type="webhook", url=receiver.url, events=["failed"])
            receiver.answers = [302, 410]
            for _ in range(2):
                await run(world, RunStatus.FAILED, error_message="token sk-ant-api03-" + "a" * 90)
            await follow()
            await idle_or(lambda: len(receiver.got) == 2, world)
    assert len(receiver.got) == 2
    assert not any(b"a" * 90 in body for _, body in receiver.got), "secrets are taken out"


async def test_private_addresses_are_not_called(world: World) -> None:
    async with Receiver().listening() as receiver:
        made = await create(world, type="webhook", url=receiver.url)
        answer = await world.rest(world.manager, "POST", f"{PATH}/{made['id']}/test")
        assert answer.status_code == 502
        assert "127.0.0.1" not in answer.text
        assert receiver.got == []
        with private_addresses():
            answer = await world.rest(world.manager, "POST", f"{PATH}/{made['id']}/test")
        assert answer.json() == {"ok": True, "channel_id": made["id"]}
        assert json.loads(receiver.got[0][1])["event"] == "run.completed"


async def test_mail_goes_the_way_of_all_mail(world: World) -> None:
    mailbox = Mailbox()
    async with listening(mailbox) as port:
        url = SecretStr(f"smtp://127.0.0.1:{port}").get_secret_value()
        with mock.patch.object(instance, "mailer", SmtpMailer(url, "crewship@example.com")):
            made = await create(world, type="email", to="crew@example.com")
            assert made.keys() == KEYS | {"to"}
            assert (await world.rest(world.manager, "POST", f"{PATH}/{made['id']}/test")).status_code == 200
            mail = await mailbox.arrived("crew@example.com")
    assert "run.completed" in text_of(mail)


async def test_nobody_is_told_of_the_runs_of_another_workspace(world: World) -> None:
    made = await create(world, type="webhook", url="https://example.com", events=["all"])
    jobs = "SELECT count(*) FROM dbos.workflow_status WHERE name = 'notification_channels.deliver'"
    async with delivering(world):
        before = await world.database.fetchval(jobs)
    await world.database.execute(
        "INSERT INTO events (workspace_id, channel, type, payload)"
        " VALUES ($1::text, 'workspace:' || $1::text, 'run.failed', $2)",
        world.other.id, {"run_id": "theirs"},
    )  # fmt: skip
    await follow()
    assert await world.database.fetchval(jobs) == before
    assert made["id"]


@pytest.mark.parametrize(
    ("place", "field"),
    [
        ({"type": "webhook", "url": "not a url"}, ["url"]),
        ({"type": "webhook", "url": ""}, ["url"]),
        ({"type": "webhook", "url": "ftp://example.com"}, ["url"]),
        ({"type": "email", "to": "nobody"}, ["to"]),
        ({"type": "email", "to": ""}, ["to"]),
        ({"type": "webhook", "url": "https://example.com/hook", "to": "nobody"}, None),
    ],
)
async def test_a_bad_place_is_named_by_its_field_in_graphql(
    world: World, place: dict[str, str], field: list[str] | None
) -> None:
    document = (
        "mutation($ws: ID, $in: CreateNotificationChannelInput!)"
        " { createNotificationChannel(workspaceId: $ws, input: $in) { id } }"
    )
    answer = await world.graphql(world.manager, document, {"in": place})
    told = answer["errors"][0]["extensions"].get("fields") if "errors" in answer else None
    assert (None if told is None else list(told)) == field
