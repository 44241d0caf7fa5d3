"""Answers are compressed by their size and type, for who takes gzip, and nothing else is touched."""

import gzip
import re
from typing import Any

import brotli
import orjson
import pytest

from crewship.perimeter import compression
from tests.every import each_of
from tests.people.auth.browsers import Browser, new_user
from tests.process.origin import Origin, ask, perimeter
from tests.world import World

pytestmark = pytest.mark.anyio
LARGE = orjson.dumps([{"name": f"row {number}", "text": "the same words"} for number in range(200)])
GZIP = ("accept-encoding", "gzip, deflate")
ALIKE = ("sec-fetch-site", "same-origin")
COOKIE = ("cookie", "session=1")


def large(*headers: tuple[bytes, bytes], **more: Any) -> Origin:
    own = dict(headers)
    sized = () if b"content-length" in own else ((b"content-length", str(len(LARGE)).encode()),)
    return Origin(headers=(*sized, *headers), **{"answer": (LARGE,), **more})


@pytest.mark.parametrize("path", ["/api/v1/crews", "/graphql"])
@pytest.mark.parametrize("type", [b"application/json", b"application/graphql-response+json; charset=utf-8"])
async def test_a_large_answer_is_small_on_its_way(path: str, type: bytes) -> None:
    found = await ask(perimeter(large(content_type=type)), path=path, headers=[GZIP])
    assert found.headers["content-encoding"] == "gzip"
    assert gzip.decompress(found.body) == LARGE
    assert int(found.headers["content-length"]) == len(found.body) < len(LARGE) / 5
    assert found.headers["vary"] == "Authorization, Cookie, Accept-Encoding"
    plain = await ask(perimeter(large(content_type=type)), path=path)
    assert (plain.body, plain.headers["vary"]) == (LARGE, found.headers["vary"])


@each_of(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"), ("br", "br"), ("gzip", "gzip"), ("gzip;q=1, br;q=0.5", "gzip"),
        ("br;q=0, gzip", "gzip"), ("br;q=0.1", "br"), ("*", "br"), ("*;q=0.5, br;q=0", "gzip"), ("identity", None),
        ("zstd", None), ("br;q=0", None), ("br;q=none", "br"),
    ],
)  # fmt: skip
async def test_the_client_chooses_the_encoding(accepted: str, encoding: str | None) -> None:
    found = await ask(perimeter(large()), path="/graphql", headers=[("accept-encoding", accepted)])
    assert found.headers.get("content-encoding") == encoding
    read = {"br": brotli.decompress, "gzip": gzip.decompress}.get(encoding or "", bytes)
    assert read(found.body) == LARGE
    assert int(found.headers["content-length"]) == len(found.body)


async def test_what_an_answer_varies_by_is_added_to() -> None:
    found = await ask(perimeter(large((b"vary", b"Accept"))), headers=[GZIP])
    assert (found.headers["content-encoding"], found.headers["vary"]) == ("gzip", "Accept, Accept-Encoding")


@each_of(
    "origin",
    [
        large(content_type=b"image/png"),
        large(content_type=b"text/event-stream"),
        large(content_type=b"multipart/mixed; boundary=x"),
        large(content_type=b"text/plain"),
        large((b"set-cookie", b"session=1")),
        large((b"content-encoding", b"br")),
        large((b"etag", b'"v1"')),
        large((b"content-range", b"bytes 0-9/10")),
        large(status=201),
        large(status=400),
        large(answer=(LARGE[:5000], LARGE[5000:])),
        Origin(answer=(LARGE,)),  # says no length, as what goes on does not
        Origin(headers=((b"content-length", b"2000"),), answer=(b"[" + b" " * 1998 + b"]",)),
    ],
    ids=[
        "picture", "events", "multipart", "text", "cookie", "encoded", "strong etag", "range", "created", "refused",
        "pieces", "no length", "small",
    ],
)  # fmt: skip
async def test_what_is_left_as_it_is(origin: Origin) -> None:
    found = await ask(perimeter(origin), headers=[GZIP])
    assert found.headers.get("content-encoding") in (None, "br")
    assert found.body == b"".join(origin.answer)


