"""Subscriptions over HTTP: parts and server-sent events, how they begin, go on and end."""

import asyncio
import json
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2
import pytest

from models.people.workspaces import Membership, Role
from resolvers.kernel.store.bus import Topic, bus
from resolvers.live import attendance, hub
from schema.bridge.endpoint import Endpoint, Executed
from schema.live import outlet
from tests.every import each_of
from tests.fuzz.sockets import request
from tests.live.graphql import CREWS, Streamed, announce, crews_made, events_of, own, streaming
from tests.live.outlets import until
from tests.live.sockets import ticket
from tests.people.auth.browsers import signed_in
from tests.world import Person, World

pytestmark = pytest.mark.anyio

both = pytest.mark.parametrize("how", ["sse", "multipart"])
PARTS = "multipart/mixed;subscriptionSpec=1.0"


async def nobody_listens() -> None:
    await until(lambda: hub.channels == {} and attendance.connections == {})


# ---- what is sent ----------------------------------------------------------------------------------------------------


@both
async def test_events_come_as_they_happen(world: World, how: str) -> None:
    async with streaming(world, world.viewer, CREWS, {"ws": world.workspace.slug}, how=how) as stream:
        headers = stream.response.headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-accel-buffering"] == "no"
        assert (
            headers["content-type"]
            == {"sse": "text/event-stream", "multipart": 'multipart/mixed;boundary="graphql";subscriptionSpec=1.0'}[how]
        )
        for name in ("one", "two ☃\n"):
            await crews_made(world, name)
            assert (await stream.next())["workspaceEvents"]["name"] == name
    await nobody_listens()


async def test_the_bytes_of_server_sent_events(world: World) -> None:
    document = "subscription($ws: ID) { workspaceEvents(workspaceId: $ws) { ... on CrewCreatedEvent { name } } }"
    async with (
        world.client(world.owner) as client,
        client.stream(
            "POST", "/graphql/stream", json={"query": document, "variables": {"ws": world.workspace.id}}
        ) as response,
    ):
        texts = response.aiter_text()
        first = await anext(texts)
        assert first.startswith("id: ")
        await crews_made(world, "a")
        second = await anext(texts)
    cursor = second.split("\n")[1].removeprefix("id: ")
    assert first != f"id: {cursor}\n\n"
    assert second == f'event: next\nid: {cursor}\ndata: {{"data":{{"workspaceEvents":{{"name":"a"}}}}}}\n\n'


async def test_the_bytes_of_parts(world: World) -> None:
    body = {"query": "subscription { workspaceEvents { ... on CrewCreatedEvent { name } } }"}
    headers = {"accept": PARTS, "x-workspace-id": world.workspace.id}
    async with (
        world.client(world.owner) as client,
        client.stream("POST", "/graphql", json=body, headers=headers) as response,
    ):
        texts = response.aiter_text()
        assert await anext(texts) == "--graphql"
        await crews_made(world, "a")
        part = (
            "\r\ncontent-type: application/json\r\n\r\n"
            '{"payload":{"data":{"workspaceEvents":{"name":"a"}}}}\r\n--graphql'
        )
        assert await anext(texts) == part


@both
async def test_silence_is_filled(world: World, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "EVERY", 0.05)
    async with streaming(world, world.owner, CREWS, {"ws": world.workspace.id}, how=how) as stream:
        signs = [await anext(stream.items) for _ in range(3)]
        assert all(sign.comment for sign in signs)
        await crews_made(world, "after")
        assert (await stream.next())["workspaceEvents"]["name"] == "after"
    await nobody_listens()
    assert outlet.heart._timer is None


async def test_a_client_that_takes_parts_is_answered_queries_as_ever(world: World) -> None:
    apollo = (
        "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,"
        "application/graphql-response+json;q=0.9,application/json;q=0.8"
    )
    async with world.client(world.owner) as client:
        for query in (
            "{ viewer { email } }",
            'mutation { revokeCliToken(input: {id: "x"}) { status } }',
            "{ nothing }",
            "subscription { nothing }",
        ):
            usual = await client.post("/graphql", json={"query": query}, headers={"accept": apollo.partition(",")[2]})
            answer = await client.post("/graphql", json={"query": query}, headers={"accept": apollo})
            assert (answer.status_code, answer.headers["content-type"], answer.text) == (
                usual.status_code,
                usual.headers["content-type"],
                usual.text,
            )
        only = await client.post("/graphql", json={"query": "{ viewer { email } }"}, headers={"accept": PARTS})
        assert only.status_code == 406
        by_get = await client.get("/graphql", params={"query": "{ viewer { email } }"}, headers={"accept": apollo})
        assert by_get.json()["data"] == {"viewer": {"email": world.owner.email}}


