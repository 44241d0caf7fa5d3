"""Row-level security: the second lock on the rows of a tenant, derived from the tables and not from migrations.

A connection says for whom it works in two settings: `crewship.workspaces`, ids joined by commas, or `*` for the system itself; and
`crewship.user`, whose own memberships are seen before any workspace is chosen. Without them no row is seen and none is written.
"""

from hashlib import sha256

from sqlalchemy import Connection, text
from sqlalchemy import Table as SQLTable

from models.migrations.tables import tenant_tables

POLICY = "tenant"

# A subselect that does not refer to the row is an InitPlan: evaluated once per scan, and only when it is reached. The one workspace
# of most calls comes first, since comparing two texts costs a third of looking into an array.
_SETTING = "(SELECT current_setting('crewship.workspaces', true))"
_LISTED = "((SELECT string_to_array(current_setting('crewship.workspaces', true), ','))::text[])"
_OF_WORKSPACE = f"workspace_id = {_SETTING} OR workspace_id = ANY ({_LISTED}) OR {_SETTING} = '*'"
_OF_USER = "user_id = (SELECT current_setting('crewship.user', true))"

_STATE = text(
    """
    SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS enabled, obj_description(p.oid, 'pg_policy') AS definition
    FROM pg_class c LEFT JOIN pg_policy p ON p.polrelid = c.oid AND p.polname = :policy
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY (:tables)
    """
)


def policy_of(table: SQLTable) -> str:
    """The policy of a table, as the end of its CREATE POLICY. Nobody writes a membership, the own one included, outside the set workspaces."""
    using = f"{_OF_WORKSPACE} OR {_OF_USER}" if table.name == "memberships" else _OF_WORKSPACE
    return f"USING ({using}) WITH CHECK ({_OF_WORKSPACE})"


def apply_row_security(connection: Connection, enabled: bool) -> None:
    """Brings policies and switches of all tenant tables to where they should be, and locks no table that is already there."""
    tables = {table.name: table for table in tenant_tables()}
    state = {row.name: row for row in connection.execute(_STATE, {"policy": POLICY, "tables": list(tables)})}
    quote = connection.dialect.identifier_preparer.quote
    for name, table in tables.items():
        policy = policy_of(table)
        definition = sha256(policy.encode()).hexdigest()
        if state[name].definition != definition:
            connection.execute(text(f"DROP POLICY IF EXISTS {POLICY} ON {quote(name)}"))
            connection.execute(text(f"CREATE POLICY {POLICY} ON {quote(name)} {policy}"))
            connection.execute(text(f"COMMENT ON POLICY {POLICY} ON {quote(name)} IS '{definition}'"))
        if state[name].enabled != enabled:
            switches = "ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY" if enabled else "DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY"
            connection.execute(text(f"ALTER TABLE {quote(name)} {switches}"))
