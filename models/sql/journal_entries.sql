-- Entries of the journal that have no row of their own elsewhere: commands of agents, and changes of their status.

-- Writes an entry for a command that an agent runs.
CREATE OR REPLACE FUNCTION journal_of_command() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO journal_entries (
        workspace_id, id, entry_type, severity, actor_type, actor_id, agent_id, mission_id, trace_id,
        summary, payload, created_at
    )
    VALUES (
        NEW.workspace_id, 'c' || left(replace(gen_random_uuid()::text, '-', ''), 24), 'exec.command', 'info',
        'agent', NEW.agent_id, NEW.agent_id, (
            SELECT journal_mission(workspace_id, assignment_id)
            FROM runs WHERE id = NEW.run_id AND assignment_id IS NOT NULL
        ), NEW.run_id,
        left(NEW.payload #>> '{metadata,input,command}', 240),
        jsonb_build_object(
            'cmd', left(NEW.payload #>> '{metadata,input,command}', 4000), 'phase', 'start',
            'tool', NEW.payload #>> '{metadata,tool_name}'
        ),
        NEW.created_at
    );
    RETURN NULL;
END
$$;

-- Writes an entry for the end of a command, if one of the 200 frames before it is its call.
CREATE OR REPLACE FUNCTION journal_of_result() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    call run_frames;
    failed boolean := coalesce(NEW.payload #>> '{metadata,is_error}' = 'true', false);
    said text := NEW.payload ->> 'content';
BEGIN
    SELECT * INTO call FROM run_frames
    WHERE workspace_id = NEW.workspace_id AND chat_id = NEW.chat_id AND run_id = NEW.run_id
        AND seq BETWEEN NEW.seq - 200 AND NEW.seq AND created_at > NEW.created_at - interval '1 day'
        AND payload ->> 'type' = 'tool_call'
        AND payload #>> '{metadata,tool_id}' = NEW.payload #>> '{metadata,tool_use_id}'
        AND payload #>> '{metadata,input,command}' <> ''
    ORDER BY seq DESC LIMIT 1;
    IF FOUND THEN
        INSERT INTO journal_entries (
            workspace_id, id, entry_type, severity, actor_type, actor_id, agent_id, mission_id, trace_id,
            summary, payload, created_at
        )
        VALUES (
            NEW.workspace_id, 'c' || left(replace(gen_random_uuid()::text, '-', ''), 24), 'exec.command',
            CASE WHEN failed THEN 'warn' ELSE 'info' END,
            'agent', NEW.agent_id, NEW.agent_id, (
                SELECT journal_mission(workspace_id, assignment_id)
                FROM runs WHERE id = NEW.run_id AND assignment_id IS NOT NULL
            ), NEW.run_id,
            left(call.payload #>> '{metadata,input,command}', 240),
            jsonb_strip_nulls(jsonb_build_object(
                'cmd', left(call.payload #>> '{metadata,input,command}', 4000), 'phase', 'end',
                'tool', call.payload #>> '{metadata,tool_name}',
                'exit_code', substring(said FROM '^Exit code (-?[0-9]{1,9})\M')::integer,
                'duration_ms', (extract(epoch FROM NEW.created_at - call.created_at) * 1000)::bigint,
                'error', CASE WHEN failed THEN left(said, 1000) END
            )),
            NEW.created_at
        );
    END IF;
    RETURN NULL;
END
$$;

-- Writes an entry for a new status of an agent.
CREATE OR REPLACE FUNCTION journal_of_status() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO journal_entries (
        workspace_id, id, entry_type, severity, actor_type, agent_id, crew_id, summary, payload
    )
    VALUES (
        NEW.workspace_id, 'c' || left(replace(gen_random_uuid()::text, '-', ''), 24), 'agent.status_change', 'info',
        'system', NEW.id, NEW.crew_id,
        NEW.slug || ': ' || lower(OLD.status) || ' → ' || lower(NEW.status),
        jsonb_build_object('status', NEW.status, 'prev', OLD.status)
    );
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER journal_of_command AFTER INSERT ON run_frames
FOR EACH ROW WHEN (
    NEW.agent_id IS NOT NULL
    AND NEW.payload ->> 'type' = 'tool_call'
    AND NEW.payload #>> '{metadata,input,command}' <> ''
)
EXECUTE FUNCTION journal_of_command();

CREATE OR REPLACE TRIGGER journal_of_result AFTER INSERT ON run_frames
FOR EACH ROW WHEN (
    NEW.agent_id IS NOT NULL
    AND NEW.payload ->> 'type' = 'tool_result'
    AND NEW.payload #>> '{metadata,tool_use_id}' <> ''
)
EXECUTE FUNCTION journal_of_result();

CREATE OR REPLACE TRIGGER journal_of_status AFTER UPDATE OF status ON agents
FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
EXECUTE FUNCTION journal_of_status();
