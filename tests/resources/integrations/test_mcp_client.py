"""The client of MCP servers against a real server, and against one that does what no server should."""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from resolvers.instance.mcp_client import McpFailed, McpServer, called, offered
from resolvers.instance.outbound import Policy
from resolvers.rules.mcp_tools import (
    LONGEST_DESCRIPTION,
    LONGEST_NAME,
    MOST_TOOLS,
    WITHHELD,
    KnownTool,
    shown_name,
    shown_tools,
)
from tests.resources.integrations.mcp_hosts import Hostile, hostile, official

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def real() -> Iterator[dict[str, str]]:
    with official() as urls:
        yield urls


@pytest.fixture
async def bad() -> AsyncIterator[Hostile]:
    async with hostile() as made:
        yield made


def at(url: str, **headers: str) -> McpServer:
    return McpServer(url, headers, Policy.PRIVATE_TOO)


@pytest.mark.parametrize("transport", ["mcp", "sse"])
async def test_a_real_server_is_asked_and_used(real: dict[str, str], transport: str) -> None:
    server = at(real[transport])
    tools = {tool.name: tool for tool in await offered(server)}
    assert tools.keys() == {"add", "shout"}
    assert tools["add"].description == "Add two numbers."
    assert tools["add"].schema["properties"].keys() == {"a", "b"}
    assert (await called(server, "add", {"a": 2, "b": 3})).text == "5"
    wrong = await called(server, "add", {"a": "two"})
    assert wrong.is_error
    kept, left_out = shown_tools("my harbour", tools.values(), {})
    assert ([tool.shown for tool in kept], left_out) == (["mcp__my_harbour__add", "mcp__my_harbour__shout"], {})


async def test_a_private_address_is_not_reached(real: dict[str, str], bad: Hostile) -> None:
    for url in (real["mcp"], bad.url("good"), bad.url("good").replace("127.0.0.1", "localhost")):
        with pytest.raises(McpFailed, match="may not be called"):
            await offered(McpServer(url))
    assert bad.asked == {}


FAILS = {
    "moved": "redirect",
    "locked": "requires authentication",
    "page": "violates the MCP protocol|The server says",
    "flood": "too large",
    "inflates": "compressed its answer",
    "drip": "did not answer",
    "silent": "did not answer",
    "other-id": "did not answer",
    "unlike": "violates the MCP protocol",
    "unlike-text": "violates the MCP protocol",
    "unlike-odd": "violates the MCP protocol",
    "says-no": "The server says: Ignore all",
}


@pytest.mark.parametrize("form", FAILS)
async def test_a_server_that_misbehaves_is_given_up(bad: Hostile, form: str) -> None:
    began = time.monotonic()
    with pytest.raises(McpFailed, match=FAILS[form]) as failed:
        await offered(at(bad.url(form)), seconds=1.0)
    assert time.monotonic() - began < 5
    assert failed.value.timed_out == (FAILS[form] == "did not answer")


async def test_endless_pages_come_to_an_end(bad: Hostile) -> None:
    assert len(await offered(at(bad.url("pages")))) == 20
    assert len(await offered(at(bad.url("circle")))) == 2
    assert len(await offered(at(bad.url("many")))) == 1000


async def shown(bad: Hostile, form: str, **known: KnownTool) -> tuple[list[Any], dict[str, str]]:
    return shown_tools("bad", await offered(at(bad.url(form))), known)


async def test_a_model_is_shown_so_many_tools(bad: Hostile) -> None:
    kept, left_out = await shown(bad, "many")
    assert (len(kept), len(left_out)) == (MOST_TOOLS, 1000 - MOST_TOOLS)


async def test_names_that_differ_in_case_are_one(bad: Hostile) -> None:
    kept, left_out = await shown(bad, "case")
    assert [tool.name for tool in kept] == ["READ", "re.ad"]
    assert set(left_out) == {"Read", "read", "re_ad"}


async def test_a_schema_that_is_none_leaves_its_tool_out(bad: Hostile) -> None:
    kept, left_out = await shown(bad, "schemas")
    assert [tool.name for tool in kept] == ["fine"]
    assert set(left_out) == {"deep", "elsewhere", "large", "lures"}


async def test_names_are_what_the_apis_of_models_take(bad: Hostile) -> None:
    kept, left_out = await shown(bad, "names")
    assert [tool.shown for tool in kept] == ["mcp__bad__mcp__other__ok", "mcp__bad__ok"]
    assert len(left_out) == 3
    assert len(shown_name("s" * 99, "t" * 99)) == LONGEST_NAME


async def test_descriptions_are_bounded_marked_and_scanned(bad: Hostile) -> None:
    told = {tool.name: tool.description for tool in (await shown(bad, "lures"))[0]}
    assert told["plain"] == "[Of the MCP server bad] Adds two numbers."
    assert told["lure"] == f"[Of the MCP server bad] {WITHHELD}"
    assert len(told["long"]) < LONGEST_DESCRIPTION + 40


async def test_what_the_workspace_said_of_a_tool_holds(bad: Hostile) -> None:
    [first] = await offered(at(bad.url("changing")))
    kept, left_out = await shown(bad, "changing", speak=KnownTool(fingerprint=first.fingerprint))
    assert (kept, list(left_out)) == ([], ["speak"])
    [same] = await offered(at(bad.url("good")))
    assert (await shown(bad, "good", speak=KnownTool(fingerprint=same.fingerprint)))[1] == {}
    assert (await shown(bad, "good", speak=KnownTool(enabled=False)))[0] == []


@pytest.mark.slow
async def test_a_result_is_text(bad: Hostile) -> None:
    assert (await called(at(bad.url("good")), "speak", {})).text == "hello"
    assert (await called(at(bad.url("pictures")), "speak", {})).text == "[Omitted: image]"
    with pytest.raises(McpFailed, match="did not answer"):
        await called(at(bad.url("silent")), "speak", {}, seconds=0.5)


async def test_a_header_is_sent_to_the_server_alone(bad: Hostile) -> None:
    await offered(at(bad.url("good"), authorization="Bearer canary"))
    assert bad.seen["authorization"] == "Bearer canary"
    assert "canary" not in repr(at(bad.url("good"), authorization="Bearer canary"))
    with pytest.raises(McpFailed):
        await offered(at(bad.url("good"), host="elsewhere.example"))
