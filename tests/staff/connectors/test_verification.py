"""Values are put before a provider, each of which a fake stands for: what is asked, and what is told of the answer."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest

from resolvers.instance.running import instance
from resolvers.staff.connectors import verification
from resolvers.staff.connectors.catalog import catalog
from resolvers.staff.connectors.forms import Filling
from tests.every import each_of
from tests.staff.connectors.test_installation import form_of
from tests.world import World

pytestmark = pytest.mark.anyio
ASKING = [id for id, one in catalog().items() if one.verify is not None and one.verify.http is not None]
SILENT = [id for id in catalog() if id not in ASKING]


@dataclass
class Provider:
    """Takes what has `good` in it, and says what it got to everybody else."""

    url: str = ""
    asked: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            return writer.close()
        self.asked.append(head)
        status, body = (200, b"{}") if "good" in head else (401, b"Bad credentials: " + head.encode())
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch, world: World) -> AsyncIterator[Provider]:
    """Stands for the host of every manifest: the rest of the address stays."""
    made = Provider()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    class Here(Filling):
        def text(self, template: str) -> str:
            filled = super().text(template)
            return made.url + "/" + filled.split("/", 3)[3] if filled.startswith("https://") else filled

    monkeypatch.setattr(verification, "Filling", Here)
    allowed = instance.settings.model_copy(update={"mcp_allow_private": True})
    with mock.patch.object(instance, "_settings", allowed):
        yield made
    server.close()


async def verify(world: World, id: str, fields: dict[str, Any]) -> dict[str, Any]:
    answer = await world.rest(world.manager, "POST", f"/api/v1/connectors/{id}/verify", {"fields": fields})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


@pytest.mark.parametrize("id", ASKING)
async def test_each_provider_is_asked_as_its_manifest_says(world: World, provider: Provider, id: str) -> None:
    request = catalog()[id].verify.http  # type: ignore[union-attr]
    form = {key: value.replace("canary", "good") for key, value in form_of(id).items()}
    before = await world.snapshot()
    assert await verify(world, id, form) == {"ok": True}
    (asked,) = provider.asked
    assert asked.startswith(f"{request.method} /")  # type: ignore[union-attr]
    for name, template in (request.headers or {}).items():  # type: ignore[union-attr]
        value = template
        for key, text in form.items():
            value = value.replace("${field." + key + "}", text)
        assert f"{name}: {value}".lower() in asked.lower()
    refused = await verify(world, id, form_of(id))
    assert refused["ok"] is False
    assert "401" in refused["message"]
    assert "canary" not in refused["message"]
    assert len(refused["message"]) < 700
    assert await world.snapshot() == before


@pytest.mark.parametrize("id", SILENT)
async def test_where_there_is_nothing_to_ask_nobody_is(world: World, provider: Provider, id: str) -> None:
    assert await verify(world, id, form_of(id)) == {"ok": True}
    assert provider.asked == []


async def test_refusals(world: World, provider: Provider) -> None:
    path = "/api/v1/connectors/github/verify"
    for body in ({"fields": {}}, {"fields": {"pat": " "}}, {"fields": []}, {"fields": {"pat": 5}}, {}):
        assert (await world.rest(world.manager, "POST", path, body)).status_code == 400
    assert (await world.rest(world.manager, "POST", "/api/v1/connectors/nope/verify", {})).status_code == 404
    needed = {"host": "h", "database": "d", "user": "u", "password": "p", "ssl": "require"}
    missing = await world.rest(world.manager, "POST", "/api/v1/connectors/postgres/verify", {"fields": needed})
    assert missing.status_code == 400
    for person in (world.viewer, world.member, world.outsider):
        assert (await world.rest(person, "POST", path, {"fields": {"pat": "x"}})).status_code == 403
    split = await verify(world, "github", {"pat": "good\r\nX-Evil: 1"})
    assert split["ok"] is False
    assert provider.asked == []


INSIDE = [
    "http://127.0.0.1:1", "http://localhost", "http://10.0.0.1", "http://2130706433", "http://0x7f.1", "http://[::1]",
    "http://[::ffff:7f00:1]", "http://x.internal", "http://u:p@example.com", "file:///etc", "http://169.254.169.254",
]  # fmt: skip


@each_of("url", INSIDE)
async def test_nobody_inside_is_asked(world: World, url: str) -> None:
    answer = await verify(world, "mattermost", {"url": url, "token": "canary"})
    assert answer["ok"] is False
    assert "canary" not in answer["message"]


async def test_values_are_in_no_address(world: World, provider: Provider) -> None:
    document = '{ verifyConnector(input: {connectorId: "github", fields: {a: "canary"}}) { ok } }'
    for query, status, said in (
        (document, 200, "Cannot query field 'verifyConnector'"),
        (f"mutation {document}", 405, "GET may only run queries"),
    ):
        async with world.client(world.manager) as client:
            answer = await client.get("/graphql", params={"query": query}, headers={"accept": "application/json"})
        assert (answer.status_code, said in answer.text) == (status, True), answer.text
    assert provider.asked == []
