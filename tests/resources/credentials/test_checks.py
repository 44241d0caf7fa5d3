"""Values are put before a provider: what is asked, what is told of the answer, and that nothing else changes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from resolvers.resources.credentials.probes import PROBES
from tests.resources.credentials.test_credentials import CANARY, PATH, made
from tests.work.issues.board import UNKNOWN, Board

pytestmark = pytest.mark.anyio
ANSWERS = {"good": 200, "limited": 429, "forbidden": 403, "broken": 500}


@dataclass
class Provider:
    """Answers by the beginning of the key, and keeps what it was asked."""

    asked: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        status = next((status for begin, status in ANSWERS.items() if f"{begin}-" in head), 401)
        writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Provider]:
    made = Provider()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for name, probe in PROBES.items():
        _, _, rest = probe.url.removeprefix("https://").partition("/")
        monkeypatch.setitem(PROBES, name, replace(probe, url=f"{address}/{rest}"))
    yield made
    server.close()
    await server.wait_closed()


async def ask(board: Board, **body: Any) -> dict[str, Any]:
    answer = await board.ask("POST", f"{PATH}/test", body, board.world.viewer)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", sorted(PROBES))
async def test_each_provider_is_asked_as_it_documents(board: Board, provider: Provider, name: str) -> None:
    assert await ask(board, value=f"good-{CANARY}", provider=name) == {"valid": True, "status": 200, "supported": True}
    [asked] = provider.asked
    probe = PROBES[name]
    assert asked.startswith(f"GET /{probe.url.split('/', 3)[3]}")
    for header, value in probe.others:
        assert f"{header}: {value}" in asked.lower().replace("Crewship", "crewship") or f"{header}: {value}" in asked
    for key, status in (("bad", 401), ("forbidden", 403), ("limited", 429), ("broken", 500)):
        shown = await ask(board, value=f"{key}-{CANARY}", provider=name)
        assert shown["status"] == status
        assert shown["valid"] is (status == 429 and name == "ANTHROPIC")
        assert shown["error"], "also why one that is good may not be used for the moment"
        assert CANARY not in str(shown)


@pytest.mark.parametrize(
    "body",
    [
        {"provider": "SOMETHING"},
        {},
        {"provider": "github"},
        {"provider": "ANTHROPIC", "type": "AI_CLI_TOKEN"},
        {"provider": "ANTHROPIC", "value": "sk-ant-oat-1"},
    ],
)
async def test_what_no_provider_can_be_asked_counts_as_valid_with_a_remark(
    board: Board, provider: Provider, body: dict[str, Any]
) -> None:
    shown = await ask(board, **({"value": CANARY} | body))
    assert (shown["valid"], shown["status"], shown["supported"]) == (True, 0, False)
    assert provider.asked == []


async def test_no_header_can_be_smuggled_in_a_value(board: Board, provider: Provider) -> None:
    for value in ("good-\r\nx: y", "good-\n", "good- ä", "good-\0"):
        for name in ("OPENAI", "GOOGLE"):
            answer = await board.ask("POST", f"{PATH}/test", {"value": value, "provider": name})
            assert answer.status_code in (200, 400)
            assert answer.status_code == 400 or answer.json()["valid"] is False
    assert provider.asked == []


async def test_a_provider_that_is_away_is_no_fault(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROBES, "OPENAI", replace(PROBES["OPENAI"], url="http://127.0.0.1:1/"))
    shown = await ask(board, value=CANARY, provider="OPENAI")
    assert (shown["valid"], shown["status"]) == (False, 0)
    assert CANARY not in shown["error"]


@pytest.mark.parametrize("body", [{}, {"value": ""}, {"value": 1}, {"value": "x", "provider": 5}])
async def test_a_value_is_required(board: Board, body: dict[str, Any]) -> None:
    assert (await board.ask("POST", f"{PATH}/test", body)).status_code == 400


async def test_the_stored_value_is_tested_and_told_on_the_timeline_alone(board: Board, provider: Provider) -> None:
    credential = await made(board, value=f"bad-{CANARY}", provider="GITHUB", type="API_KEY")
    path = f"{PATH}/{credential['id']}"
    before = await board.read(path)
    shown = (await board.ask("POST", f"{path}/test", {"value": "good-other"})).json()
    assert (shown["valid"], shown["status"]) == (False, 401)
    assert await board.read(path) == before
    line = (await board.read(f"{path}/audit"))[0]
    assert (line["event_type"], line["metadata"]) == ("TEST", {"valid": False, "error": shown["error"]})
    await board.ask("PATCH", path, {"value": f"good-{CANARY}"})
    assert (await board.ask("POST", f"{path}/test")).json() == {"valid": True, "status": 200, "supported": True}
    assert (await board.read(f"{path}/audit"))[0]["metadata"] == {"valid": True}
    assert (await board.ask("POST", f"{path}/test", None, board.world.member)).status_code == 403
    assert (await board.ask("POST", f"{PATH}/{UNKNOWN}/test")).status_code == 404


async def test_a_slot_has_nothing_to_test(board: Board, provider: Provider) -> None:
    slot = await made(board, value="", pending=True, provider="GITHUB")
    shown = (await board.ask("POST", f"{PATH}/{slot['id']}/test")).json()
    assert (shown["valid"], shown["status"], provider.asked) == (False, 0, [])
