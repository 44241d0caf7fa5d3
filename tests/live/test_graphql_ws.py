"""graphql-transport-ws on /graphql: every message of the protocol, in and out of turn, and every way in."""

import asyncio
import json
import time
from typing import Any

import pytest
from prometheus_client import REGISTRY
from websockets.exceptions import ConnectionClosed

from crewship.perimeter.websocket import ROOM
from models.people.workspaces import Membership, Role
from resolvers.kernel.declarations.events import address_of
from resolvers.kernel.store.bus import Topic, bus
from resolvers.live import Delivered, attendance, hub
from schema.bridge.endpoint import Endpoint
from schema.live import transport_ws
from tests.every import each_of
from tests.fuzz.test_hostile_graphql import REFUSED
from tests.live.graphql import CREWS, INIT, VIEWER, crews_made, email_of, own, socket, talking
from tests.live.outlets import until
from tests.live.sockets import client_of, ticket
from tests.people.auth.browsers import signed_in
from tests.world import World

pytestmark = pytest.mark.anyio


# ---- operations ------------------------------------------------------------------------------------------------------


async def test_a_query_is_answered_once_and_is_complete(world: World) -> None:
    async with talking(world, world.viewer) as talk:
        await talk.subscribe(
            "q", "query($ws: ID) { labels(workspaceId: $ws) { id } __typename }", ws=world.workspace.id
        )
        over_http = await world.graphql(world.viewer, "query($ws: ID) { labels(workspaceId: $ws) { id } __typename }")
        assert await talk.hear() == {"id": "q", "type": "next", "payload": over_http}
        assert await talk.hear() == {"id": "q", "type": "complete"}
        assert await email_of(talk) == world.viewer.email


async def test_a_mutation_writes_and_its_event_comes_to_who_listens(world: World) -> None:
    async with talking(world, world.owner) as talk:
        await talk.listen("s", CREWS, ws=world.workspace.id)
        made = 'mutation($ws: ID) { createCrew(workspaceId: $ws, input: {name: "Sailors", slug: "sailors"}) { id } }'
        await talk.subscribe("m", made, ws=world.workspace.id)
        heard = {message["id"] + message["type"]: message for message in [await talk.hear() for _ in range(3)]}
        assert heard["mnext"]["payload"]["data"]["createCrew"]["id"]
        assert heard["mcomplete"]
        shown = heard["snext"]["payload"]["data"]["workspaceEvents"]
        assert (shown["__typename"], shown["name"]) == ("CrewCreatedEvent", "Sailors")


