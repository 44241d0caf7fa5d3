"""What programs around agents get and do: who they act for, from where values are given, and what is told of it."""

from typing import Any

import pytest

from resolvers.identity.machine_tokens import caller_signature, issue_workspace_token
from tests.resources.credentials.test_credentials import CANARY, PATH, made, opened, told
from tests.work.issues.board import UNKNOWN, Board, word
from tests.work.issues.test_internal import master
from tests.world import Person

pytestmark = pytest.mark.anyio
INTERNAL = "/api/v1/internal/credentials"


async def ask(
    board: Board,
    method: str,
    path: str = "",
    body: Any = None,
    *,
    token: str | None = None,
    place: str | None = "",
    person: Person | None = None,
    **query: str,
) -> Any:
    key = token or master(board.world)
    headers = {"x-internal-token": key}
    if person is not None:
        headers["x-caller-user-id"] = person.user_id
        headers["x-caller-signature"] = caller_signature(key, board.crew.workspace_id, person.user_id)
    params = query if place is None else {"workspace_id": place or board.crew.workspace_id} | query
    async with board.world.client(None, **headers) as client:
        return await client.request(method, f"{INTERNAL}{path}", params=params, json=body)


async def key(board: Board, **fields: Any) -> dict[str, Any]:
    return await made(board, **({"type": "API_KEY", "provider": word().upper()} | fields))


async def test_keys_of_providers_are_listed_and_values_only_for_this_machine(board: Board) -> None:
    one = await key(board, refresh_token=f"{CANARY}-r")
    await made(board, provider=one["provider"])  # a SECRET
    listed = (await ask(board, "GET", provider=one["provider"])).json()
    shown = {name: one[name] for name in ("id", "name", "type", "provider", "account_label", "status")}
    shown |= {"workspace_id": board.crew.workspace_id, "token_expires_at": None}
    assert listed == [shown]
    valued = (await ask(board, "GET", provider=one["provider"], include_values="true")).json()
    assert valued == [shown | {"access_token": CANARY, "refresh_token": f"{CANARY}-r"}]
    async with board.world.client(
        None, **{"x-internal-token": issue_workspace_token(master(board.world), board.crew.workspace_id)}
    ) as client:
        for headers in ({"x-forwarded-for": "10.0.0.7"},):
            params = {"provider": one["provider"], "include_values": "true"}
            answer = await client.get(INTERNAL, params=params, headers=headers)
            assert CANARY not in answer.text


async def test_a_hand_out_is_told_once_a_minute(board: Board) -> None:
    one = await key(board)
    for _ in range(3):
        await ask(board, "GET", provider=one["provider"], include_values="true")
    assert await told(board, one["id"]) == ["CREATED", "USE"]
    assert (await board.read(f"{PATH}/{one['id']}"))["last_used_at"] is not None
    line = (await board.read(f"{PATH}/{one['id']}/audit"))[0]
    assert (line["agent_id"], line["ip_address"], line["metadata"]) == (None, None, {"source": "sidecar_fetch"})
    await board.world.database.execute(
        "UPDATE credentials SET last_used_at = now() - interval '61 seconds' WHERE id = $1", one["id"]
    )
    await ask(board, "GET", provider=one["provider"], include_values="true")
    assert await told(board, one["id"]) == ["CREATED", "USE", "USE"]


async def test_values_are_those_of_active_credentials_and_a_slot_has_none(board: Board) -> None:
    provider = word().upper()
    expired, slot = await key(board, provider=provider), await key(board, provider=provider, value="", pending=True)
    for id, status in ((expired["id"], "EXPIRED"), (slot["id"], "ACTIVE")):
        assert (await ask(board, "PATCH", f"/{id}", {"status": status})).status_code == 200
    assert {row["id"] for row in (await ask(board, "GET", provider=provider)).json()} == {expired["id"], slot["id"]}
    [row] = (await ask(board, "GET", provider=provider, include_values="true")).json()
    assert (row["id"], "access_token" in row) == (slot["id"], False)
    assert await told(board, slot["id"]) == ["CREATED"]


