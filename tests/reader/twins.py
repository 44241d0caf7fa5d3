"""What the oracle is told: the roots and the derived values by hand, the edges by the graphs' declarations."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import desc_op

import schema.root  # noqa: F401  (declares the graphs)
from models.base import TenantRow, table_of
from resolvers.kernel.reader import GRAPHS, Edge
from tests.reader.oracle import Asker, Key, Listing, Order, Refused, Row, Rules, Single, Store, ordered

Arguments = Mapping[str, Any]
MODELS = {model.__name__: model for model in GRAPHS} | {e.target.__name__: e.target for g in GRAPHS.values() for e in g.values() if isinstance(e, Edge)}
WAITING = ("PENDING", "BLOCKED")
UNFINISHED = (*WAITING, "IN_PROGRESS", "AWAITING_APPROVAL")


def by(*keys: str) -> Order:
    """Columns; a leading `-` descends."""
    return tuple(Key(lambda row, name=key.lstrip("-"): row[name], key.startswith("-"), kind_of(key)) for key in keys)


def kind_of(column: str) -> str:
    return "time" if column.endswith("_at") else "text"


def table(model: str) -> str:
    return table_of(MODELS[model]).name


# ---- roots -----------------------------------------------------------------------------------------------------------


def member(store: Store, asker: Asker, place: Any) -> Asker:
    """The asker, in the workspace that is named by id or slug."""
    found = [w for w in store.live("workspaces") if place in (w["id"], w["slug"])]
    own = [m for m in store.live("memberships") if found and m["workspace_id"] == found[0]["id"] and m["user_id"] == asker.user_id]
    if not own:
        raise Refused("FORBIDDEN")
    return Asker(asker.user_id, own[0]["role"], found[0]["id"])


def tenants(store: Store, asker: Asker, model: str) -> list[Row]:
    return [row for row in store.live(table(model)) if row["workspace_id"] == asker.workspace_id]


def only(rows: list[Row], model: str) -> Single:
    if not rows:
        raise Refused("NOT_FOUND")
    return Single(model, rows[0])


NEWEST: Order = by("-created_at", "-id")
AGENTS: Order = (
    Key(lambda row: row["expired_at"] is not None, False, "flag"),
    Key(lambda row: row["created_at"] if row["expired_at"] is None else row["expired_at"], True, "time"),
    Key(lambda row: row["id"], True, "text"),
)


def labels(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("Label", ordered(tenants(store, asker, "Label"), by("name", "id")))


def crews(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("Crew", ordered(tenants(store, asker, "Crew"), NEWEST), NEWEST, (50, 100))


def crew(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return only([r for r in tenants(store, asker, "Crew") if r["id"] == arguments["id"]], "Crew")


def crew_members(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    crew(store, asker, {"id": arguments["crewId"]})
    rows = [r for r in tenants(store, asker, "CrewMember") if r["crew_id"] == arguments["crewId"]]
    return Listing("CrewMember", ordered(rows, by("created_at", "id")))


def crew_connections(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("CrewConnection", ordered(tenants(store, asker, "CrewConnection"), NEWEST))


def agents(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    wanted = arguments.get("crewId")
    rows = [r for r in tenants(store, asker, "Agent") if wanted is None or r["crew_id"] == wanted]
    return Listing("Agent", ordered(rows, AGENTS), AGENTS, (100, 500))


def agent(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return only([r for r in tenants(store, asker, "Agent") if r["id"] == arguments["id"]], "Agent")


def crews_status(store: Store, asker: Asker, _: Arguments) -> Single:
    states = [r["status"] for r in tenants(store, asker, "Agent")]
    queued = [r for r in store.live("assignments") if r["workspace_id"] == asker.workspace_id and r["status"] == "QUEUED"]
    counted = {"total": len(states), "running": states.count("RUNNING"), "error": states.count("ERROR"), "queued": len(queued)}
    return Single("CrewsStatus", counted | {"idle": len(states) - states.count("RUNNING") - states.count("ERROR")})


def agent_load(store: Store, asker: Asker, _: Arguments) -> Listing:
    rows = []
    for one in tenants(store, asker, "Agent"):
        tasks = [t for t in store.live("mission_tasks") if t["assigned_agent_id"] == one["id"] and t["workspace_id"] == asker.workspace_id]
        done = [t for t in tasks if t["status"] == "COMPLETED" and (store.tables["now"][0]["now"] - t["completed_at"]).total_seconds() <= 86400]
        load = {f"agent_{name}": one[name] for name in ("id", "name", "slug", "status")}
        load |= {"active_tasks": sum(t["status"] == "IN_PROGRESS" for t in tasks), "pending_tasks": sum(t["status"] in WAITING for t in tasks)}
        load |= {"completed_today": len(done), "tokens_used_today": sum(t["token_count"] or 0 for t in done)}
        rows.append(load | {"token_budget": sum(t["token_budget"] or 0 for t in tasks if t["status"] in UNFINISHED)})
    return Listing("AgentLoad", ordered(rows, by("-active_tasks", "-pending_tasks", "agent_slug")))


def members(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("Membership", ordered(tenants(store, asker, "Membership"), by("created_at", "id")))


def invitations(store: Store, asker: Asker, _: Arguments) -> Listing:
    rows = [r for r in tenants(store, asker, "Invitation") if r["accepted_at"] is None]
    return Listing("Invitation", ordered(rows, NEWEST))


def workspace(store: Store, asker: Asker, _: Arguments) -> Single:
    return Single("Workspace", store.by_id("workspaces", asker.workspace_id))


def own_workspaces(store: Store, user_id: str) -> list[Row]:
    ids = {m["workspace_id"] for m in store.live("memberships") if m["user_id"] == user_id}
    return [w for w in store.live("workspaces") if w["id"] in ids]


def workspaces(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("Workspace", ordered(own_workspaces(store, asker.user_id), NEWEST))


def viewer(store: Store, asker: Asker, _: Arguments) -> Single:
    return Single("Viewer", store.by_id("users", asker.user_id))


HERE: dict[str, Callable[[Store, Asker, Arguments], Listing | Single]] = {
    "labels": labels, "crews": crews, "crew": crew, "crewMembers": crew_members, "crewConnections": crew_connections, "agents": agents, "agent": agent,
    "crewsStatus": crews_status, "agentLoad": agent_load, "members": members, "invitations": invitations, "workspace": workspace,
}  # fmt: skip
ANYWHERE: dict[str, Callable[[Store, Asker, Arguments], Listing | Single]] = {"workspaces": workspaces, "viewer": viewer}
ROOTS = HERE | ANYWHERE


# ---- derived values: one twin each -------------------------------------------------------------------------------------


def of_user(key: str, column: str) -> Callable[[Store, Asker, Row], Any]:
    return lambda store, _, row: next((u[column] for u in store.tables["users"] if u["id"] == row[key]), None)


def of_crew(key: str, column: str) -> Callable[[Store, Asker, Row], Any]:
    """Of a deleted one too."""
    return lambda store, _, row: next(c[column] for c in store.tables["crews"] if c["id"] == row[key])


def role_in(store: Store, asker: Asker, workspace_id: str) -> Any:
    return next((m["role"] for m in store.live("memberships") if m["workspace_id"] == workspace_id and m["user_id"] == asker.user_id), None)


def shown_token(store: Store, asker: Asker, row: Row) -> Any:
    return row["token"] if role_in(store, asker, row["workspace_id"]) in ("OWNER", "ADMIN", "MANAGER") else ""


DERIVED: dict[tuple[str, str], Callable[[Store, Asker, Row], Any]] = {
    ("Membership", "email"): of_user("user_id", "email"),
    ("Membership", "full_name"): of_user("user_id", "full_name"),
    ("CrewConnection", "from_crew_name"): of_crew("from_crew_id", "name"),
    ("CrewConnection", "from_crew_slug"): of_crew("from_crew_id", "slug"),
    ("CrewConnection", "to_crew_name"): of_crew("to_crew_id", "name"),
    ("CrewConnection", "to_crew_slug"): of_crew("to_crew_id", "slug"),
    ("Workspace", "current_user_role"): lambda store, asker, row: role_in(store, asker, row["id"]),
    ("Invitation", "shown_token"): shown_token,
}

# ---- edges: what their declarations say in SQL, said again -----------------------------------------------------------------

JOINED: dict[tuple[str, str], Callable[[Store, Row, Row], bool]] = {
    ("Viewer", "workspaces"): lambda store, row, other: other in own_workspaces(store, row["id"]),
    ("Viewer", "memberships"): lambda store, row, other: other["user_id"] == row["id"] and store.by_id("workspaces", other["workspace_id"]) is not None,
}
CONDITIONS: dict[str, Callable[[Row], bool]] = {"invitations.accepted_at IS NULL": lambda row: row["accepted_at"] is None}
NARROWED: dict[tuple[str, str], dict[str, str]] = {
    ("Crew", "agents"): {"status": "status", "agentRole": "agent_role"},
    ("Workspace", "agents"): {"crewId": "crew_id"},
}
KEYS: dict[str, Key] = {"agents.expired_at IS NOT NULL": AGENTS[0], "coalesce(agents.expired_at, agents.created_at) DESC": AGENTS[1]}


def declared_order(edge: Edge) -> Order:
    """The declared keys, and the id in the direction of the last of them."""
    keys: list[Key] = []
    columns: list[str] = []
    for key in edge.order_by:
        clause = key.__clause_element__() if hasattr(key, "__clause_element__") else key
        down = isinstance(clause, UnaryExpression) and clause.modifier is desc_op
        columns.append(str(clause.element if down else clause).rsplit(".", 1)[-1])
        keys.append(KEYS.get(str(clause)) or by("-" * down + columns[-1])[0])
    return tuple(keys) if not keys or "id" in columns else (*keys, by("-" * keys[-1].down + "id")[0])


class Twins(Rules):
    def root(self, name: str, store: Store, asker: Asker, arguments: Arguments) -> Listing | Single:
        if name in ANYWHERE:
            return ANYWHERE[name](store, asker, arguments)
        named = [arguments[n] for n in (("id", "slug") if name == "workspace" else ("workspaceId",)) if arguments.get(n) is not None]
        if len(named) > 1:
            raise Refused("BAD_REQUEST")
        return HERE[name](store, member(store, asker, named[0] if named else asker.workspace_id), arguments)

    def order(self, type_: str, name: str) -> Order:
        if type_ == "Query":
            return {"crews": NEWEST, "agents": AGENTS}[name]
        edge = GRAPHS[MODELS[type_]][name]
        assert isinstance(edge, Edge)
        return declared_order(edge)

    def follow(self, model: str, name: str, store: Store, asker: Asker, row: Row, arguments: Arguments) -> Any:
        if (model, name) in DERIVED:
            return DERIVED[model, name](store, asker, row)
        edge = GRAPHS[MODELS[model]][name] if model in MODELS and MODELS[model] in GRAPHS else {}[name]
        assert isinstance(edge, Edge), f"{model}.{name} is derived and has no twin"
        rows = self.reached(model, name, edge, store, row)
        if edge.kind == "count":
            return len(rows)
        target = edge.target.__name__
        if edge.kind == "one":
            return Single(target, rows[0] if rows else None)
        for argument, column in NARROWED.get((model, name), {}).items():
            if arguments.get(argument) is not None:
                rows = [r for r in rows if r[column] == arguments[argument]]
        order = declared_order(edge)
        page = (edge.input.page_default, edge.input.page_maximum) if edge.input is not None else None  # type: ignore[attr-defined]
        return Listing(target, ordered(rows, order), order, page)

    def reached(self, model: str, name: str, edge: Edge, store: Store, row: Row) -> list[Row]:
        joined = JOINED.get((model, name)) or (lambda _, row, other: edge.on(row, other))
        inside = issubclass(edge.target, TenantRow) and "workspace_id" in row
        found = [o for o in store.live(table(edge.target.__name__)) if joined(store, row, o) and (not inside or o["workspace_id"] == row["workspace_id"])]
        return [o for o in found if all(CONDITIONS[str(c)](o) for c in edge.where)]


def known(type_: str, name: str) -> bool:
    """Whether the oracle can say anything of a field of the schema."""
    if type_ == "Query":
        return name in ROOTS
    return name != "lastUsedAt"
