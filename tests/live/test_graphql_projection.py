"""A subscription shows what GraphQL would: graphql-core's executor is asked for the same selection of the event."""

import asyncio
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
import pytest
from graphql import (
    GraphQLObjectType,
    GraphQLUnionType,
    execute,
    get_named_type,
    is_leaf_type,
    parse,
    validate,
)
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from resolvers.identity.caller import Caller
from resolvers.kernel.declarations.events import Distinct
from resolvers.live import Delivered, Position
from schema.bridge.endpoint import Endpoint
from schema.bridge.event_types import EVENT_TYPES, UNION_NAMES, declared, kind_of, type_name
from schema.bridge.limits import exceeded
from schema.bridge.root import schema
from schema.live.projection import Projection
from schema.live.subscription import Invalid, subscription_of
from tests.attacks.graphql import USER
from tests.events.samples import every_event
from tests.every import each_of
from tests.published import published

ENDPOINT = Endpoint(schema)
FIELDS = {
    "workspace": "workspaceEvents", "crew": 'crewEvents(crewId: "c")', "agent": 'agentEvents(agentId: "a")',
    "session": 'chatEvents(chatId: "c")',
    "mission": 'missionEvents(missionId: "m")', "keeper": "keeperEvents", "files": 'fileEvents(crewId: "c")',
    "user": "userEvents",
    "providers": "providerEvents",
}  # fmt: skip
CURSOR = "a cursor"
VARIABLES = "($a: Boolean!, $b: Boolean = true)"


@dataclass
class Listener:
    """A subscription as far as showing an event goes."""

    position: Position = field(default_factory=lambda: Position(1, 1))
    cursor: str = CURSOR


@dataclass(frozen=True)
class Sample:
    """An event as it is stored, and as a GraphQL object."""

    kind: str
    type: str
    payload: dict[str, Any]
    shown: dict[str, Any]
    frame: int = 0
    mirrored: str | None = None

    def delivered(self) -> Delivered:
        return Delivered(
            f"{self.kind}:x",
            self.type,
            orjson.dumps(self.payload),
            0 if self.frame else 1,
            1,
            self.frame,
            self.mirrored,
        )


def camel(key: str) -> str:
    return re.sub(r"_+([a-z0-9])", lambda match: match[1].upper(), key)


def _samples() -> list[Sample]:
    made = []
    for event in sorted(declared(), key=type_name):
        for value in every_event(event):
            payload = orjson.loads(orjson.dumps(value.payload()))
            shown = {"__typename": type_name(event), "cursor": CURSOR} | {
                camel(key): item for key, item in payload.items()
            }
            for name, info in event.model_fields.items():
                for other in (each for each in info.metadata if isinstance(each, Distinct)):
                    item = payload.get(info.serialization_alias or name)
                    shown[camel(other.name)] = other.means.get(item, item)
            made.append(Sample(kind_of(event.channel_), event.type_, payload, shown))
    for kind, frame, chat in (("session", 7, None), ("session", 0, None), ("agent", 0, "y")):
        begin, given = {"from_seq": 6}, {"cursor": CURSOR, "chatId": "x" if kind == "session" else chat}
        made.append(
            Sample(kind, "run_begin", begin, {"__typename": "RunBegin", "fromSeq": 6, "seq": 7} | given, frame, chat)
        )
        for payload in (
            {"type": "text", "content": 'Hi ☃ "\n'},
            {"type": "done", "content": "", "metadata": {"deep": [1, {"a": None}], "n": 0.5}},
        ):
            made.append(
                Sample(
                    kind,
                    "chat_event",
                    payload,
                    {"__typename": "ChatFrame", "seq": frame or None} | given | payload,
                    frame,
                    chat,
                )
            )
    return made


SAMPLES = _samples()


def plan_of(document: str, **variables: Any) -> Any:
    async def planned() -> Any:
        await ENDPOINT.documents.read(document, None, USER)  # a large one would be read for callers only who are known
        return await subscription_of(
            ENDPOINT,
            Caller.nobody(),
            {"query": document, "documentId": None, "operationName": None, "variables": variables},
        )

    request = asyncio.run(planned())
    assert request is not None
    return request.plan


def projection_of(document: str, **variables: Any) -> Projection:
    projection = plan_of(document, **variables).projection
    assert isinstance(projection, Projection)
    return projection


def answer(projection: Projection, sample: Sample) -> Any:
    return orjson.loads(projection.answer(sample.delivered(), Listener()))  # type: ignore[arg-type]


parsed = lru_cache(parse)


def expected(document: str, sample: Sample, **variables: Any) -> Any:
    """By graphql-core, from the object alone."""
    root = FIELDS[sample.kind].partition("(")[0]
    result: Any = execute(published(), parsed(document), {root: sample.shown}, variable_values=variables)
    assert result.errors is None, result.errors
    return {"data": result.data}