async def test_a_refused_field_is_an_answer_and_a_bad_document_an_error(world: World) -> None:
    async with talking(world, world.viewer) as talk:
        await talk.subscribe(
            "m", 'mutation { createLabel(workspaceId: "workspace", input: {name: "a", color: "#000000"}) { id } }'
        )
        answer = await talk.hear()
        assert answer["type"] == "next"
        assert answer["payload"]["data"] == {"createLabel": None}
        assert answer["payload"]["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        assert await talk.hear() == {"id": "m", "type": "complete"}
        for query, variables, text in (
            ("{ viewer {", {}, "Syntax Error"),
            ("{ nothing }", {}, "Cannot query field 'nothing'"),
            ("query($id: ID!) { crew(id: $id) { id } }", {}, "$id"),
            ("subscription { nothing }", {}, "Cannot query field 'nothing'"),
            ("subscription { workspaceEvents { cursor } }", {}, "Cannot query field 'cursor'"),
            (
                "subscription { workspaceEvents { __typename } userEvents { __typename } }",
                {},
                "must select only one top level field",
            ),
            ("subscription { __typename }", {}, "introspection"),
            ("subscription { crewEvents { __typename } }", {}, "crewId"),
            ("subscription($id: ID!) { crewEvents(crewId: $id) { __typename } }", {}, "$id"),
            ("subscription($id: ID!) { crewEvents(crewId: $id) { __typename } }", {"id": None}, "$id"),
            (
                "subscription($a: Boolean! = true) { workspaceEvents { ... on Event @include(if: $a) { cursor } } }",
                {"a": None},
                "$a",
            ),
            (
                "subscription($a: Boolean!) { workspaceEvents @include(if: $a) { __typename } }",
                {"a": False},
                "must not use",
            ),
            ("subscription { a: workspaceEvents { " + "__typename " * 30 + "} }", {}, "at most 20"),
        ):
            await talk.subscribe("e", query, **variables)
            answer = await talk.hear()
            assert (answer["type"], answer["id"]) == ("error", "e")
            assert text in answer["payload"][0]["message"], answer
            assert answer["payload"][0]["extensions"]["code"] == "BAD_REQUEST"
        assert await talk.silent()  # an error is the end: nothing else is said of that operation


@each_of(
    ("query", "code"),
    [
        ("subscription($other: ID) { workspaceEvents(workspaceId: $other) { __typename } }", "FORBIDDEN"),
        ('subscription { workspaceEvents(workspaceId: "other") { __typename } }', "FORBIDDEN"),
        ('subscription { keeperEvents(workspaceId: "nowhere") { __typename } }', "FORBIDDEN"),
        ("subscription { workspaceEvents { __typename } }", "BAD_REQUEST"),
        ('subscription { crewEvents(crewId: "nothing") { __typename } }', "NOT_FOUND"),
        ('subscription { chatEvents(chatId: "") { __typename } }', "NOT_FOUND"),
        ('subscription { missionEvents(missionId: "a\\u0000b") { __typename } }', "NOT_FOUND"),
    ],
)
async def test_who_may_not_listen_is_told_and_hears_nothing(world: World, query: str, code: str) -> None:
    async with talking(world, world.owner) as talk:
        await talk.subscribe("s", query, **({"other": world.other.id} if "$other" in query else {}))
        answer = await talk.hear()
        assert (answer["type"], answer["id"], answer["payload"][0]["extensions"]["code"]) == ("error", "s", code)
        await talk.listen("s", CREWS, ws=world.workspace.slug)  # the id is free again
    await until(lambda: hub.channels == {})


async def test_every_field_opens_its_channel(world: World) -> None:
    world_rows = await world.graphql(
        world.owner,
        'mutation($ws: ID) { createCrew(workspaceId: $ws, input: {name: "Of fields", slug: "of-fields"}) { id } }',
    )
    crew = world_rows["data"]["createCrew"]["id"]
    fields = {
        "workspaceEvents(workspaceId: $ws)": f"workspace:{world.workspace.id}",
        "keeperEvents(workspaceId: $ws)": f"keeper:{world.workspace.id}",
        "crewEvents(crewId: $crew)": f"crew:{crew}",
        "fileEvents(crewId: $crew)": f"files:{crew}",
        "userEvents": f"user:{world.owner.user_id}",
        "providerEvents": "providers",
    }
    async with talking(world, world.owner) as talk:
        for number, field in enumerate(fields):
            document = f"subscription({'$ws: ID' if '$ws' in field else '$crew: ID!'}) {{ {field} {{ __typename }} }}"
            if "$" not in field:
                document = f"subscription {{ {field} {{ __typename }} }}"
            await talk.listen(str(number), document, ws=world.workspace.id, crew=crew)
        assert set(hub.channels) == {address_of(name, world.workspace.id) for name in fields.values()}
    await until(lambda: hub.channels == {})


async def test_a_client_ends_its_subscription(world: World) -> None:
    async with talking(world, world.owner) as talk:
        await talk.listen("s", CREWS, ws=world.workspace.id)
        await talk.listen("t", CREWS, ws=world.workspace.id)
        await talk.say({"id": "s", "type": "complete"})
        await talk.say({"id": "unknown", "type": "complete"})
        await until(lambda: hub.listeners() == 1)
        await crews_made(world, 1)
        assert (await talk.next("t"))["workspaceEvents"]["name"] == "1"
        assert await talk.silent()
        await talk.listen("s", CREWS, ws=world.workspace.id)  # and may use its name again


async def test_what_is_ended_at_once_is_not_heard_of(world: World) -> None:
    async with talking(world, world.owner) as talk:
        for _ in range(20):
            await talk.subscribe("s", CREWS, ws=world.workspace.id)
            await talk.say({"id": "s", "type": "complete"})
            await talk.subscribe("q", VIEWER)
            await talk.say({"id": "q", "type": "complete"})
        await talk.subscribe("last", VIEWER)
        while (message := await talk.hear()) != {"id": "last", "type": "complete"}:
            assert message["id"] in ("q", "last")  # a query may have been answered before it was ended
        assert hub.channels == {}


async def test_a_subscription_is_open_when_the_next_message_is_answered(world: World) -> None:
    async with talking(world, world.owner) as talk:
        for number in range(10):
            await talk.subscribe(str(number), CREWS, ws=world.workspace.slug)
            await talk.say({"type": "ping"})
            assert await talk.hear() == {"type": "pong"}
            assert hub.listeners() == number + 1


async def test_one_operation_too_many_has_to_wait_for_another_to_end(world: World) -> None:
    async with talking(world, world.owner) as talk:
        for number in range(transport_ws.MOST):
            await talk.subscribe(str(number), CREWS, ws=world.workspace.id)
        await until(lambda: hub.listeners() == transport_ws.MOST)
        await talk.subscribe("more", CREWS, ws=world.workspace.id)
        answer = await talk.hear()
        assert (answer["type"], answer["id"], answer["payload"][0]["extensions"]["code"]) == (
            "error",
            "more",
            "BAD_REQUEST",
        )
        await talk.say({"id": "0", "type": "complete"})
        assert await email_of(talk) == world.owner.email
        await crews_made(world, 1)
        heard = [await talk.hear() for _ in range(transport_ws.MOST - 1)]
        assert {message["id"] for message in heard} == {str(n) for n in range(1, transport_ws.MOST)}
        assert len({json.dumps(message["payload"]) for message in heard}) == 1


async def test_many_queries_at_once_are_all_answered(world: World) -> None:
    async with talking(world, world.owner) as talk:
        for number in range(60):
            await talk.subscribe(str(number), VIEWER)
        heard = [await talk.hear() for _ in range(120)]
    for number in range(60):
        assert [message["type"] for message in heard if message["id"] == str(number)] == ["next", "complete"]


# ---- the protocol ----------------------------------------------------------------------------------------------------


async def test_pings_are_answered_at_any_time(world: World) -> None:
    async with socket(world) as talk:
        await talk.say({"type": "ping"})
        assert await talk.hear() == {"type": "pong"}
        await talk.begin(authorization=f"Bearer {world.owner.token}")
        await talk.say({"type": "ping", "payload": {"at": 1}})
        assert await talk.hear() == {"type": "pong", "payload": {"at": 1}}
        await talk.say({"type": "pong"})
        await talk.say({"type": "pong", "payload": {"a": "b"}})
        assert await email_of(talk) == world.owner.email


SUBSCRIBE = {"id": "1", "type": "subscribe", "payload": {"query": VIEWER}}
INVALID: list[Any] = [
    "", "{", "null", "1", '"ping"', "[]", "{}", b"binary", '{"type": 1}', '{"type": "hello"}', '{"type": null}',
    "[" * 100_000,
    '{"type":"ping","payload":"\\ud800"}',
    {"type": "connection_init", "payload": []}, {"type": "ping", "payload": "x"}, {"type": "pong", "payload": 1},
    {"type": "next", "id": "1", "payload": {}},
    {"type": "connection_ack"}, {"type": "complete"}, {"type": "complete", "id": 1}, {"type": "complete", "id": ""},
    {"type": "subscribe"},
    SUBSCRIBE | {"id": 1}, SUBSCRIBE | {"id": ""}, SUBSCRIBE | {"id": "x" * 129}, SUBSCRIBE | {"payload": None},
    SUBSCRIBE | {"payload": []},
    SUBSCRIBE | {"payload": {}}, SUBSCRIBE | {"payload": {"query": 1}},
    SUBSCRIBE | {"payload": {"query": VIEWER, "variables": []}},
    SUBSCRIBE | {"payload": {"query": VIEWER, "operationName": 1}},
    SUBSCRIBE | {"payload": {"query": VIEWER, "extensions": "x"}},
]  # fmt: skip


@pytest.mark.parametrize("known", [True, False])
async def test_what_is_no_message_ends_the_socket(world: World, known: bool) -> None:
    for message in INVALID:
        async with socket(world) as talk:
            if known:
                await talk.begin(authorization=f"Bearer {world.owner.token}")
            await talk.say(message)
            code, reason = await talk.closed()
            assert code == 4400, message
            assert reason
    assert attendance.connections == {}


async def test_a_message_that_is_too_long_ends_the_socket(world: World) -> None:
    async with talking(world, world.owner) as talk:
        await talk.say({"type": "ping", "payload": {"a": "x" * 1024 * 1024}})
        assert (await talk.closed())[0] == 1009


async def test_operations_need_an_introduction(world: World) -> None:
    async with socket(world) as talk:
        await talk.say(SUBSCRIBE)
        assert await talk.closed() == (4401, "Unauthorized")


async def test_one_introduction_is_enough(world: World) -> None:
    async with talking(world, world.owner) as talk:
        await talk.say(INIT)
        assert await talk.closed() == (4429, "Too many initialisation requests")
    async with socket(world) as talk:
        await talk.say(INIT | {"payload": {"authorization": f"Bearer {world.owner.token}"}})
        await talk.say(INIT)
        assert (await talk.closed())[0] == 4429


async def test_an_id_names_one_operation(world: World) -> None:
    async with talking(world, world.owner) as talk:
        await talk.listen("same", CREWS, ws=world.workspace.id)
        await talk.subscribe("same", VIEWER)
        assert await talk.closed() == (4409, "Subscriber for same already exists")
    await until(lambda: hub.channels == {})


@pytest.mark.slow
async def test_who_does_not_introduce_himself_in_time_is_sent_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_ws, "INTRODUCTION", 0.2)
    async with socket(world) as talk:
        await talk.say({"type": "ping"})
        assert await talk.hear() == {"type": "pong"}
        assert await talk.closed() == (4408, "Connection initialisation timeout")
    async with talking(world, world.owner) as talk:
        await asyncio.sleep(0.4)
        assert await email_of(talk) == world.owner.email


