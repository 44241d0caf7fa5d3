"""Service accounts: who makes which, and what becomes of what they may."""

from typing import Any

import pytest

from models.people.workspaces import Role, Workspace
from tests.every import each_of
from tests.people.service_accounts.robots import ACCOUNTS, account, make, robot, token
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_an_account_is_made_listed_changed_and_deleted(world: World) -> None:
    made = await account(world, "deployer", "MEMBER")
    assert made == {
        "id": made["id"],
        "name": "deployer",
        "description": None,
        "role": "MEMBER",
        "active": True,
        "created_by": world.owner.user_id,
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
    }
    path = f"{ACCOUNTS}/{made['id']}"
    assert (await world.rest(world.admin, "GET", path)).json() == made
    assert (await world.rest(world.admin, "GET", ACCOUNTS)).json()[0] == made
    changed = await world.rest(world.admin, "PATCH", path, {"name": "shipper", "description": "d", "role": "MANAGER"})
    assert {key: changed.json()[key] for key in ("name", "description", "role")} == {
        "name": "shipper",
        "description": "d",
        "role": "MANAGER",
    }
    row = await world.database.fetchrow(
        "SELECT u.full_name, m.role FROM users u JOIN memberships m ON m.user_id = u.id WHERE u.id = $1", made["id"]
    )
    assert tuple(row) == ("shipper", "MANAGER")
    assert (await world.rest(world.admin, "DELETE", path)).status_code == 204
    assert (await world.rest(world.admin, "GET", path)).status_code == 404
    assert (await make(world, name="shipper")).status_code == 201, "the name is free again"
    audit = [(row["action"], row["actor_type"]) for row in await world.audit() if row["entity_id"] == made["id"]]
    assert audit == [(f"service_account.{what}", "token") for what in ("created", "updated", "deleted")]


@each_of(
    ("person", "role", "status"),
    [
        ("owner", "ADMIN", 201),
        ("admin", "ADMIN", 403),
        ("admin", "MANAGER", 201),
        ("owner", "OWNER", 400),
        ("manager", "VIEWER", 403),
        ("outsider", "VIEWER", 403),
        ("owner", "ROBOT", 400),
    ],
)
async def test_no_account_has_more_than_its_maker_could_give(world: World, person: str, role: str, status: int) -> None:
    before = await world.snapshot()
    answer = await make(world, world.people[person], name=f"{person} {role}", role=role)
    assert answer.status_code == status
    assert (await world.snapshot() == before) is (status != 201)


async def test_an_admin_gives_an_account_of_an_owner_no_further_life(world: World) -> None:
    made = await account(world, "root", "ADMIN")
    path = f"{ACCOUNTS}/{made['id']}"
    secret = await token(world, made["id"])
    lesser = await account(world, "lesser", "MEMBER")
    before = await world.snapshot()
    for call in (
        ("POST", f"{path}/tokens", {}),
        ("POST", f"{path}/tokens/{secret['id']}/rotate", {}),
        ("POST", f"{path}/activate", None),
        ("PATCH", f"{ACCOUNTS}/{lesser['id']}", {"role": "ADMIN"}),
    ):
        assert (await world.rest(world.admin, *call)).status_code == 403, call
    assert await world.snapshot() == before
    assert (await world.rest(world.admin, "POST", f"{path}/deactivate")).status_code == 200


async def test_names_are_taken_in_one_workspace_alone(world: World) -> None:
    await account(world, "twin")
    before = await world.snapshot()
    assert (await make(world, name="twin")).status_code == 409
    second = await account(world, "second twin")
    assert (await world.rest(world.owner, "PATCH", f"{ACCOUNTS}/{second['id']}", {"name": "twin"})).status_code == 409
    assert (await world.snapshot())["users"] != before["users"]
    elsewhere = await world.rest(world.outsider, "POST", ACCOUNTS, {"name": "twin"}, workspace=world.other.id)
    assert elsewhere.status_code == 201


async def test_what_is_deactivated_is_refused_until_it_is_active_again(world: World) -> None:
    actor = await robot(world, "sleeper")
    path = f"{ACCOUNTS}/{actor.user_id}"

    async def works() -> int:
        return (await world.rest(actor, "GET", "/api/v1/crews")).status_code

    assert await works() == 200
    for _ in range(2):
        asleep = (await world.rest(world.admin, "POST", f"{path}/deactivate")).json()
        assert (asleep["active"], "deactivated_at" in asleep, await works()) == (False, True, 403)
    await world.rest(world.admin, "PATCH", path, {"role": "VIEWER"})
    for _ in range(2):
        awake = (await world.rest(world.admin, "POST", f"{path}/activate")).json()
        assert (awake["active"], "deactivated_at" in awake, await works()) == (True, False, 200)
    role = await world.database.fetchval("SELECT role FROM memberships WHERE user_id = $1", actor.user_id)
    assert role == "VIEWER", "what was changed meanwhile holds"


