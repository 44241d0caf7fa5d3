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

-- Returns the position of a span that changes now, in the order in which transactions end.
CREATE OR REPLACE FUNCTION span_place(seq integer) RETURNS text
LANGUAGE sql VOLATILE AS $$
    SELECT lpad(pg_current_xact_id()::text, 19, '0') || lpad(seq::text, 10, '0')
$$;

-- Writes the span of a run, and the spans of its waits. Ends the spans that are open when the run ends, without a
-- result.
CREATE OR REPLACE FUNCTION trace_run() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> 'RUNNING' THEN
        UPDATE run_spans SET finished_at = NEW.finished_at, status = 'CANCELLED', changed = span_place(seq)
        WHERE workspace_id = NEW.workspace_id AND run_id = NEW.id AND created_at = NEW.created_at AND seq > 0
            AND finished_at IS NULL;
    ELSIF TG_OP = 'UPDATE' AND NEW.waits_since IS DISTINCT FROM OLD.waits_since THEN
        IF NEW.waits_since IS NULL THEN
            UPDATE run_spans SET finished_at = now(), status = 'COMPLETED', changed = span_place(seq)
            WHERE workspace_id = NEW.workspace_id AND run_id = NEW.id AND created_at = NEW.created_at
                AND kind = 'WAIT' AND finished_at IS NULL;
        ELSE
            INSERT INTO run_spans (workspace_id, run_id, seq, kind, name, status, started_at, approval_id, changed,
                created_at)
            SELECT NEW.workspace_id, NEW.id, next.seq, 'WAIT', 'approval', 'RUNNING', NEW.waits_since, NEW.waits_for,
                span_place(next.seq), NEW.created_at
            FROM (
                SELECT coalesce(max(seq), 0) + 1 AS seq FROM run_spans
                WHERE workspace_id = NEW.workspace_id AND run_id = NEW.id AND created_at = NEW.created_at
            ) AS next;
        END IF;
        RETURN NULL;
    END IF;
    INSERT INTO run_spans (workspace_id, run_id, seq, kind, name, status, started_at, finished_at, summary, changed,
        created_at)
    VALUES (NEW.workspace_id, NEW.id, 0, 'RUN', NEW.trigger_type,
        CASE NEW.status WHEN 'TIMEOUT' THEN 'FAILED' ELSE NEW.status END, NEW.began_at, NEW.finished_at,
        left(NEW.error_message, 200), span_place(0), NEW.created_at)
    ON CONFLICT (workspace_id, run_id, seq, created_at) DO UPDATE SET status = excluded.status,
        finished_at = excluded.finished_at, summary = excluded.summary, changed = excluded.changed;
    RETURN NULL;
END
$$;

-- Returns which of the runs have spans that changed in transactions since `since`, and the horizon below which all are
-- seen.
CREATE OR REPLACE FUNCTION run_news(since bigint, asked text[], OUT horizon bigint, OUT places text[])
LANGUAGE sql STABLE AS $$
    SELECT events_horizon()::text::bigint, array_agg(run) FROM unnest(asked) run
    WHERE EXISTS (SELECT FROM run_spans WHERE run_id = run AND changed >= lpad(since::text, 19, '0'))
$$;

-- Stores the crew of a new run's agent, and the mission or issue of its assignment: lists narrow by them.
CREATE OR REPLACE FUNCTION place_run() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.crew_id := (SELECT crew_id FROM agents WHERE workspace_id = NEW.workspace_id AND id = NEW.agent_id);
    IF NEW.assignment_id IS NOT NULL THEN
        NEW.mission_id := (
            SELECT missions.id FROM assignments JOIN missions
                ON missions.workspace_id = NEW.workspace_id AND missions.id = assignments.chat_id
            WHERE assignments.workspace_id = NEW.workspace_id AND assignments.id = NEW.assignment_id
        );
    END IF;
    RETURN NEW;
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

CREATE OR REPLACE TRIGGER trace_of_new AFTER INSERT ON runs
FOR EACH ROW WHEN (NEW.started_at IS NOT NULL AND NEW.status = 'RUNNING')
EXECUTE FUNCTION trace_run();

CREATE OR REPLACE TRIGGER trace_of_changed AFTER UPDATE OF status, started_at, waits_since ON runs
FOR EACH ROW WHEN (
    OLD.status = 'RUNNING' AND (
        NEW.status <> 'RUNNING' OR OLD.started_at IS NULL AND NEW.started_at IS NOT NULL
        OR NEW.waits_since IS DISTINCT FROM OLD.waits_since
    )
)
EXECUTE FUNCTION trace_run();

CREATE OR REPLACE TRIGGER place_of_new BEFORE INSERT ON runs
FOR EACH ROW EXECUTE FUNCTION place_run();

-- Returns the agents and crews of the newest runs of a workspace, each pair once; no crew is an empty text. By an index:
-- PostgreSQL expects row-level security to hide most runs, and would sort all of them.
CREATE OR REPLACE FUNCTION newest_runs(of_workspace text, most integer) RETURNS TABLE (agent text, crew text)
LANGUAGE plpgsql STABLE ROWS 100
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
BEGIN
    RETURN QUERY SELECT DISTINCT n.agent_id::text, coalesce(n.crew_id, '')::text FROM (
        SELECT r.agent_id, r.crew_id FROM runs r WHERE r.workspace_id = of_workspace
        ORDER BY r.began_at DESC, r.id DESC LIMIT most
    ) n;
END
$$;
