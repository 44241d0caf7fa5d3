"""Cases of the journal, for the tests that are made for every operation."""

from models.journal import JournalActor, JournalEntry, Severity
from tests.generation.entities import Plot, entity


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
        **plot.here,
    )
