"""Row-level security: the second lock on the rows of a tenant, derived from the tables and not from migrations.

A connection declares its scope in one setting, `crewship.workspaces`: a workspace's id, several joined by commas, `*`
for the system, or `@` and a user's id, whose memberships are then visible. Without it no row can be read or written.

Rows of a person in a workspace, such as notifications, are also read and written as that person (`@`).

Two tables of the kernel have rows without a workspace, too. Events for one user, or for all, are read as that user
(`@`), and written by everyone. Idempotency keys belong to the principal who sent them, which a second setting names:
`crewship.principal`.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import asyncpg
from sqlalchemy import Table as SQLTable

from models.base import place_in
from models.migrations.tables import owned_tables, secured_tables

POLICY = "tenant"

OPEN: Final[Mapping[str, str]] = {
    "admin_token_uses": "of a token, which is of an account",
    "cli_tokens": "of an account: found by its hash before anybody is known",
    "email_changes": "of an account: found by the hash of a link",
    "feature_flags": "of the instance: every workspace reads them",
    "instance_facts": "of the instance",
    "instance_settings": "of the instance",
    "issue_texts": "a function of the owner compares the place with the workspace of the session: a policy would let no"
    " gram into an index",
    "journal": "its functions compare the place with the workspace of the session: a policy would let no word into an"
    " index",
    "kept_days": "of the instance: the owner writes them",
    "linked_identities": "of an account: found by its provider before anybody is known",
    "mcp_registry_servers": "of the instance: what a public registry says of programs",
    "pairings": "of an account: found by the hash of a code",
    "passkey_challenges": "of a browser before anybody is known",
    "passkeys": "of an account: found by the id of a credential before anybody is known",
    "password_resets": "of an account: found by the hash of a link",
    "preferences": "of an account",
    "push_keys": "of the instance: signs what is sent to browsers of all workspaces",
    "security_logs": "of an account: written before anybody is known",
    "sessions": "of an account: found before anybody is known",
    "sign_in_attempts": "of a browser before anybody is known",
    "sign_in_devices": "of an account: found by the hash of a cookie before anybody is known",
    "skills": "of the instance: every workspace reads the catalog, whichever made an entry",
    "users": "an account is of no workspace: members see each other by their memberships",
    "workers": "of the instance",
    "workspaces": "found by name before anybody is known to be a member",
}
"""Tables without row-level security, and why."""

_NOW = "current_setting('crewship.workspaces', true)"
# reached only by rows that are not of the one workspace
_RARE = f"workspace_id = ANY (string_to_array({_NOW}, ',')) OR {_NOW} = '*'"
# The setting is read for each row. As an InitPlan, once a scan, it would cost a read of one row a fifth more.
_OF_WORKSPACE = f"workspace_id = {_NOW} OR {_RARE}"
_OF_MEMBERSHIP = f"workspace_id = {_NOW} OR '@' || user_id = {_NOW} OR {_RARE}"
# of many rows, nearly all are found by their person
_OF_PERSON = f"'@' || user_id = {_NOW} OR {_OF_WORKSPACE}"
_OF_NO_WORKSPACE = "channel = 'providers' OR split_part(channel, ':', 1) IN ('user', 'access')"
_READ_AS_USER = f"left({_NOW}, 1) = '@' AND channel IN ('providers', 'user:' || substr({_NOW}, 2))"
_OF_PRINCIPAL = f"principal = current_setting('crewship.principal', true) OR {_NOW} = '*'"
_SPECIAL = {  # what is read, and what is written
    "memberships": (_OF_MEMBERSHIP, _OF_WORKSPACE),
    "events": (
        f"{_OF_WORKSPACE} OR workspace_id IS NULL AND {_READ_AS_USER}",
        f"{_OF_WORKSPACE} OR workspace_id IS NULL AND ({_OF_NO_WORKSPACE})",
    ),
    "idempotency_keys": (_OF_PRINCIPAL, _OF_PRINCIPAL),
    "notifications": (_OF_PERSON, _OF_PERSON),
}

_STATE = """
    SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS enabled,
        obj_description(p.oid, 'pg_policy') AS definition
    FROM pg_class c LEFT JOIN pg_policy p ON p.polrelid = c.oid AND p.polname = $1
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY ($2)
"""


def policy_of(table: SQLTable) -> str:
    """The policy of a table, as the end of its CREATE POLICY. Memberships, including the own one, can only be written
    in the set workspaces.
    """
    owned = (_OF_MEMBERSHIP, _OF_MEMBERSHIP) if table.name in owned_tables() else (_OF_WORKSPACE, _OF_WORKSPACE)
    using, check = _SPECIAL.get(table.name, owned)
    return f"USING ({using}) WITH CHECK ({check})".replace("workspace_id", place_in(table) or "workspace_id")


async def apply_row_security(connection: "asyncpg.Connection[asyncpg.Record]", enabled: bool) -> None:
    """Brings policies and switches of all secured tables to where they should be; locks no table already there."""
    tables = {table.name: table for table in secured_tables()}
    state = {row["name"]: row for row in await connection.fetch(_STATE, POLICY, list(tables))}
    for name, table in tables.items():
        policy = policy_of(table)
        definition = sha256(policy.encode()).hexdigest()
        if state[name]["definition"] != definition:
            await connection.execute(f'DROP POLICY IF EXISTS {POLICY} ON "{name}"')
            await connection.execute(f'CREATE POLICY {POLICY} ON "{name}" {policy}')
            await connection.execute(f"COMMENT ON POLICY {POLICY} ON \"{name}\" IS '{definition}'")
        if state[name]["enabled"] != enabled:
            switches = (
                "ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
                if enabled
                else "DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY"
            )
            await connection.execute(f'ALTER TABLE "{name}" {switches}')
