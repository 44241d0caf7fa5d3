-- Search of issues by a part of a text. The texts of an issue, and each comment, have a row of grams: of one, two and
-- three bytes. Each text that contains a searched text has all grams of it.

-- Returns a text as the search of everything compares it: without the case of letters. ASCII letters come first, because
-- the rules of some languages change them, too. A sigma has another small form at the end of a word.
CREATE OR REPLACE FUNCTION search_folded(said text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT replace(lower(lower(said COLLATE "C") COLLATE "default"), 'ς', 'σ')
$$;

-- Returns how close a row with a title and a detail is to a search; `said` is its whole text. 0: it is one of them; 1: its
-- title begins with it; 2: a word does; 3: it contains it. `sought` is folded.
CREATE OR REPLACE FUNCTION search_closeness(title text, detail text, said text, sought text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN search_folded(title) = sought OR search_folded(detail) = sought THEN 0
        WHEN starts_with(search_folded(title), sought) THEN 1
        WHEN strpos(' ' || search_folded(said), ' ' || sought) > 0 THEN 2
        ELSE 3
    END
$$;

-- Returns the sum that makes grams of one workspace differ from the grams of another in most cases, so that a search reads
-- few rows of others.
CREATE OR REPLACE FUNCTION issue_grams_of(place text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (hashtextextended(place, 0) & 4294967295) << 26
$$;

-- Returns the grams of a text without the case of letters, of `sizes` bytes each. A search that ignores the case of ASCII
-- letters alone finds no text without all grams, either.
CREATE OR REPLACE FUNCTION issue_grams(place text, said text, sizes integer[]) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    bytes bytea := convert_to(search_folded(said), 'UTF8');
    seed bigint := issue_grams_of(place);
BEGIN
    RETURN coalesce((
        SELECT array_agg(DISTINCT seed + (size::bigint << 24) + CASE size
            WHEN 1 THEN get_byte(bytes, i)
            WHEN 2 THEN (get_byte(bytes, i) << 8) + get_byte(bytes, i + 1)
            ELSE (get_byte(bytes, i) << 16) + (get_byte(bytes, i + 1) << 8) + get_byte(bytes, i + 2)
        END)
        FROM unnest(sizes) size, generate_series(0, octet_length(bytes) - size) i
    ), '{}');
END
$$;

-- Returns the grams that are stored of a text. A text that is long, or has many, has one that every search looks for:
-- such a text is always compared itself.
CREATE OR REPLACE FUNCTION issue_grams_stored(place text, said text) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    grams bigint[];
BEGIN
    IF octet_length(said) <= 32768 THEN
        grams := issue_grams(place, said, '{1,2,3}');
        IF cardinality(grams) <= 8192 THEN
            RETURN grams;
        END IF;
    END IF;
    RETURN ARRAY[issue_grams_of(place)];
END
$$;

-- Returns the texts of a workspace that may contain `sought`: all that do, and few others. Without a comment, a text is the
-- mission's own. Only functions of the owner may read them.
CREATE OR REPLACE FUNCTION issue_texts_with(of_workspace text, sought text) RETURNS TABLE (mission text, comment text)
LANGUAGE sql STABLE AS $$
    SELECT t.mission_id, t.comment_id FROM issue_texts t
    WHERE t.place = of_workspace AND (
        t.grams @> issue_grams(of_workspace, sought, ARRAY[least(3, octet_length(search_folded(sought)))])
        OR t.grams @> ARRAY[issue_grams_of(of_workspace)]
    )
$$;

-- Returns true if the session may read rows of a workspace, as the policies of row-level security say.
CREATE OR REPLACE FUNCTION issue_texts_open(of_workspace text) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT of_workspace = ANY (string_to_array(now_in, ',')) OR now_in IN ('', '*')
    FROM coalesce(current_setting('crewship.workspaces', true), '') now_in
$$;

-- Returns the ids of missions of a workspace that may contain `sought`, themselves or in a comment. NULL if there are more
-- than `most`, or more than twice as many texts, or if nothing is sought.
CREATE OR REPLACE FUNCTION issue_candidates(of_workspace text, sought text, most integer) RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT SET enable_seqscan = off AS $$
DECLARE
    asked text := left(sought, 40);
    texts bigint;
    found text[];
BEGIN
    IF NOT issue_texts_open(of_workspace) THEN
        RETURN '{}';
    END IF;
    IF asked = '' THEN
        RETURN NULL;
    END IF;
    SELECT count(*), array_agg(DISTINCT mission) INTO texts, found FROM (
        SELECT mission FROM issue_texts_with(of_workspace, asked) LIMIT 2 * most + 1
    ) candidate;
    RETURN CASE WHEN texts <= 2 * most AND coalesce(cardinality(found), 0) <= most THEN coalesce(found, '{}') END;
END
$$;

-- Returns the ids of missions of a workspace that may contain `sought` themselves, and of comments that may. Each is NULL
-- if there are more than `most`, both if there are more than twice as many texts, or if nothing is sought.
CREATE OR REPLACE FUNCTION search_candidates(
    of_workspace text, sought text, most integer, OUT missions text[], OUT comments text[]
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT SET enable_seqscan = off AS $$
DECLARE
    asked text := left(sought, 40);
    texts bigint;
BEGIN
    missions := '{}';
    comments := '{}';
    IF NOT issue_texts_open(of_workspace) THEN
        RETURN;
    END IF;
    IF asked <> '' THEN
        SELECT count(*), coalesce(array_agg(mission) FILTER (WHERE comment = ''), '{}'),
            coalesce(array_agg(comment) FILTER (WHERE comment <> ''), '{}')
        INTO texts, missions, comments
        FROM (SELECT mission, comment FROM issue_texts_with(of_workspace, asked) LIMIT 2 * most + 1) candidate;
    END IF;
    missions := CASE WHEN texts <= 2 * most AND cardinality(missions) <= most THEN missions END;
    comments := CASE WHEN texts <= 2 * most AND cardinality(comments) <= most THEN comments END;
END
$$;

-- Writes the grams of a mission or of a comment. Only the owner may change them.
CREATE OR REPLACE FUNCTION issue_text_written() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_TABLE_NAME = 'missions' THEN
        INSERT INTO issue_texts (place, mission_id, comment_id, grams) VALUES (
            NEW.workspace_id, NEW.id, '',
            issue_grams_stored(NEW.workspace_id, concat_ws(chr(10), NEW.identifier, NEW.title, NEW.description))
        ) ON CONFLICT (place, mission_id, comment_id) DO UPDATE SET grams = excluded.grams;
    ELSE
        INSERT INTO issue_texts (place, mission_id, comment_id, grams) VALUES (
            NEW.workspace_id, NEW.mission_id, NEW.id, issue_grams_stored(NEW.workspace_id, NEW.body)
        ) ON CONFLICT (place, mission_id, comment_id) DO UPDATE SET grams = excluded.grams;
    END IF;
    RETURN NULL;
END
$$;

-- Removes the grams of a mission or of a comment.
CREATE OR REPLACE FUNCTION issue_text_removed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_TABLE_NAME = 'missions' THEN
        DELETE FROM issue_texts WHERE place = OLD.workspace_id AND mission_id = OLD.id;
    ELSE
        DELETE FROM issue_texts
        WHERE place = OLD.workspace_id AND mission_id = OLD.mission_id AND comment_id = OLD.id;
    END IF;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION issue_candidates(text, text, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION search_candidates(text, text, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION issue_text_written() FROM PUBLIC;
REVOKE ALL ON FUNCTION issue_text_removed() FROM PUBLIC;

CREATE OR REPLACE TRIGGER issue_text_of_new AFTER INSERT ON missions
FOR EACH ROW EXECUTE FUNCTION issue_text_written();

CREATE OR REPLACE TRIGGER issue_text_of_changed AFTER UPDATE OF identifier, title, description ON missions
FOR EACH ROW WHEN (
    ROW (OLD.identifier, OLD.title, OLD.description) IS DISTINCT FROM ROW (NEW.identifier, NEW.title, NEW.description)
)
EXECUTE FUNCTION issue_text_written();

CREATE OR REPLACE TRIGGER issue_text_of_gone AFTER DELETE ON missions
FOR EACH ROW EXECUTE FUNCTION issue_text_removed();

CREATE OR REPLACE TRIGGER issue_text_of_new AFTER INSERT ON issue_comments
FOR EACH ROW EXECUTE FUNCTION issue_text_written();

CREATE OR REPLACE TRIGGER issue_text_of_changed AFTER UPDATE OF body ON issue_comments
FOR EACH ROW WHEN (OLD.body IS DISTINCT FROM NEW.body)
EXECUTE FUNCTION issue_text_written();

CREATE OR REPLACE TRIGGER issue_text_of_gone AFTER DELETE ON issue_comments
FOR EACH ROW EXECUTE FUNCTION issue_text_removed();
