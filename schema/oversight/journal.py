"""GraphQL: the journal."""

import strawberry
from strawberry.scalars import JSON

from models.oversight.journal import JournalActor, Priority, Severity
from resolvers.oversight import journal as journal_ops
from schema.bridge.fields import Edge, enum, mutation, node, output, query
from schema.live import followed

enum(Severity, name="JournalSeverity")
enum(Priority, name="JournalPriority")
enum(JournalActor, name="JournalActorType")


@node(journal_ops.JournalEntryView, name="JournalEntry")
class JournalEntryType:
    """What an agent, a user or the service did."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    ts: str = strawberry.field(description="RFC 3339 with milliseconds, in UTC.")
    entry_type: str = strawberry.field(description="What happened, such as run.completed; the set is open.")
    severity: Severity
    priority: Priority
    actor_type: JournalActor
    actor_id: str | None
    summary: str
    crew_id: strawberry.ID | None
    crew: Edge | None
    agent_id: strawberry.ID | None
    agent: Edge | None
    mission_id: strawberry.ID | None
    mission: Edge | None
    trace_id: strawberry.ID | None = strawberry.field(description="The run that the entry belongs to.")
    run: Edge | None
    payload: JSON | None
    refs: JSON | None = strawberry.field(description="Ids of the rows that the entry is about.")


@node(journal_ops.JournalCount)
class JournalCountType:
    """How many entries match."""

    total: int


@output(journal_ops.CrewName)
class CrewNameType:
    id: strawberry.ID
    name: str
    slug: str
    icon: str | None
    color: str | None


@output(journal_ops.AgentName)
class AgentNameType:
    id: strawberry.ID
    name: str
    slug: str
    crew_id: strawberry.ID | None
    avatar_seed: str | None
    avatar_style: str | None


@output(journal_ops.MissionName)
class MissionNameType:
    id: strawberry.ID
    title: str
    status: str


@output(journal_ops.JournalNames)
class JournalNamesType:
    crews: list[CrewNameType]
    agents: list[AgentNameType]
    missions: list[MissionNameType]


@output(journal_ops.JournalPriorityChanged)
class JournalPriorityChangedType:
    id: strawberry.ID
    priority: Priority
    reason: str
    previous: Priority


@strawberry.type
class JournalQuery:
    journal = query(journal_ops.list_journal, JournalEntryType)
    journal_entry = query(journal_ops.get_journal_entry, JournalEntryType)
    journal_count = query(journal_ops.count_journal, JournalCountType)
    journal_names = query(journal_ops.look_up_names, JournalNamesType)


@strawberry.type
class JournalMutation:
    set_journal_priority = mutation(journal_ops.set_journal_priority, JournalPriorityChangedType)


@strawberry.type
class JournalSubscription:
    journal_events = followed(
        journal_ops.JOURNAL,
        JournalEntryType,
        "JournalEvent",
        "Entries of the journal, in the order in which they appear. Takes the filters of the list.",
    )
