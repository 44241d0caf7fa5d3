"""HTTP steps: the hosts that they may call, redirects, and what a receiver learns."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from models.staff.crews import NetworkMode
from models.work.routines.document import HttpStep
from models.work.routines.templates import Values
from resolvers.instance.outbound import Outbound
from runtime.work.routines import requests
from runtime.work.routines.failures import StepError
from runtime.work.routines.requests import RequestPolicy, send
from tests.every import each_of

pytestmark = pytest.mark.anyio
HERE = RequestPolicy(NetworkMode.free, (), ("127.0.0.1",))


@pytest.fixture
def private() -> Iterator[None]:
    """The operator allows private addresses."""
    with mock.patch.object(requests, "instance", _instance(hooks_allow_private=True)):
        yield


def _instance(**settings: Any) -> Any:
    return SimpleNamespace(settings=SimpleNamespace(**settings), http=Outbound)


class Quay:
    """`answer`: status and location for the request of this number."""

    def __init__(self, answer: Callable[[int], tuple[int, str]] = lambda _: (200, "")) -> None:
        self.answer = answer
        self.got = list[tuple[str, dict[str, str], str]]()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            code, place = self.answer(len(self.got))
            self.got.append((head[0].rsplit(" ", 1)[0], headers, body.decode()))
            more = f"location: {place}\r\n" if place else ""
            writer.write(f"HTTP/1.1 {code} X\r\ncontent-length: 5\r\nconnection: close\r\n{more}\r\nAhoy\0".encode())
            await writer.drain()
        writer.close()


def step(url: str, method: str = "POST", **more: Any) -> HttpStep:
    return HttpStep.model_validate({"id": "a", "type": "http", "http": {"method": method, "url": url, **more}})


RULES: list[tuple[RequestPolicy, str, bool]] = [
    (RequestPolicy(NetworkMode.restricted), "https://api.anthropic.com/", True),
    (RequestPolicy(NetworkMode.restricted), "https://a.example/", False),
    (RequestPolicy(NetworkMode.restricted, ["A.example"]), "https://a.example./x", True),
    (RequestPolicy(NetworkMode.restricted, ["a.example"]), "https://b.a.example/", False),
    (RequestPolicy(NetworkMode.restricted, ["*.a.example"]), "https://b.a.example/", True),
    (RequestPolicy(NetworkMode.restricted, ["*.a.example"]), "https://a.example/", False),
    (RequestPolicy(NetworkMode.restricted, ["*.a.example"]), "https://ba.example/", False),
    (RequestPolicy(NetworkMode.restricted, ["a.example"], ["b.example"]), "https://a.example/", False),
    (RequestPolicy(NetworkMode.free), "https://a.example/", False),
    (RequestPolicy(NetworkMode.free), "https://api.openai.com/", True),
    (RequestPolicy(NetworkMode.free, (), ["a.example"]), "https://b.A.example/", True),
    (RequestPolicy(NetworkMode.free, (), ["a.example"]), "https://ba.example/", False),
    (RequestPolicy(None, (), ["a.example"]), "http://a.example/", True),
    (RequestPolicy(None, (), ["a.example"]), "ftp://a.example/", False),
    (RequestPolicy(None, (), ["a.example"]), "https://a.example@b.example/", False),
    (RequestPolicy(None, (), ["a.example"]), "https://[a.example/", False),
]


@each_of(("policy", "url", "permitted"), RULES)
def test_hosts(policy: RequestPolicy, url: str, permitted: bool) -> None:
    if permitted:
        policy.check(url)
    else:
        with pytest.raises(StepError):
            policy.check(url)


async def test_a_request_has_its_key_and_the_answer_is_cut(private: None) -> None:
    quay = Quay()
    async with quay.listening() as url:
        said = step(f"{url}/{{{{ inputs.x }}}}", body="{{ inputs.x }}", headers={"X-Deck": "{{ inputs.x }}"})
        assert await send(said, Values(inputs={"x": "n"}), "run_1/a", HERE) == "Ahoy"
        assert await send(step(url, max_response_bytes=2), Values(), "k", HERE) == "Ah\n...(response truncated)"
        await send(step(url, "get"), Values(), "k", HERE)
    line, headers, body = quay.got[0]
    assert (line, body) == ("POST /n", "n")
    sent = {name: headers[name] for name in ("idempotency-key", "content-type", "x-deck")}
    assert sent == {"idempotency-key": "run_1/a", "content-type": "application/json", "x-deck": "n"}
    assert "idempotency-key" not in quay.got[2][1]


async def test_another_status_fails_with_its_number(private: None) -> None:
    quay = Quay(lambda n: (503, ""))
    async with quay.listening() as url:
        with pytest.raises(StepError, match=r"POST 127\.0\.0\.1 got HTTP 503 Ahoy"):
            await send(step(url), Values(), "k", HERE)
        assert await send(step(url, success_codes=[503]), Values(), "k", HERE) == "Ahoy"


async def test_redirects_are_followed_as_far_as_hosts_are_permitted(private: None) -> None:
    quay = Quay(lambda n: [(307, "/same"), (303, "/found"), (200, "")][min(n, 2)])
    async with quay.listening() as url:
        await send(step(url, body="x"), Values(), "k", HERE)
    assert [(line, body) for line, _, body in quay.got] == [("POST /", "x"), ("POST /same", "x"), ("GET /found", "")]
    assert ["idempotency-key" in headers for _, headers, _ in quay.got] == [True, True, False]
    quay = Quay(lambda n: (302, "http://elsewhere.example/"))
    async with quay.listening() as url:
        with pytest.raises(StepError, match=r"elsewhere\.example"):
            await send(step(url), Values(), "k", HERE)
    assert len(quay.got) == 1
    quay = Quay(lambda n: (302, "/again"))
    async with quay.listening() as url:
        with pytest.raises(StepError, match="more than 10 times"):
            await send(step(url), Values(), "k", HERE)
    assert len(quay.got) == 11


async def test_another_server_learns_no_secret(private: None) -> None:
    second = Quay()
    async with second.listening() as there:
        first = Quay(lambda n: (307, f"{there}/x"))
        async with first.listening() as here:
            await send(step(here, headers={"Authorization": "Bearer s", "X-Deck": "1"}), Values(), "k", HERE)
    assert first.got[0][1]["authorization"] == "Bearer s"
    assert "authorization" not in second.got[0][1]
    assert second.got[0][1]["x-deck"] == "1"


async def test_a_private_address_is_not_called_unless_the_operator_allows_it() -> None:
    quay = Quay()
    async with quay.listening() as url:
        with (
            mock.patch.object(requests, "instance", _instance(hooks_allow_private=False)),
            pytest.raises(StepError, match="private address"),
        ):
            await send(step(url), Values(), "k", HERE)
    assert quay.got == []
