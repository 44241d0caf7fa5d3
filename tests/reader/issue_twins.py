"""What the oracle is told of issues and projects; see tests/reader/twins.py."""

import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tests.reader.oracle import Asker, Key, Listing, Order, Refused, Row, Single, Store, ordered
from tests.reader.words import (
    NEWEST,
    Arguments,
    Root,
    Rule,
    Value,
    by,
    fits,
    found_or_named,
    named_by_slug,
    only,
    tenants,
)

DONE = ("DONE", "COMPLETED")
SORTED: dict[str, Order] = {
    "created_at": by("-created_at", "-id"),
    "updated_at": by("-updated_at", "-id"),
    "priority": by("-priority", "-created_at", "-id"),
    "sort_order": by("-sort_order", "-created_at", "-id"),
}
OLDEST: Order = by("created_at", "id")
BY_HAND: Order = by("sort_order", "created_at", "id")
STAGES: Order = by("position", "created_at", "id")
LATEST_BEGUN: Order = (
    Key(lambda row: row["created_at"] if row["started_at"] is None else row["started_at"], True, "time"),
    Key(lambda row: row["id"], True, "text"),
)


# ---- lists of issues -------------------------------------------------------------------------------------------------


def is_issue(row: Row) -> bool:
    return bool(row["mission_type"] == "issue")


def lower(text: str) -> str:
    """ASCII letters alone."""
    return "".join(c.lower() if "A" <= c <= "Z" else c for c in text)


def upper(text: str) -> str:
    return "".join(c.upper() if "a" <= c <= "z" else c for c in text)


def labels_of(store: Store, mission: Row) -> list[Row]:
    ids = {tie["label_id"] for tie in store.tables["issue_labels"] if tie["mission_id"] == mission["id"]}
    return [label for label in store.live("labels") if label["id"] in ids]


FILTERS: dict[str, Rule] = {
    "projectId": "project_id",
    "crewId": "crew_id",
    "assigneeId": "assignee_id",
    "status": lambda row, given: row["status"] in given,
    "priority": lambda row, given: row["priority"] in given,
    "search": lambda row, given: lower(given) in lower(row["title"]),
    "parentIssueId": "parent_issue_id",
    "milestoneId": "milestone_id",
    "creatorId": "created_by_id",
    "unassigned": lambda row, given: (not row["assignee_id"]) == given,
    "dueBefore": lambda row, given: (
        re.fullmatch(r"\d{4}-\d{2}-\d{2}", row["due_date"] or "") is not None and row["due_date"] < given
    ),
    "updatedSince": lambda row, given: row["updated_at"] >= given,
}


def urgency(row: Row) -> int:
    known = ("none", "low", "medium", "high", "urgent")
    return known.index(row["priority"]) if row["priority"] in known else 0


def due(row: Row) -> str:
    return "none" if row["due_date"] is None else str(row["due_date"])


WAYS: dict[str, Order] = {
    f"{name}_{way}": by(*[f"{sign}{key}" for key in keys])
    for name, keys in {
        "rank": ("rank", "id"),
        "created_at": ("created_at", "id"),
        "updated_at": ("updated_at", "id"),
        "sort_order": ("sort_order", "created_at", "id"),
    }.items()
    for way, sign in (("asc", ""), ("desc", "-"))
} | {
    f"{name}_{way}": (Key(read, way == "desc", kind), *by(*[f"{sign}{key}" for key in ("created_at", "id")]))
    for name, kind, read in (("priority", "whole", urgency), ("due_date", "text", due))
    for way, sign in (("asc", ""), ("desc", "-"))
}


def filtered(store: Store, rows: list[Row], arguments: Arguments) -> list[Row]:
    day = arguments.get("dueBefore")
    if day is not None and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", day) is None:
        raise Refused("BAD_REQUEST")
    for argument, rule in FILTERS.items():
        rows = [row for row in rows if fits(row, rule, arguments.get(argument))]
    for argument, enough in (("anyLabelIds", any), ("allLabelIds", all)):
        wanted = arguments.get(argument)
        if wanted is not None:
            rows = [
                row for row in rows if enough(id in [label["id"] for label in labels_of(store, row)] for id in wanted)
            ]
    name = arguments.get("label")
    return rows if name is None else [row for row in rows if name in [label["name"] for label in labels_of(store, row)]]