async def test_a_bound_token_sees_its_own_workspace_and_the_master_all(board: Board) -> None:
    there, provider = await Board.of(board.world, board.world.other), word().upper()
    mine, theirs = [await key(each, provider=provider) for each in (board, there)]
    bound = issue_workspace_token(master(board.world), board.crew.workspace_id)
    for token, place, seen in (
        (None, None, {mine["id"], theirs["id"]}),
        (bound, None, {mine["id"]}),
        (None, there.crew.workspace_id, {theirs["id"]}),
        (None, "nowhere", set()),
    ):
        answer = await ask(board, "GET", token=token, place=place, provider=provider)
        assert {row["id"] for row in answer.json()} == seen
    assert (await ask(board, "GET", token=bound, place=there.crew.workspace_id)).status_code == 403
    for token, place in ((bound, None), (None, board.crew.workspace_id)):
        answer = await ask(board, "PATCH", f"/{theirs['id']}", {"status": "ERROR"}, token=token, place=place)
        assert answer.status_code == 404, answer.text
    assert (await there.read(f"{PATH}/{theirs['id']}"))["status"] == "ACTIVE"


async def test_a_status_is_set_with_new_tokens(board: Board) -> None:
    one = await key(board)
    body = {"status": "ERROR", "last_error": "", "access_token": "new", "refresh_token": "r"}
    body["token_expires_at"] = "2031"
    answer = (await ask(board, "PATCH", f"/{one['id']}", body, place=None)).json()
    shown = await board.read(f"{PATH}/{one['id']}")
    assert answer == {"id": one["id"], "status": "ERROR", "last_checked_at": shown["last_checked_at"]}
    assert (shown["status"], shown["last_error"], shown["token_expires_at"]) == ("ERROR", "", "2031")
    assert [await opened(board, one["id"], column) for column in ("value", "refresh_token")] == ["new", "r"]
    assert await told(board, one["id"]) == ["CREATED"]
    for status in ("PENDING", "REJECTED", "X", None):
        assert (await ask(board, "PATCH", f"/{one['id']}", {"status": status}, place=None)).status_code == 400
    assert (await ask(board, "PATCH", f"/{UNKNOWN}", {"status": "ERROR"}, place=None)).status_code == 404


async def test_a_program_acts_for_a_user_who_may(board: Board) -> None:
    body, admin, manager = {"value": CANARY}, board.world.admin, board.world.manager
    for person, status in ((None, 401), (board.world.member, 403), (manager, 403), (Person("", UNKNOWN, "", ""), 403)):
        assert (await ask(board, "POST", body=body | {"name": word()}, person=person)).status_code == status
    answer = await ask(board, "POST", body=body | {"name": word()}, person=admin)
    assert (answer.status_code, answer.json()["created_by_actor_id"]) == (201, admin.user_id)
    id = answer.json()["id"]
    rotated = await ask(board, "POST", f"/{id}/rotate", {"value": "newer"}, person=admin)
    assert (rotated.status_code, rotated.json()["rotated_by"]) == (200, admin.user_id)
    assert await opened(board, id) == "newer"
    assert (await ask(board, "POST", f"/{id}/rotate", {"value": "x"}, person=manager)).status_code == 403
    await board.world.database.execute(
        "UPDATE memberships SET capabilities = '[\"credential.rotate\"]' WHERE user_id = $1 AND workspace_id = $2",
        manager.user_id,
        board.crew.workspace_id,
    )
    assert (await ask(board, "POST", f"/{id}/rotate", {"value": "x"}, person=manager)).status_code == 200
    audited = {(row["action"], row["user_id"]) for row in await board.world.audit() if row["entity_id"] == id}
    assert ("credential.created", admin.user_id) in audited


async def test_a_signature_is_good_for_its_token_workspace_and_user(board: Board) -> None:
    user, there = board.world.admin.user_id, board.crew.workspace_id
    bound = issue_workspace_token(master(board.world), there)
    good = caller_signature(bound, there, user)
    wrong = (
        caller_signature(master(board.world), there, user),
        caller_signature(bound, "elsewhere", user),
        caller_signature(bound, there, board.world.owner.user_id),
        good.upper(),
        "",
    )
    for signature, status in (*((text, 401) for text in wrong), (good, 201)):
        headers = {"x-internal-token": bound, "x-caller-user-id": user, "x-caller-signature": signature}
        async with board.world.client(None, **headers) as client:
            answer = await client.post(INTERNAL, json={"name": word(), "value": CANARY})
        assert answer.status_code == status, answer.text
