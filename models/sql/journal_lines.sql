-- The lines of the journal: the line of each kind of row, and the triggers that write, correct and remove lines.

-- Returns one line. Its crew is the crew of the agent where none is given.
CREATE OR REPLACE FUNCTION journal_line(
    place text, at timestamptz, kind text, row_id text, entry_type text, severity text, actor_type text, actor_id text,
    agent_id text, crew_id text, mission_id text, trace_id text, said text
) RETURNS journal
LANGUAGE sql AS $$
    SELECT ROW (
        place, at,
        'j' || lpad(to_hex((extract(epoch FROM at) * 1000000)::bigint), 14, '0') || kind
            || CASE WHEN row_id ~ '^[A-Za-z0-9_-]{1,44}$' THEN row_id ELSE md5(row_id) END,
        kind, row_id, entry_type, severity, 'normal', actor_type, actor_id,
        coalesce(crew_id, (SELECT agents.crew_id FROM agents WHERE agents.id = agent_id)),
        agent_id, mission_id, trace_id,
        array_to_tsvector(ARRAY['w:' || place]) || to_tsvector('simple', journal_words(said)),
        pg_current_xact_id()::text::bigint
    )::journal
$$;

-- Returns the mission that an assignment belongs to.
CREATE OR REPLACE FUNCTION journal_mission(place text, assignment text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT missions.id
    FROM assignments JOIN missions ON missions.workspace_id = place AND missions.id = assignments.chat_id
    WHERE assignments.workspace_id = place AND assignments.id = assignment
$$;

-- A run starts and ends. The sums of a run whose calls are not booked, such as one that was reported, are one call.
CREATE OR REPLACE FUNCTION journal_lines(r runs) RETURNS SETOF journal
LANGUAGE sql AS $$
    SELECT line.* FROM (
        SELECT CASE WHEN r.assignment_id IS NOT NULL THEN 'orchestrator' ELSE 'sidecar' END AS by,
            left(r.id, 8) AS named,
            CASE WHEN r.assignment_id IS NOT NULL THEN journal_mission(r.workspace_id, r.assignment_id) END AS mission,
            r.finished_at IS NOT NULL AND NOT EXISTS (
                SELECT FROM model_calls WHERE workspace_id = r.workspace_id AND run_id = r.id
            ) AS unbooked
    ) run, LATERAL (
        SELECT l.* FROM journal_line(
            r.workspace_id, r.started_at, 'rs', r.id, 'run.started', 'info', run.by, NULL,
            r.agent_id, NULL, run.mission, r.id, 'run ' || named || ' started ' || r.trigger_type
        ) l WHERE r.started_at IS NOT NULL
        UNION ALL
        SELECT l.* FROM journal_line(
            r.workspace_id, r.finished_at, 're', r.id, 'run.' || lower(r.status),
            CASE WHEN r.status IN ('FAILED', 'TIMEOUT') THEN 'error' ELSE 'info' END, run.by, NULL,
            r.agent_id, NULL, run.mission, r.id,
            'run ' || named || ' ' || lower(r.status) || ' ' || coalesce(r.error_message, '')
        ) l WHERE r.finished_at IS NOT NULL
        UNION ALL
        SELECT l.* FROM journal_line(
            r.workspace_id, r.finished_at, 'lc', r.id, 'llm.call', 'info', 'system', NULL,
            r.agent_id, NULL, run.mission, r.id, coalesce(r.model, r.data ->> 'model', '')
        ) l WHERE run.unbooked AND jsonb_typeof(r.data -> 'usage') = 'object'
        UNION ALL
        SELECT l.* FROM journal_line(
            r.workspace_id, r.finished_at, 'ci', r.id, 'cost.incurred', 'info', 'system', NULL,
            r.agent_id, NULL, run.mission, r.id, coalesce(r.model, r.data ->> 'model', '')
        ) l WHERE run.unbooked AND jsonb_typeof(r.data -> 'total_cost_usd') = 'number'
            AND (r.data ->> 'total_cost_usd')::numeric > 0
    ) line
$$;

-- A user or an agent says something in a chat. The chat of an agent's webhooks may have several live runs.
CREATE OR REPLACE FUNCTION journal_lines(m messages) RETURNS SETOF journal
LANGUAGE sql AS $$
    SELECT l.* FROM (
        SELECT (SELECT slug FROM agents WHERE id = m.agent_id) AS slug, (
            SELECT id FROM runs
            WHERE workspace_id = m.workspace_id AND chat_id = m.chat_id AND status = 'RUNNING'
            ORDER BY created_at DESC LIMIT 1
        ) AS run_id
    ) of, LATERAL journal_line(
        m.workspace_id, m.created_at, CASE m.role WHEN 'user' THEN 'mu' ELSE 'ma' END, m.id,
        CASE m.role WHEN 'user' THEN 'chat.user_message' ELSE 'chat.agent_response' END, 'info',
        CASE m.role WHEN 'user' THEN 'user' ELSE 'agent' END,
        CASE m.role WHEN 'user' THEN m.author_user_id ELSE m.agent_id END,
        m.agent_id, NULL, NULL, CASE m.role WHEN 'assistant' THEN of.run_id END,
        coalesce(of.slug, '') || ' ' || m.content
    ) l
    WHERE m.role IN ('user', 'assistant') AND m.agent_id IS NOT NULL
$$;

-- Returns a row of the audit log as a sentence: `crew.policy_set` is "Crew policy set", and `create` of an AGENT "Agent
-- created".
CREATE OR REPLACE FUNCTION audit_said(action text, entity_type text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT upper(left(said, 1)) || substr(said, 2) FROM (
        SELECT CASE WHEN strpos(action, '.') > 0 THEN translate(action, '._', '  ') ELSE
            lower(translate(regexp_replace(entity_type, '([a-z])([A-Z])', '\1 \2', 'g'), '_', ' ')) || ' '
                || CASE action
                    WHEN 'create' THEN 'created'
                    WHEN 'update' THEN 'updated'
                    WHEN 'delete' THEN 'deleted'
                    ELSE action
                END
        END AS said
    ) line
$$;

-- Returns the name by which people know a row.
CREATE OR REPLACE FUNCTION audit_name(data jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left(coalesce(
        nullif(data ->> 'name', ''), nullif(data ->> 'title', ''), nullif(data ->> 'identifier', ''),
        nullif(data ->> 'slug', ''), nullif(data ->> 'key', '')
    ), 240)
$$;

-- A user, an agent or the system changes something. Words that every member may read weigh A, and the kind of the row
-- is a word that no text has. One SELECT without a VOLATILE function becomes part of the
-- statement that calls it: PostgreSQL makes no words of rows that are filtered out or lie behind the page. Each write
-- has such a line: a pattern with a bound, concat_ws and audit_said, which gives the words of an action with a dot,
-- would take longer than all other expressions here.
CREATE OR REPLACE FUNCTION journal_lines(a audit_logs) RETURNS SETOF journal
LANGUAGE sql STABLE AS $$
    SELECT a.workspace_id, a.created_at,
        'j' || lpad(to_hex((extract(epoch FROM a.created_at) * 1000000)::bigint), 14, '0') || 'ad'
            || CASE WHEN length(a.id) BETWEEN 1 AND 44 AND a.id !~ '[^A-Za-z0-9_-]' THEN a.id ELSE md5(a.id) END,
        'ad', a.id, CASE a.effect
            WHEN 'created' THEN 'audit.entity_created'
            WHEN 'deleted' THEN 'audit.entity_deleted'
            WHEN 'restored' THEN 'audit.entity_restored'
            ELSE 'audit.entity_updated'
        END,
        'notice', 'normal', CASE
            WHEN a.actor_type IN ('user', 'token') THEN 'user'
            WHEN a.actor_type = 'agent' THEN 'agent'
            ELSE 'system'
        END,
        CASE
            WHEN a.user_id IS NULL AND a.action = 'agent.expired' THEN 'ephemeral-expiry'
            ELSE coalesce(a.actor_id, a.user_id)
        END,
        CASE a.entity_kind
            WHEN 'crew' THEN a.entity_id
            WHEN 'agent' THEN (SELECT agents.crew_id FROM agents WHERE agents.id = a.entity_id)
        END,
        CASE a.entity_kind WHEN 'agent' THEN a.entity_id END, NULL::text, NULL::text,
        array_to_tsvector(array_remove(ARRAY['w:' || a.workspace_id, 'e:' || a.entity_kind], NULL))
            || setweight(to_tsvector('simple', journal_words(
                CASE WHEN strpos(a.action, '.') > 0 THEN a.action ELSE audit_said(a.action, a.entity_type) END
            )), 'A')
            || to_tsvector('simple', journal_words(coalesce(audit_name(a.data), '')))
            || setweight(to_tsvector('simple', journal_words(
                CASE WHEN strpos(a.action, '.') > 0 THEN '' ELSE a.action || ' ' END
                    || a.entity_type || coalesce(' ' || a.entity_id, '')
            )), 'A')
            || to_tsvector('simple', journal_words(coalesce(journal_words(a.data), ''))),
        a.xid::text::bigint
$$;

-- The status of an issue changes.
CREATE OR REPLACE FUNCTION journal_lines(i issue_activity) RETURNS SETOF journal
LANGUAGE sql AS $$
    SELECT journal_line(
        i.workspace_id, i.created_at, 'ia', i.id, 'mission.status_change', 'info', i.actor_type, i.actor_id,
        CASE WHEN i.actor_type = 'agent' THEN i.actor_id END,
        (SELECT crew_id FROM missions WHERE id = i.mission_id),
        i.mission_id, NULL, i.action || ': ' || coalesce(i.details, '')
    )
$$;

-- A user or an agent comments on an issue.
CREATE OR REPLACE FUNCTION journal_lines(c issue_comments) RETURNS SETOF journal
LANGUAGE sql AS $$
    SELECT journal_line(
        c.workspace_id, c.created_at, 'ic', c.id, 'mission.comment', 'info', c.author_type, c.author_id,
        CASE WHEN c.author_type = 'agent' THEN c.author_id END,
        (SELECT crew_id FROM missions WHERE id = c.mission_id),
        c.mission_id, NULL, c.body
    )
$$;

-- An assignment is created, starts and ends.
CREATE OR REPLACE FUNCTION journal_lines(a assignments) RETURNS SETOF journal
LANGUAGE sql AS $$
    SELECT line.* FROM (
        SELECT (
            SELECT mission_id FROM mission_tasks
            WHERE workspace_id = a.workspace_id AND assignment_id = a.id LIMIT 1
        ) AS mission_id, (
            SELECT id FROM runs
            WHERE workspace_id = a.workspace_id AND assignment_id = a.id ORDER BY created_at DESC LIMIT 1
        ) AS run_id
    ) of, LATERAL (
        SELECT l.* FROM journal_line(
            a.workspace_id, a.created_at, 'ac', a.id, 'assignment.created', 'info', 'agent',
            a.assigned_by_id, a.assigned_by_id, NULL, of.mission_id, of.run_id, a.task
        ) l
        UNION ALL
        SELECT l.* FROM journal_line(
            a.workspace_id, a.started_at, 'ar', a.id, 'assignment.running', 'info', 'orchestrator',
            NULL, a.assigned_to_id, NULL, of.mission_id, of.run_id, a.task
        ) l WHERE a.started_at IS NOT NULL
        UNION ALL
        SELECT l.* FROM journal_line(
            a.workspace_id, a.finished_at, 'ae', a.id,
            CASE a.status WHEN 'COMPLETED' THEN 'assignment.completed' ELSE 'assignment.failed' END,
            CASE a.status WHEN 'COMPLETED' THEN 'info' WHEN 'CANCELLED' THEN 'warn' ELSE 'error' END,
            CASE a.status WHEN 'COMPLETED' THEN 'orchestrator' ELSE 'system' END,
            NULL, a.assigned_to_id, NULL, of.mission_id, of.run_id,
            concat_ws(' ', a.task, a.result_summary, a.error_message)
        ) l WHERE a.finished_at IS NOT NULL AND a.status IN ('COMPLETED', 'FAILED', 'CANCELLED', 'TIMEOUT')
    ) line
$$;

-- An agent asks another one, which answers.
CREATE OR REPLACE FUNCTION journal_lines(p peer_conversations) RETURNS SETOF journal
LANGUAGE sql AS $$
    SELECT l.* FROM journal_line(
        p.workspace_id, p.created_at, 'pq', p.id, 'peer.conversation', 'info', 'agent',
        p.from_agent_id, p.from_agent_id, NULL, NULL, NULL, p.question
    ) l
    UNION ALL
    SELECT l.* FROM journal_line(
        p.workspace_id, p.finished_at, 'pa', p.id, 'peer.conversation',
        CASE p.status WHEN 'FAILED' THEN 'warn' ELSE 'info' END, 'agent',
        p.to_agent_id, p.to_agent_id, NULL, NULL, NULL, concat_ws(' ', p.response, p.error_message)
    ) l WHERE p.finished_at IS NOT NULL
$$;

-- An agent escalates, and a user resolves or cancels it, or it expires.
CREATE OR REPLACE FUNCTION journal_lines(e escalations) RETURNS SETOF journal
LANGUAGE sql AS $$
    SELECT l.* FROM journal_line(
        e.workspace_id, e.created_at, 'eo', e.id, 'peer.escalation', 'warn', 'agent',
        e.from_agent_id, e.from_agent_id, e.crew_id, NULL, NULL, concat_ws(' ', e.reason, e.context)
    ) l
    UNION ALL
    SELECT l.* FROM journal_line(
        e.workspace_id, e.resolved_at, 'er', e.id, 'peer.escalation',
        CASE WHEN e.status = 'EXPIRED' THEN 'warn' ELSE 'notice' END,
        CASE WHEN e.status = 'EXPIRED' THEN 'system' ELSE 'user' END,
        e.resolved_by, e.from_agent_id, e.crew_id, NULL, NULL, concat_ws(' ', e.reason, e.resolution, e.action)
    ) l WHERE e.resolved_at IS NOT NULL
$$;

-- An entry that has no row of its own elsewhere.
CREATE OR REPLACE FUNCTION journal_lines(e journal_entries) RETURNS SETOF journal
LANGUAGE sql AS $$
    SELECT journal_line(
        e.workspace_id, e.created_at, 'je', e.id, e.entry_type, e.severity, e.actor_type, e.actor_id,
        e.agent_id, e.crew_id, e.mission_id, e.trace_id, e.summary || ' ' || coalesce(journal_words(e.payload), '')
    )
$$;

-- A model is called, and the call costs something.
CREATE OR REPLACE FUNCTION journal_lines(c model_calls) RETURNS SETOF journal
LANGUAGE sql AS $$
    SELECT l.* FROM journal_line(
        c.workspace_id, c.created_at, 'mc', c.id, 'llm.call', 'info', 'system', NULL,
        c.agent_id, c.crew_id, c.mission_id, c.run_id, c.provider || ' ' || c.model
    ) l
    UNION ALL
    SELECT l.* FROM journal_line(
        c.workspace_id, c.created_at, 'mp', c.id, 'cost.incurred', 'info', 'system', NULL,
        c.agent_id, c.crew_id, c.mission_id, c.run_id, c.provider || ' ' || c.model
    ) l WHERE c.cost_micros > 0
$$;

-- Writes the lines of a row that are not written yet.
CREATE OR REPLACE FUNCTION journal_tell() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO journal SELECT * FROM journal_lines(NEW) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

-- Removes the lines of a row. With an argument it waits for the transaction that writes lines of sealed rows, and that
-- one waits for it: otherwise a line could stay that was just removed.
CREATE OR REPLACE FUNCTION journal_forget() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_NARGS > 0 THEN
        PERFORM pg_advisory_xact_lock_shared(hashtextextended(TG_ARGV[0], 0));
    END IF;
    DELETE FROM journal USING journal_lines(OLD) l
    WHERE journal.place = l.place AND journal.at = l.at AND journal.id = l.id;
    RETURN NULL;
END
$$;

-- Rewrites the words and the actor of a row's lines, as when a person is erased. With an argument it waits as
-- journal_forget does: otherwise a line could keep words that were just erased.
CREATE OR REPLACE FUNCTION journal_correct() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_NARGS > 0 THEN
        PERFORM pg_advisory_xact_lock_shared(hashtextextended(TG_ARGV[0], 0));
    END IF;
    UPDATE journal SET words = l.words, actor_id = l.actor_id FROM journal_lines(NEW) l
    WHERE journal.place = l.place AND journal.at = l.at AND journal.id = l.id;
    RETURN NULL;
END
$$;

-- Writes the lines of audit log rows that were sealed by this change of the fact. Until then the journal reads the rows
-- themselves (journal_pending). Lines of one workspace are neighbours in every index, so they are written together.
CREATE OR REPLACE FUNCTION journal_of_sealed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.name, 0));
    INSERT INTO journal SELECT line.* FROM audit_logs a CROSS JOIN LATERAL journal_lines(a) line
        WHERE a.seq > coalesce(OLD.value, '0')::bigint AND a.seq <= NEW.value::bigint
        ORDER BY a.workspace_id, a.created_at ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

-- A new row writes its lines.
CREATE OR REPLACE TRIGGER journal_of_new AFTER INSERT ON runs
FOR EACH ROW WHEN (NEW.started_at IS NOT NULL)
EXECUTE FUNCTION journal_tell();

CREATE OR REPLACE TRIGGER journal_of_new AFTER INSERT ON messages
FOR EACH ROW WHEN (NEW.role IN ('user', 'assistant'))
EXECUTE FUNCTION journal_tell();

CREATE OR REPLACE TRIGGER journal_of_new AFTER INSERT ON issue_activity
FOR EACH ROW EXECUTE FUNCTION journal_tell();

CREATE OR REPLACE TRIGGER journal_of_new AFTER INSERT ON issue_comments
FOR EACH ROW EXECUTE FUNCTION journal_tell();

CREATE OR REPLACE TRIGGER journal_of_new AFTER INSERT ON assignments
FOR EACH ROW EXECUTE FUNCTION journal_tell();

CREATE OR REPLACE TRIGGER journal_of_new AFTER INSERT ON peer_conversations
FOR EACH ROW EXECUTE FUNCTION journal_tell();

CREATE OR REPLACE TRIGGER journal_of_new AFTER INSERT ON escalations
FOR EACH ROW EXECUTE FUNCTION journal_tell();

CREATE OR REPLACE TRIGGER journal_of_new AFTER INSERT ON journal_entries
FOR EACH ROW EXECUTE FUNCTION journal_tell();

CREATE OR REPLACE TRIGGER journal_of_new AFTER INSERT ON model_calls
FOR EACH ROW EXECUTE FUNCTION journal_tell();

CREATE OR REPLACE TRIGGER journal_of_sealed AFTER INSERT OR UPDATE ON instance_facts
FOR EACH ROW WHEN (NEW.name = 'audit_sealed')
EXECUTE FUNCTION journal_of_sealed();

-- A row that changes later writes further lines.
CREATE OR REPLACE TRIGGER journal_of_changed AFTER UPDATE OF status, started_at ON runs
FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.started_at IS DISTINCT FROM NEW.started_at)
EXECUTE FUNCTION journal_tell();