async def test_a_weak_etag_names_both() -> None:
    found = await ask(perimeter(large((b"etag", b'W/"v1"'))), headers=[GZIP])
    assert (found.headers["content-encoding"], found.headers["etag"]) == ("gzip", 'W/"v1"')


@each_of(
    ("headers", "packed"),
    [
        ([GZIP], True),
        ([("authorization", "Bearer x"), GZIP], True),
        ([COOKIE, ALIKE, GZIP], True),
        ([COOKIE, GZIP], False),
        ([COOKIE, ("sec-fetch-site", "cross-site"), GZIP], False),
        ([COOKIE, ("sec-fetch-site", "same-site"), GZIP], False),
        ([COOKIE, ("sec-fetch-site", "none"), GZIP], False),
        ([("authorization", "Bearer x"), COOKIE, GZIP], False),
    ],
)
async def test_what_a_cookie_asks_for_is_compressed_for_our_own_pages_alone(
    headers: list[tuple[str, str]], packed: bool
) -> None:
    found = await ask(perimeter(large()), headers=headers)
    assert (found.headers.get("content-encoding") == "gzip") is packed


@each_of(
    ("accepted", "taken"),
    [
        ("gzip", True), ("GZIP;q=0.5", True), ("br, *", True), ("*;q=0", False), ("gzip;q=0", False),
        ("gzip; q=0.000, *", False), ("br", False), ("", False), ("identity", False), ("xgzip", False),
    ],
)  # fmt: skip
def test_who_takes_gzip(accepted: str, taken: bool) -> None:
    assert compression.takes_gzip(accepted.encode()) is taken


@pytest.mark.slow
async def test_a_head_that_came_before_is_answered_alike(world: World) -> None:
    """The second request takes the way without ASGI."""
    document = "{ __schema { types { name description fields { name description } } } }"
    own = {"accept-encoding": "gzip"}
    async with world.client(world.viewer, **own) as client:
        for _ in range(3):
            answer = await client.post("/graphql", json={"query": document})
            assert answer.headers["content-encoding"] == "gzip"
            assert answer.json()["data"]["__schema"]["types"]
            assert int(answer.headers["content-length"]) < len(answer.content) / 4
            small = await client.post("/graphql", json={"query": "{ __typename }"})
            assert "content-encoding" not in small.headers
        found = await client.get("/api/openapi.json")
        assert found.headers["content-encoding"] == "gzip"
        assert int(found.headers["content-length"]) < 200_000 < 1_000_000 < len(found.content)
        assert found.json()["openapi"].startswith("3.1")
        page = await client.get("/api/docs")
        assert page.headers["content-encoding"] == "gzip"
        assert page.text.startswith("<!doctype html>")
        for url in re.findall(r'"(/static/[^"]+)"', page.text):
            assert (await client.get(url)).headers["content-encoding"] == "gzip", url
    async with world.client(world.viewer, **{"accept-encoding": "identity"}) as client:
        for _ in range(2):
            answer = await client.post("/graphql", json={"query": document})
            assert "content-encoding" not in answer.headers
            assert "Accept-Encoding" in answer.headers["vary"]
        assert "content-encoding" not in (await client.get("/api/docs")).headers
        assert "content-encoding" not in (await client.get("/api/openapi.json")).headers


async def test_a_session_s_answers_are_compressed_for_our_own_pages(world: World) -> None:
    browser = Browser(world.url)
    await browser.log_in((await new_user(world, email="ada@example.com")).email)
    document = {"query": "{ __schema { types { name description fields { name description } } } }"}
    ours = {"origin": world.url, "accept-encoding": "gzip, br, zstd"}
    for site, packed in (("same-origin", True), ("same-site", False), ("", False)):
        for _ in range(2):  # the second request takes the way without ASGI
            headers = ours | ({"sec-fetch-site": site} if site else {})
            answer = await browser.send("POST", "/graphql", json=document, headers=headers)
            assert answer.json()["data"]["__schema"]["types"]
            assert answer.headers.get("content-encoding") == ("br" if packed else None), site