def chosen(arguments: Arguments) -> Order:
    if arguments.get("orderBy") is not None:
        return WAYS[arguments["orderBy"]]
    return SORTED[arguments.get("sort") or "created_at"]


def issues(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    kind = arguments.get("missionType")
    rows = [r for r in tenants(store, asker, "Mission") if r["mission_type"] == ("issue" if kind is None else kind)]
    return pages(store, rows, arguments)


LARGEST = Key(lambda row: row["count"], True, "whole")


def issue_counts(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    kind = arguments.get("missionType")
    rows = [r for r in tenants(store, asker, "Mission") if r["mission_type"] == ("issue" if kind is None else kind)]
    counted = Counter[tuple[Any, ...]]()
    for row in filtered(store, rows, arguments):
        assignee = (row["assignee_type"], row["assignee_id"] or None, None)
        project = (None, None, row["project_id"])
        way = {"assignee": (assignee[1], *assignee), "project": (row["project_id"], *project)}
        key = way.get(arguments["by"]) or (row[arguments["by"]], None, None, None)
        counted[(row["workspace_id"], *key)] += 1
    names = ("workspace_id", "key", "assignee_type", "assignee_id", "project_id")
    found = [dict(zip(names, key, strict=True)) | {"count": count} for key, count in counted.items()]
    return Listing("IssueCount", ordered(found, (LARGEST, *by("key", "assignee_type"))))


def pages(store: Store, rows: list[Row], arguments: Arguments) -> Listing:
    order = chosen(arguments)
    return Listing("Mission", ordered(filtered(store, rows, arguments), order), order, (50, 100), clamped=False)


# ---- one issue, and lists of what is below it ------------------------------------------------------------------------


def issue(store: Store, asker: Asker, arguments: Arguments) -> Single:
    written = arguments["identifier"]
    named = {r["identifier"]: r for r in tenants(store, asker, "Mission") if is_issue(r)}
    rows = [named[spelling] for spelling in (written, upper(written), lower(written)) if spelling in named]
    return only(rows[:1], "Mission")


def issue_in_crew(store: Store, asker: Asker, arguments: Arguments) -> Single:
    crews = [crew["id"] for crew in tenants(store, asker, "Crew") if crew["id"] == arguments["crewId"]]
    found = [
        r
        for r in tenants(store, asker, "Mission")
        if is_issue(r) and r["identifier"] == arguments["identifier"] and r["crew_id"] in crews
    ]
    return only(found, "Mission")


def below(
    model: str, key: str, order: Order, most: int | None = None, where: Callable[[Row], bool] = lambda row: True
) -> Root:
    """Rows that name an issue of a crew."""

    def rows(store: Store, asker: Asker, arguments: Arguments) -> Listing:
        above: Any = issue_in_crew(store, asker, arguments).row
        found = [r for r in tenants(store, asker, model) if r[key] == above["id"] and where(r)]
        return Listing(model, ordered(found, order)[:most])

    return rows


def issue_relations(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    row: Any = issue_in_crew(store, asker, arguments).row
    return relations(store, row)


def relations(store: Store, row: Row) -> Listing:
    """As the issue sees them."""
    seen = []
    for relation in store.tables["issue_relations"]:
        if row["id"] not in (relation["source_id"], relation["target_id"]):
            continue
        is_source = relation["source_id"] == row["id"]
        other: Any = store.by_id("missions", relation["target_id" if is_source else "source_id"])
        kind = "blocked_by" if relation["relation_type"] == "blocks" and not is_source else relation["relation_type"]
        told = {
            "id": relation["id"] + (":source" if is_source else ":target"),
            "relation_id": relation["id"],
            "relation_type": kind,
            "target_identifier": other["identifier"],
            "target_title": other["title"],
            "target_status": other["status"],
        }
        seen.append({**relation, **told})
    return Listing("IssueRelationView", ordered(seen, OLDEST))


def issue_by_id(store: Store, asker: Asker, arguments: Arguments) -> Single:
    rows = [row for row in tenants(store, asker, "Mission") if is_issue(row)]
    return only([row for row in rows if row["id"] == arguments["id"]], "Mission")


def issue_runs(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    row: Any = issue_in_crew(store, asker, arguments).row
    named = {task["assignment_id"] for task in store.tables["mission_tasks"] if task["mission_id"] == row["id"]}
    return Listing(
        "Assignment", ordered([r for r in tenants(store, asker, "Assignment") if r["id"] in named], LATEST_BEGUN)[:100]
    )


STATES = ("pending", "blocked", "in_progress", "completed", "failed", "skipped", "awaiting_approval")


def task_stats(store: Store, row: Row) -> Single:
    states = [task["status"].lower() for task in store.tables["mission_tasks"] if task["mission_id"] == row["id"]]
    return Single("TaskStats", {"total": len(states)} | {name: states.count(name) for name in STATES})


# ---- projects --------------------------------------------------------------------------------------------------------


def projects(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    wanted = arguments.get("status")
    rows = [r for r in tenants(store, asker, "Project") if wanted is None or r["status"] in wanted]
    order = by(arguments.get("sort") or "name", "id")
    return Listing("Project", ordered(rows, order), order)


def project(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return only([r for r in tenants(store, asker, "Project") if r["id"] == arguments["id"]], "Project")


def milestones(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    project(store, asker, {"id": arguments["projectId"]})
    return Listing(
        "Milestone",
        ordered([r for r in tenants(store, asker, "Milestone") if r["project_id"] == arguments["projectId"]], STAGES),
    )


HERE: dict[str, Root] = {
    "issues": issues, "issueCounts": issue_counts, "issue": issue, "issueById": issue_by_id,
    "issueInCrew": issue_in_crew,
    "subIssues": below("Mission", "parent_issue_id", BY_HAND, where=is_issue),
    "issueComments": below("IssueComment", "mission_id", OLDEST),
    "issueAttachments": below("IssueAttachment", "mission_id", NEWEST),
    "issueCodeLinks": below("IssueCodeLink", "mission_id", NEWEST),
    "issueActivity": below("IssueActivity", "mission_id", NEWEST, 50),
    "issueRelations": issue_relations, "issueRuns": issue_runs, "projects": projects, "findProjects": projects,
    "project": found_or_named("Project"), "projectBySlug": named_by_slug("Project"),
    "milestones": milestones,
}  # fmt: skip

# ---- derived values --------------------------------------------------------------------------------------------------


def assigned(type_key: str, id_key: str) -> Value:
    """The name of a user or agent, even if deleted."""

    def name(store: Store, _: Asker, row: Row) -> Any:
        users = {u["id"]: u["full_name"] for u in store.tables["users"]}
        agents = {a["id"]: a["name"] for a in store.tables["agents"] if a["workspace_id"] == row["workspace_id"]}
        return {"user": users, "agent": agents}.get(row[type_key], {}).get(row[id_key])

    return name


def actor(type_key: str, id_key: str) -> Value:
    """Of the system, too."""
    name = assigned(type_key, id_key)
    return lambda store, asker, row: "System" if row[type_key] == "system" else name(store, asker, row)


def uploader(store: Store, asker: Asker, row: Row) -> Any:
    """The name of the person, or of the agent."""
    by_type = {**row, "user": "user", "agent": "agent"}
    name = assigned("user", "uploaded_by_user_id")(store, asker, by_type)
    return assigned("agent", "uploaded_by_agent_id")(store, asker, by_type) if name is None else name


def of_row(table: str, key: str, column: str) -> Value:
    """Of a deleted one too."""
    return lambda store, _, row: next(other[column] for other in store.tables[table] if other["id"] == row[key])


def first_line(column: str) -> Value:
    def line(_: Store, __: Asker, row: Row) -> Any:
        text = None if row[column] is None else row[column].split("\n")[0]
        return text[:200] + "…" if text is not None and len(text) > 200 else text

    return line


def duration(_: Store, __: Asker, row: Row) -> int:
    if row["started_at"] is None or row["finished_at"] is None:
        return 0
    lasted = Decimal((row["finished_at"] - row["started_at"]) // timedelta(microseconds=1)) / 1000
    return max(int(lasted.to_integral_value(ROUND_HALF_UP)), 0)


def counted(key: str, *done: str) -> dict[str, Value]:
    """How many issues name a row, and how many of them are done."""

    def states(store: Store, row: Row) -> list[str]:
        return [m["status"] for m in store.live("missions") if m[key] == row["id"] and is_issue(m)]

    def done_of(store: Store, _: Asker, row: Row) -> int:
        return sum(status in done for status in states(store, row))

    def share(store: Store, asker: Asker, row: Row) -> int:
        return 100 * done_of(store, asker, row) // max(len(states(store, row)), 1)

    return {"issue_count": lambda store, _, row: len(states(store, row)), "done_count": done_of, "progress": share}


OF_PROJECT, OF_MILESTONE = counted("project_id", *DONE, "REVIEW"), counted("milestone_id", *DONE)
ON_BOARDS = ("BACKLOG", "TODO", "IN_PROGRESS", "REVIEW", "DONE", "FAILED", "CANCELLED")


def next_statuses(store: Store, asker: Asker, row: Row) -> list[str]:
    return [status for status in ON_BOARDS if status != row["status"]] if row["status"] in ON_BOARDS else []


def level(store: Store, asker: Asker, row: Row) -> Any:
    return row["priority"] if row["priority"] in ("none", "low", "medium", "high", "urgent") else None


DERIVED: dict[tuple[str, str], Value] = {
    **{(model, "priority_level"): level for model in ("Mission", "RecurringIssue", "TriageRule")},
    ("Mission", "next_statuses"): next_statuses,
    ("Mission", "crew_name"): of_row("crews", "crew_id", "name"),
    ("Mission", "crew_slug"): of_row("crews", "crew_id", "slug"),
    ("Mission", "assignee_name"): assigned("assignee_type", "assignee_id"),
    ("Mission", "created_by_name"): actor("created_by_type", "created_by_id"),
    ("IssueComment", "author_name"): actor("author_type", "author_id"),
    ("IssueAttachment", "uploaded_by_name"): uploader,
    ("IssueActivity", "actor_name"): actor("actor_type", "actor_id"),
    ("Assignment", "agent_name"): of_row("agents", "assigned_to_id", "name"),
    ("Assignment", "result_line"): first_line("result_summary"),
    ("Assignment", "error_line"): first_line("error_message"),
    ("Assignment", "duration_ms"): duration,
    ("Project", "lead_name"): assigned("lead_type", "lead_id"),
    **{("Project", name): value for name, value in OF_PROJECT.items()},
    **{("Milestone", name): OF_MILESTONE[name] for name in ("issue_count", "done_count")},
}

# ---- edges -----------------------------------------------------------------------------------------------------------

JOINED: dict[tuple[str, str], Callable[[Store, Row, Row], bool]] = {
    ("Mission", "runs"): lambda store, row, other: (
        other["assignment_id"]
        in [given["id"] for given in store.tables["assignments"] if given["chat_id"] == row["id"]]
    ),
    ("Mission", "labels"): lambda store, row, other: other in labels_of(store, row),
    ("Label", "issues"): lambda store, row, other: row in labels_of(store, other),
}
CONDITIONS: dict[str, Callable[[Row], bool]] = {"missions.mission_type = :mission_type_1": is_issue}
LISTS = {
    ("Workspace", "issues"),
    ("Crew", "issues"),
    ("Project", "issues"),
    ("Milestone", "issues"),
    ("Label", "issues"),
}
"""Edges that take what the list of issues takes, but for the type of the mission."""
REPORTS: dict[tuple[str, str], Callable[[Store, Row], Listing | Single]] = {
    ("Mission", "relations"): relations,
    ("Mission", "task_stats"): task_stats,
}


def actor_row(type_key: str, id_key: str) -> Callable[[Store, Row], Single]:
    """A live agent, or a user who is a member, of the row's workspace; else nobody."""

    def found(store: Store, row: Row) -> Single:
        here = row["workspace_id"]
        members = [m["user_id"] for m in store.tables["memberships"] if m["workspace_id"] == here]
        rows = {
            "user": [u for u in store.tables["users"] if u["id"] == row[id_key] and u["id"] in members],
            "agent": [a for a in store.live("agents") if a["id"] == row[id_key] and a["workspace_id"] == here],
        }.get(row[type_key], [])
        return Single((row[type_key] or "").title(), rows[0] if rows else None)

    return found


UNIONS: dict[tuple[str, str], Callable[[Store, Row], Single]] = {
    ("Mission", "assignee"): actor_row("assignee_type", "assignee_id"),
    ("Mission", "creator"): actor_row("created_by_type", "created_by_id"),
    ("IssueCount", "assignee"): actor_row("assignee_type", "assignee_id"),
    ("IssueComment", "author"): actor_row("author_type", "author_id"),
    ("IssueActivity", "actor"): actor_row("actor_type", "actor_id"),
    ("Project", "lead"): actor_row("lead_type", "lead_id"),
    ("RecurringIssue", "assignee"): actor_row("assignee_type", "assignee_id"),
}
