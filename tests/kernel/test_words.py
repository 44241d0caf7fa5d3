"""The words that operations are written in, each by itself: subject, reference, patch, filter, timeline, again."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import orjson
import pytest
from pydantic import Field
from sqlmodel import col

from models.base import new_id
from models.staff.chats import Chat, Message, MessageRole
from models.staff.crews import Crew
from models.work.labels import Label
from models.work.projects import Milestone, Project
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.kernel.admission.refs import Ref
from resolvers.kernel.admission.subject import Subject
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.declarations.outputs import Output
from resolvers.kernel.declarations.query import QueryScope, query
from resolvers.kernel.ground.inputs import Id, Input, Int, NoInput, Text, at_most, validate
from resolvers.kernel.ground.patch import UNSENT, Emptied, Patch
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.reader import Column, Row, Shape, intern
from resolvers.kernel.reader.filters import CommaList, CommaTexts, Filter, Order, Otherwise, filters_of, leader, leading
from resolvers.kernel.writing.command import MOST_ATTEMPTS, command
from resolvers.kernel.writing.context import Context
from resolvers.work import issues
from tests.staff.runs.plans import listening
from tests.tenant.door import visible
from tests.work.issues.board import Board, word
from tests.world import World

pytestmark = pytest.mark.anyio
SHAPE = intern(Shape((Column("id", "id"),)))
CHAT = Subject(Chat, "chat_id")
MESSAGE = Subject(Message, "message_id", of=CHAT, where=(col(Message.role) == MessageRole.assistant,))
NO_SUCH = "cnosuchrow00000000000"


class OfChat(Input):
    chat_id: Id
    message_id: Id


class Part(Input):
    label_id: Annotated[Id, Ref(Label)] | None = None


class Refers(Input):
    project: Annotated[Id, Ref(Project, by="slug", called="Plan")] | None = None
    label_ids: Annotated[list[Annotated[Id, Ref(Label)]], at_most(10)] = []
    red_id: Annotated[Id, Ref(Label, where=(col(Label.color) == "red",), or_empty=True)] | None = None
    part: Part | None = None
    parts: Annotated[list[Part], at_most(10)] = []


class Attempts(Output):
    attempts: int


class Told(Output):
    id: str


def _declare_subjects() -> None:
    @query("test.message", Action.READ, subject=MESSAGE, errors=(Code.NOT_FOUND,))
    def message(scope: QueryScope, message: Row[Message], data: OfChat) -> Row[Message]:
        """A message of a chat."""
        return message

    @command("test.touch_message", Action.CREATE, subject=MESSAGE, locked=True, errors=(Code.NOT_FOUND,))
    async def touch(ctx: Context, message: Message, data: OfChat) -> Told:
        """The same, found by a command."""
        return Told(id=message.id)

    @command("test.refer", Action.CREATE)
    async def refer(ctx: Context, data: Refers) -> Told:
        """Takes ids."""
        return Told(id="ok")


def _declare_writes() -> None:
    @command("test.record", Action.CREATE)
    async def record(ctx: Context, data: NoInput) -> None:
        """A hundred rows, of two kinds."""
        ctx.record(*[Label(name=f"{n:03} {word()}", color="recorded") for n in range(50)])
        ctx.record(*[Label(name=f"{n:03} {word()}", color="recorded", label_group="g") for n in range(50)])

    @command("test.insert_all", Action.CREATE)
    async def insert_all(ctx: Context, data: NoInput) -> Attempts:
        """A hundred rows, which are read."""
        await ctx.insert_all([Label(name=f"{n:03} {word()}", color="inserted") for n in range(100)])
        return Attempts(attempts=await ctx.select(Label, col(Label.color) == "inserted").count())

    @command("test.again", Action.CREATE, again="labels_workspace_id_name_key", errors=(Code.CONFLICT,))
    async def again(ctx: Context, data: Numbered) -> Attempts:
        """Takes the first free name from the attempt it is told."""
        await ctx.insert(
            Label(name=f"{data.name} {ctx.attempt if ctx.attempt >= data.free_from else 0}", color="again")
        )
        return Attempts(attempts=ctx.attempt)

    @command("test.never_again", Action.CREATE, again="another_constraint", errors=(Code.CONFLICT,))
    async def never_again(ctx: Context, data: Numbered) -> Attempts:
        """Takes a taken name."""
        await ctx.insert(Label(name=f"{data.name} 0", color="again"))
        return Attempts(attempts=ctx.attempt)


class Numbered(Input):
    name: Text
    free_from: Int


@pytest.fixture(scope="module")
def ops() -> Iterator[dict[str, Any]]:
    known = set(OPERATIONS)
    _declare_subjects()
    _declare_writes()
    yield {name.removeprefix("test."): op for name, op in OPERATIONS.items() if name not in known}
    for name in set(OPERATIONS) - known:
        del OPERATIONS[name]


@pytest.fixture
async def board(world: World) -> Board:
    return await Board.of(world)


def by(board: Board) -> Caller:
    made = board.person.caller
    made.workspace = board.crew.workspace_id
    return made


async def answered(board: Board, op: Any, raw: dict[str, Any], shape: Any = None) -> Any:
    return orjson.loads((await op(by(board), raw, shape)).body or b"null")


async def refused(board: Board, op: Any, raw: dict[str, Any], shape: Any = None) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await op(by(board), raw, shape)
    return caught.value


# ---- subject ---------------------------------------------------------------------------------------------------------


async def said(board: Board, **values: Any) -> tuple[Chat, Message]:
    chat = Chat(agent_id=board.worker.id, **board.here)
    message = Message(chat_id=chat.id, **{"role": MessageRole.assistant, "content": "x"} | values, **board.here)
    await board.world.add(chat, message)
    return chat, message


async def test_a_subject_is_found_with_all_that_it_belongs_to(board: Board, ops: dict[str, Any]) -> None:
    chat, message = await said(board)
    other, _ = await said(board)
    asked, (_, theirs) = (
        await said(board, role=MessageRole.user),
        await said(await Board.of(board.world, board.world.other)),
    )
    for name, shape in (("message", SHAPE), ("touch_message", None)):
        found = {"chat_id": chat.id, "message_id": message.id}
        assert (await answered(board, ops[name], found, shape))["id"] == message.id
        for wrong in (
            {"chat_id": other.id}, {"chat_id": NO_SUCH}, {"message_id": NO_SUCH}, {"message_id": theirs.id},
            {"chat_id": theirs.chat_id, "message_id": theirs.id},
            {"chat_id": asked[0].id, "message_id": asked[1].id}, {"chat_id": message.id, "message_id": chat.id},
        ):  # fmt: skip
            refusal = await refused(board, ops[name], found | wrong, shape)
            assert (refusal.code, refusal.detail) == (Code.NOT_FOUND, "Message not found"), (name, wrong)


async def test_nothing_is_found_below_what_is_deleted_or_hidden(board: Board, ops: dict[str, Any]) -> None:
    chat, message = await said(board)
    raw = {"chat_id": chat.id, "message_id": message.id}
    with visible(Chat, lambda row, scope: row.created_by == scope.user_id):
        for name, shape in (("message", SHAPE), ("touch_message", None)):
            assert (await refused(board, ops[name], raw, shape)).code is Code.NOT_FOUND
        await board.world.database.execute(
            "UPDATE chats SET created_by = $1 WHERE id = $2", board.person.user_id, chat.id
        )
        assert (await answered(board, ops["touch_message"], raw))["id"] == message.id
        assert (await answered(board, ops["message"], raw, SHAPE))["id"] == message.id
    issue = await board.create()
    await board.world.database.execute("UPDATE crews SET deleted_at = now() WHERE id = $1", board.crew.id)
    for method in ("GET", "PATCH", "DELETE"):
        assert (
            await board.ask(method, board.of_issue(issue), {"title": "x"} if method == "PATCH" else None)
        ).status_code == 404


def test_a_subject_that_no_column_bears_is_no_subject() -> None:
    with pytest.raises(TypeError, match="Milestone has no column slug"):
        Subject(Milestone, "slug", by="slug")
    with pytest.raises(TypeError, match="Milestone has no column crew_id"):
        Subject(Milestone, of=Subject(Crew, "crew_id"))
    assert Subject(Milestone, of=Subject(Project, "project_id")).fields == ("project_id", "id")
    with pytest.raises(TypeError, match="test: the input has no field chat_id"):
        MESSAGE.check("test", Part)


# ---- reference -------------------------------------------------------------------------------------------------------


async def test_references_are_checked_wherever_they_stand(board: Board, ops: dict[str, Any]) -> None:
    there = await Board.of(board.world, board.world.other)
    red, blue, theirs = await board.label(), Label(name=word(), color="blue", **board.here), await there.label()
    plan, their_plan = [await each.project() for each in (board, there)]
    await board.world.add(blue)
    good: list[dict[str, Any]] = [
        {}, {"project": plan.slug}, {"project": None}, {"label_ids": [red.id, blue.id, red.id]}, {"label_ids": []},
        {"red_id": red.id}, {"red_id": ""},
        {"part": {"label_id": blue.id}}, {"part": {}}, {"part": None},
        {"parts": [{"label_id": blue.id}, {}, {"label_id": red.id}, {"label_id": blue.id}]},
    ]  # fmt: skip
    for raw in good:
        assert await answered(board, ops["refer"], raw) == {"id": "ok"}
    for raw, field, what in (
        ({"project": plan.id}, "project", "plan"), ({"project": their_plan.slug}, "project", "plan"),
        ({"project": ""}, "project", "plan"),
        ({"label_ids": [red.id, theirs.id]}, "label_ids", "label"), ({"label_ids": [""]}, "label_ids", "label"),
        ({"red_id": blue.id}, "red_id", "label"), ({"part": {"label_id": theirs.id}}, "part.label_id", "label"),
        ({"parts": [{"label_id": red.id}, {"label_id": theirs.id}]}, "parts.label_id", "label"),
        ({"parts": [{"label_id": NO_SUCH}]}, "parts.label_id", "label"),
    ):  # fmt: skip
        refusal = await refused(board, ops["refer"], raw)
        text = f"there is no such {what} in this workspace"
        assert (refusal.code, refusal.detail, refusal.fields) == (
            Code.BAD_REQUEST,
            f"{field}: {text}",
            {field: text},
        ), raw


async def test_what_the_caller_may_not_see_is_not_referred_to(board: Board, ops: dict[str, Any]) -> None:
    label = await board.label()
    with visible(Label, lambda row, scope: row.color != "red"):
        assert (await refused(board, ops["refer"], {"label_ids": [label.id]})).code is Code.BAD_REQUEST
    assert await answered(board, ops["refer"], {"label_ids": [label.id]}) == {"id": "ok"}


# ---- patch -----------------------------------------------------------------------------------------------------------


class Named(Input):
    id: Id


class Change(Patch, Named):
    name: Text
    note: Text | None
    group: Emptied[Text]
    size: Annotated[Int, Field(ge=0)]


def test_a_patch_knows_what_was_sent() -> None:
    assert Change.editable() == ["name", "note", "group", "size"]
    given = validate(Change, {"id": "x"})
    assert (given.name, given.note, given.sent()) == (UNSENT, UNSENT, {})
    assert not UNSENT
    assert validate(Change, {"id": "x", "name": "", "size": 0, "more": 1}).sent() == {"name": "", "size": 0}
    assert validate(Change, {"id": "x", "note": None, "group": None, "name": None, "size": None}).sent() == {
        "note": None,
        "group": None,
    }
    assert validate(Change, {"id": "x", "note": "", "group": ""}).something() == {"note": "", "group": None}
    for raw in ({"id": "x"}, {"id": "x", "name": None}):
        with pytest.raises(Refusal, match="There is nothing to update"):
            validate(Change, raw).something()
    for raw in ({}, {"id": None, "name": "x"}, {"id": "x", "size": -1}):
        with pytest.raises(Refusal):
            validate(Change, raw)


# ---- filter ----------------------------------------------------------------------------------------------------------


class Size(StrEnum):
    small = "small"
    large = "large"


class Listed(Input):
    sizes: Annotated[list[Size], at_most(100), CommaList(Size)] | None = None
    words: CommaTexts | None = None
    sort: Annotated[Size, Otherwise(Size.small)] = Size.small


def test_lists_with_commas() -> None:
    for raw, sizes in (
        ("small, large", ["small", "large"]),
        ("small,huge,", ["small"]),
        ("huge", []),
        (["large", "huge"], ["large"]),
        (None, None),
    ):
        assert validate(Listed, {"sizes": raw}).sizes == sizes
    assert validate(Listed, {"words": " a ,b,,c d"}).words == ["a", "b", "", "c d"]
    for raw in (",".join(["a"] * 101), ["a"] * 101, [1]):
        with pytest.raises(Refusal):
            validate(Listed, {"words": raw})


def test_a_choice_that_is_none_is_the_default() -> None:
    assert [validate(Listed, {"sort": raw}).sort for raw in ("large", "LARGE", "", "huge")] == [
        "large",
        "small",
        "small",
        "small",
    ]


def test_the_first_filter_that_may_lead_does() -> None:
    class Leads(Input):
        name: Annotated[Text | None, Filter(Label.name)] = None
        color: Annotated[Text | None, Filter(Label.color, leads=True)] = None
        group: Annotated[Text | None, Filter(Label.label_group, leads=True)] = None
        sort: Annotated[Size, Order({})] = Size.small

    assert (list(filters_of(Leads)), leading(Leads)) == (["name", "color", "group"], ("color", "group"))
    assert [leader(Leads(**raw)) for raw in ({}, {"name": "x"}, {"group": "x"}, {"group": "x", "color": ""})] == [
        None,
        None,
        "group",
        "color",
    ]


async def test_a_plan_asks_for_the_leader_and_lets_the_others_be(board: Board) -> None:
    shape = intern(Shape((Column("id", "id"), Column("title", "title")), "list"))
    plans = issues.list_issues.plans

    async def sql(**raw: Any) -> str:
        known = set(plans)
        await issues.list_issues(by(board), raw, shape)
        [key] = set(plans) - known or [None]
        return plans[key].sql if key is not None else ""

    led = await sql(crew_id=board.crew.id, search="x", priority="low")
    assert ".crew_id = $" in led
    assert ".assignee_id = $" in led
    assert ".project_id = $" not in led  # it would have led
    assert led.count("IS NULL OR") >= 6
    assert f"crew_id = {parameter(led, 'crew_id')}" in led
    assert f"{parameter(led, 'crew_id')} IS NULL" not in led
    assert f"{parameter(led, 'assignee_id')} IS NULL OR" in led
    assert await sql(crew_id=NO_SUCH, assignee_id=NO_SUCH, label="x", mission_type="nope") == ""  # the same plan
    beside = await sql(crew_id=NO_SUCH, status="TODO")  # an index has both
    assert f"{parameter(beside, 'crew_id')} IS NULL" not in beside
    assert re.search(r"\.status = v\d+\.value", beside)
    assert await sql(crew_id=NO_SUCH, status="DONE,TODO", assignee_id=NO_SUCH) == ""
    assert await sql(project_id=NO_SUCH, status="TODO", crew_id=NO_SUCH) != ""
    assert await sql(project_id=NO_SUCH) == ""  # the state leads beside a crew alone
    unled = await sql(search="x")
    assert ".crew_id = $" not in unled  # a call with a crew has another plan
    assert unled.count("IS NULL OR") >= 3


def parameter(sql: str, column: str) -> str:
    """What a column is compared with."""
    return sql.split(f".{column} = ")[1].split(")")[0].split(" ")[0].rstrip(",")


# ---- timeline --------------------------------------------------------------------------------------------------------


async def test_a_hundred_recorded_rows_are_one_statement(
    board: Board, ops: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    await answered(board, ops["record"], {})
    with listening(monkeypatch) as sent:
        await answered(board, ops["record"], {})
    writes = [query for query, _ in sent if "INSERT INTO labels" in query]
    assert len(writes) <= 1
    rows = await board.world.database.fetch(
        "SELECT label_group, xmin::text AS by FROM labels WHERE color = 'recorded' ORDER BY by"
    )
    assert len(rows) == 200
    assert len({row["by"] for row in rows}) == 2
    assert sum(row["label_group"] == "g" for row in rows) == 100
    commands = await board.world.database.fetchval(
        "SELECT count(DISTINCT (xmin::text, cmin::text)) FROM labels WHERE color = 'recorded'"
    )
    assert commands == 2  # one statement each time, of both kinds


async def test_rows_that_are_read_are_there(board: Board, ops: dict[str, Any]) -> None:
    assert await answered(board, ops["insert_all"], {}) == {"attempts": 100}
    commands = await board.world.database.fetchval(
        "SELECT count(DISTINCT (xmin::text, cmin::text)) FROM labels WHERE color = 'inserted'"
    )
    assert commands == 1


# ---- again -----------------------------------------------------------------------------------------------------------


async def test_a_command_is_carried_out_again_for_its_constraint_alone(board: Board, ops: dict[str, Any]) -> None:
    name = word()
    await board.label(f"{name} 0")
    for free_from in (2, MOST_ATTEMPTS):
        assert await answered(board, ops["again"], {"name": name, "free_from": free_from}) == {"attempts": free_from}
    before = await board.world.snapshot()
    assert (await refused(board, ops["again"], {"name": name, "free_from": MOST_ATTEMPTS + 1})).code is Code.CONFLICT
    assert (await refused(board, ops["never_again"], {"name": name, "free_from": 1})).code is Code.CONFLICT
    assert await board.world.snapshot() == before


async def test_what_is_done_again_answers_once_for_a_key(board: Board, ops: dict[str, Any]) -> None:
    name, key = word(), new_id()
    await board.label(f"{name} 0")
    bodies = []
    for _ in range(2):
        bodies.append((await ops["again"](by(board), {"name": name, "free_from": 2}, key=key)).body)
    assert bodies == [b'{"attempts":2}'] * 2
    assert await board.world.database.fetchval("SELECT count(*) FROM labels WHERE name LIKE $1 || '%'", name) == 2
