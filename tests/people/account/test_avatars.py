"""The picture of an account: what is taken, who sees it, and what goes with it."""

import base64
import struct
from pathlib import Path
from typing import Any

import httpx2
import pytest

from models.people.auth import User
from resolvers.people.account.avatars import LARGEST_SIDE, MOST, SIZE, UNKNOWN
from tests.every import each_of
from tests.people.account.cases import PNG, png
from tests.people.auth.browsers import PASSWORD, Browser, new_user, signed_in
from tests.world import World

pytestmark = pytest.mark.anyio
PATH = "/api/v1/users/me/avatar"


def jpeg(width: int, height: int, *, before: bytes = b"") -> bytes:
    frame = struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\x01\x11\x00"
    return b"\xff\xd8" + before + b"\xff\xc0" + frame + b"\xff\xd9"


def webp(width: int, height: int) -> bytes:
    said = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x00" * 4 + said
    return b"RIFF" + struct.pack("<I", len(body)) + body


async def upload(browser: Browser, content: bytes, name: str = "a.png", kind: str = "image/png") -> httpx2.Response:
    return await browser.send("POST", PATH, files={"file": (name, content, kind)})


def stored(world: World, user: User) -> Path:
    return world.settings.storage_path / "users" / user.id / "avatar"


@each_of(
    ("content", "media_type"),
    [
        (PNG, "image/png"),
        (png(LARGEST_SIDE, LARGEST_SIDE), "image/png"),
        (jpeg(640, 480), "image/jpeg"),
        (jpeg(1, 4096, before=(b"\xff\xe2" + struct.pack(">H", 65_000) + bytes(64_998)) * 4), "image/jpeg"),
        (webp(4096, 1), "image/webp"),
    ],
)
async def test_a_picture_is_shown_as_what_it_is(world: World, content: bytes, media_type: str) -> None:
    """The name and the type that the client gives do not count."""
    browser, user = await signed_in(world)
    answer = await upload(browser, content, "../../x.svg", "image/svg+xml")
    assert answer.status_code == 200, answer.text
    profile = answer.json()
    assert {**profile, "avatar_url": None} == {
        "id": user.id,
        "email": user.email,
        "full_name": user.full_name,
        "avatar_url": None,
    }
    url = profile["avatar_url"]
    assert url.startswith(f"/api/v1/users/{user.id}/avatar?v=")
    assert url.rpartition("=")[2].isdecimal()
    shown = await browser.send("GET", url)
    assert (shown.status_code, shown.content, shown.headers["content-type"]) == (200, content, media_type)
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert shown.headers["cache-control"] == "private, max-age=300"
    assert "content-disposition" not in shown.headers
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    session = (await browser.send("GET", "/api/auth/session")).json()
    assert session["user"]["avatar_url"] == url


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
GIF = b"GIF89a" + struct.pack("<HH", 5, 5) + b"\x00" * 8


