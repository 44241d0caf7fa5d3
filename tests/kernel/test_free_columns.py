"""Columns that no check holds, in rows that every change writes: the kernel holds them to what they declare."""

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import Field

from models.base import FREE, new_id, table_of
from models.bounds import NOTES, PAYLOAD
from models.kernel import AuditActor, AuditLog
from models.migrations.tables import metadata
from models.people.auth import SERVICE_ACCOUNT
from models.work.labels import Label
from resolvers.errors import TOO_LONG, Code, Refusal
from resolvers.identity.caller import Caller, CredentialKind
from resolvers.kernel.declarations.events import EVENTS, Event
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.ground.auditing import by_whose_right
from resolvers.kernel.ground.bounds import encoded
from resolvers.kernel.ground.inputs import Input
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.writing.command import command
from resolvers.kernel.writing.context import Context
from resolvers.kernel.writing.finish import MOST_ALONE
from tests.every import each_of
from tests.world import World

pytestmark = pytest.mark.anyio

UNHELD = {
    "audit_logs": {"id", "workspace_id", "actor_type", "data", "changes", "erased", "erased_signature"},
    "chats": {"id"},
    "events": {"payload"},
    "inbox_items": {"id"},
    "mcp_registry_servers": {"id"},
    "mcp_tool_calls": {"id"},
    "runs": {"id"},
}


def test_few_columns_are_free() -> None:
    free = {
        table.name: {column.name for column in table.columns if column.info.get(FREE)}
        for table in metadata().sorted_tables
    }
    assert {name: columns for name, columns in free.items() if columns} == UNHELD


def test_a_bound_is_the_last_size_that_is_taken() -> None:
    assert encoded({"a": "é"}, 10) == '{"a":"é"}'.encode()
    with pytest.raises(Refusal):
        encoded({"a": "é"}, 9)
    assert encoded(None, 4) == b"null"


class Large(Input):
    told: Annotated[int, Field(ge=0)] = 0
    announced: Annotated[int, Field(ge=0)] = 0
    rows: Annotated[int, Field(ge=1)] = 1


class Announced(Event, type="test.announced", channel="workspace:{workspace_id}"):
    """Says much."""

    text: Annotated[str, Field(max_length=2 * PAYLOAD)]


@pytest.fixture(scope="module")
def writes() -> Iterator[Any]:
    @command("test.write", Action.CREATE, audit="label.created", emits=Announced)
    async def made(ctx: Context, data: Large) -> None:
        """Writes rows of that size."""
        label = await ctx.insert(Label(id=new_id(), name=new_id(), color="red"))
        for _ in range(data.rows):
            ctx.audit("LABEL", label.id, whole=True, text="a" * data.told)
        ctx.emit(Announced(text="a" * data.announced))

    yield made
    del OPERATIONS["test.write"], EVENTS["test.announced"]


LEFT = len('{"text":""}')


@pytest.mark.parametrize("rows", [1, MOST_ALONE + 1])
async def test_what_is_too_long_for_a_row_is_refused_and_leaves_nothing(world: World, writes: Any, rows: int) -> None:
    async def written() -> list[int]:
        tables = (table_of(AuditLog).name, "events", "labels")
        return [await world.database.fetchval(f"SELECT count(*) FROM {table}") for table in tables]

    async def write(**sizes: int) -> None:
        await writes(world.owner.caller, {"rows": rows} | sizes, place=world.workspace.id)

    before = await written()
    for sizes in ({"told": NOTES - LEFT + 1}, {"announced": PAYLOAD - LEFT + 1}):
        with pytest.raises(Refusal) as refused:
            await write(**sizes)
        assert (refused.value.code, refused.value.detail) == (Code.BAD_REQUEST, TOO_LONG)
        assert await written() == before
    await write(told=NOTES - LEFT, announced=PAYLOAD - LEFT)
    assert await written() == [before[0] + rows, before[1] + 1, before[2] + 1]


CALLERS = [
    (CredentialKind.TOKEN, "u", "t", (AuditActor.token, "t")),
    (CredentialKind.SESSION, "u", "s", (AuditActor.user, "u")),
    (CredentialKind.TOKEN, f"{SERVICE_ACCOUNT}a", "t", (AuditActor.service, f"{SERVICE_ACCOUNT}a")),
    (CredentialKind.SERVICE, "", "agent", (AuditActor.system, "agent")),
    (CredentialKind.SESSION, "", "", (AuditActor.system, None)),
]


@each_of(("kind", "user", "credential", "expected"), CALLERS)
def test_the_actor_is_of_the_closed_set(kind: CredentialKind, user: str, credential: str, expected: Any) -> None:
    actor, id = by_whose_right(Caller(kind, "secret"), user, credential)
    assert (actor, id) == expected
    assert isinstance(actor, AuditActor)
