"""The tables of the Go server, and the tables here that they fill. Columns of one name fill each other; other columns
are declared here.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from sqlmodel import SQLModel

from crewship.importing.source import Row
from models.attention.inbox import InboxItem
from models.attention.notification_channels import NotificationChannel
from models.attention.notifications import Notification
from models.kernel import AuditLog
from models.oversight.audit import McpToolCall
from models.oversight.journal import JournalEntry
from models.resources.credentials import AgentCredential, Credential, CredentialCrew, CredentialEvent
from models.resources.integrations import AgentIntegration, CrewIntegration, WorkspaceIntegration
from models.resources.skills import AgentSkill
from models.staff.agents import Agent
from models.staff.assignments import Escalation, EscalationStatus, PeerConversation
from models.staff.chats import Chat, ChatParticipant, MessageReaction
from models.staff.crews import Crew, CrewConnection, CrewMember
from models.staff.feedback import MessageFeedback
from models.staff.runs import Run
from models.work.issues import IssueActivity, IssueComment, IssueLabel, IssueRelation
from models.work.labels import Label
from models.work.missions import Assignment, Mission, MissionTask
from models.work.projects import Milestone, Project
from models.work.recurring_issues import RecurringIssue
from models.work.saved_views import SavedView
from models.work.templates import WorkflowTemplate
from models.work.triage_rules import TriageRule

Made = Callable[[Row], Any]


def _of(column: str, table: str) -> str:
    return f"t.{column} IN (SELECT id FROM {table} WHERE workspace_id = ?)"


@dataclass(frozen=True, slots=True)
class Take:
    """`where` finds the rows of one workspace. `named`: our column, and the one that fills it. `made`: our column, and
    a function of the row. `secrets`: our column, and those that may hold the secret. `dropped`: columns without a place
    that mean nothing here. `rows`: a query in place of the table, and its columns. `beside`: further columns,
    by a query each.
    """

    model: type[SQLModel]
    table: str
    where: str = "t.workspace_id = ?"
    named: Mapping[str, str] = field(default_factory=dict)
    made: Mapping[str, Made] = field(default_factory=dict)
    secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dropped: frozenset[str] = frozenset()
    rows: tuple[str, tuple[str, ...]] | None = None
    beside: Mapping[str, str] = field(default_factory=dict)


def derived(*columns: str) -> Made:
    """A new id, and the same in each import."""

    def made(row: Row) -> str:
        said = "\0".join(str(row.get(column)) for column in columns)
        return "c" + hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()[:24]

    return made


def constant(value: Any) -> Made:
    return lambda _: value


def _list(column: str) -> Made:
    """A list, from JSON or from words with commas."""

    def made(row: Row) -> Any:
        text = str(row.get(column) or "").strip()
        return text or None if text.startswith("[") else [part.strip() for part in text.split(",") if part.strip()]

    return made


def _creator_type(row: Row) -> str | None:
    if row.get("created_by_user_id"):
        return "user"
    return "agent" if row.get("author_agent_id") else None


def _answered(row: Row) -> str:
    status = str(row.get("status"))
    return status if status in {*EscalationStatus} else EscalationStatus.RESOLVED.value


def _resolved(row: Row) -> Any:
    return None if _answered(row) == "PENDING" else row.get("resolved_at") or row.get("created_at")


def _subject(row: Row) -> str | None:
    return {"escalation": "escalation", "failed_run": "run"}.get(str(row.get("kind")))


def _resolution(row: Row) -> Any:
    handed_over = row.get("type") == "CREDENTIAL" and _answered(row) == "RESOLVED"
    return None if handed_over else row.get("resolution")


def _member_of_crew(row: Row) -> Any:
    return row.get("role") or row.get("role_override")


def _inputs(row: Row) -> Any:
    return row.get("routine_inputs_json") or None


def _of_payload(column: str, name: str) -> Made:
    """A value in a JSON object."""

    def made(row: Row) -> Any:
        try:
            found = orjson.loads(row[column] or b"{}")
        except (orjson.JSONDecodeError, TypeError, UnicodeEncodeError):
            return None
        value = found.get(name) if isinstance(found, dict) else None
        return value if not isinstance(value, bool) else None

    return made


def _status_of_run(row: Row) -> str:
    return {"run.completed": "COMPLETED", "run.failed": "FAILED", "run.timeout": "TIMEOUT"}.get(
        str(row["ended"]), "CANCELLED"
    )


def _prompt(row: Row) -> str:
    return str(_of_payload("beginning", "prompt")(row) or _of_payload("beginning", "message")(row) or "")


ENDINGS: Final = "('run.completed', 'run.failed', 'run.cancelled', 'run.timeout')"
RUNS: Final = f"""
    SELECT t.trace_id, t.agent_id, t.crew_id, t.mission_id, t.ts, t.actor_id, t.payload, e.entry_type, e.ts, e.payload
    FROM journal_entries t LEFT JOIN journal_entries e ON e.rowid = (
        SELECT l.rowid FROM journal_entries l
        WHERE l.trace_id = t.trace_id AND l.workspace_id = t.workspace_id AND l.entry_type IN {ENDINGS}
        ORDER BY l.ts DESC LIMIT 1
    )
    WHERE t.workspace_id = ? AND t.entry_type = 'run.started' AND t.trace_id IS NOT NULL ORDER BY t.rowid
