"""The migration that numbers messages, on rows that the version before it has stored."""

import asyncpg
import pytest

from models import migrations
from tests.conftest import Database
from tests.models.conftest import upgrade_to

pytestmark = pytest.mark.anyio

BEFORE = "0005"
ROWS = """
INSERT INTO workspaces (id, name, slug, version, created_at, updated_at) VALUES ('w', 'w', 'w', 1, now(), now());
INSERT INTO users (id, email, onboarding_completed, failed_login_count, created_at, updated_at)
    VALUES ('u', 'u@example.org', false, 0, now(), now());
INSERT INTO crews SELECT * FROM jsonb_populate_record(NULL::crews, $${
    "id": "c", "workspace_id": "w", "name": "c", "slug": "c", "container_memory_mb": 1, "container_cpus": 1,
    "network_mode": "free", "allowed_domains": [], "issue_counter": 0, "max_ephemeral_agents": 1,
    "autonomy_level": "guided", "behavior_mode": "warn", "version": 1,
    "created_at": "2024-05-01", "updated_at": "2024-05-01"}$$);
INSERT INTO agents SELECT * FROM jsonb_populate_record(NULL::agents, $${
    "id": "a", "workspace_id": "w", "name": "a", "slug": "a", "agent_role": "AGENT", "status": "IDLE",
    "cli_adapter": "CLAUDE_CODE", "timeout_seconds": 1, "tool_profile": "FULL", "memory_enabled": false,
    "schedule_enabled": false, "webhook_require_timestamp": false, "learning_enabled": false, "ephemeral": false,
    "version": 1, "created_at": "2024-05-01", "updated_at": "2024-05-01"}$$);
INSERT INTO chats (id, workspace_id, agent_id, mode, status, visibility, message_count, last_seq, last_activity_at,
    started_at, created_at, updated_at)
    VALUES ('t', 'w', 'a', 'CHAT', 'ACTIVE', 'private', 0, 3, now(), now(), now(), now());
INSERT INTO messages (id, workspace_id, chat_id, role, content, created_at) VALUES
    ('m3', 'w', 't', 'assistant', 'three', '2024-05-01 12:02'), ('m1', 'w', 't', 'user', 'one', '2024-05-01 12:00'),
    ('m2b', 'w', 't', 'user', 'two b', '2024-05-01 12:01'), ('m2a', 'w', 't', 'user', 'two a', '2024-05-01 12:01');
INSERT INTO chat_read_cursors (user_id, chat_id, workspace_id, last_read_at)
    VALUES ('u', 't', 'w', '2024-05-01 12:01:30');
INSERT INTO runs
    (id, workspace_id, agent_id, chat_id, trigger_type, status, prompt, lease, frames, data, created_at) VALUES
    ('r', 'w', 'a', 't', 'USER', 'RUNNING', 'two b', 0, 0, '{"tags": ["chat", "x", "chat", 1]}', '2024-05-01 12:01:01');
INSERT INTO run_frames (chat_id, seq, workspace_id, run_id, type, payload, created_at) VALUES
    ('t', 1, 'w', 'r', 'run_begin', '{"from_seq": 0}', now()),
    ('t', 2, 'w', 'r', 'chat_event', '{"type": "user_message"}', now()),
    ('t', 3, 'w', 'r', 'chat_event', '{"type": "text"}', now());
INSERT INTO events (workspace_id, channel, type, payload)
    VALUES ('w', 'session:t', 'steering_queued', '{}'), ('w', 'workspace:w', 'x', '{}');
"""


async def test_messages_of_the_version_before_are_numbered_as_they_were_shown(empty_database: Database) -> None:
    await upgrade_to(empty_database, BEFORE)
    owner = await asyncpg.connect(empty_database.owner_url)
    try:
        await owner.execute(ROWS)
        await migrations.upgrade(empty_database.owner_url)
        await owner.execute("SET crewship.workspaces = '*'")
        assert [row[0] for row in await owner.fetch("SELECT id FROM messages ORDER BY seq")] == [
            "m1",
            "m2a",
            "m2b",
            "m3",
        ]
        assert await owner.fetchval("SELECT last_message_seq FROM chats") == 4
        assert await owner.fetchval("SELECT last_read_seq FROM chat_read_cursors") == 3
        assert await owner.fetchval("SELECT message_seq FROM runs") == 3
        assert [row[0] for row in await owner.fetch("SELECT tag FROM run_tags ORDER BY tag")] == ["chat", "x"]
        assert [row[0] for row in await owner.fetch("SELECT agent_id FROM run_frames ORDER BY seq")] == [
            None,
            None,
            "a",
        ]
        assert {row[0] for row in await owner.fetch("SELECT channel FROM events")} == {"session:w/t", "workspace:w"}
    finally:
        await owner.close()
