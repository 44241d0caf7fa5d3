"""The rows and files of a bundle arrive: people and skills are found, keys are wrapped anew, tables are filled."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import func, insert, or_, select
from sqlmodel import SQLModel

from models.base import classes_of_tables, place_in, table_of
from models.kernel import DataKey as DataKeyRow
from models.migrations.grants import granted
from models.oversight.feature_flags import FeatureFlag
from models.people.auth import User
from models.people.workspaces import Membership, Workspace
from models.resources.skills import Skill
from models.staff.runs import Run, RunStatus
from resolvers.instance.bundles.faults import BundleError, BundleFault
from resolvers.instance.bundles.files import BLOBS, FILES, Described, put_file
from resolvers.instance.confined import open_directory, open_file, owner_of_agents_files
from resolvers.instance.data_keys import StoredKey
from resolvers.instance.wrapping import Unwrappable, Wrapped
from resolvers.kernel import Code, Refusal, instance
from resolvers.kernel.store.copying import NULL, Landing
from resolvers.oversight.backups.arriving import NOT_ITS_MANIFEST, ArrivingPayload
from resolvers.oversight.backups.naming import SHARED, shared
from resolvers.oversight.backups.rows import Lines, Passage, fields_of
from resolvers.oversight.backups.tables import LEFT_OUT, NOT_COPIED, carried
from resolvers.people.workspaces.files import ISSUE_FILES
from resolvers.rules.memory_versions import FOLDER as MEMORY

NO_WRAPPING_KEY: Final = (
    "The credentials of the bundle are sealed with a key that this server does not have: add the ENCRYPTION_KEY of the"
    " server that made it to CREWSHIP_ENCRYPTION_KEYS"
)
CLASH: Final = "A row of the bundle ({}) clashes with one of the workspace; nothing was written"
SWITCHES: Final = {"allow_privileged_credentials": False, "reveals_credentials": False}
"""Settings of a workspace that only its owner turns on."""
AT_WORK: Final = "Agents are working in this workspace: stop their runs first"
TRIGGERED: Final = frozenset({"run_tags"})
"""Tables that triggers fill again, and that no trigger empties."""
KEPT: Final = frozenset({"memberships"})
"""Tables that a restore in place of the workspace leaves as they are: people stay members."""
MOST_DESCRIPTION: Final = 64 << 10  # bytes of an entry that describes a file


@dataclass(slots=True)
class Landed:
    """Numbers of rows that were inserted, and the crews that received files."""

    rows: int = 0
    crews: set[str] = field(default_factory=set)
    folders: set[tuple[str, ...]] = field(default_factory=set)
    """Folders of a crew and its agents that were not there: they are removed if the restore fails."""


async def bring_keys(landing: Landing, passage: Passage, keys: list[dict[str, Any]], *, beside: bool) -> None:
    """The data keys of the bundle. In a copy they open its secrets, which a new key seals again, or that of the
    workspace (`beside`); otherwise they are stored, wrapped by the key of this server. Raises BundleError.
    """
    opened, found = {}, []
    for key in keys:
        try:
            wrapped = Wrapped(str(key["wrapped_by"]), bytes.fromhex(key["wrapped"]))
            stored = StoredKey(str(key["id"]), passage.source, wrapped)
            opened[stored.id], made = await instance.vault.data_keys.brought(stored, passage.target)
            found.append((made, bool(key["retired"])))
        except Unwrappable as error:
            raise BundleError(BundleFault.decryption, NO_WRAPPING_KEY) from error
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(BundleFault.invalid_checksum, NOT_ITS_MANIFEST) from error
    passage.keys, passage.vault = opened, instance.vault
    if passage.copies and beside:
        passage.key, found = await instance.vault.data_keys.current(passage.target), []
    elif passage.copies:
        passage.key, made = await instance.vault.data_keys.made_for(passage.target)
        found = [(made, False)]
    table = table_of(DataKeyRow)
    for made, retired in found:
        current = select(table.c.id).where(table.c.workspace_id == passage.target, table.c.retired_at.is_(None))
        there = await landing.report(select(table.c.id).where(table.c.id == made.id))
        if not there:
            old = retired or bool(await landing.report(current))
            row: dict[str, Any] = {"id": made.id, "workspace_id": passage.target, "wrapped_by": made.wrapped.by}
            row |= {"wrapped": made.wrapped.key, "retired_at": func.now() if old else None}
            await landing.report(insert(table).values(**row).returning(table.c.id))


async def land_workspace(landing: Landing, passage: Passage, lines: AsyncIterator[bytes], slug: str | None) -> int:
    """The workspace itself: a new row for a copy; otherwise the row that is there stays."""
    table = table_of(Workspace)
    async for _ in lines:
        pass
    if slug is None:
        return 0
    row = {"id": passage.target, "slug": slug, "name": slug, "version": 1} | SWITCHES
    if await landing.report(select(table.c.id).where(table.c.slug == slug)):
        raise Refusal(Code.CONFLICT, "A workspace of this slug exists already", taken=("slug",))
    await landing.report(insert(table).values(**row).returning(table.c.id))
    return 1


async def land_people(landing: Landing, passage: Passage, columns: list[str], lines: AsyncIterator[bytes]) -> int:
    """People are found by id, then by address; others get an account without a way to sign in, but by a reset of their
    password. Who has no address in the bundle has no account in the end.
    """
    table, made = table_of(User), 0
    async for content in lines:
        for line in fields_of(content, len(columns)):
            person = dict(zip(columns, line, strict=True))
            id, email = person["id"], person["email"].decode()
            same = [table.c.id == id.decode()] + ([func.lower(table.c.email) == email.lower()] if email else [])
            found = await landing.report(select(table.c.id).where(or_(*same)).order_by(table.c.id != id.decode()))
            if found:
                passage.people[id] = found[0][0].encode()
            elif email and "\\" not in email:
                name = None if person["full_name"] == NULL else person["full_name"].decode()
                row: dict[str, Any] = {"id": id.decode(), "email": email, "founded_in": passage.target}
                row |= {"full_name": None if name is None or "\\" in name else name}
                row |= {"onboarding_completed": False, "failed_login_count": 0, "passkey_required": False}
                await landing.report(insert(table).values(**row).returning(table.c.id))
                passage.people[id] = id
                made += 1
    return made


async def find_members(landing: Landing, passage: Passage, columns: list[str], lines: AsyncIterator[bytes]) -> None:
    """The people of a crew, by id, then by address: members of the workspace alone. It makes no account."""
    table, member = table_of(User), table_of(Membership).c
    members = select(member.user_id).where(member.workspace_id == passage.target, member.accepted_at.is_not(None))
    here = or_(table.c.id.in_(members), table.c.id == passage.caller)
    async for content in lines:
        for line in fields_of(content, len(columns)):
            person = dict(zip(columns, line, strict=True))
            id, email = person["id"], person["email"].decode()
            same = [table.c.id == id.decode()] + ([func.lower(table.c.email) == email.lower()] if email else [])
            found = await landing.report(select(table.c.id).where(or_(*same), here).order_by(table.c.id != id.decode()))
            if found:
                passage.people[id] = found[0][0].encode()


async def land_skills(landing: Landing, passage: Passage, columns: list[str], lines: AsyncIterator[bytes]) -> int:
    """Skills of the catalog are found by id, slug or name; others are added, as made in the workspace."""
    table, wanted = table_of(Skill), dict[bytes, tuple[str, str]]()
    owner, slug, name = columns.index("made_in"), columns.index("slug"), columns.index("name_key")

    async def owned() -> AsyncIterator[bytes]:
        async for content in lines:
            made = []
            for fields in fields_of(content, len(columns)):
                wanted[fields[columns.index("id")]] = (fields[slug].decode(), fields[name].decode())
                fields[owner] = passage.target.encode()
                made.append(b"\t".join(fields) + b"\n")
            yield b"".join(made)

    added = await landing.land(Skill, columns, owned())
    for id, (slug_of_it, name_of_it) in wanted.items():
        same = or_(table.c.id == id.decode(), table.c.slug == slug_of_it, table.c.name_key == name_of_it)
        found = await landing.report(select(table.c.id).where(same).order_by(table.c.id != id.decode()))
        if found:
            passage.skills[id] = found[0][0].encode()
    return added


async def land_tables(
    landing: Landing, passage: Passage, tables: dict[str, list[str]], payload: ArrivingPayload, landed: Landed
) -> None:
    flags = table_of(FeatureFlag)
    passage.flags = frozenset(row[0].encode() for row in await landing.report(select(flags.c.id)))
    for model in carried():
        name = str(table_of(model).name)
        if name not in tables:
            continue
        if passage.names is not None:
            landed.rows += await _land_of_crew(landing, passage, model, tables[name], payload)
            continue
        lines = Lines(passage, model, tables[name])
        if passage.copies and name in NOT_COPIED:
            async for _ in payload.rows_of(name, lambda content: content):
                pass
            continue
        landed.rows += await landing.land(model, tables[name], payload.rows_of(name, lines.of))


async def _land_of_crew(
    landing: Landing, passage: Passage, model: type[SQLModel], columns: list[str], payload: ArrivingPayload
) -> int:
    """New rows are inserted all, or the restore is refused."""
    name, lines, expected = str(table_of(model).name), Lines(passage, model, columns), 0
    if name in SHARED:
        given = shared(landing, passage.target, name, columns, payload.rows_of(name, bytes), passage.same_as)
    else:
        given = payload.rows_of(name, bytes)

    async def changed() -> AsyncIterator[bytes]:
        nonlocal expected
        async for content in given:
            made = await asyncio.to_thread(lines.of, content)
            expected += made.count(b"\n")
            yield made

    made = await landing.land(model, columns, changed())
    if passage.copies and made != expected:
        raise Refusal(Code.CONFLICT, CLASH.format(name))
    return made


async def join(landing: Landing, passage: Passage) -> None:
    """The caller is a member of what was restored."""
    table = table_of(Membership)
    there = (table.c.workspace_id == passage.target, table.c.user_id == passage.caller)
    if not await landing.report(select(table.c.id).where(*there)):
        row = Membership(user_id=passage.caller, role=passage.role, workspace_id=passage.target)
        values = {"id": row.id, "user_id": row.user_id, "role": row.role.value, "workspace_id": row.workspace_id}
        await landing.report(insert(table).values(**values, accepted_at=func.now()).returning(table.c.id))


async def empty(landing: Landing, workspace_id: str) -> None:
    """Removes the rows that a restore brings back, and what belongs to them. CONFLICT while agents work: what they
    write would have no place.
    """
    run = table_of(Run)
    at_work = (run.c.workspace_id == workspace_id, run.c.status == RunStatus.RUNNING.value)
    if await landing.report(select(run.c.id).where(*at_work).limit(1)):
        raise Refusal(Code.CONFLICT, AT_WORK)
    beside = [model for model in _left_out() if _refers(model) or table_of(model).name in TRIGGERED]
    for model in (*beside, *reversed(carried())):
        table = table_of(model)
        if table.name not in KEPT and "DELETE" in granted(str(table.name)).rights:
            await landing.remove(model, table.c[str(place_in(table))] == workspace_id)


def _left_out() -> list[type[SQLModel]]:
    return [model for model in classes_of_tables() if table_of(model).name in LEFT_OUT]


def _refers(model: type[SQLModel]) -> bool:
    """Returns true if rows of a table that no bundle has refer to rows that one has."""
    names = {table_of(each).name for each in carried()}
    return any(key.referred_table.name in names for key in table_of(model).foreign_key_constraints)


async def land_files(payload: ArrivingPayload, passage: Passage, landed: Landed, *, replace: bool) -> None:
    """Each file is whole or not there. In place of the workspace files are replaced, otherwise those that are there
    stay.
    """
    base = instance.store.open_base(("workspaces", passage.target), make=True)
    first = dict[str, tuple[str, ...]]()
    try:
        while (entry := await payload.look()) is not None:
            if not entry[0].startswith(FILES):
                raise BundleError(BundleFault.invalid_checksum, NOT_ITS_MANIFEST)
            file = Described.read(await payload.read(MOST_DESCRIPTION))
            file = Described(passage.path(file.names), file.size, file.mode, file.sha256)
            if (
                passage.names is not None
                and file.names[:2] not in landed.folders
                and not _is_there(base, file.names[:2])
            ):
                landed.folders.add(file.names[:2])
            owner = None if file.names[0] in (MEMORY, ISSUE_FILES) else owner_of_agents_files()
            content = await payload.look()
            if content is not None and content[0] == f"{BLOBS}{file.sha256}":
                payload.take()
                await asyncio.to_thread(put_file, base, file, content[2], owner, replace=replace)
                first.setdefault(file.sha256, file.names)
            elif (known := first.get(file.sha256)) is not None:
                await asyncio.to_thread(_put_again, base, file, known, owner, replace)
            else:
                raise BundleError(BundleFault.invalid_checksum, NOT_ITS_MANIFEST)
            if file.names[0] == "crews" and len(file.names) > 1:
                landed.crews.add(file.names[1])
    finally:
        os.close(base)


def _is_there(base: int, names: tuple[str, ...]) -> bool:
    try:
        os.close(open_directory(base, names))
    except FileNotFoundError:
        return False
    return True


def _put_again(base: int, file: Described, known: tuple[str, ...], owner: int | None, replace: bool) -> None:
    parent = open_directory(base, known[:-1])
    try:
        with os.fdopen(open_file(parent, known[-1]), "rb") as content:
            put_file(base, file, content, owner, replace=replace)
    finally:
        os.close(parent)