@each_of(
    ("content", "said"),
    [
        (b"", "file: is empty"),
        (SVG, f"file: {UNKNOWN}"),
        (GIF, f"file: {UNKNOWN}"),
        (b"text", f"file: {UNKNOWN}"),
        (PNG[:12], f"file: {UNKNOWN}"),
        (b"\xff\xd8\xff\xe0", f"file: {UNKNOWN}"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8?" + bytes(30), f"file: {UNKNOWN}"),
        (png(0, 5), f"file: {SIZE}"),
        (png(5, LARGEST_SIDE + 1), f"file: {SIZE}"),
        (png(2**31 - 1, 2**31 - 1), f"file: {SIZE}"),
        (jpeg(LARGEST_SIDE + 1, 5), f"file: {SIZE}"),
        (webp(5, LARGEST_SIDE + 1), f"file: {SIZE}"),
    ],
)
async def test_what_is_no_such_picture_is_refused(world: World, content: bytes, said: str) -> None:
    browser, user = await signed_in(world)
    before = await world.snapshot()
    answer = await upload(browser, content)
    assert (answer.status_code, answer.json()["error"]) == (400, said)
    assert await world.snapshot() == before
    assert not stored(world, user).exists()


async def test_the_size_of_the_form_is_bounded(world: World) -> None:
    browser, _ = await signed_in(world)
    assert (await upload(browser, PNG + bytes(MOST - len(PNG) - 1000))).status_code == 200
    assert (await upload(browser, PNG + bytes(MOST))).status_code == 400
    assert (await upload(browser, PNG + bytes(2 * MOST))).status_code == 413
    for content in ({"content": PNG}, {"data": {"file": "x"}}, {"files": {"other": ("a.png", PNG)}}):
        assert (await browser.send("POST", PATH, **content)).status_code == 400


async def test_a_later_picture_has_another_address_and_replaces_the_file(world: World) -> None:
    browser, user = await signed_in(world)
    urls = [(await upload(browser, png(side, side))).json()["avatar_url"] for side in (1, 2, 3)]
    assert len(set(urls)) == 3
    assert (await browser.send("GET", urls[0])).content == png(3, 3)
    assert [path.name for path in stored(world, user).parent.iterdir()] == ["avatar"]


async def test_every_user_who_is_signed_in_sees_it_and_nobody_else(world: World) -> None:
    browser, _ = await signed_in(world)
    url = (await upload(browser, PNG)).json()["avatar_url"]
    stranger, other = await signed_in(world)
    assert (await stranger.send("GET", url)).content == PNG
    assert (await Browser(world.url).send("GET", url)).status_code == 401
    for id, status in ((other.id, 404), ("unknown", 404), ("a.b", 400), ("%2e%2e", 400), ("%2e%2e%2fme", 400)):
        answer = await stranger.send("GET", f"/api/v1/users/{id}/avatar")
        assert answer.status_code == status, id


async def test_it_is_deleted_with_its_file(world: World) -> None:
    browser, user = await signed_in(world)
    url = (await upload(browser, PNG)).json()["avatar_url"]
    for _ in range(2):
        answer = await browser.send("DELETE", PATH)
        assert (answer.status_code, answer.json()["avatar_url"]) == (200, None)
        assert (await browser.send("GET", url)).status_code == 404
        assert not stored(world, user).exists()


async def test_a_picture_of_a_provider_is_not_served_and_can_be_removed(world: World) -> None:
    user = await new_user(world, avatar_url="https://example.com/a.png")
    browser = Browser(world.url)
    await browser.log_in(user.email)
    assert (await browser.send("GET", f"/api/v1/users/{user.id}/avatar")).status_code == 404
    assert (await browser.send("DELETE", PATH)).json()["avatar_url"] is None


async def test_the_file_goes_with_the_account(world: World) -> None:
    browser, _ = await signed_in(world)
    await upload(browser, PNG)
    answer = await browser.send("POST", "/api/v1/auth/account/delete", json={"password": PASSWORD})
    assert answer.status_code == 200
    enqueued = "SELECT count(*) FROM dbos.workflow_status WHERE name = 'account.avatar_of_user'"
    assert await world.database.fetchval(enqueued) == 1


async def test_by_graphql(world: World) -> None:
    browser, user = await signed_in(world)
    document = "mutation($in: UploadAvatarInput!) { uploadAvatar(input: $in) { id avatarUrl } }"

    async def sent(content: Any) -> Any:
        variables = {"in": {"content": content}}
        return (await browser.send("POST", "/graphql", json={"query": document, "variables": variables})).json()

    for content in ("", "no base64!", base64.b64encode(SVG).decode()):
        assert (await sent(content))["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    url = (await sent(base64.b64encode(PNG).decode()))["data"]["uploadAvatar"]["avatarUrl"]
    assert (await browser.send("GET", url)).content == PNG
    removed = await browser.send("POST", "/graphql", json={"query": "mutation { deleteAvatar { id avatarUrl } }"})
    assert removed.json()["data"] == {"deleteAvatar": {"id": user.id, "avatarUrl": None}}
