"""Every operation of both surfaces, through both: the same refusal in the same words, or the same change of rows."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

import orjson
import pytest

from models.base import new_id
from resolvers.kernel.admission.gate import Entity, Tenancy
from resolvers.kernel.declarations.operation import Auth, Operation
from resolvers.people.recovery import PasswordResetRequested
from tests.every import each_of
from tests.generation.estate import OWN, Estate
from tests.generation.inputs import bodyless, fields_of, references, row_id, schema_of, unknown_id, valid, with_ids
from tests.generation.recorder import Change
from tests.generation.registry import operations, routes_of, surfaces_of
from tests.generation.surfaces import Outcome
from tests.world import Person

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
OPERATIONS = [op for op in operations() if set(surfaces_of(op)) == {"rest", "graphql"}]

ID = re.compile(r"\bc[a-z0-9]{24}\b|\bcc_[0-9a-f]{16}\b")
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[0-9.]*(?:Z|[+-]\d\d(?::\d\d)?)?")
RANDOM = re.compile(
    r"\$argon2id\$\S+|(?:\\x)?[0-9a-f]{16,}|\b[A-Z0-9]{4}-[A-Z0-9]{4}\b|(?<=-eph-)[a-z0-9]{6}|(?<=//127\.0\.0\.1:)\d+"
)
LENIENT = {("chats.participants_add", "role")}
"""REST accepts any text as a role (contract); GraphQL has an enum."""
ELSEWHERE = {
    ("auth.login", "callbackUrl"),
    *((f"routines.{verb}", "definition") for verb in ("save", "test_run", "validate")),
}
"""REST reads it from the query and from forms, or takes an object, too, which has the size of a whole body."""
MOVES = {"salt", "seq", "xid", "created_at", "updated_at"}


@dataclass
class Scenario:
    """One way to call an operation."""

    name: str
    raw: dict[str, Any]
    person: Person | None
    more: dict[str, Any] = field(default_factory=dict)


def callers(op: Operation[Any], estate: Estate) -> Iterator[Scenario]:
    """The callers that tests/rbac, which also compares the surfaces, does not send."""
    raw = valid(op, estate)
    if op.auth is Auth.NONE:
        yield Scenario("anonymous", raw, None)
        return
    yield Scenario("unknown token", raw, None, {"token": "crewship_cli_" + "0" * 64})
    if isinstance(op.tenancy, Entity) and op.tenancy.lenient:
        # over REST a workspace that is named beside the row has to be the caller's: here none is
        for name in ("outsider", "nobody", "viewer", "owner"):
            yield Scenario(name, raw, estate.person(name), {"workspace": None})


def places(op: Operation[Any], estate: Estate) -> Iterator[Scenario]:
    if op.tenancy is not Tenancy.WORKSPACE:
        return
    raw, owner = valid(op, estate), estate.caller(op)
    for place in (new_id(), estate.away.workspace.id, estate.home.workspace.slug):
        yield Scenario(f"workspace {place}", raw, owner, {"workspace": place})
    if "{workspaceId}" not in routes_of(op)[0].path:
        yield Scenario("no workspace", raw, owner, {"workspace": None})


def inputs(op: Operation[Any], estate: Estate) -> Iterator[Scenario]:
    raw, schema, route = valid(op, estate), schema_of(op), routes_of(op)[0]
    for name, part in fields_of(op).items():
        if (op.name, name) in ELSEWHERE:
            continue
        if name in bodyless(op) or (route.upload is not None and name == route.upload.instead_of):
            continue
        if name in schema.get("required", ()):
            yield Scenario(f"{name} missing", {n: v for n, v in raw.items() if n != name}, estate.caller(op))
        if "maxLength" in part:
            yield Scenario(f"{name} too long", raw | {name: "a" * (part["maxLength"] + 1)}, estate.caller(op))
        if not route.takes_body:
            continue  # a query string knows text only
        wrong: Any = "x" if part.get("type") in ("integer", "number", "boolean") or "enum" in part else {"no": "text"}
        known = part.get("type") in ("integer", "number", "boolean", "string", "array")
        if known and (op.name, name) not in LENIENT:
            yield Scenario(f"{name} of a wrong type", raw | {name: wrong}, estate.caller(op))
        field = op.input.model_fields[name]
        if not (field.is_required() and type(None) in get_args(field.annotation)):  # GraphQL has no such type
            yield Scenario(f"{name} null", raw | {name: None}, estate.caller(op))


def ids(op: Operation[Any], estate: Estate) -> Iterator[Scenario]:
    for name, key in references(op).items():
        raw = valid(op, estate, None, name)
        yield Scenario(
            f"{name} unknown", with_ids(op, raw, name, unknown_id(row_id(estate.home, key))), estate.caller(op)
        )
        yield Scenario(f"{name} foreign", with_ids(op, raw, name, row_id(estate.away, key)), estate.caller(op))


def versions(op: Operation[Any], estate: Estate) -> Iterator[Scenario]:
    if op.versioned is not None:
        for version in (1, 999):
            yield Scenario(f"version {version}", valid(op, estate), estate.caller(op), {"version": version})


WAYS = (callers, places, inputs, ids, versions)


@each_of(("op", "scenarios"), [pytest.param(op, f, id=f"{op.name}-{f.__name__}") for op in OPERATIONS for f in WAYS])
async def test_both_surfaces_say_and_do_the_same(op: Operation[Any], scenarios: Any, estate: Estate) -> None:
    wrong = []
    for scenario in scenarios(op, estate):
        more = {"workspace": OWN, "depth": 1} | scenario.more
        rest = await estate.call("rest", op, scenario.raw, scenario.person, **more)
        graphql = await estate.call("graphql", op, scenario.raw, scenario.person, **more)
        fault = difference(rest, graphql, known(estate))
        wrong += [f"{scenario.name}: {fault}\n{rest}\n{graphql}"] if fault else []
    assert not wrong, "\n".join(wrong)


def known(estate: Estate) -> set[str]:
    """Ids that both surfaces name alike: of everything that was there."""
    people = {person.user_id for person in estate.world.people.values()}
    return people.union(*(plot.ids() for plot in (estate.home, estate.away)))


# Whatever is sent is answered alike, and changes nothing where it is no email (contract: auth.forgot).
SILENT = PasswordResetRequested(ok=True).plain()


NO_WORKSPACE = ("workspace_id is required", "workspaceId is required")
"""The one text that names an argument, as each surface calls it."""


def difference(rest: Outcome, graphql: Outcome, known: set[str]) -> str | None:
    if graphql.by_schema:
        refused = rest.code is not None or rest.body == SILENT
        return None if refused and not rest.changes else "GraphQL's types refuse what REST takes"
    if rest.code != graphql.code:
        return f"{rest.code} and {graphql.code}"
    if rest.text != graphql.text and (rest.text, graphql.text) != NO_WORKSPACE:
        return f"{rest.text!r} and {graphql.text!r}"
    if rest.code is not None and rest.changes:
        return "a refusal changed something"
    one, other = (normalised(sorted(each.changes, key=_table), known) for each in (rest, graphql))
    return None if one == other else f"{one} and {other}"


def _table(change: Change) -> str:
    """In which order a transaction writes to tables depends on what is selected of the answer."""
    return change.table


def _kind(change: Change) -> tuple[str, bool]:
    """The sort key: rows of one table that existed. A deletion removes rows of other tables along with it, in any
    order.
    """
    return ("" if change.new is None else change.table), change.old is not None


def normalised(changes: list[Change], known: set[str]) -> list[tuple[str, Any, Any]]:
    """Without what differs between any two calls: new ids by the order of their appearance, times, random texts, and in
    which order one statement meets rows that were there.
    """
    changes = [
        change
        for (_, there), together in itertools.groupby(changes, _kind)
        for change in (sorted(together, key=lambda change: (change.table, str(change.old))) if there else together)
    ]
    text = orjson.dumps([[change.old, change.new] for change in changes]).decode()
    names = {
        id: f"<id {number}>"
        for number, id in enumerate(dict.fromkeys(id for id in ID.findall(text) if id not in known))
    }
    # a slug that has to be unique ends with the beginning of an id
    names |= {id[:8]: name for id, name in names.items()}

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items() if k not in MOVES}
        if isinstance(value, list):
            return [plain(v) for v in value]
        if not isinstance(value, str):
            return value
        for id, name in names.items():
            value = value.replace(id, name)
        return RANDOM.sub("<random>", TIME.sub("<time>", value))

    return [(c.table, plain(c.old), plain(c.new)) for c in changes]


def _outcome(
    surface: str = "rest",
    code: str | None = None,
    text: str = "",
    changes: list[Change] | None = None,
    by_schema: bool = False,
) -> Outcome:
    return Outcome(surface, code, text, 200, None, changes or [], by_schema)


def test_what_differs_is_seen() -> None:
    """The comparison itself: ids, times and random texts are alike, everything else counts."""
    a, b = new_id(), new_id()
    one = [Change("labels", None, {"id": a, "name": "x", "other": a, "at": "2026-01-01T00:00:00Z", "token": "0" * 64})]
    other = [
        Change("labels", None, {"id": b, "name": "x", "other": b, "at": "2027-01-01T00:00:00Z", "token": "1" * 64})
    ]
    assert difference(_outcome(changes=one), _outcome(changes=other), set()) is None
    assert difference(_outcome(changes=one), _outcome(changes=other), {a}) is not None
    assert difference(_outcome(changes=one), _outcome(changes=[]), set()) is not None
    assert (
        difference(
            _outcome(changes=one), _outcome(changes=[Change("labels", None, other[0].new | {"name": "y"})]), set()
        )
        is not None
    )  # type: ignore[operator]
    assert difference(_outcome(code="CONFLICT"), _outcome(code="NOT_FOUND"), set()) is not None
    assert difference(_outcome(code="CONFLICT", text="a"), _outcome(code="CONFLICT", text="b"), set()) is not None
    assert difference(_outcome(), _outcome(code="BAD_REQUEST", by_schema=True), set()) is not None
    assert (
        difference(_outcome(code="BAD_REQUEST"), _outcome(code="BAD_REQUEST", text="by type", by_schema=True), set())
        is None
    )
