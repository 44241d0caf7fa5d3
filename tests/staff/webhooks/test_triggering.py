"""Webhooks of agents: who is let in, in which order others are refused, and the run that starts."""

import time
from typing import Any

import httpx2
import orjson
import pytest

from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.identity.webhook_senders import webhook_signature
from resolvers.instance.running import instance
from resolvers.staff.runs.lifecycle import OVER
from tests.staff.chats.conftest import world as world
from tests.staff.chats.rooms import events, position, rows
from tests.world import World, now

pytestmark = pytest.mark.anyio
SECRET, PING = "topsecret", b'{"event":"ping"}'


async def hooked(world: World, secret: str | None = SECRET, **values: Any) -> Agent:
    crew = Crew(workspace_id=world.workspace.id, name="Harbour", slug=f"c{time.monotonic_ns()}")
    agent = Agent(
        **{"workspace_id": world.workspace.id, "name": "Hook", "slug": f"a{time.monotonic_ns()}", "crew_id": crew.id}
        | values
    )
    if secret is not None:
        place: dict[str, Any] = {"table": Agent, "row_id": agent.id, "workspace_id": world.workspace.id}
        agent.webhook_secret = await instance.vault.seal(secret, column="webhook_secret", **place)
    await world.add(crew, agent)
    return agent


async def post(
    world: World, agent: Agent, body: bytes = PING, crew: str | None = None, **headers: str
) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with world.client(None) as client:
        at = f"/api/v1/webhooks/{crew or agent.crew_id}/{agent.id}/trigger"
        return await client.post(at, content=body, headers=named)


async def send(world: World, agent: Agent, body: bytes = PING, **headers: str) -> httpx2.Response:
    return await post(world, agent, body, x_signature=webhook_signature(body, SECRET), **headers)


async def runs(world: World, agent: Agent) -> list[dict[str, Any]]:
    return await rows(world, "SELECT * FROM runs WHERE agent_id = $1 ORDER BY created_at", agent.id)


async def end_all(world: World, agent: Agent) -> None:
    await world.database.execute(
        "UPDATE runs SET status = 'COMPLETED', finished_at = now() WHERE agent_id = $1", agent.id
    )


async def test_what_is_signed_starts_a_run_in_the_chat_of_the_webhook(world: World) -> None:
    agent, since = await hooked(world), await position(world)
    answer = await send(world, agent, b'{"event":"ping","source":"ci","data":{"n":1},"other":2}')
    assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    assert "deprecation" not in answer.headers
    [run] = await runs(world, agent)
    assert run["data"] == {"event": "ping", "source": "ci", "trigger": "WEBHOOK"}
    assert (run["trigger_type"], run["triggered_by"], run["status"]) == ("WEBHOOK", None, "RUNNING")
    assert run["chat_id"] == f"webhook-{agent.id}"
    assert '"n": 1' in run["prompt"]
    assert "<untrusted-" in run["prompt"]
    told = [(channel, kind) for channel, kind, _ in await events(world, since)]
    here = f"workspace:{world.workspace.id}"
    assert told == [(here, "run.started"), (here, "agent.status")]
    [chat] = (await world.rest(world.viewer, "GET", f"/api/v1/agents/{agent.id}/chats")).json()
    assert (chat["title"], chat["message_count"], chat["unread_count"]) == ("Webhook: ping", 0, 0)
    answer = await world.rest(world.viewer, "GET", f"/api/v1/chats/{chat['id']}/messages")
    assert answer.json()["messages"] == []
    [receipt] = (await world.rest(world.viewer, "GET", f"/api/v1/agents/{agent.id}/webhook/deliveries")).json()
    assert (receipt["run_id"], receipt["event"], receipt["scheme"]) == (run["id"], "ping", "body_only")


async def test_refusals_come_in_the_order_of_the_contract(world: World) -> None:
    agent, since = await hooked(world), await position(world)
    ghost = Agent(workspace_id=world.workspace.id, name="Ghost", slug="ghost", crew_id=agent.crew_id)
    stale = str(int(time.time()) - 301)
    cases: list[tuple[int, httpx2.Response]] = [
        (401, await post(world, ghost)),
        (404, await post(world, ghost, x_signature="f")),
        (404, await send(world, agent, crew="cother")),
        (404, await post(world, await hooked(world, secret=None), x_signature="f")),
        (404, await post(world, await hooked(world, secret=""), x_webhook_secret="f")),
        (400, await post(world, agent, b"{nope", x_signature="f", x_timestamp=stale)),
        (400, await post(world, agent, x_signature="f", x_timestamp="99999999999999999999")),
        (400, await post(world, agent, x_signature="f", x_timestamp="soon")),
        (401, await post(world, agent, b"{nope", x_signature="0" * 64)),
        (401, await post(world, agent, x_signature=webhook_signature(PING, SECRET).upper())),
        (401, await post(world, agent, x_signature="sha256=" + webhook_signature(PING, SECRET))),
        (401, await post(world, agent, x_webhook_secret="nope")),
        (401, await post(world, agent, x_signature="")),
        *[(400, await send(world, agent, body)) for body in (b"{nope", b"[1]", b"5", b'{"event":5}', b"\xff")],
    ]
    assert [(expected, answer.status_code) for expected, answer in cases] == [(e, e) for e, _ in cases]
    assert await runs(world, agent) == []
    assert await events(world, since) == []


