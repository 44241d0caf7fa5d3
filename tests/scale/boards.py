"""Filters and orders of boards, as arguments of the list of issues; not closed."""

from tests.scale.population import AGENT, MISSION

CREW = "ccrew000000000000000000001"
BOARD = (
    f'crewId: "{CREW}", status: [IN_PROGRESS], orderBy: rank_asc',
    "status: [IN_PROGRESS, BACKLOG], orderBy: rank_desc",
    "orderBy: rank_asc",
    "orderBy: created_at_asc",
    "orderBy: updated_at_desc",
    "orderBy: sort_order_asc",
    'projectId: "cprojc000000000000000000001", orderBy: rank_asc',
    f'assigneeId: "{AGENT}", orderBy: rank_asc',
    "unassigned: false, orderBy: rank_asc",
    'milestoneId: "cmiles00000000000000000001"',
    f'parentIssueId: "{MISSION}"',
    f'creatorId: "{AGENT}"',
    f'anyLabelIds: ["clabel{"2".rjust(20, "0")}"]',
    f'allLabelIds: ["clabel{"2".rjust(20, "0")}"]',
    'priority: ["none"], dueBefore: "2030-01-01"',
    'updatedSince: "2024-01-01", missionType: "issue", orderBy: updated_at_desc',
    'label: "Name 2"',
    'search: "issue"',
    'text: "issue"',
    'text: "issue 777"',
    'text: "z"',
    "sort: priority",
)
FAR = ("orderBy: priority_desc", "orderBy: priority_asc", "orderBy: due_date_asc", "orderBy: due_date_desc")
