"""A workspace as large as one likes: every list of it has `rows` rows."""

from dataclasses import dataclass
from typing import Any

import asyncpg

from models.base import classes_of_tables, table_of
from resolvers.resources.costs.pricing import MOST_PRICES
from tests.scale.routines import fill_routines

CHAT, AGENT = "scale-chat", "cagent00000000000000000001"
TEN = "ccrewt00000000000000000001"
"""The crew of the agents that chats, runs and activity are of."""
RARE = "i <= 1000 AND i % 50 = 0"
"""What filters look for: a page of the oldest rows, whatever the size, so that whoever looks for them from the newest
on passes all others.
"""
COMMON = """'["common"]'"""
BIG = (
    "crews", "agents", "chats", "messages", "message_reactions", "runs", "run_tags", "run_frames", "missions",
    "checkpoints", "issue_labels", "assignments", "peer_conversations", "escalations", "memory_versions",
    "inbox_items", "notifications", "approvals", "approval_gates", "credentials", "agent_credentials",
    "credential_bindings", "credential_events", "credential_rotations", "webhook_endpoints", "webhook_deliveries",
    "webhook_receipts", "notification_deliveries", "journal", "journal_entries", "events", "audit_logs",
    "security_logs", "mcp_tool_calls",
    "service_accounts", "model_calls", "keeper_requests", "cost_days", "budgets", "work_pauses", "routine_runs",
    "routine_schedules", "routine_webhooks",
)  # fmt: skip
"""The tables that hold the rows."""
WHOLE, OWN, CATALOG, PROPOSALS = 100_000, 1_000, 10_000, 50
"""Rows at most of what is listed as a whole, workspaces of one user, skills, and those that a crew proposes."""

GENERIC = {
    "text": "''",
    "character varying": "''",
    "integer": "0",
    "bigint": "0",
    "boolean": "false",
    "double precision": "0",
    "timestamp with time zone": "now()",
    "jsonb": "'{}'::jsonb",
    "ARRAY": "'{}'",
    "bytea": "''",
    "smallint": "0",
    "date": "'2024-01-01'",
}
NUMBER = "lpad(i::text, 20, '0')"
WHEN = "timestamptz '2024-01-01' + i * interval '7 seconds'"
TIMES = dict.fromkeys(("created_at", "updated_at", "started_at", "last_activity_at"), WHEN)
AGENTS = "'cagent' || lpad((1 + i % 10)::text, 20, '0')"
"""The agents that chats and runs are of: each has a tenth of all."""
SERVER = "ccrmcp" + "1".rjust(20, "0")
MISSION = "cissue" + "7".rjust(20, "0")
"""The one that all checkpoints are of."""
COLUMNS = """
    SELECT column_name, data_type, is_nullable = 'YES' OR column_default IS NOT NULL OR is_identity = 'YES'
        OR is_generated = 'ALWAYS' AS free
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1
"""


def _default(table: str, column: str) -> str | None:
    """What the model stores where nothing is given, as SQL."""
    model = next(model for model in classes_of_tables() if table_of(model).name == table)
    value = model.model_fields[column].default
    return f"'{value}'" if isinstance(value, (str, bool, int, float)) else None


HOOK = "cwebho" + "1".rjust(20, "0")
SECRET = "csecre" + "1".rjust(20, "0")
LABEL = "clabel" + "1".rjust(20, "0")
SEALED = """
    INSERT INTO instance_facts (name, value, created_at)
    SELECT 'audit_sealed', max(seq)::text, now() FROM audit_logs ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""
"""From which on rows of the audit log have lines in the journal."""


GRAMS = f"""
    INSERT INTO issue_texts (place, mission_id, comment_id, grams)
    SELECT workspace_id, id, '', issue_grams_stored(workspace_id, concat_ws(E'\\n', identifier, title, description))
    FROM generate_series({{first}}, {{last}}) i JOIN missions ON id = 'cissue' || {NUMBER}
