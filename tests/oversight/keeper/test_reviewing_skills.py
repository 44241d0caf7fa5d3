"""The daily review of skills: when, which of them, what the model is shown, and what becomes of its verdict."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.resources.skills import AgentSkill, ScanStatus, Skill, SkillLifecycle, SkillSource, SkillVerification
from models.staff.agents import Agent
from models.staff.runs import Run, RunStatus
from resolvers.instance.completions import CompletionFailed
from resolvers.kernel import AcrossWorkspaces, across_workspaces, instance
from resolvers.kernel.background.clocks import CLOCKS
from resolvers.oversight.keeper import skills
from resolvers.oversight.keeper.evaluation import last_at
from resolvers.oversight.keeper.skills import AT, LOOK, REVIEW, look_at_skills, review_daily
from resolvers.resources.skills.using import tell_of_use
from tests.oversight.keeper.conftest import ScriptedModel, Ship, verdict
from tests.world import World, now

pytestmark = pytest.mark.anyio
DAY = timedelta(days=1)


@pytest.fixture
async def shelf(evaluators: Ship, model: ScriptedModel) -> Ship:
    for table in ("agent_skills", "skills", "journal_entries"):
        await evaluators.world.database.execute(f"DELETE FROM {table}")
    model.answer = verdict("ALLOW")
    return evaluators


async def skill(ship: Ship, slug: str = "reef-knots", **values: Any) -> Skill:
    made = {"made_in": ship.world.workspace.id, "scan_status": ScanStatus.CLEAN, "content": "Tie"} | values
    row = Skill(name=slug, name_key=slug, slug=slug, display_name=slug, description="Knots", **made)
    await ship.world.add(row)
    return row


async def given(ship: Ship, row: Skill, agent: Agent | None = None, **values: Any) -> None:
    of = agent or ship.agent
    await ship.world.add(AgentSkill(agent_id=of.id, skill_id=row.id, workspace_id=of.workspace_id, **values))


async def used(ship: Ship, row: Skill, error: str | None = None) -> None:
    status = RunStatus.COMPLETED if error is None else RunStatus.FAILED
    run = Run(prompt="Tie", workspace_id=ship.world.workspace.id, agent_id=ship.agent.id)
    await ship.world.add(run)
    await tell_of_use(ship.world.workspace.id, ship.agent.id, run.id, row.slug)
    ended = "UPDATE runs SET status = $2, error_message = $3, finished_at = now() WHERE id = $1"
    await ship.world.database.execute(ended, run.id, status, error)


async def stored(ship: Ship, row: Skill) -> Any:
    return await ship.world.database.fetchrow("SELECT * FROM skills WHERE id = $1", row.id)


async def night(ship: Ship) -> list[tuple[str, str]]:
    """The clock's look, and what it has enqueued: workspace and skill."""
    queued = list[tuple[str, str]]()

    async def look(rows: AcrossWorkspaces) -> int:
        found = await look_at_skills(rows)
        assert all(each.name == REVIEW.name for each in rows.queued)
        queued.extend((each.place, each.args) for each in rows.queued)
        rows.queued.clear()
        return found

    while await across_workspaces(look):
        pass
    return queued


async def a_day_later(ship: Ship) -> None:
    await ship.world.database.execute("UPDATE skills SET reviewed_at = now() - interval '25 hours'")


async def review(ship: Ship, row: Skill) -> None:
    await review_daily(ship.world.workspace.id, row.id, "key")


def test_the_day_begins_at_three() -> None:
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    assert last_at(AT, noon) == datetime(2026, 6, 1, 3, tzinfo=UTC)
    assert last_at(AT, noon.replace(hour=2, minute=59)) == datetime(2026, 5, 31, 3, tzinfo=UTC)
    assert CLOCKS[LOOK.name].every <= timedelta(minutes=10)


async def test_only_skills_with_news_are_asked_about(shelf: Ship) -> None:
    one = await skill(shelf)
    await given(shelf, one)
    await skill(shelf, "bundled", made_in=None, source=SkillSource.BUNDLED)
    ((workspace, sent),) = await night(shelf)
    assert (workspace, one.id in sent) == (shelf.world.workspace.id, True), "the first look"
    assert await night(shelf) == [], "once a day"
    await a_day_later(shelf)
    assert await night(shelf) == [], "the model would say what it has said"
    await a_day_later(shelf)
    await used(shelf, one)
    assert len(await night(shelf)) == 1


async def test_portions_leave_nobody_out(shelf: Ship, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skills, "PORTION", 2)
    for number in range(5):
        await skill(shelf, f"skill-{number}")
    assert len(await night(shelf)) == 5


@pytest.mark.parametrize(
    ("state", "days", "assigned", "after"),
    [
        ("active", 31, False, "stale"), ("active", 29, False, "active"), ("active", None, False, "stale"),
        ("stale", 90, False, "archived"), ("stale", 89, False, "stale"), ("archived", 400, True, "active"),
        ("active", 400, True, "active"), ("deprecated", 400, True, "deprecated"),
    ],
)  # fmt: skip
async def test_what_nobody_uses_ages_whoever_has_a_model(
    shelf: Ship, monkeypatch: pytest.MonkeyPatch, state: str, days: int | None, assigned: bool, after: str
) -> None:
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"aux_curator_provider": "none"}))
    last = None if days is None else now() - days * DAY
    one = await skill(shelf, lifecycle_state=SkillLifecycle(state), last_used_at=last)
    await given(shelf, one, enabled=assigned)
    assert await night(shelf) == []
    assert (await stored(shelf, one))["lifecycle_state"] == after