async def test_an_agent_may_insist_on_timestamps(world: World) -> None:
    agent, now = await hooked(world, webhook_require_timestamp=True), str(int(time.time()))
    assert (await send(world, agent)).status_code == 400
    assert (await post(world, agent, x_webhook_secret=SECRET)).status_code == 400
    signed = webhook_signature(PING, SECRET, now)
    assert (await post(world, agent, x_signature=signed, x_timestamp=now)).status_code == 202
    assert len(await runs(world, agent)) == 1


async def test_the_secret_itself_is_taken_and_said_to_be_deprecated(world: World) -> None:
    agent = await hooked(world)
    answer = await post(world, agent, b"", x_webhook_secret=SECRET)
    assert answer.status_code == 202
    assert answer.headers["deprecation"] == 'version="X-Webhook-Secret"'
    assert answer.headers["sunset"] == "Thu, 31 Dec 2026 23:59:59 GMT"
    unread = await post(world, agent, b"{", x_webhook_secret=SECRET)
    assert (unread.status_code, unread.headers["deprecation"]) == (400, 'version="X-Webhook-Secret"')
    others = [
        await post(world, agent, x_webhook_secret="another"),
        await send(world, agent),
        await send(world, agent, b"{"),
    ]
    assert [(other.status_code, "deprecation" in other.headers) for other in others] == [
        (401, False), (202, False), (400, False)
    ]  # fmt: skip


async def test_a_ghost_starts_nothing(world: World) -> None:
    agent = await hooked(world, ephemeral=True, expired_at=now())
    answer = await send(world, agent)
    assert (answer.status_code, answer.json()["detail"]) == (409, OVER)
    assert await runs(world, agent) == []


async def test_a_delivery_is_started_once_in_a_day(world: World) -> None:
    agent, other, now = await hooked(world), await hooked(world), str(int(time.time()))
    assert [(await send(world, agent)).status_code for _ in range(3)] == [202] * 3
    assert len(await runs(world, agent)) == 1
    assert (await send(world, other)).status_code == 202, "the same one for another agent is new"
    assert len(await runs(world, other)) == 1
    assert (
        await post(world, agent, x_signature=webhook_signature(PING, SECRET, now), x_timestamp=now)
    ).status_code == 202
    assert len(await runs(world, agent)) == 2, "so is one that is signed anew"
    plain = {"x_webhook_secret": SECRET}
    for headers in ({"idempotency_key": "a"}, {"idempotency_key": "a"}, {"idempotency_key": "b"}, {}, {}):
        assert (await post(world, agent, **plain, **headers)).status_code == 202
    assert len(await runs(world, agent)) == 5
    await world.database.execute("UPDATE webhook_receipts SET created_at = now() - interval '24 hours 1 second'")
    assert (await send(world, agent)).status_code == 202
    assert len(await runs(world, agent)) == 6


async def test_limits_are_refused_and_give_the_key_up(world: World) -> None:
    agent = await hooked(world)
    bodies = [orjson.dumps({"event": str(number)}) for number in range(61)]
    assert [(await send(world, agent, body)).status_code for body in bodies[:9]] == [202] * 8 + [429]
    await end_all(world, agent)
    assert (await send(world, agent, bodies[8])).status_code == 202, "a retry works"
    await world.database.execute(
        "INSERT INTO webhook_receipts (id, workspace_id, agent_id, key, event, source, scheme, run_id, result, times)"
        " SELECT 'creceipt' || i, $1, $2, i::text, '', '', '', '', 'accepted', 1 FROM generate_series(10, 60) AS i",
        world.workspace.id,
        agent.id,
    )
    await end_all(world, agent)
    assert (await send(world, agent, bodies[60])).status_code == 429
    await world.database.execute("UPDATE webhook_receipts SET created_at = now() - interval '61 seconds'")
    assert (await send(world, agent, bodies[60])).status_code == 202


async def test_who_may_edit_the_agent_replaces_the_secret_and_tests_it(world: World) -> None:
    agent = await hooked(world)
    at = f"/api/v1/agents/{agent.id}/webhook-secret/rotate"
    for person in (world.viewer, world.member):
        assert (await world.rest(person, "POST", at)).status_code == 403
        assert (await world.rest(person, "POST", f"/api/v1/agents/{agent.id}/webhook/test")).status_code == 403
    made = (await world.rest(world.admin, "POST", at)).json()
    assert set(made) == {"webhook_secret", "rotated_at"}
    assert len(bytes.fromhex(made["webhook_secret"])) == 32
    assert (await send(world, agent)).status_code == 401, "the one before is good no more"
    signature = webhook_signature(PING, made["webhook_secret"])
    assert (await post(world, agent, x_signature=signature)).status_code == 202
    tested = await world.rest(world.admin, "POST", f"/api/v1/agents/{agent.id}/webhook/test")
    assert tested.status_code == 202
    assert [run["id"] for run in await runs(world, agent)][-1] == tested.json()["run_id"]
    text = str(await rows(world, "SELECT data, changes FROM audit_logs WHERE entity_id = $1", agent.id))
    assert made["webhook_secret"] not in text
    assert SECRET not in text