@pytest.mark.parametrize("subprotocols", [(), ("graphql-ws",), ("a", "b")])
async def test_another_subprotocol_is_not_spoken(world: World, subprotocols: tuple[str, ...]) -> None:
    async with socket(world, subprotocols=subprotocols) as talk:
        assert talk.socket.subprotocol is None
        assert await talk.closed() == (4406, "Subprotocol not acceptable")


async def test_open_sockets_are_counted_apart_from_those_of_ws(world: World) -> None:
    def counted(name: str) -> float | None:
        return REGISTRY.get_sample_value(name)

    await until(lambda: counted("crewship_graphql_sockets") == 0)
    async with talking(world, world.owner) as one, client_of(world, world.viewer) as rest:
        await rest.settle()
        async with socket(world):
            await until(lambda: counted("crewship_graphql_sockets") == 2)
            assert counted("crewshipd_ws_connections") == 1
        await until(lambda: counted("crewship_graphql_sockets") == 1)
        async with socket(world, subprotocols=("graphql-ws",)) as other:
            await other.closed()
        assert await email_of(one) == world.owner.email
        assert counted("crewship_graphql_sockets") == 1
    await until(lambda: counted("crewship_graphql_sockets") == 0)


async def test_the_subprotocol_is_chosen_among_others(world: World) -> None:
    async with socket(world, subprotocols=("graphql-ws", "graphql-transport-ws")) as talk:
        assert talk.socket.subprotocol == "graphql-transport-ws"


