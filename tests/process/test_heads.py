"""Heads that came before are found again by their bytes: what that may not change, and what is never kept."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from crewship.perimeter.heads import LONGEST, Fields, Heads, Target, heads
from crewship.perimeter.line import Peer, Tcp, UnixSocket
from crewship.perimeter.protocol import Whole
from tests.every import each_of
from tests.process.test_protocol import GET, LENGTH, answering, body, start
from tests.world import Person, World, serving

pytestmark = pytest.mark.anyio

PEER = Tcp("127.0.0.1")
OWN = re.compile(rb"(?m)^(date|x-request-id): .*\r\n")  # what differs between two answers
QUERY = orjson.dumps({"query": "{ viewer { email } }"})


@dataclass
class Wire:
    """A connection by hand."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, request: bytes) -> bytes:
        self.writer.write(request)
        return await self.answer()

    async def answer(self) -> bytes:
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head)
            return head + (await self.reader.readexactly(int(length[1])) if length else b"")


@contextlib.asynccontextmanager
async def wire(world: World) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(world.url.rsplit(":", 1)[1]))
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


@contextlib.contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The requests that are answered without being parsed."""
    found = list[Any]()
    find = heads.find

    def counting(peer: Peer, data: bytes) -> Any:
        known = find(peer, data)
        if known is not None:
            found.append(known)
        return known

    with monkeypatch.context() as patch:
        patch.setattr(heads, "find", counting)
        yield found


def request(first: str, person: Person | None, body: bytes = b"", **fields: str) -> bytes:
    lines = [first + " HTTP/1.1", "host: localhost"]
    if person is not None:
        lines.append(f"authorization: Bearer {person.token}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    if body:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def same(answer: bytes) -> bytes:
    return OWN.sub(b"", answer)


def scenarios(world: World) -> list[tuple[str, bytes]]:
    """Requests whose effect is the same each time."""
    crews, owner = f"/api/v1/crews?workspace_id={world.workspace.id}", world.owner
    return [
        ("a list", request(f"GET {crews}", owner)),
        ("nobody", request(f"GET {crews}", None)),
        ("no such row", request(f"GET /api/v1/crews/nothing?workspace_id={world.workspace.id}", owner)),
        ("graphql", request("POST /graphql", owner, QUERY)),
        ("graphql of nobody", request("POST /graphql", None, QUERY)),
        (
            "graphql in the newer media type",
            request("POST /graphql", owner, QUERY, accept="application/graphql-response+json"),
        ),
        ("graphql for those who take nothing of ours", request("POST /graphql", owner, QUERY, accept="image/png")),
        (
            "graphql for those who take streams",
            request("POST /graphql", owner, QUERY, accept="multipart/mixed;subscriptionSpec=1.0, application/json"),
        ),
        ("graphql as a form", request("POST /graphql", owner, QUERY).replace(b"application/json", b"text/plain")),
        ("no JSON", request("POST /graphql", owner, b"{")),
        ("no document", request("POST /graphql", owner, b"{}")),
        ("graphql by GET", request("GET /graphql?query=%7Bviewer%7Bemail%7D%7D", owner, accept="application/json")),
        ("an origin that is not ours", request(f"POST {crews}", owner, b"{}", origin="https://evil.example")),
        ("our own origin, a body that is wrong", request(f"POST {crews}", owner, b"{}", origin="http://localhost")),
        ("a body that is no object", request(f"POST {crews}", owner, b"[]")),
        ("a method that is not offered", request(f"PUT {crews}", owner, b"{}")),
        ("a path that nobody serves", request("GET /api/v1/nothing", owner)),
        ("a path that climbs", request("GET /api/v1/../v1/crews", owner)),
        ("a page", request("GET /", None, accept="text/html")),
        ("an id of the client's", request(f"GET {crews}", owner, x_request_id="mine-1")),
        ("a field twice", request(f"GET {crews}", owner).replace(b"\r\nhost", b"\r\nx-a: 1\r\nx-a: 2\r\nhost")),
        ("HEAD", request(f"HEAD {crews}", owner)),
        (
            "a body in chunks",
            request("POST /graphql", owner, transfer_encoding="chunked", content_type="application/json")
            + b"%x\r\n%b\r\n0\r\n\r\n" % (len(QUERY), QUERY),
        ),
    ]


async def test_an_answer_is_the_same_the_second_time(world: World) -> None:
    """And a third, and on another connection, and where the request comes in pieces."""
    async with wire(world) as first, wire(world) as second:
        for name, bytes_ in scenarios(world):
            if name == "HEAD":
                first.writer.write(bytes_)
                second.writer.write(bytes_)
                ends = [await w.reader.readuntil(b"\r\n\r\n") for w in (first, second)]
                assert same(ends[0]) == same(ends[1])
                continue
            answers = [await first.ask(bytes_), await first.ask(bytes_), await second.ask(bytes_)]
            second.writer.write(bytes_[:30])
            await asyncio.sleep(0.01)
            answers.append(await second.ask(bytes_[30:]))
            assert len({same(answer) for answer in answers}) == 1, (name, answers)


async def test_what_is_asked_again_is_not_parsed_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = dict(scenarios(world))
    kept = (
        "a list",
        "nobody",
        "graphql",
        "an origin that is not ours",
        "a path that climbs",
        "an id of the client's",
        "a field twice",
    )
    never = ("HEAD", "a body in chunks")
    async with wire(world) as made:
        for name in (*kept, *never):
            with counted(monkeypatch) as found:
                for _ in range(3):
                    if name == "HEAD":
                        made.writer.write(asked[name])
                        await made.reader.readuntil(b"\r\n\r\n")
                    else:
                        await made.ask(asked[name])
            assert len(found) >= 2 if name in kept else not found, name


async def test_each_request_has_an_id_of_its_own_unless_it_brings_one(world: World) -> None:
    crews = f"GET /api/v1/crews?workspace_id={world.workspace.id}"
    async with wire(world) as made:
        ids = [re.search(rb"x-request-id: (.*)\r", await made.ask(request(crews, world.owner)))[1] for _ in range(4)]  # type: ignore[index]
        assert len(set(ids)) == 4
        given = await made.ask(request(crews, world.owner, x_request_id="mine"))
        assert b"x-request-id: mine\r\n" in given + await made.ask(request(crews, world.owner, x_request_id="mine"))


async def test_a_credential_that_ends_opens_nothing_any_more(world: World) -> None:
    person = await world.person("leaver", None)
    asks = request("GET /api/v1/workspaces", person)
    async with wire(world) as made:
        for _ in range(3):
            assert (await made.ask(asks)).startswith(b"HTTP/1.1 200 ")
        await world.database.execute("DELETE FROM cli_tokens WHERE user_id = $1", person.user_id)
        assert (await made.ask(asks)).startswith(b"HTTP/1.1 401 ")


async def test_requests_in_a_row_are_answered_in_a_row(world: World) -> None:
    crews, nothing = (
        request(f"GET /api/v1/{what}?workspace_id={world.workspace.id}", world.owner) for what in ("crews", "nothing")
    )
    async with wire(world) as made:
        expected = [same(await made.ask(bytes_)) for bytes_ in (crews, nothing)]
        made.writer.write(crews)  # known, and under way when the others come
        await asyncio.sleep(0)
        made.writer.write(nothing + crews)
        made.writer.write(nothing)
        answers = [same(await made.answer()) for _ in range(4)]
        assert answers == [expected[0], expected[1], expected[0], expected[1]]


async def test_who_leaves_before_the_answer_disturbs_nobody(world: World) -> None:
    crews = request(f"GET /api/v1/crews?workspace_id={world.workspace.id}", world.owner)
    async with wire(world) as stays:
        expected = same(await stays.ask(crews))
        for _ in range(20):
            async with wire(world) as leaves:
                leaves.writer.write(crews)
                leaves.writer.transport.abort()
        assert same(await stays.ask(crews)) == expected


async def test_an_answer_that_cannot_be_sent_ends_the_connection() -> None:
    class Splitting:
        """Answers whole with a header that would be two."""

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await answering(start(200, LENGTH), body(b"hello"))(scope, receive, send)

        async def direct_answer(self) -> Whole:
            return Whole(200, [(b"location", b"a\r\nset-cookie: b=c"), (b"content-length", b"0")], b"", b"")

        def direct(self, peer: Peer, known: Any) -> Any:
            return self.direct_answer()

    async with serving(Splitting()) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        got = b""
        async with asyncio.timeout(10):
            writer.write(GET)
            await asyncio.sleep(0.2)
            writer.write(GET)
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(65536):
                    got += piece
        writer.close()
    assert b"set-cookie" not in got


# ---- what is kept ----------------------------------------------------------------------------------------------------


def kept(
    data: bytes, headers: list[tuple[bytes, bytes]], *, url: bytes = b"/a", body: int = 0, method: str = "GET"
) -> Heads:
    made = Heads()
    made.keep(PEER, data, Target(method, "/a", b"/a", b""), url, Fields(headers, body))
    return made


PLAIN = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n"
HOST = [(b"host", b"x")]


def test_halves_of_different_requests_meet() -> None:
    made = kept(PLAIN, HOST)
    made.keep(
        PEER,
        b"GET /b HTTP/1.1\r\nhost: y\r\n\r\n",
        Target("GET", "/b", b"/b", b""),
        b"/b",
        Fields([(b"host", b"y")], 0),
    )
    known = made.find(PEER, b"GET /b HTTP/1.1\r\nhost: x\r\n\r\n")
    assert known is not None
    assert (known.target.path, known.fields.headers, known.body) == ("/b", HOST, b"")
    for other in (Tcp("10.0.0.1"), Tcp("127.0.0.1", tls=True), Tcp(""), UnixSocket()):
        assert made.find(other, PLAIN) is None


@each_of(
    "data",
    [
        PLAIN[:-1],
        PLAIN + b"x",
        PLAIN * 2,
        b"\r\n" + PLAIN,
        PLAIN.replace(b"x", b"X"),
        PLAIN.replace(b"/a", b"/A"),
        PLAIN.replace(b"\r\n", b"\n"),
        b"",
    ],
)
def test_other_bytes_are_another_request(data: bytes) -> None:
    assert kept(PLAIN, HOST).find(PEER, data) is None


@each_of(
    ("data", "headers", "options"),
    [
        pytest.param(b"GET /a HTTP/1.1\nhost: x\r\n\r\n", HOST, {}, id="a first line that ends with LF alone"),
        pytest.param(b"GET /a HTTP/1.1\r\nhost: x\n\r\n\r\n", HOST, {}, id="a field that ends with LF alone"),
        pytest.param(
            b"GET /a HTTP/1.1\r\nhost: x\n\n\r\n\r\n", HOST, {"body": 4}, id="a head that ends before it seems to"
        ),
        pytest.param(b"GET /a HTTP/1.1\r\nx-a: 1\r\n 2\r\n\r\n", [(b"x-a", b"1 2")], {}, id="a field of two lines"),
        pytest.param(b"GET  /a HTTP/1.1\r\nhost: x\r\n\r\n", HOST, {}, id="a first line with more blanks"),
        pytest.param(b"GET /a HTTP/1.0\r\nhost: x\r\n\r\n", HOST, {}, id="an older HTTP"),
        pytest.param(b"\r\n" + PLAIN, HOST, {}, id="an empty line before it"),
        pytest.param(b"HEAD /a HTTP/1.1\r\nhost: x\r\n\r\n", HOST, {"method": "HEAD"}, id="HEAD"),
        pytest.param(b"GET /a HTTP/1.1\r\nconnection: close\r\n\r\n", [(b"connection", b"close")], {}, id="connection"),
        pytest.param(
            b"GET /a HTTP/1.1\r\nproxy-connection: close\r\n\r\n",
            [(b"proxy-connection", b"close")],
            {},
            id="proxy-connection",
        ),
        pytest.param(b"GET /a HTTP/1.1\r\nupgrade: h2c\r\n\r\n", [(b"upgrade", b"h2c")], {}, id="upgrade"),
        pytest.param(
            b"POST /a HTTP/1.1\r\nexpect: 100-continue\r\n\r\n",
            [(b"expect", b"100-continue")],
            {"method": "POST"},
            id="expect",
        ),
        pytest.param(
            b"POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
            [(b"transfer-encoding", b"chunked")],
            {"method": "POST"},
            id="chunks",
        ),
        pytest.param(
            b"POST /a HTTP/1.1\r\ncontent-length: 2\r\n\r\na",
            [(b"content-length", b"2")],
            {"method": "POST", "body": 1},
            id="less than announced",
        ),
        pytest.param(
            b"POST /a HTTP/1.1\r\ncontent-length: +1\r\n\r\na",
            [(b"content-length", b"+1")],
            {"method": "POST", "body": 1},
            id="a length not in figures",
        ),
        pytest.param(
            b"POST /a HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na",
            [(b"content-length", b"1")] * 2,
            {"method": "POST", "body": 1},
            id="two lengths",
        ),
        pytest.param(
            b"GET /a HTTP/1.1\r\nx-a: %b\r\n\r\n" % (b"a" * LONGEST), [(b"x-a", b"a" * LONGEST)], {}, id="too long"
        ),
    ],
)
def test_what_is_never_kept(data: bytes, headers: list[tuple[bytes, bytes]], options: dict[str, Any]) -> None:
    assert len(kept(data, headers, **options)) == 0


def test_all_of_them_have_a_bound_in_bytes() -> None:
    made = Heads(room=1_000_000)
    for number in range(5000):
        value = b"%d" % number * 100
        made.keep(
            PEER,
            b"GET /a HTTP/1.1\r\nx-a: %b\r\n\r\n" % value,
            Target("GET", "/a", b"/a", b""),
            b"/a",
            Fields([(b"x-a", value)], 0),
        )
    assert 100 < len(made) < 1000
    assert made.find(PEER, b"GET /a HTTP/1.1\r\nx-a: %b\r\n\r\n" % (b"4999" * 100)) is not None
