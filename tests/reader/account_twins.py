"""The roots of service accounts, for the oracle."""

from tests.reader.oracle import Asker, Listing, Refused, Row, Single, Store, ordered
from tests.reader.words import NEWEST, Arguments, Root, Value, only, tenants


def managed(store: Store, asker: Asker) -> list[Row]:
    if asker.role not in ("OWNER", "ADMIN"):
        raise Refused("FORBIDDEN")
    return tenants(store, asker, "ServiceAccount")


def service_accounts(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("ServiceAccount", ordered(managed(store, asker), NEWEST), NEWEST, (50, 100))


def service_account(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return only([row for row in managed(store, asker) if row["id"] == arguments["id"]], "ServiceAccount")


HERE: dict[str, Root] = {"serviceAccounts": service_accounts, "serviceAccount": service_account}
DERIVED: dict[tuple[str, str], Value] = {
    ("ServiceAccount", "active"): lambda store, _, row: row["deactivated_at"] is None
}
