"""Values in other stores: asked for when needed, kept nowhere, and refused where an address may not be called."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.sealed import Sealed
from resolvers.errors import Code, Refusal
from resolvers.instance.running import instance
from resolvers.instance.vault import told_of_secrets
from resolvers.resources.credentials.references import value_of, values_of
from tests.instance.openbao import ROOT, OpenBao, openbao
from tests.resources.credentials.test_credentials import made
from tests.resources.credentials.test_internal import ask, key
from tests.work.issues.board import Board

pytestmark = pytest.mark.anyio
VALUE = "kept-elsewhere/+ 1"
PATH = "/v1/secret/data/team/github"


@pytest.fixture
async def bao(monkeypatch: pytest.MonkeyPatch, board: Board) -> AsyncIterator[OpenBao]:
    """One on this machine, which an operator has allowed to call."""
    allowed = instance.settings.model_copy(update={"hooks_allow_private": True})
    monkeypatch.setattr(instance, "_settings", allowed)
    async with openbao() as made:
        made.kv = {PATH: {"token": VALUE, "value": "the usual", "number": 7}}
        yield made


async def row(board: Board, **fields: Any) -> Any:
    credential = await made(board, **{"value": ROOT} | fields)
    return await board.world.database.fetchrow("SELECT * FROM credentials WHERE id = $1", credential["id"])


async def test_a_value_is_read_in_its_store_and_is_nowhere_here(bao: OpenBao, board: Board) -> None:
    one = await key(board, value=ROOT, secret_ref=f"{bao.url}{PATH}#token")
    assert one["secret_ref"] == f"{bao.url}{PATH}#token"
    listed = (await ask(board, "GET", provider=one["provider"], include_values="true")).json()
    assert [each["access_token"] for each in listed] == [VALUE]
    assert bao.asked == [f"GET {PATH}"]
    assert VALUE not in str(await board.world.snapshot())
    plain = (await ask(board, "GET", provider=one["provider"])).text
    assert VALUE not in plain
    assert len(bao.asked) == 1


async def test_whoever_redacts_is_told_of_it_and_of_the_token(bao: OpenBao, board: Board) -> None:
    found, known = await row(board, secret_ref=f"{bao.url}{PATH}"), list[str]()
    with told_of_secrets(known.append):
        value = await value_of(found["id"], Sealed(found["value"]), found["secret_ref"])
    assert value.reveal() == "the usual"
    assert known == [ROOT, "the usual"]


async def test_one_that_is_not_given_is_left_out_and_the_others_are_not(bao: OpenBao, board: Board) -> None:
    rows = [
        await row(board, secret_ref=f"{bao.url}{PATH}#token"),
        await row(board, secret_ref=f"{bao.url}{PATH}#number"),
        await row(board, secret_ref=f"{bao.url}/v1/secret/data/nothing"),
        await row(board, secret_ref=f"{bao.url}{PATH}", value="s.unknown"),
        await row(board, secret_ref=f"{bao.url}{PATH}", value="two lines\r\nx: y"),
        await row(board, value="own"),
        {**await row(board), "value": b"\xff\x02broken"},
    ]
    assert await values_of(rows) == [VALUE, None, None, None, None, "own", None]
    bao.sealed = True
    assert await values_of(rows[:1]) == [None]


async def test_an_address_of_this_network_is_refused_unless_it_is_allowed(board: Board) -> None:
    async with openbao() as bao:
        bao.kv = {PATH: {"value": VALUE}}
        found = await row(board, secret_ref=f"{bao.url}{PATH}")
        with pytest.raises(Refusal) as refused:
            await value_of(found["id"], Sealed(found["value"]), found["secret_ref"])
        assert refused.value.code is Code.BAD_REQUEST
        assert await values_of([found]) == [None]
        assert bao.asked == []
        tested = await board.ask("POST", f"/api/v1/credentials/{found['id']}/test", {})
        assert (tested.status_code, ROOT in tested.text) == (400, False)


@pytest.mark.parametrize(
    "reference",
    [
        "https://bao.example.com", "http://bao.example.com/v1/secret/data/x", "https://u:p@bao.example.com/v1/s/data/x",
        "https://bao.example.com/v1/secret/data/x?version=1", "https://bao.example.com/v1/secret/metadata/x",
        "ftp://bao.example.com/v1/secret/data/x", "https://bao.example.com/v1/data/x", "bao", 7,
        "https://bao.example.com/v1/secret/data/x y", "https://bao.example.com/v1/secret/data/" + "x" * 2048,
    ],
)  # fmt: skip
async def test_what_is_no_reference_is_refused_and_nothing_is_kept(board: Board, reference: Any) -> None:
    count = "SELECT count(*) FROM credentials"
    before = await board.world.database.fetchval(count)
    body = {"name": "Referred", "value": ROOT, "secret_ref": reference}
    answer = await board.ask("POST", "/api/v1/credentials", body)
    assert answer.status_code == 400
    assert "secret_ref" in answer.text
    assert await board.world.database.fetchval(count) == before


async def test_a_reference_is_changed_and_taken_back(bao: OpenBao, board: Board) -> None:
    found = await made(board, value=ROOT)
    assert "secret_ref" not in found
    path = f"/api/v1/credentials/{found['id']}"
    changed = await board.ask("PATCH", path, {"secret_ref": f"{bao.url}{PATH}", "value": ROOT})
    assert changed.json()["secret_ref"] == f"{bao.url}{PATH}"
    document = "query($ws: ID!, $id: ID!) { credential(workspaceId: $ws, id: $id) { secretRef } }"
    shown = await board.world.graphql(board.world.owner, document, {"id": found["id"]})
    assert shown["data"] == {"credential": {"secretRef": f"{bao.url}{PATH}"}}
    back = await board.ask("PATCH", path, {"secret_ref": None, "value": "own"})
    assert "secret_ref" not in back.json()


async def test_a_value_is_not_sent_to_where_somebody_points_it(bao: OpenBao, board: Board) -> None:
    """Nor is the token of a store given to agents as a value."""
    own, referred = await made(board, value=ROOT), await made(board, value=ROOT, secret_ref=f"{bao.url}{PATH}")
    for credential, reference in ((own, f"{bao.url}{PATH}"), (referred, f"{bao.url}{PATH}#token"), (referred, None)):
        path = f"/api/v1/credentials/{credential['id']}"
        refused = await board.ask("PATCH", path, {"secret_ref": reference})
        assert (refused.status_code, refused.json()["fields"].keys()) == (400, {"value"})
        await board.ask("POST", f"{path}/test", {})
        same = await board.ask("PATCH", path, {"secret_ref": credential.get("secret_ref"), "name": credential["name"]})
        assert same.status_code == 200
    assert not any("#token" in asked for asked in bao.asked)
    assert len(bao.asked) <= 2
