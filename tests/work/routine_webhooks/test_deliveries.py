"""Deliveries to webhooks of routines: signatures, duplicates, limits, and the run that each starts."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from models.people.workspaces import Role
from models.staff.agents import Agent, WebhookScheme
from resolvers.errors import Code, Refusal
from resolvers.identity.webhook_senders import SENDERS, sign
from resolvers.instance.running import instance
from resolvers.work import routine_runs, routine_webhooks
from resolvers.work.routine_webhooks.deliveries import inputs_of
from rest_compat.work.routine_runs import StartedRoutineRunJSON
from rest_compat.work.routine_webhooks import RoutineWebhookJSON
from tests.every import each_of
from tests.work.routine_runs.yard import Counting, RoutineYard, http, text
from tests.work.routine_webhooks.sending import SECRET, Hook, made
from tests.world import now

pytestmark = pytest.mark.anyio
ECHO = text("a", "{{ inputs.event.action }}|{{ inputs.extra }}|{{ inputs.headers.x_custom }}")
BROKEN = text("a", "no", ".x")
EVENT = [{"name": "event", "type": "object"}, {"name": "extra"}, {"name": "headers", "type": "object"}]


async def refusal(sending: Any) -> Refusal:
    with pytest.raises(Refusal) as refused:
        await sending
    return refused.value


async def hook(yard: RoutineYard, *steps: dict[str, Any], **raw: Any) -> Hook:
    return await made(yard, await yard.routine(*(steps or (text("a", "fine"),))), **raw)


async def test_a_signed_delivery_starts_a_run_of_its_content(yard: RoutineYard) -> None:
    routine = await yard.routine(ECHO, inputs=EVENT)
    webhook = await made(yard, routine, inputs_template={"extra": "E", "event": "mine"}, name="CI")
    kept = await webhook.row()
    assert (kept["token_hash"] == webhook.token, SECRET.encode() in kept["secret"]) == (False, False)
    secrets = {"authorization": "Bearer x", "cookie": "c=1"}
    answer = await webhook.send({"action": "go"}, x_custom="c1", **secrets)
    assert (answer["status"], answer["deduped"]) == ("PENDING", False)
    run = await yard.ended(answer["run_id"])
    assert (run["output"], run["triggered_via"], run["triggered_by_id"]) == ("go|E|c1", "webhook", webhook.id)
    assert (run["restricted"], run["invoking_user_id"], run["chain_depth"]) == (True, yard.estate.user_id, 0)
    assert run["inputs"] == {
        "event": {"action": "go"}, "raw": '{"action": "go"}', "extra": "E", "headers": {"x_custom": "c1"},
    }  # fmt: skip
    after = await webhook.until(lambda row: row["fire_count"] == 1)
    assert (after["last_status"], after["last_run_id"], after["last_fired_at"]) == (
        "COMPLETED", run["id"], run["started_at"],
    )  # fmt: skip
    log = await yard.found("SELECT * FROM audit_logs WHERE entity_id = $1", run["id"])
    assert (log["action"], log["user_id"]) == ("routine_run.started", None)


async def test_signatures_are_asked(yard: RoutineYard) -> None:
    webhook, stamp = await hook(yard), str(int(instance.clock.seconds()))
    raw, none = b"{}", dict[bytes, bytes]()
    refused = [
        webhook.deliver(raw, none),
        webhook.deliver(raw, {b"x-crewship-signature": b"sha256="}),
        webhook.deliver(raw, {b"x-crewship-signature": SECRET.encode()}),
        webhook.deliver(raw, {b"x-webhook-secret": SECRET.encode()}),
        webhook.send({}, secret="another"),
        webhook.send({}, stamp=str(int(stamp) - 400)),
        webhook.send({}, stamp="soon"),
        webhook.send({}, x_crewship_timestamp=stamp),
        webhook.deliver(raw, sign(WebhookScheme.github, SECRET, 0)[0]),
    ]
    for sending in refused:
        assert (await refusal(sending)).code is Code.UNAUTHENTICATED
    after = await webhook.row()
    assert (after["fire_count"], after["minute_count"], after["last_status"]) == (0, 0, None)
    assert (await webhook.send({}, stamp=stamp))["status"] == "PENDING"


async def test_an_unknown_token_comes_before_a_signature(yard: RoutineYard) -> None:
    webhook, off = await hook(yard), await hook(yard, enabled=False)
    unknown = Hook(yard, "", "wh_nope", SECRET)
    await yard.ask(routine_webhooks.delete_routine_webhook, {"id": webhook.id})
    for each in (webhook, off, unknown):
        assert (await refusal(each.deliver(b"{}", {}))).code is Code.NOT_FOUND
        assert (await refusal(each.send({}))).code is Code.NOT_FOUND


@each_of("scheme", ["github", "stripe", "slack", "standard_webhooks"])
async def test_other_senders_sign_as_they_do(yard: RoutineYard, scheme: str) -> None:
    secret = (
        "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz" if scheme == "standard_webhooks" else "a secret of the sender"
    )
    webhook = await hook(yard, scheme=scheme, signing_secret=secret)
    headers, body = sign(WebhookScheme(scheme), secret, instance.clock.seconds())
    first, again = await webhook.deliver(body, headers), await webhook.deliver(body, headers)
    assert (first["status"], again) == ("PENDING", {"run_id": first["run_id"], "status": "DEDUPED", "deduped": True})
    assert (await refusal(webhook.send({}))).code is Code.UNAUTHENTICATED
    fresh = {name: value for name, value in headers.items() if b"signature" in name or b"timestamp" in name}
    if scheme == "github":  # signs neither id nor time: another id is no other delivery
        assert (await webhook.deliver(body, fresh | {b"x-github-delivery": b"other"}))["status"] == "DEDUPED"


async def test_a_secret_must_fit_its_scheme(yard: RoutineYard) -> None:
    refused = await refusal(hook(yard, scheme="standard_webhooks"))
    assert (refused.code, [*refused.fields]) == (Code.BAD_REQUEST, ["signing_secret"])
    webhook = await hook(yard, scheme="standard_webhooks", signing_secret="")
    assert webhook.secret.startswith("whsec_")
    assert len((await hook(yard, signing_secret="")).secret) == 64


async def test_a_delivery_is_known_by_its_key_its_event_and_its_bytes(yard: RoutineYard) -> None:
    webhook = await hook(yard)

    async def both(first: Any, second: Any) -> tuple[bool, bool]:
        one, other = await first, await second
        return one["run_id"] == other["run_id"], other["deduped"]

    assert await both(webhook.send(1), webhook.send(1)) == (True, True)
    assert await both(webhook.send(1, idempotency_key="k"), webhook.send(2, idempotency_key="k")) == (True, True)
    named = {"x_crewship_event_id": "e"}
    assert await both(webhook.send(3, **named), webhook.send(4, **named)) == (True, True)
    assert await both(webhook.send(5, idempotency_key="a", **named), webhook.send(5, idempotency_key="b")) == (
        False, False,
    )  # fmt: skip
    stamp = str(int(instance.clock.seconds()))
    replayed = webhook.send(6, stamp=stamp, idempotency_key="d")
    assert await both(webhook.send(6, stamp=stamp, idempotency_key="c"), replayed) == (True, True)
    long = "x" * 190
    assert await both(webhook.send(7, idempotency_key=f"{long}1"), webhook.send(7, idempotency_key=f"{long}2")) == (
        False, False,
    )  # fmt: skip
    row = await webhook.row()
    assert (row["last_status"] in ("DEDUPED", "COMPLETED"), await webhook.runs()) == (True, 8)


async def test_of_two_deliveries_at_once_one_starts_a_run(yard: RoutineYard) -> None:
    webhook = await hook(yard)
    answers = await asyncio.gather(*(webhook.send({"n": 1}) for _ in range(5)), return_exceptions=True)
    runs = {answer["run_id"] for answer in answers if isinstance(answer, dict)}
    assert (len(runs), await webhook.runs()) == (1, 1)


async def test_a_delivery_is_forgotten_after_a_day(yard: RoutineYard) -> None:
    webhook = await hook(yard)
    first = await webhook.send(1)
    old = now() - timedelta(hours=25)
    await yard.estate.owner.execute(
        "UPDATE routine_deliveries SET created_at = $2 WHERE webhook_id = $1", webhook.id, old
    )
    again = await webhook.send(1)
    assert (again["deduped"], again["run_id"] == first["run_id"]) == (False, False)
    assert (await webhook.send(1))["run_id"] == again["run_id"]


async def test_a_failed_run_can_be_delivered_again(yard: RoutineYard) -> None:
    webhook = await hook(yard, BROKEN)
    first = await webhook.send(1)
    after = await webhook.until(lambda row: row["last_status"] == "FAILED")
    assert (after["fire_count"], after["last_run_id"]) == (1, first["run_id"])
    again = await webhook.send(1)
    assert (again["deduped"], again["run_id"] == first["run_id"]) == (False, False)


async def test_a_rate_is_kept_of_verified_deliveries(yard: RoutineYard) -> None:
    webhook = await hook(yard, rate_limit_per_min=2)
    for _ in range(3):
        assert (await refusal(webhook.send(1, secret="another"))).code is Code.UNAUTHENTICATED
    assert (await webhook.send(1))["deduped"] is False
    assert (await webhook.send(1))["deduped"] is True
    for _ in range(2):
        full = await refusal(webhook.send(2))
        assert (full.code, full.extra) == (Code.RATE_LIMITED, {"retry_after": 60})
    assert (await webhook.row())["minute_count"] == 2
    past = now() - timedelta(seconds=61)
    await yard.estate.owner.execute("UPDATE routine_webhooks SET minute_began_at = $2 WHERE id = $1", webhook.id, past)
    assert (await webhook.send(2))["deduped"] is False
    assert (await webhook.row())["minute_count"] == 1


@each_of("state", ["proposed", "disabled", "deleted", "pinned"])
async def test_a_routine_that_cannot_run_is_refused_and_counted(yard: RoutineYard, state: str) -> None:
    routine = await yard.routine(text("a", "fine"))
    webhook = await made(yard, routine, target_pipeline_version=77 if state == "pinned" else None)
    change = "deleted_at = now()" if state == "deleted" else f"status = '{state}'" if state != "pinned" else "icon = ''"
    await yard.estate.owner.execute(f"UPDATE routines SET {change} WHERE id = $1", routine.id)
    for count in (1, 2):
        assert (await refusal(webhook.send(1))).code is Code.CONFLICT
        after = await webhook.row()
        assert (after["last_status"], after["fire_count"], after["minute_count"]) == ("FAILED", count, count)
    assert await webhook.runs() == 0


async def test_a_full_key_and_wrong_inputs_are_refused_without_a_trace_of_the_delivery(yard: RoutineYard) -> None:
    wait = {"id": "w", "type": "wait", "wait": {"kind": "datetime", "until": "2999-01-01T00:00:00Z"}}
    routine = await yard.routine(wait, concurrency_key="tide-{{ inputs.raw }}", inputs=[*EVENT, {"name": "raw"}])
    webhook = await made(yard, routine)
    first = await webhook.send({"n": 1}, idempotency_key="a")
    full = await refusal(webhook.send({"n": 1}, idempotency_key="b"))
    assert (full.code, full.extra) == (Code.RATE_LIMITED, {"retry_after": 5})
    wrong = await refusal(webhook.send(b"[1]", idempotency_key="c"))
    assert (wrong.code, wrong.fields) == (Code.BAD_REQUEST, {"event": "must be of the type object"})
    assert (await webhook.send({"n": 1}, idempotency_key="a"))["deduped"] is True
    await yard.ask(routine_runs.cancel_routine_run, {"id": first["run_id"]})
    await yard.ended(first["run_id"])
    await webhook.until(lambda row: row["last_status"] == "CANCELLED" or row["last_status"] == "DEDUPED")
    again = await webhook.send({"n": 1}, idempotency_key="b")
    assert again["deduped"] is False
    await yard.ask(routine_runs.cancel_routine_run, {"id": again["run_id"]})


async def test_a_member_who_left_or_lost_the_right_starts_nothing(yard: RoutineYard) -> None:
    routine, manager = await yard.routine(text("a", "fine")), await yard.member(Role.MANAGER)
    webhook = await made(yard, routine, manager)
    user_id = (await webhook.row())["run_as_id"]
    assert user_id != yard.estate.user_id
    for change in ("UPDATE memberships SET role = 'MEMBER'", "DELETE FROM memberships"):
        await yard.estate.owner.execute(f"{change} WHERE user_id = $1", user_id)
        assert (await refusal(webhook.send(1))).code is Code.CONFLICT
    await yard.estate.owner.execute("DELETE FROM users WHERE id = $1", user_id)
    assert (await refusal(webhook.send(1))).code is Code.CONFLICT
    assert ((await webhook.row())["run_as_id"], await webhook.runs()) == (None, 0)


@each_of(
    "body, expected",
    [
        (b"", (None, "")),
        (b"  ", (None, "  ")),
        (b"not json", ("not json", "not json")),
        (b"[1]", ([1], "[1]")),
        (b"\xff", ("\N{REPLACEMENT CHARACTER}", "\N{REPLACEMENT CHARACTER}")),
        (b"a\0b", ("ab", "ab")),
        (b'"\\ud800"', ('"\\ud800"', '"\\ud800"')),
    ],
)
def test_a_body_is_an_event_of_any_form(body: bytes, expected: tuple[Any, str]) -> None:
    assert inputs_of({}, {}, body) == {"event": expected[0], "raw": expected[1], "headers": {}}


@each_of("body", [b'"\\u0000"', b"[" * 150 + b"]" * 150, b"[" + b"1," * 60_000 + b"1]"])
async def test_an_event_that_cannot_be_kept_is_refused(yard: RoutineYard, body: bytes) -> None:
    webhook = await hook(yard)
    assert (await refusal(webhook.send(body))).code is Code.BAD_REQUEST
    assert await webhook.runs() == 0


async def test_an_event_of_a_mebibyte_runs(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "{{ inputs.raw }}"), inputs=[{"name": "raw"}])
    webhook = await made(yard, routine)
    body = json.dumps({"text": "x" * 1_048_000}).encode()
    run = await yard.ended((await webhook.send(body))["run_id"])
    assert (run["status"], run["output"]) == ("completed", body.decode())


async def test_a_text_is_an_event_of_any_type(yard: RoutineYard) -> None:
    webhook = await made(yard, await yard.routine(text("a", "{{ inputs.event }}"), inputs=EVENT))
    assert (await yard.ended((await webhook.send(b"no json"))["run_id"]))["output"] == "no json"


async def test_a_slack_challenge_is_repeated(yard: RoutineYard) -> None:
    from resolvers.identity.webhook_senders import read_routine_claim

    webhook = await hook(yard, scheme="slack")
    body, stamp = (
        json.dumps({"type": "url_verification", "challenge": "3eZ"}).encode(),
        str(int(instance.clock.seconds())),
    )
    sent = {b"x-slack-request-timestamp": stamp.encode(), b"x-slack-signature": b"-"}
    claim = read_routine_claim(sent)
    sent[b"x-slack-signature"] = SENDERS[claim.sender].expected(claim, SECRET, body).encode()
    assert (await webhook.deliver(body, sent))["challenge"] == "3eZ"
    assert await webhook.runs() == 0


async def test_a_run_that_posts_to_its_own_webhook_is_bounded(yard: RoutineYard) -> None:
    """A request of a run names it, and each run counts those before it."""
    webhook = await hook(yard)
    depths = []
    name = ""
    for n in range(9):
        answer = await webhook.send(n, **({"x_crewship_run": name} if name else {}))
        name = answer["run_id"]
        depths.append((await yard.row(name))["chain_depth"])
    assert depths == [*range(9)]
    refused = await refusal(webhook.send(9, x_crewship_run=name))
    assert (refused.code, await webhook.runs()) == (Code.CONFLICT, 9)
    entry = await yard.found("SELECT * FROM journal_entries WHERE actor_id = $1", webhook.id)
    assert (entry["entry_type"], entry["payload"]["chain_depth"]) == ("automation.depth_exceeded", 9)
    assert (await webhook.send(10, x_crewship_run="run_unknown"))["status"] == "PENDING"


async def test_a_request_of_a_run_names_it(yard: RoutineYard) -> None:
    counting = Counting()
    async with counting.listening() as server:
        run = await yard.run(http("a", f"{server}/hook"))
    [(_, _, headers, _)] = counting.got
    assert headers["x-crewship-run"] == run["id"]


async def test_requests_of_a_delivery_are_restricted(yard: RoutineYard) -> None:
    """The network of the crew is free: a run by hand reaches the server, and one of a webhook does not."""
    counting = Counting()
    async with counting.listening() as server:
        routine = await yard.routine(http("a", f"{server}/x"))
        begun = await yard.ask(routine_runs.run_routine, {"slug": routine.slug}, StartedRoutineRunJSON)
        assert (await yard.ended(begun["run_id"]))["status"] == "completed"
        webhook = await made(yard, routine)
        run = await yard.ended((await webhook.send(1))["run_id"])
        assert (run["status"], run["error_message"]) == ("failed", "the network of the crew does not permit 127.0.0.1")
        replayed = await yard.ask(routine_runs.replay_routine_run, {"id": run["id"]}, StartedRoutineRunJSON)
        assert (await yard.ended(replayed["run_id"]))["status"] == "failed"
    assert len(counting.got) == 1


@pytest.mark.parametrize("body", [b"no JSON", json.dumps({"text": "x" * 900_000}).encode()], ids=["text", "large"])
async def test_a_run_of_a_delivery_is_replayed(yard: RoutineYard, body: bytes) -> None:
    """Also one whose event is text in place of an object, or has more bytes than a caller may send."""
    routine = await yard.routine(text("a", "fine"), inputs=[{"name": "event", "type": "object"}])
    webhook = await made(yard, routine)
    run = await yard.ended((await webhook.send(body))["run_id"])
    replayed = await yard.ask(routine_runs.replay_routine_run, {"id": run["id"]}, StartedRoutineRunJSON)
    assert (await yard.ended(replayed["run_id"]))["status"] == run["status"] == "completed"
    asked = {"run_ids": [run["id"]]}
    [queued] = (await yard.ask(routine_runs.replay_routine_runs, asked))["results"]
    assert (await yard.ended(queued["new_run_id"]))["status"] == "completed"


async def test_an_agent_is_told_what_came_from_outside(yard: RoutineYard) -> None:
    agent = Agent(name="Mate", slug="mate", crew_id=yard.crew.id, workspace_id=yard.estate.workspace.id)
    await yard.estate.add(agent)
    ask = {
        "id": "a",
        "type": "agent_run",
        "agent_slug": "mate",
        "prompt": "Do {{ inputs.extra }}: {{ inputs.event.do }}",
    }
    webhook = await made(yard, await yard.routine(ask, inputs=EVENT), inputs_template={"extra": "this"})
    run_id = (await webhook.send({"do": "sail"}))["run_id"]
    async with asyncio.timeout(20):
        while (run := await yard.found("SELECT * FROM runs WHERE data ->> 'routine_run_id' = $1", run_id)) is None:
            await asyncio.sleep(0.02)
    first, shown, last = run["prompt"].split("\n")
    assert (shown, run["restricted"], first.startswith("Do this: <untrusted-")) == ("sail", True, True)
    mark = last.removeprefix("</").removesuffix(">")
    assert first == f'Do this: <{mark} source="webhook">'


async def test_a_list_shows_no_token(yard: RoutineYard) -> None:
    webhook = await hook(yard)
    rows = await yard.ask(routine_webhooks.list_routine_webhooks, {}, list[RoutineWebhookJSON])
    [shown] = [row for row in rows if row["id"] == webhook.id]
    assert (shown["token"], shown["signing_secret_set"], "signing_secret" in shown) == ("", True, False)
    assert webhook.token not in json.dumps(rows)
    assert SECRET not in json.dumps(rows)