CREATE OR REPLACE TRIGGER journal_of_changed AFTER UPDATE OF status, started_at ON assignments
FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.started_at IS DISTINCT FROM NEW.started_at)
EXECUTE FUNCTION journal_tell();

CREATE OR REPLACE TRIGGER journal_of_changed AFTER UPDATE OF status ON peer_conversations
FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
EXECUTE FUNCTION journal_tell();

CREATE OR REPLACE TRIGGER journal_of_changed AFTER UPDATE OF status ON escalations
FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
EXECUTE FUNCTION journal_tell();

-- A deleted row removes its lines.
CREATE OR REPLACE TRIGGER journal_of_gone AFTER DELETE ON runs
FOR EACH ROW EXECUTE FUNCTION journal_forget();

CREATE OR REPLACE TRIGGER journal_of_gone AFTER DELETE ON messages
FOR EACH ROW EXECUTE FUNCTION journal_forget();

CREATE OR REPLACE TRIGGER journal_of_gone AFTER DELETE ON audit_logs
FOR EACH ROW EXECUTE FUNCTION journal_forget('audit_sealed');

CREATE OR REPLACE TRIGGER journal_of_gone AFTER DELETE ON issue_activity
FOR EACH ROW EXECUTE FUNCTION journal_forget();

CREATE OR REPLACE TRIGGER journal_of_gone AFTER DELETE ON issue_comments
FOR EACH ROW EXECUTE FUNCTION journal_forget();

