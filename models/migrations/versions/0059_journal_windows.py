"""Pages of the journal are looked for in one window of time after another, with an index for each filter and each pair."""

from alembic import op

revision = "0059"
down_revision = "0058"
branch_labels = None
depends_on = None

LINE = """
CREATE OR REPLACE FUNCTION journal_line(
    place text, at timestamptz, kind text, row_id text, entry_type text, severity text, actor_type text, actor_id text,
    agent_id text, crew_id text, mission_id text, trace_id text, said text
) RETURNS journal LANGUAGE sql AS $$
    SELECT ROW (
        place, at,
        'j' || lpad(to_hex((extract(epoch FROM at) * 1000000)::bigint), 14, '0') || kind
            || CASE WHEN row_id ~ '^[A-Za-z0-9_-]{1,44}$' THEN row_id ELSE md5(row_id) END,
        kind, row_id, entry_type, severity, 'normal', actor_type, actor_id,
        coalesce(crew_id, (SELECT agents.crew_id FROM agents WHERE agents.id = agent_id)), agent_id, mission_id, trace_id,
        array_to_tsvector(ARRAY['w:' || place]) || to_tsvector('simple', journal_words(said)),
        pg_current_xact_id()::text::bigint
    )::journal
$$
"""
AUDIT = r"""
CREATE OR REPLACE FUNCTION journal_of_audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    said text := CASE
        WHEN NEW.action ~* '(delete|remove|revoke)' THEN 'audit.entity_deleted'
        WHEN NEW.action ~* '(restore|unlock)' THEN 'audit.entity_restored'
        WHEN NEW.action ~* '(create|invite)' THEN 'audit.entity_created'
        ELSE 'audit.entity_updated'
    END;
    actor text := CASE WHEN NEW.actor_type IN ('user', 'token') THEN 'user' WHEN NEW.actor_type = 'agent' THEN 'agent' ELSE 'system' END;
    agent text := CASE WHEN NEW.entity_kind = 'agent' THEN NEW.entity_id END;
    crew text := CASE WHEN NEW.entity_kind = 'crew' THEN NEW.entity_id END;
BEGIN
    IF agent IS NOT NULL THEN
        crew := (SELECT crew_id FROM agents WHERE id = agent);
    END IF;
    INSERT INTO journal (place, at, id, kind, row_id, entry_type, severity, priority, actor_type, actor_id, crew_id, agent_id, words)
    VALUES (
        NEW.workspace_id, NEW.created_at,
        'j' || lpad(to_hex((extract(epoch FROM NEW.created_at) * 1000000)::bigint), 14, '0') || 'ad'
            || CASE WHEN NEW.id ~ '^[A-Za-z0-9_-]{1,44}$' THEN NEW.id ELSE md5(NEW.id) END,
        'ad', NEW.id, said, 'notice', 'normal', actor,
        CASE WHEN NEW.user_id IS NULL AND NEW.action = 'agent.expired' THEN 'ephemeral-expiry' ELSE coalesce(NEW.actor_id, NEW.user_id) END,
        crew, agent,
        array_to_tsvector(ARRAY['w:' || NEW.workspace_id])
            || to_tsvector('simple', journal_words(concat_ws(' ', NEW.action, NEW.entity_type, NEW.entity_id, journal_words(NEW.data))))
    ) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$
"""
NUMBER = "hashtextextended(place || '|{}|' || {} || '|' || {}, 0)"
KINDS = {
    "ac": ("agent", "crew"), "at": ("agent", "type"), "as": ("agent", "severity"), "ak": ("agent", "actor"), "ct": ("crew", "type"),
    "cs": ("crew", "severity"), "ck": ("crew", "actor"), "ts": ("type", "severity"), "tk": ("type", "actor"), "sk": ("severity", "actor"),
}
FILTERS = {"agent": "agents", "crew": "crews", "type": "types", "severity": "severities", "actor": "actors"}
PAIRS = f"""
CREATE FUNCTION journal_pairs(place text, agent text, crew text, type text, severity text, actor text) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY[{", ".join(NUMBER.format(kind, *pair) for kind, pair in KINDS.items())}]
$$
"""
"""Of two pairs with one number, the filters tell which it is."""
EXPRESSION = "journal_pairs(place, agent_id, crew_id, entry_type, severity, actor_type)"
ASKED = f"""
CREATE FUNCTION journal_pairs_asked(place text, kind text, given jsonb, other jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT format(' AND {EXPRESSION} && %L::bigint[]', array_agg({NUMBER.format("' || kind || '", 'a', 'b')}))
    FROM jsonb_array_elements_text(given) a, jsonb_array_elements_text(other) b HAVING count(*) <= 50
$$
"""
WHERE = f"""
CREATE FUNCTION journal_where(
    place text, asked jsonb, OUT held text, OUT filtered text, OUT alone text, OUT pairs text, OUT sought text,
    OUT since timestamptz, OUT until timestamptz, OUT walks boolean
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    named record;
    pair record;
    found text;
    paired text[] := '{{}}';
    given jsonb;
    condition text;
    number integer := 0;
    phrase tsquery;
BEGIN
    held := format('place = %L', place);
    filtered := '';
    alone := '';
    pairs := '';
    sought := '';
    walks := true;
    IF coalesce(current_setting('crewship.workspaces', true), '') NOT IN ('', '*', place) THEN
        held := 'false';
        RETURN;
    END IF;
    FOR pair IN SELECT * FROM (VALUES
        {", ".join(f"('{kind}', '{FILTERS[one]}', '{FILTERS[other]}')" for kind, (one, other) in KINDS.items())}
    ) AS usual (kind, one, other) LOOP
        IF jsonb_typeof(asked -> pair.one) = 'array' AND jsonb_typeof(asked -> pair.other) = 'array' THEN
            found := journal_pairs_asked(place, pair.kind, asked -> pair.one, asked -> pair.other);
            IF found IS NOT NULL THEN
                pairs := pairs || found;
                paired := paired || pair.one || pair.other;
            END IF;
        END IF;
    END LOOP;
    FOR named IN SELECT * FROM (VALUES
        ('agents', 'agent_id'), ('crews', 'crew_id'), ('missions', 'mission_id'), ('traces', 'trace_id'),
        ('types', 'entry_type'), ('severities', 'severity'), ('actors', 'actor_type')
    ) AS filters (key, name) LOOP
        given := asked -> named.key;
        IF jsonb_typeof(given) = 'array' THEN
            number := number + 1;
            CASE jsonb_array_length(given)
            WHEN 0 THEN
                held := 'false';
                RETURN;
            WHEN 1 THEN
                condition := format(' AND %I = %L', named.name, given ->> 0);
                walks := number = 1;
            ELSE
                condition := format(' AND %I = ANY (%L::text[])', named.name, ARRAY(SELECT jsonb_array_elements_text(given)));
                walks := false;
            END CASE;
            filtered := filtered || condition;
            IF named.key <> ALL (paired) THEN
                alone := alone || condition;
            END IF;
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
    since := greatest((asked ->> 'since')::timestamptz, (asked ->> 'after_at')::timestamptz);
    until := (asked ->> 'until')::timestamptz + interval '1 millisecond';
    IF since IS NOT NULL THEN
        held := held || format(' AND at >= %L::timestamptz', since);
    END IF;
    IF until IS NOT NULL THEN
        held := held || format(' AND at < %L::timestamptz', until);
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
        walks := false;
        sought := format(' AND words @@ %L::tsquery', phrase);
        IF 10 * journal_estimate(format('SELECT FROM journal WHERE place = %L', place)) < journal_estimate('SELECT FROM journal') THEN
            sought := sought || format(' AND words @@ %L::tsquery', journal_lexemes('w:', jsonb_build_array(place)));
        END IF;
    END IF;
END
$$
"""
"""`walks`: one index has what is asked in its order. `alone`: filters of no pair, since a pair's are not rarer than it is. The workspace is a word beside those of `q` where its lines are few of
all: where they are many, the index would read all of them.
"""
PAGE = """
CREATE OR REPLACE FUNCTION journal_page(place text, asked jsonb, before_at timestamptz, before_id text, most integer)
RETURNS SETOF journal LANGUAGE plpgsql STABLE ROWS 100 AS $$
DECLARE
    newest text := ' ORDER BY at DESC, id DESC LIMIT ';
    parts record;
    held text;
    wanted text;
    number numeric;
    estimate numeric;
    lines journal[];
    span interval;
    rarest numeric;
    told numeric;
    low timestamptz;
    high timestamptz;
    start timestamptz;
    width interval;
    shown integer;
    walked integer := coalesce(nullif(current_setting('crewship.journal_walked', true), ''), '5000')::integer;
    few integer := least(300, walked);
BEGIN
    SELECT * INTO parts FROM journal_where(place, asked);
    held := ' FROM journal WHERE ' || parts.held;
    IF before_at IS NOT NULL THEN
        held := held || format(' AND (at, id) < (%L::timestamptz, %L::text)', before_at, before_id);
    END IF;
    wanted := parts.filtered || parts.sought;
    IF parts.walks OR parts.held = 'false' THEN
        RETURN QUERY EXECUTE 'SELECT *' || held || wanted || newest || most;
        RETURN;
    END IF;
    number := journal_estimate('SELECT *' || held);
    estimate := greatest(journal_estimate('SELECT *' || held || parts.alone || parts.pairs || parts.sought), 1);
    IF number <= walked OR 2 * most * number / estimate <= walked THEN
        RETURN QUERY EXECUTE format('SELECT * FROM (SELECT *%s) walked WHERE true%s%s', held || newest || 2 * walked, wanted, newest || most);
        GET DIAGNOSTICS shown = ROW_COUNT;
        most := most - shown;
        IF most > 0 THEN
            EXECUTE format('SELECT at, id%s OFFSET %s LIMIT 1', held || ' ORDER BY at DESC, id DESC', 2 * walked - 1) INTO before_at, before_id;
        END IF;
        IF most = 0 OR before_at IS NULL THEN
            RETURN;
        END IF;
        held := held || format(' AND (at, id) < (%L::timestamptz, %L::text)', before_at, before_id);
    END IF;
    SELECT min(journal.at) INTO low FROM journal WHERE journal.place = journal_page.place;
    SELECT max(journal.at) INTO high FROM journal WHERE journal.place = journal_page.place;
    low := greatest(low, parts.since);
    high := least(high, parts.until, before_at);
    IF parts.alone <> '' AND journal_estimate('SELECT *' || held || parts.alone) <= 3000 THEN
        RETURN QUERY EXECUTE format('SELECT * FROM (SELECT *%s OFFSET 0) few WHERE true%s%s', held || parts.alone, wanted, newest || most);
        RETURN;
    END IF;
    IF parts.pairs || parts.sought <> '' THEN
        rarest := greatest(journal_estimate('SELECT *' || held || parts.pairs || parts.sought), 1);
        IF 100 * rarest < number THEN
            EXECUTE format('SELECT array_agg(first) FROM (SELECT *%s LIMIT %s) first', held || parts.pairs || parts.sought, few) INTO lines;
            IF coalesce(cardinality(lines), 0) < few THEN
                RETURN QUERY EXECUTE format('SELECT * FROM unnest($1) line WHERE true%s%s', parts.filtered, newest || most) USING lines;
                RETURN;
            END IF;
            SELECT max(line.at) - min(line.at) INTO span FROM unnest(lines) line;
            told := greatest(least(rarest, few * extract(epoch FROM high - low) / greatest(extract(epoch FROM span), 1)), few);
            estimate := greatest(estimate * told / rarest, 1);
            wanted := parts.alone || parts.pairs || parts.sought;
            IF 50 * told <= 1.5 * most * number / estimate + 75 * most THEN
                RETURN QUERY EXECUTE format('SELECT * FROM (SELECT *%s OFFSET 0) matching%s', held || wanted, newest || most);
                RETURN;
            END IF;
        ELSIF 20 * rarest >= number THEN
            wanted := parts.filtered || format(' AND (true%s) IS TRUE', parts.sought);
        END IF;
    END IF;
    width := greatest((high - low) * least(1.5 * most / estimate, 1)::float8, interval '1 second');
    WHILE most > 0 AND high >= low LOOP
        start := greatest(high - width, low);
        RETURN QUERY EXECUTE format('SELECT * FROM (SELECT *%s AND at >= %L::timestamptz AND at <= %L::timestamptz%s OFFSET 0) matching%s',
            held, start, high, wanted, newest || most);
        GET DIAGNOSTICS shown = ROW_COUNT;
        most := most - shown;
        high := start - interval '1 microsecond';
        width := width * 4;
    END LOOP;
END
$$
"""
"""What is common is found by walking the newest lines; what is rare, by its index. The rest is looked for in windows of
time, newest first, each four times as long as the one before; OFFSET 0 keeps the order from choosing the index, so that
bitmaps of the time and of what is asked meet before a line is read. How rare a word or a pair is, its first lines of the
table tell: statistics know of what is common alone. Pairs that are not rare are filters, as an index of pairs is read from
its begin. To read a line costs as much as to read 50 places of an index.
"""
COUNT = """
CREATE OR REPLACE FUNCTION journal_count(place text, asked jsonb) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    parts record;
    number bigint;
BEGIN
    SELECT * INTO parts FROM journal_where(place, asked);
    EXECUTE 'SELECT count(*) FROM journal WHERE ' || parts.held || parts.alone || parts.pairs || parts.sought INTO number;
    RETURN number;
END
$$
"""
AS_SEEN = """
CREATE OR REPLACE FUNCTION journal_as_seen(place text, asked jsonb, behind text, most integer)
RETURNS SETOF journal LANGUAGE plpgsql STABLE ROWS 100 AS $$
DECLARE
    parts record;
BEGIN
    IF behind !~ '^[0-9]{19}' THEN
        RETURN;
    END IF;
    SELECT * INTO parts FROM journal_where(place, asked);
    RETURN QUERY EXECUTE format(
        'SELECT * FROM journal WHERE %s%s AND (xid, id) > (%s, %L) AND xid < %s ORDER BY xid, id LIMIT %s',
        parts.held, parts.filtered || parts.sought, coalesce(left(behind, 19)::bigint, 0), coalesce(substr(behind, 20), ''),
        pg_snapshot_xmin(pg_current_snapshot()), most
    );
END
$$
"""


def upgrade() -> None:
    op.execute("DROP FUNCTION journal_where(text, jsonb)")
    for column in ("severity", "actor_type"):
        op.create_index(f"journal_{column}_idx", "journal", ["place", column, "at", "id"])
    op.execute(PAIRS)
    op.execute(f"CREATE INDEX journal_pairs_idx ON journal USING gin ({EXPRESSION})")
    op.execute("ANALYZE journal")
    for statement in (LINE, AUDIT, ASKED, WHERE, PAGE, COUNT, AS_SEEN):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError
