"""How often creating or changing an issue asks the database, and that what is asked with the gate is asked of the right
workspace.
"""

from typing import Any

import pytest

from models.work.triage_rules import MatchType, TriageRule
from tests.round_trips import sent
from tests.work.issues.board import Board, word
from tests.world import World

pytestmark = pytest.mark.anyio
RULE: Any = {"pattern": "leak", "match_type": MatchType.contains, "position": 1, "priority": "urgent"}


@pytest.fixture(autouse=True)
async def no_rules(world: World) -> None:
    await world.database.execute("DELETE FROM triage_rules")


async def rule(board: Board, **fields: Any) -> TriageRule:
    made = TriageRule(**{"name": word(), "on_create": True} | RULE | fields, **board.here)
    await board.world.add(made)
    return made


async def test_an_issue_is_created_in_two_round_trips(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    await board.create()
    with sent(monkeypatch) as trips:
        assert (await board.create())["priority"] == "none"
    assert trips == ["SELECT", "WITH"]


@pytest.mark.parametrize("fields", [{"on_create": False}, {"enabled": False}], ids=["on demand", "disabled"])
async def test_rules_that_are_not_for_new_issues_cost_nothing(
    board: Board, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    await rule(board, **fields)
    await board.create()
    with sent(monkeypatch) as trips:
        assert (await board.create())["priority"] == "none"
    assert trips == ["SELECT", "WITH"]


async def test_rules_of_another_workspace_are_not_looked_for(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    there = await Board.of(board.world, board.world.other)
    await rule(there)
    await board.create()
    with sent(monkeypatch) as trips:
        assert (await board.create())["priority"] == "none"
    assert trips == ["SELECT", "WITH"]
    assert (await there.create())["priority"] == "urgent"


async def test_where_there_is_a_rule_it_is_read_and_applied(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await rule(board)
    await board.create()
    with sent(monkeypatch) as trips:
        assert (await board.create())["priority"] == "urgent"
    assert trips == ["SELECT", "SELECT", "+UPDATE", "WITH", "COMMIT"]
    await board.world.database.execute("DELETE FROM triage_rules WHERE id = $1", made.id)
    with sent(monkeypatch) as trips:
        assert (await board.create())["priority"] == "none"
    assert trips == ["SELECT", "WITH"]


async def test_a_changed_issue_is_written_and_then_read(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer shows what is derived from other issues."""
    issue = await board.create()
    await board.change(issue, title="Leaks")
    with sent(monkeypatch) as trips:
        assert (await board.change(issue, title="Leak again"))["title"] == "Leak again"
    assert trips == ["SELECT", "+UPDATE", "WITH", "COMMIT"]


async def test_agents_ask_for_rules_with_their_gate(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    key = board.world.settings.internal_token.get_secret_value()  # type: ignore[union-attr]
    sent_body = {**board.here, "crew_id": board.crew.id, "title": "Leak"}

    async def create() -> None:
        answer = await board.world.rest(
            None, "POST", "/api/v1/internal/issues", sent_body, workspace=None, **{"x-internal-token": key}
        )
        assert answer.status_code == 201, answer.text[:300]

    await create()
    with sent(monkeypatch) as trips:
        await create()
    without = list(trips)
    await rule(board)
    await create()
    with sent(monkeypatch) as trips:
        await create()
    assert len(trips) > len(without)
