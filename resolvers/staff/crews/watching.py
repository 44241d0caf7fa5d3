"""Changes of a crew's files by processes, as the runtime has seen them (contract: events, file.event)."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field
from sqlmodel import col

from models.oversight.journal import JournalActor, JournalEntry
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import NO_SURFACE, Action, Code, Context, Id, Input, Int, Text, at_most, command
from resolvers.staff.crews.events import FileChanged

MOST_CHANGES: Final = 100
"""The most changes of one report. A larger number, such as an unpacked archive, is truncated; the list of files has
them all.
"""


class FileChange(StrEnum):
    file_created = "file_created"
    file_modified = "file_modified"
    file_deleted = "file_deleted"


class SeenFile(Input):
    """`path` begins in the crew's folder; its first part is the agent whose file it is."""

    event: FileChange
    path: Text
    size: Annotated[Int, Field(ge=0)] = 0


class ReportFiles(Input):
    crew_id: Id
    files: Annotated[list[SeenFile], at_most(MOST_CHANGES)]


@command("files.report", Action.UPDATE, emits=FileChanged, errors=(Code.NOT_FOUND,), surfaces=NO_SURFACE)
async def report_files(ctx: Context, data: ReportFiles) -> None:
    """Record files that a process has changed.

    On the channel of the crew, and in the journal what was written.
    """
    await ctx.get(Crew, data.crew_id)
    slugs = {seen.path.partition("/")[0] for seen in data.files}
    found = ctx.select(Agent, col(Agent.crew_id) == data.crew_id, col(Agent.slug).in_(slugs))
    agents = {agent.slug: agent.id for agent in await found.all()}
    for seen in data.files:
        slug = seen.path.partition("/")[0]
        told: dict[str, Any] = {"event": seen.event.value, "path": seen.path, "agent": slug, "size": seen.size}
        ctx.emit(FileChanged(crew_id=data.crew_id, timestamp=datetime.now(UTC), **told))
        if seen.event is not FileChange.file_deleted:
            ctx.record(
                JournalEntry(
                    entry_type="file.written",
                    actor_type=JournalActor.agent,
                    actor_id=agents.get(slug),
                    agent_id=agents.get(slug),
                    crew_id=data.crew_id,
                    summary=f"{slug} has written {seen.path}",
                    payload={"path": seen.path, "op": seen.event.removeprefix("file_"), "size": seen.size},
                )
            )
