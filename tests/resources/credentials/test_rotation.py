"""A new value, the one before for a while, and what is left of both."""

from typing import Any

import pytest

from models.resources.credentials import CredentialRotation
from models.sealed import Sealed
from resolvers.instance.running import instance
from resolvers.kernel import across_workspaces
from resolvers.resources.credentials.rotation import end_overdue
from tests.resources.credentials.test_credentials import CANARY, PATH, made, opened, told
from tests.work.issues.board import UNKNOWN, Board

pytestmark = pytest.mark.anyio


async def rotate(board: Board, credential: dict[str, Any], **fields: Any) -> Any:
    return await board.ask("POST", f"{PATH}/{credential['id']}/rotate", {"value": "new"} | fields, board.world.admin)


async def kept(board: Board, rotation: dict[str, Any]) -> str | None:
    sealed = await board.world.database.fetchval(
        "SELECT old_value FROM credential_rotations WHERE id = $1", rotation["id"]
    )
    if sealed is None:
        return None
    place = {"table": CredentialRotation, "column": "old_value", "row_id": rotation["id"]}
    return (await instance.vault.open(Sealed(sealed), **place)).reveal()


async def test_the_new_value_is_good_at_once_and_the_old_one_for_a_while(board: Board) -> None:
    credential = await made(board)
    await board.world.database.execute(
        "UPDATE credentials SET status = 'EXPIRED', last_error = 'gone' WHERE id = $1", credential["id"]
    )
    rotation = (await rotate(board, credential)).json()
    assert rotation == {
        "id": rotation["id"], "credential_id": credential["id"], "grace_seconds": 86_400,
        "rotated_at": rotation["rotated_at"], "expires_at": rotation["expires_at"],
        "rotated_by": board.world.admin.user_id, "status": "ACTIVE", "old_value_gone": False,
    }  # fmt: skip
    assert (await opened(board, credential["id"]), await kept(board, rotation)) == ("new", CANARY)
    shown = await board.read(f"{PATH}/{credential['id']}")
    assert (shown["status"], shown["last_error"]) == ("ACTIVE", None)
    assert await told(board, credential["id"]) == ["CREATED", "ROTATE"]
    again = (await rotate(board, credential, value="newer", grace_seconds=604_800)).json()
    assert await kept(board, again) == "new"
    listed = [row["id"] for row in await board.read(f"{PATH}/{credential['id']}/rotations")]
    assert listed == [again["id"], rotation["id"]]


async def test_a_slot_is_filled_and_leaves_no_value_behind(board: Board) -> None:
    slot = await made(board, value="", pending=True)
    rotation = (await rotate(board, slot)).json()
    assert (await opened(board, slot["id"]), await kept(board, rotation)) == ("new", None)
    assert (await board.read(f"{PATH}/{slot['id']}"))["status"] == "ACTIVE"


@pytest.mark.parametrize(
    "fields",
    [
        {"value": " \t"},
        {"value": ""},
        {"value": 1},
        {"value": None},
        {"grace_seconds": -1},
        {"grace_seconds": 604_801},
        {"grace_seconds": "60"},
        {"grace_seconds": 1.5},
    ],
)
async def test_a_bad_rotation_is_refused_and_also_before_the_id_is_looked_at(
    board: Board, fields: dict[str, Any]
) -> None:
    credential = await made(board)
    before = await board.world.snapshot()
    assert (await rotate(board, credential, **fields)).status_code == 400
    assert (await rotate(board, {"id": UNKNOWN}, **fields)).status_code == 400
    assert await board.world.snapshot() == before


async def test_only_administrators_rotate(board: Board) -> None:
    credential = await made(board)
    path = f"{PATH}/{credential['id']}/rotate"
    assert (await board.ask("POST", path, {"value": "x"})).status_code == 403
    assert (await rotate(board, {"id": UNKNOWN})).status_code == 404
    assert await opened(board, credential["id"]) == CANARY


