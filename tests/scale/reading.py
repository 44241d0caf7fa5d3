"""Reads of long lists: how each is asked for, and what it costs."""

import json
import re
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx2

from resolvers.kernel.store.database import database
from tests.scale.boards import BOARD, CREW, FAR
from tests.scale.filters import ATTENTION, IN_PAGES, KINDS, LOGGED, MISSIONS, NEEDING, OTHER_LOGS, SKILLS, SOURCES
from tests.scale.narrowing import FOUND, FOUND_IN_PAGES, FOUND_RUNS, IN_CHAT, RUNS
from tests.scale.plans import explain, listening, nodes
from tests.scale.population import AGENT, BIG, CHAT, HOOK, MISSION, SECRET, SERVER, TEN
from tests.scale.routines import ROUTINE_PAGES, ROUTINES
from tests.stalls import counts, recording
from tests.world import World

REPEATS = 7
DEEPEST = 300_000  # rows that an offset skips at most here


class Kind(StrEnum):
    """What a read costs: its page; rows that an offset skips; the newest rows, up to a limit; rows it counts
    (contract); all it lists, or a refusal.
    """

    page = "page"
    skipped = "skipped"
    bounded = "bounded"
    counted = "counted"
    whole = "whole"


@dataclass(frozen=True)
class Read:
    """`path`, in which `{last}` is the last page's offset, or a GraphQL `field` with its own arguments, not closed.

    `behind`: it begins at a cursor before the last page. `before`: it ends there, walked backwards.
    """

    name: str
    path: str = ""
    field: str = ""
    kind: Kind = Kind.page
    shown: str = "edges { cursor node { __typename } }"
    behind: bool = False
    before: bool = False
    rows: int = 20  # of a page
    beside: int = 0  # buffers for each counted row, where others are looked up: of a question, its crew
    traveller: bool = False  # asked by whoever is in many workspaces


def _list(
    name: str, path: str, field: str, *, counts: bool = False, skips: bool = True, rows: int = 20, **filters: str
) -> Iterator[Read]:
    """`counts`: the answer of REST has a total. `skips`: it is worth while to skip rows of an index. `rows`: that are
    looked at for a page, where these are of several kinds.
    """
    mark = "&" if "?" in path else "?"
    yield Read(
        f"{name}: first page{' and total' * counts}",
        f"{path}{mark}limit=20",
        kind=Kind.counted if counts else Kind.page,
        rows=rows,
    )
    if skips:
        yield Read(f"{name}: last page by offset", f"{path}{mark}limit=20&offset={{last}}", kind=Kind.skipped)
    yield Read(f"{name}: behind a cursor at the end", field=field, behind=True)
    if field != "journal":  # which goes forwards
        yield Read(f"{name}: before a cursor at the end", field=field, before=True)
    yield Read(f"{name}: totalCount", field=field, kind=Kind.counted, shown="totalCount")
    for filter, value in filters.items():
        yield Read(
            f"{name}: {filter}={value}{' and total' * counts}",
            f"{path}{mark}limit=20&{filter}={value}",
            kind=Kind.counted if counts else Kind.page,
            rows=rows,
        )


