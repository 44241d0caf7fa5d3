"""Both paths against the oracle: the right rows, in the right order, with the right values."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from resolvers.kernel.declarations.query import Query
from resolvers.kernel.reader import GRAPHS, Derived, Either
from schema.bridge.selection import BACKREF
from tests.attacks.graphql import USER
from tests.reader import attention_twins
from tests.reader.issue_twins import UNIONS
from tests.reader.library import SCHEMA, Library, plain
from tests.reader.oracle import WITHHELD, Asker, Cursor, Oracle, Store
from tests.reader.twins import CONDITIONS, DERIVED, JOINED, MODELS, NARROWED, ROOTS, Twins, known
from tests.world import Person, World

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
# of one person, or of the instance: tested with them
NOT_ROWS_OF_A_WORKSPACE = {"cliTokens", "featureFlags", "instanceSettings", "instanceSetting", "linkedIdentities"}
NOT_ROWS_OF_A_WORKSPACE |= {"feedback", "passkeys", "preferences", "securityLog"}
NOT_ROWS_OF_A_WORKSPACE |= {"journal", "journalEntry", "journalCount"}  # tests/oversight/journal says what they show
NOT_ROWS_OF_A_WORKSPACE |= {"searchConversations"}  # so does tests/staff/conversations


async def rows_of(world: World) -> Store:
    tables = {}
    for (name,) in await world.database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        tables[name] = [dict(r) for r in await world.database.fetch(f'SELECT * FROM "{name}"')]
    tables["now"] = [{"now": await world.database.fetchval("SELECT now()")}]
    return Store(tables)


async def judge(
    library: Library, oracle: Oracle, person: Person, text: str, variables: Mapping[str, Any]
) -> dict[str, Any]:
    """The answer of both paths, which has to be the oracle's too."""
    given = await library.same(person, text, variables)
    document = await library.compiled.documents.read(text, None, USER)
    if document.errors or "data" not in given:  # too large, or too dear
        return {}
    data, refused = oracle.answer(Asker(person.user_id, None, library.world.workspace.id), text, variables)
    codes = {e["path"][0]: e["extensions"]["code"] for e in given.get("errors", ()) if len(e["path"]) == 1}
    below = {tuple(e["path"]): e["extensions"]["code"] for e in given.get("errors", ()) if len(e["path"]) > 1}
    asked = f"\n{text}\n{json.dumps(variables)}"
    assert codes.keys() == refused.keys(), f"{asked}\n{given.get('errors')}\n{refused}"
    assert all(code in refused[root] for root, code in codes.items()), f"{asked}\n{given.get('errors')}\n{refused}"
    assert below == dict.fromkeys(withheld(data), "FORBIDDEN"), f"{asked}\n{given.get('errors')}"
    expected, answered = plain(data), plain(given["data"])
    assert oracle.agrees(expected, answered), f"{asked}\n{apart(oracle, expected, answered)}"
    return given


def withheld(value: Any) -> Iterator[tuple[str | int, ...]]:
    """The paths of what the asker's role may not read."""
    if value is WITHHELD:
        yield ()
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in parts:
        yield from ((step, *path) for path in withheld(part))


def apart(oracle: Oracle, expected: Any, given: Any, path: str = "data") -> str:
    """Where two answers differ first, and how."""
    if isinstance(expected, dict) and isinstance(given, dict) and list(expected) == list(given):
        parts = [(f".{key}", value, given[key]) for key, value in expected.items()]
    elif isinstance(expected, list) and isinstance(given, list) and len(expected) == len(given):
        parts = [(f"[{place}]", *values) for place, values in enumerate(zip(expected, given, strict=True))]
    else:
        return f"{path}: expected {str(expected)[:3000]}\ngiven {str(given)[:3000]}"
    return next(apart(oracle, *pair, path + step) for step, *pair in parts if not oracle.agrees(*pair))


async def compare(library: Library, seeds: range, offered: Callable[[str, str], bool] = known) -> None:
    world = library.world
    oracle = Oracle(SCHEMA, Twins(), await rows_of(world))
    oracle.cursors["W10="] = Cursor((), (), "")  # well made, and of no list
    people = [world.owner, world.manager, world.viewer, world.owner, world.member, world.outsider]
    told = 0
    for seed in seeds:
        library.cursors = list(oracle.cursors)  # those that it knows the meaning of
        written = library.writer(seed, offered=offered).document()
        given = await judge(library, oracle, people[seed % len(people)], written.text, written.variables)
        told += "errors" not in given
    assert told > len(seeds) * 0.2


async def test_both_paths_agree_with_the_oracle(library: Library) -> None:
    await compare(library, range(10_000, 10_100))


async def test_what_needs_attention_agrees_with_the_oracle(library: Library) -> None:
    """One list of many kinds of rows, to people of each role."""
    await compare(
        library,
        range(30_000, 30_060),
        lambda type_, name: known(type_, name) and (type_ != "Query" or name == "attention"),
    )


@pytest.mark.slow
async def test_both_paths_agree_with_the_oracle_on_thousands_of_documents(library: Library) -> None:
    await compare(library, range(20_000, 22_000))


def test_every_derived_value_has_a_twin() -> None:
    derived = {(m.__name__, n) for m, entries in GRAPHS.items() for n, e in entries.items() if isinstance(e, Derived)}
    assert derived == set(DERIVED), "tests/reader/twins.py says each derived value again, in Python"


def test_every_union_has_a_twin() -> None:
    unions = {(m.__name__, n) for m, entries in GRAPHS.items() for n, e in entries.items() if isinstance(e, Either)}
    told = {*UNIONS, *attention_twins.UNIONS}
    assert unions == told, "tests/reader/issue_twins.py says whose row it is again, in Python"


def test_every_list_and_row_of_the_schema_is_known_to_the_oracle() -> None:
    query: Any = SCHEMA.query_type
    rows = {n for n, f in query.fields.items() if isinstance(f.extensions[BACKREF].metadata.get("operation"), Query)}
    assert rows - NOT_ROWS_OF_A_WORKSPACE == set(ROOTS), "tests/reader/twins.py says each query again, in Python"


def test_what_the_oracle_is_told_is_still_declared() -> None:
    for model, name in (*JOINED, *NARROWED):
        assert name in GRAPHS[MODELS[model]]
    assert {str(c) for g in GRAPHS.values() for e in g.values() for c in getattr(e, "where", ())} == set(CONDITIONS)