def ordered(value: Any) -> Any:
    """With the order of keys, which JSON has and a dict's equality has not."""
    if isinstance(value, dict):
        return [(key, ordered(item)) for key, item in value.items()]
    return [ordered(item) for item in value] if isinstance(value, list) else value


# ---- selections ------------------------------------------------------------------------------------------------------


def _conflicting(kind: str) -> set[str]:
    """Fields that mean another type in another member: they need an alias."""
    seen: dict[str, set[str]] = {}
    for member in _union(kind).types:
        for name, definition in member.fields.items():
            seen.setdefault(name, set()).add(str(definition.type))
    return {name for name, types in seen.items() if len(types) > 1}


def _leaves(member: GraphQLObjectType) -> list[str]:
    """Fields without rows, which an event does not hold (tests/live/test_event_rows.py)."""
    return [name for name, definition in member.fields.items() if is_leaf_type(get_named_type(definition.type))]


def _union(kind: str) -> GraphQLUnionType:
    union = published().type_map[UNION_NAMES[kind]]
    assert isinstance(union, GraphQLUnionType)
    return union


CONFLICTS = {kind: _conflicting(kind) for kind in UNION_NAMES}


@dataclass
class Writer:
    """Writes a document whose selections are drawn."""

    draw: st.DrawFn
    kind: str
    likely: GraphQLObjectType
    fragments: list[str] = field(default_factory=list)

    def chance(self, part: float) -> bool:
        return self.draw(st.floats(0, 1)) < part

    def directive(self) -> str:
        if not self.chance(0.35):
            return ""
        return (
            " "
            + self.draw(st.sampled_from(["@include", "@skip"]))
            + f"(if: {self.draw(st.sampled_from(['$a', '$b', 'true', 'false']))})"
        )

    def field(self, on: Any) -> str:
        names = ["__typename"]
        if isinstance(on, GraphQLObjectType):
            names += [*_leaves(on), *_leaves(on)]
        elif on == "Event":
            names += ["cursor"]
        name = self.draw(st.sampled_from(names))
        if name in CONFLICTS[self.kind]:
            return f"{name}_{on.name}: {name}{self.directive()}"
        alias = f"{self.draw(st.sampled_from('xyz'))}_{name}: " if self.chance(0.2) else ""
        return f"{alias}{name}{self.directive()}"

    def selection(self, on: Any, depth: int) -> str:
        return "{ " + " ".join(self.item(on, depth) for _ in range(self.draw(st.integers(1, 4)))) + " }"

    def item(self, on: Any, depth: int) -> str:
        if depth == 0 or self.chance(0.5):
            return self.field(on)
        members = [on] if isinstance(on, GraphQLObjectType) else [self.likely, self.likely, *_union(self.kind).types]
        target = self.draw(st.sampled_from([None, "Event", "union", *members]))
        name = (
            {None: None, "Event": "Event", "union": UNION_NAMES[self.kind]}.get(target)
            if target in (None, "Event", "union")
            else target.name
        )  # type: ignore[union-attr]
        inner = on if target is None else target
        if name is not None and self.chance(0.4):
            fragment = f"F{len(self.fragments)}"
            self.fragments.append("")
            self.fragments[int(fragment[1:])] = f"fragment {fragment} on {name} {self.selection(inner, depth - 1)}"
            return f"...{fragment}{self.directive()} ...{fragment}"
        return f"...{'' if name is None else f' on {name}'}{self.directive()} {self.selection(inner, depth - 1)}"

    def document(self) -> str:
        alias = "events: " if self.chance(0.3) else ""
        roots = " ".join(
            f"{alias}{FIELDS[self.kind]} {self.selection('union', 3)}" for _ in range(self.draw(st.integers(1, 2)))
        )
        return " ".join([f"subscription S{VARIABLES} {{ {roots} }}", *self.fragments])


@st.composite
def cases(draw: st.DrawFn) -> tuple[Sample, str]:
    sample = draw(st.sampled_from(SAMPLES))
    likely = published().type_map[sample.shown["__typename"]]
    assert isinstance(likely, GraphQLObjectType)
    return sample, Writer(draw, sample.kind, likely).document()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(cases(), st.booleans(), st.one_of(st.none(), st.booleans()))
def test_an_answer_is_the_executors(case: tuple[Sample, str], a: bool, b: bool | None) -> None:
    sample, document = case
    variables = {"a": a} | ({} if b is None else {"b": b})
    text = document if "$a" in document.partition("{")[2] else document.replace("$a: Boolean!, ", "")
    text = text if "$b" in text.partition("{")[2] else text.replace("$b: Boolean = true", "").replace("()", "")
    assume(exceeded(parse(text)) is None)
    faults = validate(published(), parse(text))
    if faults:
        with pytest.raises(Invalid):
            plan_of(text, **variables)
        return
    seen = answer(projection_of(text, **variables), sample)
    assert ordered(seen) == ordered(expected(text, sample, **variables))


