-- Reads of the journal. Each question gets a statement of its own, with quoted values, and a plan for these.

-- Returns a question as parts of a statement. `held`: the condition that an index meets in the order of pages; 'false'
-- if nothing can match. `filtered`: the other conditions. `terms`: conditions on the index of terms that every match
-- meets; a pair of filters stands without the terms of its two filters, which are not rarer than the pair. `since`: the
-- earliest time. `walks`: one index meets all conditions in the order of pages, or marked lines are few.
CREATE OR REPLACE FUNCTION journal_where(
    place text, asked jsonb, OUT held text, OUT filtered text, OUT terms text, OUT since timestamptz, OUT walks boolean
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    seed bigint := hashtextextended(place, 0);
    named record;
    pair record;
    found text;
    paired text[] := '{}';
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
        ('ac', 'agents', 'crews'), ('at', 'agents', 'types'), ('as', 'agents', 'severities'),
        ('ak', 'agents', 'actors'), ('ct', 'crews', 'types'), ('cs', 'crews', 'severities'),
        ('ck', 'crews', 'actors'), ('ts', 'types', 'severities'), ('tk', 'types', 'actors'),
        ('sk', 'severities', 'actors')
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
        ('a', 'agents', 'agent_id'), ('c', 'crews', 'crew_id'), ('m', 'missions', 'mission_id'),
        ('r', 'traces', 'trace_id'), ('t', 'types', 'entry_type'), ('s', 'severities', 'severity'),
        ('k', 'actors', 'actor_type')
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
                filtered := filtered || format(' AND %I = ANY (%L::text[])', named.name,
                    ARRAY(SELECT jsonb_array_elements_text(given)));
            END IF;
            IF named.key <> ALL (paired) THEN
                terms := terms || journal_terms_asked(seed, named.kind, given, NULL);
            END IF;
        END IF;
    END LOOP;
    IF jsonb_typeof(asked -> 'without') = 'array' THEN
        walks := false;
        filtered := filtered || format(' AND entry_type <> ALL (%L::text[])',
            ARRAY(SELECT jsonb_array_elements_text(asked -> 'without')));
    END IF;
    IF jsonb_typeof(asked -> 'priorities') = 'array' THEN
        filtered := filtered || format(' AND priority = ANY (%L::text[])',
            ARRAY(SELECT jsonb_array_elements_text(asked -> 'priorities')));
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
        held := held || format(' AND at < %L::timestamptz',
            (asked ->> 'until')::timestamptz + interval '1 millisecond');
    END IF;
    IF asked ->> 'after_at' IS NOT NULL THEN
        held := held || format(' AND (at, id) > (%L::timestamptz, %L::text)', asked ->> 'after_at',
            asked ->> 'after_id');
    END IF;
    IF asked ->> 'q' IS NOT NULL THEN
        phrase := phraseto_tsquery('simple', journal_words(asked ->> 'q'));
        IF numnode(phrase) = 0 THEN
            held := 'false';
            RETURN;
        END IF;
        walks := false;
        filtered := filtered || format(' AND words @@ %L::tsquery', phrase);
        -- An entry of the audit log is found by its data only where the caller may see them. A line that knows its
        -- kind is looked up nowhere; an older one is judged by its row.
        IF jsonb_typeof(asked -> 'shown') = 'array' THEN
            filtered := filtered || format(
                ' AND (kind <> ''ad'' OR words @@ %L::tsquery OR NOT words @@ %L::tsquery'
                ' AND EXISTS (SELECT FROM audit_logs a'
                ' WHERE a.workspace_id = place AND a.created_at = at AND a.id = row_id'
                ' AND (a.entity_kind = ANY (%L::text[])'
                ' OR to_tsvector(''simple'', journal_words(concat_ws('' '', a.action, a.entity_type, a.entity_id)))'
                ' @@ %L::tsquery)))',
                (
                    SELECT coalesce(string_agg(quote_literal('e:' || kind), ' | ')::tsquery || told, told)
                    FROM (
                        SELECT regexp_replace(phrase::text, '''((?:[^'']|'''')*)''', '''\1'':A', 'g')::tsquery AS told
                    ) weighed
                    LEFT JOIN jsonb_array_elements_text(asked -> 'shown') kind ON true GROUP BY told
                ), '''e:'':*', ARRAY(SELECT jsonb_array_elements_text(asked -> 'shown')), phrase);
        END IF;
        SELECT * INTO said FROM journal_terms_said(to_tsvector('simple', journal_words(asked ->> 'q')), seed);
        terms := terms || format(
            ' AND journal_terms('
            'place, at, agent_id, crew_id, mission_id, trace_id, entry_type, severity, actor_type, words)'
            ' @> %L::bigint[]',
            coalesce(said.beside, said.each)
        );
    END IF;
    IF asked ->> 'web' IS NOT NULL THEN
        phrase := journal_web(asked ->> 'web');
        IF numnode(phrase) = 0 THEN
            held := 'false';
            RETURN;
        END IF;
        walks := false;
        filtered := filtered || format(' AND words @@ %L::tsquery', phrase);
        terms := terms || journal_web_terms(
            'journal_terms('
            'place, at, agent_id, crew_id, mission_id, trace_id, entry_type, severity, actor_type, words)',
            seed, phrase
        );
    END IF;
    walks := walks OR is_marked;
END
$$;

-- Returns matches in the bucket of a time, unordered, and at most `most` lines. The bucket is the first term, so
-- PostgreSQL reads only its part of each other term's list. IS TRUE keeps other indexes out.
CREATE OR REPLACE FUNCTION journal_bucket(
    place text, level integer, "end" timestamptz, terms text, filtered text, most integer
) RETURNS journal[]
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET jit = off SET work_mem = '16MB' AS $$
DECLARE
    lines journal[];
    term bigint := hashtextextended(
        level || '|' || floor(extract(epoch FROM "end") / (1::bigint << level)), hashtextextended(place, 0)
    );
BEGIN
    EXECUTE format(
        'SELECT array_agg(line) FROM (SELECT journal AS line FROM journal WHERE'
        ' journal_terms(place, at, agent_id, crew_id, mission_id, trace_id, entry_type, severity, actor_type, words)'
        ' @> %L::bigint[]%s AND (at <= %L AND %s) IS TRUE LIMIT %s) found',
        ARRAY[term], terms, "end", filtered, most
    ) INTO lines;
    RETURN lines;
END
$$;

-- Returns one page of written lines, newest first.
--
-- Common matches are found by walking the newest lines. Others are searched in buckets of time, newest first, each at
-- most eight times as long as the previous one; a bucket with more matches than fit into a page is read in part. No
-- statistics are used. A combination without matches, of terms that are common, would be searched in all lines: a page
-- that has taken long enough ends with a mark, a line of no kind, from which another page continues.
CREATE OR REPLACE FUNCTION journal_page_written(
    place text, asked jsonb, before_at timestamptz, before_id text, most integer
) RETURNS SETOF journal
LANGUAGE plpgsql STABLE ROWS 100 AS $$
DECLARE
    newest text := ' ORDER BY at DESC, id DESC LIMIT ';
    levels integer[] := ARRAY[7, 10, 13, 16, 19, 22, 25];
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
        THEN coalesce(nullif(current_setting('crewship.journal_patience', true), ''), '25 ms')
        ELSE coalesce(asked ->> 'patience', '1 day') END::interval;
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
        RETURN QUERY EXECUTE format(
            'SELECT * FROM (SELECT * FROM journal WHERE place = %L AND xid >= %s OFFSET 0) seen WHERE %s%s',
            place, (asked ->> 'xid')::bigint, held || parts.filtered, newest || most);
        RETURN;
    ELSIF parts.walks THEN
        RETURN QUERY EXECUTE format('SELECT * FROM journal WHERE %s%s', held || parts.filtered, newest || most);
        RETURN;
    END IF;
    EXECUTE format('SELECT at, id FROM journal WHERE %s ORDER BY at DESC, id DESC OFFSET %s LIMIT 1', held, walked - 1)
        INTO walked_at, walked_id;
    RETURN QUERY EXECUTE format(
        'SELECT * FROM (SELECT * FROM journal WHERE %s%s OFFSET 0) walked WHERE true%s%s', held,
        CASE WHEN walked_at IS NOT NULL
            THEN format(' AND (at, id) >= (%L::timestamptz, %L::text)', walked_at, walked_id) ELSE '' END,
        parts.filtered, newest || most);
    GET DIAGNOSTICS found = ROW_COUNT;
    most := most - found;
    IF most <= 0 OR walked_at IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT at FROM journal WHERE %s ORDER BY at DESC, id DESC LIMIT 1', held) INTO high;
    SELECT min(journal.at) INTO low FROM journal WHERE journal.place = journal_page_written.place;
    low := greatest(low, parts.since);
    FOR n IN 2 .. cardinality(levels) LOOP
        level := level + (1 << levels[n] <= 8 * extract(epoch FROM high - walked_at))::integer;
        highest := highest + (1 << levels[n] <= extract(epoch FROM high - low) / 4)::integer;
    END LOOP;
    high := walked_at;
    parts.filtered := parts.held || format(' AND (at, id) < (%L::timestamptz, %L::text)', walked_at, walked_id)
        || parts.filtered;
    enough := 2 * most + walked / 4;
    WHILE most > 0 AND high >= low LOOP
        asked_at := clock_timestamp();
        lines := journal_bucket(place, levels[level], high, parts.terms, parts.filtered,
            CASE WHEN level = 1 THEN 1000000 ELSE enough END);
        found := coalesce(cardinality(lines), 0);
        IF found = enough AND level > 1 THEN
            level := level - 1;
            CONTINUE;
        END IF;
        RETURN QUERY SELECT * FROM unnest(lines) line ORDER BY line.at DESC, line.id DESC LIMIT most;
        most := most - found;
        walked_at := to_timestamp(
            floor(extract(epoch FROM high) / (1::bigint << levels[level])) * (1::bigint << levels[level])
        );
        high := walked_at - interval '1 microsecond';
        took := clock_timestamp() - asked_at;
        IF 2 * took > patience THEN
            level := greatest(level - 1, 1);
        ELSIF 8 * found < enough AND 8 * took < patience THEN
            level := least(level + 1, greatest(level, highest));
        END IF;
        IF most > 0 AND high >= low AND clock_timestamp() - begun > patience THEN
            RETURN QUERY SELECT line.* FROM jsonb_populate_record(NULL::journal, jsonb_build_object(
                'place', place, 'at', walked_at, 'id', '', 'kind', '', 'row_id', '', 'entry_type', '',
                'severity', 'info', 'priority', 'normal', 'actor_type', 'system', 'words', '', 'xid', 0
            )) line;
            RETURN;
        END IF;
    END LOOP;
END
$$;

-- Returns the number of written lines.
CREATE OR REPLACE FUNCTION journal_count_written(place text, asked jsonb) RETURNS bigint
LANGUAGE plpgsql STABLE SET enable_seqscan = off SET jit = off AS $$
DECLARE
    parts record;
    number bigint;
BEGIN
    SELECT * INTO parts FROM journal_where(place, asked);
    IF parts.walks OR parts.terms = '' OR parts.held = 'false' THEN
        EXECUTE format('SELECT count(*) FROM journal WHERE %s%s', parts.held, parts.filtered) INTO number;
    ELSE
        EXECUTE format('SELECT count(*) FROM journal WHERE true%s AND (%s%s) IS TRUE',
            parts.terms, parts.held, parts.filtered) INTO number;
    END IF;
    RETURN number;
END
$$;

-- Returns, as a part of a statement, the lines of audit log rows that are not sealed: they are not written yet.
CREATE OR REPLACE FUNCTION journal_pending(place text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT format(
        '(SELECT line.* FROM audit_logs a CROSS JOIN LATERAL journal_lines(a) line'
        ' WHERE a.workspace_id = %L AND a.seq > %s) journal',
        place, (SELECT coalesce((SELECT value::bigint FROM instance_facts WHERE name = 'audit_sealed'), 0))
    )
$$;

-- Returns one page of lines, newest first: pending lines merged with written ones. A written page that ends with a mark
-- takes no pending lines from behind it: another page continues there.
CREATE OR REPLACE FUNCTION journal_page(
    place text, asked jsonb, before_at timestamptz, before_id text, most integer
) RETURNS SETOF journal
LANGUAGE plpgsql STABLE ROWS 100 AS $$
DECLARE
    parts record;
    wanted text;
    pending journal[];
BEGIN
    SELECT * INTO parts FROM journal_where(place, asked);
    wanted := parts.held || parts.filtered;
    IF before_at IS NOT NULL THEN
        wanted := wanted || format(' AND (at, id) < (%L::timestamptz, %L::text)', before_at, before_id);
    END IF;
    IF asked ->> 'xid' IS NOT NULL THEN
        wanted := wanted || format(' AND xid >= %s', (asked ->> 'xid')::bigint);
    END IF;
    EXECUTE format(
        'SELECT array_agg(ROW (line.*)::journal) FROM'
        ' (SELECT * FROM %s WHERE %s ORDER BY at DESC, id DESC LIMIT %s) line',
        journal_pending(place), wanted, most) INTO pending;
    IF pending IS NULL THEN
        RETURN QUERY SELECT * FROM journal_page_written(place, asked, before_at, before_id, most);
        RETURN;
    END IF;
    RETURN QUERY WITH written AS MATERIALIZED (
        SELECT * FROM journal_page_written(place, asked, before_at, before_id, most)
    )
        SELECT line.* FROM (
            SELECT * FROM written UNION ALL SELECT * FROM unnest(pending) later
            WHERE NOT EXISTS (
                SELECT FROM written WHERE written.kind = '' AND (written.at, written.id) > (later.at, later.id)
            )
        ) line ORDER BY line.at DESC, line.id DESC LIMIT most;
END
$$;

-- Returns the number of lines, pending and written.
CREATE OR REPLACE FUNCTION journal_count(place text, asked jsonb) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
DECLARE
    parts record;
    pending bigint;
BEGIN
    SELECT * INTO parts FROM journal_where(place, asked);
    EXECUTE format('SELECT count(*) FROM %s WHERE %s%s', journal_pending(place), parts.held, parts.filtered)
        INTO pending;
    RETURN pending + journal_count_written(place, asked);
END
$$;

-- Returns the line of an id, whose time is a part of it.
CREATE OR REPLACE FUNCTION journal_named(place text, named text) RETURNS SETOF journal
LANGUAGE plpgsql STABLE ROWS 1 AS $$
DECLARE
    told_at timestamptz;
BEGIN
    IF named ~ '^j[0-9a-f]{14}'
        AND coalesce(current_setting('crewship.workspaces', true), '') IN ('', '*', place) THEN
        told_at := timestamptz 'epoch' + ('x' || substr(named, 2, 14))::bit(56)::bigint * interval '1 microsecond';
        RETURN QUERY SELECT * FROM journal
            WHERE journal.place = journal_named.place AND journal.id = named AND journal.at = told_at;
        RETURN QUERY SELECT line.* FROM audit_logs a CROSS JOIN LATERAL journal_lines(a) line
            WHERE a.workspace_id = journal_named.place AND a.created_at = told_at AND line.id = named
                AND a.seq > (SELECT coalesce(
                    (SELECT value::bigint FROM instance_facts WHERE name = 'audit_sealed'), 0
                ));
    END IF;
END
$$;

-- Returns lines in the order in which they appear, after a place as journal_place returns it. Lines behind an open
-- transaction are left for later.
CREATE OR REPLACE FUNCTION journal_as_seen(place text, asked jsonb, behind text, most integer)
RETURNS SETOF journal
LANGUAGE plpgsql STABLE ROWS 100 AS $$
DECLARE
    parts record;
    wanted text;
BEGIN
    IF behind !~ '^[0-9]{19}' THEN
        RETURN;
    END IF;
    SELECT * INTO parts FROM journal_where(place, asked);
    wanted := format('%s%s AND (xid, id) > (%s, %L) AND xid < %s ORDER BY xid, id LIMIT %s',
        parts.held, parts.filtered, coalesce(left(behind, 19)::bigint, 0), coalesce(substr(behind, 20), ''),
        events_horizon(), most);
    RETURN QUERY EXECUTE format(
        '(SELECT * FROM journal WHERE %s) UNION ALL (SELECT * FROM %s WHERE %s) ORDER BY xid, id LIMIT %s',
        wanted, journal_pending(place), wanted, most);
END
$$;

-- Returns which of the workspaces have lines of transactions since `since`, and the horizon below which all are seen.
CREATE OR REPLACE FUNCTION journal_news(since bigint, asked text[], OUT horizon bigint, OUT places text[])
LANGUAGE sql STABLE AS $$
    SELECT events_horizon()::text::bigint, array_agg(p) FROM unnest(asked) p
    WHERE EXISTS (SELECT FROM journal WHERE place = p AND xid >= since)
        OR EXISTS (
            SELECT FROM audit_logs WHERE workspace_id = p AND seq > (
                SELECT coalesce((SELECT value::bigint FROM instance_facts WHERE name = 'audit_sealed'), 0)
            ) AND xid >= since::text::xid8
        )
$$;

-- Returns the messages that a search in conversations finds. Raises CS503 if it found none before its time was over:
-- an empty answer would mean that there are none.
CREATE OR REPLACE FUNCTION conversation_lines(place text, asked jsonb, most integer) RETURNS TABLE (message_id text)
LANGUAGE plpgsql STABLE ROWS 100 AS $$
DECLARE
    line record;
    found integer := 0;
    ended boolean := false;
BEGIN
    FOR line IN SELECT kind, row_id FROM journal_page(place, asked, NULL, NULL, most) LOOP
        IF line.kind = '' THEN
            ended := true;
        ELSE
            found := found + 1;
            message_id := line.row_id;
            RETURN NEXT;
        END IF;
    END LOOP;
    IF ended AND found = 0 THEN
        RAISE EXCEPTION 'looked long enough' USING ERRCODE = 'CS503';
    END IF;
END
$$;
