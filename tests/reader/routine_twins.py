"""Routines as the oracle reads them; see tests/reader/twins.py."""

import json
from typing import Any

from tests.reader.oracle import Asker, Key, Listing, Order, Refused, Row, Single, Store, ordered
from tests.reader.words import Arguments, Root, Value, by, fits, named_by_slug, tenants

NEWEST: Order = (Key(lambda row: row["number"], True, "whole"), *by("-id"))
POPULAR: Order = (Key(lambda row: row["invocation_count"], True, "whole"), *by("name", "id"))
RECENT: Order = (Key(lambda row: row["last_invoked_at"] or row["created_at"], True, "time"), *by("name", "id"))
ORDERS = {"popularity": POPULAR, "recent": RECENT, "name": by("name", "id")}


def routines(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    order = ORDERS[arguments.get("order") or "popularity"]
    rules: Any = {"authorCrewId": "author_crew_id", "status": "status", "tag": lambda row, tag: tag in row["tags"]}
    rows = [
        row
        for row in tenants(store, asker, "SavedRoutine")
        if all(fits(row, rule, arguments.get(name)) for name, rule in rules.items())
    ]
    return Listing("SavedRoutine", ordered(rows, order), order, (500, 500))


def versions_of(store: Store, asker: Asker, arguments: Arguments) -> list[Row]:
    routine = named_by_slug("SavedRoutine")(store, asker, arguments)
    found = [row for row in tenants(store, asker, "RoutineVersion") if row["routine_id"] == routine.row["id"]]
    return ordered(found, NEWEST)


def versions(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    return Listing("RoutineVersion", versions_of(store, asker, arguments), NEWEST, (100, 500))


def version(store: Store, asker: Asker, arguments: Arguments) -> Single:
    found = [row for row in versions_of(store, asker, arguments) if row["number"] == arguments["version"]]
    if not found:
        raise Refused("NOT_FOUND")
    return Single("RoutineVersion", found[0])


HERE: dict[str, Root] = {
    "routines": routines, "routine": named_by_slug("SavedRoutine"), "routineVersions": versions,
    "routineVersion": version,
}  # fmt: skip


def head(store: Store, row: Row) -> Row | None:
    return next(
        (
            each
            for each in store.tables["routine_versions"]
            if each["routine_id"] == row["id"] and each["number"] == row["head_version"]
        ),
        None,
    )


def of_head(name: str) -> Value:
    def read(store: Store, _: Asker, row: Row) -> Any:
        found = head(store, row)
        return None if found is None else found[name]

    return read


def agent_name(store: Store, _: Asker, row: Row) -> Any:
    return next((agent["name"] for agent in store.tables["agents"] if agent["id"] == row["author_agent_id"]), None)


def is_head(store: Store, _: Asker, row: Row) -> bool:
    routine = next(each for each in store.tables["routines"] if each["id"] == row["routine_id"])
    return bool(routine["head_version"] == row["number"])


def risks(store: Store, _: Asker, row: Row) -> Any:
    return row["risk_reasons"] if row["status"] == "proposed" else None


def sent(store: Store, _: Asker, row: Row) -> Any:
    return json.loads(row["source"]) if row["is_json"] else row["definition"]


DERIVED: dict[tuple[str, str], Value] = {
    ("SavedRoutine", "author_agent_name"): agent_name,
    ("SavedRoutine", "definition"): of_head("definition"),
    ("SavedRoutine", "source"): of_head("source"),
    ("SavedRoutine", "integrations_required"): lambda store, _, row: row["manifest"].get("integrations"),
    ("SavedRoutine", "open_risk_reasons"): risks,
    ("SavedRoutine", "inbox_item_id"): lambda store, _, row: None,
    ("RoutineVersion", "is_head"): is_head,
    ("RoutineVersion", "sent_definition"): sent,
    ("RoutineVersion", "summary"): lambda store, _, row: row["change_summary"] or "",
}
