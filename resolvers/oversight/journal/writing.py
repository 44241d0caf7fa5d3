"""Writes to the journal: marks of entries, and reports of agents' runtimes."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError
from sqlalchemy import DateTime, column, func, select
from sqlalchemy import Text as SQLText

from models.base import table_of
from models.oversight.journal import JournalActor, JournalEntry, JournalLine, Priority, Severity
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.missions import Mission
from resolvers.kernel import (
    Action,
    Auth,
    ById,
    Code,
    Context,
    Description,
    Id,
    Input,
    Notes,
    Output,
    Ref,
    Refusal,
    command,
)
from resolvers.oversight.journal.listing import MISSING
from resolvers.rules.journal_ids import line_id
from resolvers.rules.redaction import Redactor

REPORTED = Literal["network.egress", "file.written"]


class SetJournalPriority(ById):
    """The priority of an entry, and the reason."""

    priority: Priority
    reason: Description = ""


class JournalPriorityChanged(Output):
    """`previous` is the priority before."""

    id: str
    priority: Priority
    reason: str
    previous: Priority


@command("journal.set_priority", Action.MANAGE, audit="journal_entry.priority_set", errors=(Code.NOT_FOUND,))
async def set_journal_priority(ctx: Context, data: SetJournalPriority) -> JournalPriorityChanged:
    """Set the priority of a journal entry.

    Other fields of an entry never change. The change itself is an entry.
    """
    ids = ("crew_id", "agent_id", "mission_id", "trace_id")
    texts = [column(name, SQLText()) for name in ("id", "entry_type", "priority", *ids)]
    named = func.journal_named(ctx.workspace_id, data.id).table_valued(column("at", DateTime(timezone=True)), *texts)
    found = await ctx.report(select(*named.c))
    if not found:
        raise Refusal(Code.NOT_FOUND, MISSING)
    (line,) = found
    key = {"place": ctx.workspace_id, "at": line["at"], "id": data.id}
    same = [table_of(JournalLine).c[name] == value for name, value in key.items()]
    await ctx.update_where(JournalLine, *same, priority=data.priority)
    ctx.audit("JOURNAL_ENTRY", data.id, previous=line["priority"], priority=data.priority.value)
    reason = Redactor().redact(data.reason)
    ctx.record(
        JournalEntry(
            entry_type="memory.priority_changed",
            severity=Severity.notice,
            actor_type=JournalActor.user,
            actor_id=ctx.user_id,
            **{name: line[name] for name in ids},
            summary=f"priority {line['priority']} → {data.priority.value}",
            payload={
                "target_entry_id": data.id, "target_entry_type": line["entry_type"],
                "previous_priority": line["priority"], "new_priority": data.priority.value, "reason": reason,
            },
            refs={"parent_entry_id": data.id},
        )
    )  # fmt: skip
    return JournalPriorityChanged(
        id=data.id, priority=data.priority, reason=data.reason, previous=Priority(line["priority"])
    )


def _said(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return text


class EmitJournalEntry(Input):
    """A report of an agent's runtime. The server sets time, severity and actor."""

    workspace_id: Id
    type: Annotated[REPORTED, BeforeValidator(lambda raw: raw.strip() if isinstance(raw, str) else raw)]
    summary: Annotated[Description, AfterValidator(_said)]
    crew_id: Annotated[Id, Ref(Crew)] | None = None
    agent_id: Annotated[Id, Ref(Agent)] | None = None
    mission_id: Annotated[Id, Ref(Mission)] | None = None
    payload: Notes | None = None
    refs: Notes | None = None


class JournalEntryEmitted(Output):
    id: str


@command("journal.emit_internal", Action.NONE, auth=Auth.INTERNAL, errors=(Code.NOT_FOUND,))
async def emit_journal_entry(ctx: Context, data: EmitJournalEntry) -> JournalEntryEmitted:
    """Add a journal entry on behalf of an agent.

    Used by agents' runtimes for network requests and written files. Secrets are redacted.
    """
    redactor = Redactor()
    ((now,),) = await ctx.report(select(func.clock_timestamp()))
    entry = JournalEntry(
        entry_type=data.type,
        actor_type=JournalActor.sidecar,
        actor_id=data.agent_id,
        crew_id=data.crew_id,
        agent_id=data.agent_id,
        mission_id=data.mission_id,
        summary=redactor.redact(data.summary.strip()),
        payload=None if data.payload is None else redactor.redact_json(data.payload),
        refs=None if data.refs is None else redactor.redact_json(data.refs),
        created_at=now,
    )
    ctx.record(entry)
    return JournalEntryEmitted(id=line_id(entry))
