"""Imports of documents into the memory of an agent or a crew: each is written, rejected or failed by itself."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import Field

from models import bounds
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.memory import MemoryTier
from resolvers.kernel import (
    Absent,
    Action,
    Code,
    Context,
    Input,
    Output,
    Text,
    at_most,
    command,
    invalid,
)
from resolvers.oversight.memory.exporting import DocumentScope, OfMemory
from resolvers.oversight.memory.judging import secrets_in, threat_in
from resolvers.oversight.memory.owners import owner_named
from resolvers.rules.memory_files import PERSONA_FILE, MemoryOwner, cap_of, fault_of, tier_of
from resolvers.rules.memory_writing import MemoryWrite, write_memories

MOST_DOCUMENTS: Final = 500
MOST_BODY: Final = 32 << 20
"""Bytes of a request."""
LONGEST_BODY: Final = bounds.REPLY
LONGEST_PATH: Final = 600


class ImportedDocument(Input):
    """A file of a memory. Its tier follows from the path when it is exported; title, tags and sources are not kept."""

    path: Annotated[str, Field(strict=True, max_length=LONGEST_PATH)]
    tier: MemoryTier
    scope: DocumentScope | None = None
    title: Text | None = None
    tags: Annotated[list[Text], at_most(bounds.ENTRIES)] = Field(default_factory=list)
    sources: Annotated[list[Annotated[str, Field(max_length=bounds.URL)]], at_most(bounds.ENTRIES)] = Field(
        default_factory=list
    )
    body: Annotated[str, Field(strict=True, max_length=LONGEST_BODY)]


class ImportMemory(OfMemory):
    """At most 500 documents."""

    documents: Annotated[list[ImportedDocument], at_most(MOST_DOCUMENTS), Field(min_length=1)]


class RejectedDocument(Output):
    """A document whose content is refused. `kind` is `prompt_injection`, with the category in `pattern`, `scrubber` for
    secrets, or `cap` for a size.
    """

    path: str
    kind: str
    pattern: Annotated[str | None, Absent()] = None
    detail: Annotated[dict[str, Any] | None, Absent()] = None


class FailedDocument(Output):
    """A document that was not written, and the reason."""

    path: str
    reason: str


class MemoryImported(Output):
    """The outcome of each document."""

    written: list[str]
    rejected: list[RejectedDocument]
    failed: list[FailedDocument]


@command("memory.import", Action.MANAGE, audit="memory.imported", errors=(Code.NOT_FOUND,), late=True)
async def import_memory(ctx: Context, data: ImportMemory) -> MemoryImported:
    """Import documents into a memory.

    Each document replaces one file; it is written, rejected or failed by itself. Allowed are AGENT.md and CREW.md (4000
    bytes), PERSONA.md (1500), pins.md (8000), daily/<name>.md (30000) and peers/<name>.md (1500), and for a crew
    <slug>/topics/pins.md (8000). Documents with secrets or with instructions to agents are rejected. PERSONA.md becomes
    the persona.
    """
    if any(document.tier is MemoryTier.persona for document in data.documents):
        raise invalid("documents", "unknown tier persona")
    owner, crew, agent = await owner_named(ctx, data.crew_id, data.agent_slug)
    answer, accepted = await asyncio.to_thread(_judged, owner, data.documents)
    writes = [_write(owner, document) for document in accepted]
    done = await write_memories(ctx, writes, written_by=ctx.user_id)
    for write, document in zip(writes, accepted, strict=True):
        if write.path in done.failed:
            answer.failed.append(FailedDocument(path=document.path, reason=done.failed[write.path]))
            continue
        answer.written.append(document.path)
    personas = [document.body for document in accepted if document.path == PERSONA_FILE]
    if personas:
        await _set_persona(ctx, agent or crew, personas[-1])
    told: dict[str, Any] = {name: len(getattr(answer, name)) for name in MemoryImported.model_fields}
    ctx.audit("MEMORY", owner.id, crew_id=crew.id, agent_slug=data.agent_slug, **told)
    return answer


async def _set_persona(ctx: Context, row: Crew | Agent, text: str) -> None:
    changed: dict[str, Any] = {"persona": text if text.strip() else None}
    await ctx.update(type(row), row.id, **changed)


def _write(owner: MemoryOwner, document: ImportedDocument) -> MemoryWrite:
    content, persona = document.body.encode(errors="replace"), document.path == PERSONA_FILE
    tier = MemoryTier.persona if persona else tier_of(document.path)
    return MemoryWrite(owner, document.path, tier, content, kept=persona)


def _judged(owner: MemoryOwner, documents: Sequence[ImportedDocument]) -> tuple[MemoryImported, list[ImportedDocument]]:
    """The refusals, and the other documents. Takes a second for the largest import: in a thread."""
    answer, accepted = MemoryImported(written=[], rejected=[], failed=[]), list[ImportedDocument]()
    for document in documents:
        fault = fault_of(document.path, owner)
        if fault is not None:
            answer.failed.append(FailedDocument(path=document.path, reason=fault))
        elif (rejected := _rejected(owner, document)) is not None:
            answer.rejected.append(rejected)
        else:
            accepted.append(document)
    return answer, accepted


def _rejected(owner: MemoryOwner, document: ImportedDocument) -> RejectedDocument | None:
    size, cap = len(document.body.encode(errors="replace")), cap_of(document.path, owner.crew_slug) or 0
    if size > cap:
        detail = {"bytes_attempted": size, "bytes_limit": cap}
        return RejectedDocument(path=document.path, kind="cap", detail=detail)
    threat = threat_in(document.body)
    if threat is not None:
        return RejectedDocument(path=document.path, kind="prompt_injection", pattern=threat.value)
    hits = secrets_in(document.body)
    return RejectedDocument(path=document.path, kind="scrubber", detail={"hits": hits}) if hits else None
