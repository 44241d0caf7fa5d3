"""Reads of the journal: pages, one entry, counts, and the names that readers need."""

from typing import Any

from sqlalchemy import Integer, cast, func, select, true
from sqlalchemy import Text as SQLText
from sqlmodel import SQLModel

from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.missions import Mission
from resolvers.kernel import (
    EVERYONE,
    NO_SURFACE,
    Action,
    Branch,
    ById,
    Code,
    Context,
    NoInput,
    Output,
    Page,
    QueryScope,
    Row,
    View,
    constant,
    graph,
    procedure,
    query,
)
from resolvers.oversight.journal.entries import JournalEntryView, entries_of
from resolvers.oversight.journal.filters import FilterJournal, FollowJournal, JournalAsSeen, ListJournal, asked

MISSING = "Journal entry not found"
NEWEST_FIRST = ("-at", "-id")
MOST_NAMES = 1000


class JournalCount(View):
    """The number of matching entries."""

    total: int


graph(JournalCount, gate=Action.READ, scope="workspace:read", visible=EVERYONE)


@query("journal.list", Action.READ)
def list_journal(scope: QueryScope, data: ListJournal) -> Page[JournalEntryView]:
    """List journal entries.

    Lists actions of agents, users and the service, newest first. Entries of the audit log have `metadata` for
    roles that can list all rows of the kind, and for readers of the log. A page may have fewer entries than
    requested and still have a cursor: rare entries are searched page by page.
    """
    return _found(scope, asked(scope, data), data)


@query("journal.follow", Action.READ, surfaces=NO_SURFACE)
def follow_journal(scope: QueryScope, data: FollowJournal) -> Page[JournalEntryView]:
    """List journal entries that a stream has not shown yet.

    Those behind an entry, or those that became visible since a transaction.
    """
    xid, entry = data.xid.__clause_element__(), data.entry.__clause_element__()  # type: ignore[union-attr]
    line = func.journal_named(scope.workspace_id.__clause_element__(), entry).table_valued("at", "id", name="seen")
    at = select(cast(line.c.at, SQLText())).scalar_subquery()
    return _found(scope, asked(scope, data, xid=xid, after_at=at, after_id=entry, to_the_end=true()), data)


@query("journal.list_as_seen", Action.READ, surfaces=NO_SURFACE)
def list_journal_as_seen(scope: QueryScope, data: JournalAsSeen) -> Page[JournalEntryView]:
    """List journal entries in the order in which they appeared.

    Below the oldest transaction that runs, so that nothing appears before what was listed.
    """
    place = scope.workspace_id.__clause_element__()

    def lines(most: Any, behind: Any) -> Any:
        (seen,) = behind or (constant(None, as_="text"),)
        return entries_of(scope, func.journal_as_seen(place, asked(scope, data), seen, cast(most, Integer)))

    branch = Branch(lines, total=func.journal_count(place, asked(scope, data)))
    return scope.merge(JournalEntryView, branch).order_by("seen").page(data)


def _found(scope: QueryScope, which: Any, data: ListJournal) -> Page[JournalEntryView]:
    place = scope.workspace_id.__clause_element__()

    def lines(most: Any, behind: Any) -> Any:
        at, id = behind or (constant(None, as_="timestamptz"), constant(None, as_="text"))
        return entries_of(scope, func.journal_page(place, which, at, id, cast(most, Integer)))

    branch = Branch(lines, total=func.journal_count(place, which), mark="looked")
    return scope.merge(JournalEntryView, branch).order_by(*NEWEST_FIRST).page(data)


@query("journal.get", Action.READ, errors=(Code.NOT_FOUND,))
def get_journal_entry(scope: QueryScope, data: ById) -> Row[JournalEntryView]:
    """Get a journal entry."""
    place, named = scope.workspace_id.__clause_element__(), data.id.__clause_element__()  # type: ignore[attr-defined]
    return scope.view(JournalEntryView, entries_of(scope, func.journal_named(place, named))).one(MISSING)


@query("journal.count", Action.READ)
def count_journal(scope: QueryScope, data: FilterJournal) -> Row[JournalCount]:
    """Count journal entries.

    Takes the filters of the list.
    """
    total = func.journal_count(scope.workspace_id.__clause_element__(), asked(scope, data))
    return scope.view(JournalCount, select(total.label("total"))).one(MISSING)


class CrewName(Output):
    """The display data of a crew."""

    id: str
    name: str
    slug: str
    icon: str | None
    color: str | None


class AgentName(Output):
    """The display data of an agent."""

    id: str
    name: str
    slug: str
    crew_id: str | None
    avatar_seed: str | None
    avatar_style: str | None


class MissionName(Output):
    """The display data of a mission or an issue."""

    id: str
    title: str
    status: str


class JournalNames(Output):
    """At most 1000 of each; crews and agents by name, missions newest first."""

    crews: list[CrewName]
    agents: list[AgentName]
    missions: list[MissionName]


@procedure("journal.lookup", Action.READ, tickets=True)
async def look_up_names(ctx: Context, data: NoInput) -> JournalNames:
    """List names for readers of the journal.

    Lists crews, agents, missions and issues that are not deleted.
    """
    return JournalNames(
        crews=[CrewName(**row) for row in await _names(ctx, Crew, CrewName, "name", "id")],
        agents=[AgentName(**row) for row in await _names(ctx, Agent, AgentName, "name", "id")],
        missions=[MissionName(**row) for row in await _names(ctx, Mission, MissionName, "-created_at", "-id")],
    )


async def _names(ctx: Context, model: type[SQLModel], shown: type[Output], *order: str) -> list[dict[str, Any]]:
    rows = ctx.table(model).c
    keys = [rows[key[1:]].desc() if key.startswith("-") else rows[key] for key in order]
    columns = [rows[name] for name in shown.model_fields]
    return [dict(row) for row in await ctx.report(select(*columns).order_by(*keys).limit(MOST_NAMES))]
