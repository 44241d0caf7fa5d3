"""Events reach the endpoints that have subscribed: signed, in order, at least once, and known by one id."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from resolvers.attention.webhook_endpoints import sending
from resolvers.attention.webhook_endpoints.sending import distribute, lane_of
from resolvers.instance import trace_context
from resolvers.instance.running import instance
from resolvers.kernel import AcrossWorkspaces, across_workspaces
from resolvers.kernel.background.followers import NEXT
from tests.live.conversations import live_run, new_chat, new_run
from tests.people.recovery.mailbox import delivering
from tests.world import World

pytestmark = pytest.mark.anyio
PATH = "/api/v1/webhook-endpoints"
QUICK = [timedelta(milliseconds=20)] * 30
Answering = Callable[[int], bytes]


@pytest.fixture(autouse=True)
async def _empty(world: World) -> None:
    await world.database.execute("DELETE FROM webhook_endpoints")
    await world.database.execute("DELETE FROM inbox_items")
    await follow()


@pytest.fixture(autouse=True)
def _private() -> Any:
    allowed = instance.settings.model_copy(update={"hooks_allow_private": True})
    with mock.patch.object(instance, "_settings", allowed):
        yield


async def follow() -> None:
    while await across_workspaces(distribute):
        pass


def status(code: int, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {code} X", f"content-length: {len(body)}", "connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Receiver:
    """`answer`: what it says to the request of this number."""

    def __init__(self, answer: Answering = lambda _: status(204)) -> None:
        self.answer, self.got = answer, list[tuple[dict[str, str], bytes, bool]]()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers["content-length"]))
            said = self.answer(len(self.got))
            self.got.append((headers, body, said.startswith(b"HTTP/1.1 2")))
            writer.write(said)
            await writer.drain()
        writer.close()

    @property
    def taken(self) -> list[dict[str, Any]]:
        return [json.loads(body) | {"id": headers["webhook-id"]} for headers, body, taken in self.got if taken]


async def create(world: World, url: str, *types: str, code: int = 201) -> dict[str, Any]:
    body = {"name": "Harbour", "url": url, "event_types": list(types) or ["*"]}
    answer = await world.rest(world.admin, "POST", PATH, body)
    assert answer.status_code == code, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def happen(world: World, subject: str, number: int, type: str = "crew.updated", place: str = "") -> None:
    await world.database.execute(
        "INSERT INTO events (workspace_id, channel, type, payload) VALUES ($1::text, 'workspace:' || $1::text, $2, $3)",
        place or world.workspace.id, type, {"id": subject, "number": number},
    )  # fmt: skip


async def until(done: Callable[[], Any], seconds: float = 40.0) -> None:
    """Followed all the while: what is not older than every running transaction waits."""
    async with asyncio.timeout(seconds):
        while True:
            await follow()
            found = done()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.02)


async def log(world: World, endpoint: dict[str, Any], state: str = "") -> list[dict[str, Any]]:
    async with world.client(world.admin) as client:
        query = {"workspace_id": world.workspace.id, "state": state}
        return (await client.get(f"{PATH}/{endpoint['id']}/deliveries", params=query)).json()  # type: ignore[no-any-return]


async def endpoint_of(world: World, endpoint: dict[str, Any]) -> dict[str, Any]:
    return (await world.rest(world.admin, "GET", f"{PATH}/{endpoint['id']}")).json()  # type: ignore[no-any-return]


async def test_events_are_read_of_workspaces_that_have_subscribed(world: World) -> None:
    """What a workspace without endpoints does costs no follower anything, and is not delivered later."""
    read = list[Any]()
    fetch = AcrossWorkspaces.fetch

    async def spied(rows: AcrossWorkspaces, sql: str, *values: Any) -> list[Any]:
        found = await fetch(rows, sql, *values)
        read.extend([(sql, row) for row in found] if sql == NEXT else [(sql, None)])
        return found

    async def told() -> list[tuple[str, int]]:
        read.clear()
        with mock.patch.object(AcrossWorkspaces, "fetch", spied):
            await follow()
        return [(row["workspace_id"], row["payload"].get("number")) for sql, row in read if sql == NEXT]

    await happen(world, "one", 1)
    while not await world.database.fetchval(
        "SELECT events_horizon() > (SELECT max(xid) FROM events WHERE payload ->> 'number' = '1')"
    ):
        await asyncio.sleep(0.02)
    assert await told() == []
    assert read
    made = await create(world, "http://127.0.0.1:1/hook", "crew.updated")
    await happen(world, "one", 2)
    await happen(world, "theirs", 3, place=world.other.id)
    found = list[tuple[str, int]]()
    async with asyncio.timeout(40):
        while not found:
            found = await told()
            await asyncio.sleep(0.02)
    assert [number for _, number in found if number in (1, 2, 3)] == [2]
    assert {place for place, _ in found} == {world.workspace.id}
    assert len(await log(world, made)) == 1


async def test_a_delivery_is_signed_as_the_public_library_verifies(world: World) -> None:
    receiver = Receiver()
    async with receiver.listening() as url, delivering(world):
        made = await create(world, url, "crew.updated")
        await happen(world, "one", 1)
        await happen(world, "one", 2, "crew.deleted")  # nobody asked for it
        await happen(world, "theirs", 3, place=world.other.id)
        await follow()
        await until(lambda: len(receiver.got) == 1)
        rotated = (await world.rest(world.admin, "POST", f"{PATH}/{made['id']}/rotate-secret")).json()
        await happen(world, "one", 4)
        await follow()
        await until(lambda: len(receiver.got) == 2)
    assert rotated["secret"] != made["secret"]
    for secret, heard in ((made["secret"], receiver.got), (rotated["secret"], receiver.got[1:])):
        for headers, body, _ in heard:
            told = Webhook(secret).verify(body, headers)
            assert told["data"]["number"] in (1, 4)
    assert [event["data"] for event in receiver.taken] == [{"id": "one", "number": 1}, {"id": "one", "number": 4}]
    stored = await world.database.fetchrow("SELECT secret, old_secret FROM webhook_endpoints")
    assert not any(made["secret"].encode() in sealed for sealed in stored)


@pytest.mark.slow
async def test_a_delivery_about_a_run_names_its_span_where_traces_are_exported(world: World) -> None:
    chat, receiver = await new_chat(world), Receiver()
    await new_run(world, chat)
    run_id = (await live_run(world, chat))["id"]
    collector = {"otel_traces_endpoint": SecretStr("http://127.0.0.1:9/v1/traces")}
    insert = "INSERT INTO events (workspace_id, channel, type, payload) VALUES ($1::text, $2, 'run.completed', $3)"
    event = world.workspace.id, f"workspace:{world.workspace.id}", {"run_id": run_id}
    async with receiver.listening() as url, delivering(world):
        await create(world, url, "run.completed", "crew.updated")
        await world.database.execute(insert, *event)
        await until(lambda: len(receiver.got) == 1)
        with mock.patch.object(instance, "_settings", instance.settings.model_copy(update=collector)):
            await world.database.execute(insert, *event)
            await happen(world, "one", 1)
            await until(lambda: len(receiver.got) == 3)
    named = {json.loads(body)["type"]: headers.get("traceparent") for headers, body, _ in receiver.got[1:]}
    assert "traceparent" not in receiver.got[0][0]
    assert named == {"run.completed": trace_context.traceparent_of(run_id, run_id, None), "crew.updated": None}


async def test_all_arrive_in_order_though_a_third_of_the_answers_is_bad(world: World) -> None:
    dice = random.Random(7)
    bad = lambda _: dice.choice([status(500), b"", status(302, "location: http://127.0.0.1:9/")])  # noqa: E731
    receiver = Receiver(lambda number: bad(number) if dice.random() < 0.3 else status(200))
    subjects = [f"subject {number}" for number in range(5)]
    with mock.patch.object(sending, "PAUSES", QUICK):
        async with receiver.listening() as url, delivering(world):
            made = await create(world, url)
            for number in range(12):
                for subject in subjects:
                    await happen(world, subject, number)
            await follow()
            await follow()

            async def all_delivered() -> bool:
                sql = (
                    "SELECT count(*) FROM webhook_deliveries WHERE state = 'delivered' AND event_type = 'crew.updated'"
                )
                return bool(await world.database.fetchval(sql) == 60)

            await until(all_delivered, 120)
    for subject in subjects:
        numbers = [event["data"]["number"] for event in receiver.taken if event["data"]["id"] == subject]
        assert numbers == sorted(numbers)
        assert set(numbers) == set(range(12))
    ids: dict[tuple[str, int], set[str]] = {}
    for headers, body, _ in receiver.got:
        data = json.loads(body)["data"]
        ids.setdefault((data["id"], data["number"]), set()).add(headers["webhook-id"])
    assert len(ids) == 60
    assert all(len(known) == 1 for known in ids.values()), "a repetition has the id of what it repeats"
    assert len({lane_of(subject) for subject in subjects}) > 1
    assert (await endpoint_of(world, made))["enabled"]


@pytest.mark.slow
async def test_one_that_is_gone_is_disabled_and_managers_are_told(world: World) -> None:
    receiver = Receiver(lambda number: status(410 if number == 0 else 200, body=b"x" * 3000))
    async with receiver.listening() as url, delivering(world):
        made = await create(world, url, "crew.updated")  # and not the item that tells of its end
        await happen(world, "one", 1)
        await happen(world, "one", 2)
        await follow()

        async def disabled() -> bool:
            return not (await endpoint_of(world, made))["enabled"]

        await until(disabled)
        (item,) = await world.database.fetch("SELECT target_role, payload FROM inbox_items")
        assert (item["target_role"], item["payload"]["webhook_endpoint_id"]) == ("ADMIN", made["id"])
        (failed,) = [entry for entry in await log(world, made) if entry["attempts"]]
        assert (failed["status"], len(failed["answer"])) == (410, 1024)
        assert len(receiver.got) == 1
        await world.rest(world.admin, "PATCH", f"{PATH}/{made['id']}", {"enabled": True})
        await until(lambda: len(receiver.taken) == 2, seconds=4)  # without the pause of 5 s that was left
        assert len(await log(world, made, "delivered")) == 2
        path = f"{PATH}/{made['id']}/deliveries/{receiver.taken[0]['id']}/redeliver"
        assert (await world.rest(world.admin, "POST", path)).status_code == 200
        await until(lambda: len(receiver.taken) == 3)
    assert receiver.taken[2] == receiver.taken[0], "the same event, under the same id"


async def test_a_test_is_signed_sent_once_and_says_nothing_of_the_endpoint(world: World) -> None:
    receiver = Receiver(lambda number: status(503 if number == 0 else 200))
    ask = "mutation($id: ID!, $ws: ID) { testWebhookEndpoint(input: {id: $id}, workspaceId: $ws) { id state } }"
    with mock.patch.object(sending, "PAUSES", QUICK):
        async with receiver.listening() as url:
            made = await create(world, url)
            first = await world.graphql(world.admin, ask, {"id": made["id"]})
            assert first["data"]["testWebhookEndpoint"]["state"] == "pending"
            again = await world.graphql(world.admin, ask, {"id": made["id"]})
            assert again["errors"][0]["extensions"]["code"] == "CONFLICT"
            async with delivering(world):

                async def failed() -> bool:
                    return len(await log(world, made, "failed")) == 1

                await until(failed)
                await world.graphql(world.admin, ask, {"id": made["id"]})
                await until(lambda: len(receiver.taken) == 1)
                assert receiver.taken[0]["type"] == "webhook.test"
                assert receiver.taken[0]["data"] == {"id": made["id"], "name": "Harbour"}
                assert (await endpoint_of(world, made))["failing_since"] is None
            await world.rest(world.admin, "PATCH", f"{PATH}/{made['id']}", {"enabled": False})
            off = await world.graphql(world.admin, ask, {"id": made["id"]})
            assert off["errors"][0]["message"] == "The endpoint is disabled; enable it first"


async def test_after_a_day_of_failures_it_is_given_up(world: World) -> None:
    receiver = Receiver(lambda _: status(503))
    with mock.patch.object(sending, "PAUSES", QUICK[:2]):
        async with receiver.listening() as url, delivering(world):
            made = await create(world, url)
            await world.database.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '25 hours'")
            await happen(world, "one", 1)
            await follow()

            async def disabled() -> bool:
                return not (await endpoint_of(world, made))["enabled"]

            await until(disabled)
    assert await world.database.fetchval("SELECT count(*) FROM inbox_items") == 1
    assert sum(pause.total_seconds() for pause in sending.PAUSES) >= timedelta(hours=24).total_seconds()


async def test_a_huge_answer_is_read_no_further_than_it_is_kept(world: World) -> None:
    receiver = Receiver(lambda _: status(200, body=b"y" * 10_000_000))
    async with receiver.listening() as url, delivering(world):
        made = await create(world, url)
        await happen(world, "one", 1)
        await follow()

        async def delivered() -> bool:
            return bool(await log(world, made, "delivered"))

        await until(delivered)
        (entry,) = await log(world, made)
    assert entry["answer"] == "y" * 1024
    assert len(receiver.got) == 1


@pytest.mark.slow
async def test_private_addresses_are_not_called(world: World) -> None:
    receiver = Receiver()
    allowed = instance.settings.model_copy(update={"hooks_allow_private": False})
    with mock.patch.object(instance, "_settings", allowed):
        async with receiver.listening() as url, delivering(world):
            made = await create(world, url)
            await happen(world, "one", 1)
            await follow()

            async def tried() -> bool:
                return any(entry["attempts"] for entry in await log(world, made))

            await until(tried)
            (entry,) = await log(world, made)
    assert receiver.got == []
    assert entry["status"] is None
    assert "127.0.0.1" not in entry["error"]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "a", "url": "ftp://example.com", "event_types": ["*"]},
        {"name": "a", "url": "http://user@example.com", "event_types": ["*"]},
        {"name": "a", "url": "https://example.com", "event_types": []},
        {"name": "a", "url": "https://example.com", "event_types": ["nothing.happened"]},
        {"name": " ", "url": "https://example.com", "event_types": ["*"]},
    ],
)
async def test_what_is_refused_writes_nothing(world: World, body: dict[str, Any]) -> None:
    before = await world.snapshot()
    assert (await world.rest(world.admin, "POST", PATH, body)).status_code == 400
    assert await world.snapshot() == before
    assert (await world.rest(world.manager, "GET", PATH)).status_code == 403
