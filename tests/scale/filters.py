"""The filters that lists are asked with."""

from tests.scale.boards import CREW
from tests.scale.population import AGENT, SECRET, TEN

NEEDING = "nodes { id kind urgency since title subject { __typename } crew { name } agent { name } }"
KINDS = 13  # branches that a page of what needs attention may be of
ATTENTION = {
    "first page": "",
    "questions": "kind: [question]",
    "budgets and credentials": "kind: [budget, credential]",
    "of a crew": f'crewId: "{TEN}"',
    "one row": f'subjectId: "ap_{7:020}"',
    "handed over": "handedOver: true",
    "of late": 'since: "2024-01-01T00:05:00Z"',
}
AGENTS = (
    "", f'crewId: "{CREW}"', 'crewId: "none"', 'search: "9"', "status: IDLE", "agentRole: AGENT", "agentRole: LEAD",
)  # fmt: skip
CREDENTIALS = ("", "status: [ACTIVE]", "status: [EXPIRED]", "type: [SECRET]", "type: [OAUTH2]", 'search: "9"')
NEWEST_CREDENTIALS = ("", 'search: "9"', 'tag: "common"')
MISSIONS = (
    f'crewId: "{TEN}"',
    f'leadAgentId: "{AGENT}"',
    "statuses: [IN_PROGRESS, REVIEW]",
    'status: "IN_PROGRESS"',
    "missionType: orchestration",
    "includeTasks: true",
    "sort: oldest",
    "missionType: orchestration, sort: recently_changed",
)
LOGGED = (
    "sort: newest_first",
    "sort: oldest_first",
    'action: "create"',
    'action: "rotate"',
    'entityType: "agent"',
    f'entityId: "{AGENT}"',
    'dateTo: "2024-01-01T00:05:00Z"',
    'action: "create", dateTo: "2024-01-01T00:05:00Z"',
    'search: "reat"',
)
SOURCES = ("credentials", "keeper")
OTHER_LOGS = (
    *(f"source: {source}" for source in SOURCES),
    "source: credentials, sort: oldest_first",
    'source: keeper, dateTo: "2024-01-01T00:05:00Z"',
)
IN_PAGES = (
    "findProjects",
    "findProjects(status: [in_progress], sort: created_at",
    "findMembers",
    "findInvitations",
    "findSkills",
)
"""Lists that have a field in pages beside the whole one."""
BINDINGS = (
    "",
    "scope: [WORKSPACE]",
    f'scope: [CREW], crewId: "{CREW}"',
    f'scope: [AGENT], agentId: "{AGENT}"',
    f'credentialId: "{SECRET}"',
    'slot: "KEY_7"',
)
SKILLS = (
    'findSkills(category: "CODING", source: "BUNDLED", vendor: "none", maturity: "OFFICIAL", runtime: "ANY",'
    f' search: "name", installed: true, installedForAgentId: "{AGENT}"'
)
