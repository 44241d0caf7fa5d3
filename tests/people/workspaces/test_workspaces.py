"""REST: workspaces, as the contract states them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.base import new_id
from models.people.workspaces import Capability, Membership, Role, Workspace
from models.staff.agents import Agent
from models.staff.crews import Crew
from tests.every import each_of
from tests.people.workspaces.calls import at, call, outcome
from tests.world import World

pytestmark = pytest.mark.anyio
KEPT = ("run_retention_days", "credential_audit_retention_days", "audit_log_retention_days")
CREATED = {
    "id", "name", "slug", "logo_url", "preferred_language", "created_at", "updated_at", "allow_privileged_credentials",
    "_count", *KEPT,
}  # fmt: skip
LEFT_OUT = ("currentUserRole", "currentUserCapabilities", "updated_at")
GONE = datetime(2026, 1, 1, tzinfo=UTC)


async def test_the_list_is_the_callers_own_newest_first(world: World) -> None:
    person = await world.person("collector", None)
    old, new = (
        Workspace(name="Old", slug="old", created_at=GONE),
        Workspace(name="New", slug="brand-new", created_at=GONE + timedelta(days=1)),
    )
    deleted = Workspace(name="Deleted", slug="deleted-one", deleted_at=GONE)
    await world.add(old, new, deleted)
    for workspace, role in ((old, Role.VIEWER), (new, Role.MANAGER), (deleted, Role.OWNER)):
        await world.add(Membership(workspace_id=workspace.id, user_id=person.user_id, role=role))
    crew = Crew(workspace_id=new.id, name="Crew", slug="crew")
    await world.add(crew, Crew(workspace_id=new.id, name="Gone", slug="gone", deleted_at=GONE))
    await world.add(
        Agent(workspace_id=new.id, crew_id=crew.id, name="A", slug="a"), Agent(workspace_id=new.id, name="B", slug="b")
    )
    await world.add(Agent(workspace_id=new.id, name="C", slug="c", deleted_at=GONE))
    first, second = (await call(world, person, "GET")).json()
    assert first == {
        "id": new.id,
        "name": "New",
        "slug": "brand-new",
        "logo_url": None,
        "preferred_language": None,
        "created_at": "2026-01-02T00:00:00Z",
        "updated_at": first["updated_at"],
        "allow_privileged_credentials": False,
        **dict.fromkeys(KEPT),
        "currentUserRole": "MANAGER",
        "currentUserCapabilities": ["chat", "issue.create", "memory.write", "routine.create"],
        "_count_crews": 1,
        "_count_agents": 2,
        "_count_members": 1,
        "_count": {"crews": 1, "agents": 2, "members": 1},
    }
    # counts of nothing are left out
    assert second.keys() == CREATED | {"currentUserRole", "currentUserCapabilities", "_count_members"}
    assert (second["id"], second["currentUserRole"]) == (old.id, "VIEWER")
    # a workspace named beside is of no interest to a route that takes none
    assert (await world.rest(person, "GET", "/api/v1/workspaces", workspace="no-such")).json() == [first, second]


async def test_a_person_without_workspaces_has_an_empty_list(world: World) -> None:
    assert (await call(world, world.nobody, "GET")).json() == []
    assert (await call(world, None, "GET")).status_code == 401


async def test_whoever_founds_a_workspace_owns_it(world: World) -> None:
    person = await world.person("founder", None)
    answer = await call(
        world,
        person,
        "POST",
        "",
        {"name": "Fün", "slug": "fun_1", "preferred_language": "pt-BR", "logo_url": "x", "id": "x"},
    )
    made = answer.json()
    assert answer.status_code == 201
    assert made == {
        "id": made["id"],
        "name": "Fün",
        "slug": "fun_1",
        "logo_url": None,
        "preferred_language": "Portuguese (Brazil)",
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
        "allow_privileged_credentials": False,
        **dict.fromkeys(KEPT),
        "_count": {"crews": 0, "agents": 0, "members": 1},
    }
    assert (await call(world, person, "GET", "/fun_1")).json() == made | {
        "currentUserRole": "OWNER",
        "currentUserCapabilities": sorted(
            {*Capability} - {Capability.credentials_reveal, Capability.page_create, Capability.routine_run}
        ),
        "_count_members": 1,
    }
    members = (await call(world, person, "GET", "/fun_1/members")).json()
    assert [(m["user_id"], m["role"]) for m in members] == [(person.user_id, "OWNER")]
    assert [event["type"] for event in await world.events()] == ["workspace.created"]
    rows = [row for row in await world.audit() if row["workspace_id"] == made["id"]]
    assert [(row["action"], row["entity_id"], row["data"]["slug"]) for row in rows] == [
        ("workspace.created", made["id"], "fun_1")
    ]


@each_of(("sent", "stored"), [("", None), (None, None), ("de", "German"), ("German", "German"), ("GERMAN", "German")])
async def test_a_language_is_stored_by_its_name(world: World, sent: str | None, stored: str | None) -> None:
    body = {"name": "Tongue", "slug": new_id()[:20], "preferred_language": sent}
    made = (await call(world, world.owner, "POST", "", body)).json()
    assert made["preferred_language"] == stored


@each_of(
    "change",
    [
        {"name": None},
        {"name": ""},
        {"name": "x"},
        {"name": "x" * 101},
        {"name": 12},
        {"slug": None},
        {"slug": "x"},
        {"slug": "x" * 51},
        {"slug": "Upper"},
        {"slug": "-dash"},
        {"slug": "with space"},
        {"slug": "newline\n"},
        {"slug": 12},
        {"preferred_language": "Klingon"},
        {"preferred_language": 1},
    ],
)
async def test_a_bad_workspace_is_refused_and_writes_nothing(world: World, change: dict[str, Any]) -> None:
    before = await world.snapshot()
    answer = await call(
        world, world.owner, "POST", "", {"name": "Name", "slug": "some-slug", "preferred_language": "de"} | change
    )
    assert (answer.status_code, next(iter(answer.json()["fields"]))) == (400, next(iter(change)))
    changed = await at(world, world.owner, "PATCH", "", change)
    assert changed.status_code == (200 if None in change.values() else 400)  # null is kept as it was
    assert await world.snapshot() == before


async def test_no_body_is_no_workspace(world: World) -> None:
    async with world.client(world.owner) as client:
        for content in (b"", b"[]", b"null", b'{"name": "Name", "slug": "slug"} x', b"{"):
            answer = await client.post("/api/v1/workspaces", content=content)
            assert outcome(answer) == (400, "Invalid JSON body")


async def test_a_slug_is_taken_on_the_whole_instance_and_forever(world: World) -> None:
    await world.add(Workspace(name="Ghost", slug="ghost", deleted_at=GONE))
    before = await world.snapshot()
    taken = (409, "A workspace with this slug already exists")
    for slug in (world.workspace.slug, world.other.slug, "ghost"):
        assert outcome(await call(world, world.nobody, "POST", "", {"name": "Name", "slug": slug})) == taken
    for slug in (world.other.slug, "ghost"):
        assert outcome(await at(world, world.owner, "PATCH", "", {"slug": slug})) == taken
    assert await world.snapshot() == before


async def test_unknown_deleted_and_foreign_workspaces_are_refused_alike(world: World) -> None:
    deleted = Workspace(name="Deleted", slug="deleted", deleted_at=GONE)
    await world.add(deleted, Membership(workspace_id=deleted.id, user_id=world.owner.user_id, role=Role.OWNER))
    routes = [
        ("GET", "", None),
        ("PATCH", "", {"name": "Taken over"}),
        ("GET", "/members", None),
        ("POST", "/members", {"user_id": world.nobody.user_id}),
        ("DELETE", f"/members/{world.viewer.membership_id}", None),
        ("GET", "/members/capabilities", None),
        ("GET", f"/members/{world.viewer.user_id}/capabilities", None),
        ("PATCH", f"/members/{world.viewer.user_id}/capabilities", {"preset": "admin"}),
        ("GET", "/invitations", None),
        ("POST", "/invitations", {"email": "new@example.com"}),
    ]
    before = await world.snapshot()
    for method, path, body in routes:
        for place in ("unknown", new_id(), deleted.id, "deleted", world.other.id, world.other.slug):
            answer = await call(world, world.owner, method, f"/{place}{path}", body)
            assert outcome(answer) == (403, "Not a member of this workspace"), (method, path, place)
    assert await world.snapshot() == before


async def test_a_workspace_is_named_by_id_slug_or_query(world: World) -> None:
    by_slug = await at(world, world.viewer, "GET")
    assert by_slug.json()["id"] == world.workspace.id
    assert (await call(world, world.viewer, "GET", f"/{world.workspace.id}")).json() == by_slug.json()
    same = await world.rest(
        world.viewer, "GET", f"/api/v1/workspaces/{world.workspace.slug}", workspace=world.workspace.slug
    )
    assert same.json() == by_slug.json()


async def test_a_path_and_a_query_or_header_that_name_two_workspaces_are_refused(world: World) -> None:
    path = f"/api/v1/workspaces/{world.workspace.id}"
    before = await world.snapshot()
    for method, more, body in (
        ("GET", "", None),
        ("PATCH", "", {"name": "Changed"}),
        ("POST", "/members", {"user_id": world.nobody.user_id}),
    ):
        for named in ({"workspace": world.other.id}, {"workspace": None, "x-workspace-id": world.other.id}):
            answer = await world.rest(world.owner, method, path + more, body, **named)
            assert (answer.status_code, answer.json()["error"]) == (
                400,
                "workspace_id differs from the workspace of the path",
            )
            stranger = await world.rest(world.outsider, method, path + more, body, **named)
            assert stranger.status_code == 403, "told to nobody who may not see the workspace of the path"
    assert await world.snapshot() == before


async def test_an_update_changes_what_is_sent(world: World) -> None:
    await call(world, world.owner, "POST", "", {"name": "Before", "slug": "before", "preferred_language": "de"})
    before = (await call(world, world.owner, "GET", "/before")).json()
    after = await call(
        world,
        world.owner,
        "PATCH",
        "/before",
        {"name": "After", "slug": "after", "preferred_language": None, "logo_url": "x"},
    )
    kept = {key: value for key, value in before.items() if key not in LEFT_OUT}
    assert after.status_code == 200
    assert after.json() == kept | {"name": "After", "slug": "after", "updated_at": after.json()["updated_at"]}
    assert (await call(world, world.owner, "PATCH", "/after", {"preferred_language": ""})).json()[
        "preferred_language"
    ] is None
    assert (await call(world, world.owner, "GET", "/before")).status_code == 403


async def test_an_update_of_nothing_changes_nothing(world: World) -> None:
    tag = (await at(world, world.admin, "GET")).headers["etag"]
    before = await world.snapshot()
    for body in ({}, {"name": None, "slug": None, "preferred_language": None}, {"unknown": 1}):
        answer = await at(world, world.admin, "PATCH", "", body)
        assert answer.status_code == 200
        assert answer.json().keys() == CREATED | {"_count_members"}
    assert (await at(world, world.admin, "PATCH", "", {}, **{"if-match": tag})).status_code == 200
    stale = await at(world, world.admin, "PATCH", "", {}, **{"if-match": '"v999"'})
    assert outcome(stale) == (412, "Workspace was changed since it was read")
    assert await world.snapshot() == before


async def test_a_change_of_an_older_version_is_refused(world: World) -> None:
    tag = (await at(world, world.owner, "GET")).headers["etag"]
    assert (await at(world, world.owner, "PATCH", "", {"name": "First"}, **{"if-match": tag})).status_code == 200
    assert (await at(world, world.owner, "PATCH", "", {"name": "Second"}, **{"if-match": tag})).status_code == 412
    assert (await at(world, world.owner, "GET")).json()["name"] == "First"


async def test_the_role_comes_before_the_body(world: World) -> None:
    before = await world.snapshot()
    for person in (world.manager, world.member, world.viewer):
        assert outcome(await at(world, person, "PATCH", "", {"name": ""})) == (403, "Forbidden")
    assert await world.snapshot() == before
