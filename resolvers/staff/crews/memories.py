"""Memories that were written as files: by agents in their runs, and by people as files of a crew. Their versions are
recorded when the runs of the crew have ended, or after the file was saved.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlmodel import col

from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.memory import MemoryText
from resolvers.kernel import NO_SURFACE, Action, Caller, Code, Context, Id, Input, Refusal, command, job, log
from resolvers.rules.memory_files import MEMORY, MOST_READ, PERSONA_FILE, MemoryOwner, tier_of
from resolvers.rules.memory_writing import (
    AUDIT_WATCHER,
    MemoryWrite,
    begin_writing,
    output_of_crew,
    read_memory,
    write_memories,
)

SERVICE: Final = "memory"
MOST_AGENTS: Final = 500
MOST_WRITES: Final = 500
"""Files of one look; the next one takes the others."""
LONGEST: Final = 600
SLACK: Final = timedelta(seconds=2)
"""The times of files are whole seconds, and of another clock."""


class OfCrewMemory(Input):
    """A crew whose memories may have changed."""

    crew_id: Id


RECORD: Final = job("crews.record_memory", OfCrewMemory, unique="{crew_id}", serial=True, attempts=3)


def notice_memory(ctx: Context, crew_id: str, names: Iterable[str]) -> None:
    """Records the memories of a crew if a file that was changed is one."""
    if MEMORY in names:
        ctx.enqueue(RECORD, crew_id=crew_id)


@command("crews.record_memory", Action.UPDATE, errors=(Code.NOT_FOUND,), surfaces=NO_SURFACE, late=True)
async def record_memory(ctx: Context, data: OfCrewMemory) -> None:
    """Record memories that were written as files.

    Adds a version of each file that has changed, and removes texts of files that are gone from the search.
    """
    crew = await ctx.get(Crew, data.crew_id)
    found = ctx.select(Agent, col(Agent.crew_id) == crew.id).order_by(col(Agent.id)).limit(MOST_AGENTS)
    agents = [MemoryOwner(crew.id, crew.slug, agent.id, agent.slug) for agent in await found.all()]
    texts = ctx.table(MemoryText).c
    rows = await ctx.report(select(texts.path, texts.sha256, texts.updated_at).where(texts.crew_id == crew.id))
    known = {row["path"]: row for row in rows}
    folder, seen, writes = output_of_crew(ctx, crew.id), set[str](), list[MemoryWrite]()
    for owner in (MemoryOwner(crew.id, crew.slug), *agents):
        for entry in await folder.walk(owner.folder):
            name = entry.path.removeprefix(f"{owner.folder}/")
            path = f"{owner.prefix}{name}"
            if entry.kind != "file" or not name.endswith(".md") or name == PERSONA_FILE or len(path) > LONGEST:
                continue
            seen.add(path)
            before = known.get(path)
            if before is not None and entry.modified + SLACK < before["updated_at"]:
                continue
            write = await _read(folder, owner, name, entry.path)
            if write is not None and (before is None or before["sha256"] != write.sha) and len(writes) < MOST_WRITES:
                writes.append(write)
    gone = known.keys() - seen
    if writes:
        await write_memories(ctx, writes, written_by=AUDIT_WATCHER)
    elif gone:
        await begin_writing(ctx)
    if gone:
        await ctx.delete_where(MemoryText, col(MemoryText.path).in_(gone))


async def _read(folder: Any, owner: MemoryOwner, name: str, place: str) -> MemoryWrite | None:
    """None for a file that is too large, or gone meanwhile."""
    try:
        content = await read_memory(folder, place, MOST_READ)
    except Refusal:
        return None
    return None if content is None else MemoryWrite(owner, name, tier_of(name), content, kept=True)


async def record_quietly(workspace_id: str, crew_id: str) -> None:
    """For jobs and ends of runs: a crew that was deleted meanwhile has no memories."""
    try:
        await record_memory(Caller.service(SERVICE, workspace_id), {"crew_id": crew_id})
    except Refusal as refusal:
        log.warning("memories were not recorded", crew_id=crew_id, cause=str(refusal))
