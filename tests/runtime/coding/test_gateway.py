"""What passes the gateway with the key: calls of a model, which are metered, and what costs nothing."""

import asyncio
import contextlib
import json
import os
import random
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from runtime.coding import gateway as gateways
from runtime.coding.account import RunAccount
from runtime.coding.allowance import Allowance
from runtime.coding.gateway import MODEL, OF_KEYS, KeyRefused, Metered, ModelGateway, ProviderWay
from runtime.coding.inbox import Inbox
from runtime.coding.keys import Before, Key, KeyStandIn
from runtime.coding.metering import is_free, reading_of, tokens_of
from tests.every import each_of
from tests.runtime.adapters.vendors import Refuses, Says, Vendor

pytestmark = pytest.mark.anyio
KEY, STAND_IN = "sk-the-key-itself", "stand-in"


class Nowhere:
    """A crew's network that reaches nothing."""

    listens: Sequence[tuple[str, int]] = ()
    environment: Mapping[str, str] = {}
    description = ""

    @contextlib.asynccontextmanager
    async def serve(self, listening: Sequence[socket.socket]) -> AsyncIterator[None]:
        yield


@each_of(
    ("method", "path", "free"),
    [
        (b"POST", "/v1/messages/count_tokens", True), (b"POST", "/v1beta/models/m-1:countTokens", True),
        (b"GET", "/v1/models", True), (b"GET", "/v1/models/m-1", True), (b"HEAD", "/models", True),
        (b"POST", "/v1/messages/batches", False), (b"POST", "/v1/batches", False), (b"GET", "/v1/files", False),
        (b"POST", "/v1/messages/", False), (b"POST", "/v1/embeddings", False), (b"DELETE", "/v1/models/m-1", False),
        (b"GET", "/v1/models/../files", False), (b"POST", "/v1/images/generations", False), (b"GET", "/", False),
    ],
)  # fmt: skip
def test_what_costs_nothing(method: bytes, path: str, free: bool) -> None:
    assert is_free(method, path) is free


@each_of(
    ("path", "is_call"),
    [
        ("/v1/messages", True), ("/messages", True), ("/v1/chat/completions", True), ("/responses", True),
        ("/v1beta/models/m-1:generateContent", True), ("/v1beta/models/m-1:streamGenerateContent", True),
        ("/api/create", False), ("/api/pull", False), ("/api/delete", False), ("/api/copy", False),
        ("/api/push", False), ("/api/blobs/sha256:ab", False), ("/api/generate", False), ("/api/chat", False),
        ("/api/delete/messages", False), ("/v1/threads/t-1/messages", False), ("/v1/threads/t-1/responses", False),
        ("/v1/files/f:generateContent", False), ("/v1/models/m-1/messages", False),
        ("/v1/messages/batches/messages", False), ("/v2/chat/completions", False),
    ],
)  # fmt: skip
def test_what_is_a_call_of_a_model(path: str, is_call: bool) -> None:
    assert (reading_of(path) is not None) is is_call


class Account:
    """Lets every call through, and keeps what became of it."""

    def __init__(self) -> None:
        self.told = list[Any]()

    async def reserve(self, call: Any) -> "Account":
        return self

    async def settle(self, became: Any) -> None:
        self.told.append(became)


@contextlib.asynccontextmanager
async def gateway(
    server: Vendor, account: Any, before: Before | None = None, *, folder: Path | None = None
) -> AsyncIterator[tuple[str, httpx2.AsyncClient]]:
    """The address of the model's API behind one, and a client that has the stand-in."""
    way = ProviderWay(server.address, KeyStandIn(STAND_IN, Key(KEY, before), OF_KEYS))
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    limits = httpx2.Limits(max_connections=100)
    async with (
        ModelGateway({MODEL: way}, Nowhere(), account, folder=folder).serve([listener]),
        httpx2.AsyncClient(headers={"x-api-key": STAND_IN}, limits=limits, timeout=60) as client,
    ):
        yield f"http://127.0.0.1:{port}/{MODEL}", client


ASKED = {"model": "m-1", "max_tokens": 5, "stream": False, "messages": [{"role": "user", "content": "x"}]}


