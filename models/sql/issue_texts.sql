-- Search of issues by a part of a text. The texts of an issue, and each comment, have a row of grams: of one, two and
-- three bytes. Each text that contains a searched text has all grams of it.

-- Returns the sum that makes grams of one workspace differ from the grams of another in most cases, so that a search reads
-- few rows of others.
CREATE OR REPLACE FUNCTION issue_grams_of(place text) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (hashtextextended(place, 0) & 4294967295) << 26
$$;

-- Returns the grams of a text in which ASCII letters are small, as a search compares them; of `sizes` bytes each.
CREATE OR REPLACE FUNCTION issue_grams(place text, said text, sizes integer[]) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    bytes bytea := convert_to(lower(said COLLATE "C"), 'UTF8');
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

-- Returns the ids of missions of a workspace with a text that may contain `sought`: all that do, and few others.
-- NULL if there are more than `most`, or if nothing is sought.
CREATE OR REPLACE FUNCTION issue_candidates(of_workspace text, sought text, most integer) RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT SET enable_seqscan = off AS $$
DECLARE
    asked text := left(sought, 40);
    now_in text := coalesce(current_setting('crewship.workspaces', true), '');
    found text[];
BEGIN
    IF of_workspace <> ALL (string_to_array(now_in, ',')) AND now_in NOT IN ('', '*') THEN
        RETURN '{}';
    END IF;
    IF asked = '' THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(mission_id) INTO found FROM (
        SELECT DISTINCT mission_id FROM issue_texts t
        WHERE t.place = of_workspace AND (
            t.grams @> issue_grams(of_workspace, asked, ARRAY[least(3, octet_length(asked))])
            OR t.grams @> ARRAY[issue_grams_of(of_workspace)]
        )
        LIMIT most + 1
    ) candidate;
    RETURN CASE WHEN cardinality(found) > most THEN NULL ELSE coalesce(found, '{}') END;
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