@each_of("kind", UNION_NAMES)
def test_everything_a_channel_sends_may_be_asked_for_at_once(kind: str) -> None:
    types = _union(kind).types
    for start in range(0, len(types), 50):  # a larger document is read for known callers only
        parts = []
        for member in types[start : start + 50]:
            parts.append(
                f"... on {member.name} {{ "
                + " ".join(f"{n}_{member.name}: {n}" if n in CONFLICTS[kind] else n for n in _leaves(member))
                + " }"
            )
        document = f"subscription {{ {FIELDS[kind]} {{ __typename {' '.join(parts)} }} }}"
        projection = projection_of(document)
        for sample in SAMPLES:
            if sample.kind == kind:
                assert ordered(answer(projection, sample)) == ordered(expected(document, sample))


@each_of("kind", UNION_NAMES)
def test_a_loss_is_a_member_of_every_union(kind: str) -> None:
    document = f"subscription {{ events: {FIELDS[kind]} {{ __typename ... on StreamReset {{ why: reason cursor }} }} }}"
    seen = orjson.loads(projection_of(document).reset("too_old", "here"))
    assert ordered(seen) == ordered(
        {"data": {"events": {"__typename": "StreamReset", "why": "too_old", "cursor": "here"}}}
    )
    assert "StreamReset" in EVENT_TYPES.types_of(kind)


# ---- encoded once ----------------------------------------------------------------------------------------------------

NAMES = "subscription { workspaceEvents { ... on CrewCreatedEvent { name } } }"
CREW = Sample("workspace", "crew.created", {"id": "c", "name": "n", "slug": "s"}, {})


def test_equal_selections_are_one_projection_whatever_the_document_looks_like() -> None:
    one = projection_of(NAMES)
    for same in (
        "subscription Other { workspaceEvents(after: \"x\") { ...F } } fragment F on CrewCreatedEvent { name name }",
        "subscription($a: Boolean!) { workspaceEvents { ... on CrewCreatedEvent { name slug @include(if: $a) } } }",
    ):  # fmt: skip
        assert projection_of(same, a=False) is one
    for other in (
        "subscription { a: workspaceEvents { ... on CrewCreatedEvent { name } } }",
        "subscription { workspaceEvents { ... on CrewCreatedEvent { a: name } } }",
        "subscription($a: Boolean!) { workspaceEvents { ... on CrewCreatedEvent { name slug @include(if: $a) } } }",
        'subscription { keeperEvents { __typename } }',
    ):  # fmt: skip
        assert projection_of(other, a=True) is not one


def test_an_answer_is_made_once_for_all_who_select_the_same() -> None:
    event, one, other = CREW.delivered(), projection_of(NAMES), projection_of(NAMES.replace("name", "slug"))
    first = one.answer(event, Listener())  # type: ignore[arg-type]
    assert one.answer(event, Listener(Position(5, 5), "elsewhere")) is first  # type: ignore[arg-type]
    assert other.answer(event, Listener()) == b'{"data":{"workspaceEvents":{"slug":"s"}}}'  # type: ignore[arg-type]


def test_whoever_sees_cursors_sees_his_own() -> None:
    placed = projection_of(NAMES.replace("name", "name cursor"))
    event = CREW.delivered()
    here, same, elsewhere = Listener(), Listener(), Listener(Position(5, 5, 9), "elsewhere")
    first = placed.answer(event, here)  # type: ignore[arg-type]
    assert placed.answer(event, same) is first  # type: ignore[arg-type]
    assert b'"cursor":"elsewhere"' in placed.answer(event, elsewhere)  # type: ignore[arg-type]


def test_what_cannot_be_shown_is_told() -> None:
    """Another version may send other events, and PostgreSQL's numbers go further than those of JSON readers."""
    projection = projection_of("subscription { workspaceEvents { ... on StreamReset { reason } } }")
    whole = b'"id":"c","name":"n","slug":"s"'
    for type_, payload in (
        ("crew.burnt", b"{}"),
        ("crew.created", b"{}"),
        ("crew.created", b'{%b,"colour":"red"}' % whole),
        ("crew.created", b'{"id":1%b,"name":"n","slug":"s"}' % (b"0" * 400)),
    ):
        event = Delivered("workspace:x", type_, payload, 1, 1)
        assert projection.answer(event, Listener()) == b'{"data":{"workspaceEvents":{"reason":"unreadable"}}}'  # type: ignore[arg-type]
    known = Delivered("workspace:x", "crew.created", b"{%b}" % whole, 1, 1)
    assert projection.answer(known, Listener()) == b'{"data":{"workspaceEvents":{}}}'  # type: ignore[arg-type]
