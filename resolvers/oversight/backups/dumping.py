"""The content of a bundle of a workspace or a crew: its rows, of one snapshot, its keys, and its files."""

import asyncio
import os
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from sqlalchemy import and_, case, func, literal, or_, select, true, union
from sqlmodel import SQLModel

from models import migrations
from models.base import place_in, table_of
from models.kernel import DataKey
from models.people.auth import User, is_person
from models.people.workspaces import Membership, Workspace
from models.personal_data import AUTHOR, BY, WHOSE, of_column
from models.resources.skills import AgentSkill, Skill
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.issues import IssueAttachment
from models.work.missions import Mission
from resolvers.instance.bundles.files import Counted, add_files
from resolvers.instance.bundles.writing import Payload
from resolvers.kernel import instance
from resolvers.kernel.store.copying import Snapshot
from resolvers.oversight.backups.crews import order_of_crew, people_of_crew, rows_of_crew
from resolvers.oversight.backups.tables import carried, columns_of, names_person, order
from resolvers.people.workspaces.files import ISSUE_FILES

HEAD: Final = "head.json"
KEYS: Final = "keys.json"
PORTION: Final = 1 << 20  # bytes of rows that are gathered for an entry
ARCHIVES: Final = ("gdpr",)
HOMES: Final = ("agents", "*", "home")
QUICK: Final = "quick"


@dataclass(slots=True)
class Dumped:
    """The parts that were written: rows by table, files, and the rows that the manifest describes."""

    workspace: Any = None
    crews: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, int] = field(default_factory=dict)
    files: Counted = field(default_factory=Counted)


@dataclass(frozen=True, slots=True)
class DumpedPlace:
    """A workspace that is dumped, or one crew of it."""

    workspace_id: str
    crew_id: str | None = None

    @property
    def tables(self) -> tuple[type[SQLModel], ...]:
        return order() if self.crew_id is None else order_of_crew()

    @property
    def people(self) -> Any:
        if self.crew_id is None:
            return _people_of(self.workspace_id)
        return people_of_crew(self.workspace_id, self.crew_id)


async def dump(snapshot: Snapshot, payload: Payload, source: DumpedPlace, level: str) -> Dumped:
    made, workspace_id = Dumped(), source.workspace_id
    await _describe(snapshot, source, made)
    tables = {str(table_of(model).name): list(columns_of(model)) for model in source.tables}
    head = {"workspace_id": workspace_id, "schema": migrations.applied(), "tables": tables}
    if source.crew_id is not None:
        head["crew_id"] = source.crew_id
    await asyncio.to_thread(payload.add, HEAD, orjson.dumps(head))
    await asyncio.to_thread(payload.add, KEYS, orjson.dumps(await _keys(snapshot, workspace_id)))
    for model in source.tables:
        made.tables[str(table_of(model).name)] = await _dump_table(snapshot, payload, model, source)
    await _dump_files(payload, source, level, made, await _folders(snapshot, source))
    return made


async def _dump_table(snapshot: Snapshot, payload: Payload, model: type[SQLModel], source: DumpedPlace) -> int:
    gathered, size, number, name = list[bytes](), 0, 0, table_of(model).name

    async def take(lines: bytes) -> None:
        nonlocal size, number
        gathered.append(bytes(lines))
        size += len(lines)
        if size >= PORTION:
            await asyncio.to_thread(payload.add, f"db/{name}/{number}", b"".join(gathered))
            gathered.clear()
            size, number = 0, number + 1

    rows = await snapshot.copy(_rows_of(model, source), take)
    if gathered:
        await asyncio.to_thread(payload.add, f"db/{name}/{number}", b"".join(gathered))
    return rows


def _rows_of(model: type[SQLModel], source: DumpedPlace) -> Any:
    if source.crew_id is not None and model is not User:
        return rows_of_crew(model, source.workspace_id, source.crew_id)
    table = table_of(model)
    columns: list[Any] = [table.c[name] for name in columns_of(model)]
    if model is User:
        columns = [_address(source.workspace_id) if column.name == "email" else column for column in columns]
    return select(*columns).where(_which(model, source))


def _which(model: type[SQLModel], source: DumpedPlace) -> Any:
    table, workspace_id = table_of(model), source.workspace_id
    if model is Workspace:
        return table.c.id == workspace_id
    if model is User:
        return and_(table.c.id.in_(source.people), is_person(table.c.id))
    if model is Skill:
        taught = table_of(AgentSkill).c
        had = select(taught.skill_id).where(taught.workspace_id == workspace_id)
        return or_(table.c.made_in == workspace_id, table.c.id.in_(had))
    place = place_in(table)
    assert place is not None
    return table.c[place] == workspace_id


