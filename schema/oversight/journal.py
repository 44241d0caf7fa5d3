"""GraphQL: the journal."""

import strawberry

from models.oversight.journal import JournalActor, Priority, Severity
from resolvers.oversight import journal as journal_ops
from schema.bridge.fields import enum, mutation, node, query
from schema.live import followed

enum(Severity, name="JournalSeverity")
enum(Priority, name="JournalPriority")
enum(JournalActor, name="JournalActorType")


@node(journal_ops.JournalEntryView, name="JournalEntry")
class JournalEntryType:
    """An action of an agent, a user or the service."""

    fields = """
        id workspace_id ts entry_type severity priority actor_type actor_id summary crew_id crew agent_id agent
        mission_id mission trace_id run payload refs
    """
    ts = strawberry.field(description="RFC 3339 with milliseconds, in UTC.")
    entry_type = strawberry.field(description="The type of the entry, such as run.completed; the set is open.")
    actor_id: str | None
    trace_id = strawberry.field(description="The run that the entry belongs to.")
    refs = strawberry.field(description="Ids of the rows that the entry is about.")


@node(journal_ops.JournalCount)
class JournalCountType:
    """The number of matching entries."""

    total: int


@strawberry.type
class JournalQuery:
    journal = query(journal_ops.list_journal, JournalEntryType)
    journal_entry = query(journal_ops.get_journal_entry, JournalEntryType)
    journal_count = query(journal_ops.count_journal, JournalCountType)
    journal_names = query(journal_ops.look_up_names)


@strawberry.type
class JournalMutation:
    set_journal_priority = mutation(journal_ops.set_journal_priority)


@strawberry.type
class JournalSubscription:
    journal_events = followed(
        journal_ops.JOURNAL,
        JournalEntryType,
        "JournalEvent",
        "Entries of the journal, in the order in which they appear. Takes the filters of the list.",
    )
