"""What passes the gateway with the key: calls of a model, which are metered, and what costs nothing."""

import contextlib
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import httpx2
import pytest

from runtime.coding.gateway import MODEL, Gateway, Metered, Way
from runtime.coding.metering import is_free
from tests.runtime.adapters.vendors import Says, Vendor

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


@pytest.mark.parametrize(
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


async def test_the_key_opens_nothing_but_a_model(server: Vendor) -> None:
    told = list[Any]()
    way = Way(server.address, {STAND_IN: KEY})
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    gateway = Gateway({MODEL: way}, Nowhere(), leave=lambda: "", tell=told.append)
    asked = {"model": "m-1", "max_tokens": 5, "stream": False, "messages": [{"role": "user", "content": "x"}]}
    async with gateway.serve([listener]), httpx2.AsyncClient(headers={"x-api-key": STAND_IN}) as client:
        for path in ("/v1/messages/batches", "/v1/files", "/v1/messages/", "/v1/batches?/messages"):
            refused = await client.post(f"http://127.0.0.1:{port}/{MODEL}{path}", json=asked)
            assert (refused.status_code, "Only calls of a model" in refused.text) == (404, True), path
        assert (server.asked, told) == ([], [])
        server.says(Says(text=("hello",)))
        answered = await client.post(f"http://127.0.0.1:{port}/{MODEL}/v1/messages", json=asked)
    assert (answered.status_code, server.headers[0]["x-api-key"]) == (200, KEY)
    assert [type(each) for each in told] == [Metered]