INBOX = ("state: active", "state: unread", "state: resolved", "kind: [failed_run]", "kind: [message, failed_run]")
SHOWN_OF_RUNS = "nodes { id status agentName crewName fromSeq }"
READS = (
    *_list("crews", "/api/v1/crews", "crews"),
    *_list("notifications", "/api/v1/notifications", "notifications", read="false"),
    *_list("approvals", "/api/v1/approvals?status=all", 'approvals(status: "all"'),
    *_list("approval gates", "/api/v1/approval-gates", "approvalGates"),
    Read("approvals: pending", "/api/v1/approvals?limit=20&status=pending"),
    *_list("credentials", "/api/v1/credentials", "credentials", search="9", tag="common"),
    Read("newest credentials: first page", "/api/v1/credentials?paginate=true&limit=20"),
    *_list("timeline of a credential", f"/api/v1/credentials/{SECRET}/audit", f'credentialEvents(id: "{SECRET}"'),
    *_list("rotations", f"/api/v1/credentials/{SECRET}/rotations", f'credentialRotations(id: "{SECRET}"'),
    *(Read(name, field=field) for name, field in FOUND.items()),
    Read("credentials of an agent", f"/api/v1/agents/{AGENT}/credentials"),
    *_list("webhook endpoints", "/api/v1/webhook-endpoints", "webhookEndpoints"),
    *_list(
        "webhook deliveries",
        f"/api/v1/webhook-endpoints/{HOOK}/deliveries",
        f'webhookDeliveries(id: "{HOOK}"',
        state="failed",
    ),
    *_list(
        *("notification deliveries", "/api/v1/notification-deliveries", "notificationDeliveries"),
        **{"status": "failed", "channel_id": "nch_1", "category": "issues.created"},
    ),
    *_list(
        *("deliveries", f"/api/v1/agents/{AGENT}/webhook/deliveries", f'webhookReceipts(agentId: "{AGENT}"'),
        result="accepted",
    ),
    Read("inbox: first page", "/api/v1/inbox?limit=20"),
    Read("inbox: failed runs that are active", "/api/v1/inbox?limit=20&state=active&kind=failed_run"),
    *(Read(f"inbox: {chosen}", field=f"inbox({chosen}") for chosen in INBOX),
    Read("inbox: behind a cursor at the end", field="inbox", behind=True),
    Read("inbox: totalCount", field="inbox", kind=Kind.counted, shown="totalCount"),
    Read("inbox: unread items", "/api/v1/inbox/count"),
    *(
        Read(f"attention: {name}", field=f"attention({chosen}", shown=NEEDING, rows=KINDS * 20)
        for name, chosen in ATTENTION.items()
    ),
    *(
        Read(f"attention: {side} a cursor at the end", field="attention", rows=KINDS * 20, **{side: True})
        for side in ("behind", "before")
    ),
    Read("attention: totalCount", field="attention", kind=Kind.counted, rows=KINDS * 20, beside=1, shown="totalCount"),
    *_list("agents", "/api/v1/agents", "agents", crew_id=CREW),
    *(Read(f"{field}: behind a cursor", field=field, behind=True) for field in FOUND_IN_PAGES),
    *_list("chats", "/api/v1/chats", "chats", origin="CRON"),
    Read("chats found: unread among 1,000", field="findChats(unread: true", rows=1_000),
    *_list("messages", f"/api/v1/chats/{CHAT}/messages", f'messages(chatId: "{CHAT}"'),
    Read("messages found: of the newest 20,000", field=f'{IN_CHAT}, search: "x"', kind=Kind.skipped),
    Read("reactions to a message", f"/api/v1/chats/{CHAT}/messages/msg_{7:020}/reactions", rows=1),
    *_list("runs", "/api/v1/runs", "runs", counts=True, status="FAILED", agent_id=AGENT, trigger="CRON", tag="rare"),
    Read("runs: first page", field="runs", shown=SHOWN_OF_RUNS),
    Read("runs found: first page", field="findRuns", shown=SHOWN_OF_RUNS),
    Read("runs found: of the newest 20,000", field='findRuns(search: "x9"', kind=Kind.bounded),
    *(Read(f"runs found: {chosen}, behind", field=f"findRuns({chosen}", behind=True) for chosen in FOUND_RUNS[:4]),
    *(Read(f"runs: {chosen}", field=f"runs({chosen}", shown=SHOWN_OF_RUNS) for chosen in RUNS),
    *(
        Read(
            f"runs: {chosen}, {side} a cursor", field=f"runs({chosen}", behind=side == "behind", before=side == "before"
        )
        for chosen in (RUNS[1], RUNS[2], RUNS[6])
        for side in ("behind", "before")
    ),
    *_list(
        "issues",
        "/api/v1/issues",
        "issues",
        mission_type="issue",
        status="IN_PROGRESS",
        priority="none",
        crew_id=CREW,
        assignee_id=AGENT,
        project_id="cprojc000000000000000000001",
        label="Name%202",
        search="issue",
        sort="priority",
    ),
    *(Read(f"issues: {chosen}", field=f"issues({chosen}", behind=chosen in FAR) for chosen in (*BOARD, *FAR)),
    *(Read(f"issues: by {sort}", f"/api/v1/issues?limit=20&sort={sort}") for sort in ("updated_at", "sort_order")),
    *_list("security log", "/api/v1/me/security-log", "securityLog"),
    *_list("missions", "/api/v1/missions", "missions", status="IN_PROGRESS", include_tasks="true"),
    *(Read(f"missions: {chosen}", field=f"missions({chosen}") for chosen in MISSIONS),
    *_list(
        "missions of a crew", f"/api/v1/crews/{CREW}/missions", f'crewMissions(crewId: "{CREW}"', status="IN_PROGRESS"
    ),
    *_list("checkpoints", f"/api/v1/missions/{MISSION}/checkpoints", f'checkpoints(missionId: "{MISSION}"'),
    *_list(
        "audit log",
        "/api/v1/audit",
        "auditLog",
        counts=True,
        skips=False,  # rows are so small that PostgreSQL reads all of them rather than 300,000 in the order of an index
        source="workspace",
        action="rotate",
        entity_type="Backup",
        entity_id="rare",
        user_id="{traveller}",
        sort="oldest_first",
        search="reat",
        date_to="2024-01-01T00:05:00Z",
        date_from="2024-01-01T00:05:00Z",
    ),
    *(
        Read(
            f"audit log: {chosen}{f', {side} a cursor' if side else ''}",
            field=f"auditLog({chosen}",
            behind=side == "behind",
            before=side == "before",
        )
        for chosen in (*LOGGED, *OTHER_LOGS)
        for side in ("", "behind", "before")
    ),
    *(
        Read(f"audit log: source={source} and total", f"/api/v1/audit?limit=20&source={source}", kind=Kind.counted)
        for source in SOURCES
    ),
    *_list(
        "MCP tool calls",
        "/api/v1/mcp-tool-calls",
        "mcpToolCalls",
        agent_id=AGENT,
        status="denied",
        server_id="charts",
        since="2024-01-01",
        until="2024-01-02",
    ),
    *_list("agent logs", f"/api/v1/agents/{AGENT}/logs", f'agentLogs(agentId: "{AGENT}"'),
    *_list(
        "journal",
        "/api/v1/journal",
        "journal",
        crew_id=TEN,
        agent_id=AGENT,
        crew_ids=TEN,
        agent_ids=AGENT,
        mission_id="rare",
        trace_id="run-1",
        entry_type="policy.changed",
        exclude_entry_type="policy.changed",
        severity="error",
        actor_type="agent",
        priority="pin",
        since="2024-01-01T00:00:00Z",
        until="2999-01-01T00:00:00Z",
    ),
    # buckets of time are looked at beside the newest lines, as soon as there are more than these
    Read("journal: q=rare", "/api/v1/journal?limit=20&q=rare", kind=Kind.counted),
    *_list(
        "calls of models",
        "/api/v1/model-calls",
        "modelCalls",
        run_id="run-" + "7".rjust(20, "0"),
        mission_id="rare",
        agent_id=AGENT,
        crew_id=TEN,
        model="rare",
        date_from="2024-01-01T00:05:00Z",
        date_to="2024-01-01T00:05:00Z",
    ),
    *_list(
        "budgets",
        "/api/v1/budgets",
        "budgets",
        mission_id=MISSION,
        agent_id=AGENT,
        crew_id=TEN,
    ),
    *_list("paused work", "/api/v1/work-pauses", "workPauses", mission_id=MISSION, agent_id=AGENT),
    *_list("the keeper's log", "/api/v1/admin/keeper/requests", "keeperRequests"),
    *_list("service accounts", "/api/v1/service-accounts", "serviceAccounts"),
    *_list(
        "versions of a persona", f"/api/v1/agents/{AGENT}/persona/history", f'agentPersonaVersions(agentId: "{AGENT}"'
    ),
    *_list("escalations", f"/api/v1/crews/{TEN}/escalations", f'escalations(crewId: "{TEN}"', status="PENDING"),
    Read("escalations: pending", "/api/v1/escalations/pending-count", kind=Kind.counted),
    *_list("assignments of a crew", f"/api/v1/crews/{TEN}/assignments", f'crewAssignments(crewId: "{TEN}"'),
    *_list("peer conversations", f"/api/v1/crews/{TEN}/peer-conversations", f'peerConversations(crewId: "{TEN}"'),
    *_list("activity", "/api/v1/activity", "activity", rows=60, crew_id=TEN, agent_id=AGENT),
    Read("runs of an agent", f"/api/v1/agents/{AGENT}/runs", rows=100),
    Read("chats of an agent, unread messages counted", f"/api/v1/agents/{AGENT}/chats", rows=100),
    Read("an agent and its counts", f"/api/v1/agents/{AGENT}", kind=Kind.counted),
    Read("a crew and its counts", f"/api/v1/crews/{CREW}", kind=Kind.counted),
    Read("counters of agents", "/api/v1/agents/crews-status", kind=Kind.counted),
    *(Read(name, f"/api/v1/{name}", kind=Kind.whole) for name in ("labels", "skills")),
    *(Read(f"{field}: in pages", field=field, kind=Kind.whole) for field in (*IN_PAGES, SKILLS)),
    Read("the MCP registry", "/api/v1/mcp-registry", kind=Kind.counted, rows=50),
    Read(
        "the MCP registry, searched",
        "/api/v1/mcp-registry/search?q=name&featured=0&trust_tier=community",
        kind=Kind.whole,  # of the registry
    ),
    Read("the MCP registry: featured", "/api/v1/mcp-registry?featured=1", kind=Kind.counted, rows=50),
    Read("the MCP registry: trust_tier", "/api/v1/mcp-registry?trust_tier=community", kind=Kind.counted, rows=50),
    Read("the MCP registry: behind a cursor at the end", field="mcpRegistry", behind=True),
    Read("the MCP registry: before a cursor at the end", field="mcpRegistry", before=True),
    Read("skills of an agent", f"/api/v1/agents/{AGENT}/skills", kind=Kind.whole),
    Read("skills that agents have, searched", "/api/v1/skills?installed=1&search=name", kind=Kind.whole),
    Read("MCP servers", "/api/v1/integrations", kind=Kind.whole),
    Read("MCP servers of a crew", f"/api/v1/crews/{CREW}/integrations", kind=Kind.whole),
    Read("MCP servers of all crews", "/api/v1/integrations/crews", kind=Kind.whole),
    Read("tools of an MCP server", f"/api/v1/crews/{CREW}/integrations/{SERVER}/tools", kind=Kind.whole),
    Read("MCP servers an agent is bound to", f"/api/v1/agents/{AGENT}/integrations", kind=Kind.whole),
    Read("MCP servers an agent can use", f"/api/v1/agents/{AGENT}/integrations/resolved", kind=Kind.whole),
    Read("proposed skills", f"/api/v1/skills/proposed?crew_id={CREW}", kind=Kind.whole),
    Read("recurring issues", f"/api/v1/recurring-issues?crew_id={CREW}", kind=Kind.whole),
    Read("triage rules", "/api/v1/triage-rules", kind=Kind.whole),
    *(Read(name, path, kind=Kind.whole) for name, path in ROUTINES.items()),
    *(Read(name, path) for name, path in ROUTINE_PAGES.items()),
    Read("approvals of runs of routines", field="findWaitpoints", kind=Kind.whole),
    Read("saved views", "/api/v1/saved-views", kind=Kind.whole),
    Read("mission templates", "/api/v1/templates", kind=Kind.whole),
    Read("workflow templates", "/api/v1/workflow-templates", kind=Kind.whole),
    Read("members", "/api/v1/workspaces/{workspace}/members", kind=Kind.whole),
    Read("members and their capabilities", "/api/v1/workspaces/{workspace}/members/capabilities", kind=Kind.whole),
    Read("invitations", "/api/v1/workspaces/{workspace}/invitations", kind=Kind.whole),
    Read("members of a crew", f"/api/v1/crews/{CREW}/members", kind=Kind.whole),
    Read("connections of crews", "/api/v1/crew-connections", kind=Kind.whole),
    Read("load of agents", "/api/v1/agent-load", kind=Kind.whole),
    Read("tokens", "/api/v1/auth/cli-tokens", kind=Kind.whole),
    Read("sessions", "/api/v1/auth/sessions", kind=Kind.whole),
    Read("workspaces (1,000 at most)", "/api/v1/workspaces", kind=Kind.whole, traveller=True),
)