async def test_the_key_opens_nothing_but_a_model(server: Vendor) -> None:
    account = Account()
    async with gateway(server, account) as (address, client):
        for path in (
            "/v1/messages/batches", "/v1/files", "/v1/messages/", "/v1/batches?/messages", "/v1/files#/messages",
            "//files/v1/models", "/v1/files/%2E%2e/messages", "/v1/files/../models",
        ):  # fmt: skip
            assert await raw(address, path) == 404, path
        assert (server.asked, account.told) == ([], [])
        server.says(Says(text=("hello",)))
        answered = await client.post(f"{address}/v1/messages", json=ASKED)
    assert (answered.status_code, server.headers[0]["x-api-key"]) == (200, KEY)
    assert [type(each) for each in account.told] == [Metered]


async def raw(address: str, path: str) -> int:
    """The status of a call whose target nobody puts into order."""
    host, _, port = address.removeprefix("http://").partition("/")[0].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps(ASKED)
    target = f"/{MODEL}{path}"
    writer.write(f"POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


async def test_the_key_is_put_where_keys_are_and_nowhere_else(server: Vendor) -> None:
    """A provider quotes what it does not like of other headers, and its answer is read in the sandbox."""
    server.says(Says(text=("hello",)))
    quoted = {"anthropic-beta": STAND_IN, "user-agent": STAND_IN, "x-request-id": STAND_IN}
    async with gateway(server, Account()) as (address, client):
        headers = {**quoted, "authorization": f"Bearer {STAND_IN}"}
        await client.post(f"{address}/v1/messages", json=ASKED, headers=headers)
    [sent] = server.headers
    assert (sent["x-api-key"], sent["authorization"]) == (KEY, f"Bearer {KEY}")
    assert [name for name, value in sent.items() if KEY in value] == ["x-api-key", "authorization"]


async def test_what_a_provider_says_of_a_refused_key_stays_outside(server: Vendor) -> None:
    server.says(Refuses(401, message=f"{KEY} is no key"))
    account = Account()
    async with gateway(server, account) as (address, client):
        answered = await client.post(f"{address}/v1/messages", json=ASKED)
    assert (answered.status_code, KEY in answered.text) == (401, False)
    assert account.told == [KeyRefused(401)]


async def test_a_rotated_key_that_is_refused_is_followed_by_the_one_before(server: Vendor) -> None:
    """As our own loop does: once, and for all calls that go on."""
    found = list[str]()

    async def before() -> SecretStr:
        found.append("asked for")
        await asyncio.sleep(0.01)
        return SecretStr(" sk-the-one-before\n")

    server.knows = {"sk-the-one-before"}
    server.says(*[Says(text=("hello",))] * 9)
    account = Account()
    async with gateway(server, account, before) as (address, client):
        answers = await asyncio.gather(*[client.post(f"{address}/v1/messages", json=ASKED) for _ in range(8)])
        answers.append(await client.post(f"{address}/v1/messages", json=ASKED))
        assert {answer.status_code for answer in answers} == {200}
        assert len(found) == 1
        assert server.headers[-1]["x-api-key"] == "sk-the-one-before"
        assert [type(each) for each in account.told] == [Metered] * 9
        server.knows = {"another"}
        last = await client.post(f"{address}/v1/messages", json=ASKED)
    assert (last.status_code, account.told[-1], len(found)) == (401, KeyRefused(401), 1)


@pytest.mark.parametrize("status", [401, 403])
async def test_without_a_key_before_a_refusal_stands(server: Vendor, status: int) -> None:
    async def before() -> None:
        return None

    server.says(Refuses(status))
    account = Account()
    async with gateway(server, account, before) as (address, client):
        answered = await client.post(f"{address}/v1/messages", json=ASKED)
    assert (answered.status_code, account.told, len(server.asked)) == (status, [KeyRefused(status)], 1)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"[]", {}), (b"{", {}), (b"", {}), (json.dumps({**ASKED, "background": True}).encode(), {}),
        (json.dumps(ASKED).encode(), {"content-encoding": "gzip"}),
    ],
)  # fmt: skip
async def test_what_could_not_be_metered_is_not_asked(server: Vendor, body: bytes, headers: dict[str, str]) -> None:
    account = Account()
    async with gateway(server, account) as (address, client):
        answered = await client.post(f"{address}/v1/messages", content=body, headers=headers)
    assert (answered.status_code, server.asked, account.told) == (400, [], [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limits", "passed"),
    [
        # A call reserves 41 tokens of input (123 bytes) and 5 of output, and uses 15: two are left room for at once,
        # and the last one begins with 10 left.
        ({"tokens": 100}, 7),
        ({"micros": 100}, 7),
        ({"turns": 3}, 3),
    ],
)
async def test_calls_at_once_use_no_more_than_one_beyond(server: Vendor, limits: dict[str, int], passed: int) -> None:
    async def cost(model: str, usage: Any) -> float:
        return tokens_of(usage) / 1_000_000

    inbox: Inbox[Any, Any] = Inbox()
    allowance = Allowance(**{"turns": 50, "tokens": None, "micros": None, **limits})
    account = RunAccount("m-1", cost, allowance, inbox)
    server.says(*[Says(text=("hel", "lo"), pause=0.02)] * 32)
    async with gateway(server, account) as (address, client):
        body = {**ASKED, "stream": True}
        answers = await asyncio.gather(*[client.post(f"{address}/v1/messages", json=body) for _ in range(32)])
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * passed + [403] * (32 - passed)
    assert len(server.asked) == passed
    bookings = [inbox.call_left() for _ in range(passed)]
    assert inbox.call_left() is None
    assert sum(tokens_of(each.usage) for each in bookings) == 15 * passed
    assert account.over == {"tokens": "tokens", "micros": "money", "turns": "turns"}[next(iter(limits))]


async def test_a_call_that_fails_gives_back_what_was_set_aside(server: Vendor) -> None:
    async def cost(model: str, usage: Any) -> None:
        return None

    account = RunAccount("m-1", cost, Allowance(turns=1, tokens=None, micros=None), Inbox())
    server.says(Refuses(500), Refuses(529), Says(text=("hello",)))
    async with gateway(server, account) as (address, client):
        statuses = [(await client.post(f"{address}/v1/messages", json=ASKED)).status_code for _ in range(4)]
    assert statuses == [500, 529, 200, 403]


@pytest.mark.slow
async def test_who_has_gone_while_waiting_is_not_asked_for(server: Vendor) -> None:
    async def cost(model: str, usage: Any) -> None:
        return None

    account = RunAccount("m-1", cost, Allowance(turns=2, tokens=60, micros=None), Inbox())
    server.says(Says(text=("a", "b", "c"), pause=0.2), Says(text=("late",)))
    async with gateway(server, account) as (address, client):
        first = asyncio.create_task(client.post(f"{address}/v1/messages", json={**ASKED, "stream": True}))
        async with asyncio.timeout(10):
            while not server.asked:
                await asyncio.sleep(0.01)
        with pytest.raises(httpx2.TimeoutException):
            await client.post(f"{address}/v1/messages", json=ASKED, timeout=0.1)
        await first
        last = await client.post(f"{address}/v1/messages", json=ASKED)
    assert (last.status_code, len(server.asked)) == (200, 2)


# ---- bodies ----------------------------------------------------------------------------------------------------------

MIB = 1 << 20


async def begun(address: str, announced: int, said: int = 0, head: str = "") -> tuple[Any, Any]:
    """A call whose body does not come to its end."""
    host, _, port = address.removeprefix("http://").partition("/")[0].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    length = head or f"content-length: {announced}"
    writer.write(f"POST /{MODEL}/v1/messages HTTP/1.1\r\nhost: x\r\n{length}\r\n\r\n".encode())
    piece = bytes(MIB)
    for _ in range(said // MIB):
        writer.write(piece)
        await writer.drain()
    return reader, writer


async def status_of(reader: asyncio.StreamReader) -> int:
    async with asyncio.timeout(20):
        return int((await reader.readline()).split()[1])


def resident() -> int:
    """Bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) << 10


@pytest.mark.slow
async def test_bodies_that_do_not_end_lie_on_the_disk_and_are_bounded_together(server: Vendor, tmp_path: Path) -> None:
    async with gateway(server, Account(), folder=tmp_path) as (address, client):
        await client.post(f"{address}/v1/files", json=ASKED)  # whatever is made once
        before = resident()
        opened = [await begun(address, 62 * MIB, 31 * MIB) for _ in range(2)]
        more = [await begun(address, 62 * MIB) for _ in range(8)]
        assert [await status_of(reader) for reader, _ in more] == [429] * 8
        async with asyncio.timeout(20):
            while (spooled := _open_files(tmp_path)) < 62 * MIB - 2 * 256 * 1024:
                await asyncio.sleep(0.05)
        assert spooled <= 62 * MIB
        assert resident() - before < 24 * MIB
        assert os.listdir(tmp_path) == []
        for _, writer in (*opened, *more):
            writer.close()
        server.says(Says(text=("hello",)))
        async with asyncio.timeout(20):
            while _open_files(tmp_path):
                await asyncio.sleep(0.05)
        answered = await client.post(f"{address}/v1/messages", json={**ASKED, "system": "x" * 40 * MIB})
        assert answered.status_code == 200
    assert len(server.asked[-1]["system"]) == 40 * MIB


def _open_files(folder: Path) -> int:
    """Bytes of files that have no name in the folder."""
    size = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(folder)):
                size += os.fstat(int(descriptor)).st_size
    return size


async def test_one_that_is_too_large_is_refused(server: Vendor, tmp_path: Path) -> None:
    async with gateway(server, Account(), folder=tmp_path) as (address, _):
        reader, writer = await begun(address, 64 * MIB + 1)
        assert await status_of(reader) == 413
        writer.close()
        reader, writer = await begun(address, 0, head="transfer-encoding: chunked")
        piece = b"100000\r\n" + bytes(MIB) + b"\r\n"
        for _ in range(65):
            writer.write(piece)
            await writer.drain()
        assert await status_of(reader) == 413
        writer.close()
    assert server.asked == []


async def test_one_that_does_not_arrive_is_given_up(
    server: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateways, "ARRIVES", 0.3)
    async with gateway(server, Account(), folder=tmp_path) as (address, client):
        reader, writer = await begun(address, 2 * MIB, MIB)
        assert await status_of(reader) == 408
        writer.close()
        server.says(Says(text=("hello",)))
        assert (await client.post(f"{address}/v1/messages", json=ASKED)).status_code == 200
    assert _open_files(tmp_path) == 0


@pytest.mark.parametrize("size", [0, 1, 256 << 10, (256 << 10) + 1, 3 * MIB + 7])
async def test_a_body_comes_as_it_was_sent_and_once_more_where_the_key_was_old(
    server: Vendor, tmp_path: Path, size: int
) -> None:
    async def before() -> SecretStr:
        return SecretStr("sk-the-one-before")

    server.knows = {"sk-the-one-before"}
    server.says(Says(text=("hello",)))
    system = random.Random(size).randbytes(size // 2).hex() + "x" * (size % 2)
    async with gateway(server, Account(), before, folder=tmp_path) as (address, client):
        answered = await client.post(f"{address}/v1/messages", json={**ASKED, "system": system})
    assert (answered.status_code, len(server.asked)) == (200, 2)
    assert [asked["system"] == system for asked in server.asked] == [True, True]
    assert {"content-length", "transfer-encoding"} & server.headers[-1].keys() == {"content-length"}


async def test_a_body_of_many_values_is_not_taken_apart(server: Vendor, tmp_path: Path) -> None:
    async with gateway(server, Account(), folder=tmp_path) as (address, client):
        body = b'{"model": "m-1", "messages": [' + b"[]," * 1_000_001 + b"[]]}"
        answered = await client.post(f"{address}/v1/messages", content=body)
    assert (answered.status_code, server.asked) == (400, [])
    assert "values" in answered.text


@pytest.mark.slow
async def test_connections_beyond_those_that_wait_are_closed(server: Vendor) -> None:
    async with gateway(server, Account()) as (address, _):
        opened = [await begun(address, 1) for _ in range(140)]
        ended = [asyncio.ensure_future(reader.read(1)) for reader, _ in opened]
        await asyncio.wait(ended, timeout=3)
        assert sum(task.done() for task in ended) == 12
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
        for _, writer in opened:
            writer.close()
