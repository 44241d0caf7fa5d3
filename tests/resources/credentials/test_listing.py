"""Lists of credentials by words, by tag and by cursor; all that an agent has; who is in a timeline."""

from typing import Any

import pytest

from tests.resources.credentials.test_assignments import given
from tests.resources.credentials.test_bindings import bind
from tests.resources.credentials.test_credentials import CANARY, PATH, made
from tests.work.issues.board import Board, word

pytestmark = pytest.mark.anyio


async def test_a_list_is_searched_by_name_and_description_and_by_tag(board: Board) -> None:
    one, two = word(), word()
    by_name = await made(board, name=f"Key {one} 50%", tags=["Sea", two])
    by_text = await made(board, description=f"for {one.upper()}")
    assert {row["id"] for row in await board.read(PATH, search=one.upper())} == {by_name["id"], by_text["id"]}
    assert [row["id"] for row in await board.read(PATH, search=f"{one} 50%")] == [by_name["id"]]
    assert await board.read(PATH, search=f"{one}_50") == []
    assert [row["id"] for row in await board.read(PATH, tag=f" {two.upper()} ")] == [by_name["id"]]
    assert await board.read(PATH, tag=one) == []
    assert await board.read(PATH, tag=two, search=two) == []


async def test_a_cursor_leads_through_the_list_newest_first(board: Board) -> None:
    tag = word()
    ids = [(await made(board, tags=[tag]))["id"] for _ in range(5)]
    seen, cursor = list[str](), ""
    for _ in range(3):
        more = {"cursor": cursor} if cursor else {}
        page = await board.read(PATH, paginate="true", limit=2, tag=tag, **more)
        assert page["limit"] == 2
        seen += [row["id"] for row in page["credentials"]]
        cursor = page["next_cursor"]
    assert (seen, cursor) == (ids[::-1], None)
    page = await board.read(PATH, paginate="true", tag=tag)
    assert (len(page["credentials"]), page["limit"], page["next_cursor"]) == (5, 50, None)
    assert (await board.read(PATH, paginate="true", tag=tag, limit=9_000))["limit"] == 500
    assert isinstance(await board.read(PATH, tag=tag), list)
    for bad in ("limit=0", "limit=x", "limit=-1", "limit=1.5", "cursor=nonsense", "cursor=W10="):
        name, _, value = bad.partition("=")
        sent = {"workspace_id": board.crew.workspace_id, "paginate": "true", name: value}
        async with board.world.client(board.person) as client:
            assert (await client.get(PATH, params=sent)).status_code == 400, bad
    assert isinstance(await board.read(PATH, limit="x"), list)


async def test_what_an_agent_has_is_listed_with_its_reason_if_asked_for(board: Board) -> None:
    own, slot = await Board.of(board.world), word().upper()
    assigned, bound, name = await made(own), await made(own), word()
    linked = await made(own, name=f"{name}-x", crew_ids=[own.crew.id])
    await given(own, assigned, env_var_name="a-b", ttl_seconds=60)
    await bind(own, bound, slot)
    path = f"/api/v1/agents/{own.worker.id}/credentials"
    assert [row["credential_id"] for row in await own.read(path)] == [assigned["id"]]
    rows = {row["credential_id"]: row for row in await own.read(path, include="delivered")}
    assert rows[assigned["id"]] == (await own.read(path))[0]
    for credential, source, variable in ((bound, "binding", slot), (linked, "crew", f"{name}-x")):
        row = rows[credential["id"]]
        assert row == {
            "id": "", "agent_id": own.worker.id, "credential_id": credential["id"],
            "credential_name": credential["name"], "credential_type": "SECRET", "credential_provider": "NONE",
            "credential_status": "ACTIVE", "env_var_name": variable, "priority": 0, "created_at": row["created_at"],
            "expired": False, "grant_source": source,
        }  # fmt: skip
    document = """query($ws: ID, $agent: ID!) {
        agentDeliveredCredentials(workspaceId: $ws, agentId: $agent) { id credentialName grantSource }
    }"""
    answer = await own.world.graphql(own.world.viewer, document, {"agent": own.worker.id})
    listed = answer["data"]["agentDeliveredCredentials"]
    assert {row["grantSource"] for row in listed} >= {"explicit", "binding", "crew"}


async def test_an_assignment_that_ended_takes_no_variable_from_others(board: Board) -> None:
    own, name = await Board.of(board.world), word().upper()
    ended, linked = await made(own), await made(own, name=name, crew_ids=[own.crew.id])
    given_ = (await given(own, ended, env_var_name=name, ttl_seconds=60)).json()
    await board.world.database.execute(
        "UPDATE agent_credentials SET expires_at = now() - interval '1 s' WHERE id = $1", given_["id"]
    )
    rows = await own.read(f"/api/v1/agents/{own.worker.id}/credentials", include="delivered")
    shown = {row["credential_id"]: (row["expired"], row["grant_source"]) for row in rows}
    assert (shown[ended["id"]], shown[linked["id"]]) == ((True, "explicit"), (False, "crew"))


async def test_a_timeline_names_its_actors(board: Board) -> None:
    credential = await made(board)
    await board.world.database.execute(
        "INSERT INTO credential_events (id, workspace_id, credential_id, event_type, agent_id)"
        " VALUES ($1, $2, $3, 'USE', $4), ($5, $2, $3, 'DETECTED', NULL)",
        *(f"c{word()}", board.crew.workspace_id, credential["id"], board.worker.id, f"c{word()}"),
    )
    lines = {row["event_type"]: row for row in await board.read(f"{PATH}/{credential['id']}/audit")}
    named = {kind: (row["actor_kind"], row["actor_id"], row["actor_name"]) for kind, row in lines.items()}
    assert named["USE"] == ("agent", board.worker.id, board.worker.name)
    assert named["DETECTED"] == ("system", "", "")
    assert named["CREATED"][:2] == ("user", board.person.user_id)
    await board.ask("DELETE", f"{PATH}/{credential['id']}", None, board.world.admin)
    assert (await board.ask("GET", f"{PATH}/{credential['id']}/audit")).status_code == 404


async def test_a_rotation_without_grace_keeps_nothing(board: Board) -> None:
    credential = await made(board)
    path = f"{PATH}/{credential['id']}"
    sent: dict[str, Any] = {"value": "new", "grace_seconds": 0}
    rotation = (await board.ask("POST", f"{path}/rotate", sent, board.world.admin)).json()
    assert rotation["status"] == "ACTIVE"
    kept = "SELECT old_value FROM credential_rotations WHERE id = $1"
    assert await board.world.database.fetchval(kept, rotation["id"]) is None
    [row] = await board.read(f"{path}/rotations")
    assert (row["status"], row["old_value_gone"]) == ("EXPIRED", True)
    cancel = f"/api/v1/credential-rotations/{rotation['id']}"
    assert (await board.ask("DELETE", cancel, None, board.world.admin)).json()["status"] == "EXPIRED"
    assert CANARY not in str(row)
