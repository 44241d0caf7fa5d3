"""The tables of a bundle: all that hold rows of a workspace, unless one says why not."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

from sqlalchemy import Column
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel

from models.base import classes_of_tables, place_in, table_of
from models.people.auth import User
from models.people.workspaces import Workspace
from models.personal_data import PEOPLE
from models.resources.skills import Skill

APART: Final[Mapping[str, str]] = {
    "workspaces": "the row of the workspace",
    "users": "the people that other rows name, without what they sign in with",
    "skills": "the skills that its agents have, and those that were made in it",
    "data_keys": "the keys that seal its secrets, wrapped as they are stored",
}
"""Tables of which a bundle has some rows of no workspace, or some columns."""
LEFT_OUT: Final[Mapping[str, str]] = {
    "attachment_totals": "a trigger counts it",
    "audit_logs": "the log belongs to the instance that seals it",
    "audit_seals": "the same",
    "backup_locks": "of a process that works",
    "call_reservations": "of calls that run",
    "chat_presence": "of people who look at a chat now",
    "decision_links": "they were mailed, and open this instance only",
    "events": "the outbox, which is numbered by one cluster",
    "gdpr_actions": "receipts of the instance",
    "idempotency_keys": "answers that are kept for a day",
    "job_steps": "of jobs that run",
    "keeper_requests": "the history of the keeper",
    "notification_deliveries": "a log, which expires",
    "oauth_states": "of sign-ins that are under way",
    "push_notices": "of browsers that are signed in",
    "push_subscriptions": "of a browser that is signed in",
    "routine_deliveries": "what was received once, so that it is not received twice",
    "routine_run_steps": "of runs of routines, which belong to the instance that carried them out",
    "routine_runs": "the same",
    "routine_signal_waits": "the same",
    "routine_waitpoints": "the same",
    "run_frames": "the stream of a chat: its messages have the same, and frames expire",
    "run_reservations": "of runs that have not ended",
    "run_spans": "traces, which expire",
    "run_steps": "of runs that have not ended",
    "run_tags": "a trigger writes them",
    "runner_calls": "of runs that have not ended",
    "runners": "a runner connects with its token, which is in no bundle",
    "service_accounts": "an account acts by its tokens, which are in no bundle",
    "webhook_deliveries": "of the outbox",
    "webhook_receipts": "what was received once, so that it is not received twice",
}
"""Tables with rows of workspaces that no bundle has, and why."""
ELSEWHERE: Final = frozenset({"feature_flags"})
"""Tables of the instance that rows refer to and no bundle has: a row is left out where its reference leads nowhere."""
NOT_COPIED: Final[Mapping[str, str]] = {
    "invitations": "they lead into the workspace that invited",
    "notifications": "a person was notified once",
    "routine_webhooks": "senders know their addresses, which lead into the workspace of the bundle",
}
"""Tables that a restore as a new workspace leaves out, and why."""
FRESH: Final = frozenset({("missions", "trace_id")})
"""Columns that are unique on the instance beside keys: a new workspace has values of its own."""
COMPOSED: Final = frozenset({("inbox_items", "id")})
"""Keys that end with the id of another row."""
SIGN_IN: Final = frozenset({
    "password_hash", "email_verified", "failed_login_count", "locked_until", "passkey_required", "founded_in",
    "onboarding_completed",
})  # fmt: skip
"""Columns of a person that concern the account, and no workspace."""
ENDED: Final[Mapping[str, Mapping[str, Mapping[str, str]]]] = {
    "agents": {"status": {"RUNNING": "IDLE"}},
    "approvals": {"status": {"pending": "cancelled"}},
    "assignments": {"status": dict.fromkeys(("PENDING", "QUEUED", "RUNNING"), "CANCELLED")},
    "peer_conversations": {"status": {"RUNNING": "FAILED"}},
    "runs": {"status": {"RUNNING": "CANCELLED"}},
}
"""States of work that was under way when the bundle was made, and what they become: no worker takes it up."""


@cache
def carried() -> tuple[type[SQLModel], ...]:
    """The tables whose rows of a workspace are in its bundle, each after those that it refers to."""
    tables = {table_of(model): model for model in classes_of_tables()}
    left = {
        table: model
        for table, model in tables.items()
        if place_in(table) is not None and table.name not in LEFT_OUT and table.name not in APART
    }
    ordered: list[type[SQLModel]] = []
    while left:
        free = [
            table
            for table in left
            if not any(
                key.referred_table in left and key.referred_table is not table for key in table.foreign_key_constraints
            )
        ]
        if not free:
            raise TypeError(f"these tables refer to each other: {', '.join(sorted(table.name for table in left))}")
        ordered += [left.pop(table) for table in sorted(free, key=lambda table: table.name)]
    return tuple(ordered)


@cache
def columns_of(model: type[SQLModel]) -> tuple[str, ...]:
    """The stored columns: PostgreSQL computes the others again."""
    names = [str(c.name) for c in table_of(model).c if c.computed is None and c.identity is None]
    return tuple(name for name in names if model is not User or name not in SIGN_IN)


ALWAYS: Final = frozenset({"workspaces", "users", "skills"})
"""Tables that every bundle names, also one without a row of them."""
_NEEDED: Final[Mapping[str, frozenset[str]]] = {
    "users": frozenset({"email", "full_name"}),
    "skills": frozenset({"slug", "name_key", "made_in"}),
    "memberships": frozenset({"user_id", "role"}),
    "runs": frozenset({"status"}),
    "crews": frozenset({"slug"}),
    "agents": frozenset({"slug"}),
    "labels": frozenset({"name"}),
    "projects": frozenset({"slug"}),
    "milestones": frozenset({"project_id", "name"}),
}


def needed_of(model: type[SQLModel]) -> frozenset[str]:
    """The columns without which rows of any release cannot be restored: where they belong, and what is decided by."""
    table = table_of(model)
    keys = {str(column.name) for column in table.primary_key.columns if str(column.name) in columns_of(model)}
    place = place_in(table)
    return _NEEDED.get(str(table.name), frozenset()) | keys | ({place} if place else set())


def order() -> tuple[type[SQLModel], ...]:
    """The tables of a bundle, in the order in which they are restored."""
    return (Workspace, User, Skill, *carried())


@cache
def people_in(model: type[SQLModel]) -> Sequence[Column[object]]:
    """The columns that name people."""
    return [column for column in table_of(model).c if names_person(column)]


def names_person(column: Column[object]) -> bool:
    return any(key.target_fullname == f"{PEOPLE}.id" for key in column.foreign_keys)


def is_json(column: Column[object]) -> bool:
    return isinstance(column.type, JSONB)
