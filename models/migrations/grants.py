"""The rights of the application's role on each table, and the owner's functions that it may call.

The application may write tables whose rows are edited. An append-only table declares here the further rights of its
writers: nothing else may change or remove its rows.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import asyncpg

from models.migrations.tables import metadata
from models.personal_data import author_of, held_in

EDITED: Final = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})


class Grant(NamedTuple):
    """`rights` of the whole table. `erased`: UPDATE of the columns that the erasure of a person changes, too."""

    rights: frozenset[str]
    erased: bool = False


def added(*more: str, erased: bool = False) -> Grant:
    return Grant(frozenset({"SELECT", "INSERT", *more}), erased)


ADDED: Final[Mapping[str, Grant]] = {
    "admin_token_uses": added(),
    # rows that expire, and persons in them, go through functions of the owner, which keep what seals need
    "audit_logs": added(),
    "audit_seals": added(),
    "credential_events": added("DELETE", erased=True),
    "events": added("DELETE"),
    "gdpr_actions": added("UPDATE"),
    "issue_activity": added(erased=True),
    "issue_texts": Grant(frozenset()),  # functions of the owner write and read it
    "job_steps": added("DELETE"),
    "journal_entries": added("DELETE", erased=True),
    "kept_days": Grant(frozenset({"SELECT"})),  # the owner writes it
    "mcp_tool_calls": added("DELETE"),
    "memory_versions": added("DELETE"),
    "model_calls": added(),
    "peer_card_audit": added("DELETE", erased=True),
    "routine_versions": added(erased=True),
    "run_frames": added("DELETE"),
    "security_logs": added("DELETE", erased=True),
}
"""DELETE is for rows that expire, or are removed with a person."""

CHANGED: Final = frozenset(
    {
        "agent_avatars", "agent_credentials", "agent_skills", "approval_gates", "approval_outcomes", "approvals",
        "attachment_totals", "backup_locks", "budget_spends", "call_reservations", "chat_participants", "chat_presence",
        "chat_read_cursors", "checkpoints", "cli_tokens", "cost_days", "credential_bindings", "credential_crews",
        "credential_rotations",
        "crew_members", "data_keys", "decision_links", "email_changes", "escalations", "feature_flag_overrides",
        "instance_facts", "invitations", "issue_attachments", "issue_labels", "issue_relations", "journal",
        "keeper_requests",
        "linked_identities", "mcp_registry_servers", "memory_configs", "memory_proposals", "message_feedback",
        "message_reactions", "messages", "notification_channel_agents", "notification_preferences", "notifications",
        "oauth_states",
        "pairings", "passkey_challenges", "passkeys",
        "password_resets", "peer_consents", "peer_conversations", "push_keys", "push_notices", "retention_rules",
        "routine_deliveries", "routine_run_steps", "routine_signal_waits", "routine_trust_grants", "routine_waitpoints",
        "run_reservations", "run_spans", "run_steps", "run_tags", "runner_calls", "runs",
        "sessions", "sign_in_attempts", "sign_in_devices", "skill_proposals", "webhook_deliveries", "webhook_receipts",
        "work_pauses",
    }
)  # fmt: skip
"""Tables whose rows have no time or version of an edit, and are changed or replaced all the same."""

FUNCTIONS: Final = (
    "partitions_of(text)",
    "keep_partitions(text, text, integer)",
    "drop_partitions(text, timestamptz)",
    "audit_let_go(timestamptz, text[], bigint[], bytea[], bytea[])",
    "audit_remove(text, bigint, bytea)",
    "audit_take_out(text, text, jsonb, text[], text[])",
    "audit_sign_erased(text, text[], bytea[])",
    "analyze_what_changed()",
    "issue_candidates(text, text, integer)",
    "search_candidates(text, text, integer)",
    "issue_text_written()",
    "issue_text_removed()",
)
"""They run with the rights of the owner, and only the application's role may call them."""

# Default privileges may have given partitions to a role, which reaches them through their table alone.
PARTITIONS: Final = """
    SELECT string_agg(quote_ident(c.relname), ', ') FROM pg_class c
    WHERE c.relispartition AND c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
        AND EXISTS (
            SELECT FROM aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee WHERE r.rolname = $1
        )
"""


def granted(name: str) -> Grant:
    return ADDED.get(name, Grant(EDITED))


def erased_columns(name: str) -> list[str]:
    """The columns that the erasure of a person changes: who it was, the person's words, and texts by the person."""
    table = metadata().tables[name]
    kept = held_in(table)
    words = kept.words if kept.by else ()
    return sorted({*kept.by, *words, *(kept.mentions if author_of(table) else ())})


async def grant(connection: "asyncpg.Connection[asyncpg.Record]", application_role: str | None) -> None:
    """Gives the role the declared rights, and revokes all others. The owner keeps its rights."""
    if application_role in (None, await connection.fetchval("SELECT current_user")):
        return
    role = await connection.fetchval("SELECT quote_ident($1)", application_role)
    schema = await connection.fetchval("SELECT quote_ident(current_schema())")
    tables = {name: f'"{name}"' for name in sorted(metadata().tables)}
    edited = ", ".join(table for name, table in tables.items() if name not in ADDED)
    statements = [
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        # Default privileges of the owner, and earlier releases, may have given more.
        f"REVOKE ALL ON TABLE alembic_version, {', '.join(tables.values())} FROM {role}",
        f"GRANT SELECT ON TABLE alembic_version TO {role}",
        f"GRANT {', '.join(sorted(EDITED))} ON TABLE {edited} TO {role}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
        f"GRANT EXECUTE ON FUNCTION {', '.join(FUNCTIONS)} TO {role}",
    ]
    for name, given in ADDED.items():
        if given.rights:
            statements.append(f"GRANT {', '.join(sorted(given.rights))} ON TABLE {tables[name]} TO {role}")
        if given.erased:
            columns = ", ".join(f'"{column}"' for column in erased_columns(name))
            statements.append(f"GRANT UPDATE ({columns}) ON TABLE {tables[name]} TO {role}")
    partitions = await connection.fetchval(PARTITIONS, application_role)
    if partitions is not None:
        statements.append(f"REVOKE ALL ON TABLE {partitions} FROM {role}")
    for statement in statements:
        await connection.execute(statement)