async def test_a_client_that_takes_no_stream_is_told_of_those_there_are(world: World) -> None:
    answer = await world.graphql(world.owner, CREWS)
    assert answer == {"errors": [{"message": answer["errors"][0]["message"], "extensions": {"code": "BAD_REQUEST"}}]}
    for way in ("WebSocket", "multipart/mixed;subscriptionSpec=1.0", "/graphql/stream"):
        assert way in answer["errors"][0]["message"]


async def test_a_media_type_of_no_use_is_refused(world: World) -> None:
    async with world.client(world.owner) as client:
        for accept in ("text/plain", "application/json-seq", "image/png"):
            answer = await client.post("/graphql", json={"query": "{ __typename }"}, headers={"accept": accept})
            assert answer.status_code == 406
            assert answer.json()["errors"]
        answer = await client.post(
            "/graphql/stream", json={"query": "{ __typename }"}, headers={"accept": "application/json"}
        )
        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (406, "BAD_REQUEST")


async def test_queries_and_mutations_are_streams_of_one_answer(world: World) -> None:
    lists = '{ workspace(slug: "workspace") { members { id user { email } } labels { name } } }'
    for query in (lists, "{ viewer { memberships { id role } } __schema { queryType { name } } }"):
        over_http = await world.graphql(world.owner, query)
        async with streaming(world, world.owner, query) as stream:
            heard = await stream.rest()
        assert [(item.event, item.data) for item in heard] == [("next", over_http), ("complete", None)]
    made = 'mutation($ws: ID) { createLabel(workspaceId: $ws, input: {name: "streamed", color: "#000000"}) { name } }'
    async with streaming(world, world.owner, made, {"ws": world.workspace.id}) as stream:
        assert (await stream.next())["createLabel"] == {"name": "streamed"}


