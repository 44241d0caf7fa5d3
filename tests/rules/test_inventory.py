"""What a crew's container offers."""

import orjson
from hypothesis import given

from resolvers.rules.inventory import container, runtimes
from tests.rules.texts import anything

NODE = "ghcr.io/devcontainers/features/node:1"
DEVCONTAINER = orjson.dumps(
    {"image": "debian", "features": {"ghcr.io/devcontainers/features/github-cli:1": {}, NODE: {}}}
).decode()


def test_tools_are_sorted_and_unique() -> None:
    offered = container(DEVCONTAINER, '{"tools": {"python": "3", "node": "22", "act": "1"}}', None)
    assert offered["tools"] == [{"type": name, "name": name} for name in ("act", "gh", "node", "python")]
    assert offered["datastores"] == []


def test_mise_counts_in_its_json_form_only() -> None:
    assert container(None, '[tools]\nnode = "22"', None)["tools"] == []


def test_datastores_in_the_declared_order() -> None:
    services = '[{"name": "z", "image": "redis", "ports": ["6379/tcp"]}, {"name": "a", "image": "postgres"}]'
    assert container(None, None, services)["datastores"] == [
        {"type": "redis", "name": "z", "host": "z", "port": "6379"},
        {"type": "postgres", "name": "a", "host": "a", "port": ""},
    ]


def test_one_malformed_text_hides_only_its_own_part() -> None:
    offered = container("{", '{"tools": {"node": "22"}}', "{}")
    assert offered == {"datastores": [], "tools": [{"type": "node", "name": "node"}]}


@given(anything, anything, anything)
def test_never_an_error(devcontainer: str, mise: str, services: str) -> None:
    assert set(container(devcontainer, mise, services)) == {"datastores", "tools"}


def test_nothing_configured() -> None:
    assert container(None, None, None) == container("", "", "") == {"datastores": [], "tools": []}


def test_runtimes() -> None:
    known = runtimes()
    assert known["code"] == {"wired": ["cel", "expr"], "reserved_unwired": ["bash", "go", "python"]}
    assert {suffix: known["script_interpreters"][suffix] for suffix in (".py", ".bash", ".ts", ".go")} == {
        ".py": "python3",
        ".bash": "bash",
        ".ts": "node",
        ".go": "go run",
    }
    assert len(known["script_interpreters"]) == 11
    known["code"]["wired"].clear()
    assert runtimes()["code"]["wired"] == ["cel", "expr"]
