"""The journal tells each call of a model, how commands have ended, and when an agent's status changes."""

from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

MISSION = """
CREATE FUNCTION journal_mission(place text, assignment text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT missions.id FROM assignments JOIN missions ON missions.workspace_id = place AND missions.id = assignments.chat_id
    WHERE assignments.workspace_id = place AND assignments.id = assignment
$$
"""
RUNS = """
CREATE OR REPLACE FUNCTION journal_lines(r runs) RETURNS SETOF journal LANGUAGE sql AS $$
    SELECT line.* FROM (
        SELECT CASE WHEN r.assignment_id IS NOT NULL THEN 'orchestrator' ELSE 'sidecar' END AS by, left(r.id, 8) AS named,
            CASE WHEN r.assignment_id IS NOT NULL THEN journal_mission(r.workspace_id, r.assignment_id) END AS mission,
            r.finished_at IS NOT NULL AND NOT EXISTS (
                SELECT FROM model_calls WHERE workspace_id = r.workspace_id AND run_id = r.id
            ) AS unbooked
    ) run, LATERAL (
        SELECT l.* FROM journal_line(r.workspace_id, r.started_at, 'rs', r.id, 'run.started', 'info', run.by, NULL,
            r.agent_id, NULL, run.mission, r.id, 'run ' || named || ' started ' || r.trigger_type) l WHERE r.started_at IS NOT NULL
        UNION ALL
        SELECT l.* FROM journal_line(r.workspace_id, r.finished_at, 're', r.id, 'run.' || lower(r.status),
            CASE WHEN r.status IN ('FAILED', 'TIMEOUT') THEN 'error' ELSE 'info' END, run.by, NULL,
            r.agent_id, NULL, run.mission, r.id, 'run ' || named || ' ' || lower(r.status) || ' ' || coalesce(r.error_message, '')) l
        WHERE r.finished_at IS NOT NULL
        UNION ALL
        SELECT l.* FROM journal_line(r.workspace_id, r.finished_at, 'lc', r.id, 'llm.call', 'info', 'system', NULL,
            r.agent_id, NULL, run.mission, r.id, coalesce(r.model, r.data ->> 'model', '')) l
        WHERE run.unbooked AND jsonb_typeof(r.data -> 'usage') = 'object'
        UNION ALL
        SELECT l.* FROM journal_line(r.workspace_id, r.finished_at, 'ci', r.id, 'cost.incurred', 'info', 'system', NULL,
            r.agent_id, NULL, run.mission, r.id, coalesce(r.model, r.data ->> 'model', '')) l
        WHERE run.unbooked AND jsonb_typeof(r.data -> 'total_cost_usd') = 'number'
            AND (r.data ->> 'total_cost_usd')::numeric > 0
    ) line
$$
"""
"""Of a run whose calls are not booked, such as one that was reported, its sums are one call."""
CALLS = """
CREATE FUNCTION journal_lines(c model_calls) RETURNS SETOF journal LANGUAGE sql AS $$
    SELECT l.* FROM journal_line(c.workspace_id, c.created_at, 'mc', c.id, 'llm.call', 'info', 'system', NULL,
        c.agent_id, c.crew_id, c.mission_id, c.run_id, c.provider || ' ' || c.model) l
    UNION ALL
    SELECT l.* FROM journal_line(c.workspace_id, c.created_at, 'mp', c.id, 'cost.incurred', 'info', 'system', NULL,
        c.agent_id, c.crew_id, c.mission_id, c.run_id, c.provider || ' ' || c.model) l WHERE c.cost_micros > 0
$$
"""
ID = "'c' || left(replace(gen_random_uuid()::text, '-', ''), 24)"
COMMAND = f"""
CREATE OR REPLACE FUNCTION journal_of_command() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO journal_entries
        (workspace_id, id, entry_type, severity, actor_type, actor_id, agent_id, mission_id, trace_id, summary, payload, created_at)
    VALUES (
        NEW.workspace_id, {ID}, 'exec.command', 'info', 'agent', NEW.agent_id, NEW.agent_id, (
            SELECT journal_mission(workspace_id, assignment_id) FROM runs WHERE id = NEW.run_id AND assignment_id IS NOT NULL
        ), NEW.run_id, left(NEW.payload #>> '{{metadata,input,command}}', 240),
        jsonb_build_object('cmd', left(NEW.payload #>> '{{metadata,input,command}}', 4000), 'phase', 'start', 'tool', NEW.payload #>> '{{metadata,tool_name}}'),
        NEW.created_at
    );
    RETURN NULL;
END
$$
"""
RESULT = f"""
CREATE FUNCTION journal_of_result() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    call run_frames;
    failed boolean := coalesce(NEW.payload #>> '{{metadata,is_error}}' = 'true', false);
    said text := NEW.payload ->> 'content';
BEGIN
    SELECT * INTO call FROM run_frames WHERE workspace_id = NEW.workspace_id AND chat_id = NEW.chat_id AND run_id = NEW.run_id
        AND seq BETWEEN NEW.seq - 200 AND NEW.seq AND created_at > NEW.created_at - interval '1 day'
        AND payload ->> 'type' = 'tool_call' AND payload #>> '{{metadata,tool_id}}' = NEW.payload #>> '{{metadata,tool_use_id}}'
        AND payload #>> '{{metadata,input,command}}' <> '' ORDER BY seq DESC LIMIT 1;
    IF FOUND THEN
        INSERT INTO journal_entries
            (workspace_id, id, entry_type, severity, actor_type, actor_id, agent_id, mission_id, trace_id, summary, payload, created_at)
        VALUES (
            NEW.workspace_id, {ID}, 'exec.command', CASE WHEN failed THEN 'warn' ELSE 'info' END, 'agent', NEW.agent_id, NEW.agent_id, (
                SELECT journal_mission(workspace_id, assignment_id) FROM runs WHERE id = NEW.run_id AND assignment_id IS NOT NULL
            ), NEW.run_id, left(call.payload #>> '{{metadata,input,command}}', 240),
            jsonb_strip_nulls(jsonb_build_object(
                'cmd', left(call.payload #>> '{{metadata,input,command}}', 4000), 'phase', 'end', 'tool', call.payload #>> '{{metadata,tool_name}}',
                'exit_code', substring(said FROM '^Exit code (-?[0-9]{{1,9}})\\M')::integer,
                'duration_ms', (extract(epoch FROM NEW.created_at - call.created_at) * 1000)::bigint,
                'error', CASE WHEN failed THEN left(said, 1000) END
            )), NEW.created_at
        );
    END IF;
    RETURN NULL;
END
$$
"""
STATUS = f"""
CREATE FUNCTION journal_of_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO journal_entries (workspace_id, id, entry_type, severity, actor_type, agent_id, crew_id, summary, payload)
    VALUES (
        NEW.workspace_id, {ID}, 'agent.status_change', 'info', 'system', NEW.id, NEW.crew_id,
        NEW.slug || ': ' || lower(OLD.status) || ' → ' || lower(NEW.status),
        jsonb_build_object('status', NEW.status, 'prev', OLD.status)
    );
    RETURN NULL;
END
$$
"""


