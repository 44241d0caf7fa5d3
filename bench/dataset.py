"""The rows that every implementation starts with, as plain values: 4 workspaces x 50 crews x 6 agents x 8 members,
10,000 issues each.

The same on every machine, with the same ids in the reference schema and the service's own: answers compare.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

WORKSPACES, CREWS, AGENTS, MEMBERS, USERS, ISSUES = 4, 50, 6, 8, 20, 10_000
STATUSES = ("IDLE", "RUNNING", "ERROR")
DESCRIPTION = "A crew that looks after a part of the product."
DOMAINS = ("github.com", "api.example.org", "mirror.example.org")
DEVCONTAINER = '{"features": {"node": "22", "python": "3.12"}}'
MCP_CONFIG = '{"servers": {"gh": {"url": "https://example.org/mcp"}}}'
PROMPT = "You are a careful engineer. " * 8
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class User:
    id: str
    email: str
    full_name: str
    token_id: str
    token: str

    @property
    def token_hash(self) -> bytes:
        return hashlib.sha256(self.token.encode()).digest()


@dataclass(frozen=True)
class Agent:
    id: str
    name: str
    slug: str
    status: str
    lead: bool
    created_at: datetime


@dataclass(frozen=True)
class Crew:
    id: str
    name: str
    slug: str
    issue_prefix: str
    created_at: datetime
    agents: list[Agent] = field(default_factory=list)


@dataclass(frozen=True)
class Issue:
    id: str
    crew_id: str
    number: int
    identifier: str
    title: str
    created_by: str


@dataclass(frozen=True)
class Workspace:
    id: str
    name: str
    slug: str
    users: list[User]
    crews: list[Crew]
    issues: list[Issue]

    @property
    def members(self) -> Iterator[tuple[Crew, User]]:
        return ((crew, user) for crew in self.crews for user in self.users[:MEMBERS])


def generate() -> list[Workspace]:
    source = random.Random(7)
    return [_workspace(source, number) for number in range(WORKSPACES)]


def _cuid(source: random.Random) -> str:
    return "c" + "".join(source.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=24))


def _workspace(source: random.Random, number: int) -> Workspace:
    users = []
    for i in range(USERS):
        user_id = _cuid(source)
        users.append(
            User(
                user_id,
                f"user{i}@workspace{number}.example.org",
                f"User {i}",
                _cuid(source),
                "crewship_cli_" + source.randbytes(32).hex(),
            )
        )
    crews = [_crew(source, number, i) for i in range(CREWS)]
    issues = []
    for i in range(ISSUES):
        crew, count = crews[i % CREWS], i // CREWS + 1
        issues.append(
            Issue(_cuid(source), crew.id, count, f"{crew.issue_prefix}-{count}", f"Issue {i}", users[i % USERS].id)
        )
    return Workspace(_cuid(source), f"Workspace {number}", f"workspace-{number}", users, crews, issues)


def _crew(source: random.Random, workspace: int, number: int) -> Crew:
    created = START + timedelta(minutes=number)
    crew = Crew(_cuid(source), f"Crew {number} of {workspace}", f"crew-{number}", f"C{number}", created)
    for i in range(AGENTS):
        made = created + timedelta(seconds=i)
        crew.agents.append(
            Agent(_cuid(source), f"Agent {i}", f"agent-{number}-{i}", STATUSES[i % len(STATUSES)], i == 0, made)
        )
    return crew
