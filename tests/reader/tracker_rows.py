"""What is kept around issues, for one workspace."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlmodel import SQLModel

from models.actors import ActorType
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.recurring_issues import RecurringIssue
from models.work.saved_views import SavedView, ViewType
from models.work.triage_rules import MatchType, TriageRule

if TYPE_CHECKING:
    from tests.reader.rows import Sower


def views(sower: "Sower") -> Iterator[SQLModel]:
    """Of several people, some of them shared; names are not unique."""
    pick = sower.random.choice
    for _ in range(14):
        yield SavedView(
            user_id=pick(sower.people).user_id, name=sower.text(), filters_json=sower.text(),
            sort_json=sower.maybe(sower.text()), view_type=pick(list(ViewType)),
            is_default=pick([True, False]), shared=pick([True, False]), **sower.here, **sower.stamps(),
        )  # fmt: skip


def rules(sower: "Sower", crews: list[Crew], agents: list[Agent]) -> Iterator[SQLModel]:
    """Of live and deleted crews and agents; positions are not unique."""
    pick = sower.random.choice
    for _ in range(14):
        yield TriageRule(
            name=sower.text(), pattern=sower.text(), match_type=pick(list(MatchType)), position=pick([1, 1, 2, -3]),
            crew_id=sower.maybe(pick(crews).id), assignee_id=sower.maybe(pick(agents).id),
            priority=sower.maybe(sower.text()), labels_json=sower.maybe(sower.text()),
            enabled=(enabled := pick([True, False])),
            # none of those that hold sends the issues that tests make elsewhere
            on_create=not enabled, match_count=pick([0, 1, 2**31 - 1]), **sower.here, **sower.stamps(),
        )  # fmt: skip


def recurring(sower: "Sower", crews: list[Crew], agents: list[Agent]) -> Iterator[SQLModel]:
    """Of live and deleted crews, given to agents, users and nobody."""
    pick = sower.random.choice
    for _ in range(14):
        kind = pick(list(ActorType))
        known = {ActorType.user: pick(sower.people).user_id, ActorType.agent: pick(agents).id}
        yield RecurringIssue(
            crew_id=pick(crews).id, title=sower.text(), description=sower.maybe(sower.text()), priority=sower.text(),
            assignee_type=pick([kind.value, kind.value, None, "team"]), assignee_id=known.get(kind, "nobody"),
            labels_json=sower.maybe(sower.text()), cron_expression="0 9 * * 1", time_zone=sower.maybe("Asia/Kolkata"),
            enabled=pick([True, False]), next_run=sower.maybe(sower.time()), last_run=sower.maybe(sower.time()),
            run_count=pick([0, 1, 2**31 - 1]), created_by=sower.maybe(pick(sower.people).user_id),
            **sower.here, **sower.stamps(),
        )  # fmt: skip
