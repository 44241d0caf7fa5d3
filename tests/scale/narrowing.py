"""Filters of lists that find rows, as they are measured."""

from tests.scale.filters import AGENTS, BINDINGS, CREDENTIALS, NEWEST_CREDENTIALS
from tests.scale.population import AGENT, CHAT, TEN

RUNS = (
    "status: FAILED",
    "status: COMPLETED",
    f'agentId: "{AGENT}"',
    'trigger: "CRON"',
    'trigger: "USER"',
    'tag: "rare"',
    'tag: "common"',
)


FOUND_RUNS = (
    "state: [FAILED]",
    "state: [QUEUED, WAITING, TIMEOUT]",
    f'crewId: "{TEN}"',
    f'agentId: "{AGENT}"',
    'model: "common"',
    'model: "rare"',
    'trigger: ["CRON", "WEBHOOK"]',
    'missionId: "cissue00000000000000000001"',
    'issueId: "cissue00000000000000000001"',
    'since: "2024-01-01T00:00:00Z", until: "2100-01-01T00:00:00Z"',
    "sort: oldest",
    "sort: ended",
    'endedSince: "2024-01-01T00:00:00Z", sort: ended',
)
FOUND_MESSAGES = ("", 'search: "9"', "fromSeq: 500, sort: oldest", "untilSeq: 500")
FOUND_CHATS = (
    f'agentId: "{AGENT}"',
    f'crewId: "{TEN}"',
    'search: "9"',
    "unread: false",
)
FOUND = {
    f"{name}: {chosen or 'first page'}": f"{field}({chosen}"
    for name, field, filters in (
        ("credentials found", "findCredentials", CREDENTIALS),
        ("newest credentials", "newestCredentials", NEWEST_CREDENTIALS),
        ("bindings found", "findCredentialBindings", BINDINGS),
        ("agents found", "findAgents", AGENTS),
        ("chats found", "findChats", FOUND_CHATS),
        ("runs found", "findRuns", FOUND_RUNS),
        ("prices", "modelPrices", ("", 'model: "rare"')),
    )
    for chosen in filters
}
IN_CHAT = f'findMessages(chatId: "{CHAT}"'
FOUND |= {f"messages found: {chosen or 'first page'}": f"{IN_CHAT}, {chosen}" for chosen in FOUND_MESSAGES}
FOUND_IN_PAGES = (
    "findAgents", "findCredentials", "newestCredentials", "findCredentialBindings", "findChats", "findRuns", IN_CHAT,
)  # fmt: skip
"""What a read is called, and its field."""
