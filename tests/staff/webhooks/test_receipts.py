"""Other senders at the door of an agent, the test of a webhook, and the log of what was refused."""

import time
from typing import Any

import httpx2
import orjson
import pytest

from models.staff.agents import Agent, WebhookScheme
from resolvers.identity.webhook_senders import SENDERS, new_secret, read_claim, sign
from resolvers.staff.webhooks.receipts import MOST_ALIKE
from tests.every import each_of
from tests.staff.chats.conftest import world as world
from tests.staff.chats.rooms import rows
from tests.staff.webhooks.test_triggering import SECRET, hooked, post, runs, send
from tests.world import World

pytestmark = pytest.mark.anyio
LOG = (
    "query($id: ID!, $ws: ID) { webhookReceipts(agentId: $id, workspaceId: $ws, result: refused)"
    " { totalCount nodes { result reason times runId } } }"
)


async def deliveries(world: World, agent: Agent, **query: str) -> list[dict[str, Any]]:
    async with world.client(world.viewer) as client:
        query |= {"workspace_id": world.workspace.id}
        answer = await client.get(f"/api/v1/agents/{agent.id}/webhook/deliveries", params=query)
    assert answer.status_code == 200
    return list(answer.json())


async def configured(world: World, scheme: WebhookScheme, secret: str) -> Agent:
    agent = await hooked(world)
    at = f"/api/v1/agents/{agent.id}/webhook"
    answer = await world.rest(world.admin, "PUT", at, {"scheme": scheme, "secret": secret})
    assert answer.status_code == 200
    assert answer.json() == {
        "agent_id": agent.id, "scheme": scheme, "require_timestamp": False, "has_secret": True,
        "path": f"/api/v1/webhooks/{agent.crew_id}/{agent.id}/trigger",
    }  # fmt: skip
    assert (await world.rest(world.viewer, "GET", at)).json() == answer.json()
    return agent


async def deliver(world: World, agent: Agent, headers: dict[bytes, bytes], body: bytes) -> httpx2.Response:
    return await post(world, agent, body, **{name.decode(): value.decode() for name, value in headers.items()})


@each_of("scheme", list(WebhookScheme))
async def test_an_agent_takes_its_sender_and_no_other(world: World, scheme: WebhookScheme) -> None:
    secret = new_secret(scheme)
    agent = await configured(world, scheme, secret)
    other = WebhookScheme.slack if scheme is not WebhookScheme.slack else WebhookScheme.github
    headers, body = sign(other, secret, time.time())
    assert (await deliver(world, agent, headers, body)).status_code == 401
    assert await runs(world, agent) == []
    headers, body = sign(scheme, secret, time.time())
    assert [(await deliver(world, agent, headers, body)).status_code for _ in range(2)] == [202, 202]
    assert (await deliver(world, agent, headers, body + b" ")).status_code == 401
    [run] = await runs(world, agent)
    told = [(row["result"], row["reason"], row["run_id"]) for row in await deliveries(world, agent)]
    assert told == [
        ("refused", "bad_signature", None), ("duplicate", None, run["id"]), ("accepted", None, run["id"]),
        ("refused", "another_scheme", None),
    ]  # fmt: skip


@each_of("scheme", list(WebhookScheme))
async def test_a_test_comes_in_by_the_same_door(world: World, scheme: WebhookScheme) -> None:
    agent = await configured(world, scheme, new_secret(scheme))
    document = "mutation($id: ID!, $ws: ID) { testAgentWebhook(input: {id: $id}, workspaceId: $ws) { runId scheme } }"
    tested = await world.graphql(world.admin, document, {"id": agent.id})
    [run] = await runs(world, agent)
    assert tested["data"]["testAgentWebhook"] == {"runId": run["id"], "scheme": scheme}
    [row] = await deliveries(world, agent)
    assert (row["result"], row["run_id"]) == ("accepted", run["id"])
    await world.database.execute("UPDATE agents SET status = 'PENDING_REVIEW' WHERE id = $1", agent.id)
    assert (await world.rest(world.admin, "POST", f"/api/v1/agents/{agent.id}/webhook/test")).status_code == 409
    assert (await deliveries(world, agent))[0]["reason"] == "pending_review"
    assert len(await runs(world, agent)) == 1


async def test_github_may_not_be_replayed_under_another_name(world: World) -> None:
    secret = "a secret of sixteen or more"
    agent = await configured(world, WebhookScheme.github, secret)
    headers, body = sign(WebhookScheme.github, secret, 0)
    for name in (b"one", b"two"):
        assert (await deliver(world, agent, headers | {b"x-github-delivery": name}, body)).status_code == 202
    [run] = await runs(world, agent)
    assert (run["data"]["event"], run["data"]["source"]) == ("ping", "github")


