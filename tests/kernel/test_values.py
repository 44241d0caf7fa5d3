"""Bodies that are one value, and lists that are answered by key."""

from typing import Any

import orjson
import pytest

from rest_compat.http import openapi
from tests.every import each_of
from tests.kernel.shelf import Shelf

pytestmark = pytest.mark.anyio
SIZES = "/api/v1/shelf/sizes"


async def put(kept: Shelf, path: str, body: bytes, who: Any = None) -> Any:
    place = {"workspace_id": kept.world.workspace.id}
    return await kept.world.client(who or kept.world.owner).put(f"{SIZES}/{path}", params=place, content=body)


async def sizes(kept: Shelf) -> Any:
    given = await kept.world.client(kept.world.viewer).get(SIZES, params={"workspace_id": kept.world.workspace.id})
    assert given.status_code == 200
    return given


async def test_what_was_put_is_found_by_its_key(kept: Shelf) -> None:
    for path, body in (("one", b"1"), ("two", b" 2\n"), ("a%22b%5C", b"3"), ("%C3%A4", b"4")):
        assert (await put(kept, path, body)).status_code == 204
    given = await sizes(kept)
    found = orjson.loads(given.content)
    assert {key: found[key] for key in ("one", "two", 'a"b\\', "ä")} == {"one": 1, "two": 2, 'a"b\\': 3, "ä": 4}
    assert (await put(kept, "one", b"10")).status_code == 204
    assert (await sizes(kept)).json()["one"] == 10


@each_of(
    ("body", "status"),
    [(b"", 400), (b"x", 400), (b"1 2", 400), (b'{"size": 1}', 400), (b"null", 400), (b'"one"', 400), (b"1" * 101, 413)],
)
async def test_what_is_no_such_value_changes_nothing(kept: Shelf, body: bytes, status: int) -> None:
    before = (await sizes(kept)).json()
    given = await put(kept, "refused", body)
    assert (given.status_code, given.json()["status"]) == (status, status)
    assert (await sizes(kept)).json() == before


async def test_who_may_not_put_is_told_before_the_body_is_read(kept: Shelf) -> None:
    for body in (b"1", b"x", b"1" * 101):
        assert (await put(kept, "denied", body, kept.world.viewer)).status_code == 403


async def test_no_rows_are_an_empty_object(kept: Shelf) -> None:
    given = await kept.world.client(kept.world.outsider).get(SIZES, params={"workspace_id": kept.world.other.id})
    assert given.content == b"{}"


async def test_the_document_says_what_they_are(kept: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openapi, "ROUTES", kept.routes)
    made = openapi.document()
    body = made["paths"][f"{SIZES}/{{path}}"]["put"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["type"] == "integer"
    answer = made["components"]["schemas"]["SizesJSON"]
    assert answer == {
        "additionalProperties": {"type": "integer"},
        "description": "Sizes in bytes, by path.",
        "title": "SizesJSON",
        "type": "object",
    }
