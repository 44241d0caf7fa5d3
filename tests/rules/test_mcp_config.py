"""mcp_config_json."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from resolvers.rules.mcp_config import parse_mcp_config
from tests.every import each_of
from tests.rules.refusals import refused
from tests.rules.texts import anything, json_values, value_or_refusal


def test_servers() -> None:
    assert parse_mcp_config('{"mcpServers": {"git": {"command": "git-mcp", "args": []}}, "other": 1}') == {
        "git": {"command": "git-mcp", "args": []}
    }
    assert parse_mcp_config('{"mcpServers": {}}') == {}


@each_of(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"mcpServers": null}',
        '{"mcpServers": []}',
        '{"mcpServers": "x"}',
        '{"MCPSERVERS": {}}',
        '{"mcpServers": {}} x',
    ],
)
def test_refused(text: str) -> None:
    with refused("mcp_config_json"):
        parse_mcp_config(text)


@given(
    anything | st.fixed_dictionaries({}, optional={"mcpServers": json_values}).map(lambda d: orjson.dumps(d).decode())
)
def test_total(text: str) -> None:
    assert isinstance(value_or_refusal(parse_mcp_config, text), dict | None)