"""
RUN_COLUMNS: Final = (
    "id", "agent_id", "crew_id", "mission_id", "started_at", "triggered_by", "beginning", "ended", "finished_at",
    "ending",
)  # fmt: skip

TAKES: Final = (
    Take(
        Crew,
        "crews",
        made={"allowed_domains": _list("allowed_domains"), "issue_counter": lambda row: (row["next_number"] or 1) - 1},
        beside={"next_number": "SELECT c.next_number FROM issue_counters c WHERE c.crew_id = t.id"},
    ),
    Take(CrewMember, "crew_members", _of("crew_id", "crews"), made={"role": _member_of_crew}),
    Take(CrewConnection, "crew_connections"),
    Take(
        Agent,
        "agents",
        secrets={"webhook_secret": ("webhook_secret",)},
        dropped=frozenset({"temperature", "max_tokens", "delegation_timeout_s", "max_delegation_depth"}),
    ),
    Take(AgentSkill, "agent_skills", _of("agent_id", "agents")),
    Take(
        Credential,
        "credentials",
        named={"oauth_expires_at": "oauth_token_expires_at", "created_by_actor_id": "created_by"},
        made={
            "created_by_actor_type": lambda row: row.get("created_by_actor_type") or "user",
            "created_by_actor_id": lambda row: row.get("created_by_actor_id") or row.get("created_by"),
        },
        secrets={
            "value": ("encrypted_value",),
            "refresh_token": ("oauth_refresh_token_enc", "encrypted_refresh_token"),
            "oauth_client_secret": ("oauth_client_secret_enc",),
        },
        dropped=frozenset({"crew_id"}),
    ),
    Take(
        CredentialCrew,
        "credential_crews",
        _of("credential_id", "credentials"),
        made={"id": derived("credential_id", "crew_id"), "position": constant(0)},
    ),
    Take(AgentCredential, "agent_credentials", _of("agent_id", "agents")),
    Take(
        CredentialEvent,
        "credential_audit",
        _of("credential_id", "credentials"),
        named={"details": "metadata_json"},
    ),
    Take(WorkspaceIntegration, "workspace_mcp_servers"),
    Take(CrewIntegration, "crew_mcp_servers", _of("crew_id", "crews")),
    Take(AgentIntegration, "agent_mcp_bindings", _of("agent_id", "agents")),
    Take(Project, "projects"),
    Take(Milestone, "milestones", _of("project_id", "projects")),
    Take(Label, "labels"),
    Take(Chat, "chats", dropped=frozenset({"jsonl_path", "message_count"})),
    Take(ChatParticipant, "chat_participants", _of("chat_id", "chats"), made={"id": derived("chat_id", "user_id")}),
    Take(MessageReaction, "message_reactions", _of("chat_id", "chats")),
    Take(MessageFeedback, "message_feedback"),
    Take(Assignment, "assignments", made={"updated_at": lambda row: row.get("finished_at") or row["created_at"]}),
    Take(PeerConversation, "peer_conversations"),
    Take(
        Escalation,
        "escalations",
        named={"data": "metadata"},
        made={"status": _answered, "resolved_at": _resolved, "resolution": _resolution},
    ),
    Take(
        Mission,
        "missions",
        made={
            "routine_inputs": _inputs,
            "created_by_type": _creator_type,
            "created_by_id": lambda row: row.get("created_by_user_id") or row.get("author_agent_id"),
        },
        dropped=frozenset({"routine_inputs_json", "created_by_user_id", "author_agent_id"}),
    ),
    Take(MissionTask, "mission_tasks", _of("mission_id", "missions")),
    Take(IssueLabel, "mission_labels", _of("mission_id", "missions")),
    Take(IssueComment, "mission_comments", _of("mission_id", "missions")),
    Take(IssueRelation, "mission_relations", _of("source_id", "missions")),
    Take(IssueActivity, "mission_activity", _of("mission_id", "missions")),
    Take(SavedView, "saved_views"),
    Take(RecurringIssue, "recurring_issues"),
    Take(TriageRule, "triage_rules"),
    Take(WorkflowTemplate, "workflow_templates", "t.workspace_id = ? AND t.is_builtin = 0"),
    Take(
        NotificationChannel,
        "notification_channels",
        named={"events": "events_json"},
        made={"url": _of_payload("config_json", "url"), "address": _of_payload("config_json", "to")},
        secrets={"secret": ("secret_enc",)},
        dropped=frozenset({"config_json"}),
    ),
    Take(Notification, "notifications", named={"from_workspace_id": "workspace_id"}),
    Take(
        InboxItem,
        "inbox_items",
        "t.workspace_id = ? AND t.kind IN ('escalation', 'failed_run', 'message')",
        named={"payload": "payload_json"},
        made={"subject_type": _subject, "subject_id": lambda row: row["source_id"] if _subject(row) else None},
    ),
    Take(McpToolCall, "mcp_tool_calls", dropped=frozenset({"input_hash", "session_id"})),
    Take(JournalEntry, "journal_entries", named={"created_at": "ts"}, dropped=frozenset({"span_id", "run_id"})),
    Take(
        Run,
        "journal_entries",
        rows=(RUNS, RUN_COLUMNS),
        made={
            "status": _status_of_run,
            "prompt": _prompt,
            "chat_id": _of_payload("beginning", "chat_id"),
            "trigger_type": _of_payload("beginning", "trigger_type"),
            "model": _of_payload("beginning", "model"),
            "data": _of_payload("beginning", "metadata"),
            "exit_code": _of_payload("ending", "exit_code"),
            "error_message": _of_payload("ending", "error_message"),
            "created_at": lambda row: row["started_at"],
            "finished_at": lambda row: row["finished_at"] or row["started_at"],
        },
    ),
    Take(
        AuditLog,
        "audit_logs",
        named={"data": "metadata"},
        made={
            "actor_type": lambda row: "user" if row.get("user_id") else "system",
            "actor_id": lambda row: row.get("user_id"),
            "effect": constant(None),
        },
    ),
)

APART: Final = frozenset({
    "_migrations", "users", "workspaces", "workspace_members", "skills", "cli_tokens", "user_preferences",
    "conversation_messages", "issue_counters",
})  # fmt: skip
"""Tables that are read by functions of their own."""

ROUTINES: Final = "this server has no routines"
SIGNED_IN: Final = "people sign in again"
WITHOUT_PLACE: Final[Mapping[str, str]] = {
    "accounts": "accounts at other sign-in providers are linked again at the next sign-in",
    "admin_token_uses": "uses of tokens that end with the old server",
    "agent_config_history": "the audit log has the changes",
    "agent_runs_archive": "the journal has the same runs",
    "agent_status": "of processes of the old server",
    "app_settings": "settings of the old server",
    "approvals_queue": "an approval waits in a process of the old server",
    "backup_catalog": "bundles of the old server are read by it alone",
    "backup_destinations": "set up backups here (docs/backups.md)",
    "backup_locks": "of processes of the old server",
    "captain_chats": "the old server has ended that feature",
    "chat_attachments": "their files arrive with the files of the crew; send them again to list them in a chat",
    "chat_branches": "a branch is a chat here",
    "chat_read_cursors": "what is unread is counted anew",
    "checkpoints": "they refer to the old server's journal",
    "cli_pairings": SIGNED_IN,
    "cli_token_uses": "uses of tokens that end with the old server",
    "composio_settings": "this server has no such connector",
    "credential_rotations": "replaced values end with the old server",
    "crew_audit_log": "the journal has the same entries",
    "crew_messages": "this server keeps no messages between crews",
    "crew_templates": "this server has templates of its own",
    "eval_runs": "this server has no evaluations",
    "feature_flag_overrides": "features of the old server",
    "feature_flags": "features of the old server",
    "gate_reward_history": "decisions are counted anew",
    "gdpr_actions": "receipts of the old server",
    "hooks_config": "this server has no hooks in this form",
    "instance_config": "of the old server",
    "journal_embeddings": "this server searches by words",
    "journal_entries_archived": "compressed entries, which the old server no longer shows",
    "keeper_requests": "the history of the old keeper",
    "mcp_registry_servers": "the registry is read anew",
    "mcp_tool_bindings": "tools are listed anew by their servers",
    "memory_health_snapshots": "measured anew",
    "memory_proposals": "proposals of the old server's model",
    "memory_relations": "this server searches by words",
    "memory_versions": "versions begin with the imported files",
    "mission_proposals": "the old server has ended that feature",
    "oauth_states": SIGNED_IN,
    "peer_card_audit": "cards of people begin anew",
    "peer_cards": "cards of people begin anew",
    "plans": "this server has no plans",
    "pipeline_run_idempotency": ROUTINES,
    "pipeline_runs": ROUTINES,
    "pipeline_schedules": ROUTINES,
    "pipeline_versions": ROUTINES,
    "pipeline_webhooks": ROUTINES,
    "pipelines": ROUTINES,
    "pending_runs": ROUTINES,
    "port_exposures": "of containers of the old server",
    "run_tags": ROUTINES,
    "scheduled_jobs": "set up backups here (docs/backups.md)",
    "sessions": SIGNED_IN,
    "skill_invocations": "the journal has the uses of skills",
    "skill_reviews": "this server has no reviews of skills",
    "subscriptions": "this server has no plans",
    "user_models": "cards of people begin anew",
    "user_peer_consent": "people consent anew",
    "user_sessions": SIGNED_IN,
    "verification_tokens": SIGNED_IN,
    "waitpoints": ROUTINES,
    "workflow_states": "issues have the states of this server",
    "workspace_files": "this server keeps files of crews",
    "workspace_invitations": "invite again: a link of the old server leads to it",
}
UNKNOWN: Final = "this release does not know the table"
