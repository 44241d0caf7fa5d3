"""what needs a key that was dropped is not written"""

from alembic import op

revision = "0087"
down_revision = "0086"
branch_labels = None
depends_on = None

# FOR SHARE: whoever drops the key waits for those who need it, and they for whoever drops it.
NEEDS = """
CREATE FUNCTION needs_key(key text) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE recorded text;
BEGIN
    SELECT value INTO recorded FROM instance_facts WHERE name = 'key.' || key FOR SHARE;
    IF recorded = 'dropped' THEN
        RAISE EXCEPTION '% was dropped, and nothing may need it any more', key USING ERRCODE = 'CS423';
    END IF;
END $$
"""
SIGNED = """
CREATE FUNCTION needs_key_of_signature(signature bytea) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM needs_key(
        CASE get_byte(signature, 0) WHEN 1 THEN 'ENCRYPTION_KEY' ELSE 'ENCRYPTION_KEY_V' || get_byte(signature, 0) END
    );
END $$
"""
TRIGGERS = {
    "data_keys": ("INSERT OR UPDATE OF wrapped_by", "PERFORM needs_key(NEW.wrapped_by);"),
    "audit_seals": (
        "INSERT OR UPDATE OF signature, dropped_signature",
        "PERFORM needs_key_of_signature(NEW.signature)"
        " WHERE TG_OP = 'INSERT' OR NEW.signature IS DISTINCT FROM OLD.signature;"
        " PERFORM needs_key_of_signature(NEW.dropped_signature) WHERE NEW.dropped_signature IS NOT NULL"
        " AND (TG_OP = 'INSERT' OR NEW.dropped_signature IS DISTINCT FROM OLD.dropped_signature);",
    ),
    "audit_logs": (
        "UPDATE OF erased_signature",
        "PERFORM needs_key_of_signature(NEW.erased_signature) WHERE NEW.erased_signature IS NOT NULL"
        " AND NEW.erased_signature IS DISTINCT FROM OLD.erased_signature;",
    ),
}


def upgrade() -> None:
    op.execute(NEEDS)
    op.execute(SIGNED)
    for table, (events, body) in TRIGGERS.items():
        op.execute(
            f"CREATE FUNCTION {table}_need_keys() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {table}_need_keys BEFORE {events} ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION {table}_need_keys()"
        )