CREATE OR REPLACE TRIGGER journal_of_gone AFTER DELETE ON assignments
FOR EACH ROW EXECUTE FUNCTION journal_forget();

CREATE OR REPLACE TRIGGER journal_of_gone AFTER DELETE ON peer_conversations
FOR EACH ROW EXECUTE FUNCTION journal_forget();

CREATE OR REPLACE TRIGGER journal_of_gone AFTER DELETE ON escalations
FOR EACH ROW EXECUTE FUNCTION journal_forget();

CREATE OR REPLACE TRIGGER journal_of_gone AFTER DELETE ON journal_entries
FOR EACH ROW EXECUTE FUNCTION journal_forget();

CREATE OR REPLACE TRIGGER journal_of_gone AFTER DELETE ON model_calls
FOR EACH ROW EXECUTE FUNCTION journal_forget();

-- A row whose words or actor change corrects its lines: where a person is erased, these columns change.
CREATE OR REPLACE TRIGGER journal_of_corrected AFTER UPDATE OF error_message ON runs
FOR EACH ROW WHEN (OLD.error_message IS DISTINCT FROM NEW.error_message)
EXECUTE FUNCTION journal_correct();

CREATE OR REPLACE TRIGGER journal_of_corrected AFTER UPDATE OF content, author_user_id ON messages
FOR EACH ROW WHEN (OLD.content IS DISTINCT FROM NEW.content OR OLD.author_user_id IS DISTINCT FROM NEW.author_user_id)
EXECUTE FUNCTION journal_correct();

