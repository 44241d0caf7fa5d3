"""The terms by which entries are found, and what kinds of entries rows of the audit log are."""

from typing import Any

import pytest

from models.base import new_id
from models.kernel import AuditEffect
from tests.world import World

pytestmark = pytest.mark.anyio
FILTERS = {"a": 3, "c": 4, "m": 5, "r": 6, "t": 7, "s": 8, "k": 9}
PAIRED = ("a", "c", "t", "s", "k")
LEVELS = (7, 10, 13, 16, 19, 22, 25)
GIVEN: list[tuple[Any, ...]] = [
    ("w1", "2026-01-02T03:04:05Z", "a1", "c1", "m1", "r1", "audit.entity_created", "notice", "user", "one two three"),
    ("w2", "2026-01-02T03:04:05Z", "a1", "c1", "m1", "r1", "audit.entity_created", "notice", "user", "one two three"),
    ("w1", "1969-12-31T23:59:59Z", None, None, None, None, "run.started", "info", "agent", ""),
    ("w1", "2026-01-02T03:04:05.678901Z", None, "c1", None, "r1", "run.started", "error", "agent", "again again again"),
    ("w1", "2031-01-01T00:00:00Z", "a1", None, "m1", None, "x", "warn", "system", "only"),
    ("w1", "2031-01-01T00:00:00Z", "", "", "", "", "", "", "", "a. b, c's d-e f/g 1.5 ü"),
]
TAKES = "($1::text, $2::text::timestamptz, $3::text, $4::text, $5::text, $6::text, $7::text, $8::text, $9::text, words)"


def looked_up() -> str:
    """Each term that a search may look up, by itself."""
    pairs = [(one, other) for at, one in enumerate(PAIRED) for other in PAIRED[at + 1 :]]
    terms = [f"'{kind}|' || ${number}" for kind, number in FILTERS.items()]
    terms += [f"'{one}{other}|' || ${FILTERS[one]} || '|' || ${FILTERS[other]}" for one, other in pairs]
    seconds = "extract(epoch FROM $2::text::timestamptz)"
    terms += [f"'{level}|' || floor({seconds} / {2**level})" for level in LEVELS]
    return f"array_remove(ARRAY[{', '.join(f'hashtextextended({term}, seed)' for term in terms)}], NULL)"


async def test_a_line_has_the_terms_that_searches_look_up(world: World) -> None:
    """An index is not built again where the function changes: what it returns stays."""
    for words in ("to_tsvector('simple', $10::text)", "strip(to_tsvector('simple', $10::text))"):
        compared = f"""
            SELECT journal_terms{TAKES} AS terms, {looked_up()} || said.each || said.beside AS wanted
            FROM {words} AS words, hashtextextended($1::text, 0) AS seed, journal_terms_said(words, seed) AS said
        """
        made = [await world.database.fetchrow(compared, *given) for given in GIVEN]
        assert all(row["terms"] == row["wanted"] for row in made)
        assert len({tuple(row["terms"]) for row in made}) == len(GIVEN)


async def test_actions_are_entries_of_a_kind(world: World) -> None:
    """The row's effect determines the kind of the entry; the name of the action does not."""
    rows = {new_id(): effect for effect in (*AuditEffect, "something new", None)}
    await world.database.executemany(
        "INSERT INTO audit_logs (id, workspace_id, actor_type, action, effect, entity_type, data)"
        " VALUES ($1, $2, 'system', 'x.deleted', $3, 'X', '{}')",
        [(id, world.workspace.id, effect) for id, effect in rows.items()],
    )
    found = await world.database.fetch(
        "SELECT row_id, entry_type FROM audit_logs a CROSS JOIN LATERAL journal_lines(a) WHERE a.id = ANY ($1)",
        list(rows),
    )
    assert {rows[row["row_id"]]: row["entry_type"] for row in found} == {
        effect: f"audit.entity_{effect if effect in set(AuditEffect) else AuditEffect.updated}"
        for effect in rows.values()
    }