def _create(what: str, **values: str) -> tuple[str, Callable[[str], dict[str, Any]]]:
    document = f"mutation($ws: ID!, $i: Create{what}Input!) {{ create{what}(workspaceId: $ws, input: $i) {{ id }} }}"
    return document, lambda number: {name: value.format(number) for name, value in values.items()}


SEND = "mutation($i: SendMessageInput!) { sendMessage(input: $i) { runId } }"
WRITES = {
    "create a crew": _create("Crew", name="{}", slug="new-{}"),
    "create an agent": _create("Agent", name="{}", slug="new-{}"),
    "create a chat": _create("Chat", agentId=AGENT, sessionId="new-{}"),
    "send a message": (SEND, lambda number: {"chatId": f"new-{number}", "content": "Hello"}),
}
"""Each: a document, and the input of the call of a number. A message is sent in a chat that was created before."""
WARM = 3  # calls that are not counted


@dataclass
class Cost:
    """Of one read: p50 in milliseconds, buffers of all its statements, and the large tables it read from end to end."""

    status: int
    p50: float
    buffers: int
    scanned: set[str] = field(default_factory=set)
    bytes: int = 0
    stalls: list[str] = field(default_factory=list)


@contextmanager
def watched() -> Iterator[list[str]]:
    """What held the loop of the server meanwhile, longer than a test allows."""
    file, found = recording(), list[str]()
    begin = file.stat().st_size
    yield found
    with file.open("rb") as written:
        written.seek(begin)
        seen = [stall for stall in map(json.loads, written) if counts(stall)]
    found += [f"{stall['seconds']:.2f} s in {stall['operation']}" for stall in seen]