def upgrade() -> None:
    for statement in (MISSION, RUNS, CALLS, COMMAND, RESULT, STATUS):
        op.execute(statement)
    op.execute("DELETE FROM journal l USING model_calls c WHERE l.place = c.workspace_id AND l.kind IN ('lc', 'ci') AND l.row_id = c.run_id")
    op.execute("INSERT INTO journal SELECT l.* FROM model_calls t, journal_lines(t) l ON CONFLICT DO NOTHING")
    op.execute("CREATE TRIGGER journal_of_new AFTER INSERT ON model_calls FOR EACH ROW EXECUTE FUNCTION journal_tell()")
    op.execute("CREATE TRIGGER journal_of_gone AFTER DELETE ON model_calls FOR EACH ROW EXECUTE FUNCTION journal_forget()")
    op.execute(
        "CREATE TRIGGER journal_of_result AFTER INSERT ON run_frames FOR EACH ROW WHEN (NEW.agent_id IS NOT NULL"
        " AND NEW.payload ->> 'type' = 'tool_result' AND NEW.payload #>> '{metadata,tool_use_id}' <> '')"
        " EXECUTE FUNCTION journal_of_result()"
    )
    op.execute(
        "CREATE TRIGGER journal_of_status AFTER UPDATE OF status ON agents FOR EACH ROW"
        " WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION journal_of_status()"
    )
