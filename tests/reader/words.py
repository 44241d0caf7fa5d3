"""The words that tests/reader/twins.py and its like are written in."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import schema.bridge.root  # noqa: F401  (declares the graphs)
from models.base import table_of
from resolvers.kernel.reader import GRAPHS, edges_in
from tests.reader.oracle import Asker, Key, Listing, Order, Refused, Row, Single, Store, ordered

Arguments = Mapping[str, Any]
MODELS = {model.__name__: model for model in GRAPHS} | {
    edge.target.__name__: edge.target for g in GRAPHS.values() for entry in g.values() for edge in edges_in(entry)
}
Root = Callable[[Store, Asker, Arguments], Listing | Single]
Value = Callable[[Store, Asker, Row], Any]
"""A derived value of a row."""
Rule = str | Callable[[Row, Any], bool]
"""A column that has to be equal, or a condition on a row."""


def by(*keys: str) -> Order:
    """Columns; a leading `-` descends."""
    return tuple(
        Key(lambda row, name=key.lstrip("-"): row[name], key.startswith("-"), kind_of(key.lstrip("-"))) for key in keys
    )


def kind_of(column: str) -> str:
    kinds = {"seq": "whole", "task_order": "whole", "ordinal": "whole", "sort_order": "float", "is_default": "flag"}
    return kinds.get(column, "time" if column.endswith("_at") else "text")


def table(model: str) -> str:
    return table_of(MODELS[model]).name


def fits(row: Row, rule: Rule, value: Any) -> bool:
    return value is None or (row[rule] == value if isinstance(rule, str) else rule(row, value))


def member(store: Store, asker: Asker, place: Any) -> Asker:
    """The asker, in the workspace that is named by id or slug."""
    found = [w for w in store.live("workspaces") if place in (w["id"], w["slug"])]
    own = [
        m
        for m in store.live("memberships")
        if found and m["workspace_id"] == found[0]["id"] and m["user_id"] == asker.user_id
    ]
    if not own:
        raise Refused("FORBIDDEN")
    return Asker(asker.user_id, own[0]["role"], found[0]["id"])


def tenants(store: Store, asker: Asker, model: str) -> list[Row]:
    return seen(asker, model, [row for row in store.live(table(model)) if row["workspace_id"] == asker.workspace_id])


MANAGING = ("OWNER", "ADMIN")
SEEN: dict[str, Callable[[Asker, Row], bool]] = {
    "NotificationChannel": lambda asker, row: row["owner_user_id"] in (None, asker.user_id) or asker.role in MANAGING,
    "SavedView": lambda asker, row: row["shared"] or row["user_id"] == asker.user_id,
}
"""Models whose rows are hidden from some members."""


def seen(asker: Asker, model: str, rows: list[Row]) -> list[Row]:
    return [row for row in rows if model not in SEEN or SEEN[model](asker, row)]


def only(rows: list[Row], model: str) -> Single:
    if not rows:
        raise Refused("NOT_FOUND")
    return Single(model, rows[0])


def listed(model: str, *order: str) -> Root:
    """All rows of the workspace that the asker sees, in that order."""
    return lambda store, asker, _: Listing(model, ordered(tenants(store, asker, model), by(*order)))


def found(model: str) -> Root:
    """The row that the argument `id` names."""
    return lambda store, asker, arguments: only(
        [row for row in tenants(store, asker, model) if row["id"] == arguments["id"]], model
    )


def found_or_named(model: str) -> Root:
    """The row whose id or, if it is no id, whose slug the argument `id` is."""

    def root(store: Store, asker: Asker, arguments: Arguments) -> Single:
        key = "id" if re.match("c[a-z0-9]{19,}$", arguments["id"]) else "slug"
        return only([row for row in tenants(store, asker, model) if row[key] == arguments["id"]], model)

    return root


def named_by_slug(model: str) -> Root:
    return lambda store, asker, arguments: only(
        [row for row in tenants(store, asker, model) if row["slug"] == arguments["slug"]], model
    )


NEWEST: Order = by("-created_at", "-id")
