"""Who was added to a workspace without being asked: they may work there, and it has no rights over them."""

from typing import Any

import pytest

from models.base import new_id
from models.kernel import AuditLog
from models.people.workspaces import Invitation, Membership, Role, Workspace
from models.staff.agents import Agent
from models.staff.chats import Chat, ChatParticipant, ChatVisibility
from models.staff.crews import Crew, CrewMember
from tests.people.auth.browsers import PASSWORD, Browser
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio
VIEWER = "{ viewer { workspaces { slug } memberships { workspace { slug } } } }"


async def newcomer(world: World, role: Role | None = Role.MEMBER) -> Person:
    return await world.person(f"new-{new_id()[-8:]}", role)


async def add(world: World, person: Person) -> Workspace:
    """The outsider adds the person by their id to a workspace that is newer than all of theirs."""
    workspace = Workspace(name="Daves", slug=new_id())
    owner = Membership(workspace_id=workspace.id, user_id=world.outsider.user_id, role=Role.OWNER, accepted_at=now())
    await world.add(workspace, owner)
    path = f"/api/v1/workspaces/{workspace.id}/members"
    added = await world.rest(world.outsider, "POST", path, {"user_id": person.user_id}, workspace=workspace.id)
    assert added.status_code == 201, added.text
    return workspace


async def slugs(world: World, person: Person) -> list[list[str]]:
    """Of all lists of workspaces that a client may take the first of."""
    rest = (await world.rest(person, "GET", "/api/v1/workspaces", workspace=None)).json()
    answer = await world.graphql(person, VIEWER)
    assert "errors" not in answer, answer
    viewer = answer["data"]["viewer"]
    listed = (await world.graphql(person, "{ workspaces { slug } }"))["data"]["workspaces"]
    return [
        [each["slug"] for each in rest],
        [each["slug"] for each in viewer["workspaces"]],
        [each["workspace"]["slug"] for each in viewer["memberships"]],
        [each["slug"] for each in listed],
    ]


async def accept(world: World, person: Person, workspace: Workspace) -> Any:
    path = f"/api/v1/workspaces/{workspace.id}/members/accept"
    return await world.rest(person, "POST", path, workspace=workspace.id)


async def test_it_is_listed_last_until_it_is_accepted(world: World) -> None:
    person = await newcomer(world)
    daves = await add(world, person)
    assert await slugs(world, person) == [["workspace", daves.slug]] * 4
    assert (await world.rest(person, "GET", "/api/v1/labels", workspace=daves.id)).status_code == 200, "it is usable"
    for _ in range(2):
        answer = await accept(world, person, daves)
        assert (answer.status_code, answer.json()["user_id"]) == (200, person.user_id)
    assert await slugs(world, person) == [[daves.slug, "workspace"]] * 4
    assert (await accept(world, world.viewer, daves)).status_code == 403, "nobody's membership"


async def test_what_others_may_see_of_them_is_the_name(world: World) -> None:
    """On every way to a person that the workspace has."""
    person = await newcomer(world, None)
    await world.database.execute(
        "UPDATE users SET avatar_url = $2 WHERE id = $1", person.user_id, f"https://x/{person.name}"
    )
    daves = await add(world, person)
    here: dict[str, Any] = {"workspace_id": daves.id}
    crew, agent = Crew(name="Deck", slug="deck", **here), Agent(name="Hand", slug="hand", **here)
    shared = {"created_by": world.outsider.user_id, "visibility": ChatVisibility.group}
    chat = Chat(agent_id=agent.id, title="Team", **shared, **here)
    await world.add(
        crew, agent, chat, CrewMember(crew_id=crew.id, user_id=person.user_id, **here),
        ChatParticipant(chat_id=chat.id, user_id=person.user_id, **here),
        AuditLog(user_id=person.user_id, action="x.updated", entity_type="X", **here),
    )  # fmt: skip
    paths = (
        f"workspaces/{daves.id}/members", f"crews/{crew.id}/members", "admin/users", "audit",
        f"chats/{chat.id}/participants", "audit/export",
    )  # fmt: skip
    document = """query($ws: ID) { workspace(id: $ws) { members { user { email fullName avatarUrl } } }
        members(workspaceId: $ws) { user { email } } }"""

    async def shown() -> list[str]:
        answers = [await world.rest(world.outsider, "GET", f"/api/v1/{path}", workspace=daves.id) for path in paths]
        assert [answer.status_code for answer in answers] == [200] * len(paths)
        answer = await world.graphql(world.outsider, document, {"ws": daves.id})
        assert "errors" not in answer, answer
        return [*[answer.text for answer in answers], str(answer)]

    hidden = (person.email, f"https://x/{person.name}")
    before = await shown()
    assert not [(text, word) for text in before for word in hidden if word in text]
    assert f"{person.name.title()} Example" in before[0]
    async with world.client(world.outsider) as client:
        found = await client.get("/api/v1/audit", params={"workspace_id": daves.id, "search": person.email})
    assert person.user_id not in found.text, "nor is the address guessed by a search"
    mine = await world.graphql(person, "{ viewer { email } memberships: viewer { memberships { user { email } } } }")
    assert person.email in str(mine), "it is their own"
    await accept(world, person, daves)
    assert [person.email in text for text in await shown()] == [True] * 7