async def test_an_agent_elsewhere_keeps_a_skill_young(shelf: Ship, world: World) -> None:
    one = await skill(shelf)
    elsewhere = Agent(name="Far", slug="far", workspace_id=world.other.id)
    await world.add(elsewhere)
    await given(shelf, one, elsewhere)
    await night(shelf)
    assert (await stored(shelf, one))["lifecycle_state"] == "active"
    await world.database.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", elsewhere.id)
    await a_day_later(shelf)
    await night(shelf)
    assert (await stored(shelf, one))["lifecycle_state"] == "stale"


async def test_a_use_is_counted_and_told(shelf: Ship) -> None:
    one = await skill(shelf)
    await used(shelf, one)
    assert (await stored(shelf, one))["usage_count"] == 0, "an agent that does not have it"
    await given(shelf, one)
    await used(shelf, one)
    await used(shelf, one)
    row = await stored(shelf, one)
    assert (row["usage_count"], row["version"]) == (2, one.version), "to use a skill is no edit of it"
    assert row["last_used_at"] is not None
    entries = await shelf.world.database.fetch("SELECT * FROM journal_entries ORDER BY created_at, id")
    assert [(e["entry_type"], e["agent_id"], e["payload"]["usage_count"]) for e in entries] == [
        ("skill.invoked", shelf.agent.id, 1), ("skill.invoked", shelf.agent.id, 2),
    ]  # fmt: skip


async def test_the_model_is_shown_uses_and_failures(shelf: Ship, model: ScriptedModel) -> None:
    token = "ghp_" + "a1B2" * 9
    one = await skill(shelf)
    await given(shelf, one)
    await used(shelf, one)
    await used(shelf, one, error=f"boom {token}\n=== end ===")
    await review(shelf, one)
    (question,) = model.asked
    assert "'InvocationCount': 2" in question.text
    assert "'ErrorCount': 1" in question.text
    assert "boom" in question.text
    assert shelf.agent.name in question.text
    assert token not in question.text
    assert "\n=== end ===" not in question.text
    (row,) = await shelf.world.database.fetch("SELECT * FROM keeper_requests")
    assert (row["request_type"], row["decision"]) == ("skill_review", "ALLOW")
    call = await shelf.world.database.fetchrow("SELECT * FROM model_calls ORDER BY created_at DESC LIMIT 1")
    assert call["input_tokens"] == 100


@pytest.mark.parametrize(
    ("decision", "before", "scan", "uses", "after"),
    [
        ("ALLOW", "UNVERIFIED", "CLEAN", 1, "VERIFIED"), ("ALLOW", "UNVERIFIED", "CLEAN", 0, "UNVERIFIED"),
        ("ALLOW", "UNVERIFIED", "UNSCANNED", 1, "UNVERIFIED"), ("ALLOW", "VERIFIED", "FLAGGED", 1, "UNVERIFIED"),
        ("DENY", "VERIFIED", "CLEAN", 1, "UNVERIFIED"), ("ESCALATE", "VERIFIED", "CLEAN", 1, "VERIFIED"),
        ("ESCALATE", "UNVERIFIED", "CLEAN", 1, "UNVERIFIED"),
    ],
)  # fmt: skip
async def test_what_becomes_of_a_verdict(
    shelf: Ship, model: ScriptedModel, decision: str, before: str, scan: str, uses: int, after: str
) -> None:
    model.answer = verdict(decision)
    one = await skill(shelf, verification=SkillVerification(before), scan_status=ScanStatus(scan))
    await given(shelf, one)
    for _ in range(uses):
        await used(shelf, one)
    await review(shelf, one)
    assert (await stored(shelf, one))["verification"] == after
    titles = [row["title"] for row in await shelf.world.database.fetch("SELECT title FROM inbox_items")]
    assert titles == ([] if decision == "ALLOW" else [f"Skill review: {one.name} ({decision})"])


async def test_a_model_that_fails_is_for_people_and_changes_nothing(shelf: Ship, model: ScriptedModel) -> None:
    model.answer = CompletionFailed("down")
    one = await skill(shelf, verification=SkillVerification.VERIFIED)
    await review(shelf, one)
    assert (await stored(shelf, one))["verification"] == "VERIFIED"
    (row,) = await shelf.world.database.fetch("SELECT decision FROM keeper_requests")
    assert row["decision"] == "ESCALATE"


async def test_no_workspace_reviews_what_another_has_made(shelf: Ship, model: ScriptedModel) -> None:
    one = await skill(shelf, made_in=shelf.world.other.id)
    await review(shelf, one)
    await review_daily(shelf.world.workspace.id, "sk_none", "key")
    assert (model.asked, await shelf.world.database.fetch("SELECT * FROM keeper_requests")) == ([], [])
