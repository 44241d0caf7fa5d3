"""A workspace as large as one likes: every list of it has `rows` rows."""

from dataclasses import dataclass
from typing import Any

import asyncpg

from models.base import Row

CHAT, AGENT = "scale-chat", "cagent00000000000000000001"
RARE = 1_000  # one row in so many is what a filter looks for
BIG = ("crews", "agents", "chats", "messages", "runs", "run_frames", "events", "audit_logs")
"""The tables that hold the rows."""

GENERIC = {
    "text": "''",
    "integer": "0",
    "bigint": "0",
    "boolean": "false",
    "double precision": "0",
    "timestamp with time zone": "now()",
    "jsonb": "'{}'::jsonb",
    "ARRAY": "'{}'",
    "bytea": "''",
}
COLUMNS = """
    SELECT column_name, data_type, is_nullable = 'YES' OR column_default IS NOT NULL OR is_identity = 'YES' OR is_generated = 'ALWAYS' AS free
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1
"""


def _default(table: str, column: str) -> str | None:
    """What the model stores where nothing is given, as SQL."""
    model = next(mapper.class_ for mapper in Row._sa_registry.mappers if mapper.class_.__tablename__ == table)
    value = model.model_fields[column].default
    return f"'{value}'" if isinstance(value, (str, bool, int, float)) else None


@dataclass
class Population:
    """`superuser` writes past triggers and foreign keys. Rows are numbered from 1; more can be added."""

    superuser: "asyncpg.Connection[Any]"
    workspace_id: str
    rows: int = 0

    async def fill(self, table: str, first: int, last: int, **values: str) -> None:
        """`values`: column -> SQL over the row's number `i`. What is not named and must be there gets something of its type."""
        columns = await self.superuser.fetch(COLUMNS, table)
        if not columns:
            return
        chosen = {c["column_name"]: _default(table, c["column_name"]) or GENERIC[c["data_type"]] for c in columns if not c["free"]}
        known = {c["column_name"] for c in columns}
        chosen |= {name: value for name, value in (values | {"workspace_id": f"'{self.workspace_id}'"}).items() if name in known}
        names, made = ", ".join(chosen), ", ".join(chosen.values())
        await self.superuser.execute(f"INSERT INTO {table} ({names}) SELECT {made} FROM generate_series({first}, {last}) AS i")

    async def grow(self, rows: int) -> None:
        first, last = self.rows + 1, rows
        when = "now() - interval '1 year' + i * interval '7 seconds'"
        times = {"created_at": when, "updated_at": when, "started_at": when, "last_activity_at": when}
        await self.superuser.execute("SET session_replication_role = replica; SET statement_timeout = 0")
        number = "lpad(i::text, 20, '0')"
        agents = "'cagent' || lpad((1 + i % 100)::text, 20, '0')"
        await self.fill("crews", first, last, id=f"'ccrew0' || {number}", name="'Crew ' || i", slug="'crew-' || i", version="1", **times)
        names = {"name": "'Agent ' || i", "slug": "'agent-' || i", "version": "1", "agent_role": "'AGENT'", "status": "'IDLE'", "cli_adapter": "'CLAUDE_CODE'"}
        crew = "'ccrew0' || lpad((1 + i % 10)::text, 20, '0')"
        await self.fill("agents", first, last, id=f"'cagent' || {number}", crew_id=crew, tool_profile="'FULL'", **names, **times)
        kinds = {"visibility": "'private'", "mode": "'CHAT'", "status": "'ACTIVE'"}
        origin = f"CASE WHEN i % {RARE} = 0 THEN 'CRON' ELSE 'UI' END"
        await self.fill("chats", first, last, id=f"'cchat0' || {number}", agent_id=agents, title="'Chat ' || i", origin=origin, **kinds, **times)
        if first == 1:
            await self.fill("chats", 0, 0, id=f"'{CHAT}'", agent_id=f"'{AGENT}'", origin="'UI'", **kinds, **times)
        said = {"chat_id": f"'{CHAT}'", "content": "'message ' || i", "role": "'user'", "seq": "i"}
        await self.fill("messages", first, last, id=f"'msg_' || {number}", **said, **times)
        await self._runs(first, last, agents, number, times)
        await self.fill("events", first, last, channel=f"'workspace:{self.workspace_id}'", type="'crew.updated'")
        about = {"action": "'create'", "entity_type": "'crew'", "entity_id": f"'ccrew0' || {number}"}
        await self.fill("audit_logs", first, last, id=f"'caudit' || {number}", **about, **times)
        await self.superuser.execute("SET session_replication_role = origin")
        await self.superuser.execute("VACUUM (ANALYZE)")
        self.rows = rows

    async def _runs(self, first: int, last: int, agents: str, number: str, times: dict[str, str]) -> None:
        rare = f"i % {RARE} = 0"
        ended = {
            "status": f"CASE WHEN {rare} THEN 'FAILED' ELSE 'COMPLETED' END",
            "trigger_type": f"CASE WHEN {rare} THEN 'CRON' ELSE 'USER' END",
            "finished_at": "now() - interval '1 year' + i * interval '7 seconds' + interval '5 seconds'",
            "data": f"""CASE WHEN {rare} THEN '{{"tags": ["rare"]}}'::jsonb ELSE '{{"tags": ["common"]}}'::jsonb END""",
        }
        chat = f"'cchat0' || {number}"
        await self.fill("runs", first, last, id=f"'run-' || {number}", agent_id=agents, chat_id=chat, lease="1", **ended, **times)
        tag = f"CASE WHEN {rare} THEN 'rare' ELSE 'common' END"
        await self.fill("run_tags", first, last, run_id=f"'run-' || {number}", tag=tag)  # by its trigger otherwise
        shown = {
            "type": "'chat_event'",
            "payload": """'{"type": "text", "content": "words"}'::jsonb""",
            "run_id": "'run-' || lpad(greatest(i - i % 100, 100)::text, 20, '0')",
        }
        await self.fill("run_frames", first, last, chat_id=f"'{CHAT}'", seq="i", agent_id=f"'{AGENT}'", **shown, **times)
