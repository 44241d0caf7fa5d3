-- Words and terms of the journal: what the index of its lines holds, and what a search looks up in it. The index is an
-- expression of journal_terms: these functions exist before the tables, and none of them reads one. A change of what
-- journal_terms returns needs a migration that builds the index again.

-- Returns a text as its words are indexed: parts of paths, addresses and names are words, too.
CREATE OR REPLACE FUNCTION journal_words(said text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT translate(left(said, 60000), '/._:@#?&=%+~|-', '              ')
$$;

-- Returns JSON as one text, without its escapes of white space.
CREATE OR REPLACE FUNCTION journal_words(said jsonb) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT replace(replace(replace(left(said::text, 60000), '\n', ' '), '\t', ' '), '\r', ' ')
$$;

-- Returns a search as on the web, of words as journal_words has them. A hyphen before a word excludes it.
CREATE OR REPLACE FUNCTION journal_web(said text) RETURNS tsquery
LANGUAGE sql IMMUTABLE AS $$
    SELECT websearch_to_tsquery('simple', regexp_replace(
        translate(left(said, 60000), '/._:@#?&=%+~|', '             '), '(?<=\S)-', ' ', 'g'
    ))
$$;

-- Returns the terms of words: a number for each word, and one for each pair of words beside each other.
CREATE OR REPLACE FUNCTION journal_terms_said(
    words tsvector, seed bigint, OUT each bigint[], OUT beside bigint[]
)
LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(word) AS each,
        array_agg(hashtextextended(next, word)) FILTER (WHERE after = p + 1) AS beside
    FROM (
        SELECT p, hashtextextended(lexeme, seed) AS word, lead(lexeme) OVER following AS next,
            lead(p) OVER following AS after
        FROM unnest(words), unnest(positions) p WINDOW following AS (ORDER BY p)
    ) said
$$;

-- Returns all terms of a line: its filters, pairs of them, the bucket of its time on each level, and its words as
-- journal_terms_said has them. 2^7 seconds are two minutes, 2^25 a year. The numbers differ between workspaces, and
-- two terms may share one: a reader compares the line itself. The function calls no other of ours, because PostgreSQL
-- builds an index without a search path.
CREATE OR REPLACE FUNCTION journal_terms(
    place text, at timestamptz, agent text, crew text, mission text, trace text, type text, severity text, actor text,
    words tsvector
) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    seed bigint := hashtextextended(place, 0);
    seconds numeric := extract(epoch FROM at);
    said bigint[];
BEGIN
    -- An expression of PL/pgSQL is prepared once a session, one within a statement with each call: terms of filters
    -- stand outside.
    SELECT array_agg(word) || array_agg(hashtextextended(next, word)) FILTER (WHERE after = p + 1) INTO said
    FROM (
        SELECT p, hashtextextended(lexeme, seed) AS word, lead(lexeme) OVER following AS next,
            lead(p) OVER following AS after
        FROM (SELECT lexeme, unnest(positions) AS p FROM unnest(words)) each WINDOW following AS (ORDER BY p)
    ) terms;
    RETURN array_remove(ARRAY[
        hashtextextended('a|' || agent, seed),
        hashtextextended('c|' || crew, seed),
        hashtextextended('m|' || mission, seed),
        hashtextextended('r|' || trace, seed),
        hashtextextended('t|' || type, seed),
        hashtextextended('s|' || severity, seed),
        hashtextextended('k|' || actor, seed),
        hashtextextended('ac|' || agent || '|' || crew, seed),
        hashtextextended('at|' || agent || '|' || type, seed),
        hashtextextended('as|' || agent || '|' || severity, seed),
        hashtextextended('ak|' || agent || '|' || actor, seed),
        hashtextextended('ct|' || crew || '|' || type, seed),
        hashtextextended('cs|' || crew || '|' || severity, seed),
        hashtextextended('ck|' || crew || '|' || actor, seed),
        hashtextextended('ts|' || type || '|' || severity, seed),
        hashtextextended('tk|' || type || '|' || actor, seed),
        hashtextextended('sk|' || severity || '|' || actor, seed),
        hashtextextended('7|' || floor(seconds / 128), seed),
        hashtextextended('10|' || floor(seconds / 1024), seed),
        hashtextextended('13|' || floor(seconds / 8192), seed),
        hashtextextended('16|' || floor(seconds / 65536), seed),
        hashtextextended('19|' || floor(seconds / 524288), seed),
        hashtextextended('22|' || floor(seconds / 4194304), seed),
        hashtextextended('25|' || floor(seconds / 33554432), seed)
    ], NULL) || said;
END
$$;

-- Returns the condition that a line has one of the terms of a filter, or of a pair of filters; NULL for more than 1000.
CREATE OR REPLACE FUNCTION journal_terms_asked(seed bigint, kind text, given jsonb, other jsonb) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT format(
        ' AND journal_terms('
        'place, at, agent_id, crew_id, mission_id, trace_id, entry_type, severity, actor_type, words)'
        ' && %L::bigint[]',
        array_agg(hashtextextended(kind || '|' || a || coalesce('|' || b, ''), seed))
    )
    FROM jsonb_array_elements_text(given) a LEFT JOIN jsonb_array_elements_text(other) b ON true
    HAVING count(*) <= 1000
$$;

-- Returns the condition that a line has the words that each side of an `or` requires. Raises CS400 for a side that
-- requires none: it would read every line.
CREATE OR REPLACE FUNCTION journal_web_terms(expression text, seed bigint, asked tsquery) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    branch text;
    needed text;
    branches text[] := '{}';
BEGIN
    FOREACH branch IN ARRAY string_to_array(asked::text, ' | ') LOOP
        needed := querytree(branch::tsquery);
        IF needed IN ('', 'T') THEN
            RAISE EXCEPTION 'nothing to look for' USING ERRCODE = 'CS400';
        END IF;
        branches := branches || format('%s @> %L::bigint[]', expression,
            ARRAY(SELECT hashtextextended(word[1], seed) FROM regexp_matches(needed, '''([^'']+)''', 'g') word));
    END LOOP;
    RETURN format(' AND (%s)', array_to_string(branches, ' OR '));
END
$$;

-- Returns the place of a line in the order in which lines appear, as a text that sorts like it.
CREATE OR REPLACE FUNCTION journal_place(xid bigint, id text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lpad(xid::text, 19, '0') || id
$$;
