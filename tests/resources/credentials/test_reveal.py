"""Values are revealed to few: each gate refuses by itself, the journal comes first, nothing else shows a value."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from models.people.auth import User
from models.people.workspaces import Membership, Role
from models.staff.crews import CrewMember
from resolvers.kernel.ground.pace import Pace
from resolvers.resources.credentials import reveal
from tests.people.auth.browsers import Browser, signed_in
from tests.resources.credentials.test_credentials import CANARY, PATH, made, told
from tests.work.issues.board import UNKNOWN, Board
from tests.world import World

pytestmark = pytest.mark.anyio
REASON = "The old server asks for it in person"
POLICY = f"{PATH}/reveal-policy"


@dataclass
class Vault:
    """A workspace of its own, a browser of a member with the capability, and a credential."""

    board: Board
    browser: Browser
    user: User
    credential: dict[str, Any]

    @property
    def world(self) -> World:
        return self.board.world

    async def ask(self, id: str = "", **sent: Any) -> httpx2.Response:
        path = f"{PATH}/{id or self.credential['id']}/reveal?workspace_id={self.board.crew.workspace_id}"
        return await self.browser.send("POST", path, json={"reason": REASON} | sent, headers={"origin": self.world.url})

    async def execute(self, sql: str, *values: Any) -> None:
        await self.world.database.execute(sql, *values)

    async def become(self, role: Role, *capabilities: str) -> None:
        given = ", ".join(f'"{name}"' for name in capabilities)
        await self.execute(
            "UPDATE memberships SET role = $1, capabilities = $2::text::jsonb WHERE user_id = $3",
            *(role.value, f"[{given}]", self.user.id),
        )

    async def entries(self) -> list[dict[str, Any]]:
        found = await self.board.read("/api/v1/journal", entry_type="credential.revealed")
        return [e for e in found["entries"] if e["payload"]["credential_id"] == self.credential["id"]]


@pytest.fixture
async def vault(board: Board, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Vault]:
    monkeypatch.setattr(reveal, "REVEALS", Pace(100, "too often"))
    world, place = board.world, board.crew.workspace_id
    browser, user = await signed_in(world)
    await world.add(Membership(user_id=user.id, workspace_id=place, role=Role.ADMIN))
    made_by = Vault(board, browser, user, await made(board))
    await made_by.become(Role.ADMIN, "credentials:reveal")
    await made_by.execute("UPDATE workspaces SET reveals_credentials = true WHERE id = $1", place)
    yield made_by
    await made_by.execute("UPDATE workspaces SET reveals_credentials = false WHERE id = $1", place)
    await made_by.execute("DELETE FROM memberships WHERE user_id = $1", user.id)


async def test_a_value_is_shown_once_it_is_in_the_journal(vault: Vault) -> None:
    answer = await vault.ask(reason=f"  {REASON} ")
    assert answer.status_code == 200, answer.text
    shown, id = answer.json(), vault.credential["id"]
    assert shown == {
        "credential_id": id, "name": vault.credential["name"], "type": "SECRET", "sensitivity": "STANDARD",
        "value": CANARY, "revealed_at": shown["revealed_at"], "journal_entry_id": shown["journal_entry_id"],
    }  # fmt: skip
    assert (answer.headers.get_list("cache-control"), answer.headers["pragma"]) == (["no-store"], "no-cache")
    [entry] = await vault.entries()
    assert (entry["id"], entry["severity"], entry["actor_id"]) == (shown["journal_entry_id"], "warn", vault.user.id)
    assert entry["payload"] | {"ip": ""} == {
        "credential_id": id, "credential_name": vault.credential["name"], "credential_type": "SECRET",
        "classification": "STANDARD", "reason": REASON, "actor_role": "ADMIN", "ip": "",
    }  # fmt: skip
    assert await told(vault.board, id) == ["CREATED", "REVEAL"]
    line = (await vault.board.read(f"{PATH}/{id}/audit"))[0]
    assert line["metadata"] == {
        "revealed_by": vault.user.id, "actor_role": "ADMIN", "classification": "STANDARD", "reason": REASON,
        "journal_entry_id": shown["journal_entry_id"],
    }  # fmt: skip
    assert "credential.revealed" in [row["action"] for row in await vault.world.audit() if row["entity_id"] == id]


async def test_nothing_but_the_answer_has_the_value(vault: Vault, caplog: pytest.LogCaptureFixture) -> None:
    assert (await vault.ask()).status_code == 200
    tables = await vault.world.database.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
    )
    for (table,) in tables:
        found = f'SELECT count(*) FROM "{table}" t WHERE to_jsonb(t)::text LIKE $1'
        assert await vault.world.database.fetchval(found, f"%{CANARY}%") == 0, table
    assert CANARY not in caplog.text


async def refused(vault: Vault, status: int, id: str = "", **sent: Any) -> str:
    """The text of the refusal, which wrote nothing."""
    before = await vault.world.snapshot()
    answer = await vault.ask(id, **sent)
    assert (answer.status_code, CANARY in answer.text) == (status, False), answer.text
    assert await vault.world.snapshot() == before
    said: str = answer.json()["error"]
    return said


async def test_each_gate_refuses_by_itself(vault: Vault) -> None:
    place, id = vault.board.crew.workspace_id, vault.credential["id"]
    switch = "UPDATE workspaces SET reveals_credentials = $1 WHERE id = $2"
    await vault.execute(switch, False, place)
    assert await refused(vault, 403) == reveal.OFF
    await vault.execute(switch, True, place)
    for role in (Role.ADMIN, Role.MANAGER, Role.OWNER):
        await vault.become(role, "credential.rotate")
        assert await refused(vault, 403) == reveal.NOT_GRANTED
    await vault.become(Role.MEMBER, "credentials:reveal")
    await refused(vault, 403)
    await vault.become(Role.ADMIN, "credentials:reveal")
    await refused(vault, 404, UNKNOWN)
    await vault.execute("UPDATE credentials SET sensitivity = 'SEALED' WHERE id = $1", id)
    assert await refused(vault, 403) == reveal.SEALED
    await vault.execute("UPDATE credentials SET sensitivity = 'RESTRICTED' WHERE id = $1", id)
    assert (await vault.ask()).json()["sensitivity"] == "RESTRICTED"
    aged = "UPDATE sessions SET created_at = now() - interval '61 minutes' WHERE user_id = $1"
    await vault.execute(aged, vault.user.id)
    assert await refused(vault, 403) == reveal.OLD_SESSION


async def test_no_token_reveals(vault: Vault) -> None:
    token = vault.world.admin
    granted = "UPDATE memberships SET capabilities = $1::text::jsonb WHERE id = $2"
    await vault.execute(granted, '["credentials:reveal"]', token.membership_id)
    path = f"{PATH}/{vault.credential['id']}/reveal"
    answer = await vault.board.ask("POST", path, {"reason": REASON}, token)
    assert (answer.status_code, answer.json()["error"]) == (403, reveal.NO_SESSION)
    await vault.execute(granted, None, token.membership_id)
    sent = {"authorization": f"Bearer {vault.browser.access}"}
    async with httpx2.AsyncClient(base_url=vault.world.url, headers=sent) as client:
        place = {"workspace_id": vault.board.crew.workspace_id}
        assert (await client.post(path, json={"reason": REASON}, params=place)).json()["value"] == CANARY
    assert await vault.entries()


async def test_managers_reveal_what_their_crews_have(vault: Vault) -> None:
    board = vault.board
    of_crew = await made(board, crew_ids=[board.crew.id])
    await vault.become(Role.MANAGER, "credentials:reveal")
    assert (await vault.ask()).status_code == 200
    assert await refused(vault, 403, of_crew["id"]) == reveal.OTHER_CREW
    await vault.world.add(CrewMember(crew_id=board.crew.id, user_id=vault.user.id, **board.here))
    assert (await vault.ask(of_crew["id"])).json()["value"] == CANARY


@pytest.mark.parametrize(
    "reason",
    [None, 1, "", "too short", "   short but blanks    ", "test test test test test", "because, reason: debugging!",
     "harbour harbour harbour", "please just checking - x", "x" * 10_001],
)  # fmt: skip
async def test_a_reason_says_something(vault: Vault, reason: Any) -> None:
    await refused(vault, 400, reason=reason)


async def test_a_slot_and_a_value_that_cannot_be_opened(vault: Vault) -> None:
    slot = await made(vault.board, value="", pending=True)
    await refused(vault, 409, slot["id"])
    other = await made(vault.board)
    await vault.execute(
        "UPDATE credentials SET value = (SELECT value FROM credentials WHERE id = $1) WHERE id = $2",
        *(other["id"], vault.credential["id"]),
    )
    assert (await vault.ask()).status_code == 500
    assert len(await vault.entries()) == 1, "the entry stays"


async def test_without_the_entry_no_value_is_opened(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no journal")

    async def opens(*_: Any) -> Any:
        raise AssertionError("the value was opened")

    monkeypatch.setattr(reveal, "record_reveal", fails)
    monkeypatch.setattr(reveal, "value_of", opens)
    await refused(vault, 500)


async def test_one_that_is_sealed_meanwhile_is_not_revealed(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = reveal.record_reveal

    async def sealed(*given: Any, **how: Any) -> Any:
        made = await recorded(*given, **how)
        await vault.execute("UPDATE credentials SET sensitivity = 'SEALED' WHERE id = $1", vault.credential["id"])
        return made

    monkeypatch.setattr(reveal, "record_reveal", sealed)
    answer = await vault.ask()
    assert (answer.status_code, CANARY in answer.text) == (403, False)


async def test_a_person_reveals_three_a_minute(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reveal, "REVEALS", Pace(3, "too often"))
    monkeypatch.setattr(type(reveal.instance), "limited", True)
    answers = [(await vault.ask()).status_code for _ in range(4)]
    assert answers == [200, 200, 200, 429]


REVEAL = """
mutation($ws: ID, $input: RevealCredentialInput!) {
  revealCredential(workspaceId: $ws, input: $input) { value name journalEntryId }
}
"""


async def test_graphql_reveals_behind_the_same_gates(vault: Vault) -> None:
    sent = {"id": vault.credential["id"], "reason": REASON}
    body = {"query": REVEAL, "variables": {"ws": vault.board.crew.workspace_id, "input": sent}}
    answer = await vault.browser.send("POST", "/graphql", json=body, headers={"origin": vault.world.url})
    assert answer.json()["data"]["revealCredential"]["value"] == CANARY, answer.text
    assert "no-store" in answer.headers["cache-control"]
    refused = await vault.world.graphql(vault.world.owner, REVEAL, {"input": sent})
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert len(await vault.entries()) == 1


async def test_only_an_owner_turns_it_on_and_each_call_is_told(board: Board) -> None:
    world = board.world
    assert await board.read(POLICY) == {"workspace_id": board.crew.workspace_id, "enabled": False}
    assert (await board.ask("GET", POLICY, None, world.member)).status_code == 403
    for person in (world.admin, world.manager):
        assert (await board.ask("PUT", POLICY, {"enabled": "yes"}, person)).status_code == 403
    for bad in ({}, {"enabled": None}, {"enabled": 1}, {"enabled": "true"}):
        assert (await board.ask("PUT", POLICY, bad, world.owner)).status_code == 400
    for enabled in (True, True, False):
        shown = (await board.ask("PUT", POLICY, {"enabled": enabled}, world.owner)).json()
        assert shown["enabled"] is enabled
        assert (await board.read(POLICY))["enabled"] is enabled
    entries = (await board.read("/api/v1/journal", entry_type="credential.reveal_policy_changed"))["entries"]
    told = [(entry["payload"]["enabled"], entry["payload"]["previous"]) for entry in entries]
    assert told[:3] == [(False, True), (True, True), (True, False)]
    stored = await world.database.fetchval("SELECT count(*) FROM workspaces WHERE reveals_credentials")
    assert stored == 0


async def test_managers_raise_the_sensitivity_and_administrators_lower_it(board: Board) -> None:
    credential = await made(board)
    path = f"{PATH}/{credential['id']}/sensitivity"

    async def put(value: Any, person: Any = None) -> Any:
        return await board.ask("PUT", path, {"sensitivity": value}, person)

    assert (await put("SEALED", board.world.member)).status_code == 403
    for bad in ("sealed", "TOP", None, 1):
        assert (await put(bad)).status_code == 400
    assert (await put("SEALED")).json() == {
        "credential_id": credential["id"], "sensitivity": "SEALED", "previous": "STANDARD",
    }  # fmt: skip
    shown = await board.read(f"{PATH}/{credential['id']}")
    assert shown["sensitivity"] == "SEALED"
    before = await board.world.snapshot()
    assert (await put("SEALED")).status_code == 200
    assert (await put("RESTRICTED")).status_code == 403
    assert await board.world.snapshot() == before
    assert (await put("RESTRICTED", board.world.admin)).json()["previous"] == "SEALED"
    entries = (await board.read("/api/v1/journal", entry_type="credential.sensitivity_lowered"))["entries"]
    assert entries[0]["payload"] | {"ip": ""} == {
        "credential_id": credential["id"], "from": "SEALED", "to": "RESTRICTED", "actor_role": "ADMIN", "ip": "",
    }  # fmt: skip
    unknown = f"{PATH}/{UNKNOWN}/sensitivity"
    assert (await board.ask("PUT", unknown, {"sensitivity": "STANDARD"})).status_code == 404
