"""A data directory as the public Go server leaves it: the columns of its tables, and rows of every kind."""

import base64
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import bcrypt
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY = "7f" * 32
PASSWORD = "the old password"
SECRET = "sk-of-the-old-server"
SCHEMA = 136
COLUMNS = {
    "_migrations": "version name applied_at",
    "users": "id email full_name avatar_url hashed_password email_verified created_at updated_at onboarding_completed"
    " failed_login_count locked_until last_failed_login_at",
    "workspaces": "id name slug logo_url created_at updated_at deleted_at default_container_ttl_hours"
    " preferred_language memory_config",
    "workspace_members": "id workspace_id user_id role created_at updated_at capabilities",
    "crews": "id workspace_id name slug description color icon created_at updated_at deleted_at container_ttl_hours"
    " container_memory_mb container_cpus avatar_style network_mode allowed_domains issue_prefix runtime_image"
    " devcontainer_config mise_config cached_image config_hash cached_requirements services_json autonomy_level"
    " behavior_mode allow_private_endpoints",
    "crew_members": "id crew_id user_id created_at role",
    "agents": "id crew_id workspace_id name slug description role_title agent_role status cli_adapter llm_provider"
    " llm_model system_prompt temperature max_tokens timeout_seconds tool_profile memory_enabled webhook_secret"
    " created_at updated_at deleted_at lead_mode avatar_seed avatar_style cli_tools schedule_cron schedule_prompt"
    " schedule_enabled parent_lead_id ephemeral",
    "skills": "id name slug display_name description version author license category source content created_at"
    " updated_at tags featured pricing_tier",
    "agent_skills": "id agent_id skill_id config enabled created_at",
    "credentials": "id workspace_id crew_id name description encrypted_value scope type provider status"
    " encrypted_refresh_token token_expires_at account_label account_email last_checked_at last_error created_by"
    " created_at updated_at deleted_at security_level oauth_client_secret_enc tags",
    "credential_crews": "credential_id crew_id created_at",
    "agent_credentials": "id agent_id credential_id env_var_name priority created_at",
    "chats": "id agent_id workspace_id created_by title mode status message_count jsonl_path started_at ended_at"
    " created_at updated_at origin visibility last_activity_at",
    "conversation_messages": "id session_id agent_id role content tool_summary ts author_user_id",
    "missions": "id workspace_id crew_id lead_agent_id trace_id title description status plan workflow_template"
    " created_at updated_at completed_at number identifier priority assignee_type assignee_id due_date sort_order"
    " mission_type project_id milestone_id parent_issue_id author_agent_id created_by_user_id",
    "mission_tasks": "id mission_id assigned_agent_id title description status task_order depends_on created_at"
    " updated_at",
    "labels": "id workspace_id name color label_group created_at",
    "mission_labels": "mission_id label_id",
    "mission_comments": "id mission_id author_type author_id body created_at updated_at",
    "mission_relations": "id source_id target_id relation_type created_at",
    "projects": "id workspace_id name slug description color status priority health created_at updated_at",
    "issue_counters": "crew_id next_number",
    "journal_entries": "id workspace_id crew_id agent_id mission_id ts entry_type severity actor_type actor_id summary"
    " payload refs trace_id span_id expires_at priority",
    "audit_logs": "id workspace_id user_id action entity_type entity_id metadata ip_address user_agent created_at",
    "cli_tokens": "id user_id name token_hash last_used_at revoked_at created_at tier expires_at scopes",
    "user_preferences": "id user_id pref_key pref_value updated_at",
    "crew_connections": "id workspace_id from_crew_id to_crew_id direction status created_at updated_at",
    "milestones": "id project_id name description target_date status position created_at updated_at",
    "assignments": "id workspace_id chat_id assigned_by_id assigned_to_id task status started_at finished_at"
    " result_summary error_message group_id created_at queued_at running_at mission_id",
    "peer_conversations": "id workspace_id crew_id chat_id from_agent_id to_agent_id question response status"
    " duration_ms escalated created_at finished_at",
    "escalations": "id workspace_id crew_id chat_id from_agent_id peer_conversation_id reason context status resolution"
    " resolved_at created_at type metadata resolved_by",
    "saved_views": "id workspace_id user_id name filters_json sort_json view_type is_default shared created_at"
    " updated_at",
    "recurring_issues": "id workspace_id crew_id title description priority project_id milestone_id assignee_type"
    " assignee_id labels_json cron_expression enabled next_run last_run run_count created_by created_at updated_at",
    "triage_rules": "id workspace_id name pattern match_type crew_id assignee_id priority project_id labels_json"
    " position enabled match_count created_at updated_at",
    "workflow_templates": "id workspace_id name description template_json icon color is_builtin created_at updated_at",
    "notification_channels": "id workspace_id type config_json secret_enc events_json enabled created_by created_at"
    " updated_at deleted_at",
    "notifications": "id workspace_id user_id actor_type actor_id action entity_type entity_id entity_title read_at"
    " created_at",
    "inbox_items": "id workspace_id kind source_id target_user_id target_role title body_md sender_type sender_id"
    " sender_name state priority blocking payload_json read_at read_by_user_id resolved_at resolved_by_user_id"
    " resolved_action created_at updated_at",
    "mission_activity": "id mission_id actor_type actor_id action details created_at",
    "chat_participants": "chat_id user_id role joined_at",
    "message_reactions": "id chat_id message_id emoji user_id created_at",
    "message_feedback": "id workspace_id chat_id message_id trace_id signal reason user_id created_at",
    "credential_audit": "id credential_id event_type agent_id ip_address metadata_json occurred_at",
    "workspace_mcp_servers": "id workspace_id name display_name transport endpoint command args_json env_json"
    " config_json icon enabled deleted_at created_at updated_at",
    "crew_mcp_servers": "id crew_id workspace_mcp_server_id name display_name transport endpoint command args_json"
    " env_json config_json icon enabled deleted_at created_at updated_at",
    "agent_mcp_bindings": "id agent_id mcp_server_id mcp_server_scope credential_id cred_type cred_header enabled"
    " config_override_json created_at env_var_name",
    "mcp_tool_calls": "id workspace_id crew_id agent_id mcp_server_id mcp_server_scope tool_name input_hash status"
    " duration_ms error_message session_id created_at",
    "pipelines": "id workspace_id name",
    "starfish": "id arms",
}
INTEGERS = {"version", "number", "next_number", "priority", "message_count", "task_order", "security_level", "featured"}


