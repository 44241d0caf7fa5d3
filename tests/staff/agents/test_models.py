"""Lists of models: live from providers on loopback, kept for a while, and the usual ones where none answers."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resolvers.kernel import instance
from resolvers.rules.model_catalog import CURATED, ModelProvider
from resolvers.staff.agents import models
from tests.world import Person, World

pytestmark = pytest.mark.anyio
KEY = "sk-the-key-of-the-workspace"
ADDRESSES = ("anthropic_base_url", "openai_base_url", "ollama_base_url")
KEYS = ("anthropic_api_key", "openai_api_key")
LISTED = """query($ws: ID, $provider: ModelProvider!) { models(workspaceId: $ws, provider: $provider) {
    provider source models { id displayName provider } } }"""


@dataclass
class Shop:
    """A provider that offers what a test says. `asked`: path and query, and the header with the key."""

    address: str = ""
    offers: Any = None
    status: int = 200
    asked: list[tuple[str, str]] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: Request) -> Response:
        names = ("x-api-key", "authorization", "x-goog-api-key")
        sent = next((request.headers[name] for name in names if name in request.headers), "")
        self.asked.append((f"{request.url.path}?{request.url.query}".rstrip("?"), sent))
        await self.open.wait()
        return self.offers if isinstance(self.offers, Response) else JSONResponse(self.offers, self.status)


@contextlib.asynccontextmanager
async def opened() -> AsyncIterator[Shop]:
    shop, listener = Shop(), socket.socket(proto=socket.IPPROTO_TCP)
    shop.open.set()
    listener.bind(("127.0.0.1", 0))
    shop.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app = Starlette(routes=[Route("/{path:path}", shop.answer)])
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="critical", access_log=False))
    task = asyncio.create_task(server._serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield shop
    finally:
        shop.open.set()
        server.should_exit = True
        await task
        listener.close()


@pytest.fixture
async def shop(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    """Where all providers are; nothing is kept from before."""
    await world.database.execute("DELETE FROM credentials")
    monkeypatch.setattr(models, "lists", models.Lists())
    async with opened() as made:
        at = {name: replace(catalog, address=made.address) for name, catalog in models.CATALOGS.items()}
        at[ModelProvider.OLLAMA] = models.CATALOGS[ModelProvider.OLLAMA]
        monkeypatch.setattr(models, "CATALOGS", at)
        configure(monkeypatch, ollama_base_url=f"{made.address}/v1")
        yield made


def configure(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
    update = dict.fromkeys((*ADDRESSES, *KEYS)) | settings
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update=update))


async def key(world: World, provider: str, value: str = KEY, **more: Any) -> str:
    number = await world.database.fetchval("SELECT count(*) FROM credentials")
    body = {"name": f"key {number}", "type": "API_KEY", "provider": provider, "value": value} | more
    answer = await world.rest(world.admin, "POST", "/api/v1/credentials", body)
    assert answer.status_code == 201, answer.text
    id: str = answer.json()["id"]
    return id


async def listed(world: World, provider: str, person: Person | None = None) -> Any:
    async with world.client(person or world.viewer) as client:
        return await client.get("/api/v1/models", params={"workspace_id": world.workspace.id, "provider": provider})


CLAUDE = {"data": [{"id": "claude-x", "display_name": "Claude X", "type": "model"}, {"id": "claude-y"}]}
GPT = {"data": [{"id": "gpt-x", "object": "model"}]}
GEMINI = {
    "models": [
        {"name": "models/gemini-x", "displayName": "Gemini X", "supportedGenerationMethods": ["generateContent"]},
        {"name": "models/embedding-x", "displayName": "No", "supportedGenerationMethods": ["embedContent"]},
    ]
}


@pytest.mark.parametrize(
    ("provider", "offers", "asked", "shown"),
    [
        ("anthropic", CLAUDE, ("/v1/models?limit=1000", KEY), [("claude-x", "Claude X"), ("claude-y", None)]),
        ("openai", GPT, ("/models", f"Bearer {KEY}"), [("gpt-x", None)]),
        ("google", GEMINI, ("/v1beta/models?pageSize=1000", KEY), [("gemini-x", "Gemini X")]),
        ("ollama", {"models": [{"name": "llama3:8b", "size": 5}]}, ("/api/tags", ""), [("llama3:8b", None)]),
        ("ollama", {"models": []}, ("/api/tags", ""), []),
    ],
)
async def test_a_provider_is_asked(
    world: World, shop: Shop, provider: str, offers: Any, asked: Any, shown: list[Any]
) -> None:
    if provider != "ollama":
        await key(world, provider.upper())
        await key(world, provider.upper(), "sk-a-newer-key")
    shop.offers = offers
    answer = await listed(world, provider.title())
    assert answer.status_code == 200, answer.text
    expected = [{"id": id} | ({"display_name": name} if name else {}) | {"provider": provider} for id, name in shown]
    assert answer.json() == {"provider": provider.upper(), "source": "live", "models": expected}
    assert shop.asked == [asked]
    found = await world.graphql(world.viewer, LISTED, {"ws": world.workspace.id, "provider": provider.upper()})
    models_shown = [{"id": id, "displayName": name, "provider": provider} for id, name in shown]
    assert found["data"]["models"] == {"provider": provider.upper(), "source": "live", "models": models_shown}
    assert len(shop.asked) == 1


@pytest.mark.parametrize(
    ("status", "offers"),
    [
        (401, {"error": f"no such key {KEY}"}),
        (500, {}),
        (200, {}),
        (200, []),
        (200, {"data": [5]}),
        (200, {"data": []}),
        (200, {"data": [{"id": 5}, {"id": ""}, {"id": "x" * 5000}]}),
        (200, Response(b"{", media_type="application/json")),
        (200, Response(b" " * ((1 << 20) + 1))),
        (302, Response(b"", 302, {"location": "http://127.0.0.1:1/"})),
    ],
)
async def test_a_provider_that_does_not_say_what_it_offers(world: World, shop: Shop, status: int, offers: Any) -> None:
    await key(world, "ANTHROPIC")
    shop.status, shop.offers = status, offers
    answer = await listed(world, "ANTHROPIC")
    assert (answer.status_code, answer.json()["source"]) == (200, "curated")
    assert [each["id"] for each in answer.json()["models"]] == [each.id for each in CURATED[ModelProvider.ANTHROPIC]]
    assert KEY not in answer.text
    assert (await listed(world, "ANTHROPIC")).json() == answer.json()
    assert len(shop.asked) == 1, "one that is down is not asked by everybody"


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"type": "AI_CLI_TOKEN", "provider": "ANTHROPIC"},
        {"provider": "OPENAI"},
        {"status": "REVOKED"},
    ],
)
async def test_without_a_key_nobody_is_asked(world: World, shop: Shop, other: dict[str, Any]) -> None:
    if other:
        status = other.pop("status", None)
        id = await key(world, **({"provider": "ANTHROPIC"} | other))
        if status:
            await world.database.execute("UPDATE credentials SET status = $2 WHERE id = $1", id, status)
    answer = await listed(world, "ANTHROPIC")
    assert (answer.status_code, answer.json()["source"], shop.asked) == (200, "curated", [])


async def test_an_ollama_server_that_is_down(world: World, shop: Shop) -> None:
    shop.status, shop.offers = 500, {}
    answer = await listed(world, "OLLAMA")
    assert answer.status_code == 502
    assert answer.json()["detail"] == models.UNREACHED
    shop.status, shop.offers = 200, {"models": [{"name": "llama"}]}
    assert (await listed(world, "OLLAMA")).json()["models"] == [{"id": "llama", "provider": "ollama"}]


@pytest.mark.parametrize("provider", ["", "CURSOR", " openai", "openai\x00"])
async def test_what_is_no_provider(world: World, shop: Shop, provider: str) -> None:
    answer = await listed(world, provider)
    assert (answer.status_code, answer.json()["status"], shop.asked) == (400, 400, [])


async def test_many_at_once_ask_once(world: World, shop: Shop) -> None:
    """Also when the first of them does not wait for it."""
    await key(world, "OPENAI")
    shop.offers = GPT
    shop.open.clear()
    first = asyncio.create_task(listed(world, "OPENAI"))
    while not shop.asked:
        await asyncio.sleep(0.01)
    others = [asyncio.create_task(listed(world, "OPENAI")) for _ in range(5)]
    first.cancel()
    await asyncio.sleep(0.05)
    shop.open.set()
    assert {answer.json()["source"] for answer in await asyncio.gather(*others)} == {"live"}
    assert len(shop.asked) == 1


async def test_another_key_another_list(world: World, shop: Shop) -> None:
    """And none is shown to another workspace."""
    id = await key(world, "OPENAI")
    shop.offers = GPT
    assert (await listed(world, "OPENAI")).json()["source"] == "live"
    body = {"value": "sk-the-key-after-it", "grace_minutes": 0}
    assert (await world.rest(world.admin, "POST", f"/api/v1/credentials/{id}/rotate", body)).status_code == 200
    shop.offers = {"data": [{"id": "gpt-new"}]}
    assert (await listed(world, "OPENAI")).json()["models"] == [{"id": "gpt-new", "provider": "openai"}]
    assert [sent for _, sent in shop.asked] == [f"Bearer {KEY}", "Bearer sk-the-key-after-it"]
    async with world.client(world.outsider) as client:
        theirs = await client.get("/api/v1/models", params={"workspace_id": world.other.id, "provider": "OPENAI"})
    assert theirs.json()["source"] == "curated"


async def test_a_list_is_asked_for_again_after_a_while(
    world: World, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await key(world, "OPENAI")
    shop.offers = GPT
    await listed(world, "OPENAI")
    at = models.monotonic()
    monkeypatch.setattr(models, "monotonic", lambda: at + models.FRESH + 1)
    shop.offers = {"data": [{"id": "gpt-new"}]}
    assert (await listed(world, "OPENAI")).json()["models"] == [{"id": "gpt-new", "provider": "openai"}]


async def test_a_server_of_the_operators_own(world: World, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever speaks as OpenAI does, with a key or without."""
    configure(monkeypatch, openai_base_url=f"{shop.address}/local/v1/")
    shop.offers = {"data": [{"id": "qwen"}]}
    assert (await listed(world, "OPENAI")).json()["models"] == [{"id": "qwen", "provider": "openai"}]
    assert shop.asked == [("/local/v1/models", "")]
