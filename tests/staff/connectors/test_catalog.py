"""The catalog: what the contract has and more, the same on both surfaces; and what makes a manifest wrong."""

import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest
from pydantic import ValidationError

from resolvers.staff.connectors.catalog import catalog, manifest, read
from resolvers.staff.connectors.manifest import AuthMode, Connector, json_schema
from resolvers.staff.connectors.recipes import recipes
from tests.contract.notation import documents
from tests.every import each_of
from tests.world import World

pytestmark = pytest.mark.anyio
FOLDER = Path(__file__).parents[3] / "resolvers" / "staff" / "connectors"
FILES = sorted((FOLDER / "manifests").iterdir())
OWN_WORDS = ("description", "help", "docs")
FIELDS = "id name description category authMode brandLogo brandColor"
WHOLE = """
    id name description brand { logo color } category auth_mode: authMode
    fields { key label type required default placeholder help choices }
    oauth { authorization_url: authorizationUrl token_url: tokenUrl scopes pkce }
    mcp { transport command args endpoint env } derived
    verify { http { method url headers expect_status: expectStatus } mcp_method: mcpMethod } docs { setup_md: setupMd }
"""
RECIPE = """
    slug name description icon color crew_slug: crewSlug
    credentials { env_var_name: envVarName provider type label help_url: helpUrl }
    mcp_servers: mcpServers {
        name display_name: displayName transport command args endpoint env_mapping: envMapping icon
    }
"""


def test_there_are_twenty_and_each_is_a_file_of_its_id() -> None:
    assert [f"{id}.toml" for id in catalog()] == [file.name for file in FILES]
    assert len(catalog()) == 20
    assert {"dev_tools", "communication", "project_management", "databases", "search"} <= {
        one.category for one in catalog().values()
    }
    assert len({one.description for one in catalog().values()}) == 20


def test_the_schema_in_the_package_is_the_one_of_the_classes() -> None:
    assert orjson.loads((FOLDER / "manifest.schema.json").read_bytes()) == json_schema()


@each_of("file", FILES, ids=lambda file: file.stem)
def test_a_manifest_holds_to_the_schema(file: Path) -> None:
    values = {"id": file.stem} | tomllib.loads(file.read_text())
    jsonschema_rs.Draft202012Validator(json_schema()).validate(values)
    assert manifest(file).plain() | {"id": file.stem} == manifest(file).plain()


def test_the_contracts_connectors_are_there() -> None:
    for wanted in documents()["connectors"]["catalog"]:
        shown = catalog()[wanted["id"]].plain()
        assert _facts(shown) == _facts(wanted), wanted["id"]
        assert ("docs" in shown) >= ("docs" in wanted)


def _facts(shown: dict[str, Any]) -> dict[str, Any]:
    """Without the words that are our own to choose."""
    facts = {key: value for key, value in shown.items() if key not in OWN_WORDS}
    fields = [{k: v for k, v in field.items() if k not in OWN_WORDS} for field in shown.get("fields", ())]
    return facts | {"fields": [field | {"required": field.get("required", False)} for field in fields]}


def test_the_contracts_recipes_are_there_in_its_order() -> None:
    wanted = documents()["connectors"]["recipes_catalog"]
    assert [_facts(one.plain()) for one in recipes().values()] == [_facts(one) for one in wanted]