def _people_of(workspace_id: str) -> Any:
    """Everybody whom a row of the bundle names."""
    found = []
    for model in carried():
        table, place = table_of(model), place_in(table_of(model))
        assert place is not None
        for column in table.c:
            if names_person(column) or of_column(column) in (WHOSE, BY, AUTHOR):
                found.append(select(column).where(table.c[place] == workspace_id))
    return union(*found)


def _address(workspace_id: str) -> Any:
    """The address of those who have accepted the membership; of others a workspace knows none (see ADR 118)."""
    member, users = table_of(Membership).c, table_of(User).c
    accepted = select(member.id).where(
        member.workspace_id == workspace_id, member.user_id == users.id, member.accepted_at.is_not(None)
    )
    return case((accepted.exists(), users.email), else_=literal("")).label("email")


async def _keys(snapshot: Snapshot, workspace_id: str) -> list[dict[str, Any]]:
    """As they are stored: only who has the key that wraps them can use them."""
    key = table_of(DataKey).c
    found = await snapshot.report(
        select(key.id, key.wrapped_by, key.wrapped, key.retired_at).where(key.workspace_id == workspace_id)
    )
    return [
        {
            "id": row["id"],
            "wrapped_by": row["wrapped_by"],
            "wrapped": row["wrapped"].hex(),
            "retired": row["retired_at"] is not None,
        }
        for row in found
    ]


async def _describe(snapshot: Snapshot, source: DumpedPlace, made: Dumped) -> None:
    place, workspace_id = table_of(Workspace).c, source.workspace_id
    (made.workspace,) = await snapshot.report(select(place.id, place.slug, place.name).where(place.id == workspace_id))
    crew, agent = table_of(Crew).c, table_of(Agent).c
    agents = select(func.count()).where(
        agent.workspace_id == workspace_id, agent.crew_id == crew.id, agent.deleted_at.is_(None)
    )
    found = await snapshot.report(
        select(
            crew.id,
            crew.slug,
            crew.name,
            crew.runtime_image,
            crew.cached_image.label("cached_image_digest"),
            crew.config_hash,
            crew.devcontainer_config.is_not(None).label("devcontainer_config_included"),
            crew.mise_config.is_not(None).label("mise_config_included"),
            agents.scalar_subquery().label("agent_count"),
        )
        .where(crew.workspace_id == workspace_id, crew.deleted_at.is_(None))
        .where(true() if source.crew_id is None else crew.id == source.crew_id)
        .order_by(crew.created_at, crew.id)
    )
    made.crews = [dict(row) | {"workspace_included": False, "memory_included": False} for row in found]


async def _folders(snapshot: Snapshot, source: DumpedPlace) -> frozenset[tuple[str, ...]] | None:
    """The folders of a crew, of its agents and of its issues; None for all of the workspace."""
    if source.crew_id is None:
        return None
    agent = table_of(Agent).c
    agents = select(agent.id).where(agent.workspace_id == source.workspace_id, agent.crew_id == source.crew_id)
    mission, file = table_of(Mission).c, table_of(IssueAttachment).c
    of_issues = (
        select(file.sha256)
        .where(file.workspace_id == source.workspace_id, mission.workspace_id == file.workspace_id)
        .where(mission.id == file.mission_id, mission.crew_id == source.crew_id)
    )
    return frozenset(
        {
            ("crews", source.crew_id),
            *(("agents", row[0]) for row in await snapshot.report(agents)),
            *((ISSUE_FILES, row[0]) for row in await snapshot.report(of_issues.distinct())),
        }
    )


async def _dump_files(
    payload: Payload, source: DumpedPlace, level: str, made: Dumped, only: frozenset[tuple[str, ...]] | None
) -> None:
    left_out = {ARCHIVES} | ({HOMES} if level == QUICK else set())
    crews = {crew["id"]: crew for crew in made.crews}

    def add() -> None:
        try:
            base = instance.store.open_base(("workspaces", source.workspace_id))
        except FileNotFoundError:
            return
        try:
            for path in add_files(payload, base, frozenset(left_out), made.files, only=only):
                names = path.split("/")
                if names[0] == "crews" and len(names) > 2 and (crew := crews.get(names[1])) is not None:
                    crew["workspace_included"] = True
                    crew["memory_included"] |= ".memory" in names
        finally:
            os.close(base)

    await asyncio.to_thread(add)
