-- What needs attention changes with the rows that it consists of; their events in the outbox say when.

-- Returns the entries of the list of what needs attention that events of a workspace may have changed, in the order of
-- delivery, behind a place and below the oldest running transaction. A place begins with the transaction. `parts`: the
-- parts of the workspace's listeners that the asker is in. An entry without a kind stands for events that do not name
-- their rows: any entry may have changed.
CREATE OR REPLACE FUNCTION attention_changes(asked text, asker text, parts text[], behind text, most integer)
RETURNS TABLE (seen text, workspace_id text, kind text, subject_id text)
LANGUAGE sql STABLE ROWS 100 AS $$
    SELECT c.seen, asked, c.kind, c.subject_id
    FROM events e
    CROSS JOIN LATERAL (
        SELECT k.kind, payload->>k.key AS subject_id FROM (VALUES
            ('approval.created', 'id', 'approval'),
            ('approval.decided', 'id', 'approval'),
            ('approval.cancelled', 'id', 'approval'),
            ('approval.timed_out', 'id', 'approval'),
            ('escalation.created', 'id', 'question'),
            ('escalation.resolved', 'id', 'question'),
            ('escalation.cancelled', 'id', 'question'),
            ('escalation.expired', 'id', 'question'),
            ('task.updated', 'id', 'task'),
            ('approval.required', 'task_id', 'task'),
            ('approval.resolved', 'task_id', 'task'),
            ('run.stuck', 'run_id', 'stuck_run'),
            ('run.taken', 'run_id', 'stuck_run'),
            ('run.completed', 'run_id', 'stuck_run'),
            ('run.failed', 'run_id', 'stuck_run'),
            ('run.failed', 'run_id', 'failed_run'),
            ('budget.created', 'id', 'budget'),
            ('budget.updated', 'id', 'budget'),
            ('budget.deleted', 'id', 'budget'),
            ('budget.warning', 'id', 'budget'),
            ('budget.exceeded', 'id', 'budget'),
            ('agent.work_paused', 'id', 'work_pause'),
            ('agent.work_resumed', 'id', 'work_pause'),
            ('issue.updated', 'id', 'review'),
            ('issue.started', 'id', 'review'),
            ('mission.updated', 'id', 'review'),
            ('mission.updated', 'id', 'mission_pause'),
            ('credential.expired', 'credential_id', 'credential'),
            ('inbox.updated', 'id', 'inbox_item')
        ) k (type, key, kind)
        WHERE k.type = e.type AND e.payload ? k.key
        UNION ALL
        SELECT k.kind, i.subject_id
        FROM (VALUES
            ('approval', 'approval'),
            ('escalation', 'question'),
            ('mission_task', 'task'),
            ('run', 'failed_run'),
            ('budget', 'budget'),
            ('work_pause', 'work_pause'),
            ('issue', 'review')
        ) k (subject, kind)
        JOIN inbox_items i ON i.workspace_id = asked AND i.id = e.payload->>'id' AND i.subject_type = k.subject
        WHERE e.type = 'inbox.updated'
        UNION ALL
        SELECT split_part(i.source_id, ':', 2), substr(i.source_id, length('handover:' || split_part(i.source_id, ':', 2)) + 2)
        FROM inbox_items i
        WHERE e.type = 'inbox.updated' AND i.workspace_id = asked AND i.id = e.payload->>'id'
            AND starts_with(i.source_id, 'handover:')
        UNION ALL
        SELECT 'inbox_item', 'ibx_message_chat_reply_' || (e.payload->>'chat') || '_' || asker
        WHERE e.type = 'inbox.updated' AND e.payload ? 'chat'
        UNION ALL
        SELECT 'credential', e.payload->>'id' WHERE starts_with(e.type, 'credential.') AND e.payload ? 'id'
        UNION ALL
        SELECT NULL, NULL
        WHERE e.type IN ('issue.deleted', 'issues.bulk_updated', 'crew.deleted')
            OR e.type = 'inbox.updated' AND (e.payload ? 'bulk' OR e.payload ? 'purge')
    ) found
    CROSS JOIN LATERAL (
        SELECT found.kind, found.subject_id, lpad(e.xid::text, 19, '0') || '.' || lpad(e.seq::text, 19, '0') || '.'
            || md5(concat(found.kind, ':', found.subject_id)) AS seen
    ) c
    WHERE e.channel = ANY (ARRAY(SELECT concat('workspace:', asked, part) FROM unnest(parts) part))
        AND e.workspace_id = asked
        AND e.xid >= coalesce(substring(behind, '^[0-9]{19}'), '0')::bigint::text::xid8 AND e.xid < events_horizon()
        AND c.seen > coalesce(behind, '')
    ORDER BY c.seen LIMIT most
