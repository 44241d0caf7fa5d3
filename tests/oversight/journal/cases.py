"""Cases of the journal, for the tests that are made for every operation."""

from typing import Any

from models.oversight.journal import JournalActor, JournalEntry, Severity
from resolvers.rules.journal_ids import line_id
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


@entity
def journal_entry(plot: Plot) -> JournalEntry:
    return JournalEntry(
        entry_type="file.written",
        severity=Severity.warn,
        actor_type=JournalActor.sidecar,
        actor_id=plot["agent"].id,
        crew_id=plot["crew"].id,
        agent_id=plot["agent"].id,
        mission_id=plot["mission"].id,
        trace_id=plot["run"].id,
        summary="The log was written",
        payload={"path": "log.md"},
        refs={"mission_id": plot["mission"].id},
        created_at=now(),
        **plot.here,
    )


def named(world: Any) -> str:
    return line_id(world.home["journal_entry"])


IDS = {"mission_id": "mission", "trace_id": "run"}
WHEN = {"since": "2026-01-01T00:00:00Z", "until": "2999-01-01T00:00:00Z", "q": "log", "priority": "normal"}
FILTERS = Recipe(ids=IDS, values=WHEN)
COUNTED = Recipe(ids=IDS, values=WHEN)
RECIPES = {
    "journal.list": FILTERS,
    "journal.stream": Recipe(ids=IDS, values=WHEN, chosen=frozenset({"last_event_id"})),
    "journal.follow": FILTERS,
    "journal.list_as_seen": FILTERS,
    "journal.count": COUNTED,
    "journal.get": Recipe(values={"id": named}, chosen=frozenset({"id"})),
    "journal.set_priority": Recipe(values={"id": named, "priority": "pin"}, chosen=frozenset({"id"})),
    "journal.emit_internal": Recipe(ids=IDS, values={"type": "file.written"}),
}