CREATE OR REPLACE TRIGGER journal_of_corrected AFTER UPDATE OF data, user_id, actor_id ON audit_logs
FOR EACH ROW WHEN (
    OLD.data IS DISTINCT FROM NEW.data
    OR OLD.user_id IS DISTINCT FROM NEW.user_id
    OR OLD.actor_id IS DISTINCT FROM NEW.actor_id
)
EXECUTE FUNCTION journal_correct('audit_sealed');

CREATE OR REPLACE TRIGGER journal_of_corrected AFTER UPDATE OF details, actor_id ON issue_activity
FOR EACH ROW WHEN (OLD.details IS DISTINCT FROM NEW.details OR OLD.actor_id IS DISTINCT FROM NEW.actor_id)
EXECUTE FUNCTION journal_correct();

CREATE OR REPLACE TRIGGER journal_of_corrected AFTER UPDATE OF body, author_id ON issue_comments
FOR EACH ROW WHEN (OLD.body IS DISTINCT FROM NEW.body OR OLD.author_id IS DISTINCT FROM NEW.author_id)
EXECUTE FUNCTION journal_correct();

CREATE OR REPLACE TRIGGER journal_of_corrected AFTER UPDATE OF task, result_summary, error_message ON assignments
FOR EACH ROW WHEN (
    OLD.task IS DISTINCT FROM NEW.task
    OR OLD.result_summary IS DISTINCT FROM NEW.result_summary
    OR OLD.error_message IS DISTINCT FROM NEW.error_message
)
EXECUTE FUNCTION journal_correct();

