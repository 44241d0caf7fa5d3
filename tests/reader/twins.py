"""What the oracle is told: the roots and the derived values by hand, the edges by the graphs' declarations."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any

from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import desc_op

from models.base import TenantRow, table_of
from resolvers.kernel.reader import GRAPHS, Edge
from rest_compat.http.table import CAMEL
from tests.generation.domains import merged
from tests.reader import (
    account_twins,
    activity_twins,
    admin_twins,
    agent_twins,
    attention_twins,
    audit_twins,
    build_twins,
    chat_twins,
    cost_twins,
    inbox_twins,
    integration_twins,
    issue_twins,
    keeper_twins,
    load_twins,
    mission_twins,
    persona_twins,
    registry_twins,
    rights_twins,
    routine_run_twins,
    routine_twins,
    run_twins,
    skill_twins,
    template_twins,
    told_twins,
    tracker_twins,
    vault_twins,
)
from tests.reader.oracle import Asker, Key, Listing, Order, Refused, Row, Rules, Single, Store, ordered
from tests.reader.words import (
    MODELS,
    NEWEST,
    Arguments,
    Root,
    Rule,
    Value,
    by,
    fits,
    found_or_named,
    member,
    named_by_slug,
    only,
    seen,
    table,
    tenants,
)

# ---- roots -----------------------------------------------------------------------------------------------------------


BY_NAME: Order = (Key(lambda row: row["name"].lower(), False, "text"), *by("id"))


def crews(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("Crew", ordered(tenants(store, asker, "Crew"), NEWEST), NEWEST, (50, 100))


def crew(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return only([r for r in tenants(store, asker, "Crew") if r["id"] == arguments["id"]], "Crew")


def crew_provision(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return crew(store, asker, {"id": arguments["crewId"]})


def crew_policies(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("Crew", ordered(tenants(store, asker, "Crew"), BY_NAME))


def crew_members(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    crew(store, asker, {"id": arguments["crewId"]})
    rows = [r for r in tenants(store, asker, "CrewMember") if r["crew_id"] == arguments["crewId"]]
    return Listing("CrewMember", ordered(rows, by("created_at", "id")))


def crew_connections(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("CrewConnection", ordered(tenants(store, asker, "CrewConnection"), NEWEST))


def agent(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return only([r for r in tenants(store, asker, "Agent") if r["id"] == arguments["id"]], "Agent")


LOGGED: Order = by("created_at", "chat_id", "seq", "workspace_id")
RUNS: Order = (
    Key(lambda row: row["created_at"] if row["started_at"] is None else row["started_at"], True, "time"),
    Key(lambda row: row["id"], True, "text"),
)


def began(run: Row) -> Any:
    return RUNS[0].read(run)


def runs(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = [
        r
        for r in tenants(store, asker, "Run")
        if all(fits(r, rule, arguments.get(name)) for name, rule in OF_RUNS.items())
    ]
    return Listing("Run", ordered(rows, RUNS), RUNS, (50, 100), clamped=False)


def agent_runs(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    return Listing(
        "Run", ordered([r for r in tenants(store, asker, "Run") if r["agent_id"] == arguments["agentId"]], RUNS)[:100]
    )


def run(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return only([r for r in tenants(store, asker, "Run") if r["id"] == arguments["id"]], "Run")


def run_stats(store: Store, asker: Asker, _: Arguments) -> Single:
    midnight = store.tables["now"][0]["now"].astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = tenants(store, asker, "Run")
    failed = [r for r in rows if r["status"] in ("FAILED", "TIMEOUT") and r["finished_at"] >= midnight]
    counted = {
        "running": sum(r["status"] == "RUNNING" for r in rows),
        "today": sum(began(r) >= midnight for r in rows),
        "failed": len(failed),
    }
    return Single("RunStats", counted)


def agent_logs(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    agent(store, asker, {"id": arguments["agentId"]})
    rows = [f for f in tenants(store, asker, "RunFrame") if f["agent_id"] == arguments["agentId"]]
    return Listing("RunFrame", ordered(rows, LOGGED), LOGGED, (100, 500))


def members(store: Store, asker: Asker, _: Arguments) -> Listing:
    order = by("created_at", "id")
    return Listing("Membership", ordered(tenants(store, asker, "Membership"), order), order)


def invitations(store: Store, asker: Asker, _: Arguments) -> Listing:
    rows = [r for r in tenants(store, asker, "Invitation") if r["accepted_at"] is None]
    return Listing("Invitation", ordered(rows, NEWEST), NEWEST)


def workspace(store: Store, asker: Asker, _: Arguments) -> Single:
    return Single("Workspace", store.by_id("workspaces", asker.workspace_id))


def own_workspaces(store: Store, user_id: str) -> list[Row]:
    ids = {m["workspace_id"] for m in store.live("memberships") if m["user_id"] == user_id}
    return [w for w in store.live("workspaces") if w["id"] in ids]


def workspaces(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("Workspace", ordered(own_workspaces(store, asker.user_id), NEWEST))


def viewer(store: Store, asker: Asker, _: Arguments) -> Single:
    return Single("Viewer", account_twins.viewer(store, asker))


def agent_learning(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return agent(store, asker, {"id": arguments["agentId"]})


HERE: dict[str, Root] = {
    "crews": crews, "crew": found_or_named("Crew"), "crewBySlug": named_by_slug("Crew"),
    "crewMembers": crew_members, "crewProvision": crew_provision,
    "crewConnections": crew_connections, "crewPolicies": crew_policies, "crewPolicy": crew_provision,
    "agent": found_or_named("Agent"), "agentBySlug": named_by_slug("Agent"), "agentLearning": agent_learning,
    "members": members, "findMembers": members, "invitations": invitations, "findInvitations": invitations,
    "workspace": workspace, "agentLogs": agent_logs,
    "runs": runs, "agentRuns": agent_runs, "run": run, "runStats": run_stats,
}  # fmt: skip
OF_ROWS: dict[str, tuple[Root, str, str]] = chat_twins.OF_ROWS
"""Roots whose workspace is that of the row an argument names."""
ANYWHERE: dict[str, Root] = {"workspaces": workspaces, "viewer": viewer, **registry_twins.ANYWHERE}
HERE |= issue_twins.HERE | activity_twins.ROOTS | admin_twins.HERE | account_twins.HERE | audit_twins.HERE
HERE |= tracker_twins.HERE | load_twins.HERE | inbox_twins.HERE | cost_twins.HERE | told_twins.HERE | run_twins.HERE
HERE |= agent_twins.HERE | template_twins.HERE | vault_twins.HERE | skill_twins.HERE | keeper_twins.HERE
HERE |= mission_twins.HERE | integration_twins.HERE | chat_twins.HERE | persona_twins.HERE
HERE |= attention_twins.HERE | routine_twins.HERE | merged("READS")
ROOTS = {*HERE, *OF_ROWS, *ANYWHERE}


# ---- derived values: one twin each -----------------------------------------------------------------------------------


def of_user(key: str, column: str) -> Value:
    return lambda store, _, row: next((u[column] for u in store.tables["users"] if u["id"] == row[key]), None)


def of_crew(key: str, column: str) -> Value:
    """Of a deleted one too."""
    return lambda store, _, row: next(c[column] for c in store.tables["crews"] if c["id"] == row[key])


def role_in(store: Store, asker: Asker, workspace_id: str) -> Any:
    here = [m for m in store.live("memberships") if m["workspace_id"] == workspace_id]
    return next((member["role"] for member in here if member["user_id"] == asker.user_id), None)


def shown_token(store: Store, asker: Asker, row: Row) -> Any:
    return row["token"] if role_in(store, asker, row["workspace_id"]) in ("OWNER", "ADMIN") else ""


def of_agent(column: str) -> Value:
    """Of a deleted one too."""
    return lambda store, _, row: next(a[column] for a in store.tables["agents"] if a["id"] == row["agent_id"])


def crew_name(store: Store, asker: Asker, row: Row) -> Any:
    crew_id = of_agent("crew_id")(store, asker, row)
    return None if crew_id is None else next(c["name"] for c in store.tables["crews"] if c["id"] == crew_id)


def unread(store: Store, asker: Asker, row: Row) -> int:
    marks = [
        m["last_read_seq"]
        for m in store.tables["chat_read_cursors"]
        if m["chat_id"] == row["id"] and m["user_id"] == asker.user_id
    ]
    said = [m for m in store.tables["messages"] if m["chat_id"] == row["id"] and (not marks or m["seq"] > marks[0])]
    return sum(m["role"] != "user" or m["author_user_id"] not in (None, asker.user_id) for m in said)


def slug_of_run(store: Store, asker: Asker, row: Row) -> Any:
    return of_agent("slug")(store, asker, next(r for r in store.tables["runs"] if r["id"] == row["run_id"]))


def from_seq(store: Store, asker: Asker, row: Row) -> int | None:
    numbers = [frame["seq"] for frame in store.tables["run_frames"] if frame["run_id"] == row["id"]]
    return min(numbers) - 1 if numbers else None


def override(store: Store, asker: Asker, row: Row) -> Any:
    own = (o for o in store.tables["feature_flag_overrides"] if o["workspace_id"] == asker.workspace_id)
    return next((o["enabled"] for o in own if o["flag_id"] == row["id"]), None)


def active(store: Store, asker: Asker, row: Row) -> bool:
    decided = override(store, asker, row)
    bucket = int(hashlib.sha256(f"{asker.workspace_id}/{row['key']}".encode()).hexdigest()[:8], 16) % 100
    return row["enabled"] and bucket < row["percentage"] if decided is None else bool(decided)


CONFIGURATION = ("mcp_config_json", "devcontainer_config", "mise_config", "services_json")
CONFIDENTIAL = {("Agent", "mcp_config_json"), ("Waitpoint", "token"), *(("Crew", name) for name in CONFIGURATION)}
"""Null below MANAGER."""

DERIVED: dict[tuple[str, str], Value] = {
    **agent_twins.DERIVED,
    **build_twins.DERIVED,
    ("FeatureFlag", "id_here"): lambda store, asker, row: f"{row['id']}:{asker.workspace_id}",
    ("FeatureFlag", "override_enabled"): override,
    ("FeatureFlag", "active"): active,
    ("InstanceSetting", "value"): lambda store, _, row: "***" if row["plain"] is None else row["plain"],
    ("CliToken", "limited_to"): lambda store, _, row: row["scopes"] or None,
    ("Membership", "email"): of_user("user_id", "email"),
    ("Membership", "full_name"): of_user("user_id", "full_name"),
    ("CrewConnection", "from_crew_name"): of_crew("from_crew_id", "name"),
    ("CrewConnection", "from_crew_slug"): of_crew("from_crew_id", "slug"),
    ("CrewConnection", "to_crew_name"): of_crew("to_crew_id", "name"),
    ("CrewConnection", "to_crew_slug"): of_crew("to_crew_id", "slug"),
    ("Workspace", "current_user_role"): lambda store, asker, row: role_in(store, asker, row["id"]),
    ("Invitation", "shown_token"): shown_token,
    ("AuditLog", "user_email"): of_user("user_id", "email"),
    ("AuditLog", "user_name"): of_user("user_id", "full_name"),
    ("WorkflowTemplate", "definition"): template_twins.definition,
    ("AuditLog", "change_list"): audit_twins.change_list,
    ("SecurityLog", "change_list"): audit_twins.change_list,
    ("AuditLog", "metadata_text"): audit_twins.metadata_text,
    ("Chat", "agent_slug"): of_agent("slug"),
    ("Chat", "unread_count"): unread,
    ("Chat", "last_activity_at_ms"): lambda store, _, row: (
        row["last_activity_at"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
    ),
    ("Run", "agent_name"): of_agent("name"),
    ("Run", "agent_slug"): of_agent("slug"),
    ("Run", "crew_name"): crew_name,
    ("Run", "from_seq"): from_seq,
    ("RunFrame", "level"): lambda *_: "info",
    ("RunFrame", "agent_slug"): slug_of_run,
    ("RunFrame", "event"): lambda store, _, row: row["payload"]["type"],
    ("RunFrame", "content"): lambda store, _, row: row["payload"]["content"],
    ("RunFrame", "tool"): lambda store, _, row: row["payload"].get("metadata", {}).get("tool_name"),
    ("RunFrame", "event_metadata"): lambda store, _, row: row["payload"].get("metadata"),
    **issue_twins.DERIVED,
    **mission_twins.DERIVED,
    **tracker_twins.DERIVED,
    **activity_twins.DERIVED,
    **account_twins.DERIVED,
    **inbox_twins.DERIVED,
    **cost_twins.DERIVED,
    **chat_twins.DERIVED,
    **told_twins.DERIVED,
    **vault_twins.DERIVED,
    **skill_twins.DERIVED,
    **rights_twins.DERIVED,
    **(routine_twins.DERIVED | routine_run_twins.DERIVED),
    **(integration_twins.DERIVED | keeper_twins.DERIVED | persona_twins.DERIVED | run_twins.DERIVED),
}

# ---- edges: what their declarations say in SQL, said again -----------------------------------------------------------

JOINED: dict[tuple[str, str], Callable[[Store, Row, Row], bool]] = {
    ("Viewer", "workspaces"): lambda store, row, other: other in own_workspaces(store, row["id"]),
    ("Viewer", "memberships"): lambda store, row, other: (
        other["user_id"] == row["id"] and store.by_id("workspaces", other["workspace_id"]) is not None
    ),
    **issue_twins.JOINED,
    **vault_twins.JOINED,
    **(skill_twins.JOINED | run_twins.JOINED | told_twins.JOINED),
}
CONDITIONS: dict[str, Callable[[Row], bool]] = {
    "invitations.accepted_at IS NULL": lambda row: row["accepted_at"] is None,
    **issue_twins.CONDITIONS,
    **persona_twins.CONDITIONS,
    **run_twins.CONDITIONS,
    "approvals.status = 'pending'": lambda row: row["status"] == "pending",
}


def is_tagged(run: Row, tag: str) -> bool:
    tags = (run["data"] or {}).get("tags", [])
    return tag == tags if isinstance(tags, str) else tag in tags


REPORTS: dict[tuple[str, str], Any] = issue_twins.REPORTS | issue_twins.UNIONS | integration_twins.REPORTS
REPORTS |= persona_twins.REPORTS
OF_RUNS: dict[str, Rule] = {"status": "status", "agentId": "agent_id", "trigger": "trigger_type", "tag": is_tagged}
NARROWED: dict[tuple[str, str], Mapping[str, Rule]] = {
    ("Crew", "agents"): {"status": "status", "agentRole": "agent_role"},
    ("Workspace", "agents"): {"crewId": "crew_id"},
    ("Workspace", "chats"): {"origin": "origin"},
    ("Agent", "chats"): {"origin": "origin"},
    ("Workspace", "runs"): OF_RUNS,
    ("Agent", "runs"): OF_RUNS,
    ("Chat", "runs"): OF_RUNS,
    ("Run", "children"): OF_RUNS,
    **mission_twins.NARROWED,
    **activity_twins.NARROWED,
}
KEYS: dict[str, Key] = {
    "runs.began_at DESC": RUNS[0],
    "agents.expired_at IS NULL DESC": agent_twins.IN_ORDER[0],
    "agents.listed_at DESC": agent_twins.IN_ORDER[1],
    "credentials.recency": vault_twins.IN_ORDER[1],
}


def declared_order(edge: Edge) -> Order:
    """The declared keys, and the rest of the primary key in the direction of the last of them."""
    keys: list[Key] = []
    columns: list[str] = []
    for key in edge.order_by:
        clause = key.__clause_element__() if hasattr(key, "__clause_element__") else key
        down = isinstance(clause, UnaryExpression) and clause.modifier is desc_op
        columns.append(str(clause.element if down else clause).rsplit(".", 1)[-1])
        keys.append(KEYS.get(str(clause)) or by("-" * down + columns[-1])[0])
    if keys and "id" not in columns:
        keys += by("-" * keys[-1].down + "id")
    if keys and "workspace_id" in table_of(edge.target).primary_key.columns:
        keys += by("-" * keys[-1].down + "workspace_id")
    return tuple(keys)


MODEL_OF = {"Issue": "Mission", "PersonaVersion": "MemoryVersion"}
"""Types of the schema that are named otherwise than their model, and have pages below them."""


class Twins(Rules):
    def here(self, name: str, store: Store, asker: Asker, arguments: Arguments) -> Asker:
        if name in ANYWHERE:  # these operations ignore the workspace of the call
            return Asker(asker.user_id)
        if name in OF_ROWS:
            return self.beside(*OF_ROWS[name], store, asker, arguments)
        named = [
            arguments[n]
            for n in (("id", "slug") if name == "workspace" else ("workspaceId",))
            if arguments.get(n) is not None
        ]
        if len(named) > 1:
            raise Refused("BAD_REQUEST")
        return member(store, asker, named[0] if named else asker.workspace_id)

    def root(self, name: str, store: Store, asker: Asker, arguments: Arguments) -> Listing | Single:
        root = ANYWHERE.get(name) or (OF_ROWS[name][0] if name in OF_ROWS else HERE[name])
        return root(store, asker, arguments)

    def beside(self, root: Any, table: str, argument: str, store: Store, asker: Asker, arguments: Arguments) -> Asker:
        """A row that the asker cannot reach is one that is not there; a list below it is empty."""
        row = store.by_id(table, arguments[argument])
        try:
            return member(store, asker, row["workspace_id"] if row else None)
        except Refused:
            if root in chat_twins.STRICT:
                raise Refused("NOT_FOUND", by_the_gate=True) from None
            # who names a workspace beside the row is told whether it is theirs
            member(store, asker, asker.workspace_id)
            return Asker(asker.user_id)

    def may_follow(self, type_: str, name: str, asker: Asker) -> bool:
        if (type_, name) not in skill_twins.GATED or asker.workspace_id is None:  # there is nothing to follow
            return True
        return asker.role in skill_twins.GATED[type_, name]

    def order(self, type_: str, name: str, arguments: Arguments) -> Order:
        model = MODEL_OF.get(type_, type_)
        if name in audit_twins.LISTS:
            return audit_twins.chosen(name, arguments)
        if (type_, name) in (("Query", "findRuns"), ("Query", "missions")):
            return run_twins.chosen(arguments) if name == "findRuns" else mission_twins.chosen(arguments)
        if name == "issues" or (model, name) in issue_twins.LISTS:
            return issue_twins.chosen(arguments)
        if type_ == "Query":
            others = agent_twins.ORDERS | {"runs": RUNS, "agentLogs": LOGGED} | chat_twins.ORDERS
            others |= attention_twins.ORDERS | {"inbox": inbox_twins.NEWEST, **vault_twins.ORDERS}
            others |= {"credentialEvents": vault_twins.TOLD, "credentialRotations": vault_twins.TURNED}
            if name == "searchMcpRegistry":
                return registry_twins.found_first(arguments)
            others |= {"mcpRegistry": registry_twins.IN_ORDER}
            others |= dict.fromkeys(("skills", "findSkills"), skill_twins.IN_ORDER)
            others |= {"findMembers": by("created_at", "id"), "findProjects": by(arguments.get("sort") or "name", "id")}
            others |= {"agentSkills": by("created_at", "id")}
            others |= {"agentPersonaVersions": persona_twins.WRITTEN, "proposedSkills": by("file_name", "id")}
            return others.get(name, NEWEST)
        edge = GRAPHS[MODELS[model]][CAMEL.sub(lambda m: f"_{m[1].lower()}", name)]
        assert isinstance(edge, Edge)
        return declared_order(edge)

    def follow(self, model: str, name: str, store: Store, asker: Asker, row: Row, arguments: Arguments) -> Any:
        model = MODEL_OF.get(model, model)
        reports = chat_twins.REPORTS | skill_twins.REPORTS
        if (model, name) in reports:
            return reports[model, name](store, asker, row)
        if (model, name) in DERIVED:
            return DERIVED[model, name](store, asker, row)
        if (model, name) in account_twins.SHOWN | vault_twins.SHOWN:
            return (account_twins.SHOWN | vault_twins.SHOWN)[model, name](store, asker, row)
        if (model, name) in CONFIDENTIAL:
            return row[name] if role_in(store, asker, row["workspace_id"]) in ("OWNER", "ADMIN", "MANAGER") else None
        if (model, name) in attention_twins.UNIONS:
            return attention_twins.UNIONS[model, name](store, asker, row)
        if (model, name) in REPORTS:
            return REPORTS[model, name](store, row)
        edge = GRAPHS[MODELS[model]][name] if model in MODELS and MODELS[model] in GRAPHS else dict[str, Any]()[name]
        assert isinstance(edge, Edge), f"{model}.{name} is derived and has no twin"
        if edge.target.__name__ == "Handover":
            return Single("Handover", None)  # the rows have none
        rows = seen(asker, edge.target.__name__, self.reached(model, name, edge, store, row))
        if edge.target.__name__ == "InboxItem":
            rows = [r for r in rows if inbox_twins.is_for(store, asker, r) and inbox_twins.matches(r, arguments)]
        if edge.target.__name__ == "Approval":
            rows = [r for r in rows if told_twins.is_asked_for(r, arguments)]
        if edge.kind == "count":
            return len(rows)
        target = edge.target.__name__
        if edge.kind == "one":
            return Single(target, rows[0] if rows else None)
        if (model, name) in issue_twins.LISTS:
            return issue_twins.pages(store, rows, arguments)
        for argument, rule in NARROWED.get((model, name), {}).items():
            rows = [r for r in rows if fits(r, rule, arguments.get(argument))]
        order = declared_order(edge)
        page = (edge.input.page_default, edge.input.page_maximum) if edge.input is not None else None  # type: ignore[attr-defined]
        clamped = not getattr(edge.input, "cut_to_default", False)
        return Listing(target, ordered(rows, order), order, page, clamped=clamped)

    def reached(self, model: str, name: str, edge: Edge, store: Store, row: Row) -> list[Row]:
        joined = JOINED.get((model, name)) or (lambda _, row, other: edge.on(row, other))
        inside = issubclass(edge.target, TenantRow) and "workspace_id" in row
        found = [
            o
            for o in store.live(table(edge.target.__name__))
            if joined(store, row, o) and (not inside or o["workspace_id"] == row["workspace_id"])
        ]
        return [o for o in found if all(CONDITIONS[str(c)](o) for c in edge.where)]


def known(type_: str, name: str) -> bool:
    """Whether the oracle can say anything of a field of the schema."""
    if type_ == "Query":
        return name in ROOTS
    unknown = run_twins.UNKNOWN | routine_run_twins.UNKNOWN
    return name != "lastUsedAt" and (type_, name) not in unknown and cost_twins.is_known(type_, name)
