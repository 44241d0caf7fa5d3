"""Two workspaces full of rows, and the same question asked of both ways to answer it."""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from graphql import GraphQLSchema

from resolvers.identity.caller import Caller
from schema.bridge import roots
from schema.bridge.endpoint import Endpoint
from schema.bridge.root import schema
from tests.reader.issue_rows import PRIORITIES
from tests.reader.rows import sow
from tests.reader.writer import Writer, Written
from tests.world import Person, World

SCHEMA: GraphQLSchema = schema._schema
# a look outside, a new token each time, how long it has served, and how full the disk is; and lists of words that are
# texts elsewhere, which tests of the journal ask for
UNSTABLE_ROOTS = {"version", "wsToken", "csrfToken", "engine", "runtime", "adminHealth", "journal", "journalCount"}
UNSTABLE_ROOTS |= {"searchConversations", "crewStandup"}
UNSTABLE_FIELDS = {"lastUsedAt"}
IDS = {
    "id": ("crews", "agents", "labels", "memberships", "workspaces"),
    "crewId": ("crews",),
    "agentId": ("agents",),
    "chatId": ("chats",),
    "userId": ("users",),
    "memberId": ("memberships",),
    "projectId": ("projects",),
    "assigneeId": ("agents", "users"),
    "missionId": ("missions",),
}
TABLES = ("crews", "agents", "chats", "runs", "labels", "memberships", "workspaces", "users", "projects")
TABLES += ("missions", "checkpoints", "workflow_templates", "webhook_endpoints", "inbox_items", "service_accounts")
"""Rows of these are named by their ids."""
OF_AN_ISSUE = ("issueInCrew", "subIssues", "issueComments", "issueRelations", "issueActivity", "issueRuns")
"""Roots that name an issue by its crew and its identifier: at random, the two would hardly ever meet."""


