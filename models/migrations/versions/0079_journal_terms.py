"""Pages of the journal are found by one index of terms: filters, pairs of them, words, words beside each other, and times."""

from alembic import op

revision = "0079"
down_revision = "0078"
branch_labels = None
depends_on = None

FILTERS = {
    "a": ("agents", "agent"), "c": ("crews", "crew"), "m": ("missions", "mission"), "r": ("traces", "trace"), "t": ("types", "type"),
    "s": ("severities", "severity"), "k": ("actors", "actor"),
}  # fmt: skip
PAIRED = ("a", "c", "t", "s", "k")
PAIRS = [(one, other) for at, one in enumerate(PAIRED) for other in PAIRED[at + 1 :]]
LEVELS = (7, 10, 13, 16, 19, 22, 25)
"""Of each, a line has the bucket that its time is in: 2^7 seconds are two minutes, 2^25 a year."""
EXPRESSION = (
    "journal_terms(place, at, agent_id, crew_id, mission_id, trace_id, entry_type, severity, actor_type, words)"
)


def made_of_line() -> str:
    ones = [f"hashtextextended('{kind}|' || {column}, seed)" for kind, (_, column) in FILTERS.items()]
    pairs = [f"hashtextextended('{a}{b}|' || {FILTERS[a][1]} || '|' || {FILTERS[b][1]}, seed)" for a, b in PAIRS]
    times = [f"hashtextextended('{level}|' || floor(seconds / {2**level}), seed)" for level in LEVELS]
    return ", ".join([*ones, *pairs, *times])


