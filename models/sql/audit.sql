-- Only these functions of the owner delete or change rows of the audit log.

-- Returns the time before which rows of the audit log have expired, as the operator has set it; '-infinity' if
-- nothing is set: rows are then kept for ever.
CREATE OR REPLACE FUNCTION audit_expired() RETURNS timestamptz
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT coalesce(
        (SELECT now() - make_interval(days => days) FROM kept_days WHERE name = 'audit_logs' AND days > 0), '-infinity'
    )
$$;

-- Removes digests of seals whose rows have expired before `ending`, and returns the seals. If some rows of a seal stay,
-- it removes digests of at most the expired rows, and the remaining digests must be the seal's own.
CREATE OR REPLACE FUNCTION audit_let_go(
    ending timestamptz, places text[], numbers bigint[], lefts bytea[], signatures bytea[]
) RETURNS TABLE (place text, first_at timestamptz, last_at timestamptz)
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH told AS (
        SELECT * FROM unnest(places, numbers, lefts, signatures) AS told (place, number, digests, signature)
    )
    UPDATE audit_seals AS seal SET digests = told.digests, dropped_at = now(), dropped_until = ending,
        dropped_signature = told.signature
    FROM told
    WHERE seal.workspace_id = told.place AND seal.number = told.number AND ending <= audit_expired()
        AND seal.digests IS NOT NULL AND seal.first_at < ending
        AND CASE WHEN seal.last_at < ending THEN told.digests IS NULL ELSE
            coalesce(octet_length(told.digests), 0) % 16 = 0
            AND octet_length(seal.digests) - coalesce(octet_length(told.digests), 0) <= 16 * (
                SELECT count(*) FROM audit_logs l WHERE l.workspace_id = seal.workspace_id
                    AND l.seq BETWEEN seal.first_seq AND seal.last_seq AND l.created_at < ending
            )
            AND NOT EXISTS (
                SELECT substr(told.digests, n, 16) FROM generate_series(1, octet_length(told.digests), 16) n
                EXCEPT
                SELECT substr(seal.digests, n, 16) FROM generate_series(1, octet_length(seal.digests), 16) n
            ) END
    RETURNING seal.workspace_id, seal.first_at, seal.last_at
$$;

-- Deletes the rows of one seal if all are older than the workspace keeps them, which is at least 90 days, and returns
-- their number.
CREATE OR REPLACE FUNCTION audit_remove(of_workspace text, of_number bigint, said bytea) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    going record;
    removed bigint;
BEGIN
    SELECT s.first_seq, s.last_seq, s.last_at INTO going FROM audit_seals s
    WHERE s.workspace_id = of_workspace AND s.number = of_number AND s.digests IS NOT NULL AND s.last_at < (
        SELECT date_trunc('day', now(), 'UTC') - make_interval(days => greatest(r.days, 90)) FROM retention_rules r
        WHERE r.workspace_id = of_workspace AND r.kind = 'audit' AND r.days > 0
    )
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    DELETE FROM audit_logs WHERE workspace_id = of_workspace AND seq BETWEEN going.first_seq AND going.last_seq
        AND created_at <= going.last_at;
    GET DIAGNOSTICS removed = ROW_COUNT;
    UPDATE audit_seals SET digests = NULL, dropped_at = now(), dropped_until = NULL, dropped_signature = said
    WHERE workspace_id = of_workspace AND number = of_number;
    RETURN removed;
END
$$;

-- Removes a person's data from rows, and keeps a digest of the removed data.
CREATE OR REPLACE FUNCTION audit_take_out(
    of_workspace text, person text, personal jsonb, about text[], chosen text[]
) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    UPDATE audit_logs SET salt = NULL,
        erased = coalesce(erased, sha256(convert_to(
            jsonb_build_array(salt, user_id, actor_id, data, changes, ip_address, user_agent)::text, 'UTF8'
        ))),
        user_id = nullif(user_id, person), actor_id = nullif(actor_id, person),
        ip_address = CASE WHEN person IN (user_id, actor_id) THEN NULL ELSE ip_address END,
        user_agent = CASE WHEN person IN (user_id, actor_id) THEN NULL ELSE user_agent END,
        data = without_fields(data, personal, 'erased'), changes = without_fields(changes, personal, 'erased')
    WHERE workspace_id = of_workspace AND id = ANY (chosen)
        AND (user_id = person OR actor_id = person OR entity_id = ANY (about))
$$;

-- Stores the signatures of digests of erased rows.
CREATE OR REPLACE FUNCTION audit_sign_erased(of_workspace text, chosen text[], signatures bytea[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    UPDATE audit_logs SET erased_signature = kept.signature FROM unnest(chosen, signatures) AS kept (row, signature)
    WHERE workspace_id = of_workspace AND id = kept.row AND erased IS NOT NULL
$$;

-- Deletes the rows of a workspace that is deleted for good. No reference does: it would lock the row of the workspace for
-- each row that is written. By its name this trigger follows the triggers of references, which wait for running changes.
-- Only the owner may delete rows of the log, and so a workspace.
CREATE OR REPLACE FUNCTION audit_of_removed() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    before text := current_setting('crewship.workspaces', true);
BEGIN
    PERFORM set_config('crewship.workspaces', OLD.id, true);
    DELETE FROM audit_logs WHERE workspace_id = OLD.id;
    PERFORM set_config('crewship.workspaces', coalesce(before, ''), true);
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER audit_of_removed AFTER DELETE ON workspaces
FOR EACH ROW EXECUTE FUNCTION audit_of_removed();

REVOKE ALL ON FUNCTION audit_expired() FROM PUBLIC;
REVOKE ALL ON FUNCTION audit_let_go(timestamptz, text[], bigint[], bytea[], bytea[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION audit_remove(text, bigint, bytea) FROM PUBLIC;
REVOKE ALL ON FUNCTION audit_take_out(text, text, jsonb, text[], text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION audit_sign_erased(text, text[], bytea[]) FROM PUBLIC;