$$;

-- Returns which of the workspaces have events of transactions since `since`, and the horizon below which all are seen.
CREATE OR REPLACE FUNCTION attention_news(since bigint, asked text[], OUT horizon bigint, OUT places text[])
LANGUAGE sql STABLE AS $$
    SELECT events_horizon()::text::bigint, array_agg(p) FROM unnest(asked) p
    WHERE EXISTS (
        SELECT FROM events WHERE xid >= since::text::xid8
            AND channel IN ('workspace:' || p, concat('workspace:', p, '#read'), concat('workspace:', p, '#create'),
                concat('workspace:', p, '#manage'), concat('workspace:', p, '#owner'))
    )
$$;

-- Returns true if an entry of what needs attention was handed over to another member than the asker, who is a member since
-- then and has one of the roles that may decide (`deciding`, with commas between them). A hand over from before the need
-- arose is of an earlier need.
CREATE OR REPLACE FUNCTION left_to_another(entry text, place text, arose timestamptz, asker text, deciding text)
RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM inbox_items i
        JOIN memberships m ON m.workspace_id = i.workspace_id AND m.user_id = i.target_user_id
        WHERE i.workspace_id = place AND i.kind = 'message' AND i.source_id = 'handover:' || entry AND i.state = 'read'
            AND (arose IS NULL OR i.created_at >= arose) AND i.target_user_id <> asker
            AND m.created_at <= i.created_at AND m.role = ANY (string_to_array(deciding, ','))
    )
$$;

-- Ends the hand over of an entry of what needs attention. Arguments of the trigger: the kind of the entry, and the
-- column that holds the id of its row.
CREATE OR REPLACE FUNCTION end_handover() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE inbox_items SET state = 'resolved', resolved_at = now(), updated_at = now()
    WHERE workspace_id = OLD.workspace_id AND kind = 'message' AND state = 'read'
        AND source_id = concat('handover:', TG_ARGV[0], ':', to_jsonb(OLD) ->> TG_ARGV[1]);
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER handover_of_review AFTER UPDATE OF status ON missions
FOR EACH ROW WHEN (OLD.status = 'REVIEW' AND NEW.status <> 'REVIEW')
EXECUTE FUNCTION end_handover('review', 'id');

CREATE OR REPLACE TRIGGER handover_of_task AFTER UPDATE OF status ON mission_tasks
FOR EACH ROW WHEN (OLD.status = 'AWAITING_APPROVAL' AND NEW.status <> 'AWAITING_APPROVAL')
EXECUTE FUNCTION end_handover('task', 'id');

CREATE OR REPLACE TRIGGER handover_of_credential AFTER UPDATE OF status ON credentials
FOR EACH ROW WHEN (OLD.status = 'EXPIRED' AND NEW.status <> 'EXPIRED')
EXECUTE FUNCTION end_handover('credential', 'id');

-- A run is stuck ten minutes after its last lease.
CREATE OR REPLACE TRIGGER handover_of_stuck_run AFTER UPDATE OF leased_until ON runs
FOR EACH ROW WHEN (
    coalesce(OLD.leased_until, OLD.created_at) < now() - interval '10 minutes'
    AND NEW.leased_until >= now() - interval '10 minutes'
)
EXECUTE FUNCTION end_handover('stuck_run', 'id');

CREATE OR REPLACE TRIGGER handover_of_failed_run AFTER UPDATE OF state ON inbox_items
FOR EACH ROW WHEN (
    OLD.kind = 'failed_run' AND OLD.subject_type = 'run' AND OLD.state <> 'resolved' AND NEW.state = 'resolved'
)
EXECUTE FUNCTION end_handover('failed_run', 'subject_id');

-- An item without work that waits for it needs nothing once it was read.
CREATE OR REPLACE TRIGGER handover_of_item AFTER UPDATE OF state ON inbox_items
FOR EACH ROW WHEN (
    OLD.state <> 'resolved' AND NOT starts_with(OLD.source_id, 'handover:')
    AND (NEW.state = 'resolved' OR NOT NEW.blocking AND OLD.state = 'unread' AND NEW.state <> 'unread')
)
EXECUTE FUNCTION end_handover('inbox_item', 'id');
