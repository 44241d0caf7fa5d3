"""What needs attention reaches the browsers of those who may see it: encrypted, signed, once, and nobody else's."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest

from models.people.workspaces import Role
from models.staff.runs import Run
from resolvers.attention.push import sending
from resolvers.attention.push.encryption import MOST as LARGEST
from resolvers.attention.push.encryption import encrypted, from_text, private_of
from resolvers.attention.push.sending import distribute
from resolvers.attention.push.subscriptions import FULL, MOST
from resolvers.instance.running import instance
from resolvers.kernel import across_workspaces
from resolvers.staff.runs import work
from resolvers.staff.runs.stuck import enqueue_stuck
from tests.attention.push.phone import (
    DELETE,
    LIST,
    PREPARE,
    REGISTER,
    TEST,
    Deck,
    Phone,
    Service,
    claims_of,
    register,
    subscribed,
)
from tests.attention.webhook_endpoints.test_webhook_endpoints import status
from tests.people.recovery.mailbox import delivering, idle
from tests.world import Person, World, now

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
QUICK = [timedelta(milliseconds=20)] * 30


@pytest.fixture(autouse=True)
async def _empty(world: World) -> None:
    await world.database.execute("DELETE FROM push_subscriptions")
    await world.database.execute("DELETE FROM approvals")
    await follow()


@pytest.fixture(autouse=True)
def _private() -> Any:
    allowed = instance.settings.model_copy(update={"hooks_allow_private": True})
    with mock.patch.object(instance, "_settings", allowed):
        yield


async def follow() -> None:
    while await across_workspaces(distribute):
        pass


async def until(done: Callable[[], Any], seconds: float = 40.0) -> None:
    """Followed all the while: what is not older than every running transaction waits."""
    async with asyncio.timeout(seconds):
        while True:
            await follow()
            found = done()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.02)


async def settled(world: World) -> None:
    """Waits until the follower has delivered all events to every browser."""
    last = await world.database.fetchval("SELECT max(xid::text::bigint) FROM events WHERE type LIKE 'approval.%'")

    async def told() -> bool:
        behind = "SELECT count(*) FROM push_subscriptions WHERE workspace_id = $1 AND left(position, 19)::bigint < $2"
        return await world.database.fetchval(behind, world.workspace.id, last or 0) == 0

    await until(told)
    await idle(world)


async def listed(world: World, person: Person) -> list[dict[str, Any]]:
    return (await world.graphql(person, LIST))["data"]["pushSubscriptions"]  # type: ignore[no-any-return]


def test_the_example_of_the_standard_is_reproduced() -> None:
    """RFC 8291, appendix A."""
    body = encrypted(
        b"When I grow up, I want to be a watermelon",
        from_text("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
        from_text("BTBZMqHH6r4Tts7J_aSIgg"),
        sender=private_of("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"),
        salt=from_text("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert body == from_text(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A"
        "_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


async def test_a_phone_is_told_once_of_what_its_owner_sees(world: World) -> None:
    deck, phone = await Deck(world).built(), Phone()
    service = Service(phone)
    public = (await world.graphql(world.owner, PREPARE))["data"]["preparePush"]["publicKey"]
    assert public == (await world.graphql(world.member, PREPARE))["data"]["preparePush"]["publicKey"]
    before = await deck.asks("From before")
    async with subscribed(world, world.owner, service), delivering(world):
        entry = await deck.asks("May I pull?\npassword=Xk29vLq83mZpQ77")
        await until(lambda: service.got)
        await deck.happens("approval.created", entry.partition(":")[2])  # the same once more
        await settled(world)
        (one,) = await listed(world, world.owner)
    (message,) = service.messages
    headers, body, _ = service.got[0]
    assert message["title"] == "Approval needed"
    assert (message["tag"], message["urgent"]) == (entry, True)
    assert message["body"].splitlines()[1] == f"Ada · Deck · {world.workspace.name}"
    assert "Xk29vLq83mZpQ77" not in message["body"]
    assert message["url"] == f"/console/{world.workspace.slug}/act/approval/{entry.partition(':')[2]}"
    assert before not in message["tag"]
    assert headers["content-encoding"] == "aes128gcm"
    assert len(body) <= LARGEST
    assert (headers["urgency"], headers["ttl"], len(headers["topic"])) == ("high", "86400", 32)
    claims = claims_of(headers, public)
    assert claims["aud"].startswith("http://127.0.0.1:")
    assert claims["sub"]
    assert one["failures"] == 0
    assert one["lastSuccessAt"] is not None


async def test_one_who_does_not_see_an_entry_is_not_told(world: World) -> None:
    """The list itself is asked: a member sees no approval of a tool here exactly if the list shows none."""
    deck = await Deck(world).built()
    own, theirs, elsewhere = Service(Phone()), Service(Phone()), Service(Phone())
    async with elsewhere.listening() as url:
        await world.graphql(world.outsider, PREPARE)
        given = {"input": {"endpoint": url, "label": "Theirs", **elsewhere.phone.keys}, "ws": world.other.id}
        assert "errors" not in await world.graphql(world.outsider, REGISTER, given)
        async with subscribed(world, world.owner, own), subscribed(world, world.viewer, theirs), delivering(world):
            entry = await deck.asks()
            await until(lambda: own.got)
            await settled(world)
    seen = await world.graphql(world.viewer, "query($ws: ID) { attention(workspaceId: $ws) { nodes { id } } }")
    shown = entry in {node["id"] for node in seen["data"]["attention"]["nodes"]}
    assert [message["tag"] for message in theirs.messages] == ([entry] if shown else [])
    assert elsewhere.got == []


async def test_a_decided_entry_is_not_sent_and_comes_again_when_it_is_asked_anew(world: World) -> None:
    deck, service = await Deck(world).built(), Service(Phone())
    async with subscribed(world, world.owner, service):
        entry = await deck.asks()
        await deck.decides(entry)
        async with delivering(world):
            await settled(world)
            assert service.got == []
            other = await deck.asks("Another")
            await until(lambda: service.got)
    assert [message["tag"] for message in service.messages] == [other]


async def test_a_stuck_run_is_told_until_a_worker_takes_it(world: World) -> None:
    """It is stuck by time alone, and a clock says so; one that is taken again before it is sent is not told."""
    deck, service = await Deck(world).built(), Service(Phone())
    late, taken = (
        Run(agent_id=deck.agent.id, prompt=prompt, created_at=now() - timedelta(minutes=11), **deck.here)
        for prompt in ("Sail to Ithaca", "Row home")
    )
    await world.add(late, taken)
    with mock.patch.object(work, "claim", mock.AsyncMock(return_value=[])):
        async with subscribed(world, world.owner, service, kinds=["stuck_run"]):
            await across_workspaces(enqueue_stuck)
            held = "UPDATE runs SET lease = 1, leased_until = now() + interval '30 s' WHERE id = $1"
            await world.database.execute(held, taken.id)
            async with delivering(world):
                await until(lambda: service.got)
                await across_workspaces(enqueue_stuck)
                await settled(world)
    await world.database.execute("DELETE FROM runs WHERE id = ANY ($1)", [late.id, taken.id])
    (message,) = service.messages
    assert (message["title"], message["tag"]) == ("A run is stuck", f"stuck_run:{late.id}")
    assert message["body"].splitlines()[0] == "Sail to Ithaca"
    assert message["url"] == f"/console/{world.workspace.slug}/act/stuck_run/{late.id}"


async def test_kinds_that_were_not_chosen_are_not_told(world: World) -> None:
    deck, service = await Deck(world).built(), Service(Phone())
    async with subscribed(world, world.owner, service, kinds=["question"]), delivering(world):
        await deck.asks()
        await settled(world)
    assert service.got == []


async def test_a_busy_service_is_asked_again_when_it_says(world: World) -> None:
    deck = await Deck(world).built()
    answers = [status(500), status(429, "retry-after: 1"), status(201)]
    service = Service(Phone(), lambda number: answers[min(number, 2)])
    with mock.patch.object(sending, "PAUSES", QUICK):
        async with subscribed(world, world.owner, service), delivering(world):
            await deck.asks()
            await until(lambda: len(service.got) == 2)
            began = asyncio.get_running_loop().time()
            await until(lambda: len(service.got) == 3)
            assert asyncio.get_running_loop().time() - began > 0.9
            await settled(world)
            (one,) = await listed(world, world.owner)
    assert len({message["tag"] for message in service.messages}) == 1
    assert (len(service.got), one["failures"], one["lastError"]) == (3, 0, None)


@pytest.mark.parametrize("gone", [404, 410])
async def test_a_subscription_that_is_gone_is_removed(world: World, gone: int) -> None:
    deck, service = await Deck(world).built(), Service(Phone(), lambda _: status(gone))
    async with subscribed(world, world.owner, service), delivering(world):
        await deck.asks()

        async def removed() -> bool:
            return await world.database.fetchval("SELECT count(*) FROM push_subscriptions") == 0

        await until(removed)
    assert len(service.got) == 1


async def test_a_redirect_is_not_followed_and_a_refusal_is_not_repeated(world: World) -> None:
    deck, elsewhere = await Deck(world).built(), Service(Phone())
    async with elsewhere.listening() as other:
        service = Service(Phone(), lambda _: status(307, f"location: {other}"))
        async with subscribed(world, world.owner, service), delivering(world):
            await deck.asks()
            await until(lambda: service.got)
            await settled(world)
            (one,) = await listed(world, world.owner)
    assert (elsewhere.got, len(service.got)) == ([], 1)
    assert (one["failures"], one["lastError"]) == (1, "The push service answers 307")


async def test_private_addresses_are_refused_now_and_when_a_push_is_sent(world: World) -> None:
    deck, service = await Deck(world).built(), Service(Phone())
    public = instance.settings.model_copy(update={"hooks_allow_private": False})
    async with subscribed(world, world.owner, service):
        with mock.patch.object(instance, "_settings", public):
            for address in (
                "https://127.0.0.1/x",
                "https://10.1.2.3/x",
                "https://[::1]/x",
                "http://push.example.com/x",
            ):
                given = {"input": {"endpoint": address, "label": "Phone", **service.phone.keys}}
                (error,) = (await world.graphql(world.owner, REGISTER, given))["errors"]
                assert error["extensions"]["code"] == "BAD_REQUEST"
            async with delivering(world):
                await deck.asks()

                async def tried() -> bool:
                    return bool((await listed(world, world.owner))[0]["failures"])

                await until(tried)
                (one,) = await listed(world, world.owner)
    assert service.got == []
    assert one["lastError"] == "The host has a private address, which may not be called"


@pytest.mark.parametrize("how", ["removed", "revoked", "erased"])
async def test_a_subscription_ends_with_the_access_of_its_owner(world: World, how: str) -> None:
    deck, service = await Deck(world).built(), Service(Phone())
    person = await world.person(f"leaver {how}", Role.MANAGER)
    async with subscribed(world, person, service):
        sql = {
            "removed": "DELETE FROM memberships WHERE user_id = $1",
            "revoked": "UPDATE cli_tokens SET revoked_at = now() WHERE user_id = $1",
            "erased": "DELETE FROM users WHERE id = $1",
        }[how]

        async def gone() -> bool:
            return await world.database.fetchval("SELECT count(*) FROM push_subscriptions") == 0

        await deck.asks("While it was there")
        await world.database.execute(sql, person.user_id)
        async with delivering(world):
            await deck.asks()
            await until(gone)
            await idle(world)
    assert service.got == []


async def test_a_person_has_a_bounded_number_and_no_one_elses(world: World) -> None:
    first = await register(world, world.owner, Phone(), "http://127.0.0.1:9/0", "0")
    again = await register(world, world.owner, Phone(), "http://127.0.0.1:9/0", "Mine")
    assert (again["id"], again["label"]) == (first["id"], "Mine")
    for number in range(1, MOST):
        await register(world, world.owner, Phone(), f"http://127.0.0.1:9/{number}", str(number))
    given = {"input": {"endpoint": "http://127.0.0.1:9/more", "label": "More", **Phone().keys}}
    (error,) = (await world.graphql(world.owner, REGISTER, given))["errors"]
    assert error["message"] == FULL
    theirs = await register(world, world.member, Phone(), "http://127.0.0.1:9/0", "Theirs")  # the same browser
    assert len(await listed(world, world.owner)) == MOST - 1
    assert [one["id"] for one in await listed(world, world.member)] == [theirs["id"]]
    for operation in (DELETE, TEST):
        (error,) = (await world.graphql(world.owner, operation, {"id": theirs["id"]}))["errors"]
        assert error["extensions"]["code"] == "NOT_FOUND"


async def test_bad_keys_are_faults_of_their_fields(world: World) -> None:
    good = {"endpoint": "https://push.example.com/x", "label": "Phone", **Phone().keys}
    for field, values in {
        "p256dh": ("", "AAAA", "é" * 80, "B" * 87),
        "auth": ("", "AAAA", "!" * 22, "A" * 44),
        "endpoint": (
            "",
            "ftp://x",
            "https://",
            "https://user@push.example.com/",
            "https://push.example.com:99999/",
            "x" * 2000,
        ),
        "label": ("", " ", "x" * 101),
    }.items():
        for value in values:
            answer = await world.graphql(world.owner, REGISTER, {"input": good | {field: value}})
            (error,) = answer["errors"]
            assert error["extensions"]["code"] == "BAD_REQUEST", (field, value)
            assert field in str(error["extensions"]), (field, value, error)


async def test_a_test_push_arrives_and_secrets_are_sealed(world: World) -> None:
    service = Service(Phone())
    async with subscribed(world, world.member, service) as one, delivering(world):
        assert (await world.graphql(world.member, TEST, {"id": one["id"]}))["data"]["testPush"]["success"]
        await until(lambda: service.got)
    assert service.messages[0]["title"] == "Notifications work"
    row = await world.database.fetchrow("SELECT s.*, k.private FROM push_subscriptions s, push_keys k")
    assert service.phone.secret not in row["auth"]
    events = await world.database.fetch("SELECT payload::text FROM events WHERE type LIKE 'push%'")
    audits = await world.database.fetch("SELECT to_jsonb(a)::text FROM audit_logs a WHERE action LIKE 'push%'")
    assert audits
    for secret in (*service.phone.keys.values(), "/hook"):
        assert not [row for row in (*events, *audits) if secret in row[0]]


async def test_nobody_subscribed_costs_no_statement(world: World) -> None:
    """The clock does not tick: its condition is false without a subscription, and true with one."""
    deck = await Deck(world).built()
    await deck.asks()
    sql = f"SELECT {sending.FOLLOW.when}"
    assert await world.database.fetchval(sql) is False
    await register(world, world.owner, Phone(), "http://127.0.0.1:9/0")
    await deck.asks()
    assert await world.database.fetchval(sql) is True
