"""The lists of agents, for the oracle."""

from tests.reader.oracle import Asker, Key, Listing, Order, Row, Store, ordered
from tests.reader.skill_twins import found
from tests.reader.words import Arguments, Root, Rule, Value, fits, tenants

IN_ORDER: Order = (
    Key(lambda row: row["expired_at"] is None, True, "flag"),
    Key(lambda row: row["created_at"] if row["expired_at"] is None else row["expired_at"], True, "time"),
    Key(lambda row: row["id"], True, "text"),
)
FOUND: dict[str, Rule] = {
    "crewId": "crew_id",
    "status": "status",
    "agentRole": "agent_role",
    "search": lambda row, given: found(row["name"], given),
}


def agents(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    """Each list has some of the arguments."""
    rows = [
        row
        for row in tenants(store, asker, "Agent")
        if all(fits(row, rule, arguments.get(name)) for name, rule in FOUND.items())
    ]
    return Listing("Agent", ordered(rows, IN_ORDER), IN_ORDER, (100, 500))


def picture(store: Store, asker: Asker, row: Row) -> str | None:
    digest = row["avatar_digest"]
    place = f"/api/v1/agents/{row['id']}/avatar"
    return None if digest is None else f"{place}?v={digest}&workspace_id={row['workspace_id']}"


DERIVED: dict[tuple[str, str], Value] = {("Agent", "avatar_url"): picture}
HERE: dict[str, Root] = {"agents": agents, "findAgents": agents}
ORDERS: dict[str, Order] = dict.fromkeys(HERE, IN_ORDER)
