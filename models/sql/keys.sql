-- A row that needs an encryption key is not written after the key was dropped.

-- Raises CS423 if the key was dropped. FOR SHARE: the process that drops the key waits for transactions that need it,
-- and they wait for it.
CREATE OR REPLACE FUNCTION needs_key(key text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    recorded text;
BEGIN
    SELECT value INTO recorded FROM instance_facts WHERE name = 'key.' || key FOR SHARE;
    IF recorded = 'dropped' THEN
        RAISE EXCEPTION '% was dropped, and nothing may need it any more', key USING ERRCODE = 'CS423';
    END IF;
END
$$;

-- Raises CS423 if the key that made the signature was dropped. The first byte is the number of the key.
CREATE OR REPLACE FUNCTION needs_key_of_signature(signature bytea) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM needs_key(
        CASE get_byte(signature, 0) WHEN 1 THEN 'ENCRYPTION_KEY' ELSE 'ENCRYPTION_KEY_V' || get_byte(signature, 0) END
    );
END
$$;

-- A data key needs the key that wraps it.
CREATE OR REPLACE FUNCTION data_keys_need_keys() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM needs_key(NEW.wrapped_by);
    RETURN NEW;
END
$$;

-- A seal needs the keys of its signatures, of those that change.
CREATE OR REPLACE FUNCTION audit_seals_need_keys() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM needs_key_of_signature(NEW.signature)
    WHERE TG_OP = 'INSERT' OR NEW.signature IS DISTINCT FROM OLD.signature;
    PERFORM needs_key_of_signature(NEW.dropped_signature)
    WHERE NEW.dropped_signature IS NOT NULL
        AND (TG_OP = 'INSERT' OR NEW.dropped_signature IS DISTINCT FROM OLD.dropped_signature);
    RETURN NEW;
END
$$;

-- A row of the audit log needs the key that signed what was erased in it.
CREATE OR REPLACE FUNCTION audit_logs_need_keys() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM needs_key_of_signature(NEW.erased_signature)
    WHERE NEW.erased_signature IS NOT NULL AND NEW.erased_signature IS DISTINCT FROM OLD.erased_signature;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER data_keys_need_keys BEFORE INSERT OR UPDATE OF wrapped_by ON data_keys
FOR EACH ROW EXECUTE FUNCTION data_keys_need_keys();

CREATE OR REPLACE TRIGGER audit_seals_need_keys BEFORE INSERT OR UPDATE OF signature, dropped_signature ON audit_seals
FOR EACH ROW EXECUTE FUNCTION audit_seals_need_keys();

CREATE OR REPLACE TRIGGER audit_logs_need_keys BEFORE UPDATE OF erased_signature ON audit_logs
FOR EACH ROW EXECUTE FUNCTION audit_logs_need_keys();