async def test_the_capability_to_rotate_opens_both_ways(board: Board) -> None:
    credential = await made(board)
    path = f"{PATH}/{credential['id']}/rotate"
    member = board.world.member
    given = "UPDATE memberships SET capabilities = {} WHERE user_id = $1 AND workspace_id = $2".format
    who = (member.user_id, board.crew.workspace_id)
    assert (await board.ask("POST", path, {"value": "x"}, member)).status_code == 403
    await board.world.database.execute(given("'[\"credential.rotate\"]'"), *who)
    try:
        rotation = await board.ask("POST", path, {"value": "x"}, member)
        assert (rotation.status_code, await opened(board, credential["id"])) == (200, "x")
        cancel = f"/api/v1/credential-rotations/{rotation.json()['id']}"
        assert (await board.ask("DELETE", cancel, None, member)).json() == {"status": "CANCELLED"}
    finally:
        await board.world.database.execute(given("NULL"), *who)
    assert (await board.ask("POST", path, {"value": "y"}, member)).status_code == 403


async def test_a_credential_that_waits_for_approval_is_not_rotated(board: Board) -> None:
    credential = await made(board)
    await board.world.database.execute(
        "UPDATE credentials SET status = 'PENDING_APPROVAL' WHERE id = $1", credential["id"]
    )
    before = await board.world.snapshot()
    assert (await rotate(board, credential)).status_code == 409
    assert await board.world.snapshot() == before
    await board.world.database.execute("UPDATE credentials SET status = 'ACTIVE' WHERE id = $1", credential["id"])
    assert (await rotate(board, credential)).status_code == 200


async def test_what_is_over_ends_with_its_value_and_the_rest_stays(board: Board) -> None:
    credential = await made(board)
    over, lasting = [(await rotate(board, credential, grace_seconds=grace)).json() for grace in (0, 60)]
    await across_workspaces(end_overdue)
    rows = {row["id"]: row for row in await board.read(f"{PATH}/{credential['id']}/rotations")}
    assert (rows[over["id"]]["status"], rows[over["id"]]["old_value_gone"]) == ("EXPIRED", True)
    assert (rows[lasting["id"]]["status"], rows[lasting["id"]]["old_value_gone"]) == ("ACTIVE", False)
    assert (await kept(board, over), await kept(board, lasting)) == (None, "new")
    assert await opened(board, credential["id"]) == "new"


async def test_a_rotation_is_cancelled_once_and_its_value_goes(board: Board) -> None:
    credential = await made(board)
    rotation = (await rotate(board, credential)).json()
    path = f"/api/v1/credential-rotations/{rotation['id']}"
    assert (await board.ask("DELETE", path)).status_code == 403
    assert (await board.ask("DELETE", path, None, board.world.admin)).json() == {"status": "CANCELLED"}
    assert await kept(board, rotation) is None
    again = (await board.ask("DELETE", path, None, board.world.admin)).json()
    assert (again["status"], set(again)) == ("CANCELLED", {"status", "message"})
    unknown = f"/api/v1/credential-rotations/{UNKNOWN}"
    assert (await board.ask("DELETE", unknown, None, board.world.admin)).status_code == 404


async def test_members_read_the_rotations_of_the_credentials_that_they_see(board: Board) -> None:
    credential = await made(board, crew_ids=[(await Board.of(board.world)).crew.id])
    rotation = (await rotate(board, credential)).json()
    path = f"{PATH}/{credential['id']}"
    assert (await board.ask("GET", path, None, board.world.viewer)).status_code == 404
    assert (await board.ask("GET", f"{path}/rotations", None, board.world.viewer)).status_code == 404
    listed = (await board.ask("GET", f"{path}/rotations", None, board.person)).json()
    assert [row["id"] for row in listed] == [rotation["id"]]
    await board.ask("DELETE", path, None, board.world.admin)
    assert (await board.ask("GET", f"{path}/rotations", None, board.world.owner)).status_code == 404
    cancel = f"/api/v1/credential-rotations/{rotation['id']}"
    assert (await board.ask("DELETE", cancel, None, board.world.admin)).status_code == 404


async def test_a_deleted_credential_keeps_no_sealed_value(board: Board) -> None:
    client = {"oauth_client_id": "c", "oauth_client_secret": CANARY, "refresh_token": CANARY}
    credential = await made(board, type="OAUTH2", **client)
    rotation = (await rotate(board, credential)).json()
    await board.ask("DELETE", f"{PATH}/{credential['id']}", None, board.world.admin)
    values = await board.world.database.fetchrow(
        "SELECT value, refresh_token, oauth_client_secret FROM credentials WHERE id = $1", credential["id"]
    )
    assert (list(values), await kept(board, rotation)) == ([None] * 3, None)
