"""The roots of the MCP registry, for the oracle."""

from tests.reader.oracle import Asker, Key, Listing, Order, Row, Store, ordered
from tests.reader.skill_twins import found
from tests.reader.words import Arguments, Root, by

SEARCHED = ("name", "description", "category", "display_name")
FEATURED_FIRST = Key(lambda row: 0 if row["is_featured"] else 1, False, "whole")
IN_ORDER: Order = (FEATURED_FIRST, *by("name", "id"))
PAGE = (50, 200)


def _of_choice(store: Store, arguments: Arguments) -> list[Row]:
    rows = list(store.tables["mcp_registry_servers"])
    for name, column in (("trustTier", "trust_tier"), ("featured", "is_featured")):
        if (value := arguments.get(name)) is not None:
            rows = [row for row in rows if row[column] == value]
    return rows


def listed(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    return Listing("McpRegistryServer", ordered(_of_choice(store, arguments), IN_ORDER), IN_ORDER, PAGE)


def searched(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    text = (arguments.get("q") or "").strip()
    rows = [row for row in _of_choice(store, arguments) if any(found(row[name], text) for name in SEARCHED)]
    order = found_first(arguments)
    return Listing("McpRegistryServer", ordered(rows, order), order, PAGE)


def found_first(arguments: Arguments) -> Order:
    text = (arguments.get("q") or "").strip()
    if not text:
        return IN_ORDER
    return (FEATURED_FIRST, Key(lambda row: 0 if found(row["name"], text) else 1, False, "whole"), *by("name", "id"))


ANYWHERE: dict[str, Root] = {"mcpRegistry": listed, "searchMcpRegistry": searched}