async def test_a_retry_that_is_signed_anew_is_known_by_its_name(world: World) -> None:
    for scheme in (WebhookScheme.standard_webhooks, WebhookScheme.stripe, WebhookScheme.slack):
        secret = new_secret(scheme)
        agent = await configured(world, scheme, secret)
        sender = SENDERS[scheme]
        for age in (20, 0):
            stamp = str(int(time.time()) - age)
            body = orjson.dumps(sender.sample("x", "0"))
            shown = read_claim({name: value.encode() for name, value in sender.heads("x", stamp, "v1,").items()})
            proof = sender.expected(shown, secret, body)
            made = {name: value.encode() for name, value in sender.heads("x", stamp, proof).items()}
            assert (await deliver(world, agent, made, body)).status_code == 202
        assert len(await runs(world, agent)) == 1


async def test_the_challenge_is_answered_when_it_is_signed(world: World) -> None:
    secret, now = "8f742231b10e8888abcd99yyyzzz85a5", str(int(time.time()))
    agent, sender = await configured(world, WebhookScheme.slack, secret), SENDERS[WebhookScheme.slack]
    body = b'{"type":"url_verification","challenge":"3eZbrw1aB"}'
    shown = read_claim({name: value.encode() for name, value in sender.heads("", now, "-").items()})
    for proof, status in ((sender.expected(shown, secret, body), 200), ("v0=" + "0" * 64, 401)):
        answer = await deliver(
            world, agent, {name: value.encode() for name, value in sender.heads("", now, proof).items()}, body
        )
        assert answer.status_code == status
        assert (answer.json().get("challenge") == "3eZbrw1aB") is (status == 200)
    assert await runs(world, agent) == []
    assert [row["result"] for row in await deliveries(world, agent)] == ["refused", "challenge"]


async def test_a_flood_is_counted(world: World) -> None:
    agent = await hooked(world)
    for number in range(MOST_ALIKE + 7):
        assert (await post(world, agent, b"x" * number)).status_code == 401
        assert (await post(world, agent, x_signature=str(number))).status_code == 401
    assert (await send(world, agent)).status_code == 202
    found = await deliveries(world, agent, result="refused")
    assert len(found) == 2 * MOST_ALIKE
    for reason in ("unsigned", "bad_signature"):
        alike = [row for row in found if row["reason"] == reason]
        assert sum(row["times"] for row in alike) == MOST_ALIKE + 7
        assert {row["run_id"] for row in alike} == {None}
    await world.database.execute("UPDATE webhook_receipts SET created_at = created_at - interval '61 minutes'")
    assert (await post(world, agent)).status_code == 401
    assert len(await deliveries(world, agent, result="refused")) == 2 * MOST_ALIKE + 1
    answer = await world.graphql(world.viewer, LOG, {"id": agent.id})
    assert answer["data"]["webhookReceipts"]["totalCount"] == 2 * MOST_ALIKE + 1


async def test_of_what_was_refused_nothing_is_kept(world: World) -> None:
    agent, canary = await hooked(world), "canary-of-a-body"
    body = orjson.dumps({"event": canary, "source": canary, "data": canary})
    await post(world, agent, body, x_signature=canary)
    await post(world, agent, body, x_webhook_secret=canary)
    await send(world, agent, b'["canary-of-a-body"]')
    stored = str([tuple(row.values()) for row in await rows(world, "SELECT * FROM webhook_receipts")])
    assert canary not in stored
    assert SECRET not in stored
    reasons = [row["reason"] for row in await deliveries(world, agent)]
    assert reasons == ["not_json", "bad_signature", "bad_signature"]


async def test_unknown_agents_leave_nothing(world: World) -> None:
    agent = await hooked(world)
    ghost = Agent(workspace_id=world.workspace.id, name="Ghost", slug="ghost", crew_id=agent.crew_id)
    before = await rows(world, "SELECT count(*) AS n FROM webhook_receipts")
    await post(world, ghost)
    await post(world, ghost, x_signature="f")
    await post(world, agent, crew="cother")
    assert await rows(world, "SELECT count(*) AS n FROM webhook_receipts") == before


async def test_a_secret_has_to_fit_its_sender(world: World) -> None:
    agent = await hooked(world)
    at, scheme = f"/api/v1/agents/{agent.id}/webhook", {"scheme": "standard_webhooks"}
    for more in ({}, {"secret": ""}, {"secret": "too short"}, {"secret": "whsec_" + "?" * 20}, {"secret": "x" * 201}):
        assert (await world.rest(world.admin, "PUT", at, scheme | more)).status_code == 400, more
    assert (await world.rest(world.admin, "PUT", at, {"scheme": "gitlab"})).status_code == 400
    assert (await world.rest(world.member, "PUT", at, {"scheme": "github"})).status_code == 403
    assert (await send(world, agent)).status_code == 202, "nothing has changed"
    made = await world.rest(world.admin, "PUT", at, {"scheme": "github"})
    assert SECRET not in made.text
    assert (await send(world, agent, b"{}")).status_code == 401
