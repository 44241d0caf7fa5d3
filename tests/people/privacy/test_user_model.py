"""Models of users: what a person reads and has forgotten, and what is written."""

from typing import Any

import pytest

from models.people.privacy import MODEL, UserModel
from resolvers.errors import Code, Refusal
from resolvers.kernel import NO_SURFACE, Action, Context, Input, Output, command
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.ground.inputs import Id, Prompt
from resolvers.people.privacy import facts_in, write_user_model
from tests.people.privacy.test_privacy import actions
from tests.world import Person, World

pytestmark = pytest.mark.anyio
PATH, CONSENT = "/api/v1/users/me/user-model", "/api/v1/users/me/peer-consent"
FACTS = "- Role: captain\nSeen in May\n- drink: tea: green\n- : nothing"


class Facts(Input):
    person_id: Id
    content: Prompt


class FactsWritten(Output):
    bytes: int


if "test.write_facts" not in OPERATIONS:

    @command("test.write_facts", Action.CREATE, surfaces=NO_SURFACE)
    async def write_facts(ctx: Context, data: Facts) -> FactsWritten:
        """Write facts."""
        model: UserModel = await write_user_model(ctx, data.person_id, "sam", data.content)
        return FactsWritten(bytes=model.bytes)


async def write(world: World, person: Person, content: str = FACTS) -> Code | None:
    raw = {"person_id": person.user_id, "content": content}
    try:
        await OPERATIONS["test.write_facts"](world.owner.caller, raw, place=world.workspace.id)
    except Refusal as refusal:
        return refusal.code
    return None


async def read(world: World, person: Person) -> dict[str, Any]:
    answer = await world.rest(person, "GET", PATH)
    assert answer.status_code == 200
    shown: dict[str, Any] = answer.json()
    return shown


@pytest.fixture(autouse=True)
async def empty(world: World) -> None:
    for table in ("user_models", "peer_consents", "peer_card_audit"):
        await world.database.execute(f"DELETE FROM {table}")


async def test_a_person_reads_their_own_model_and_no_other(world: World) -> None:
    assert await read(world, world.member) == {
        "user_id": world.member.user_id, "workspace_id": world.workspace.id, "exists": False, "facts": [],
    }  # fmt: skip
    assert await actions(world) == []
    assert await write(world, world.member) is None
    shown = await read(world, world.member)
    assert shown["facts"] == [{"key": "role", "value": "captain"}, {"key": "drink", "value": "tea: green"}]
    assert (shown["exists"], shown["user_slug"], shown["bytes"], shown["content"]) == (True, "sam", len(FACTS), FACTS)
    assert set(shown) == {
        "user_id", "workspace_id", "exists", "facts", "user_slug", "bytes", "created_at", "updated_at", "content",
    }  # fmt: skip
    assert (await read(world, world.viewer))["exists"] is False
    assert await actions(world) == [("write", "agent", "", "member"), ("read", "user", "member", "member")]


async def test_facts_are_forgotten_one_by_one(world: World) -> None:
    await write(world, world.member)
    await write(world, world.viewer)
    here = {"user_id": world.member.user_id}
    answer = await world.rest(world.member, "DELETE", f"{PATH}/facts/%20ROLE")
    assert answer.json() == here | {
        "forgot": "role", "exists": True, "remaining": [{"key": "drink", "value": "tea: green"}],
    }  # fmt: skip
    shown = await read(world, world.member)
    assert shown["content"] == "Seen in May\n- drink: tea: green\n- : nothing"
    assert shown["bytes"] == len(shown["content"])
    for key, status in (("role", 404), ("seen in may", 404), ("%20", 400)):
        assert (await world.rest(world.member, "DELETE", f"{PATH}/facts/{key}")).status_code == status
    answer = await world.rest(world.member, "DELETE", f"{PATH}/facts/drink")
    assert answer.json() == here | {"forgot": "drink", "exists": False, "remaining": []}
    assert (await read(world, world.member))["exists"] is False
    assert (await world.rest(world.member, "DELETE", f"{PATH}/facts/drink")).status_code == 404
    assert len((await read(world, world.viewer))["facts"]) == 2
    assert [each for each in await actions(world) if each[0] == "delete"] == [
        ("delete", "user", "member", "member")
    ] * 2


async def test_a_model_is_deleted_whole(world: World) -> None:
    await write(world, world.member)
    await write(world, world.viewer)
    for purged in (1, 0):
        answer = await world.rest(world.member, "DELETE", PATH)
        assert answer.json() == {"user_id": world.member.user_id, "purged": purged}
    assert (await read(world, world.member))["exists"] is False
    assert (await read(world, world.viewer))["exists"] is True
    assert await write(world, world.member) is None, "it is no opt-out"


async def test_nothing_is_written_of_those_who_opted_out(world: World) -> None:
    await write(world, world.member)
    assert (await world.rest(world.member, "PUT", CONSENT, {"opted_out": True})).status_code == 200
    assert (await read(world, world.member))["exists"] is False
    assert await write(world, world.member) is Code.FORBIDDEN
    assert await write(world, world.outsider) is Code.NOT_FOUND
    assert await write(world, world.viewer) is None
    assert await world.database.fetchval("SELECT count(*) FROM user_models") == 1


async def test_a_model_has_whole_lines_up_to_a_number_of_bytes(world: World) -> None:
    line = "- k: " + "é" * 300
    await write(world, world.member, "\n".join([line] * 9))
    shown = await read(world, world.member)
    assert shown["content"] == "\n".join([line] * 2)
    assert shown["bytes"] == 2 * len(line.encode()) + 1 <= MODEL
    await write(world, world.member, "- a: b")
    assert (await read(world, world.member))["content"] == "- a: b"
    assert await world.database.fetchval("SELECT count(*) FROM user_models") == 1


async def test_in_graphql(world: World) -> None:
    await write(world, world.member)
    answer = await world.graphql(
        world.member,
        "mutation($ws: ID) { readMyUserModel(workspaceId: $ws) { exists facts { key } userSlug } }",
        {"ws": world.workspace.id},
    )
    assert answer["data"]["readMyUserModel"] == {
        "exists": True, "facts": [{"key": "role"}, {"key": "drink"}], "userSlug": "sam",
    }  # fmt: skip
    forget = (
        "mutation($ws: ID, $in: OfFactInput!) {"
        " forgetMyFact(workspaceId: $ws, input: $in) { forgot remaining { key } } }"
    )
    answer = await world.graphql(world.member, forget, {"ws": world.workspace.id, "in": {"key": "ROLE"}})
    assert answer["data"]["forgetMyFact"] == {"forgot": "role", "remaining": [{"key": "drink"}]}
    gone = "mutation($ws: ID) { deleteMyUserModel(workspaceId: $ws) { purged } }"
    answer = await world.graphql(world.member, gone, {"ws": world.workspace.id})
    assert answer["data"]["deleteMyUserModel"] == {"purged": 1}


def test_facts_of_a_text() -> None:
    text = "-a: 1\n - B c : 2 \n* d: 3\n- e\n-  f:\n- g: h: i"
    assert [(fact.key, fact.value) for fact in facts_in(text)] == [("b c", "2"), ("f", ""), ("g", "h: i")]