async def test_both_surfaces_show_the_same(world: World) -> None:
    listed = (await world.rest(world.outsider, "GET", "/api/v1/connectors", workspace=None)).json()
    assert [one["id"] for one in listed] == list(catalog())
    shown = await world.graphql(world.viewer, f"{{ connectors {{ {FIELDS} }} }}")
    assert [list(one.values()) for one in shown["data"]["connectors"]] == [list(one.values()) for one in listed]
    for id in ("everything", "postgres", "gitlab", "linear"):
        one = (await world.rest(world.viewer, "GET", f"/api/v1/connectors/{id}", workspace=None)).json()
        document = f"query($id: ID!) {{ connector(connectorId: $id) {{ {WHOLE} }} }}"
        whole = (await world.graphql(world.viewer, document, {"id": id}))["data"]["connector"]
        assert _without_null(whole) == one == catalog()[id].plain()
    listed = (await world.rest(world.viewer, "GET", "/api/v1/recipes", workspace=None)).json()
    shown = await world.graphql(world.viewer, f"{{ recipes {{ {RECIPE} }} }}")
    assert _without_null(shown["data"]["recipes"]) == listed
    assert (await world.rest(world.viewer, "GET", "/api/v1/recipes/triage-crew", workspace=None)).json() == listed[1]


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(inner) for key, inner in value.items() if inner is not None}
    return [_without_null(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", ["connectors/nope", "connectors/GitHub", "recipes/nope"])
async def test_what_is_not_there_is_not_found(world: World, path: str) -> None:
    assert (await world.rest(world.viewer, "GET", f"/api/v1/{path}", workspace=None)).status_code == 404


FORM = {"key": "token", "label": "Token", "type": "password", "required": True}
GOOD: dict[str, Any] = {
    "id": "good",
    "name": "Good",
    "description": "A connector.",
    "brand": {"logo": "mcp", "color": "#000000"},
    "category": "testing",
    "auth_mode": "pat",
    "fields": [FORM],
    "mcp": {"transport": "stdio", "command": "npx", "env": {"TOKEN": "${field.token}"}},
}
OF_STDIO = GOOD["mcp"]
REMOTE = {"transport": "streamable-http", "endpoint": "https://mcp.example.com/"}
WRONG: dict[str, dict[str, Any]] = {
    "an unknown key": {"favourite": True},
    "an unknown key inside": {"brand": {"logo": "mcp", "color": "#000000", "font": "serif"}},
    "no name": {"name": ""},
    "an id in capitals": {"id": "Good"},
    "an unknown auth_mode": {"auth_mode": "magic"},
    "an unknown transport": {"mcp": OF_STDIO | {"transport": "sse"}},
    "a colour that is none": {"brand": {"logo": "mcp", "color": "red"}},
    "stdio without a command": {"mcp": {"transport": "stdio"}},
    "stdio with an endpoint": {"mcp": OF_STDIO | {"endpoint": "https://mcp.example.com"}},
    "http without an endpoint": {"mcp": {"transport": "streamable-http"}},
    "http with a command": {"mcp": REMOTE | {"command": "npx"}},
    "a key twice": {"fields": [FORM, FORM]},
    "an unknown type of field": {"fields": [FORM | {"type": "date"}]},
    "a select without choices": {"fields": [FORM, FORM | {"key": "mode", "type": "select"}]},
    "a default that is no choice": {
        "fields": [FORM, FORM | {"key": "mode", "type": "select", "choices": ["a"], "default": "b"}]
    },
    "required as text": {"fields": [FORM | {"required": "yes"}]},
    "two ways to verify": {"verify": {"http": {"url": "https://api.example.com"}, "mcp_method": "tools/list"}},
    "no way to verify": {"verify": {}},
    "mcp_oauth on stdio": {"auth_mode": "mcp_oauth", "fields": None, "mcp": {"transport": "stdio", "command": "npx"}},
    "pat without a password": {"fields": [FORM | {"type": "text"}]},
    "conn_string without a field": {"auth_mode": "conn_string", "fields": None, "mcp": REMOTE},
    "byo_oauth without a server": {
        "auth_mode": "byo_oauth",
        "fields": [FORM | {"key": "client_id"}, FORM | {"key": "client_secret"}],
        "mcp": REMOTE,
    },
    "byo_oauth without a client": {
        "auth_mode": "byo_oauth",
        "fields": [FORM],
        "oauth": {"authorization_url": REMOTE["endpoint"], "token_url": REMOTE["endpoint"], "scopes": [], "pkce": True},
    },
    "an unknown field in a placeholder": {"mcp": OF_STDIO | {"args": ["${field.other}"]}},
    "an unknown derived text": {"mcp": OF_STDIO | {"args": ["${derived.dsn}"]}},
    "a variable of the server": {"mcp": OF_STDIO | {"args": ["${env.HOME}"]}},
    "a placeholder that is not closed": {"mcp": OF_STDIO | {"args": ["${field.token"]}},
    "a placeholder in a placeholder": {"mcp": OF_STDIO | {"args": ["${field.${field.token}}"]}},
    "a cycle": {"derived": {"a": "${derived.b}", "b": "${derived.c}", "c": "${derived.a}"}},
    "derived of itself": {"derived": {"a": "x${derived.a}"}},
    "a header of an unknown field": {
        "verify": {"http": {"url": "https://api.example.com", "headers": {"authorization": "${field.other}"}}}
    },
}  # fmt: skip


@each_of("change", WRONG.values(), ids=WRONG.keys())
def test_a_manifest_is_refused_that_has(change: dict[str, Any]) -> None:
    assert Connector.model_validate_json(orjson.dumps(GOOD), strict=True).auth_mode is AuthMode.pat
    made = {key: value for key, value in (GOOD | change).items() if value is not None}
    with pytest.raises(ValidationError):
        Connector.model_validate_json(orjson.dumps(made), strict=True)


def test_a_wrong_manifest_is_left_out_and_the_others_stay(tmp_path: Path) -> None:
    for file in FILES[:2]:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "broken.toml").write_text("name = ")
    (tmp_path / "unknown.toml").write_text(FILES[0].read_text().replace("[brand]", 'favourite = "yes"\n[brand]'))
    (tmp_path / "renamed.toml").write_text('id = "other"\n' + FILES[0].read_text())
    (tmp_path / "notes.txt").write_text("not one")
    assert list(read(tmp_path)) == [FILES[0].stem, FILES[1].stem]