"""
"""What a trigger writes otherwise."""


@dataclass
class Population:
    """`superuser` writes past triggers and foreign keys. Rows are numbered from 1; more can be added."""

    superuser: "asyncpg.Connection[Any]"
    workspace_id: str
    user_id: str  # of whom there are sessions and tokens
    traveller: str  # a user who is in many workspaces
    rows: int = 0

    async def fill(self, table: str, first: int, last: int, **values: str) -> None:
        """`values`: column -> SQL over the row's number `i`. Whatever else must be there gets something of its type."""
        columns = await self.superuser.fetch(COLUMNS, table)
        if not columns:
            return
        chosen = {
            c["column_name"]: _default(table, c["column_name"]) or GENERIC[c["data_type"]]
            for c in columns
            if not c["free"]
        }
        known = {c["column_name"] for c in columns}
        chosen |= {
            name: value
            for name, value in ({"workspace_id": f"'{self.workspace_id}'"} | values).items()
            if name in known
        }
        names, made = ", ".join(chosen), ", ".join(chosen.values())
        await self.superuser.execute(
            f"INSERT INTO {table} ({names}) SELECT {made} FROM generate_series({first}, {last}) AS i"
        )

    async def grow(self, rows: int) -> None:
        first, last = self.rows + 1, rows
        await self.superuser.execute("SET session_replication_role = replica; SET statement_timeout = 0")
        await self._agents(first, last)
        await self._chats(first, last)
        await self._runs(first, last)
        await self._issues(first, last)
        await self.superuser.execute(GRAMS.format(first=first, last=last))
        await self._activity(first, last)
        await self._inbox(first, last)
        await self._journal(first, last)
        await self.fill("events", first, last, channel=f"'workspace:{self.workspace_id}'", type="'crew.updated'")
        await self._logs(first, last)
        await self._money(first, last)
        await fill_routines(self.fill, first, last, NUMBER, RARE, TIMES)
        await self._whole(first, min(last, WHOLE))
        await self.superuser.execute("SET session_replication_role = origin")
        await self.superuser.execute("VACUUM (ANALYZE)")
        self.rows = rows

    async def _logs(self, first: int, last: int) -> None:
        """What filters look for are the oldest rows; whoever else did something has left."""
        about = {
            "action": f"CASE WHEN {RARE} THEN 'rotate' ELSE 'create' END",
            "entity_type": f"CASE WHEN {RARE} THEN 'backup' ELSE 'AGENT' END",
            "entity_id": f"CASE WHEN {RARE} THEN 'rare' ELSE {AGENTS} END",
            "user_id": f"CASE WHEN {RARE} THEN '{self.traveller}' ELSE '{self.user_id}' END",
        }
        await self.fill("audit_logs", first, last, id=f"'caudit' || {NUMBER}", **about, **TIMES)
        await self.superuser.execute(SEALED)
        own = {"action": "'session.created'", "user_id": f"'{self.user_id}'"}
        await self.fill("security_logs", first, last, id=f"'cseclg' || {NUMBER}", **own, **TIMES)
        call = {
            "agent_id": AGENTS,
            "mcp_server_id": "'charts'",
            "mcp_server_scope": "'crew'",
            "tool_name": "'plot'",
            "status": f"CASE WHEN {RARE} THEN 'denied' ELSE 'success' END",
        }
        await self.fill("mcp_tool_calls", first, last, id=f"'cmcall' || {NUMBER}", **call, **TIMES)

    async def _agents(self, first: int, last: int) -> None:
        await self.fill(
            "crews",
            first,
            last,
            id=f"'ccrew0' || {NUMBER}",
            name="'Crew ' || i",
            slug="'crew-' || i",
            version="1",
            **TIMES,
        )
        kinds = {
            "version": "1",
            "agent_role": "CASE WHEN i IN (5, 500) THEN 'LEAD' ELSE 'AGENT' END",
            "status": "'IDLE'",
            "cli_adapter": "'CLAUDE_CODE'",
            "tool_profile": "'FULL'",
        }
        crew = f"CASE WHEN i <= 10 THEN '{TEN}' ELSE 'ccrew0' || lpad((1 + i % 10)::text, 20, '0') END"
        robot = {"name": "'Robot ' || i", "role": "'MEMBER'", "version": "1"}
        await self.fill("service_accounts", first, last, id=f"'sa_' || {NUMBER}", **robot, **TIMES)
        if first == 1:
            await self.fill("crews", 0, 0, id=f"'{TEN}'", name="'Ten'", slug="'ten'", version="1")
        await self.fill(
            "agents",
            first,
            last,
            id=f"'cagent' || {NUMBER}",
            crew_id=crew,
            name="'Agent ' || i",
            slug="'agent-' || i",
            **kinds,
            **TIMES,
        )

    async def _chats(self, first: int, last: int) -> None:
        kinds = {"visibility": "'private'", "mode": "'CHAT'", "status": "'ACTIVE'"}
        origin = f"CASE WHEN {RARE} THEN 'CRON' ELSE 'UI' END"
        await self.fill(
            "chats",
            first,
            last,
            id=f"'cchat0' || {NUMBER}",
            agent_id=AGENTS,
            title="'Chat ' || i",
            origin=origin,
            **kinds,
            **TIMES,
        )
        if first == 1:
            await self.fill("chats", 0, 0, id=f"'{CHAT}'", agent_id=f"'{AGENT}'", origin="'UI'", **kinds)
        said = {"chat_id": f"'{CHAT}'", "content": "'message ' || i", "role": "'assistant'", "seq": "i"}
        await self.fill("messages", first, last, id=f"'msg_' || {NUMBER}", **said, **TIMES)
        sent = {
            "agent_id": f"'{AGENT}'",
            "key": "i::text",
            "event": "'ping'",
            "scheme": "'body_only'",
            "result": "'accepted'",
        }
        await self.fill("webhook_receipts", first, last, id=f"'crecpt' || {NUMBER}", **sent, **TIMES)
        reacted = {"chat_id": f"'{CHAT}'", "message_id": f"'msg_' || {NUMBER}", "emoji": "'👍'"}
        reacted |= {"user_id": f"'{self.user_id}'"}
        await self.fill("message_reactions", first, last, id=f"'creact' || {NUMBER}", **reacted, **TIMES)
        await self.superuser.execute("UPDATE chats SET last_message_seq = $2, last_seq = $2 WHERE id = $1", CHAT, last)

    async def _runs(self, first: int, last: int) -> None:
        ended = {
            "status": f"CASE WHEN {RARE} THEN 'FAILED' ELSE 'COMPLETED' END",
            "trigger_type": f"CASE WHEN {RARE} THEN 'CRON' ELSE 'USER' END",
            "finished_at": f"{WHEN} + interval '5 seconds'",
            "model": f"CASE WHEN {RARE} THEN 'rare' ELSE 'common' END",
            "crew_id": f"'{TEN}'",
            "mission_id": "'cissue00000000000000000001'",
            "data": f"""CASE WHEN {RARE} THEN '{{"tags": ["rare"]}}'::jsonb ELSE '{{"tags": ["common"]}}'::jsonb END""",
        }
        chat = f"'cchat0' || {NUMBER}"
        await self.fill(
            "runs", first, last, id=f"'run-' || {NUMBER}", agent_id=AGENTS, chat_id=chat, lease="1", **ended, **TIMES
        )
        tag = f"CASE WHEN {RARE} THEN 'rare' ELSE 'common' END"
        # by its trigger otherwise
        await self.fill("run_tags", first, last, run_id=f"'run-' || {NUMBER}", tag=tag, began_at=WHEN)
        shown = {
            "type": "'chat_event'",
            "payload": """'{"type": "text", "content": "words"}'::jsonb""",
            "run_id": f"'run-' || {NUMBER}",
        }
        await self.fill(
            "run_frames", first, last, chat_id=f"'{CHAT}'", seq="i", agent_id=f"'{AGENT}'", **shown, **TIMES
        )

    async def _money(self, first: int, last: int) -> None:
        """Each call is of a run of its own; few are of a mission or of the rare model. Budgets are of missions."""
        call = {
            "run_id": f"'run-' || {NUMBER}",
            "step": "'1 model'",
            "agent_id": AGENTS,
            "crew_id": f"'{TEN}'",
            "mission_id": f"CASE WHEN {RARE} THEN 'rare' END",
            "model": f"CASE WHEN {RARE} THEN 'rare' ELSE 'common' END",
        }
        await self.fill("model_calls", first, last, id=f"'cmodel' || {NUMBER}", **call, **TIMES)
        price = {"model": call["model"], "since": "date '2024-01-01' + i", "input_micros": "1", "output_micros": "1"}
        await self.fill("model_prices", first, min(last, MOST_PRICES), id=f"'cprice' || {NUMBER}", **price, **TIMES)
        asked = {"request_type": "'access'", "agent_id": AGENTS, "crew_id": f"'{TEN}'", "decision": "'DENY'"}
        await self.fill("keeper_requests", first, last, id=f"'ckeepr' || {NUMBER}", **asked, **TIMES)
        day = {"day": "date '2024-01-01' + (i / 50)::int", "agent_id": AGENTS, "crew_id": f"'{TEN}'"}
        # a day of an agent has few rows: as many as models and slots
        await self.fill("cost_days", first, last, model="'m' || i % 50", slot="0", **day)
        amounts = {"amount_micros": "10", "reservation_micros": "1", "version": "1", "period": "'total'"}
        mission = {"scope": "'mission'", "mission_id": f"'cissue' || {NUMBER}"}
        spent = f"CASE WHEN {RARE} THEN 'total' END"
        mission |= {"exceeded_in": spent, "warned_in": spent, "reached_at": f"CASE WHEN {RARE} THEN {WHEN} END"}
        await self.fill("budgets", first, last, id=f"'cbudge' || {NUMBER}", **amounts, **mission, **TIMES)
        pause = {"agent_id": AGENTS, "mission_id": f"'cissue' || {NUMBER}", "runs": "5", "resumed_at": "now()"}
        await self.fill("work_pauses", first, last, id=f"'cpause' || {NUMBER}", **pause, **TIMES)
        if first == 1:
            whose = {"agent": AGENT, "crew": TEN}
            for scope, id in whose.items():
                subject = {"scope": f"'{scope}'", f"{scope}_id": f"'{id}'"}
                await self.fill("budgets", 0, 0, id=f"'cbudge{scope}'", **amounts, **subject)

    async def _journal(self, first: int, last: int) -> None:
        """Lines as the triggers write them, all newer than what the commands of the test tell. What is rare is a page
        of the oldest.
        """
        told = {
            "entry_type": "'file.written'",
            "severity": "'info'",
            "actor_type": "'agent'",
            "summary": "'words ' || i",
        }
        await self.fill("journal_entries", first, last, id=f"'centry' || {NUMBER}", **told, **TIMES)
        kind = f"CASE WHEN {RARE} THEN 'policy.changed' ELSE 'file.written' END"
        level = f"CASE WHEN {RARE} THEN 'error' ELSE 'info' END"
        agent, text = AGENTS, f"CASE WHEN {RARE} THEN 'rare' ELSE 'common' END || ' words ' || i"
        at, row = f"{WHEN} + interval '40 years'", f"'centry' || {NUMBER}"
        made = (
            f"journal_line('{self.workspace_id}', {at}, 'je', {row}, {kind}, {level}, 'agent',"
            f" {agent}, {agent}, '{TEN}', CASE WHEN {RARE} THEN 'rare' ELSE 'm' || i / 20 END, 'run-' || i / 8, {text})"
        )
        numbers = f"SELECT {made} AS line FROM generate_series({first}, {last}) AS i"
        await self.superuser.execute(f"INSERT INTO journal SELECT (line).* FROM ({numbers}) l")
        pinned = "UPDATE journal SET priority = 'pin' WHERE entry_type = 'policy.changed' AND priority = 'normal'"
        await self.superuser.execute(pinned)

    async def _activity(self, first: int, last: int) -> None:
        """A third of each kind. Each of the ten agents acts a tenth of all, and the next one is on the other side."""
        first, last = (first - 1) // 3 + 1, last // 3
        other = "'cagent' || lpad((1 + (i + 1) % 10)::text, 20, '0')"
        given = {"assigned_by_id": AGENTS, "assigned_to_id": other, "task": "'Task ' || i", "status": "'COMPLETED'"}
        await self.fill("assignments", first, last, id=f"'cassig' || {NUMBER}", **given, **TIMES)
        asked = {"from_agent_id": AGENTS, "to_agent_id": other, "question": "'Why ' || i", "status": "'COMPLETED'"}
        await self.fill("peer_conversations", first, last, id=f"'cpeerc' || {NUMBER}", **asked, **TIMES)
        told = {"from_agent_id": AGENTS, "crew_id": f"'{TEN}'", "reason": "'Since ' || i", "action": "'approve'"}
        kinds = {"type": "'TEXT'", "status": "'PENDING'"}
        await self.fill("escalations", first, last, id=f"'cescal' || {NUMBER}", **told, **kinds, **TIMES)
        kept = {"path": "'agent:a/PERSONA.md'", "tier": "'persona'", "sha256": "'s'", "owner_id": AGENTS}
        await self.fill("memory_versions", first, last, id=f"'cmemov' || {NUMBER}", written_at=WHEN, **kept)

    async def _inbox(self, first: int, last: int) -> None:
        """What filters look for are the oldest rows."""
        item = {
            "id": f"'ibx_message_' || {NUMBER}",
            "source_id": NUMBER,
            "title": "'Item ' || i",
            "sender_id": AGENTS,
            "kind": f"CASE WHEN {RARE} THEN 'failed_run' ELSE 'message' END",
            "state": f"CASE WHEN {RARE} THEN 'unread' ELSE 'resolved' END",
            "priority": "'medium'",
        }
        await self.fill("inbox_items", first, last, **item, **TIMES)
        told = {"user_id": f"'{self.user_id}'", "from_workspace_id": f"'{self.workspace_id}'", "actor_type": "'system'"}
        seen = f"CASE WHEN {RARE} THEN NULL ELSE now() END"
        await self.fill("notifications", first, last, id=f"'cnotif' || {NUMBER}", read_at=seen, **told, **TIMES)
        state = f"CASE WHEN {RARE} THEN 'pending' ELSE 'approved' END"
        kind = {"kind": "'custom'", "status": state}
        await self.fill("approvals", first, last, id=f"'ap_' || {NUMBER}", **kind, **TIMES)
        gate = {"pattern": "'tool_' || i", "mode": "'sync'"}
        await self.fill("approval_gates", first, last, id=f"'cgate' || {NUMBER}", **gate, **TIMES)
        named = {"id": f"'cwebho' || {NUMBER}", "name": "'Name ' || i", "version": "1", "event_types": "'[]'"}
        await self.fill("webhook_endpoints", first, last, **named, **TIMES)
        kept = {"name": "'Key ' || i", "type": "'SECRET'", "scope": "'WORKSPACE'", "version": "1", "tags": COMMON}
        kept["status"] = f"CASE WHEN {RARE} THEN 'EXPIRED' ELSE 'ACTIVE' END"
        await self.fill("credentials", first, last, id=f"'csecre' || {NUMBER}", **kept, **TIMES)
        given = {"credential_id": f"'csecre' || {NUMBER}", "env_var_name": "'KEY_' || i"}
        given["agent_id"] = f"CASE WHEN {RARE} THEN '{AGENT}' ELSE 'cagent' || {NUMBER} END"
        await self.fill("agent_credentials", first, last, id=f"'cgiven' || {NUMBER}", **given, **TIMES)
        bound = {"credential_id": f"'csecre' || {NUMBER}", "slot": "'KEY_' || i", "scope": "'WORKSPACE'"}
        await self.fill("credential_bindings", first, last, id=f"'cbound' || {NUMBER}", **bound)
        turned = {"credential_id": f"'{SECRET}'", "rotated_at": WHEN, "expires_at": WHEN, "status": "'EXPIRED'"}
        turned |= {"grace_seconds": "0", "rotated_by": f"'{self.user_id}'"}
        await self.fill("credential_rotations", first, last, id=f"'cturn' || {NUMBER}", **turned)
        told = {"credential_id": f"'{SECRET}'", "event_type": "'TEST'", "occurred_at": WHEN}
        await self.fill("credential_events", first, last, id=f"'cevent' || {NUMBER}", **told)
        sent = {"endpoint_id": f"'{HOOK}'", "state": f"CASE WHEN {RARE} THEN 'failed' ELSE 'delivered' END"}
        await self.fill("webhook_deliveries", first, last, id=f"'msg_' || {NUMBER}", **sent, **TIMES)
        notice = {"status": f"CASE WHEN {RARE} THEN 'failed' ELSE 'sent' END", "channel_id": "'nch_' || i % 10"}
        notice |= {"category": "'issues.created'", "dedup_key": "'issues.created:' || i"}
        await self.fill("notification_deliveries", first, last, id=f"'del_' || {NUMBER}", **notice, **TIMES)

    async def _issues(self, first: int, last: int) -> None:
        """Each is of one of ten crews, projects and assignees; few are urgent, under way, or have a label."""
        tenth = "lpad((1 + i % 10)::text, 20, '0')"
        kinds = {
            "mission_type": "'issue'",
            "number": "i",
            "identifier": "'ISS-' || i",
            "trace_id": f"'issue-' || {NUMBER}",
            "version": "1",
        }
        status, urgency = (
            f"CASE WHEN {RARE} THEN '{rare}' ELSE '{common}' END"
            for rare, common in (("IN_PROGRESS", "BACKLOG"), ("urgent", "none"))
        )
        of = {
            "crew_id": f"'ccrew0' || {tenth}",
            "lead_agent_id": AGENTS,
            "assignee_id": AGENTS,
            "assignee_type": "'agent'",
            "project_id": f"'cprojc' || {tenth}",
            "milestone_id": f"'cmiles' || {tenth}",
            "created_by_type": "'agent'",
            "created_by_id": AGENTS,
            "parent_issue_id": f"CASE WHEN {RARE} THEN '{MISSION}' END",
            "due_date": "'2026-01-01'",
        }
        issue = f"'cissue' || {NUMBER}"
        await self.fill(
            "missions",
            first,
            last,
            id=issue,
            title="'Issue ' || i",
            sort_order="i",
            status=status,
            priority=urgency,
            **kinds,
            **of,
            **TIMES,
        )
        label = f"CASE WHEN {RARE} THEN '{LABEL}' ELSE 'clabel' || lpad('2', 20, '0') END"
        of_one = {"crew_id": f"'ccrew0' || {tenth}", "mission_id": f"'{MISSION}'", "journal_cursor": "''"}
        await self.fill("checkpoints", first, last, id=f"'cp_' || {NUMBER}", **of_one, **TIMES)
        await self.fill("issue_labels", first, last, mission_id=issue, label_id=label)

    async def _whole(self, first: int, last: int) -> None:
        """What is listed without pages: of the workspace, of one crew, and of one user."""
        mine, then, crew = f"'{self.user_id}'", "now() + interval '30 days'", "'ccrew000000000000000000001'"
        user, name, role = f"'cuser0' || {NUMBER}", "'Name ' || i", "'MEMBER'"
        await self.fill("users", first, last, id=user, email="'user' || i || '@example.com'", full_name=name, **TIMES)
        await self.fill("memberships", first, last, id=f"'cmembr' || {NUMBER}", user_id=user, role=role, **TIMES)
        await self.fill("labels", first, last, id=f"'clabel' || {NUMBER}", name=name, color="'red'", **TIMES)
        await self.fill("recurring_issues", first, last, id=f"'crecur' || {NUMBER}", crew_id=crew, title=name, **TIMES)
        ruled = {"name": name, "position": "i", "match_type": "'contains'"}
        await self.fill("triage_rules", first, last, id=f"'ctriag' || {NUMBER}", **ruled, **TIMES)
        await self.fill("saved_views", first, last, id=f"'csaved' || {NUMBER}", user_id=mine, name=name, **TIMES)
        taught = {"slug": "'skill-' || i", "name": name, "name_key": "'name ' || i", "tags": "'[]'", **TIMES}
        await self.fill("skills", first, min(last, CATALOG), id=f"'cskill' || {NUMBER}", **taught)
        served = {"name": name, "display_name": name, "is_featured": "i % 100 = 0", "synced_at": "now()"}
        await self.fill("mcp_registry_servers", first, last, id=f"'harbour/' || {NUMBER}", **served)
        has = f"CASE WHEN {RARE} THEN '{AGENT}' ELSE 'cagent' || {NUMBER} END"
        held = {"agent_id": has, "skill_id": f"'cskill' || {NUMBER}", "enabled": "true", **TIMES}
        await self.fill("agent_skills", first, min(last, CATALOG), id=f"'cagski' || {NUMBER}", **held)
        waiting = {"file_name": "'skill-' || i", "name": name, "description": name, "content": name, **TIMES}
        ids = f"'cskprp' || {NUMBER}"
        await self.fill("skill_proposals", first, min(last, PROPOSALS), id=ids, crew_id=crew, **waiting)
        await self._servers(first, last, crew)
        of_work = {"name": name, "template_json": "'[]'", "is_builtin": "false", **TIMES}
        await self.fill("workflow_templates", first, last, id=f"'cwtmpl' || {NUMBER}", **of_work)
        invited = {
            "email": "'guest' || i || '@example.com'",
            "role": role,
            "invited_by": mine,
            "token": f"'token' || {NUMBER}",
            "expires_at": then,
        }
        await self.fill("invitations", first, last, id=f"'cinvit' || {NUMBER}", **invited)
        await self.fill("crew_members", first, last, id=f"'ccrewm' || {NUMBER}", crew_id=crew, user_id=user)
        ends = {
            "from_crew_id": crew,
            "to_crew_id": "'ccrew0' || lpad((1 + i)::text, 20, '0')",
            "direction": "'bidirectional'",
            "status": "'active'",
        }
        await self.fill("crew_connections", first, last - 1, id=f"'clinks' || {NUMBER}", **ends, **TIMES)
        signs = {"user_id": mine, "name": name, "token_hash": f"'hash' || {NUMBER}", "scopes": "'[]'"}
        await self.fill("cli_tokens", first, last, id=f"'ctoken' || {NUMBER}", **signs)
        await self.fill("sessions", first, last, id=f"'s_' || {NUMBER}", user_id=mine, expires_at=then)
        last = min(last, OWN)
        await self.fill(
            "workspaces", first, last, id=f"'cwrksp' || {NUMBER}", name=name, slug="'workspace-' || i", version="1"
        )
        theirs = {"workspace_id": f"'cwrksp' || {NUMBER}", "user_id": f"'{self.traveller}'", "role": role}
        await self.fill("memberships", first, last, id=f"'cmemow' || {NUMBER}", **theirs)

    async def _servers(self, first: int, last: int, crew: str) -> None:
        """MCP servers of the workspace and of one crew, the tools of one, and an agent that is bound to all."""
        server, own = f"'cwsmcp' || {NUMBER}", f"'ccrmcp' || {NUMBER}"
        told = {
            "name": "'server ' || i",
            "display_name": "'Server'",
            "transport": "'stdio'",
            "enabled": "true",
            **TIMES,
        }
        await self.fill("workspace_mcp_servers", first, last, id=server, **told)
        await self.fill("crew_integrations", first, last, id=own, crew_id=crew, **told)
        known = {"crew_integration_id": f"'{SERVER}'", "tool_name": "'tool ' || i", "enabled": "true", **TIMES}
        await self.fill("tool_bindings", first, last, id=f"'ctoolb' || {NUMBER}", **known)
        tied = {"agent_id": f"'{AGENT}'", "mcp_server_id": server, "mcp_server_scope": "'workspace'", "enabled": "true"}
        await self.fill(
            "agent_mcp_bindings", first, last, id=f"'cmcpbd' || {NUMBER}", cred_type="'bearer'", **tied, **TIMES
        )
