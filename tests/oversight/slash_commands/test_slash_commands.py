"""The catalog of slash commands, and who is offered what, on both surfaces."""

from typing import Any

import pytest

from models.people.workspaces import Role
from tests.world import Person, World

pytestmark = pytest.mark.anyio
PATH = "/api/v1/slash-commands"
ALL = ["routine", "issue", "skill", "credential"]
DOCUMENT = """
query($ws: ID) {
  slashCommands(workspaceId: $ws) {
    id label label_cs: labelCs icon capability form_schema: formSchema { name type required default }
  }
}
"""
CATALOG: list[dict[str, Any]] = [
    {
        "id": "routine",
        "label": "Create routine from this conversation",
        "label_cs": "Vytvořit rutinu z této konverzace",
        "icon": "calendar-clock",
        "capability": "routine.create",
        "form_schema": [
            {"name": "name", "type": "text", "required": True},
            {"name": "cron", "type": "cron", "required": True},
            {"name": "timezone", "type": "timezone", "default": "UTC"},
        ],
    },
    {
        "id": "issue",
        "label": "Create issue from this conversation",
        "label_cs": "Vytvořit issue z této konverzace",
        "icon": "alert-circle",
        "capability": "issue.create",
        "form_schema": [
            {"name": "title", "type": "text", "required": True},
            {"name": "description", "type": "textarea"},
            {"name": "priority", "type": "priority", "default": "none"},
        ],
    },
    {
        "id": "skill",
        "label": "Create skill from this conversation",
        "label_cs": "Vytvořit skill z této konverzace",
        "icon": "sparkles",
        "capability": "skill.create",
        "form_schema": [
            {"name": "slug", "type": "slug", "required": True},
            {"name": "prompt", "type": "textarea", "required": True},
        ],
    },
    {
        "id": "credential",
        "label": "Add credential",
        "label_cs": "Přidat credential",
        "icon": "key",
        "capability": "credential.create",
        "form_schema": [
            {"name": "name", "type": "text", "required": True},
            {"name": "type", "type": "credential_type", "default": "SECRET"},
            {"name": "value", "type": "secret", "required": True},
        ],
    },
]


async def offered(world: World, person: Person) -> list[str]:
    answer = await world.rest(person, "GET", PATH)
    assert answer.status_code == 200, answer.text
    return [command["id"] for command in answer.json()]


async def keep(world: World, person: Person, capabilities: Any) -> None:
    await world.database.execute(
        "UPDATE memberships SET capabilities = $1 WHERE id = $2", capabilities, person.membership_id
    )


async def test_the_catalog_is_that_of_the_contract_key_by_key(world: World) -> None:
    answer = await world.rest(world.owner, "GET", PATH)
    assert answer.json() == CATALOG
    assert [list(field) for command in answer.json() for field in command["form_schema"]] == [
        list(field) for command in CATALOG for field in command["form_schema"]
    ]


async def test_graphql_shows_what_is_absent_as_null(world: World) -> None:
    answer = await world.graphql(world.owner, DOCUMENT)
    expected = [
        command | {"form_schema": [{"required": None, "default": None} | field for field in command["form_schema"]]}
        for command in CATALOG
    ]
    assert answer["data"] == {"slashCommands": expected}


async def test_the_default_of_the_role_decides_at_first(world: World) -> None:
    expected = {"owner": ALL, "admin": ALL, "manager": ["routine", "issue"], "member": [], "viewer": []}
    assert {name: await offered(world, world.people[name]) for name in expected} == expected


async def test_a_grant_and_a_revoke_show_at_once(world: World) -> None:
    person = await world.person("granted", Role.VIEWER)
    path = f"/api/v1/workspaces/{world.workspace.id}/members/{person.user_id}/capabilities"
    steps: list[tuple[dict[str, Any], list[str]]] = [
        ({"grant": ["skill.create"]}, ["skill"]),
        ({"grant": ["routine.create"]}, ["routine", "skill"]),
        ({"revoke": ["skill.create"]}, ["routine"]),
        ({"set": ["memory.write", "credential.rotate"]}, []),
        ({"preset": "admin"}, ALL),
        ({"preset": "chat"}, []),
    ]
    for body, expected in steps:
        assert (await world.rest(world.owner, "PATCH", path, body)).status_code == 200
        assert await offered(world, person) == expected, body


async def test_what_is_stored_beats_the_role_whatever_it_is(world: World) -> None:
    person = await world.person("narrowed", Role.ADMIN)
    assert await offered(world, person) == ALL
    for kept in ([], ["chat"], ["no.such", "skill.fly"], {"issue.create": True}, "issue.create"):
        await keep(world, person, kept)
        assert await offered(world, person) == [], kept
    await keep(world, person, ["no.such", "issue.create"])
    assert await offered(world, person) == ["issue"]
    await keep(world, person, None)
    assert await offered(world, person) == ALL


async def test_who_is_refused(world: World) -> None:
    assert (await world.rest(None, "GET", PATH)).status_code == 401
    assert (await world.rest(world.outsider, "GET", PATH)).status_code == 403
    missing = await world.rest(world.owner, "GET", PATH, workspace=None)
    assert (missing.status_code, missing.json()["error"]) == (400, "workspace_id is required")


async def test_only_get_is_offered(world: World) -> None:
    answer = await world.rest(world.owner, "POST", PATH, {"id": "fifth"})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_what_is_read_writes_nothing(world: World) -> None:
    before = await world.snapshot()
    await offered(world, world.owner)
    assert await world.snapshot() == before