def sealed(text: str, key: str = KEY) -> str:
    """An envelope of the Go server."""
    nonce = os.urandom(16)
    made = AESGCM(bytes.fromhex(key)).encrypt(nonce, text.encode(), None)
    return "v1:" + base64.b64encode(nonce + made[-16:] + made[:-16]).decode()


class OldServer:
    """`add` inserts a row: the columns that are not given are null."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.path = root / "crewship.db"
        self.db = sqlite3.connect(self.path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        for table, columns in COLUMNS.items():
            named = [f"{name} INTEGER" if name in INTEGERS else name for name in columns.split()]
            self.db.execute(f"CREATE TABLE {table} ({', '.join(named)})")
        self.db.execute("INSERT INTO _migrations VALUES (?, 'head_version_backfill', '2026-07-20')", (SCHEMA,))

    def add(self, table: str, **row: Any) -> str:
        named = ", ".join(row)
        self.db.execute(f"INSERT INTO {table} ({named}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
        return str(row.get("id"))

    def close(self) -> Path:
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.db.close()
        return self.root


AT = "2026-07-01 08:00:00"


def furnished(root: Path, name: str = "harbour") -> OldServer:
    """One workspace with a row of every kind."""
    old = OldServer(root)
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    ws, crew, agent = f"c{name}00000000000000ws", f"c{name}0000000000000crew", f"c{name}00000000000agent"
    for person, role in (("ada", "OWNER"), ("ben", "MEMBER")):
        id = f"c{name}0000{person}"
        times = {"created_at": AT, "updated_at": AT}
        old.add("users", id=id, email=f"{person}@{name}.test", full_name=person, hashed_password=hashed, **times)
        old.add("workspace_members", id=f"m{id}", workspace_id=ws, user_id=id, role=role, **times)
    ada = f"c{name}0000ada"
    old.add("workspaces", id=ws, name="Harbour", slug=name, created_at=AT, updated_at=AT)
    old.add("crews", id=crew, workspace_id=ws, name="Divers", slug="divers", container_memory_mb=2048,
            container_cpus=1.5, network_mode="restricted", allowed_domains='["example.com"]', issue_prefix="DIV",
            created_at=AT, updated_at=AT)  # fmt: skip
    old.add("issue_counters", crew_id=crew, next_number=8)
    old.add("crew_members", id=f"{crew}m", crew_id=crew, user_id=ada, created_at=AT)
    lead = f"c{name}000000000000lead"
    for id, slug, role, parent in ((agent, "nemo", "AGENT", lead), (lead, "captain", "LEAD", None)):
        old.add("agents", id=id, crew_id=crew, workspace_id=ws, name=slug.title(), slug=slug, agent_role=role,
                status="RUNNING", cli_adapter="CLAUDE_CODE", llm_model="claude-sonnet-4-5", temperature=0.2,
                timeout_seconds=600, tool_profile="CODING", memory_enabled=1, webhook_secret=sealed("hook of nemo"),
                parent_lead_id=parent, ephemeral=0, schedule_enabled=0, created_at=AT, updated_at=AT)  # fmt: skip
    old.add("skills", id="sk_of_divers", name="Diving", slug="diving", display_name="Diving", version="2.1.0",
            category="CUSTOM", source="CUSTOM", content="# Diving", pricing_tier="FREE", featured=0, created_at=AT,
            updated_at=AT)  # fmt: skip
    old.add("agent_skills", id=f"{agent}s", agent_id=agent, skill_id="sk_of_divers", enabled=1, created_at=AT)
    key = f"c{name}00000000000000key"
    old.add("credentials", id=key, workspace_id=ws, name="MODEL", encrypted_value=sealed(SECRET), scope="WORKSPACE",
            type="SECRET", provider="NONE", status="ACTIVE", created_by=ada, security_level=1, tags='["model"]',
            created_at=AT, updated_at=AT)  # fmt: skip
    old.add("credential_crews", credential_id=key, crew_id=crew, created_at=AT)
    old.add("agent_credentials", id=f"{key}a", agent_id=agent, credential_id=key, env_var_name="MODEL_KEY", priority=0,
            created_at=AT)  # fmt: skip
    _talk(old, ws, agent, ada, name)
    _work(old, ws, crew, agent, lead, ada, name)
    old.add("cli_tokens", id=f"t{name}", user_id=ada, name="script", token_hash="0" * 60 + name[:4], created_at=AT)
    old.add("pipelines", id="p1", workspace_id=ws, name="nightly")
    old.add("starfish", id="s1", arms=5)
    files = root / "output" / crew / "nemo"
    files.mkdir(parents=True)
    (files / "report.md").write_text("# Found")
    (files / "passwd").symlink_to("/etc/passwd")
    (root / "secrets.env").write_text(f"ENCRYPTION_KEY={KEY}\n")
    return old


def _talk(old: OldServer, ws: str, agent: str, ada: str, name: str) -> None:
    chat = f"c{name}0000000000000chat"
    old.add("chats", id=chat, agent_id=agent, workspace_id=ws, created_by=ada, title="Wrecks", mode="CHAT",
            status="ACTIVE", message_count=3, jsonl_path=f"/somewhere/else/{chat}.jsonl", origin="ui",
            visibility="private", created_at=AT, updated_at=AT, started_at=AT, last_activity_at=AT)  # fmt: skip
    folder = old.root / "chats" / "conversations"
    folder.mkdir(parents=True)
    said = [
        {"id": f"msg_1_{name}", "session_id": chat, "role": "user", "content": "Where?", "ts": "2026-07-01T08:00:01Z"},
        {"id": f"msg_2_{name}", "session_id": chat, "role": "assistant", "content": "There.",
         "ts": "2026-07-01T08:00:02.123456789Z", "metadata": {"model": "m"}},
    ]  # fmt: skip
    lines = [json.dumps(message) for message in said] + ["no message"]
    (folder / f"{chat}.jsonl").write_text("\n".join(lines) + "\n")


def _work(old: OldServer, ws: str, crew: str, agent: str, lead: str, ada: str, name: str) -> None:
    times = {"created_at": AT, "updated_at": AT}
    project = old.add("projects", id=f"c{name}project", workspace_id=ws, name="Charts", slug="charts",
                      color="#112233", status="planned", priority="none", health="on_track", **times)  # fmt: skip
    label = old.add("labels", id=f"c{name}label", workspace_id=ws, name="deep", color="#445566", created_at=AT)
    for number, parent in ((7, f"c{name}issue6"), (6, None)):
        issue = f"c{name}issue{number}"
        old.add("missions", id=issue, workspace_id=ws, crew_id=crew, lead_agent_id=lead, trace_id=f"tr{issue}",
                title=f"Dive {number}", status="TODO", number=number, identifier=f"DIV-{number}", priority="high",
                sort_order=number, mission_type="issue", project_id=project, parent_issue_id=parent,
                created_by_user_id=ada, **times)  # fmt: skip
    old.add("mission_labels", mission_id=f"c{name}issue7", label_id=label)
    old.add("mission_comments", id=f"c{name}comment", mission_id=f"c{name}issue7", author_type="user", author_id=ada,
            body="Mind the current", **times)  # fmt: skip
    old.add("mission_relations", id=f"c{name}relation", source_id=f"c{name}issue7", target_id=f"c{name}issue6",
            relation_type="relates_to", created_at=AT)  # fmt: skip
    old.add("mission_tasks", id=f"c{name}task", mission_id=f"c{name}issue7", assigned_agent_id=agent, title="Swim",
            status="PENDING", task_order=0, depends_on="[]", **times)  # fmt: skip
    for kind, payload in (("run.started", {"trigger_type": "USER"}), ("run.completed", {"exit_code": 0})):
        old.add("journal_entries", id=f"j_{name}_{kind[4:]}", workspace_id=ws, crew_id=crew, agent_id=agent,
                ts="2026-07-01T09:00:00.000Z", entry_type=kind, severity="info", actor_type="user", actor_id=ada,
                summary=kind, payload=json.dumps(payload), refs="{}", trace_id=f"run_{name}",
                priority="normal")  # fmt: skip
    old.add("audit_logs", id=f"a{name}", workspace_id=ws, user_id=ada, action="crew.create", entity_type="CREW",
            entity_id=crew, metadata='{"name": "Divers"}', ip_address="127.0.0.1", created_at=AT)  # fmt: skip


def crowded(old: OldServer, name: str) -> None:
    """A row in each further table that has a place here."""
    ws, crew, agent, lead = (f"c{name}{end}" for end in (
        "00000000000000ws", "0000000000000crew", "00000000000agent", "000000000000lead"))  # fmt: skip
    ada, chat, key, issue = (
        f"c{name}0000ada",
        f"c{name}0000000000000chat",
        f"c{name}00000000000000key",
        f"c{name}issue7",
    )
    times, at, own = {"created_at": AT, "updated_at": AT}, {"created_at": AT}, {"workspace_id": ws}
    old.add("crews", id=f"{crew}2", name="Crabs", slug="crabs", network_mode="free", container_memory_mb=512,
            container_cpus=1, **own, **times)  # fmt: skip
    old.add("user_preferences", id=f"{name}p", user_id=ada, pref_key="theme", pref_value='"dark"', updated_at=AT)
    old.add("crew_connections", id=f"{name}cc", from_crew_id=crew, to_crew_id=f"{crew}2", direction="bidirectional",
            status="active", **own, **times)  # fmt: skip
    old.add(
        "milestones", id=f"{name}ms", project_id=f"c{name}project", name="May", status="active", position=1, **times
    )
    old.add("assignments", id=f"{name}as", chat_id=chat, assigned_by_id=lead, assigned_to_id=agent, task="Dig",
            status="RUNNING", **own, **at)  # fmt: skip
    old.add("peer_conversations", id=f"{name}pc", crew_id=crew, chat_id=chat, from_agent_id=lead, to_agent_id=agent,
            question="Why?", response="So.", status="COMPLETED", escalated=0, **own, **at)  # fmt: skip
    for number, status in enumerate(("PENDING", "RESOLVED", "CANCELLED")):
        old.add("escalations", id=f"{name}es{number}", crew_id=crew, chat_id=chat, from_agent_id=agent, reason="Help",
                status=status, type="TEXT", metadata="{}", **own, **at)  # fmt: skip
    _asked(old, name, ws, crew, ada, issue, agent)
    _connected(old, name, ws, crew, agent, ada, chat, key)


def _asked(old: OldServer, name: str, ws: str, crew: str, ada: str, issue: str, agent: str) -> None:
    times, at, own = {"created_at": AT, "updated_at": AT}, {"created_at": AT}, {"workspace_id": ws}
    old.add("saved_views", id=f"{name}sv", user_id=ada, name="Mine", filters_json="{}", view_type="board",
            is_default=0, shared=1, **own, **times)  # fmt: skip
    old.add("recurring_issues", id=f"{name}ri", crew_id=crew, title="Clean", priority="none", labels_json="[]",
            cron_expression="0 8 * * 1", enabled=1, run_count=3, created_by=ada, **own, **times)  # fmt: skip
    old.add("triage_rules", id=f"{name}tr", name="Leaks", pattern="leak", match_type="contains", crew_id=crew,
            labels_json="[]", position=0, enabled=1, match_count=2, **own, **times)  # fmt: skip
    old.add("workflow_templates", id=f"{name}wt", name="Steps", template_json="{}", is_builtin=0, **own, **times)
    old.add("notification_channels", id=f"{name}nc", type="webhook", config_json='{"url": "https://example.com/n"}',
            secret_enc=sealed("of the channel"), events_json='["run.failed"]', enabled=1, created_by=ada, **own,
            **times)  # fmt: skip
    old.add("notifications", id=f"{name}no", user_id=ada, actor_type="system", actor_id="", action="assigned",
            entity_type="issue", entity_id=issue, **own, **at)  # fmt: skip
    old.add("inbox_items", id=f"ibx_esc_{name}es0", kind="escalation", source_id=f"{name}es0", target_role="MANAGER",
            title="Help", sender_type="agent", sender_id=agent, state="unread", priority="medium", blocking=1,
            payload_json="{}", **own, **times)  # fmt: skip
    old.add("mission_activity", id=f"{name}ma", mission_id=issue, actor_type="user", actor_id=ada,
            action="status_changed", details="TODO", **at)  # fmt: skip


def _connected(old: OldServer, name: str, ws: str, crew: str, agent: str, ada: str, chat: str, key: str) -> None:
    times, at, own = {"created_at": AT, "updated_at": AT}, {"created_at": AT}, {"workspace_id": ws}
    old.add("chat_participants", chat_id=chat, user_id=ada, role="owner", joined_at=AT)
    old.add(
        "message_reactions", id=f"{name}mr", chat_id=chat, message_id=f"msg_2_{name}", emoji="+1", user_id=ada, **at
    )
    old.add("message_feedback", id=f"{name}mf", chat_id=chat, message_id=f"msg_2_{name}", signal="helpful", user_id=ada,
            **own, **at)  # fmt: skip
    old.add("credential_audit", id=f"{name}ca", credential_id=key, event_type="USE", agent_id=agent,
            metadata_json="{}", occurred_at=AT)  # fmt: skip
    server = {
        "display_name": "Maps",
        "transport": "streamable-http",
        "endpoint": "https://example.com/mcp",
        "enabled": 1,
    }
    old.add("workspace_mcp_servers", id=f"{name}wm", name="maps", **own, **server, **times)
    old.add("crew_mcp_servers", id=f"{name}cm", crew_id=crew, workspace_mcp_server_id=f"{name}wm", name="maps",
            **server, **times)  # fmt: skip
    old.add("agent_mcp_bindings", id=f"{name}am", agent_id=agent, mcp_server_id=f"{name}cm", mcp_server_scope="crew",
            credential_id=key, cred_type="bearer", enabled=1, **at)  # fmt: skip
    old.add("mcp_tool_calls", id=f"{name}mc", crew_id=crew, agent_id=agent, mcp_server_id=f"{name}cm",
            mcp_server_scope="crew", tool_name="find", status="success", duration_ms=3, **own, **at)  # fmt: skip
