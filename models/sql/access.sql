-- Changes of what a user may do are events of the outbox, in the transaction that makes the change.

-- Writes an event for one user. The argument of the trigger names the column that holds the id of the user.
CREATE OR REPLACE FUNCTION tell_access() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (channel, type, payload)
    VALUES ('access:' || (to_jsonb(OLD) ->> TG_ARGV[0]), 'access.changed', '{}');
    RETURN NULL;
END
$$;

-- Writes an event for each member of a workspace.
CREATE OR REPLACE FUNCTION tell_access_of_members() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (channel, type, payload)
    SELECT 'access:' || user_id, 'access.changed', '{}' FROM memberships WHERE workspace_id = OLD.id;
    RETURN NULL;
END
$$;

-- Returns whether a person belongs to a workspace other than `place`. Row-level security shows the memberships of the
-- person for this one look; the setting is restored before the function returns.
CREATE OR REPLACE FUNCTION belongs_elsewhere(person text, place text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    before text := current_setting('crewship.workspaces', true);
    found boolean;
BEGIN
    PERFORM set_config('crewship.workspaces', '@' || person, true);
    found := EXISTS (
        SELECT FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
        WHERE m.user_id = person AND m.workspace_id IS DISTINCT FROM place AND w.deleted_at IS NULL
    );
    PERFORM set_config('crewship.workspaces', coalesce(before, ''), true);
    RETURN found;
END
$$;

-- Returns whether a person has accepted the membership of a workspace to which the asker belongs. Row-level security
-- hides no membership from this one look; the setting is restored before the function returns.
CREATE OR REPLACE FUNCTION shares_workspace(person text, asker text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    before text := current_setting('crewship.workspaces', true);
    found boolean;
BEGIN
    PERFORM set_config('crewship.workspaces', '*', true);
    found := EXISTS (
        SELECT FROM memberships own
        JOIN memberships other ON other.workspace_id = own.workspace_id
        JOIN workspaces w ON w.id = own.workspace_id
        WHERE own.user_id = asker AND other.user_id = person AND other.accepted_at IS NOT NULL AND w.deleted_at IS NULL
    );
    PERFORM set_config('crewship.workspaces', coalesce(before, ''), true);
    RETURN found;
END
$$;

-- Ends what a person accepted, memberships and invitations: the workspaces keep the member, and lose their rights over
-- the person. Row-level security hides no workspace from this change; the setting is restored before the function
-- returns.
CREATE OR REPLACE FUNCTION end_consents(person text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    before text := current_setting('crewship.workspaces', true);
BEGIN
    PERFORM set_config('crewship.workspaces', '*', true);
    UPDATE memberships SET accepted_at = NULL WHERE user_id = person AND accepted_at IS NOT NULL;
    UPDATE invitations SET accepted_by = NULL WHERE accepted_by = person;
    PERFORM set_config('crewship.workspaces', coalesce(before, ''), true);
END
$$;

CREATE OR REPLACE TRIGGER access AFTER DELETE ON users
FOR EACH ROW EXECUTE FUNCTION tell_access('id');

CREATE OR REPLACE TRIGGER access AFTER DELETE OR UPDATE OF role, capabilities, user_id, workspace_id ON memberships
FOR EACH ROW EXECUTE FUNCTION tell_access('user_id');

CREATE OR REPLACE TRIGGER access AFTER UPDATE OF deleted_at ON workspaces
FOR EACH ROW WHEN (OLD.deleted_at IS DISTINCT FROM NEW.deleted_at)
EXECUTE FUNCTION tell_access_of_members();

CREATE OR REPLACE TRIGGER access AFTER UPDATE OF revoked_at ON sessions
FOR EACH ROW WHEN (OLD.revoked_at IS DISTINCT FROM NEW.revoked_at)
EXECUTE FUNCTION tell_access('user_id');

CREATE OR REPLACE TRIGGER access AFTER UPDATE OF revoked_at ON cli_tokens
FOR EACH ROW WHEN (OLD.revoked_at IS DISTINCT FROM NEW.revoked_at)
EXECUTE FUNCTION tell_access('user_id');

-- A session or token that ended before its row is deleted writes no event.
CREATE OR REPLACE TRIGGER access_removed AFTER DELETE ON sessions
FOR EACH ROW WHEN (OLD.revoked_at IS NULL AND (OLD.expires_at IS NULL OR OLD.expires_at > now()))
EXECUTE FUNCTION tell_access('user_id');

CREATE OR REPLACE TRIGGER access_removed AFTER DELETE ON cli_tokens
FOR EACH ROW WHEN (OLD.revoked_at IS NULL AND (OLD.expires_at IS NULL OR OLD.expires_at > now()))
EXECUTE FUNCTION tell_access('user_id');
