"""Hosts that a credential names itself: what they may be, and that nobody points a value elsewhere without it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from resolvers.resources.credentials.hosts import Host, Hosts, hosts_of
from tests.every import each_of
from tests.resources.credentials.test_credentials import CANARY, DOCUMENT, PATH, change, made, opened
from tests.work.issues.board import Board, word

pytestmark = pytest.mark.anyio
HOST = "api.example.com"
ELEVEN = [f"h{number}.example.com" for number in range(11)]
REFUSED: list[Any] = [
    "*.example.com", "example.*", "10.0.0.1", "0x7f.1", "127.1", "2130706433", "::1", "[::1]", "localhost",
    "a.localhost", "harbour", "printer.local", "db.internal", "router.lan", "home.arpa", "1.0.0.10.in-addr.arpa",
    "a.test", "a.example", "x.example.com:443", "http://x.example.com", "//x.example.com", "x.example.com/path",
    "user@x.example.com", "x.example.com.", ".example.com", "x..example.com", "-x.example.com", "x-.example.com",
    "a_b.example.com", " x.example.com", "x.example.com\n", "x.exam\0ple.com", "x.example.com\r\nHost: y.example.com",
    "", " ", ".", "a" * 64 + ".example.com",
    "a." * 126 + "com",
    "x.example.1", "x.example.0x1f", "xn--a.example.com", "x.xn--", "\ud800.example.com", "\u2100.example.com",
    "x\u3002\u3002example.com", "\uff11\uff10.0.0.1", "a\u2024local", 5, None, {"host": "x.example.com"},
    ["x.example.com"],
]  # fmt: skip


async def updates(board: Board, id: str) -> list[Any]:
    rows = await board.world.audit()
    return [row["changes"] for row in rows if (row["entity_id"], row["action"]) == (id, "credential.updated")]


async def test_they_are_kept_in_one_spelling_and_shown(board: Board) -> None:
    given = ["API.Example.com", HOST, "B\u00fccher.example.org", "xn--bcher-kva.example.org", "a\u3002example.net"]
    credential = await made(board, hosts=given)
    kept = ["a.example.net", HOST, "xn--bcher-kva.example.org"]
    assert credential["hosts"] == kept
    assert (await board.read(f"{PATH}/{credential['id']}"))["hosts"] == kept
    assert next(each["hosts"] for each in await board.read(PATH) if each["id"] == credential["id"]) == kept
    document = "query($ws: ID!, $id: ID!) { credential(workspaceId: $ws, id: $id) { hosts } }"
    shown = await board.world.graphql(board.world.owner, document, {"id": credential["id"]})
    assert shown["data"] == {"credential": {"hosts": kept}}


async def test_one_without_them_has_no_key_for_them(board: Board) -> None:
    for fields in ({}, {"hosts": []}):
        credential = await made(board, **fields)
        assert "hosts" not in credential
        assert hosts_of(await row(board, credential)) == frozenset()


async def row(board: Board, credential: dict[str, Any]) -> Any:
    found = await board.world.database.fetchrow("SELECT * FROM credentials WHERE id = $1", credential["id"])

    class Row:
        provider: str = found["provider"]
        hosts: list[str] = found["hosts"]

    return Row


async def test_its_own_count_instead_of_those_of_the_provider(board: Board) -> None:
    assert "github.com" in hosts_of(await row(board, await made(board, provider="GITHUB")))
    own = await made(board, provider="GITHUB", hosts=[HOST])
    assert hosts_of(await row(board, own)) == {HOST}


@each_of("host", REFUSED)
def test_what_is_no_public_name_is_none(host: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(Hosts).validate_python(["x.example.com", host])
    assert refused.value.errors()[0]["loc"] == (1,)


@pytest.mark.parametrize(
    "host",
    ["*.x", "10.0.0.1", "localhost", "x:443", "http://x", "x.example.com:443", "x.exam\0ple.com", "a\u2024local", 5],
)
async def test_what_is_no_public_name_is_refused_and_nothing_is_written(board: Board, host: Any) -> None:
    credential = await made(board, hosts=[HOST])
    before = await board.world.snapshot()
    for answer in (
        await board.ask("POST", PATH, {"name": word(), "value": CANARY, "hosts": ["x.example.com", host]}),
        await change(board, credential, hosts=[host], value=CANARY),
    ):
        assert answer.status_code == 400, answer.text
        assert "hosts" in answer.text
        assert CANARY not in answer.text
    assert await board.world.snapshot() == before


@pytest.mark.parametrize("hosts", [ELEVEN, HOST, {HOST: True}, 7, True])
async def test_what_is_no_short_list_is_refused(board: Board, hosts: Any) -> None:
    answer = await board.ask("POST", PATH, {"name": word(), "value": CANARY, "hosts": hosts})
    assert (answer.status_code, "hosts" in answer.text) == (400, True)
    assert len((await made(board, hosts=ELEVEN[:10]))["hosts"]) == 10


async def test_the_longest_names_have_room(board: Board) -> None:
    longest = [f"{number}{'a' * 59}.{'b' * 63}.{'c' * 63}.{'d' * 61}.de" for number in range(10)]
    assert {len(host) for host in longest} == {253}
    assert (await made(board, hosts=longest))["hosts"] == longest


@pytest.mark.parametrize("hosts", [["evil.example.net"], [HOST, "evil.example.net"], [], None])
async def test_other_hosts_take_the_value_again(board: Board, hosts: Any) -> None:
    """Else whoever may edit, and does not know the value, has it sent to a host of their own."""
    credential = await made(board, hosts=[HOST])
    before = await board.world.snapshot()
    for value in ({}, {"value": ""}):
        refused = await change(board, credential, hosts=hosts, name=word(), **value)
        assert refused.status_code == 400
        assert refused.json()["fields"] == {
            "value": "is required when hosts change: only a caller who knows the value chooses where it is sent"
        }
    assert await board.world.snapshot() == before
    changed = await change(board, credential, hosts=hosts, value="another")
    assert changed.status_code == 200, changed.text
    assert changed.json().get("hosts", []) == sorted(hosts or [])
    assert await opened(board, credential["id"]) == "another"


async def test_one_that_had_none_takes_the_value_too(board: Board) -> None:
    credential = await made(board)
    assert (await change(board, credential, hosts=[HOST])).status_code == 400
    assert (await change(board, credential, hosts=[HOST], value=CANARY)).json()["hosts"] == [HOST]


async def test_the_same_hosts_are_no_change(board: Board) -> None:
    """A form sends what it has read, in any order and spelling."""
    hosts, bare = [HOST, "b.example.com"], await made(board)
    credential = await made(board, hosts=hosts)
    answer = await change(board, credential, hosts=["B.example.com", HOST, HOST], description="told")
    assert (answer.status_code, answer.json()["hosts"]) == (200, hosts)
    for none in ([], None):
        assert (await change(board, bare, hosts=none, description="told")).status_code == 200
    assert await opened(board, credential["id"]) == CANARY


async def test_a_new_value_keeps_its_hosts(board: Board) -> None:
    credential = await made(board, hosts=[HOST])
    assert (await change(board, credential, value="another")).json()["hosts"] == [HOST]
    path = f"{PATH}/{credential['id']}"
    assert (await board.ask("POST", f"{path}/rotate", {"value": "third"}, board.world.owner)).status_code == 200
    assert (await board.read(path))["hosts"] == [HOST]


async def test_it_stays_a_secret(board: Board) -> None:
    """Any other type is given to agents as it is: what says where a value goes is not left by another type."""
    credential = await made(board, hosts=[HOST])
    for type in ("API_KEY", "GENERIC_SECRET", "OAUTH2"):
        body = {"name": word(), "value": CANARY, "type": type, "hosts": [HOST]}
        refused = await board.ask("POST", PATH, body)
        assert (refused.status_code, refused.json()["fields"].keys()) == (400, {"hosts"})
        for fields in ({}, {"value": CANARY}, {"hosts": [HOST]}):
            refused = await change(board, credential, type=type, **fields)
            assert (refused.status_code, refused.json()["fields"].keys()) == (400, {"hosts"})
        refused = await change(board, credential, type=type, hosts=[])
        assert (refused.status_code, refused.json()["fields"].keys()) == (400, {"value"})
    left = await change(board, credential, type="API_KEY", hosts=[], value="another")
    assert (left.status_code, left.json()["type"], "hosts" in left.json()) == (200, "API_KEY", False)


async def test_the_audit_log_tells_the_old_and_the_new(board: Board) -> None:
    credential = await made(board, hosts=[HOST])
    await change(board, credential, hosts=["b.example.com"], value=CANARY)
    [changes] = await updates(board, credential["id"])
    assert changes["hosts"] == {"before": [HOST], "after": ["b.example.com"]}
    assert CANARY not in str(changes)


async def test_graphql_takes_and_refuses_the_same(board: Board) -> None:
    makes = DOCUMENT.replace("tags version", "hosts")
    changes = """
        mutation($ws: ID, $in: UpdateCredentialInput!) { updateCredential(workspaceId: $ws, input: $in) { hosts } }
    """
    given = {"name": word(), "value": CANARY, "hosts": ["API.example.com"]}
    created = (await board.world.graphql(board.person, makes, {"in": given}))["data"]["createCredential"]
    assert created["hosts"] == [HOST]
    for sent in ({"hosts": []}, {"hosts": ["b.example.com"]}, {"hosts": ["*.example.com"], "value": CANARY}):
        refused = await board.world.graphql(board.person, changes, {"in": sent | {"id": created["id"]}})
        assert refused["errors"][0]["extensions"]["code"] == "BAD_REQUEST", refused
    sent = {"hosts": ["b.example.com"], "value": CANARY}
    changed = await board.world.graphql(board.person, changes, {"in": sent | {"id": created["id"]}})
    assert changed["data"] == {"updateCredential": {"hosts": ["b.example.com"]}}


@given(st.text(max_size=40) | st.text(alphabet="aZ1-.x\u00e9\u3002\u200d\u0660\0*:", max_size=20).map("{}.com".format))
def test_whatever_is_sent_is_a_name_in_one_spelling_or_refused(text: str) -> None:
    adapter: TypeAdapter[str] = TypeAdapter(Host)
    try:
        made = adapter.validate_python(text)
    except ValidationError:
        return
    assert made.isascii()
    assert made == made.lower()
    assert 0 < len(made) <= 253
    assert adapter.validate_python(made) == made
