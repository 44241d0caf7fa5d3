"""The roots of credentials, for the oracle, and what is derived of them."""

from tests.reader.oracle import Asker, Key, Listing, Order, Row, Single, Store, ordered
from tests.reader.words import Arguments, Root, Value, by, only, tenants

IN_ORDER: Order = (*by("type"), Key(lambda row: row["recency"], False, "time"), *by("id"))


def credentials(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("Credential", ordered(tenants(store, asker, "Credential"), IN_ORDER), IN_ORDER, (100, 500))


def credential(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return only([row for row in tenants(store, asker, "Credential") if row["id"] == arguments["id"]], "Credential")


def crew_ids(store: Store, _: Asker, row: Row) -> list[str]:
    links = [link for link in store.tables["credential_crews"] if link["credential_id"] == row["id"]]
    return [link["crew_id"] for link in sorted(links, key=lambda link: link["position"])]


def agent_names(store: Store, _: Asker, row: Row) -> list[str]:
    given = {link["agent_id"] for link in store.tables["agent_credentials"] if link["credential_id"] == row["id"]}
    return [name for name, _ in sorted((a["name"], a["id"]) for a in store.live("agents") if a["id"] in given)]


HERE: dict[str, Root] = {"credentials": credentials, "credential": credential}
DERIVED: dict[tuple[str, str], Value] = {
    ("Credential", "crew_id"): lambda store, asker, row: next(iter(crew_ids(store, asker, row)), None),
    ("Credential", "crew_ids"): crew_ids,
    ("Credential", "agent_names"): agent_names,
}