CREATE OR REPLACE TRIGGER journal_of_corrected AFTER UPDATE OF question, response, error_message ON peer_conversations
FOR EACH ROW WHEN (
    OLD.question IS DISTINCT FROM NEW.question
    OR OLD.response IS DISTINCT FROM NEW.response
    OR OLD.error_message IS DISTINCT FROM NEW.error_message
)
EXECUTE FUNCTION journal_correct();

CREATE OR REPLACE TRIGGER journal_of_corrected AFTER UPDATE OF reason, context, resolution, resolved_by ON escalations
FOR EACH ROW WHEN (
    OLD.reason IS DISTINCT FROM NEW.reason
    OR OLD.context IS DISTINCT FROM NEW.context
    OR OLD.resolution IS DISTINCT FROM NEW.resolution
    OR OLD.resolved_by IS DISTINCT FROM NEW.resolved_by
)
EXECUTE FUNCTION journal_correct();

CREATE OR REPLACE TRIGGER journal_of_corrected AFTER UPDATE OF summary, payload, actor_id ON journal_entries
FOR EACH ROW WHEN (
    OLD.summary IS DISTINCT FROM NEW.summary
    OR OLD.payload IS DISTINCT FROM NEW.payload
    OR OLD.actor_id IS DISTINCT FROM NEW.actor_id
)
EXECUTE FUNCTION journal_correct();