WORDS = """
    SELECT array_agg(word) AS each, array_agg(hashtextextended(next, word)) FILTER (WHERE after = p + 1) AS beside FROM (
        SELECT p, hashtextextended(lexeme, seed) AS word, lead(lexeme) OVER following AS next, lead(p) OVER following AS after
        FROM unnest(words), unnest(positions) p WINDOW following AS (ORDER BY p)
    ) said
"""
SAID = f"""
CREATE OR REPLACE FUNCTION journal_terms_said(words tsvector, seed bigint, OUT each bigint[], OUT beside bigint[]) LANGUAGE sql IMMUTABLE AS $$
{WORDS}
$$
"""
TERMS = f"""
CREATE OR REPLACE FUNCTION journal_terms(
    place text, at timestamptz, agent text, crew text, mission text, trace text, type text, severity text, actor text, words tsvector
) RETURNS bigint[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    seed bigint := hashtextextended(place, 0);
    seconds numeric := extract(epoch FROM at);
BEGIN
    RETURN (SELECT array_remove(ARRAY[{made_of_line()}], NULL) || each || beside FROM ({WORDS}) terms);
END
$$
"""
"""Calls no function of ours, since an index is built without a search path. Numbers of the workspace's own. Of two terms with one number, the line tells which it is."""
ASKED = f"""
CREATE OR REPLACE FUNCTION journal_terms_asked(seed bigint, kind text, given jsonb, other jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT format(' AND {EXPRESSION} && %L::bigint[]', array_agg(hashtextextended(kind || '|' || a || coalesce('|' || b, ''), seed)))
    FROM jsonb_array_elements_text(given) a LEFT JOIN jsonb_array_elements_text(other) b ON true HAVING count(*) <= 1000
$$
"""
WHERE = f"""
CREATE FUNCTION journal_where(
    place text, asked jsonb, OUT held text, OUT filtered text, OUT terms text, OUT since timestamptz, OUT walks boolean
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    seed bigint := hashtextextended(place, 0);
    named record;
    pair record;
    found text;
    paired text[] := '{{}}';
    given jsonb;
    number integer := 0;
    is_marked boolean := false;
    phrase tsquery;
    said record;
BEGIN
    held := format('place = %L', place);
    filtered := '';
    terms := '';
    walks := true;
    IF coalesce(current_setting('crewship.workspaces', true), '') NOT IN ('', '*', place) THEN
        held := 'false';
        RETURN;
    END IF;
    FOR pair IN SELECT * FROM (VALUES
        {", ".join(f"('{a}{b}', '{FILTERS[a][0]}', '{FILTERS[b][0]}')" for a, b in PAIRS)}
    ) AS usual (kind, one, other) LOOP
        IF jsonb_typeof(asked -> pair.one) = 'array' AND jsonb_typeof(asked -> pair.other) = 'array' THEN
            found := journal_terms_asked(seed, pair.kind, asked -> pair.one, asked -> pair.other);
            IF found IS NOT NULL THEN
                terms := terms || found;
                paired := paired || pair.one || pair.other;
            END IF;
        END IF;
    END LOOP;
    FOR named IN SELECT * FROM (VALUES
        ('a', 'agents', 'agent_id'), ('c', 'crews', 'crew_id'), ('m', 'missions', 'mission_id'), ('r', 'traces', 'trace_id'),
        ('t', 'types', 'entry_type'), ('s', 'severities', 'severity'), ('k', 'actors', 'actor_type')
    ) AS filters (kind, key, name) LOOP
        given := asked -> named.key;
        IF jsonb_typeof(given) = 'array' THEN
            number := number + 1;
            walks := number = 1 AND jsonb_array_length(given) = 1;
            IF jsonb_array_length(given) = 0 THEN
                held := 'false';
                RETURN;
            ELSIF jsonb_array_length(given) = 1 THEN
                filtered := filtered || format(' AND %I = %L', named.name, given ->> 0);
            ELSE
                filtered := filtered || format(' AND %I = ANY (%L::text[])', named.name, ARRAY(SELECT jsonb_array_elements_text(given)));
            END IF;
            IF named.key <> ALL (paired) THEN
                terms := terms || journal_terms_asked(seed, named.kind, given, NULL);
            END IF;
        END IF;
    END LOOP;
    IF jsonb_typeof(asked -> 'without') = 'array' THEN
        walks := false;
        filtered := filtered || format(' AND entry_type <> ALL (%L::text[])', ARRAY(SELECT jsonb_array_elements_text(asked -> 'without')));
    END IF;
    IF jsonb_typeof(asked -> 'priorities') = 'array' THEN
        filtered := filtered || format(' AND priority = ANY (%L::text[])', ARRAY(SELECT jsonb_array_elements_text(asked -> 'priorities')));
        IF NOT asked -> 'priorities' ? 'normal' THEN
            held := held || ' AND priority <> ''normal''';
            is_marked := true;
        ELSE
            walks := false;
        END IF;
    END IF;
    since := greatest((asked ->> 'since')::timestamptz, (asked ->> 'after_at')::timestamptz);
    IF since IS NOT NULL THEN
        held := held || format(' AND at >= %L::timestamptz', since);
    END IF;
    IF asked ->> 'until' IS NOT NULL THEN
        held := held || format(' AND at < %L::timestamptz', (asked ->> 'until')::timestamptz + interval '1 millisecond');
    END IF;
    IF asked ->> 'after_at' IS NOT NULL THEN
        held := held || format(' AND (at, id) > (%L::timestamptz, %L::text)', asked ->> 'after_at', asked ->> 'after_id');
    END IF;
    IF asked ->> 'q' IS NOT NULL THEN
        phrase := phraseto_tsquery('simple', journal_words(asked ->> 'q'));
        IF numnode(phrase) = 0 THEN
            held := 'false';
            RETURN;
        END IF;
        walks := false;
        filtered := filtered || format(' AND words @@ %L::tsquery', phrase);
        SELECT * INTO said FROM journal_terms_said(to_tsvector('simple', journal_words(asked ->> 'q')), seed);
        terms := terms || format(' AND {EXPRESSION} @> %L::bigint[]', coalesce(said.beside, said.each));
    END IF;
    walks := walks OR is_marked;
END
$$
"""
"""`walks`: one index has what is asked in its order; marked lines are few. Filters of a pair have no terms beside it: they are not rarer than it is."""
BUCKET = f"""
CREATE OR REPLACE FUNCTION journal_bucket(place text, level integer, "end" timestamptz, terms text, filtered text, most integer)
RETURNS journal[] LANGUAGE plpgsql STABLE SET enable_seqscan = off SET jit = off SET work_mem = '16MB' AS $$
DECLARE
    lines journal[];
    term bigint := hashtextextended(level || '|' || floor(extract(epoch FROM "end") / (1::bigint << level)), hashtextextended(place, 0));
BEGIN
    EXECUTE format(
        'SELECT array_agg(line) FROM (SELECT journal AS line FROM journal WHERE {EXPRESSION} @> %L::bigint[]%s AND (at <= %L AND %s) IS TRUE LIMIT %s) found',
        ARRAY[term], terms, "end", filtered, most
    ) INTO lines;
    RETURN lines;
END
$$
"""
"""What is asked for in the bucket of a time, in no order, and no more than `most`. The bucket comes first: of each term's list, no more is read than stands within it.
IS TRUE keeps other indexes out.
"""
PAGE = f"""
CREATE OR REPLACE FUNCTION journal_page(place text, asked jsonb, before_at timestamptz, before_id text, most integer)
RETURNS SETOF journal LANGUAGE plpgsql STABLE ROWS 100 AS $$
DECLARE
    newest text := ' ORDER BY at DESC, id DESC LIMIT ';
    levels integer[] := ARRAY{list(LEVELS)!r};
    parts record;
    held text;
    lines journal[];
    low timestamptz;
    high timestamptz;
    walked_at timestamptz;
    walked_id text;
    found integer;
    level integer := 1;
    highest integer := 1;
    begun timestamptz := clock_timestamp();
    asked_at timestamptz;
    took interval;
    patience interval := CASE WHEN asked -> 'to_the_end' IS NULL
        THEN coalesce(nullif(current_setting('crewship.journal_patience', true), ''), '25 ms') ELSE '1 day' END::interval;
    walked integer := coalesce(nullif(current_setting('crewship.journal_walked', true), ''), '2000')::integer;
    enough integer;
BEGIN
    SELECT * INTO parts FROM journal_where(place, asked);
    held := parts.held;
    IF held = 'false' THEN
        RETURN;
    END IF;
    IF before_at IS NOT NULL THEN
        held := held || format(' AND (at, id) < (%L::timestamptz, %L::text)', before_at, before_id);
    END IF;
    IF asked ->> 'xid' IS NOT NULL THEN
        RETURN QUERY EXECUTE format('SELECT * FROM (SELECT * FROM journal WHERE place = %L AND xid >= %s OFFSET 0) seen WHERE %s%s',
            place, (asked ->> 'xid')::bigint, held || parts.filtered, newest || most);
        RETURN;
    ELSIF parts.walks THEN
        RETURN QUERY EXECUTE format('SELECT * FROM journal WHERE %s%s', held || parts.filtered, newest || most);
        RETURN;
    END IF;
    EXECUTE format('SELECT at, id FROM journal WHERE %s ORDER BY at DESC, id DESC OFFSET %s LIMIT 1', held, walked - 1) INTO walked_at, walked_id;
    RETURN QUERY EXECUTE format('SELECT * FROM (SELECT * FROM journal WHERE %s%s OFFSET 0) walked WHERE true%s%s', held,
        CASE WHEN walked_at IS NOT NULL THEN format(' AND (at, id) >= (%L::timestamptz, %L::text)', walked_at, walked_id) ELSE '' END,
        parts.filtered, newest || most);
    GET DIAGNOSTICS found = ROW_COUNT;
    most := most - found;
    IF most <= 0 OR walked_at IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT at FROM journal WHERE %s ORDER BY at DESC, id DESC LIMIT 1', held) INTO high;
    SELECT min(journal.at) INTO low FROM journal WHERE journal.place = journal_page.place;
    low := greatest(low, parts.since);
    FOR n IN 2 .. cardinality(levels) LOOP
        level := level + (1 << levels[n] <= 8 * extract(epoch FROM high - walked_at))::integer;
        highest := highest + (1 << levels[n] <= extract(epoch FROM high - low) / 4)::integer;
    END LOOP;
    high := walked_at;
    parts.filtered := parts.held || format(' AND (at, id) < (%L::timestamptz, %L::text)', walked_at, walked_id) || parts.filtered;
    enough := 2 * most + walked / 4;
    WHILE most > 0 AND high >= low LOOP
        asked_at := clock_timestamp();
        lines := journal_bucket(place, levels[level], high, parts.terms, parts.filtered, CASE WHEN level = 1 THEN 1000000 ELSE enough END);
        found := coalesce(cardinality(lines), 0);
        IF found = enough AND level > 1 THEN
            level := level - 1;
            CONTINUE;
        END IF;
        RETURN QUERY SELECT * FROM unnest(lines) line ORDER BY line.at DESC, line.id DESC LIMIT most;
        most := most - found;
        walked_at := to_timestamp(floor(extract(epoch FROM high) / (1::bigint << levels[level])) * (1::bigint << levels[level]));
        high := walked_at - interval '1 microsecond';
        took := clock_timestamp() - asked_at;
        IF 2 * took > patience THEN
            level := greatest(level - 1, 1);
        ELSIF 8 * found < enough AND 8 * took < patience THEN
            level := least(level + 1, greatest(level, highest));
        END IF;
        IF most > 0 AND high >= low AND clock_timestamp() - begun > patience THEN
            RETURN QUERY SELECT line.* FROM jsonb_populate_record(NULL::journal, jsonb_build_object(
                'place', place, 'at', walked_at, 'id', '', 'kind', '', 'row_id', '', 'entry_type', '', 'severity', 'info', 'priority', 'normal',
                'actor_type', 'system', 'words', '', 'xid', 0
            )) line;
            RETURN;
        END IF;
    END LOOP;
END
$$
"""
"""What is common is found by walking the newest lines. The rest is looked for in buckets of time, newest first, of which each is at most eight times as long as the one
before: of one that has more than a page can take, a part is taken. No statistics are asked. What is not
there, though much of what is asked for is, would be looked for in all lines: a page that has taken long enough ends with a mark, a line of no kind, at
which another page goes on.
"""
COUNT = """
CREATE OR REPLACE FUNCTION journal_count(place text, asked jsonb) RETURNS bigint LANGUAGE plpgsql STABLE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    parts record;
    number bigint;
BEGIN
    SELECT * INTO parts FROM journal_where(place, asked);
    IF parts.walks OR parts.terms = '' OR parts.held = 'false' THEN
        EXECUTE format('SELECT count(*) FROM journal WHERE %s%s', parts.held, parts.filtered) INTO number;
    ELSE
        EXECUTE format('SELECT count(*) FROM journal WHERE true%s AND (%s%s) IS TRUE', parts.terms, parts.held, parts.filtered) INTO number;
    END IF;
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
        parts.held, parts.filtered, coalesce(left(behind, 19)::bigint, 0), coalesce(substr(behind, 20), ''),
        pg_snapshot_xmin(pg_current_snapshot()), most
    );
END
$$
"""


