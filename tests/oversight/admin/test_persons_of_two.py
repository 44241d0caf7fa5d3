"""What a workspace may do with a person of two: give away its own rows, and neither the other's nor the account's."""

import io
import zipfile
from typing import Any

import asyncpg
import orjson
import pytest

from models.migrations.tables import metadata
from models.people.workspaces import Membership, Role
from models.personal_data import held_in
from resolvers.oversight.admin.archive import ARCHIVE
from runtime.oversight import admin
from tests.generation.estate import Estate, estate  # noqa: F401
from tests.oversight.admin.test_archive import OF_ACCOUNTS, RECEIPTS, Doing
from tests.world import Person, World

pytestmark = pytest.mark.anyio
PLACES = ("workspace_id", "from_workspace_id")


async def make_theirs(database: Any, person: str, places: list[str]) -> set[str]:
    """One row of every table that can hold something of a person, in each of the workspaces, becomes the person's."""
    made = set()
    for table in metadata().sorted_tables:
        kept = held_in(table)
        place = next((name for name in PLACES if name in table.columns), None)
        if place is None or table.name == "idempotency_keys":
            continue
        for key in (*kept.whose, *kept.by):
            for workspace in places:
                own = f'(SELECT ctid FROM "{table.name}" WHERE {place} = $2 ORDER BY ctid DESC LIMIT 1)'
                change = f'UPDATE "{table.name}" SET {key} = $1 WHERE {place} = $2 AND ctid = {own}'
                try:
                    done = await database.execute(change, person, workspace)
                except asyncpg.IntegrityConstraintViolationError:
                    continue  # of another kind of actor, or there is one already
                if done != "UPDATE 0":
                    made.add((table.name, workspace))
    return {name for name, _ in made if {(name, each) for each in places} <= made}


async def archive_of(world: World, by: Person, person: str) -> tuple[dict[str, Any], zipfile.ZipFile]:
    started = await world.rest(by, "POST", f"/api/v1/admin/users/{person}/archive")
    assert started.status_code == 202, started.text
    id = started.json()["id"]
    await admin.archive(Doing(world.workspace.id), ARCHIVE.input(action_id=id))  # type: ignore[arg-type]
    receipt = (await world.rest(by, "GET", f"{RECEIPTS}/{id}")).json()
    answer = await world.rest(by, "GET", f"{RECEIPTS}/{id}/archive")
    assert answer.status_code == 200, receipt
    return receipt, zipfile.ZipFile(io.BytesIO(answer.content))


async def test_an_archive_has_rows_of_its_workspace_alone(estate: Estate) -> None:  # noqa: F811
    world = estate.world
    person = world.people["extra"]
    places = [estate.home.workspace.id, estate.away.workspace.id]
    await world.database.execute("DELETE FROM memberships WHERE user_id = $1", person.user_id)
    await world.add(*[Membership(user_id=person.user_id, workspace_id=each, role=Role.MEMBER) for each in places])
    both = await make_theirs(estate.recorder.superuser, person.user_id, places)
    assert len(both) > 25, both
    assert {"notifications", "audit_logs", "messages"} <= both
    receipt, archive = await archive_of(world, world.owner, person.user_id)
    named = {name.removesuffix(".ndjson"): archive.read(name).decode() for name in archive.namelist()}
    assert not OF_ACCOUNTS & set(named), "sessions, tokens and the security log are the person's alone"
    away = estate.away.ids() - estate.home.ids() - {person.user_id, ""}
    assert len(away) > 50
    assert not [(name, id) for name, text in named.items() for id in (*away, places[1]) if id in text]
    assert orjson.loads(named["users"]) == {"id": person.user_id, "full_name": "Extra Example"}
    assert {name for name in both if receipt["scope"].get(name)} >= both - {"gdpr_actions"}
    await world.database.execute("UPDATE memberships SET accepted_at = now() WHERE user_id = $1", person.user_id)
    _, archive = await archive_of(world, world.owner, person.user_id)
    assert orjson.loads(archive.read("users.ndjson"))["email"] == person.email