class Reader:
    def __init__(self, world: World, rows: int) -> None:
        self.world, self.rows = world, rows
        self.other = world.nobody.user_id
        self.skipped = max(0, min(rows - 20, DEEPEST))
        self.client, self.traveller = world.client(world.owner), world.client(world.nobody)

    async def ask(self, read: Read, cursor: str | None) -> httpx2.Response:
        if read.field:
            place = {"last": 20, "before": cursor} if read.before else {"after": cursor}
            return await self._connection(read, **place)
        path = read.path.format(
            last=self.skipped, workspace=self.world.workspace.id, traveller=self.world.nobody.user_id
        )
        if read.traveller:
            return await self.traveller.get(path)
        return await self.client.get(f"{path}{'&' if '?' in path else '?'}workspace_id={self.world.workspace.id}")

    async def _connection(self, read: Read, shown: str = "", **arguments: Any) -> httpx2.Response:
        name, _, own = read.field.partition("(")
        given = {name: value for name, value in arguments.items() if value is not None}
        if "last" not in given:
            given["first"] = 20
        if "chatId" not in own and name not in ("securityLog", "mcpRegistry"):  # of no workspace, or of a chat's
            given["workspaceId"] = self.world.workspace.id
        every = ", ".join(filter(None, [own, *(f"{name}: {json.dumps(value)}" for name, value in given.items())]))
        return await self.client.post("/graphql", json={"query": f"{{ {name}({every}) {{ {shown or read.shown} }} }}"})

    async def cursor(self, read: Read) -> str | None:
        """Of the row before the last page of the list."""
        total = await self._connection(read, shown="totalCount")
        rows = next(iter(total.json()["data"].values()))["totalCount"]
        answer = await self._connection(read, offset=max(0, rows - 40))
        data = next(iter(answer.json()["data"].values()))
        return data["edges"][min(19, len(data["edges"]) - 1)]["cursor"] if data["edges"] else None

    async def cost(self, read: Read) -> Cost:
        cursor = await self.cursor(read) if read.behind or read.before else None
        with watched() as stalls:
            for _ in range(3):  # plans are made, prepared, and kept
                answer = await self.ask(read, cursor)
            assert answer.status_code in ((200, 413) if read.kind is Kind.whole else (200,)), f"{read}: {answer.text}"
            assert not re.match(rb'\{"errors"', answer.content), answer.text
            took = []
            for _ in range(REPEATS):
                begun = time.perf_counter()
                await self.ask(read, cursor)
                took.append((time.perf_counter() - begun) * 1000)
        with listening() as heard:
            await self.ask(read, cursor)
        made = Cost(answer.status_code, statistics.median(took), 0, bytes=len(answer.content), stalls=stalls)
        for sql, args in heard:
            plan = await explain(sql, args)
            if plan is None:
                continue
            made.buffers += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
            made.scanned |= {
                node["Relation Name"]
                for node in nodes(plan)
                if node["Node Type"].endswith("Seq Scan") and node["Relation Name"] in BIG and node["Actual Loops"]
            }
        return made

    async def writes(self) -> dict[str, Cost]:
        """Commands, each with rows of its own."""
        return {name: await self._write(document, values) for name, (document, values) in WRITES.items()}

    async def _write(self, document: str, values: Callable[[str], dict[str, Any]]) -> Cost:
        took, before = [], 0
        for number in range(WARM + REPEATS):
            if number == WARM:
                before = await _buffers_of_the_pool()
            variables = {"i": values(f"{self.rows}-{number}")} | (
                {"ws": self.world.workspace.id} if "$ws" in document else {}
            )
            begun = time.perf_counter()
            answer = await self.client.post("/graphql", json={"query": document, "variables": variables})
            took.append((time.perf_counter() - begun) * 1000)
            assert "errors" not in answer.json(), answer.text
        return Cost(200, statistics.median(took[WARM:]), (await _buffers_of_the_pool() - before) // REPEATS)


async def _buffers_of_the_pool() -> int:
    """Those that the application's connections have read so far; each tells its own, which is why it is asked."""
    for conn in (connections := list(database.pool.free)):
        await conn.fetchval("SELECT pg_stat_force_next_flush()")
        await conn.fetchval("SELECT 1")
    pids = [conn.get_server_pid() for conn in connections]
    counted = (
        "SELECT coalesce(sum(hits + reads), 0)::bigint"
        " FROM unnest($1::int[]) AS p, pg_stat_get_backend_io(p) WHERE object = 'relation'"
    )
    async with database.lease() as conn:
        found: int = await conn.fetchval(counted, pids)
    return found