# ---- the end of a right ----------------------------------------------------------------------------------------------


async def test_a_right_that_ends_completes_what_it_opened(world: World) -> None:
    leaver = await world.person("graphql-leaver", None)
    await world.add(Membership(workspace_id=world.workspace.id, user_id=leaver.user_id, role=Role.MEMBER))
    async with talking(world, leaver) as talk, talking(world, world.owner) as other:
        await talk.listen("s", CREWS, ws=world.workspace.id)
        await talk.listen("p", "subscription { providerEvents { __typename } }")
        await other.listen("s", CREWS, ws=world.workspace.id)
        await world.database.execute("DELETE FROM memberships WHERE user_id = $1", leaver.user_id)
        bus.ring(Topic.access, leaver.user_id)
        said = await talk.hear()
        assert (said["type"], said["id"], said["payload"]["errors"][0]["extensions"]["code"]) == (
            "next",
            "s",
            "FORBIDDEN",
        )
        assert await talk.hear() == {"id": "s", "type": "complete"}
        await crews_made(world, 1)
        assert await other.next("s")
        assert await email_of(talk) == leaver.email  # the socket goes on
        await talk.subscribe("s", CREWS, ws=world.workspace.id)
        assert (await talk.hear())["payload"][0]["extensions"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize("listening", [True, False])
async def test_a_session_that_ends_ends_the_socket(world: World, listening: bool) -> None:
    browser, user = await signed_in(world)
    async with socket(world) as talk:
        await talk.begin(token=await ticket(world, browser))
        if listening:
            await talk.listen("u", "subscription { userEvents { __typename } }")
        await world.database.execute("UPDATE sessions SET revoked_at = now() WHERE user_id = $1", user.id)
        bus.ring(Topic.access, user.id)
        assert await talk.closed() == (4401, "session_revoked")
    assert attendance.connections == {}
    assert hub.channels == {}


# ---- bounds ----------------------------------------------------------------------------------------------------------


async def test_queries_of_a_socket_run_eight_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    execute, running, most = Endpoint.execute, 0, 0

    async def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return await execute(*arguments, **options)

    monkeypatch.setattr(Endpoint, "execute", counted)
    async with talking(world, world.owner) as talk:
        for number in range(30):
            await talk.subscribe(str(number), VIEWER)
        for _ in range(60):
            await talk.hear()
    assert most == transport_ws.AT_WORK


async def test_who_asks_and_does_not_read_is_not_heard_for_long(world: World) -> None:
    async with talking(world, world.owner) as talk:
        [connection] = attendance.connections
        transport = connection._outlet._protocol.transport  # type: ignore[attr-defined]
        talk.socket.transport.pause_reading()

        async def flood() -> None:
            for _ in range(1600):
                await talk.say({"type": "ping", "payload": {"a": "x" * 15_000}})

        flooding = asyncio.create_task(flood())
        await until(lambda: connection._outlet.congested)
        await asyncio.sleep(0.3)
        assert transport.get_write_buffer_size() < ROOM + 200_000
        assert not flooding.done()
        talk.socket.transport.resume_reading()
        for _ in range(1600):
            assert (await talk.hear())["type"] == "pong"
        await flooding


async def test_nothing_is_shown_once_the_session_has_ended(world: World) -> None:
    async with talking(world, world.owner) as talk:
        await talk.listen("s", CREWS, ws=world.workspace.id)
        [connection] = attendance.connections
        connection._line.revoked()
        hub._dispatch(Delivered(own(world), "crew.created", b'{"id": "c", "name": "n", "slug": "s"}', 2**40, 1))
        with pytest.raises(ConnectionClosed):
            await talk.hear()
        assert talk.socket.close_code == 4401


async def test_an_idempotency_key_of_the_upgrade_is_no_operations(world: World) -> None:
    made = (
        "mutation($name: String!) {"
        ' createLabel(workspaceId: "workspace", input: {name: $name, color: "#000000"}) { name } }'
    )
    async with socket(world, **{"idempotency-key": "one"}) as talk:
        await talk.begin(authorization=f"Bearer {world.owner.token}")
        for name in ("first of a socket", "second of a socket"):
            await talk.subscribe("m", made, name=name)
            assert await talk.next("m") == {"createLabel": {"name": name}}
            assert (await talk.hear())["type"] == "complete"


# ---- hostile documents -----------------------------------------------------------------------------------------------

UNION = 'subscription { workspaceEvents(workspaceId: "workspace") { %s } }'
HOSTILE = REFUSED | {
    "a bomb in a union": (UNION % "...A0 ")
    + " ".join(f"fragment A{n} on Event {{ ...A{n + 1} ...A{n + 1} }}" for n in range(60))
    + " fragment A60 on Event { cursor }",
    "a cycle in a union": (UNION % "...A ") + "fragment A on Event { ...A }",
    "types that are none": UNION % " ".join(f"... on T{n} {{ id }}" for n in range(400)),
    "repeats": UNION % ("... on CrewCreatedEvent { name } " * 30),
    "a member of another union": UNION % "... on RunBegin { seq }",
    "members that do not meet": UNION % "... on CrewCreatedEvent { ... on AgentCreatedEvent { name } }",
    "nothing": UNION % "",
    "a selection of a leaf": UNION % "... on CrewCreatedEvent { name { id } }",
    "deferred": UNION % "... @defer { __typename }",
    "many": "subscription { " + " ".join(f"a{n}: workspaceEvents {{ __typename }}" for n in range(20)) + " }",
    "a directive that decides nothing": UNION % "__typename @include(if: null)",
    "types in another place": UNION % "... on Query { viewer { id } }",
}  # fmt: skip


async def test_no_document_breaks_a_socket(world: World) -> None:
    before = await world.snapshot()
    async with talking(world, world.owner) as talk:
        for name, query in HOSTILE.items():
            started = time.monotonic()
            await talk.subscribe("h", query)
            answer = await talk.hear()
            assert time.monotonic() - started < 5, name
            assert answer["type"] == "error" or set(answer["payload"]["data"].values()) == {None}, name
            faults = answer["payload"] if answer["type"] == "error" else answer["payload"]["errors"]
            assert all(fault["extensions"]["code"] != "INTERNAL" for fault in faults), (name, faults)
            if answer["type"] == "next":
                assert await talk.hear() == {"id": "h", "type": "complete"}
        assert await email_of(talk) == world.owner.email
    assert await world.snapshot() == before
    assert hub.channels == {}
