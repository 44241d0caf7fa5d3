"""What needs attention, for the oracle: which rows of each kind, and the columns of their entries."""

from collections.abc import Callable, Iterator
from datetime import UTC, timedelta
from typing import Any

from tests.reader import inbox_twins
from tests.reader.oracle import Asker, Key, Listing, Order, Row, Single, Store, ordered
from tests.reader.words import Arguments, Root, by, tenants

URGENCY = Key(lambda row: row["urgency"], False, "whole")
SINCE = Key(lambda row: row["since"], False, "time")
ORDER: Order = (URGENCY, SINCE, *by("id"))
MANAGERS = ("OWNER", "ADMIN", "MANAGER")
IN_PLACE_OF = ("approval", "escalation", "mission_task", "run", "budget", "work_pause")
Found = Iterator[tuple[int, Any, Any, Row, str, Any, Any]]
"""Urgency, time, title, row, kind of the row, crew, agent."""


def of(store: Store, table: str, id: Any, column: str) -> Any:
    return next((row[column] for row in store.tables[table] if row["id"] == id), None)


def approvals(store: Store, asker: Asker) -> Found:
    for row in tenants(store, asker, "Approval"):
        if row["status"] == "pending":
            urgency = 1 if row["mode"] == "sync" else 3
            crew, agent = row["crew_id"] or None, row["agent_id"] or None
            yield urgency, row["created_at"], row["reason"], row, "approval", crew, agent


def questions(store: Store, asker: Asker) -> Found:
    crews = {crew["id"] for crew in tenants(store, asker, "Crew")}
    for row in tenants(store, asker, "Escalation"):
        if row["status"] == "PENDING" and row["crew_id"] in crews:
            yield 1, row["created_at"], row["reason"], row, "escalation", row["crew_id"], row["from_agent_id"]


def held(store: Store, asker: Asker) -> Found:
    missions = {mission["id"]: mission for mission in tenants(store, asker, "Mission")}
    for row in tenants(store, asker, "MissionTask"):
        mission = missions[row["mission_id"]]
        if row["status"] == "AWAITING_APPROVAL" and mission["status"] == "IN_PROGRESS":
            agent = row["assigned_agent_id"]
            yield 1, row["updated_at"], row["title"], row, "mission_task", mission["crew_id"], agent


def _run(store: Store, run: Row, since: Any) -> tuple[int, Any, Any, Row, str, Any, Any]:
    agent = run["agent_id"]
    title = run["prompt"][:300] or of(store, "agents", agent, "name")
    return 2, since, title, run, "run", of(store, "agents", agent, "crew_id"), agent


def failed(store: Store, asker: Asker) -> Found:
    runs = {run["id"]: run for run in tenants(store, asker, "Run")}
    for item in tenants(store, asker, "InboxItem"):
        about_run = item["kind"] == "failed_run" and item["subject_type"] == "run"
        if about_run and item["state"] != "resolved" and item["subject_id"] in runs:
            yield _run(store, runs[item["subject_id"]] | {"item_id": item["id"]}, item["created_at"])  # type: ignore[operator]


def stuck(store: Store, asker: Asker) -> Found:
    late = store.tables["now"][0]["now"] - timedelta(minutes=10)
    for run in tenants(store, asker, "Run"):
        waits = run["leased_until"] is None and run["created_at"] < late
        lost = run["leased_until"] is not None and run["leased_until"] < late
        if run["status"] == "RUNNING" and (waits or lost):
            yield _run(store, run, run["began_at"])


def budgets(store: Store, asker: Asker) -> Found:
    if asker.role not in MANAGERS:
        return
    today = store.tables["now"][0]["now"].astimezone(UTC).date().isoformat()
    for row in tenants(store, asker, "Budget"):
        span = today if row["period"] == "day" else "total"
        spent = row["exceeded_in"] == span
        if row["reached_at"] is None or span not in (row["exceeded_in"], row["warned_in"]):
            continue
        crew, agent, mission = row["crew_id"], row["agent_id"], row["mission_id"]
        crews = [crew, of(store, "agents", agent, "crew_id"), of(store, "missions", mission, "crew_id"), None]
        names = [of(store, "crews", crew, "name"), of(store, "agents", agent, "name")]
        title = next(t for t in [*names, of(store, "missions", mission, "title"), row["scope"]] if t is not None)
        found = next((id for id in crews if id is not None), None)
        yield 2 if spent else 3, row["reached_at"], title, row, "budget", found, agent


def pauses(store: Store, asker: Asker) -> Found:
    for row in tenants(store, asker, "WorkPause"):
        if row["resumed_at"] is None:
            title, crew = [of(store, "missions", row["mission_id"], column) for column in ("title", "crew_id")]
            yield 2, row["created_at"], title, row, "work_pause", crew, row["agent_id"]


def paused(store: Store, asker: Asker) -> Found:
    for row in tenants(store, asker, "Mission"):
        if row["paused_at"] is not None:
            yield 3, row["paused_at"], row["title"], row, _kind_of(row), row["crew_id"], row["lead_agent_id"]