async def test_an_answer_of_several_lines_is_one_event(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def execute(*_: Any, **__: Any) -> Executed:
        return Executed(200, b'{"data":\n[1,\n\n2]}')

    monkeypatch.setattr(Endpoint, "execute", execute)
    async with streaming(world, world.owner, "{ __typename }") as stream:
        assert await stream.next() == [1, 2]


# ---- what is refused -------------------------------------------------------------------------------------------------


@both
@each_of(
    ("query", "code"),
    [
        ('subscription { workspaceEvents(workspaceId: "other") { __typename } }', "FORBIDDEN"),
        ('subscription { crewEvents(crewId: "nothing") { __typename } }', "NOT_FOUND"),
        ("subscription { workspaceEvents { __typename } }", "BAD_REQUEST"),
        ("subscription($id: ID!) { crewEvents(crewId: $id) { __typename } }", "BAD_REQUEST"),
    ],
)
async def test_a_refusal_is_all_that_the_stream_says(world: World, query: str, code: str, how: str) -> None:
    async with streaming(world, world.owner, query, how=how) as stream:
        heard = await stream.rest()
    assert heard[0].data["errors"][0]["extensions"]["code"] == code
    assert "data" not in heard[0].data
    assert [(item.event, item.data) for item in heard[1:]] == ([("complete", None)] if how == "sse" else [])
    await nobody_listens()


async def test_an_invalid_document_is_told_in_the_stream(world: World) -> None:
    async with streaming(world, world.owner, "subscription { nothing }") as stream:
        heard = await stream.rest()
    assert "'nothing'" in heard[0].data["errors"][0]["message"]
    async with world.client(world.owner) as client:
        answer = await client.post("/graphql", json={"query": "subscription { nothing }"}, headers={"accept": PARTS})
    assert "'nothing'" in answer.text
    assert answer.text.endswith("\r\n--graphql--\r\n")


@both
async def test_nobody_may_listen(world: World, how: str) -> None:
    accept = {"sse": "text/event-stream", "multipart": PARTS}[how]
    async with world.client() as client:
        for headers in ({}, {"authorization": "Bearer nonsense"}, {"authorization": "Bearer crewship_cli_" + "0" * 64}):
            path = "/graphql/stream" if how == "sse" else "/graphql"
            answer = await client.post(
                path,
                json={"query": CREWS, "variables": {"ws": world.workspace.id}},
                headers={"accept": accept} | headers,
            )
            assert '"code":"UNAUTHENTICATED"' in answer.text
            assert answer.status_code == (401 if how == "sse" else 200)
            assert ("www-authenticate" in answer.headers) is (how == "sse")
    await nobody_listens()


@each_of("method", ["PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
async def test_other_methods_are_not_offered(world: World, method: str) -> None:
    async with world.client(world.owner) as client:
        answer = await client.request(method, "/graphql/stream", params={"query": "{ __typename }"})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


@each_of(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"query": 1}', 400),
        (b"{}", 400),
        (b'{"documentId": "0"}', 404),
        (b'{"query": "{ __typename }", "variables": 1}', 400),
    ],
)
async def test_what_is_no_request_is_refused(world: World, body: bytes, status: int) -> None:
    async with world.client(world.owner) as client:
        answer = await client.post("/graphql/stream", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == status
        assert answer.json()["errors"]
        assert (
            await client.post("/graphql/stream", content=b"query=x", headers={"content-type": "text/plain"})
        ).status_code == 415


async def test_a_get_never_changes_anything(world: World) -> None:
    async with world.client(world.owner) as client:
        answer = await client.get(
            "/graphql/stream",
            params={
                "query": (
                    'mutation { createLabel(workspaceId: "workspace", input: {name: "no", color: "#000000"}) { id } }'
                )
            },
        )
    assert answer.status_code == 405
    assert await world.database.fetchval("SELECT count(*) FROM labels WHERE name = 'no'") == 0


# ---- browsers --------------------------------------------------------------------------------------------------------


async def listens(world: World, headers: dict[str, str], **query: str) -> int:
    """As an EventSource does it: the status; on 200 an event was heard."""
    asked = {"query": CREWS, "variables": json.dumps({"ws": world.workspace.id})} | query
    async with (
        httpx2.AsyncClient(base_url=world.url, timeout=30) as client,
        client.stream(
            "GET", "/graphql/stream?" + urlencode(asked), headers={"accept": "text/event-stream"} | headers
        ) as response,
    ):
        if response.status_code == 200:
            stream = Streamed(response, events_of(response))
            await anext(stream.items)
            await crews_made(world, "heard")
            assert (await stream.next())["workspaceEvents"]["name"] == "heard"
        return response.status_code


async def test_an_event_source_comes_with_a_ticket_or_a_cookie(world: World) -> None:
    browser, user = await signed_in(world)
    await world.add(Membership(workspace_id=world.workspace.id, user_id=user.id, role=Role.VIEWER))
    cookie = {"cookie": f"authjs.session-token={browser.access}"}
    assert await listens(world, {}, token=await ticket(world, world.viewer)) == 200
    assert await listens(world, {}, token=await ticket(world, browser)) == 200
    assert await listens(world, cookie) == 200
    assert await listens(world, cookie | {"origin": world.url}) == 200
    assert await listens(world, cookie | {"origin": "https://evil.example"}) == 403
    assert await listens(world, cookie | {"origin": "null"}) == 403
    # it was given the ticket
    assert await listens(world, {"origin": "https://evil.example"}, token=await ticket(world, browser)) == 200
    assert await listens(world, {}) == 401
    assert await listens(world, cookie, token="nonsense") == 401


# ---- going on --------------------------------------------------------------------------------------------------------


async def test_a_stream_goes_on_behind_the_last_event_that_was_seen(world: World) -> None:
    variables = {"ws": world.workspace.id}
    async with streaming(world, world.owner, CREWS, variables) as stream:
        seen = stream.response.extensions["cursor"]
    await crews_made(world, 1, 2)
    async with streaming(world, world.owner, CREWS, variables, **{"last-event-id": seen}) as stream:
        assert stream.response.extensions["cursor"] == seen  # even somebody who hears nothing keeps the place
        heard = [await stream.hear() for _ in range(2)]
        assert [item.data["data"]["workspaceEvents"]["name"] for item in heard] == ["1", "2"]
    await crews_made(world, 3)
    older, newer = heard[0].id or "", heard[1].id or ""
    async with streaming(world, world.owner, CREWS, variables | {"after": older}, **{"last-event-id": newer}) as stream:
        # the document says where it began, the id how far it came
        assert (await stream.next())["workspaceEvents"]["name"] == "3"
    async with streaming(
        world,
        world.owner,
        CREWS,
        variables | {"after": heard[0].data["data"]["workspaceEvents"]["cursor"]},
        how="multipart",
    ) as stream:
        assert [(await stream.next())["workspaceEvents"]["name"] for _ in range(2)] == ["2", "3"]


@both
async def test_a_cursor_that_leads_nowhere_is_told(world: World, how: str) -> None:
    async with streaming(world, world.owner, CREWS, {"ws": world.workspace.id, "after": "nowhere"}, how=how) as stream:
        lost = (await stream.next())["workspaceEvents"]
        assert (lost["__typename"], lost["reason"]) == ("StreamReset", "unknown_cursor")
        await crews_made(world, 1, 2)
        assert (await stream.next())["workspaceEvents"]["name"] == "1"
        assert (await stream.next())["workspaceEvents"]["name"] == "2"
    async with streaming(
        world, world.owner, CREWS, {"ws": world.workspace.id, "after": lost["cursor"]}, how=how
    ) as stream:
        assert [(await stream.next())["workspaceEvents"]["name"] for _ in range(2)] == ["1", "2"]


@both
async def test_a_slow_reader_gets_everything_later_and_holds_nobody_up(world: World, how: str) -> None:
    many, size = 300, 20_000
    document = "subscription($ws: ID) { workspaceEvents(workspaceId: $ws) { ... on CrewCreatedEvent { name slug } } }"
    async with (
        streaming(world, world.owner, document, {"ws": world.workspace.id}, how=how) as slow,
        streaming(world, world.admin, document, {"ws": world.workspace.id}, how=how) as quick,
    ):
        for number in range(many):
            await announce(world, own(world), "crew.created", {"id": "c", "name": str(number), "slug": "s" * size})
        for number in range(many):
            assert (await quick.next())["workspaceEvents"]["name"] == str(number)
        behind = [s for listeners in hub.channels.values() for s in listeners if s._behind is not None]  # type: ignore[attr-defined]
        assert len(behind) == 1
        for number in range(many):
            assert (await slow.next())["workspaceEvents"]["name"] == str(number)
        await until(lambda: behind[0]._behind is None)
        await crews_made(world, "live again")
        assert (await slow.next())["workspaceEvents"]["name"] == "live again"


@pytest.mark.slow
async def test_whoever_takes_nothing_is_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "EVERY", 0.2)
    place = urlsplit(world.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1024)
    document = "subscription($ws: ID) { workspaceEvents(workspaceId: $ws) { ... on CrewCreatedEvent { slug } } }"
    body = json.dumps({"query": document, "variables": {"ws": world.workspace.id}}).encode()
    writer.write(request("POST", "/graphql/stream", body=body, token=world.owner.token))
    await until(lambda: hub.listeners() == 1)
    for _ in range(400):
        await announce(world, own(world), "crew.created", {"id": "c", "name": "n", "slug": "s" * 50_000})
    await nobody_listens()
    assert outlet.heart._timer is None
    writer.close()
    del reader


# ---- the end ---------------------------------------------------------------------------------------------------------


@both
async def test_a_client_that_leaves_is_noticed(world: World, how: str) -> None:
    async with streaming(world, world.owner, CREWS, {"ws": world.workspace.id}, how=how):
        assert hub.listeners() == 1
    await nobody_listens()


async def _leaver(world: World, name: str) -> Person:
    person = await world.person(name, None)
    await world.add(Membership(workspace_id=world.workspace.id, user_id=person.user_id, role=Role.MEMBER))
    return person


@both
@pytest.mark.parametrize("ends", ["membership", "credential"])
async def test_a_right_that_ends_ends_the_stream(world: World, how: str, ends: str) -> None:
    leaver = await _leaver(world, f"leaver-{how}-{ends}")
    async with streaming(world, leaver, CREWS, {"ws": world.workspace.id}, how=how) as stream:
        if ends == "membership":
            await world.database.execute("DELETE FROM memberships WHERE user_id = $1", leaver.user_id)
        else:
            await world.database.execute("UPDATE cli_tokens SET revoked_at = now() WHERE user_id = $1", leaver.user_id)
        bus.ring(Topic.access, leaver.user_id)
        heard = await stream.rest()
    assert (
        heard[0].data["errors"][0]["extensions"]["code"]
        == {"membership": "FORBIDDEN", "credential": "UNAUTHENTICATED"}[ends]
    )
    assert [item.event for item in heard[1:]] == (["complete"] if how == "sse" else [])
    await nobody_listens()
    await crews_made(world, "unheard")


@each_of(
    "query",
    [
        "",
        "query",
        "query=",
        "query=%00",
        "query=%ff",
        "variables={}",
        "query={__typename}&variables=[",
        "token=",
        "token=%00&query=" + "a" * 3000,
    ],
)
async def test_no_address_breaks_anything(world: World, query: str) -> None:
    async with world.client(world.owner) as client:
        answer: Any = await client.get(f"/graphql/stream?{query}")
    assert answer.status_code in (200, 400)
    assert "errors" in answer.text or '{"__typename":"Query"}' in answer.text
