-- The bytes of the files of chats and issues of a workspace, kept as one total a workspace. A file that several issues
-- have counts with each.

-- Adds the bytes of new rows. One statement takes the locks of several workspaces in the order of their ids.
CREATE OR REPLACE FUNCTION attachments_added() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO attachment_totals AS total (workspace_id, bytes)
        SELECT workspace_id, sum(size) FROM added WHERE deleted_at IS NULL GROUP BY workspace_id ORDER BY workspace_id
        ON CONFLICT (workspace_id) DO UPDATE SET bytes = total.bytes + excluded.bytes;
    RETURN NULL;
END
$$;

-- Adds the difference between the rows after and before an update. A deleted attachment counts nothing.
CREATE OR REPLACE FUNCTION attachments_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE attachment_totals total SET bytes = total.bytes + change.bytes FROM (
        SELECT workspace_id, sum(size) AS bytes FROM (
            SELECT workspace_id, size FROM added WHERE deleted_at IS NULL
            UNION ALL SELECT workspace_id, -size FROM removed WHERE deleted_at IS NULL
        ) each GROUP BY workspace_id
    ) change WHERE total.workspace_id = change.workspace_id AND change.bytes <> 0;
    RETURN NULL;
END
$$;

-- Subtracts the bytes of removed rows. A workspace that is removed takes its total along.
CREATE OR REPLACE FUNCTION attachments_removed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE attachment_totals total SET bytes = total.bytes - gone.bytes FROM (
        SELECT workspace_id, sum(size) AS bytes FROM removed WHERE deleted_at IS NULL GROUP BY workspace_id
    ) gone WHERE total.workspace_id = gone.workspace_id;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER attachments_added AFTER INSERT ON chat_attachments
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION attachments_added();

CREATE OR REPLACE TRIGGER attachments_changed AFTER UPDATE ON chat_attachments
REFERENCING NEW TABLE AS added OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION attachments_changed();

CREATE OR REPLACE TRIGGER attachments_removed AFTER DELETE ON chat_attachments
REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION attachments_removed();

-- Adds the bytes of new files of issues.
CREATE OR REPLACE FUNCTION issue_files_added() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO attachment_totals AS total (workspace_id, bytes)
        SELECT workspace_id, sum(size_bytes) FROM added GROUP BY workspace_id ORDER BY workspace_id
        ON CONFLICT (workspace_id) DO UPDATE SET bytes = total.bytes + excluded.bytes;
    RETURN NULL;
END
$$;

-- Subtracts the bytes of removed files of issues, also of those that went with their issue.
CREATE OR REPLACE FUNCTION issue_files_removed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE attachment_totals total SET bytes = total.bytes - gone.bytes FROM (
        SELECT workspace_id, sum(size_bytes) AS bytes FROM removed GROUP BY workspace_id
    ) gone WHERE total.workspace_id = gone.workspace_id;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER issue_files_added AFTER INSERT ON issue_attachments
REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION issue_files_added();

CREATE OR REPLACE TRIGGER issue_files_removed AFTER DELETE ON issue_attachments
REFERENCING OLD TABLE AS removed
FOR EACH STATEMENT EXECUTE FUNCTION issue_files_removed();
