"""The types of subscriptions: every event of a channel is a member of its union, and every payload is recognised."""

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from inspect import cleandoc
from itertools import combinations
from typing import Annotated, Any, Literal

import orjson
import pytest
import strawberry
from graphql import (
    GraphQLEnumType,
    GraphQLNonNull,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
    parse,
    validate,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from resolvers.kernel.declarations.events import EVENTS, Event, Long, Routing
from schema.bridge import event_types, root
from schema.bridge.event_types import EVENT_TYPES, UNION_NAMES, EventTypes, Form, Meaning, UnknownEvent, type_name
from schema.bridge.root import Mutation, Query
from tests.contract.notation import documents
from tests.events.samples import every_event
from tests.every import each_of

CAUSE = " at: DateTime actorType: ActorType actorId: ID mutationId: String"
BY_HAND = {"RunBegin", "ChatFrame", "StreamReset"}
DECLARED = sorted(event_types.declared(), key=type_name)
TYPES = EventTypes(DECLARED)
TYPES.bind()
FRAMES = [
    ("run_begin", {"from_seq": 3}, "RunBegin"),
    ("run_begin", {"from_seq": 3, "agent_id": "c1", "agent_slug": "mate"}, "RunBegin"),
    ("chat_event", {"type": "text", "content": "Hi"}, "ChatFrame"),
    ("chat_event", {"type": "done", "content": "", "metadata": {"no_reply": True}}, "ChatFrame"),
]


def kind_of(event: type[Event]) -> str:
    return event_types.kind_of(event.channel_)


def subscription(kind: str) -> Any:
    async def listen() -> AsyncIterator[Any]:
        yield None

    listen.__annotations__["return"] = AsyncIterator[TYPES.unions[kind]]
    return strawberry.subscription(resolver=listen)


@pytest.fixture(scope="module")
def schema() -> strawberry.Schema:
    """The service's schema with a subscription per kind of channel: names and enums are shared with other types."""
    fields = {f"{kind}_events": subscription(kind) for kind in UNION_NAMES}
    return strawberry.Schema(Query, Mutation, strawberry.type(type("Subscription", (), fields)))


@pytest.fixture(scope="module")
def graph(schema: strawberry.Schema) -> GraphQLSchema:
    return schema._schema


def definition(sdl: str, name: str) -> str:
    """A type of the SDL without its descriptions."""
    found = re.search(
        rf"^type {name} implements (?:ChangeEvent & )?Event {{\n(.*?)^}}",
        re.sub(r'^ *"""(.|\n)*?"""\n', "", sdl, flags=re.MULTILINE),
        re.MULTILINE | re.DOTALL,
    )
    assert found, name
    return " ".join(found.group(1).split())


def test_every_kind_of_channel_has_a_union() -> None:
    assert list(UNION_NAMES) == documents()["websocket"]["enums"]["ChannelType"]
    assert EVENT_TYPES.unions.keys() == UNION_NAMES.keys()


def members(graph: GraphQLSchema, kind: str) -> list[str]:
    union = graph.type_map[UNION_NAMES[kind]]
    assert isinstance(union, GraphQLUnionType)
    return sorted(member.name for member in union.types)


def of_channel(kind: str, events: Iterable[type[Event]]) -> list[str]:
    frames = ["RunBegin", "ChatFrame"] if kind in ("session", "agent") else []
    return sorted(["StreamReset", *frames, *[type_name(event) for event in events if kind_of(event) == kind]])


@each_of("kind", UNION_NAMES)
def test_every_event_of_a_channel_is_a_member_of_its_union(kind: str, graph: GraphQLSchema) -> None:
    assert members(graph, kind) == of_channel(kind, DECLARED)
    assert sorted(TYPES.types_of(kind)) == members(graph, kind)


@each_of("kind", UNION_NAMES)
def test_the_service_shows_every_event_of_a_channel(kind: str) -> None:
    assert members(root.schema._schema, kind) == of_channel(kind, DECLARED)


def test_a_type_says_when_its_event_is_sent(graph: GraphQLSchema) -> None:
    for event in DECLARED:
        assert graph.type_map[type_name(event)].description == cleandoc(event.__doc__ or "")


@each_of(
    ("name", "fields"),
    [
        ("CrewCreatedEvent", "cursor: String! id: ID! name: String! slug: String!"),
        (
            "AgentLoggedEvent",
            (
                "cursor: String! ts: DateTime! level: String! agent: String! @deprecated loggedAgentSlug: String"
                " agentId: ID! event: ChatEventType! content: String! metadata: JSON"
            ),
        ),
        (
            "IssueUpdatedEvent",
            (
                "cursor: String! id: ID! identifier: String @deprecated issueIdentifier: String"
                " status: MissionStatus @deprecated issueStatus: MissionStatus assignee: String"
            ),
        ),
        (
            "MissionUpdatedEvent",
            (
                "cursor: String! id: ID! crewId: ID! status: String! @deprecated missionStatus: MissionStatus"
                " title: String @deprecated missionTitle: String"
            ),
        ),
        ("PeerQueryRunningEvent", "cursor: String! id: ID! from: String! target: String!"),
        ("ProvisionStartedEvent", "cursor: String! crewId: ID! steps: [String!]!"),
        (
            "FileChangedEvent",
            "cursor: String! event: String! path: String! agent: String! size: Float! timestamp: DateTime!",
        ),
        (
            "ProvisionStepReportedEvent",
            (
                "cursor: String! crewId: ID! phase: String! step: String! @deprecated stepName: String feature: String"
                " status: String @deprecated stepStatus: String detail: String error: String @deprecated"
                " stepError: String tag: String durationMs: Float"
            ),
        ),
        (
            "RunBegin",
            "cursor: String! fromSeq: Int! agentId: ID agentSlug: String seq: Int chatId: ID! runId: ID"
            " createdAt: DateTime",
        ),
        (
            "ChatFrame",
            "cursor: String! type: ChatEventType! content: String! metadata: JSON seq: Int chatId: ID! runId: ID"
            " createdAt: DateTime",
        ),
        ("StreamReset", "cursor: String! reason: String!"),
    ],
)
def test_a_type_shows_the_payload_and_the_cursor(name: str, fields: str, schema: strawberry.Schema) -> None:
    reason = r'\(reason: "Use \w+: \w+ has another type in other events."\)'
    shown = re.sub(reason, "", definition(schema.as_str(), name)).replace(CAUSE, "")
    for row in TYPES.rows_of(name):
        shown = re.sub(rf" {row}: [A-Z]\w+(?= |$)", "", shown)
    assert shown == fields


def test_a_selection_names_members_or_what_all_of_them_have(graph: GraphQLSchema) -> None:
    """A key that has another type in another member takes an alias (GraphQL: field selection merging)."""
    fits = (
        "{ __typename ... on Event { cursor } ... on AgentCreatedEvent { id status } ... on TaskUpdatedEvent { task:"
        " status } }"
    )
    clashes = "{ ... on AgentCreatedEvent { status } ... on TaskUpdatedEvent { status } }"
    foreign = "{ ... on MissionStartedEvent { id } }"
    valid = [
        validate(graph, parse(f"subscription {{ workspaceEvents {selection} }}")) == []
        for selection in (fits, clashes, foreign)
    ]
    assert valid == [True, False, False]


@each_of("kind", UNION_NAMES)
def test_fields_of_one_name_have_one_type_in_a_union_unless_they_are_deprecated(kind: str) -> None:
    """Else a selection of several events needs aliases, which a client's cache does not know."""
    union: Any = root.schema._schema.type_map[UNION_NAMES[kind]]
    found: dict[str, dict[str, list[str]]] = {}
    for member in union.types:
        for name, field in member.fields.items():
            if field.deprecation_reason is None:
                found.setdefault(name, {}).setdefault(str(field.type), []).append(member.name)
    assert {name: types for name, types in found.items() if len(types) > 1} == {}


def test_a_status_that_the_engine_calls_otherwise_is_shown_as_what_it_means() -> None:
    sources = TYPES.payload_fields("MissionStatusChangedEvent")
    for said, meant in (("STARTED", "IN_PROGRESS"), ("REVIEW", "REVIEW"), ("COMPLETED", "COMPLETED")):
        assert sources["status"] == "status"
        source = sources["missionStatus"]
        assert isinstance(source, Meaning)
        assert source.of({"id": "m", "status": said}) == meant


def test_texts_of_a_closed_set_say_which(graph: GraphQLSchema) -> None:
    assert graph.type_map["MissionUpdatedEvent"].fields["status"].description.endswith("DUPLICATE, STARTED.")  # type: ignore[attr-defined]
    said = graph.type_map["FileChangedEvent"].fields["event"].description  # type: ignore[attr-defined]
    assert said == "One of: file_created, file_modified, file_deleted."
    assert graph.type_map["IssueUpdatedEvent"].fields["assignee"].description == "The slug of an agent."  # type: ignore[attr-defined]


def test_a_domains_enum_keeps_its_description(graph: GraphQLSchema) -> None:
    alone = strawberry.Schema(Query)._schema
    for name, kind in graph.type_map.items():
        if isinstance(kind, GraphQLEnumType) and name in alone.type_map:
            assert kind.description == alone.type_map[name].description


@each_of("event", DECLARED, ids=lambda e: e.__name__)
def test_what_is_stored_is_what_graphql_would_write(event: type[Event], graph: GraphQLSchema) -> None:
    """Field by field: nothing is null where it must not be, and no leaf changes its value on the way out."""
    shown = graph.type_map[type_name(event)]
    mapping = TYPES.payload_fields(type_name(event))
    assert {*mapping, "cursor", *event_types.CHANGE, *TYPES.rows_of(type_name(event))} == set(shown.fields)  # type: ignore[attr-defined]
    for made in every_event(event):
        payload = orjson.loads(orjson.dumps(made.payload()))
        assert set(payload) <= {source for source in mapping.values() if isinstance(source, str)}
        for field, source in mapping.items():
            kind = shown.fields[field].type  # type: ignore[attr-defined]
            value = source.of(payload) if isinstance(source, Meaning) else payload.get(source)
            assert value is not None or not isinstance(kind, GraphQLNonNull)
            leaf: Any = get_named_type(kind)
            assert is_leaf_type(leaf)
            for item in value if isinstance(value, list) else [value]:
                if item is not None and leaf.name != "DateTime":
                    written = leaf.serialize(item)
                    assert written == item
                    assert isinstance(written, bool) is isinstance(item, bool)


@each_of("event", DECLARED, ids=lambda e: e.__name__)
def test_a_payload_is_recognised(event: type[Event]) -> None:
    for made in every_event(event):
        payload = orjson.loads(orjson.dumps(made.payload()))
        assert TYPES.name_of(event.type_, payload, kind_of(event)) == type_name(event)
        assert TYPES.name_of(event.type_, dict(reversed(payload.items())), kind_of(event)) == type_name(event)
    with pytest.raises(UnknownEvent):
        TYPES.name_of(event.type_, payload | {"one_more": 1}, kind_of(event))
    for key, field in event.payload_keys().items():
        if event.model_fields[field].is_required():
            less = {k: v for k, v in payload.items() if k != key}
            try:
                found = TYPES.name_of(event.type_, less, kind_of(event))
            except UnknownEvent:
                continue
            assert found != type_name(event)


@each_of("kind", ["session", "agent"])
@each_of(("type_", "payload", "name"), FRAMES)
def test_a_frame_of_a_chat_is_recognised_in_the_chat_and_on_the_channel_of_its_agent(
    type_: str, payload: dict[str, Any], name: str, kind: str
) -> None:
    assert TYPES.name_of(type_, payload, kind) == name
    assert set(payload) <= set(TYPES.payload_fields(name).values())
    with pytest.raises(UnknownEvent):
        TYPES.name_of(type_, payload, "workspace")


def test_frames_show_all_of_their_payload(graph: GraphQLSchema) -> None:
    given = {"cursor", "seq", "chatId", "runId", "createdAt"}
    for name in ("RunBegin", "ChatFrame"):
        assert {*TYPES.payload_fields(name), *given} == set(graph.type_map[name].fields)  # type: ignore[attr-defined]
    assert {*TYPES.payload_fields("StreamReset"), "cursor"} == set(graph.type_map["StreamReset"].fields)  # type: ignore[attr-defined]


def test_events_of_one_type_differ_by_what_they_say() -> None:
    def shown(**payload: Any) -> str:
        return TYPES.name_of("inbox.updated", payload, "workspace")

    assert shown(source="chat_read", chat="c") == "InboxChatReadEvent"
    assert shown(source="chat_reply", chat="c") == "InboxChatRepliedEvent"
    assert shown(id="i", state="read") == "InboxItemUpdatedEvent"
    assert shown(bulk="true", state="read") == "InboxBulkUpdatedEvent"
    for unknown in (
        {"source": "chat_burnt", "chat": "c"},
        {"source": ["chat_read"], "chat": "c"},
        {"source": None, "chat": "c"},
        {},
    ):
        with pytest.raises(UnknownEvent, match=r"inbox\.updated on workspace"):
            shown(**unknown)


@pytest.mark.parametrize(
    ("type_", "kind"), [("crew.created", "crew"), ("crew.burnt", "workspace"), ("crew.created", "nowhere"), ("", "")]
)
def test_an_event_that_nobody_declared_is_not_recognised(type_: str, kind: str) -> None:
    with pytest.raises(UnknownEvent):
        TYPES.name_of(type_, {"id": "c", "name": "n", "slug": "s"}, kind)


def test_every_type_is_a_member_of_a_union() -> None:
    assert {name for kind in UNION_NAMES for name in TYPES.types_of(kind)} == BY_HAND | {
        type_name(event) for event in DECLARED
    }


# ---- forms -----------------------------------------------------------------------------------------------------------

KEYS = ("a", "b", "c")


@st.composite
def forms(draw: st.DrawFn) -> Form:
    allowed = draw(st.frozensets(st.sampled_from(KEYS)))
    required = frozenset(key for key in allowed if draw(st.booleans()))
    fixed = {key: draw(st.frozensets(st.sampled_from((1, 2)), min_size=1)) for key in required if draw(st.booleans())}
    return Form("x", required, allowed, fixed)


def _possible() -> Iterator[dict[str, int]]:
    for size in range(len(KEYS) + 1):
        for keys in combinations(KEYS, size):
            for number in range(3 ** len(keys)):
                yield {key: number // 3**place % 3 for place, key in enumerate(keys)}


POSSIBLE = list(_possible())


@settings(max_examples=300, deadline=None)
@given(forms(), forms())
def test_forms_overlap_where_one_payload_fits_both(one: Form, other: Form) -> None:
    both = any(
        one.fits(frozenset(payload), payload) and other.fits(frozenset(payload), payload) for payload in POSSIBLE
    )
    assert one.overlaps(other) is both
    assert other.overlaps(one) is both


# ---- what is refused when the service starts -------------------------------------------------------------------------


@pytest.fixture
def undeclared() -> Iterator[None]:
    """Events of a test are gone after it."""
    known = set(EVENTS)
    yield
    for type_ in set(EVENTS) - known:
        del EVENTS[type_]


def added(*events: type[Event]) -> EventTypes:
    """As if a domain sent these too."""
    types = EventTypes([*DECLARED, *events])
    types.bind()
    return types


@pytest.mark.usefixtures("undeclared")
def test_a_new_event_needs_no_more_than_its_declaration() -> None:
    class TestMade(Event, type="test.made", channel="crew:{crew_id}"):
        """Made in a test."""

        crew_id: Annotated[str, Routing()]
        id: str
        count: Long | None = None

    types = added(TestMade)
    assert list(types.types_of("crew")) == [
        "StreamReset",
        "CrewMissionCreatedEvent",
        "FileChangedEvent",
        "TestMadeEvent",
    ]
    assert types.payload_fields("TestMadeEvent") == {"id": "id", "count": "count"}


@pytest.mark.usefixtures("undeclared")
def test_two_events_that_cannot_be_told_apart_are_refused() -> None:
    class TestTwin(Event, type="crew.created", channel="workspace:{workspace_id}"):
        id: str
        name: str
        slug: str
        colour: str | None = None

    EVENTS["crew.created"].remove(TestTwin)
    with pytest.raises(TypeError, match=r"crew\.created: a payload may be TestTwinEvent or CrewCreatedEvent"):
        added(TestTwin)


@pytest.mark.usefixtures("undeclared")
def test_two_events_of_one_name_are_refused() -> None:
    made: Any = type(Event)(
        "CrewCreated",
        (Event,),
        {"__module__": __name__, "__annotations__": {"id": str}},
        type="test.x",
        channel="crew:{id}",
    )
    with pytest.raises(TypeError, match="two things of the graph are called CrewCreatedEvent"):
        added(made)


@pytest.mark.usefixtures("undeclared")
def test_an_event_without_a_face_is_refused() -> None:
    class TestShapeless(Event, type="test.shapeless", channel="crew:{id}"):
        id: str
        raw: bytes

    class TestNowhere(Event, type="test.nowhere", channel="cellar:{id}"):
        id: str

    class TestPlaced(Event, type="test.placed", channel="crew:{id}"):
        id: str
        cursor: str

    class TestTimed(Event, type="test.timed", channel="crew:{id}"):
        id: str
        at: str

    with pytest.raises(TypeError, match="raw: GraphQL has no type for"):
        added(TestShapeless)
    with pytest.raises(TypeError, match=r"test\.nowhere: no subscription listens to cellar"):
        added(TestNowhere)
    with pytest.raises(TypeError, match="cursor is the position of an event"):
        added(TestPlaced)
    with pytest.raises(TypeError, match="at is the cause of an event"):
        added(TestTimed)


@pytest.mark.usefixtures("undeclared")
def test_a_closed_set_that_may_be_null_is_described_too() -> None:
    class TestLevelled(Event, type="test.levelled", channel="crew:{id}"):
        id: str
        level: Literal["low", "high"] | None

    shown = added(TestLevelled).types_of("crew")["TestLevelledEvent"]
    field = next(f for f in shown.__strawberry_definition__.fields if f.python_name == "level")
    assert field.description == "One of: low, high."
