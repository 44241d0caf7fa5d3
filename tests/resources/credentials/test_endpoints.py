"""Credentials that are endpoints: which values are taken, what is shown of them, how they change and are tested."""

import asyncio
import json
from typing import Any

import pytest

from resolvers.instance.running import instance
from tests.resources.credentials.test_credentials import CANARY, PATH, change, made, opened
from tests.work.issues.board import Board, word

pytestmark = pytest.mark.anyio
WITH_KEY = json.dumps({"baseURL": "https://models.example.com/v1", "apiKey": CANARY, "headers": {"x-team": "sea"}})


async def endpoint(board: Board, value: str) -> Any:
    return await board.ask("POST", PATH, {"name": word(), "type": "ENDPOINT_URL", "value": value})


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("https://models.example.com/v1", "https://models.example.com/v1"),
        (" http://models.example.com ", "http://models.example.com"),
        (WITH_KEY, "https://models.example.com/v1"),
        ('{"baseURL": "http://127.0.0.1:11434/v1", "apiKey": "k"}', "http://127.0.0.1:11434/v1"),
        ('{"baseURL": "http://10.1.2.3", "headers": {"a": "b"}}', "http://10.1.2.3"),
        ('{"baseURL": "http://localhost:1", "apiKey": "k"}', "http://localhost:1"),
    ],
)
async def test_an_address_is_taken_and_its_base_is_shown(board: Board, value: str, shown: str) -> None:
    answer = await endpoint(board, value)
    assert (answer.status_code, CANARY in answer.text) == (201, False), answer.text
    credential = answer.json()
    assert (credential["endpoint_url"], credential["testable"]) == (shown, True)
    assert (await board.read(f"{PATH}/{credential['id']}"))["endpoint_url"] == shown


@pytest.mark.parametrize(
    "value",
    [
        "ftp://models.example.com", "models.example.com", "https://", "https://u:p@models.example.com",
        "http://169.254.169.254/latest", "http://[fe80::1]/", "http://metadata.google.internal/", "https://a b/",
        "http://[::ffff:169.254.169.254]/", "https://models.example.com:99999/", "{", "{}", '{"baseURL": 1}', "[]",
        '{"baseURL": "http://models.example.com", "apiKey": "k"}',
        '{"baseURL": "http://models.example.com", "headers": {"a": "b"}}',
        '{"baseURL": "https://models.example.com", "headers": {"a b": "c"}}',
        '{"baseURL": "https://models.example.com", "headers": {"a": 1}}',
        '{"baseURL": "https://models.example.com", "headers": {"a": "b\\r\\nc: d"}}',
        "https://models.example.com/" + "x" * 2048,
    ],
)  # fmt: skip
async def test_what_is_no_safe_address_is_refused(board: Board, value: str) -> None:
    before = await board.world.snapshot()
    assert (await endpoint(board, value)).status_code == 400
    assert await board.world.snapshot() == before


async def test_parts_of_an_endpoint_are_rotated(board: Board) -> None:
    credential = (await endpoint(board, WITH_KEY)).json()
    path = f"{PATH}/{credential['id']}"

    async def rotate(at: str = path, **sent: Any) -> int:
        answer = await board.ask("POST", f"{at}/rotate", sent, board.world.admin)
        assert CANARY not in answer.text
        return answer.status_code

    assert await rotate(endpoint_base_url="https://other.example.com") == 200
    kept = json.loads(await opened(board, credential["id"]) or "")
    assert kept == {"baseURL": "https://other.example.com", "apiKey": CANARY, "headers": {"x-team": "sea"}}
    assert (await board.read(path))["endpoint_url"] == "https://other.example.com"
    assert await rotate(endpoint_auth_token="new", endpoint_headers={}) == 200
    assert json.loads(await opened(board, credential["id"]) or "") == {
        "baseURL": "https://other.example.com", "apiKey": "new",
    }  # fmt: skip
    for bad in ({}, {"endpoint_base_url": "http://other.example.com"}, {"endpoint_headers": {"a": 1}}, {"value": " "}):
        assert await rotate(**bad) == 400
    other = await made(board)
    assert await rotate(f"{PATH}/{other['id']}", endpoint_auth_token="new") == 400


async def test_another_type_becomes_an_endpoint_with_a_new_value_only(board: Board) -> None:
    credential = await made(board)
    assert (await change(board, credential, type="ENDPOINT_URL")).status_code == 400
    assert (await change(board, credential, type="ENDPOINT_URL", value="nothing")).status_code == 400
    answer = await change(board, credential, type="ENDPOINT_URL", value="https://models.example.com")
    assert answer.json()["endpoint_url"] == "https://models.example.com"
    answer = await change(board, credential, type="SECRET")
    assert "endpoint_url" not in answer.json()


async def test_a_reference_to_an_endpoint_shows_no_address(board: Board) -> None:
    credential = (await endpoint(board, WITH_KEY)).json()
    sent = {"secret_ref": "https://bao.example.com/v1/secret/data/quay#key", "value": "token"}
    answer = await change(board, credential, **sent)
    assert (answer.status_code, answer.json().get("endpoint_url")) == (200, None), answer.text
    answer = await change(board, credential, secret_ref=None, value="https://models.example.com")
    assert answer.json()["endpoint_url"] == "https://models.example.com"


async def test_values_have_a_bound_in_bytes(board: Board) -> None:
    assert (await made(board, value="x" * 65_536))["status"] == "ACTIVE"
    for value in ("x" * 65_537, "é" * 32_769):
        answer = await board.ask("POST", PATH, {"name": word(), "value": value})
        assert answer.status_code == 400


async def test_a_value_is_judged_by_its_form_and_a_stored_one_is_asked(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = list[str]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        heard.append(head)
        status = 200 if f"authorization: Bearer {CANARY}".lower() in head.lower() else 401
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    for value, valid in ((base, True), ("nothing", False)):
        shown = (await board.ask("POST", f"{PATH}/test", {"value": value, "type": "ENDPOINT_URL"})).json()
        assert (shown["valid"], shown["status"], shown["supported"], heard) == (valid, 0, True, [])
    credential = (await endpoint(board, json.dumps({"baseURL": base, "apiKey": CANARY}))).json()
    path = f"{PATH}/{credential['id']}"
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"hooks_allow_private": True}))
    assert (await board.ask("POST", f"{path}/test")).json() == {"valid": True, "status": 200, "supported": True}
    assert heard[0].startswith("GET /v1/models ")
    await change(board, credential, value=base)
    shown = (await board.ask("POST", f"{path}/test")).json()
    assert (shown["valid"], shown["status"]) == (False, 401)
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"hooks_allow_private": False}))
    shown = (await board.ask("POST", f"{path}/test")).json()
    assert (shown["valid"], shown["status"], len(heard)) == (False, 0, 2)
    server.close()
    await server.wait_closed()
