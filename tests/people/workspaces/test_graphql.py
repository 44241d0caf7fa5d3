"""GraphQL: the viewer, and workspaces with what hangs on them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from models.people.workspaces import Membership, Role, Workspace
from models.work.labels import Label
from tests.people.workspaces.calls import at, call
from tests.world import Person, World

pytestmark = pytest.mark.anyio
GONE = datetime(2026, 1, 1, tzinfo=UTC)
LISTED = (
    "query { viewer { id email fullName workspaces { id name slug currentUserRole } "
    "memberships { acceptedAt workspace { id } } } }"
)


async def code(
    world: World, person: Person | None, document: str, variables: dict[str, Any] | None = None
) -> tuple[str, str]:
    """Code and text of the only refusal."""
    answer = await world.graphql(person, document, variables)
    (error,) = answer["errors"]
    assert list(answer["data"].values()) == [None]
    return error["extensions"]["code"], error["message"]


async def test_the_viewer_lists_own_workspaces_and_memberships(world: World) -> None:
    own = [{"id": world.workspace.id, "name": "Workspace", "slug": "workspace", "currentUserRole": "VIEWER"}]
    for person, listed in ((world.viewer, own), (world.nobody, [])):
        shown = (await world.graphql(person, LISTED))["data"]["viewer"]
        memberships = shown.pop("memberships")
        assert [each["workspace"] for each in memberships] == [{"id": each["id"]} for each in listed]
        assert all(each["acceptedAt"] for each in memberships)
        assert shown == {
            "id": person.user_id,
            "email": person.email,
            "fullName": f"{person.name.title()} Example",
            "workspaces": listed,
        }
    refused = (await world.graphql(None, LISTED))["errors"]
    assert {(each["extensions"]["code"], each["extensions"]["reason"]) for each in refused} == {
        ("UNAUTHENTICATED", "no_credentials")
    }


async def test_the_viewer_sees_own_workspaces_and_nothing_beyond(world: World) -> None:
    person = await world.person("traveller", Role.ADMIN)
    second, deleted = (
        Workspace(name="Second", slug="second", created_at=GONE),
        Workspace(name="Deleted", slug="deleted", deleted_at=GONE),
    )
    await world.add(
        second,
        deleted,
        Label(workspace_id=second.id, name="b", color="x"),
        Label(workspace_id=second.id, name="a", color="x"),
    )
    await world.add(Label(workspace_id=world.other.id, name="foreign", color="x"))
    for workspace, role in ((second, Role.VIEWER), (deleted, Role.OWNER)):
        joined = {"created_at": GONE, "accepted_at": GONE}
        await world.add(Membership(workspace_id=workspace.id, user_id=person.user_id, role=role, **joined))
    for slug in (world.workspace.slug, "second"):
        by = world.owner if slug != "second" else person
        await call(world, by, "POST", f"/{slug}/invitations", {"email": "guest@example.com"})
    document = """{ viewer { id email fullName avatarUrl
        workspaces { slug currentUserRole crewCount agentCount memberCount members { user { email } }
            invitations { email token } labels { name } }
        memberships { role user { id } workspace { slug } } } }"""
    viewer = (await world.graphql(person, document))["data"]["viewer"]
    first, last = viewer.pop("workspaces")
    assert viewer.pop("memberships") == [
        {"role": "ADMIN", "user": {"id": person.user_id}, "workspace": {"slug": "workspace"}},
        {"role": "VIEWER", "user": {"id": person.user_id}, "workspace": {"slug": "second"}},
    ]
    assert viewer == {
        "id": person.user_id,
        "email": "traveller@example.com",
        "fullName": "Traveller Example",
        "avatarUrl": None,
    }
    assert (first["slug"], first["currentUserRole"], first["memberCount"], len(first["members"])) == (
        "workspace",
        "ADMIN",
        6,
        6,
    )
    assert [i["email"] for i in first["invitations"]] == ["guest@example.com"]
    assert len(first["invitations"][0]["token"]) == 64  # each workspace by the role held in it
    assert last == {
        "slug": "second",
        "currentUserRole": "VIEWER",
        "crewCount": 0,
        "agentCount": 0,
        "memberCount": 1,
        "members": [{"user": {"email": "traveller@example.com"}}],
        "invitations": [],
        "labels": [{"name": "a"}, {"name": "b"}],
    }
    listed = await world.graphql(person, "{ workspaces { slug currentUserRole } }")
    assert listed["data"]["workspaces"] == [{key: w[key] for key in ("slug", "currentUserRole")} for w in (first, last)]


async def test_a_workspace_is_named_by_id_or_slug(world: World) -> None:
    expected = {"data": {"workspace": {"id": world.workspace.id, "currentUserRole": "VIEWER"}}}
    for field in (f'id: "{world.workspace.id}"', 'slug: "workspace"', 'id: "workspace"'):
        answer = await world.graphql(world.viewer, f"{{ workspace({field}) {{ id currentUserRole }} }}")
        assert {"data": answer["data"]} == expected
    answer = await world.graphql(
        world.viewer, "{ workspace { id currentUserRole } }", **{"x-workspace-id": "workspace"}
    )
    assert {"data": answer["data"]} == expected
    assert await code(world, world.viewer, "{ workspace { id } }") == ("BAD_REQUEST", "workspaceId is required")
    assert (await code(world, world.viewer, '{ workspace(id: "a", slug: "b") { id } }'))[0] == "BAD_REQUEST"
    for slug in ("other", "unknown", world.other.id):
        document = f'{{ workspace(slug: "{slug}") {{ id }} }}'
        assert await code(world, world.viewer, document) == ("FORBIDDEN", "Not a member of this workspace")


async def test_tokens_are_for_those_who_may_invite(world: World) -> None:
    await at(world, world.owner, "POST", "/invitations", {"email": "secret@example.com"})
    document = (
        "query($ws: ID) { invitations(workspaceId: $ws) { token }"
        ' workspace(slug: "workspace") { invitations { token } } }'
    )
    for person in (world.owner, world.admin, world.manager, world.member, world.viewer):
        data = (await world.graphql(person, document))["data"]
        lengths = {len(i["token"]) for i in [*data["invitations"], *data["workspace"]["invitations"]]}
        assert lengths == ({64} if person in (world.owner, world.admin) else {0})


async def test_a_workspace_lives(world: World) -> None:
    person = await world.person("founder", None)
    create = (
        "mutation($in: CreateWorkspaceInput!) {"
        " createWorkspace(input: $in) { id slug preferredLanguage currentUserRole members { role user { id } } } }"
    )
    made = (await world.graphql(person, create, {"in": {"name": "Mine", "slug": "mine", "preferredLanguage": "cs"}}))[
        "data"
    ]["createWorkspace"]
    members = [{"role": "OWNER", "user": {"id": person.user_id}}]
    assert made == {
        "id": made["id"],
        "slug": "mine",
        "preferredLanguage": "Czech",
        "currentUserRole": "OWNER",
        "members": members,
    }
    update = (
        "mutation($in: UpdateWorkspaceInput!, $v: Int) {"
        ' updateWorkspace(workspaceId: "mine", input: $in, ifVersion: $v) { name version } }'
    )
    for given, version, name, after in (
        ({}, None, "Mine", 1),
        ({"name": None}, 1, "Mine", 1),
        ({"name": "Ours"}, 1, "Ours", 2),
    ):
        answer = await world.graphql(person, update, {"in": given, "v": version})
        assert answer["data"]["updateWorkspace"] == {"name": name, "version": after}
    assert (await code(world, person, update, {"in": {"name": "Theirs"}, "v": 1}))[0] == "PRECONDITION_FAILED"
    assert (await code(world, person, update, {"in": {}, "v": 1}))[0] == "PRECONDITION_FAILED"
    assert await code(world, person, create, {"in": {"name": "Mine", "slug": "mine"}}) == (
        "CONFLICT",
        "A workspace with this slug already exists",
    )


async def test_members_come_and_go(world: World) -> None:
    add = (
        "mutation($ws: ID, $in: AddMemberInput!) {"
        " addMember(workspaceId: $ws, input: $in) { id role user { email fullName } workspace { memberCount } } }"
    )
    before = len((await at(world, world.owner, "GET", "/members")).json())
    made = (await world.graphql(world.owner, add, {"in": {"userId": world.nobody.user_id}}))["data"]["addMember"]
    assert made == {
        "id": made["id"],
        "role": "MEMBER",
        "user": {"email": "", "fullName": "Nobody Example"},
        "workspace": {"memberCount": before + 1},
    }
    change = """mutation($ws: ID, $in: UpdateMemberCapabilitiesInput!) {
        updateMemberCapabilities(workspaceId: $ws, input: $in) { userId role capabilities } }"""
    changed = await world.graphql(
        world.admin, change, {"in": {"memberId": world.nobody.user_id, "grant": ["issue.create"]}}
    )
    held = {"userId": world.nobody.user_id, "role": "MEMBER", "capabilities": ["chat", "issue.create"]}
    assert changed["data"]["updateMemberCapabilities"] == held
    preset = await world.graphql(world.admin, change, {"in": {"memberId": world.nobody.user_id, "preset": "power"}})
    power = ["chat", "issue.create", "memory.write", "routine.create", "routine.run"]
    assert preset["data"]["updateMemberCapabilities"]["capabilities"] == power
    assert (await code(world, world.admin, change, {"in": {"memberId": world.nobody.user_id}}))[0] == "BAD_REQUEST"
    assert (await code(world, world.admin, change, {"in": {"memberId": world.admin.user_id}}))[0] == "FORBIDDEN"
    read = (
        "query($ws: ID, $id: ID!) { memberCapabilities(workspaceId: $ws, memberId: $id) { capabilities }"
        " membersCapabilities(workspaceId: $ws) { userId } }"
    )
    data = (await world.graphql(world.admin, read, {"id": world.nobody.user_id}))["data"]
    assert data["memberCapabilities"]["capabilities"] == preset["data"]["updateMemberCapabilities"]["capabilities"]
    assert len(data["membersCapabilities"]) == before + 1
    remove = "mutation($ws: ID, $in: ByIdInput!) { removeMember(workspaceId: $ws, input: $in) { success } }"
    assert (await world.graphql(world.admin, remove, {"in": {"id": made["id"]}}))["data"]["removeMember"] == {
        "success": True
    }
    assert await code(world, world.admin, remove, {"in": {"id": made["id"]}}) == ("NOT_FOUND", "Member not found")
    listed = await world.graphql(world.viewer, "query($ws: ID) { members(workspaceId: $ws) { userId createdAt } }")
    assert len(listed["data"]["members"]) == before


async def test_an_invitation_is_made(world: World) -> None:
    create = """mutation($ws: ID, $in: CreateInvitationInput!) {
        createInvitation(workspaceId: $ws, input: $in) { email role token acceptedAt inviter { id } invitedBy } }"""
    made = (await world.graphql(world.owner, create, {"in": {"email": "graph@example.com", "role": "ADMIN"}}))["data"][
        "createInvitation"
    ]
    assert len(made.pop("token")) == 64
    expected = {
        "email": "graph@example.com",
        "role": "ADMIN",
        "acceptedAt": None,
        "inviter": {"id": world.owner.user_id},
        "invitedBy": world.owner.user_id,
    }
    assert made == expected
    assert (await code(world, world.admin, create, {"in": {"email": "graph@example.com"}}))[0] == "CONFLICT"
    assert (await code(world, world.viewer, create, {"in": {"email": "other@example.com"}}))[0] == "FORBIDDEN"