@dataclass
class Library:
    world: World
    ids: dict[str, list[str]]
    named: dict[str, list[str]]
    """Values of arguments that are no ids: for issues those of one crew, and any."""
    compiled: Endpoint = field(default_factory=lambda: Endpoint(schema))
    executor: Endpoint = field(default_factory=lambda: Endpoint(schema, compiled=False))
    cursors: list[str] = field(default_factory=list)

    async def ask(
        self,
        endpoint: Endpoint,
        person: Person | Caller,
        text: str,
        variables: Mapping[str, Any] | None = None,
        operation: str | None = None,
    ) -> tuple[int, dict[str, Any]]:
        caller = person if isinstance(person, Caller) else person.caller
        caller.workspace = caller.workspace or self.world.workspace.id
        body = {"query": text, "variables": dict(variables or {}), "operationName": operation, "documentId": None}
        # in turns of its own: what the test computes is not its time
        done = await asyncio.create_task(endpoint.execute(caller, body))
        return done.status, json.loads(done.body)

    async def both(
        self, person: Person, text: str, variables: Mapping[str, Any] | None = None, operation: str | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The answers of the compiled path and of the executor."""
        _, one = await self.ask(self.compiled, person, text, variables, operation)
        _, other = await self.ask(self.executor, person, text, variables, operation)
        return one, other

    async def same(
        self, person: Person, text: str, variables: Mapping[str, Any] | None = None, operation: str | None = None
    ) -> dict[str, Any]:
        """The answer, which both paths have to give."""
        one, other = await self.both(person, text, variables, operation)
        assert canonical(one) == canonical(other), (
            f"\n{text}\n{json.dumps(variables)}\ncompiled {canonical(one)[:2000]}\nexecutor {canonical(other)[:2000]}"
        )
        return one

    def writer(self, seed: int, **options: Any) -> Writer:
        return Writer(SCHEMA, random.Random(seed), self.offer, **options)

    def write(self, seed: int, **options: Any) -> Written:
        return self.writer(seed, offered=stable, **options).document()

    def offer(self, owner: str, argument: str) -> list[Any] | None:
        """Values that are likely to meet a row."""
        world = self.world
        if argument == "workspaceId":
            return [world.workspace.id] * 6 + [world.workspace.slug, world.other.id, None, "nowhere"]
        if owner == "workspace":
            return {"id": [world.workspace.id, world.workspace.id, None], "slug": [None, None, "workspace", "nowhere"]}[
                argument
            ]
        if owner in OF_AN_ISSUE:
            return [*self.named[argument], "none"]
        if owner == "mission":
            return [*self.named["crewId" if argument == "crewId" else "mission"], "none"]
        if (owner, argument) == ("missions", "missionType"):  # an enum there, any text of issues
            return None
        if (owner, argument) == ("auditLog", "source"):  # tests/oversight/audit/test_other_logs.py
            return [None]
        if argument in IDS:
            own = re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", f"{owner}s")
            tables = [own] if own in self.ids else IDS[argument]
            return [id for table in tables for id in self.ids.get(table, ())] + ["none", ""]
        return {
            "first": [1, 2, 3, 5, 0, -1, 500, None],
            "limit": [1, 2, 4, 0, 1000, None],
            "offset": [0, 1, 3, 50, -2, None],
            "since": ["2026-03-01T13:00:00Z", "2026-03-01T15:00:00Z", "1999-01-01T00:00:00Z", None],
            "after": [None, "bad", "W10=", *self.cursors[-40::2]],
            "last": [1, 2, 3, 5, 0, -1, 500, None],
            "before": [None, "bad", "W10=", *self.cursors[-40::2]],
            "page": [1, 2, 3, 0, -1, None],
            "trigger": ["USER", "CRON", "", "none", None],
            "tag": ["chat", "plain", "none", None],
            "identifier": [*self.named["any identifier"], "eng-1", "ENG-", ""],
            "missionType": [*["issue"] * 4, *["orchestration"] * 2, "none", "", None],
            "label": [*self.named["label"], "none", "", None],
            "priority": [[p] for p in PRIORITIES] + [PRIORITIES[:3], [], ["none", "none", "nothing"], None],
            "search": ["PLAIN", "pLaIn", "ünï", "ÜNÏ", "%", "\\", "'", "☃", "xx", "", None],
        }.get(argument)


def stable(type_: str, name: str) -> bool:
    return name not in (UNSTABLE_ROOTS if type_ == "Query" else UNSTABLE_FIELDS)


def canonical(answer: Mapping[str, Any]) -> str:
    """The answer as text, keys in their order; of the cost nothing, and of errors no order."""
    data = plain(answer["data"]) if "data" in answer else "absent"
    return json.dumps(data) + " " + str(sorted(json.dumps(error, sort_keys=True) for error in answer.get("errors", ())))


def plain(value: Any) -> Any:
    """2.0 and 2 are one number of JSON."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def cursors_of(value: Any) -> list[str]:
    """Every cursor of a page's `pageInfo` and edges, under their own names."""
    if isinstance(value, list):
        return [c for v in value for c in cursors_of(v)]
    if not isinstance(value, dict):
        return []
    own = [value[n] for n in ("cursor", "startCursor", "endCursor") if isinstance(value.get(n), str)]
    return own + [c for v in value.values() for c in cursors_of(v)]


@pytest.fixture(scope="module")
async def library(world: World) -> AsyncIterator[Library]:
    """Roots are joined from the first run of a document on."""
    after, roots.JOINED_AFTER = roots.JOINED_AFTER, 0
    await sow(world, 1)
    ids: dict[str, list[str]] = {}
    for (table,) in await world.database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        if table in TABLES:
            ids[table] = [
                row[0] for row in await world.database.fetch(f"SELECT id FROM {table} ORDER BY random() LIMIT 60")
            ]
    yield Library(world, {table: sorted(found) for table, found in ids.items()}, await names(world))
    roots.JOINED_AFTER = after


async def names(world: World) -> dict[str, list[str]]:
    """Of the crew with most issues and one elsewhere: the more hangs on an issue, the more often its identifier."""
    here, away = world.workspace.id, world.other.id
    busiest = "SELECT crew_id FROM missions WHERE workspace_id = $1 GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"
    crews = [await world.database.fetchval(busiest, id) for id in (here, away)]
    issues = await world.database.fetch(
        "SELECT crew_id, id, identifier FROM missions WHERE identifier IS NOT NULL ORDER BY number"
    )
    own = [row["identifier"] for row in issues if row["crew_id"] == crews[0]]
    labels = [row[0] for row in await world.database.fetch("SELECT DISTINCT name FROM labels ORDER BY 1")]
    return {
        "crewId": [crews[0]] * 6 + crews, "identifier": own[:1] * len(own) + own,
        "mission": [row["id"] for row in issues if row["crew_id"] == crews[0]],
        "any identifier": sorted({row["identifier"] for row in issues}),
        "label": labels,
    }  # fmt: skip
