"""What the oracle is told of calls of models, of budgets and of paused work; see tests/reader/twins.py."""

from collections.abc import Iterable, Mapping

from tests.reader.oracle import Asker, Listing, Refused, Row, Single, Store, ordered
from tests.reader.words import NEWEST, Arguments, Root, Rule, Value, by, fits, only, tenants

LISTS = ("modelCalls", "budgets", "workPauses")
MONEY = {
    *((owner, name) for owner in ("Workspace", "Crew", "Agent") for name in ("costs", "budgets")),
    *((owner, name) for owner in ("Issue", "Mission", "Run") for name in ("modelCalls", "budgets")),
    *((owner, "usage") for owner in ("Mission", "MissionTask")),
}
"""Edges that not everybody may walk who may read the row: what that makes of an answer is tested with the domain."""
OF_CALLS: Mapping[str, Rule] = {
    "runId": "run_id",
    "missionId": "mission_id",
    "agentId": "agent_id",
    "crewId": "crew_id",
    "model": "model",
    "dateFrom": lambda row, given: row["created_at"] >= given,
    "dateTo": lambda row, given: row["created_at"].replace(microsecond=0) <= given,
}
OF_BUDGETS: Mapping[str, Rule] = {"missionId": "mission_id", "agentId": "agent_id", "crewId": "crew_id"}


def _managed(store: Store, asker: Asker, model: str) -> list[Row]:
    if asker.role not in ("OWNER", "ADMIN", "MANAGER"):
        raise Refused("FORBIDDEN")
    return tenants(store, asker, model)


def _listed(model: str, rules: Mapping[str, Rule]) -> Root:
    def root(store: Store, asker: Asker, arguments: Arguments) -> Listing:
        rows = _managed(store, asker, model)
        rows = [r for r in rows if all(fits(r, rule, arguments.get(name)) for name, rule in rules.items())]
        return Listing(model, ordered(rows, NEWEST), NEWEST, (50, 100))

    return root


def model_prices(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = [r for r in _managed(store, asker, "ModelPrice") if fits(r, "model", arguments.get("model"))]
    order = by("model", "-since", "id")
    return Listing("ModelPrice", ordered(rows, order), order, (50, 100))


def budget(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return only([row for row in _managed(store, asker, "Budget") if row["id"] == arguments["id"]], "Budget")


def work_pauses(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = tenants(store, asker, "WorkPause")
    rules: Mapping[str, Rule] = {"missionId": "mission_id", "agentId": "agent_id"}
    rows = [r for r in rows if all(fits(r, rule, arguments.get(name)) for name, rule in rules.items())]
    return Listing("WorkPause", ordered(rows, NEWEST), NEWEST, (50, 100))


HERE: dict[str, Root] = {
    "workPauses": work_pauses,
    "modelCalls": _listed("ModelCall", OF_CALLS),
    "budgets": _listed("Budget", OF_BUDGETS),
    "budget": budget,
    "modelPrices": model_prices,
}


# ---- derived values --------------------------------------------------------------------------------------------------


def _dollars(micros: int | None) -> float | None:
    return None if micros is None else micros / 1_000_000


def _sum(rows: Iterable[Row]) -> int:
    return sum(row["micros"] for row in rows)


def _spent(store: Store, budget: Row) -> int:
    span = store.tables["now"][0]["now"].date().isoformat() if budget["period"] == "day" else "total"
    return _sum(r for r in store.tables["budget_spends"] if (r["budget_id"], r["span"]) == (budget["id"], span))


def _reserved(store: Store, budget: Row) -> int:
    asked = [r for r in store.tables["call_reservations"] if r["expires_at"] > store.tables["now"][0]["now"]]
    return _sum(r for r in [*store.tables["run_reservations"], *asked] if r["budget_id"] == budget["id"])


def _remaining(store: Store, budget: Row) -> int:
    return max(budget["amount_micros"] - _spent(store, budget) - _reserved(store, budget), 0)


def _named(table: str, key: str, column: str) -> Value:
    """Of a deleted row, too."""
    return lambda store, _, row: next((r[column] for r in store.tables[table] if r["id"] == row[key]), None)


DERIVED: dict[tuple[str, str], Value] = {
    ("WorkPause", "active"): lambda store, _, row: row["resumed_at"] is None,
    ("WorkPause", "agent_name"): _named("agents", "agent_id", "name"),
    ("WorkPause", "mission_title"): _named("missions", "mission_id", "title"),
    ("ModelCall", "cost_usd"): lambda store, _, row: _dollars(row["cost_micros"]),
    ("ModelCall", "agent_name"): _named("agents", "agent_id", "name"),
    ("ModelCall", "crew_name"): _named("crews", "crew_id", "name"),
    ("ModelCall", "issue_identifier"): _named("missions", "mission_id", "identifier"),
    ("ModelPrice", "input_usd"): lambda store, _, row: _dollars(row["input_micros"]),
    ("ModelPrice", "output_usd"): lambda store, _, row: _dollars(row["output_micros"]),
    ("ModelPrice", "cached_input_usd"): lambda store, _, row: _dollars(row["cached_input_micros"]),
    ("Budget", "amount_usd"): lambda store, _, row: _dollars(row["amount_micros"]),
    ("Budget", "reservation_usd"): lambda store, _, row: _dollars(row["reservation_micros"]),
    ("Budget", "spent_usd"): lambda store, _, row: _dollars(_spent(store, row)),
    ("Budget", "reserved_usd"): lambda store, _, row: _dollars(_reserved(store, row)),
    ("Budget", "remaining_usd"): lambda store, _, row: _dollars(_remaining(store, row)),
}


def is_known(type_: str, name: str) -> bool:
    """Whether the oracle can say anything of a field."""
    return (type_, name) not in MONEY