async def test_a_command_there_accepts_it_and_reading_does_not(world: World) -> None:
    person = await newcomer(world, None)
    daves = await add(world, person)
    members = f"/api/v1/workspaces/{daves.id}/members"
    label = {"name": "storm", "color": "#ff0000"}
    await world.database.execute("UPDATE memberships SET role = 'MANAGER' WHERE user_id = $1", person.user_id)

    async def known() -> bool:
        return person.email in (await world.rest(world.outsider, "GET", members, workspace=daves.id)).text

    assert (await world.rest(person, "GET", "/api/v1/labels", workspace=daves.id)).status_code == 200
    assert (await world.rest(person, "POST", "/api/v1/labels", {"name": ""}, workspace=daves.id)).status_code == 400
    assert (await world.rest(person, "POST", "/api/v1/labels", label, workspace="workspace")).status_code == 403
    assert not await known(), "what was refused, or was done elsewhere, accepts nothing"
    assert (await world.rest(world.outsider, "POST", "/api/v1/labels", label, workspace=daves.id)).status_code == 201
    assert not await known(), "nor does what others do"
    assert (
        await world.rest(person, "POST", "/api/v1/labels", label | {"name": "calm"}, workspace=daves.id)
    ).status_code == 201
    assert await known()


async def test_who_was_removed_and_had_not_accepted_is_no_better_known(world: World) -> None:
    person = await newcomer(world, None)
    daves = await add(world, person)
    crew = Crew(name="Deck", slug="deck", workspace_id=daves.id)
    await world.add(crew, CrewMember(crew_id=crew.id, user_id=person.user_id, workspace_id=daves.id))
    await world.database.execute("DELETE FROM memberships WHERE user_id = $1", person.user_id)
    answer = await world.rest(world.outsider, "GET", f"/api/v1/crews/{crew.id}/members", workspace=daves.id)
    assert answer.status_code == 200
    assert person.email not in answer.text


async def test_an_invitation_is_good_for_who_was_added_before(world: World) -> None:
    person = await newcomer(world, None)
    daves = await add(world, person)
    path = f"/api/v1/workspaces/{daves.id}/invitations"
    body = {"email": person.email, "role": "MANAGER"}
    invited = await world.rest(world.outsider, "POST", path, body, workspace=daves.id)
    assert invited.status_code == 201, "that they are known here is not said"
    answer = await world.rest(
        person, "POST", "/api/v1/auth/invitations/accept", {"token": invited.json()["token"]}, workspace=None
    )
    assert (answer.status_code, answer.json()["role"]) == (200, "MANAGER")
    rows = await world.database.fetch("SELECT role, accepted_at FROM memberships WHERE user_id = $1", person.user_id)
    assert [(row["role"], row["accepted_at"] is not None) for row in rows] == [("MANAGER", True)]
    again = await world.rest(world.outsider, "POST", path, body, workspace=daves.id)
    assert again.status_code == 409


async def test_what_makes_a_membership_oneself_is_accepted(world: World) -> None:
    """Founding a workspace, signing up by an invitation; and the account is of the workspace that invited."""
    person = await newcomer(world, None)
    body = {"name": "Mine", "slug": new_id()}
    assert (await world.rest(person, "POST", "/api/v1/workspaces", body, workspace=None)).status_code == 201
    token, email = new_id(), f"{new_id()}@example.org"
    until = {"expires_at": now().replace(year=2100), "token": token}
    by = {"workspace_id": world.workspace.id, "invited_by": world.owner.user_id}
    await world.add(Invitation(email=email, role=Role.VIEWER, **until, **by))
    sent = {"token": token, "full_name": "Guest Star", "password": PASSWORD}
    made = await Browser(world.url).send("POST", "/api/v1/auth/invitations/signup", json=sent)
    assert made.status_code == 201, made.text
    for user_id in (person.user_id, made.json()["id"]):
        found = await world.database.fetchval("SELECT accepted_at FROM memberships WHERE user_id = $1", user_id)
        assert found is not None
    founded = "SELECT founded_in FROM users WHERE id = $1"
    assert await world.database.fetchval(founded, made.json()["id"]) == world.workspace.id
    assert await world.database.fetchval(founded, person.user_id) is None