def _kind_of(mission: Row) -> str:
    return "issue" if mission["mission_type"] == "issue" else "mission"


def reviews(store: Store, asker: Asker) -> Found:
    members = [m["user_id"] for m in store.tables["memberships"] if m["workspace_id"] == asker.workspace_id]
    for row in tenants(store, asker, "Mission"):
        people = [row[f"{who}_id"] for who in ("created_by", "assignee") if row[f"{who}_type"] == "user"]
        nobodys = not set(people) & set(members)
        if row["status"] == "REVIEW" and (asker.user_id in people or (asker.role in MANAGERS and nobodys)):
            yield 3, row["updated_at"], row["title"], row, _kind_of(row), row["crew_id"], row["lead_agent_id"]


def credentials(store: Store, asker: Asker) -> Found:
    for row in tenants(store, asker, "Credential"):
        if row["status"] == "EXPIRED":
            crews = [link for link in store.tables["credential_crews"] if link["credential_id"] == row["id"]]
            first = min(crews, key=lambda link: link["position"], default={"crew_id": None})["crew_id"]
            yield 2, row["updated_at"], row["name"], row, "credential", first, None


def items(store: Store, asker: Asker) -> Found:
    for row in inbox_twins.seen(store, asker):
        is_open = row["state"] != "resolved" and (row["blocking"] or row["state"] == "unread")
        review = row["kind"] == "message" and row["subject_type"] == "issue"
        if not is_open or review or row["subject_type"] in IN_PLACE_OF:
            continue
        sender, agent = row["sender_type"], row["sender_id"] if row["sender_type"] == "agent" else None
        crew = row["sender_id"] if sender == "crew" else of(store, "agents", agent, "crew_id")
        urgency = ("urgent", "high", "medium", "low").index(row["priority"]) + 1
        yield urgency, row["created_at"], row["title"], row, "inbox_item", crew, agent


KINDS: dict[str, Callable[[Store, Asker], Found]] = {
    "approval": approvals, "question": questions, "task": held, "failed_run": failed, "stuck_run": stuck,
    "budget": budgets, "work_pause": pauses, "mission_pause": paused,
    "review": reviews, "credential": credentials, "inbox_item": items,
}  # fmt: skip


def attention(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    kinds, crew, since = arguments.get("kind"), arguments.get("crewId"), arguments.get("since")
    rows = list[Row]()
    for kind, found in KINDS.items():
        for urgency, time, title, row, subject, crew_id, agent_id in found(store, asker):
            if arguments.get("handedOver"):
                continue  # no row of these is left to somebody
            if kinds is not None and kind not in kinds:
                continue
            links = store.tables["credential_crews"] if kind == "credential" else []
            crews = [link["crew_id"] for link in links if link["credential_id"] == row["id"]]
            if crew is not None and crew not in (crews if kind == "credential" else [crew_id]):
                continue
            if arguments.get("subjectId") not in (None, row["id"]):
                continue
            if since is not None and time < since:
                continue
            entry = {"id": f"{kind}:{row['id']}", "kind": kind, "urgency": urgency, "since": time, "title": title[:300]}
            entry |= {"subject_type": subject, "subject_id": row["id"], "crew_id": crew_id, "agent_id": agent_id}
            rows.append(entry | {"workspace_id": row["workspace_id"], "item_id": row.get("item_id")})
    return Listing("Attention", ordered(rows, ORDER), ORDER, (50, 500))


MODELS = {
    "approval": ("Approval", "approvals"), "escalation": ("Escalation", "escalations"), "run": ("Run", "runs"),
    "mission_task": ("MissionTask", "mission_tasks"), "budget": ("Budget", "budgets"), "agent": ("Agent", "agents"),
    "work_pause": ("WorkPause", "work_pauses"), "mission": ("Mission", "missions"), "issue": ("Issue", "missions"),
    "credential": ("Credential", "credentials"), "inbox_item": ("InboxItem", "inbox_items"),
    "crew": ("Crew", "crews"), "chat": ("Chat", "chats"),
}  # fmt: skip


def subject(store: Store, asker: Asker, row: Row) -> Single:
    model, table = MODELS.get(row["subject_type"], ("", ""))
    rows = [r for r in store.live(table) if r["id"] == row["subject_id"]] if table else []
    rows = [r for r in rows if r["workspace_id"] == row["workspace_id"]]
    rows = [r for r in rows if model != "Issue" or r["mission_type"] == "issue"]
    if model == "InboxItem":
        rows = [r for r in rows if inbox_twins.is_for(store, asker, r)]
    if model == "Budget" and asker.role not in MANAGERS:
        rows = []
    return Single(model, rows[0] if rows else None)


HERE: dict[str, Root] = {"attention": attention}
ORDERS = {"attention": ORDER}
UNIONS: dict[tuple[str, str], Callable[[Store, Asker, Row], Single]] = {
    ("Attention", "subject"): subject,
    ("InboxItem", "subject"): subject,
}
