"""The keeper's log, for the oracle; see tests/reader/twins.py."""

from tests.reader.oracle import Asker, Listing, Refused, Row, Store, ordered
from tests.reader.words import NEWEST, Arguments, Root, Value, tenants


def keeper_requests(store: Store, asker: Asker, _: Arguments) -> Listing:
    if asker.role != "OWNER":
        raise Refused("FORBIDDEN")
    return Listing("KeeperRequest", ordered(tenants(store, asker, "KeeperRequest"), NEWEST), NEWEST, (50, 200))


def named(table: str, key: str) -> Value:
    """Of a deleted row, too; of none that there ever was, a word for it."""

    def value(store: Store, _: Asker, row: Row) -> str:
        here = (r for r in store.tables[table] if r["workspace_id"] == row["workspace_id"])
        return next((r["name"] for r in here if r["id"] == row[key]), "Unknown")

    return value


HERE: dict[str, Root] = {"keeperRequests": keeper_requests}
DERIVED: dict[tuple[str, str], Value] = {
    ("KeeperRequest", "agent_name"): named("agents", "agent_id"),
    ("KeeperRequest", "credential_name"): named("credentials", "credential_id"),
}
