"""What the oracle is told of what is kept around issues; see tests/reader/twins.py."""

from typing import Any

from tests.reader.oracle import Asker, Key, Listing, Row, Store, ordered
from tests.reader.words import NEWEST, Arguments, Root, Value, by, fits, tenants


def saved_views(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("SavedView", ordered(tenants(store, asker, "SavedView"), by("-is_default", "name", "id")))


def recurring_issues(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = [r for r in tenants(store, asker, "RecurringIssue") if fits(r, "crew_id", arguments.get("crewId"))]
    return Listing("RecurringIssue", ordered(rows, NEWEST))


def triage_rules(store: Store, asker: Asker, _: Arguments) -> Listing:
    order = (Key(lambda row: row["position"], False, "whole"), *by("created_at", "id"))
    return Listing("TriageRule", ordered(tenants(store, asker, "TriageRule"), order))


HERE: dict[str, Root] = {
    "savedViews": saved_views, "recurringIssues": recurring_issues, "triageRules": triage_rules
}  # fmt: skip


def live_crew(store: Store, _: Asker, row: Row) -> Any:
    return next((crew["name"] for crew in store.live("crews") if crew["id"] == row["crew_id"]), None)


DERIVED: dict[tuple[str, str], Value] = {("RecurringIssue", "crew_name"): live_crew}
