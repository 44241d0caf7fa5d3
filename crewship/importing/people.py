"""People, their tokens and preferences, the workspace itself, its members, and the skills of the catalog."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import func, or_, select

from crewship.importing.fitting import clean
from crewship.importing.landing import Arrival, Filling
from crewship.importing.source import Row, portions
from crewship.importing.tables import Take, constant
from models.base import table_of
from models.people.auth import CliToken, User, is_service_account
from models.people.preferences import Preference
from models.people.workspaces import Membership, Workspace
from models.resources.skills import Skill
from resolvers.resources.skills.skill_md import name_key

HASHES: Final = ("$2a$", "$2b$", "$2y$", "$argon2id$")
ANOTHER: Final = "the account here with the same address is used; its password stays"
ADMIN: Final = "a token of the tier ADMIN belongs to the old server: create another"


def _hash(row: Row) -> Any:
    """Hashes of bcrypt are accepted here, and replaced at the next sign-in."""
    stored = str(row.get("hashed_password") or "")
    return stored if stored.startswith(HASHES) else None


PERSON: Final = Take(
    User,
    "users",
    made={
        "password_hash": _hash,
        "failed_login_count": constant(0),
        "locked_until": constant(None),
        "passkey_required": constant(False),
        "founded_in": constant(None),
    },
    dropped=frozenset({"hashed_password", "last_failed_login_at"}),
)
PLACE: Final = Take(Workspace, "workspaces")
TOKEN: Final = Take(CliToken, "cli_tokens")
PREFERENCE: Final = Take(Preference, "user_preferences", named={"key": "pref_key", "value": "pref_value"})


async def land_people(arrival: Arrival, *, first: bool) -> None:
    """People are found by their ids, and then by their addresses; others get an account with their password. `first`:
    they are reported with the first workspace only.
    """
    filling = Filling(arrival, PERSON, arrival.source.tables["users"])
    if not first:
        filling.silence()
    for portion in portions(arrival.source.rows("users")):
        new, found = list[Row](), await _accounts(arrival, portion)
        for row in portion:
            id, address = _plain(row["id"]), _plain(row["email"]).lower()
            here = id if id in found.values() else found.get(address)
            if here is not None and here != id:
                arrival.people[id] = here
                filling.told.read += 1
                filling.told.there += 1
                filling.told.change(ANOTHER, id)
            elif is_service_account(id):
                filling.told.read += 1
                filling.told.leave_out("its id is one of service accounts", id)
            else:
                new.append(row)
        arrival.people |= {id: id for id in await filling.land(new)}
    if first:
        filling.tell_unplaced()


def _plain(value: Any) -> str:
    """Text that PostgreSQL can compare."""
    return clean("" if value is None else value, "", lambda _: None)


async def _accounts(arrival: Arrival, portion: Sequence[Row]) -> dict[str, str]:
    """The accounts here of these people, by address in lower case."""
    users = table_of(User).c
    addresses = [_plain(row["email"]).lower() for row in portion]
    same = or_(users.id.in_([_plain(row["id"]) for row in portion]), func.lower(users.email).in_(addresses))
    return {row[1]: row[0] for row in await arrival.rows.report(select(users.id, func.lower(users.email)).where(same))}


async def land_what_people_have(arrival: Arrival) -> None:
    """Tokens and preferences, of accounts that have their ids from there: what others have is theirs."""
    source = arrival.source
    for take in (TOKEN, PREFERENCE):
        if take.table not in source.tables:
            continue
        filling = Filling(arrival, take, source.tables[take.table])
        for portion in portions(_of_same_people(arrival, filling, source.rows(take.table))):
            await filling.land(portion)
        filling.tell_unplaced()


def _of_same_people(arrival: Arrival, filling: Filling, rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        reason = None
        if arrival.people.get(str(row.get("user_id"))) != row.get("user_id"):
            reason = "its person has another account here"
        elif row.get("revoked_at"):
            reason = "it was revoked"
        elif row.get("tier", "STANDARD") not in (None, "STANDARD"):
            reason = ADMIN
        if reason is None:
            yield row
        else:
            filling.told.read += 1
            filling.told.leave_out(reason, str(row.get("id")))


async def land_workspace(arrival: Arrival, row: Row) -> bool:
    """False where another workspace here has its slug."""
    filling = Filling(arrival, PLACE, arrival.source.tables["workspaces"])
    there = await filling.land([row])
    filling.tell_unplaced()
    return bool(there)


async def land_members(arrival: Arrival) -> None:
    """Members who come with their account stay members; for others the workspace has to be accepted anew."""

    def accepted(row: Row) -> Any:
        return row.get("created_at") if arrival.people.get(str(row["user_id"])) == row["user_id"] else None

    take = Take(Membership, "workspace_members", made={"accepted_at": accepted, "seen_at": constant(None)})
    await Filling(arrival, take, arrival.source.tables[take.table]).run()
    table = table_of(Membership).c
    found = await arrival.rows.report(select(table.user_id).where(table.workspace_id == arrival.workspace))
    arrival.members = frozenset(row[0] for row in found)


def _name_key(row: Row) -> str:
    return name_key(_plain(row.get("name")))


SKILL: Final = Take(
    Skill,
    "skills",
    made={
        "version": constant(1),
        "skill_version": lambda row: row.get("version"),
        "name_key": _name_key,
        "fingerprint": constant(None),
    },
    dropped=frozenset({"config_schema", "tool_definitions", "defer_loading", "security_report", "revenue_share_pct"}),
)


async def land_skills(arrival: Arrival, *, first: bool) -> None:
    """Skills of the catalog are found by id, slug or name; others belong to the workspace whose agents have them. The
    first workspace gets those that no agent has.
    """
    used = "t.id IN (SELECT s.skill_id FROM agent_skills s JOIN agents a ON a.id = s.agent_id WHERE a.workspace_id = ?)"
    unused = " OR t.source <> 'BUNDLED' AND t.id NOT IN (SELECT skill_id FROM agent_skills)" if first else ""
    take = replace(SKILL, made={**SKILL.made, "made_in": lambda _: arrival.workspace})
    filling = Filling(arrival, take, arrival.source.tables["skills"])
    table = table_of(Skill).c
    for portion in portions(arrival.source.rows("skills", used + unused, (arrival.workspace,))):
        new = list[Row]()
        for row in portion:
            id = _plain(row["id"])
            same = or_(table.id == id, table.slug == _plain(row["slug"]), table.name_key == _name_key(row))
            if found := await arrival.rows.report(select(table.id).where(same).order_by(table.id != id).limit(1)):
                arrival.skills[id] = found[0][0]
                filling.told.read += 1
                filling.told.there += 1
            else:
                new.append(row)
        arrival.skills |= {id: id for id in await filling.land(new)}
    filling.tell_unplaced()