def upgrade() -> None:
    """Online: lines are read by the old functions, and written, while the index is built. What is cut off is begun anew by the next start."""
    for statement in (SAID, TERMS):
        op.execute(statement)
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        op.execute("SET lock_timeout = 0")  # nobody queues behind what these wait for
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS journal_terms_idx")
        op.execute(f"CREATE INDEX CONCURRENTLY journal_terms_idx ON journal USING gin (({EXPRESSION})) WITH (gin_pending_list_limit = 512)")
        op.execute("ALTER INDEX journal_terms_idx ALTER COLUMN 1 SET STATISTICS 0")
    op.execute("DROP FUNCTION journal_where(text, jsonb)")
    for statement in (ASKED, WHERE, BUCKET, PAGE, COUNT, AS_SEEN):
        op.execute(statement)
    with op.get_context().autocommit_block():
        for gone in ("journal_words_idx", "journal_pairs_idx"):
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {gone}")
        op.execute("RESET statement_timeout")
        op.execute("SET lock_timeout = '10s'")
    for gone in (
        "journal_pairs_asked(text, text, jsonb, jsonb)", "journal_pairs(text, text, text, text, text, text)", "journal_estimate(text)", "journal_lexemes(text, jsonb)",
    ):
        op.execute(f"DROP FUNCTION IF EXISTS {gone}")


def downgrade() -> None:
    raise NotImplementedError
