-- Rows of a run in other tables.

-- Returns the tags of a run: the strings of `tags`, each once, of at most 200 characters.
CREATE OR REPLACE FUNCTION run_tags_of(data jsonb) RETURNS SETOF text
LANGUAGE sql IMMUTABLE AS $$
    SELECT DISTINCT value #>> '{}'
    FROM jsonb_array_elements(
        CASE jsonb_typeof(data -> 'tags')
            WHEN 'array' THEN data -> 'tags'
            WHEN 'string' THEN jsonb_build_array(data -> 'tags')
            ELSE '[]'
        END
    )
    WHERE jsonb_typeof(value) = 'string' AND char_length(value #>> '{}') <= 200
$$;

-- Stores the tags of a run in the order of the list of runs.
CREATE OR REPLACE FUNCTION keep_run_tags() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM run_tags
        WHERE workspace_id = OLD.workspace_id AND tag IN (SELECT run_tags_of(OLD.data))
            AND began_at = OLD.began_at AND run_id = OLD.id;
    END IF;
    INSERT INTO run_tags (workspace_id, tag, began_at, run_id)
    SELECT NEW.workspace_id, tag, NEW.began_at, NEW.id FROM run_tags_of(NEW.data) AS tag;
    RETURN NULL;
END
$$;

-- Releases what a run has reserved of budgets.
CREATE OR REPLACE FUNCTION release_reservations() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM run_reservations WHERE workspace_id = NEW.workspace_id AND run_id = NEW.id;
    RETURN NULL;
END
$$;

-- Removes the outcomes of the steps of a run: they serve a worker that takes the run over, and none does after its end.
CREATE OR REPLACE FUNCTION forget_steps() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE run_steps SET outcome = NULL, said = NULL
    WHERE run_id = NEW.id AND workspace_id = NEW.workspace_id AND (outcome IS NOT NULL OR said IS NOT NULL);
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER run_tags_of_new AFTER INSERT ON runs
FOR EACH ROW WHEN (NEW.data ? 'tags')
EXECUTE FUNCTION keep_run_tags();

CREATE OR REPLACE TRIGGER run_tags_of_changed AFTER UPDATE OF data, started_at ON runs
FOR EACH ROW WHEN (
    OLD.data -> 'tags' IS DISTINCT FROM NEW.data -> 'tags'
    OR NEW.data ? 'tags' AND COALESCE(OLD.started_at, OLD.created_at) <> COALESCE(NEW.started_at, NEW.created_at)
)
EXECUTE FUNCTION keep_run_tags();

CREATE OR REPLACE TRIGGER reservations_of_ended AFTER UPDATE OF status ON runs
FOR EACH ROW WHEN (OLD.status = 'RUNNING' AND NEW.status <> 'RUNNING')
EXECUTE FUNCTION release_reservations();

CREATE OR REPLACE TRIGGER steps_of_ended AFTER UPDATE OF status ON runs
FOR EACH ROW WHEN (OLD.status = 'RUNNING' AND NEW.status <> 'RUNNING')
EXECUTE FUNCTION forget_steps();