async def test_a_deleted_account_and_its_tokens_are_done_with(world: World) -> None:
    actor = await robot(world, "goner")
    await world.rest(actor, "POST", "/api/v1/labels", {"name": "kept", "color": "red"})
    assert (await world.rest(world.admin, "DELETE", f"{ACCOUNTS}/{actor.user_id}")).status_code == 204
    assert (await world.rest(actor, "GET", "/api/v1/crews")).status_code == 401
    for path in ("activate", "deactivate", "tokens"):
        assert (await world.rest(world.owner, "POST", f"{ACCOUNTS}/{actor.user_id}/{path}", {})).status_code == 404
    name = await world.database.fetchval("SELECT full_name FROM users WHERE id = $1", actor.user_id)
    assert name == "goner", "what it did keeps its name"


async def test_accounts_are_pages_in_graphql(world: World) -> None:
    for number in range(3):
        await account(world, f"page {number}")
    document = "query($ws: ID) { serviceAccounts(workspaceId: $ws, first: 2) { nodes { name creator { id } } } }"
    answer = await world.graphql(world.admin, document)
    page = answer["data"]["serviceAccounts"]
    assert [node["name"] for node in page["nodes"]] == ["page 2", "page 1"]
    assert page["nodes"][0]["creator"] == {"id": world.owner.user_id}
    assert (await world.graphql(world.manager, document))["errors"][0]["extensions"]["code"] == "FORBIDDEN"


# ---- no person -------------------------------------------------------------------------------------------------------


async def test_an_account_has_no_seat_among_the_members(world: World) -> None:
    members = (await world.rest(world.viewer, "GET", f"/api/v1/workspaces/{world.workspace.id}/members")).json()
    actor = await robot(world, "seatless")
    after = (await world.rest(world.viewer, "GET", f"/api/v1/workspaces/{world.workspace.id}/members")).json()
    assert after == members
    document = "query($ws: ID) { workspace(id: $ws) { memberCount members { userId } } }"
    seen = (await world.graphql(world.viewer, document))["data"]["workspace"]
    assert (seen["memberCount"], len(seen["members"])) == (len(after), len(after))
    capabilities = f"/api/v1/workspaces/{world.workspace.id}/members/{actor.user_id}/capabilities"
    assert (await world.rest(world.owner, "GET", capabilities)).status_code == 404
    gone = f"/api/v1/workspaces/{world.workspace.id}/members/{actor.user_id}"
    assert (await world.rest(world.owner, "DELETE", gone)).status_code == 404


async def test_an_account_is_made_a_member_nowhere_else(world: World) -> None:
    actor = await robot(world, "guest")
    body = {"user_id": actor.user_id, "role": "MEMBER"}
    path = f"/api/v1/workspaces/{world.other.id}/members"
    answer = await world.rest(world.outsider, "POST", path, body, workspace=world.other.id)
    assert (answer.status_code, answer.json()["error"]) == (404, "User not found")


async def test_the_tables_themselves_keep_people_and_accounts_apart(world: World) -> None:
    actor = await robot(world, "held")
    refused: list[tuple[str, Any]] = [
        ("UPDATE users SET password_hash = 'x' WHERE id = $1", "users_password_check"),
        (
            "INSERT INTO sessions (id, user_id, expires_at, user_agent, ip) VALUES ('s_1', $1, now(), '', '')",
            "sessions_people_check",
        ),
        ("UPDATE memberships SET role = 'OWNER' WHERE user_id = $1", "memberships_owner_check"),
        ("UPDATE cli_tokens SET scopes = '[]' WHERE user_id = $1", "cli_tokens_scopes_check"),
        ("UPDATE cli_tokens SET tier = 'ADMIN' WHERE user_id = $1", "cli_tokens_scopes_check"),
        ("UPDATE service_accounts SET role = 'OWNER' WHERE id = $1", "service_accounts_owner_check"),
    ]
    for statement, constraint in refused:
        with pytest.raises(Exception, match=constraint):
            await world.database.execute(statement, actor.user_id)


async def test_a_row_of_another_workspace_is_no_account(world: World) -> None:
    await world.add(theirs := Workspace(name="Theirs", slug="theirs"))
    owner = await world.person("their-owner", Role.OWNER, theirs)
    mine = await account(world, "mine")
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/deactivate"), ("GET", "/tokens")):
        body = {"name": "x"} if method == "PATCH" else None
        answer = await world.rest(owner, method, f"{ACCOUNTS}/{mine['id']}{path}", body, workspace=theirs.id)
        assert answer.status_code == 404, (method, path)
