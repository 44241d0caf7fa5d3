"""Fields of a credential: what is taken, what is shown, how they are stored, and in which variables agents get them."""

from typing import Any

import pytest

from models.resources.credential_bindings import CredentialField
from models.sealed import Sealed
from resolvers.instance.running import instance
from resolvers.resources.credentials.given import GivenKind, environment, given_to
from tests.resources.credentials.test_bindings import bind
from tests.resources.credentials.test_credentials import CANARY, PATH, made
from tests.work.issues.board import UNKNOWN, Board, word

pytestmark = pytest.mark.anyio


async def add(board: Board, credential: dict[str, Any], key: str, value: str = CANARY, **fields: Any) -> Any:
    body = {"key": key, "value": value} | fields
    return await board.ask("POST", f"{PATH}/{credential['id']}/fields", body)


async def stored(board: Board, credential: dict[str, Any], key: str) -> tuple[str | None, str | None]:
    """The clear value, and the sealed one, opened."""
    row = await board.world.database.fetchrow(
        "SELECT id, value, sealed FROM credential_fields WHERE credential_id = $1 AND key = $2", credential["id"], key
    )
    if row["sealed"] is None:
        return row["value"], None
    place = {"table": CredentialField, "column": "sealed", "row_id": row["id"]}
    return row["value"], (await instance.vault.open(Sealed(row["sealed"]), **place)).reveal()


async def test_a_field_is_secret_unless_it_says_otherwise(board: Board) -> None:
    credential = await made(board)
    answer = await add(board, credential, " api_secret ")
    assert (answer.status_code, CANARY in answer.text) == (201, False)
    row = answer.json()
    times = {name: row[name] for name in ("created_at", "updated_at")}
    assert row == {"key": "api_secret", "is_secret": True, "ordinal": 0, "value": None} | times
    clear = (await add(board, credential, "account", " 42 ", is_secret=False)).json()
    assert (clear["value"], clear["ordinal"], clear["is_secret"]) == (" 42 ", 1, False)
    first = (await add(board, credential, "region", "eu", is_secret=False, ordinal=-1)).json()
    path = f"{PATH}/{credential['id']}/fields"
    assert await board.read(path) == [first, row, clear]
    assert await stored(board, credential, "api_secret") == (None, CANARY)
    assert await stored(board, credential, "account") == (" 42 ", None)
    assert (await add(board, credential, "account")).status_code == 409
    assert (await board.ask("POST", path, {"key": "x", "value": "y"}, board.world.member)).status_code == 403
    assert (await board.ask("POST", path, {"key": "x"}, board.world.member)).status_code == 403
    actions = [each["action"] for each in await board.world.audit()]
    assert actions.count("credential_field.created") >= 3


async def test_a_value_moves_with_its_secrecy_and_leaves_no_copy(board: Board) -> None:
    credential = await made(board)
    await add(board, credential, "account", "first")
    path = f"{PATH}/{credential['id']}/fields/account"
    shown = (await board.ask("PUT", path, {"value": "second", "is_secret": False})).json()
    assert (shown["value"], shown["ordinal"]) == ("second", 0)
    assert await stored(board, credential, "account") == ("second", None)
    shown = (await board.ask("PUT", path, {"value": "third", "ordinal": 4, "key": "other"})).json()
    assert (shown["key"], shown["value"], shown["ordinal"]) == ("account", "third", 4)
    shown = (await board.ask("PUT", path, {"value": "fourth", "is_secret": True})).json()
    assert shown["value"] is None
    assert await stored(board, credential, "account") == (None, "fourth")
    assert (await board.ask("DELETE", path)).json() == {"success": True}
    assert (await board.ask("DELETE", path)).status_code == 404
    assert (await board.ask("PUT", path, {"value": "x"})).status_code == 404
    assert (await board.ask("PUT", path, {"value": ""})).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {"key": "Account"},
        {"key": "9a"},
        {"key": "a-b"},
        {"key": "a" * 65},
        {"key": ""},
        {"key": "username"},
        {"key": " value"},
        {"key": "password"},
        {"value": ""},
        {"value": None},
        {"value": 1},
        {"value": "x" * 65_537},
        {"value": "é" * 32_769},
        {"is_secret": "yes"},
        {"ordinal": "1"},
        {"ordinal": 2**31},
    ],
)
async def test_a_bad_field_is_refused(board: Board, body: dict[str, Any]) -> None:
    credential = await made(board)
    before = await board.world.snapshot()
    answer = await add(board, credential, **({"key": "account"} | body))
    assert answer.status_code == 400, answer.text[:200]
    assert (await add(board, {"id": UNKNOWN}, **({"key": "account"} | body))).status_code == 404
    assert await board.world.snapshot() == before


async def test_the_largest_value_and_the_last_field(board: Board) -> None:
    credential = await made(board)
    assert (await add(board, credential, "a0", "x" * 65_536)).status_code == 201
    for number in range(1, 32):
        assert (await add(board, credential, f"a{number}", "x")).status_code == 201
    assert (await add(board, credential, "b")).status_code == 400
    assert (await add(board, credential, "a1")).status_code == 409
    await board.ask("DELETE", f"{PATH}/{credential['id']}", None, board.world.admin)
    left = "SELECT count(*) FROM credential_fields WHERE credential_id = $1"
    assert await board.world.database.fetchval(left, credential["id"]) == 0


async def test_fields_of_a_hidden_credential_are_not_found(board: Board) -> None:
    own = await Board.of(board.world)
    credential = await made(own, crew_ids=[own.crew.id])
    await add(own, credential, "account", "42", is_secret=False)
    path = f"{PATH}/{credential['id']}/fields"
    assert (await own.ask("GET", path, None, own.world.viewer)).status_code == 404
    edge = "query($ws: ID, $id: ID!) { credential(workspaceId: $ws, id: $id) { fields { key isSecret value } } }"
    answer = await own.world.graphql(own.person, edge, {"id": credential["id"]})
    assert answer["data"]["credential"]["fields"] == [{"key": "account", "isSecret": False, "value": "42"}]


async def test_fields_are_delivered_beside_their_credential(board: Board) -> None:
    own, slot = await Board.of(board.world), word().upper()
    credential, taken = await made(own), await made(own, value="taken")
    for key, value in (("region", "eu"), ("token", CANARY), ("empty", "none")):
        assert (await add(own, credential, key, value, is_secret=key == "token")).status_code == 201
    await bind(own, credential, slot, scope="AGENT", agent_id=own.worker.id)
    await bind(own, taken, f"{slot}_EMPTY", scope="AGENT", agent_id=own.worker.id)
    await bind(own, credential, "CREWSHIP", scope="AGENT", agent_id=own.worker.id)
    given = await given_to(own.crew.workspace_id, own.worker.id)
    variables = environment(given)
    assert variables[f"{slot}_REGION"] == "eu"
    assert variables[f"{slot}_TOKEN"] == CANARY
    assert variables[f"{slot}_EMPTY"] == "taken"
    assert not [name for name in variables if name.startswith("CREWSHIP_")]
    kinds = {each.variable: each.kind for each in given}
    assert (kinds[f"{slot}_REGION"], kinds[f"{slot}_TOKEN"]) == (GivenKind.clear_field, GivenKind.secret_field)
    assert not [name for name in environment(given, guarded=True) if name.startswith(slot)], "it is a SECRET"
