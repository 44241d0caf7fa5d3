"""The search for memories: words in memory files, and in entries of the journal, side by side."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field
from sqlalchemy import Text as SQLText
from sqlalchemy import cast, func, or_, select
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlmodel import col

from models import bounds
from models.oversight.journal import JournalActor, JournalEntry
from models.staff.agents import Agent
from models.staff.crews import Crew, CrewMember
from models.staff.memory import MemoryText
from resolvers.kernel import (
    NO_SURFACE,
    Absent,
    Action,
    Auth,
    Caller,
    Code,
    Context,
    Id,
    Input,
    Int,
    Output,
    Text,
    at_most,
    command,
    forbidden,
    invalid,
    procedure,
)
from resolvers.oversight.memory.recalling import EMBEDDED, entries, is_recalled

DEFAULT, MOST = 10, 50
K: Final = 60
"""The constant of reciprocal ranks: the first of an engine has 1/61 (contract: memory.search_hybrid)."""
MOST_TEXTS: Final = 2_000
"""Files that are searched: those that were changed last."""
MOST_WORDS: Final = 6
SNIPPET: Final = 240
SERVICE: Final = "memory"
NO_MEMBER: Final = "Not a member of the requested crew"
NO_AGENT: Final = "An acting agent of this workspace is required"


class SearchScope(StrEnum):
    """The entries of the journal that are searched; `everything` is sent as an empty text."""

    everything = ""
    own = "own"
    crew_shared = "crew_shared"


class HitSource(StrEnum):
    """The engine that has found a hit: files of memories, or entries of the journal."""

    fts = "fts"
    episodic = "episodic"


class FileHit(Output):
    """Lines of a memory file that have words of the search. `file` is the path of the memory."""

    file: str
    line_start: int
    line_end: int
    snippet: str
    score: float


class EpisodicHit(Output):
    """An entry of the journal. `age` is in nanoseconds."""

    entry_id: str = Field(alias="EntryID")
    score: float = Field(alias="Score")
    age: int = Field(alias="Age")
    summary: str = Field(alias="Summary")
    entry_type: str = Field(alias="EntryType")
    agent_id: str = Field(alias="AgentID")
    payload: Annotated[dict[str, Any] | None, Absent()] = Field(default=None, alias="Payload")


class MemoryHit(Output):
    """A hit. `score` is 1 / (60 + rank within its engine)."""

    source: HitSource
    score: float
    fts: Annotated[FileHit | None, Absent()] = None
    episodic: Annotated[EpisodicHit | None, Absent()] = None


class MemoryFound(Output):
    """The hits of both engines by score."""

    query: str
    count: int
    hits: list[MemoryHit]


def _limit(raw: Any) -> Any:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return DEFAULT if raw <= 0 else min(raw, MOST)
    return raw


def _known(raw: Any) -> Any:
    return "" if raw is None else raw


class SearchMemory(Input):
    """`crew_id` is required for the scope `crew_shared`. A limit of at most 0 means 10."""

    query: Annotated[str, Field(strict=True, min_length=1, max_length=bounds.LINE * 5)]
    limit: Annotated[Int, Field(ge=1, le=MOST), BeforeValidator(_limit)] = DEFAULT
    scope: Annotated[SearchScope, BeforeValidator(_known)] = SearchScope.everything
    crew_id: Id = ""


class SearchMemoryAsAgent(SearchMemory):
    """`acting_agent_slug` is the header `X-Acting-Agent-Slug`."""

    acting_agent_slug: Text = ""


@procedure("memory.search_hybrid", Action.READ, errors=(Code.FORBIDDEN,))
async def search_memory(ctx: Context, data: SearchMemory) -> MemoryFound:
    """Search memories.

    Searches the 2,000 memory files of the workspace that were changed last, and with the scope `crew_shared` the
    journal of a crew that the caller is a member of. A hit has at least one word of the query. A search with hits is
    recorded in the journal.
    """
    _check(data)
    if data.scope is SearchScope.crew_shared:
        same = (col(CrewMember.crew_id) == data.crew_id, col(CrewMember.user_id) == ctx.user_id)
        if await ctx.select(CrewMember, *same).first() is None:
            raise forbidden(NO_MEMBER)
    crews = [data.crew_id] if data.scope is SearchScope.crew_shared else []
    return await _found(ctx, data, crew_ids=crews)


@procedure("internal.memory.search_hybrid", Action.NONE, auth=Auth.INTERNAL, errors=(Code.FORBIDDEN,))
async def search_memory_as_agent(ctx: Context, data: SearchMemoryAsAgent) -> MemoryFound:
    """Search memories (for agents' runtimes).

    Searches memory files of the workspace, and in the journal the agent's own entries, or the entries of its crew.
    """
    slug = data.acting_agent_slug
    agent = await ctx.select(Agent, col(Agent.slug) == slug).first() if slug and ctx.workspace_id else None
    if agent is None:
        raise forbidden(NO_AGENT)
    _check(data)
    if data.crew_id and data.crew_id != agent.crew_id:
        raise forbidden(NO_MEMBER)
    if data.scope is SearchScope.crew_shared:
        return await _found(ctx, data, crew_ids=[data.crew_id], agent=agent)
    return await _found(ctx, data, agent_ids=[agent.id], agent=agent)


def _check(data: SearchMemory) -> None:
    if not data.query.strip():
        raise invalid("query", "is required")
    if data.scope is SearchScope.crew_shared and not data.crew_id:
        raise invalid("crew_id", "is required for scope crew_shared")


async def _found(
    ctx: Context,
    data: SearchMemory,
    *,
    crew_ids: Sequence[str] = (),
    agent_ids: Sequence[str] = (),
    agent: Agent | None = None,
) -> MemoryFound:
    hits = [*await _files(ctx, data)]
    if crew_ids or agent_ids:
        # an agent's runtime has no right of its own to the journal
        reader = ctx.caller if agent is None else Caller.service(SERVICE, ctx.workspace_id or "")
        hits += await _episodes(ctx, reader, data, crew_ids, agent_ids)
    hits = sorted(hits, key=lambda hit: -hit.score)[: data.limit]
    if hits:
        told = {"query": data.query, "scope": data.scope.value, "places": [_id(hit) for hit in hits]}
        who = {"user_id": ctx.user_id} if agent is None else {"agent_id": agent.id, "crew_id": agent.crew_id or ""}
        await note_search(Caller.service(SERVICE, ctx.workspace_id or ""), told | who)
    return MemoryFound(query=data.query, count=len(hits), hits=hits)


def _id(hit: MemoryHit) -> str:
    if hit.fts is not None:
        return f"{hit.fts.file}:{hit.fts.line_start}"
    return "" if hit.episodic is None else hit.episodic.entry_id


async def _files(ctx: Context, data: SearchMemory) -> list[MemoryHit]:
    texts = ctx.table(MemoryText).c
    crews, agents = ctx.table(Crew).c, ctx.table(Agent).c
    of_agent = or_(texts.agent_id.is_(None), texts.agent_id.in_(select(agents.id)))
    of_live = (texts.crew_id.in_(select(crews.id)), of_agent)
    ordered = select(*texts).where(*of_live).order_by(texts.updated_at.desc(), texts.id.desc())
    newest = ordered.limit(MOST_TEXTS).subquery().c
    # any of the words: & stands between words only, because words have none
    plain = cast(func.plainto_tsquery("simple", data.query), SQLText)
    query = cast(func.replace(plain, "&", "|"), TSQUERY)
    rank = func.ts_rank(newest.words, query, 1)
    found = await ctx.report(
        select(newest.path, newest.content, rank.label("score"))
        .where(newest.words.op("@@")(query))
        .order_by(rank.desc(), newest.path)
        .limit(data.limit)
    )
    words = _words(data.query)
    return [
        MemoryHit(source=HitSource.fts, score=1 / (K + place), fts=_lines(row, words))
        for place, row in enumerate(found, 1)
    ]


def _words(query: str) -> list[str]:
    """The longest words of the query, each once."""
    found = dict.fromkeys(word for word in query.casefold().split() if word.strip('"().,:;!?'))
    cleaned = dict.fromkeys(word.strip('"().,:;!?') for word in found)
    return sorted(cleaned, key=len, reverse=True)[:MOST_WORDS]


def _lines(row: Any, words: Sequence[str]) -> FileHit:
    """The line with the most words of the query, and its neighbours."""
    lines = row["content"].splitlines() or [""]
    counted = [sum(word in line.casefold() for word in words) for line in lines]
    best = max(range(len(lines)), key=lambda n: (counted[n], -n))
    first, last = max(0, best - 1), min(len(lines) - 1, best + 1)
    snippet = bounds.cut("\n".join(line[:SNIPPET] for line in lines[first : last + 1]), 3 * SNIPPET)
    return FileHit(
        file=row["path"], line_start=first + 1, line_end=last + 1, snippet=snippet, score=float(row["score"])
    )


async def _episodes(
    ctx: Context, reader: Caller, data: SearchMemory, crew_ids: Sequence[str], agent_ids: Sequence[str]
) -> list[MemoryHit]:
    """The entries with the most words of the query first, and of these the newest."""
    filters = {"crew_ids": list(crew_ids) or None, "agent_ids": list(agent_ids) or None, "entry_type": list(EMBEDDED)}
    counted, seen = dict[str, int](), dict[str, dict[str, Any]]()
    for word in _words(data.query):
        for entry in await entries(reader, ctx.workspace_id, q=word, limit=MOST, **filters):
            if is_recalled(entry):
                seen[entry["id"]] = entry
                counted[entry["id"]] = counted.get(entry["id"], 0) + 1
    best = sorted(seen, key=lambda id: (counted[id], id), reverse=True)[: data.limit]
    now = (await ctx.now()).astimezone(UTC)
    return [
        MemoryHit(
            source=HitSource.episodic,
            score=1 / (K + place),
            episodic=_episode(seen[id], now, counted[id] / len(_words(data.query))),
        )
        for place, id in enumerate(best, 1)
    ]


def _episode(entry: dict[str, Any], now: datetime, score: float) -> EpisodicHit:
    age = max(0.0, (now - datetime.fromisoformat(entry["ts"])).total_seconds())
    return EpisodicHit(
        EntryID=entry["id"],
        Score=score,
        Age=int(age * 1_000_000_000),
        Summary=entry["summary"],
        EntryType=entry["entry_type"],
        AgentID=entry["agent_id"] or "",
        Payload=entry["payload"],
    )


class NoteSearch(Input):
    """A search with hits, by a user or an agent."""

    query: Annotated[str, Field(strict=True, max_length=bounds.LINE * 5)]
    scope: Text
    places: Annotated[list[Annotated[str, Field(max_length=1_000)]], at_most(MOST)]
    user_id: Id = ""
    agent_id: Id = ""
    crew_id: Id = ""


@command("memory.note_search", Action.UPDATE, surfaces=NO_SURFACE)
async def note_search(ctx: Context, data: NoteSearch) -> None:
    """Record a search of memories.

    In the journal: how often memories are recalled, and by how many different searches, decides about rules.
    """
    by_agent = bool(data.agent_id)
    ctx.record(
        JournalEntry(
            entry_type="memory.searched",
            actor_type=JournalActor.agent if by_agent else JournalActor.user,
            actor_id=data.agent_id or data.user_id or None,
            agent_id=data.agent_id or None,
            crew_id=data.crew_id or None,
            summary=f"Memory searched: {len(data.places)} hits",
            payload={
                "query": data.query,
                "scope": data.scope,
                "hit_count": len(data.places),
                "hit_chunk_ids": data.places,
            },
        )
    )
