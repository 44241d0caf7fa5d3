"""Inbox items name their subjects, budgets the time of their alarm; indexes of what needs attention."""

from models.migrations.revisions import execute

revision = "2026_12_01_10"
down_revision = "2026_12_01_9"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        ALTER TABLE inbox_items
            ADD subject_type text CONSTRAINT inbox_items_subject_type_check CHECK (subject_type IN ('approval',
                'escalation', 'mission_task', 'run', 'budget', 'work_pause', 'issue', 'mission', 'agent', 'crew',
                'chat')),
            ADD subject_id varchar(200);
        UPDATE inbox_items i SET subject_type = k.type, subject_id = i.payload->>k.key
        FROM (VALUES
            ('waitpoint', 'approval_id', 'approval'),
            ('waitpoint', 'task_id', 'mission_task'),
            ('waitpoint', 'agent_id', 'agent'),
            ('failed_run', 'run_id', 'run'),
            ('message', 'budget_id', 'budget'),
            ('message', 'work_pause_id', 'work_pause'),
            ('message', 'chat_id', 'chat'),
            ('memory_consolidation', 'agent_id', 'agent')
        ) k (kind, key, type)
        WHERE i.kind = k.kind AND length(i.payload->>k.key) <= 200;
        UPDATE inbox_items i SET subject_type = CASE mission_type WHEN 'issue' THEN 'issue' ELSE 'mission' END,
            subject_id = m.id
        FROM missions m
        WHERE m.workspace_id = i.workspace_id AND m.id = i.payload->>'mission_id'
            AND i.kind IN ('message', 'failed_run') AND i.subject_type IS NULL;
        UPDATE inbox_items i SET subject_type = 'escalation', subject_id = e.id FROM escalations e
        WHERE e.workspace_id = i.workspace_id AND e.id = i.source_id AND i.kind = 'escalation';
        UPDATE inbox_items SET subject_type = 'agent', subject_id = payload->>'agent_id'
        WHERE kind = 'escalation' AND payload ? 'audit_id' AND length(payload->>'agent_id') <= 200;
        UPDATE inbox_items SET subject_type = 'crew', subject_id = payload->>'crew_id'
        WHERE 'skill_proposal' = payload->>'kind' AND kind = 'escalation' AND length(payload->>'crew_id') <= 200
            OR 'memory_write' = payload->>'action' AND kind = 'memory_consolidation'
                AND length(payload->>'crew_id') <= 200;
        CREATE INDEX inbox_items_failed_runs_idx ON inbox_items (workspace_id, created_at, id)
            WHERE kind = 'failed_run' AND state <> 'resolved' AND subject_type = 'run';
        CREATE INDEX inbox_items_by_themselves_idx ON inbox_items (workspace_id, priority, created_at, id)
            WHERE state <> 'resolved' AND (blocking OR state = 'unread')
                AND (subject_type IS NULL
                    OR subject_type NOT IN ('approval', 'escalation', 'mission_task', 'run', 'budget', 'work_pause'))
                AND NOT (kind = 'message' AND subject_type IS NOT DISTINCT FROM 'issue');

        ALTER TABLE budgets ADD reached_at timestamptz;
        UPDATE budgets SET reached_at = now() WHERE warned_in IS NOT NULL;
        CREATE INDEX budgets_reached_idx ON budgets (workspace_id, reached_at, id) WHERE reached_at IS NOT NULL;

        CREATE INDEX escalations_open_idx ON escalations (workspace_id, created_at, id) WHERE status = 'PENDING';
        CREATE INDEX mission_tasks_held_idx ON mission_tasks (workspace_id, updated_at, id)
            WHERE status = 'AWAITING_APPROVAL';
        CREATE INDEX missions_review_idx ON missions (workspace_id, updated_at, id) WHERE status = 'REVIEW';
        CREATE INDEX work_pauses_open_idx ON work_pauses (workspace_id, created_at, id) WHERE resumed_at IS NULL;
        CREATE INDEX credentials_expired_idx ON credentials (workspace_id, updated_at, id)
            WHERE status = 'EXPIRED' AND deleted_at IS NULL;
    """)
