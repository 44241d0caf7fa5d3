"""The journal: entries without a row of their own, a line for every entry, and the triggers that write lines."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

SEVERITY = "IN ('info', 'notice', 'warn', 'error')"
ACTOR = "IN ('agent', 'user', 'system', 'keeper', 'sidecar', 'orchestrator')"
IDS = ("crew_id", "agent_id", "mission_id", "trace_id")


def entries() -> None:
    op.create_table(
        "journal_entries",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("entry_type", sa.String(length=100), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("actor_type", sa.Text(), nullable=False),
        *[sa.Column(name, sa.String(length=200), nullable=True) for name in ("actor_id", *IDS)],
        sa.Column("summary", sa.String(length=128000), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("refs", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint(f"severity {SEVERITY}", name=op.f("journal_entries_severity_check")),
        sa.CheckConstraint(f"actor_type {ACTOR}", name=op.f("journal_entries_actor_type_check")),
        sa.CheckConstraint(f"GREATEST(pg_column_size(payload), pg_column_size(refs)) <= {256 << 10}", name=op.f("journal_entries_size_check")),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"], name=op.f("journal_entries_workspace_id_fkey"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("journal_entries_pkey")),
    )
    op.create_index("journal_entries_workspace_id_idx", "journal_entries", ["workspace_id"])


def lines() -> None:
    texts = {"kind": 100, "row_id": 200, "entry_type": 100}
    op.create_table(
        "journal",
        sa.Column("place", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.String(length=100), nullable=False),
        *[sa.Column(name, sa.String(length=most), nullable=False) for name, most in texts.items()],
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("severity", "priority", "actor_type")],
        *[sa.Column(name, sa.String(length=200), nullable=True) for name in ("actor_id", *IDS)],
        sa.Column("words", postgresql.TSVECTOR(), nullable=False),
        sa.Column("xid", sa.BigInteger(), server_default=sa.text("pg_current_xact_id()::text::bigint"), nullable=False),
        sa.CheckConstraint(f"severity {SEVERITY}", name=op.f("journal_severity_check")),
        sa.CheckConstraint("priority IN ('normal', 'high', 'pin', 'permanent')", name=op.f("journal_priority_check")),
        sa.CheckConstraint(f"actor_type {ACTOR}", name=op.f("journal_actor_type_check")),
        sa.PrimaryKeyConstraint("place", "at", "id", name=op.f("journal_pkey")),
    )
    for key in IDS:
        op.create_index(f"journal_{key}_idx", "journal", ["place", key, "at", "id"], postgresql_where=sa.text(f"{key} IS NOT NULL"))
    op.create_index("journal_entry_type_idx", "journal", ["place", "entry_type", "at", "id"])
    op.create_index("journal_priority_idx", "journal", ["place", "at", "id"], postgresql_where=sa.text("priority <> 'normal'"))
    op.create_index("journal_words_idx", "journal", ["words"], postgresql_using="gin")
    op.create_index("journal_xid_idx", "journal", ["xid"])


WORDS = """
CREATE FUNCTION journal_words(said text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT translate(left(said, 60000), '/._:@#?&=%+~|-', '              ')
$$
"""
"""Parts of paths, addresses and names are words, too."""
OF_JSON = r"""
CREATE FUNCTION journal_words(said jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT replace(replace(replace(left(said::text, 60000), '\n', ' '), '\t', ' '), '\r', ' ')
$$
"""
LINE = """
CREATE FUNCTION journal_line(
    place text, at timestamptz, kind text, row_id text, entry_type text, severity text, actor_type text, actor_id text,
    agent_id text, crew_id text, mission_id text, trace_id text, said text
) RETURNS journal LANGUAGE sql AS $$
    SELECT ROW (
        place, at,
        'j' || lpad(to_hex((extract(epoch FROM at) * 1000000)::bigint), 14, '0') || kind
            || CASE WHEN row_id ~ '^[A-Za-z0-9_-]{1,44}$' THEN row_id ELSE md5(row_id) END,
        kind, row_id, entry_type, severity, 'normal', actor_type, actor_id, crew.id, agent_id, mission_id, trace_id,
        array_to_tsvector(array_remove(ARRAY[
            'w:' || place, 't:' || entry_type, 's:' || severity, 'k:' || actor_type, 'a:' || agent_id, 'c:' || crew.id,
            'm:' || mission_id, 'r:' || trace_id
        ], NULL)) || to_tsvector('simple', journal_words(said)),
        pg_current_xact_id()::text::bigint
    )::journal
    FROM (SELECT coalesce(crew_id, (SELECT agents.crew_id FROM agents WHERE agents.id = agent_id)) AS id) crew
$$
"""

RUNS = """
CREATE FUNCTION journal_lines(r runs) RETURNS SETOF journal LANGUAGE sql AS $$
    SELECT line.* FROM (
        SELECT CASE WHEN r.assignment_id IS NOT NULL THEN 'orchestrator' ELSE 'sidecar' END AS by, left(r.id, 8) AS named
    ) run, LATERAL (
        SELECT l.* FROM journal_line(r.workspace_id, r.started_at, 'rs', r.id, 'run.started', 'info', run.by, NULL,
            r.agent_id, NULL, NULL, r.id, 'run ' || named || ' started ' || r.trigger_type) l WHERE r.started_at IS NOT NULL
        UNION ALL
        SELECT l.* FROM journal_line(r.workspace_id, r.finished_at, 're', r.id, 'run.' || lower(r.status),
            CASE WHEN r.status IN ('FAILED', 'TIMEOUT') THEN 'error' ELSE 'info' END, run.by, NULL,
            r.agent_id, NULL, NULL, r.id, 'run ' || named || ' ' || lower(r.status) || ' ' || coalesce(r.error_message, '')) l
        WHERE r.finished_at IS NOT NULL
        UNION ALL
        SELECT l.* FROM journal_line(r.workspace_id, r.finished_at, 'lc', r.id, 'llm.call', 'info', 'system', NULL,
            r.agent_id, NULL, NULL, r.id, coalesce(r.model, r.data ->> 'model', '')) l
        WHERE r.finished_at IS NOT NULL AND jsonb_typeof(r.data -> 'usage') = 'object'
        UNION ALL
        SELECT l.* FROM journal_line(r.workspace_id, r.finished_at, 'ci', r.id, 'cost.incurred', 'info', 'system', NULL,
            r.agent_id, NULL, NULL, r.id, coalesce(r.model, r.data ->> 'model', '')) l
        WHERE r.finished_at IS NOT NULL AND jsonb_typeof(r.data -> 'total_cost_usd') = 'number'
            AND (r.data ->> 'total_cost_usd')::numeric > 0
    ) line
$$
"""
MESSAGES = """
CREATE FUNCTION journal_lines(m messages) RETURNS SETOF journal LANGUAGE sql AS $$
    SELECT l.* FROM (
        SELECT (SELECT slug FROM agents WHERE id = m.agent_id) AS slug, (
            SELECT id FROM runs WHERE workspace_id = m.workspace_id AND chat_id = m.chat_id AND status = 'RUNNING'
        ) AS run_id
    ) of, LATERAL journal_line(m.workspace_id, m.created_at, CASE m.role WHEN 'user' THEN 'mu' ELSE 'ma' END, m.id,
        CASE m.role WHEN 'user' THEN 'chat.user_message' ELSE 'chat.agent_response' END, 'info',
        CASE m.role WHEN 'user' THEN 'user' ELSE 'agent' END, CASE m.role WHEN 'user' THEN m.author_user_id ELSE m.agent_id END,
        m.agent_id, NULL, NULL, CASE m.role WHEN 'assistant' THEN of.run_id END, coalesce(of.slug, '') || ' ' || m.content) l
    WHERE m.role IN ('user', 'assistant') AND m.agent_id IS NOT NULL
$$
"""
AUDIT = """
CREATE FUNCTION journal_lines(a audit_logs) RETURNS SETOF journal LANGUAGE sql AS $$
    SELECT journal_line(a.workspace_id, a.created_at, 'ad', a.id, CASE
            WHEN a.action ~* '(delete|remove|revoke)' THEN 'audit.entity_deleted'
            WHEN a.action ~* '(restore|unlock)' THEN 'audit.entity_restored'
            WHEN a.action ~* '(create|invite)' THEN 'audit.entity_created'
            ELSE 'audit.entity_updated'
        END, 'notice', CASE WHEN a.actor_type IN ('user', 'token') THEN 'user' WHEN a.actor_type = 'agent' THEN 'agent' ELSE 'system' END,
        CASE WHEN a.user_id IS NULL AND a.action = 'agent.expired' THEN 'ephemeral-expiry' ELSE coalesce(a.actor_id, a.user_id) END,
        CASE WHEN lower(a.entity_type) = 'agent' THEN a.entity_id END, CASE WHEN lower(a.entity_type) = 'crew' THEN a.entity_id END,
        NULL, NULL, concat_ws(' ', a.action, a.entity_type, a.entity_id, journal_words(a.data)))
$$
"""
ISSUES = (
    """
CREATE FUNCTION journal_lines(i issue_activity) RETURNS SETOF journal LANGUAGE sql AS $$
    SELECT journal_line(i.workspace_id, i.created_at, 'ia', i.id, 'mission.status_change', 'info', i.actor_type, i.actor_id,
        CASE WHEN i.actor_type = 'agent' THEN i.actor_id END, (SELECT crew_id FROM missions WHERE id = i.mission_id),
        i.mission_id, NULL, i.action || ': ' || coalesce(i.details, ''))
$$
""",
    """
CREATE FUNCTION journal_lines(c issue_comments) RETURNS SETOF journal LANGUAGE sql AS $$
    SELECT journal_line(c.workspace_id, c.created_at, 'ic', c.id, 'mission.comment', 'info', c.author_type, c.author_id,
        CASE WHEN c.author_type = 'agent' THEN c.author_id END, (SELECT crew_id FROM missions WHERE id = c.mission_id),
        c.mission_id, NULL, c.body)
$$
""",
)
ASSIGNMENTS = """
CREATE FUNCTION journal_lines(a assignments) RETURNS SETOF journal LANGUAGE sql AS $$
    SELECT line.* FROM (
        SELECT (SELECT mission_id FROM mission_tasks WHERE workspace_id = a.workspace_id AND assignment_id = a.id LIMIT 1) AS mission_id,
            (SELECT id FROM runs WHERE workspace_id = a.workspace_id AND assignment_id = a.id ORDER BY created_at DESC LIMIT 1) AS run_id
    ) of, LATERAL (
        SELECT l.* FROM journal_line(a.workspace_id, a.created_at, 'ac', a.id, 'assignment.created', 'info', 'agent',
            a.assigned_by_id, a.assigned_by_id, NULL, of.mission_id, of.run_id, a.task) l
        UNION ALL
        SELECT l.* FROM journal_line(a.workspace_id, a.started_at, 'ar', a.id, 'assignment.running', 'info', 'orchestrator',
            NULL, a.assigned_to_id, NULL, of.mission_id, of.run_id, a.task) l WHERE a.started_at IS NOT NULL
        UNION ALL
        SELECT l.* FROM journal_line(a.workspace_id, a.finished_at, 'ae', a.id,
            CASE a.status WHEN 'COMPLETED' THEN 'assignment.completed' ELSE 'assignment.failed' END,
            CASE a.status WHEN 'COMPLETED' THEN 'info' WHEN 'CANCELLED' THEN 'warn' ELSE 'error' END,
            CASE a.status WHEN 'COMPLETED' THEN 'orchestrator' ELSE 'system' END,
            NULL, a.assigned_to_id, NULL, of.mission_id, of.run_id, concat_ws(' ', a.task, a.result_summary, a.error_message)) l
        WHERE a.finished_at IS NOT NULL AND a.status IN ('COMPLETED', 'FAILED', 'CANCELLED', 'TIMEOUT')
    ) line
$$
"""
PEERS = """
CREATE FUNCTION journal_lines(p peer_conversations) RETURNS SETOF journal LANGUAGE sql AS $$
    SELECT l.* FROM journal_line(p.workspace_id, p.created_at, 'pq', p.id, 'peer.conversation', 'info', 'agent',
        p.from_agent_id, p.from_agent_id, NULL, NULL, NULL, p.question) l
    UNION ALL
    SELECT l.* FROM journal_line(p.workspace_id, p.finished_at, 'pa', p.id, 'peer.conversation',
        CASE p.status WHEN 'FAILED' THEN 'warn' ELSE 'info' END, 'agent', p.to_agent_id, p.to_agent_id, NULL, NULL, NULL,
        concat_ws(' ', p.response, p.error_message)) l WHERE p.finished_at IS NOT NULL
$$
"""
ESCALATIONS = """
CREATE FUNCTION journal_lines(e escalations) RETURNS SETOF journal LANGUAGE sql AS $$
    SELECT l.* FROM journal_line(e.workspace_id, e.created_at, 'eo', e.id, 'peer.escalation', 'warn', 'agent',
        e.from_agent_id, e.from_agent_id, e.crew_id, NULL, NULL, concat_ws(' ', e.reason, e.context)) l
    UNION ALL
    SELECT l.* FROM journal_line(e.workspace_id, e.resolved_at, 'er', e.id, 'peer.escalation', 'notice', 'user',
        e.resolved_by, e.from_agent_id, e.crew_id, NULL, NULL, concat_ws(' ', e.reason, e.resolution, e.action)) l
    WHERE e.resolved_at IS NOT NULL
$$
"""
ENTRIES = """
CREATE FUNCTION journal_lines(e journal_entries) RETURNS SETOF journal LANGUAGE sql AS $$
    SELECT journal_line(e.workspace_id, e.created_at, 'je', e.id, e.entry_type, e.severity, e.actor_type, e.actor_id,
        e.agent_id, e.crew_id, e.mission_id, e.trace_id, e.summary || ' ' || coalesce(journal_words(e.payload), ''))
$$
"""

TELL = """
CREATE FUNCTION journal_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO journal SELECT * FROM journal_lines(NEW) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$
"""
FORGET = """
CREATE FUNCTION journal_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM journal USING journal_lines(OLD) l WHERE journal.place = l.place AND journal.at = l.at AND journal.id = l.id;
    RETURN NULL;
END
$$
"""
COMMANDS = """
CREATE FUNCTION journal_of_command() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO journal_entries (workspace_id, id, entry_type, severity, actor_type, actor_id, agent_id, trace_id, summary, payload, created_at)
    VALUES (
        NEW.workspace_id, 'c' || left(replace(gen_random_uuid()::text, '-', ''), 24), 'exec.command', 'info', 'agent', NEW.agent_id,
        NEW.agent_id, NEW.run_id, left(NEW.payload #>> '{metadata,input,command}', 240),
        jsonb_build_object('cmd', left(NEW.payload #>> '{metadata,input,command}', 4000), 'phase', 'start', 'tool', NEW.payload #>> '{metadata,tool_name}'),
        NEW.created_at
    );
    RETURN NULL;
END
$$
"""
CORRECT = """
CREATE FUNCTION journal_correct() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE journal SET words = l.words, actor_id = l.actor_id FROM journal_lines(NEW) l
    WHERE journal.place = l.place AND journal.at = l.at AND journal.id = l.id;
    RETURN NULL;
END
$$
"""
TEXTS = {
    "runs": "error_message",
    "messages": "content, author_user_id",
    "audit_logs": "data, user_id, actor_id",
    "issue_activity": "details, actor_id",
    "issue_comments": "body, author_id",
    "assignments": "task, result_summary, error_message",
    "peer_conversations": "question, response, error_message",
    "escalations": "reason, context, resolution, resolved_by",
    "journal_entries": "summary, payload, actor_id",
}
"""What lines have words and actors of: where a person is erased, these change."""
ENDS = {
    "runs": "status, started_at",
    "assignments": "status, started_at",
    "peer_conversations": "status",
    "escalations": "status",
}
"""What changes later, and by which columns."""
TOLD = ("runs", "messages", "audit_logs", "issue_activity", "issue_comments", "assignments", "peer_conversations", "escalations", "journal_entries")


def triggers() -> None:
    for statement in (WORDS, OF_JSON, LINE, RUNS, MESSAGES, AUDIT, *ISSUES, ASSIGNMENTS, PEERS, ESCALATIONS, ENTRIES, TELL, FORGET, CORRECT, COMMANDS):
        op.execute(statement)
    for table in TOLD:
        when = {
            "runs": "WHEN (NEW.started_at IS NOT NULL) ",
            "messages": "WHEN (NEW.role IN ('user', 'assistant')) ",
        }.get(table, "")
        op.execute(f"INSERT INTO journal SELECT l.* FROM {table} t, journal_lines(t) l ON CONFLICT DO NOTHING")
        op.execute(f"CREATE TRIGGER journal_of_new AFTER INSERT ON {table} FOR EACH ROW {when}EXECUTE FUNCTION journal_tell()")
        op.execute(f"CREATE TRIGGER journal_of_gone AFTER DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION journal_forget()")
        corrected = " OR ".join(f"OLD.{c} IS DISTINCT FROM NEW.{c}" for c in TEXTS[table].split(", "))
        op.execute(
            f"CREATE TRIGGER journal_of_corrected AFTER UPDATE OF {TEXTS[table]} ON {table} FOR EACH ROW"
            f" WHEN ({corrected}) EXECUTE FUNCTION journal_correct()"
        )
        if table in ENDS:
            columns = ENDS[table]
            changed = " OR ".join(f"OLD.{c} IS DISTINCT FROM NEW.{c}" for c in columns.split(", "))
            op.execute(
                f"CREATE TRIGGER journal_of_changed AFTER UPDATE OF {columns} ON {table} FOR EACH ROW"
                f" WHEN ({changed}) EXECUTE FUNCTION journal_tell()"
            )
    op.execute(
        "CREATE TRIGGER journal_of_command AFTER INSERT ON run_frames FOR EACH ROW WHEN (NEW.agent_id IS NOT NULL"
        " AND NEW.payload ->> 'type' = 'tool_call' AND NEW.payload #>> '{metadata,input,command}' <> '')"
        " EXECUTE FUNCTION journal_of_command()"
    )


LEXEMES = """
CREATE FUNCTION journal_lexemes(mark text, given jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT '(' || string_agg(
        chr(39) || replace(replace(mark || value, chr(92), repeat(chr(92), 2)), chr(39), repeat(chr(39), 2)) || chr(39), '|'
    ) || ')' FROM jsonb_array_elements_text(given) AS value
$$
"""
WHERE = """
CREATE FUNCTION journal_where(place text, asked jsonb, OUT held text, OUT filtered text, OUT sought text) LANGUAGE plpgsql STABLE AS $$
DECLARE
    lexemes text := journal_lexemes('w:', jsonb_build_array(place));
    named record;
    given jsonb;
    indexed boolean := true;
    number integer := 0;
    phrase tsquery;
BEGIN
    held := format('place = %L', place);
    filtered := '';
    IF coalesce(current_setting('crewship.workspaces', true), '') NOT IN ('', '*', place) THEN
        held := 'false';
        RETURN;
    END IF;
    FOR named IN SELECT * FROM (VALUES
        ('agents', 'agent_id', 'a:', true), ('crews', 'crew_id', 'c:', true), ('missions', 'mission_id', 'm:', true),
        ('traces', 'trace_id', 'r:', true), ('types', 'entry_type', 't:', true), ('severities', 'severity', 's:', false),
        ('actors', 'actor_type', 'k:', false)
    ) AS filters (key, name, mark, has_index) LOOP
        given := asked -> named.key;
        IF jsonb_typeof(given) = 'array' THEN
            IF jsonb_array_length(given) = 0 THEN
                held := 'false';
                RETURN;
            END IF;
            number := number + 1;
            indexed := indexed AND named.has_index AND jsonb_array_length(given) = 1;
            lexemes := lexemes || '&' || journal_lexemes(named.mark, given);
            filtered := filtered || format(' AND %I = %L', named.name, given ->> 0);
        END IF;
    END LOOP;
    IF jsonb_typeof(asked -> 'without') = 'array' THEN
        held := held || format(' AND entry_type <> ALL (%L::text[])', ARRAY(SELECT jsonb_array_elements_text(asked -> 'without')));
    END IF;
    IF jsonb_typeof(asked -> 'priorities') = 'array' THEN
        held := held || format(' AND priority = ANY (%L::text[])', ARRAY(SELECT jsonb_array_elements_text(asked -> 'priorities')));
        IF NOT asked -> 'priorities' ? 'normal' THEN
            held := held || ' AND priority <> ''normal''';
        END IF;
    END IF;
    IF asked ->> 'since' IS NOT NULL THEN
        held := held || format(' AND at >= %L::timestamptz', asked ->> 'since');
    END IF;
    IF asked ->> 'until' IS NOT NULL THEN
        held := held || format(' AND at < %L::timestamptz + interval ''1 millisecond''', asked ->> 'until');
    END IF;
    IF asked ->> 'after_at' IS NOT NULL THEN
        held := held || format(' AND (at, id) > (%L::timestamptz, %L::text)', asked ->> 'after_at', asked ->> 'after_id');
    END IF;
    IF asked ->> 'xid' IS NOT NULL THEN
        held := held || format(' AND xid >= %s', (asked ->> 'xid')::bigint);
    END IF;
    IF asked ->> 'q' IS NOT NULL THEN
        phrase := phraseto_tsquery('simple', journal_words(asked ->> 'q'));
        IF numnode(phrase) = 0 THEN
            held := 'false';
            RETURN;
        END IF;
        sought := format(' AND words @@ (%L::tsquery && %L::tsquery)', lexemes, phrase);
    ELSIF number > 1 OR NOT indexed THEN
        sought := format(' AND words @@ %L::tsquery', lexemes);
    END IF;
END
$$
"""
ESTIMATE = """
CREATE FUNCTION journal_estimate(statement text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || statement INTO plan;
    RETURN (plan #>> '{0,Plan,Plan Rows}')::numeric;
END
$$
"""
"""A function of its own, as it has to be volatile: one that reads is not, so that it sees what the statement around it sees."""
PAGE = """
CREATE FUNCTION journal_page(place text, asked jsonb, before_at timestamptz, before_id text, most integer)
RETURNS SETOF journal LANGUAGE plpgsql STABLE ROWS 100 AS $$
DECLARE
    newest text := ' ORDER BY at DESC, id DESC LIMIT ';
    parts record;
    held text;
    estimate numeric;
    number numeric;
    bound timestamptz;
    lines journal[];
BEGIN
    SELECT * INTO parts FROM journal_where(place, asked);
    held := ' FROM journal WHERE ' || parts.held;
    IF before_at IS NOT NULL THEN
        held := held || format(' AND (at, id) < (%L::timestamptz, %L::text)', before_at, before_id);
    END IF;
    IF parts.sought IS NULL THEN
        RETURN QUERY EXECUTE 'SELECT *' || held || parts.filtered || newest || most;
        RETURN;
    END IF;
    estimate := journal_estimate('SELECT *' || held || parts.sought);
    IF estimate > 2000 THEN
        number := ceil(2 * most * greatest(journal_estimate('SELECT *' || held) / estimate, 1));
        IF number <= 10000 THEN
            EXECUTE format('SELECT array_agg(line) FROM (SELECT * FROM (SELECT *%s) walked WHERE true%s%s) line',
                held || newest || 20000, parts.sought, newest || most) INTO lines;
        ELSE
            EXECUTE format('SELECT at%s ORDER BY at DESC, id DESC LIMIT 1 OFFSET %s', held, least(number, 1000000)) INTO bound;
            IF bound IS NOT NULL THEN
                EXECUTE format('SELECT array_agg(line) FROM (WITH lines AS MATERIALIZED (SELECT *%s) SELECT * FROM lines%s) line',
                    held || format(' AND at >= %L', bound) || parts.sought, newest || most) INTO lines;
            END IF;
        END IF;
        IF cardinality(lines) = most THEN
            RETURN QUERY SELECT * FROM unnest(lines);
            RETURN;
        END IF;
    END IF;
    RETURN QUERY EXECUTE format('WITH lines AS MATERIALIZED (SELECT *%s) SELECT * FROM lines%s', held || parts.sought, newest || most);
END
$$
"""
COUNT = """
CREATE FUNCTION journal_count(place text, asked jsonb) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    parts record;
    number bigint;
BEGIN
    SELECT * INTO parts FROM journal_where(place, asked);
    EXECUTE 'SELECT count(*) FROM journal WHERE ' || parts.held || coalesce(parts.sought, parts.filtered) INTO number;
    RETURN number;
END
$$
"""
NAMED = """
CREATE FUNCTION journal_named(place text, named text) RETURNS SETOF journal LANGUAGE plpgsql STABLE ROWS 1 AS $$
BEGIN
    IF named ~ '^j[0-9a-f]{14}' AND coalesce(current_setting('crewship.workspaces', true), '') IN ('', '*', place) THEN
        RETURN QUERY SELECT * FROM journal WHERE journal.place = journal_named.place AND journal.id = named
            AND journal.at = timestamptz 'epoch' + ('x' || substr(named, 2, 14))::bit(56)::bigint * interval '1 microsecond';
    END IF;
END
$$
"""
NEWS = """
CREATE FUNCTION journal_news(since bigint, OUT horizon bigint, OUT places text[]) LANGUAGE plpgsql STABLE AS $$
BEGIN
    horizon := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
    EXECUTE format('SELECT array_agg(DISTINCT place) FROM journal WHERE xid >= %s', since) INTO places;
END
$$
"""


def search() -> None:
    """A statement is put together for what is asked, from quoted values, and planned for these. What is rare is looked up;
    what is common is looked for among the newest lines, and looked up if it is not among them.
    """
    for statement in (LEXEMES, WHERE, ESTIMATE, PAGE, COUNT, NAMED, NEWS):
        op.execute(statement)



def upgrade() -> None:
    entries()
    lines()
    triggers()
    search()
