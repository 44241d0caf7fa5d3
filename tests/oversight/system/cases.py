"""Cases of the server about itself, and of its search, for the tests that are made for every operation."""

from collections.abc import Callable
from typing import Any

from tests.generation.recipes import Recipe
from tests.reader.oracle import Asker, Key, Listing, Refused, Row, Store, ordered
from tests.reader.words import Arguments, by, tenants

RECIPES = {"system.search": Recipe(values={"query": "a"})}
SOURCES: dict[str, tuple[str, Callable[[Row], list[str | None]]]] = {
    "agent": ("Agent", lambda row: [row["name"], row["slug"], row["role_title"]]),
    "crew": ("Crew", lambda row: [row["name"], row["slug"]]),
    "issue": ("Mission", lambda row: [row["title"], row["identifier"]]),
    "mission": ("Mission", lambda row: [row["title"]]),
    "project": ("Project", lambda row: [row["name"], row["slug"]]),
    "chat": ("Chat", lambda row: [row["title"]]),
    "run": ("Run", lambda row: [f"{row['trigger_type']} {row['status']}", row["id"]]),
    "credential": ("Credential", lambda row: [row["name"]]),
    "skill": ("Skill", lambda row: [row["display_name"], row["slug"], row["name"]]),
}
NAMED = {"issue": "issue", "mission": "orchestration"}


def search(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    size = 20 if arguments.get("first") is None else arguments["first"]
    if not arguments["query"].strip() or len(arguments["query"]) > 100 or not 1 <= size <= 100:
        raise Refused("BAD_REQUEST")
    sought, found = " ".join(arguments["query"].split()).lower(), []
    for kind, (model, texts) in SOURCES.items():
        known = store.tables["skills"] if model == "Skill" else tenants(store, asker, model)
        rows = [row for row in known if NAMED.get(kind) in (None, row.get("mission_type"))]
        found += [hit(kind, row, texts(row), sought) for row in rows]
    seats = tenants(store, asker, "Membership")
    users: dict[str, Any] = {user["id"]: user for user in store.tables["users"]}
    found += [
        hit("member", seat | {"id": seat["user_id"]}, [users[seat["user_id"]]["full_name"]], sought) for seat in seats
    ]
    wanted = arguments.get("types")
    rows = [row for row in found if row is not None and (wanted is None or row["type"] in wanted)]
    order = (Key(lambda row: row["closeness"], False, "whole"), *by("-created_at", "type", "row_id"))
    return Listing("Found", ordered(rows, order)[:size])


def hit(kind: str, row: Row, texts: list[str | None], sought: str) -> Any:
    title, detail, more = [text or "" for text in (*texts, None, None)][:3]
    text = f"{title} {detail} {more}".lower()
    if not all(word in text for word in sought.split(" ")):
        return None
    if sought in (title.lower(), detail.lower()):
        closeness = 0
    elif title.lower().startswith(sought):
        closeness = 1
    else:
        closeness = 2 if f" {sought}" in f" {text}" else 3
    shown = {"type": kind, "row_id": row["id"], "title": title, "closeness": closeness}
    return shown | {
        "detail": texts[1] if len(texts) > 1 else None,
        "created_at": row["began_at"] if kind == "run" else row["created_at"],
        "workspace_id": row.get("workspace_id"),
    }


READS = {"search": search}
ANONYMOUS = frozenset(
    {
        "ops.healthz",
        "ops.metrics",  # a token of its own, or loopback
        "ops.readyz",
        "system.health",
        "system.setup_status",
        "system.telemetry",
    }
)
